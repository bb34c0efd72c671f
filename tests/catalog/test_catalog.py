"""Cards are read strictly and found by the ids that clients write."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from laterna.catalog.catalog import Catalog
from laterna.catalog.endpoint_id import parse_endpoint_id
from laterna.contracts.generation import TextToImage
from laterna.errors import ConfigError, EndpointNotFound

CARD = """
id = "me/model"
name = "Mine"
family = "flux"
weights = "path:weights"
revision = "7"
licence = "MIT"
resident_bytes = 1000
[settings]
guidance = "none"
sampler = "flow_euler"
[[endpoints]]
category = "text-to-image"
contract = "flux.text_to_image"
[[endpoints]]
path = "turbo"
category = "text-to-image"
contract = "flux.text_to_image"
fields = { num_inference_steps = { default = 2, le = 4 } }
"""


def load(folder: Path, text: str = CARD, name: str = "mine.toml") -> Catalog:
    (folder / name).write_text(text)
    return Catalog.load(folder)


def test_built_in_cards_are_whole() -> None:
    catalog = Catalog.load(None)
    assert {"laterna/sprite", "fal-ai/flux/dev", "fal-ai/flux/schnell", "fal-ai/fast-sdxl"} <= {
        c.id for c in catalog.cards()
    }
    for card in catalog.cards():
        assert card.licence
        assert card.licence_url.startswith("https://")
        assert card.description
        for endpoint in card.endpoints:
            job = endpoint.contract.normalise(endpoint.contract.parse({"prompt": "a fox"}))
            assert isinstance(job, TextToImage)
            assert job.sampler == card.settings["sampler"]


def test_hub_weights_are_pinned_to_the_commit_that_is_their_revision() -> None:
    hub = [card for card in Catalog.load(None).cards() if card.weights.startswith("hub:")]
    assert len(hub) == 5
    for card in hub:
        assert re.fullmatch(r"[0-9a-f]{40}", card.revision)
        assert card.weights == f"{card.source}@{card.revision}"


def test_a_folder_adds_models(tmp_path: Path) -> None:
    catalog = load(tmp_path)
    card, endpoint = catalog.endpoint("me/model/turbo")
    assert endpoint.id(card) == "me/model/turbo"
    assert endpoint.contract.normalise(endpoint.contract.parse({"prompt": "x"})).steps == 2
    plain = catalog.endpoint("me/model")[1].contract
    assert plain.normalise(plain.parse({"prompt": "x"})).steps == 28
    ref = card.ref()
    assert (ref.id, ref.revision, ref.weights) == ("me/model", "7", f"path:{tmp_path / 'weights'}")
    assert catalog.card("me/model") is card


def test_a_missing_folder_is_an_empty_one(tmp_path: Path) -> None:
    assert [c.id for c in Catalog.load(tmp_path / "none").cards()] == [c.id for c in Catalog.load(None).cards()]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('licence = "MIT"\n', "", "licence is missing"),
        ('licence = "MIT"', "licence = 7", "licence = 7: expected a text"),
        ('licence = "MIT"', 'licence = "MIT"\nlicense = "MIT"', "unknown key license"),
        ('id = "me/model"', 'id = "model"', "id = 'model'"),
        ('id = "me/model"', 'id = "../model"', "id = '../model'"),
        ('id = "me/model"', 'id = "queue/model"', "owner may not be"),
        ('id = "me/model"', 'id = "me/requests"', "'requests'"),
        ("resident_bytes = 1000", "resident_bytes = 0", "resident_bytes = 0: must be above 0"),
        ("resident_bytes = 1000", "resident_bytes = true", "resident_bytes = True"),
        ("path:weights", "file.bin", "weights = 'file.bin'"),
        ('guidance = "none"', 'guidance = "lots"', "guidance = 'lots'"),
        ('family = "flux"', 'family = "fluxx"', "family = 'fluxx': expected one of blank, flux"),
        ('sampler = "flow_euler"', 'sampler = "ddim"', "settings.sampler = 'ddim': family 'flux' takes flow_euler"),
        ("num_inference_steps = {", "image_size = { multiple_of = 8 }, num_inference_steps = {", "multiples of 16"),
        ("num_inference_steps = {", "image_size = { le = 20000 }, num_inference_steps = {", "le <= 14142"),
        ('sampler = "flow_euler"', "", "settings.sampler"),
        ('sampler = "flow_euler"', "sampler = []", r"settings.sampler = \[\]"),
        ("flux.text_to_image", "flux.text_to_video", "no contract 'flux.text_to_video'"),
        ("le = 4", "le = 1", "num_inference_steps: Input should be less than or equal to 1"),
        ("le = 4", "most = 4", "num_inference_steps.most is not known"),
        ('path = "turbo"', 'path = "/turbo"', "endpoints.1..path = '/turbo'"),
        ('path = "turbo"', "", "already in"),
        ("[settings]", "[price]\nunit = 'banana'\n[settings]", "price.unit = 'banana'"),
        ("[settings]", "[price]\ncurrency = 'dollars'\n[settings]", "price.currency = 'dollars'"),
        ("[settings]", "[price]\nunit = 'second'\n[settings]", "price.unit = 'second'"),
        ("[settings]", "[price]\nunit = 'device_second'\n[settings]", "price.unit = 'device_second'"),
        ("[settings]", "[price]\n[price.solo]\nmegapixel_step_us = 5\n[settings]", "price.unit = 'image'"),
        ("[settings]", "[price]\n[price.solo]\nimage_us = 5\n[settings]", "price.solo.megapixel_step_us is missing"),
        ("[settings]", "[price]\nnano = -1\n[settings]", "price.nano = -1"),
        ("[settings]", "[settings", "not readable as TOML"),
    ],
)
def test_a_wrong_card_is_refused_by_file_key_and_value(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in CARD
    with pytest.raises(ConfigError, match=said) as caught:
        load(tmp_path, CARD.replace(old, new, 1))
    assert "mine.toml" in caught.value.message


def test_a_card_of_ones_own_takes_the_place_of_a_built_in_one(tmp_path: Path) -> None:
    catalog = load(tmp_path, CARD.replace("me/model", "fal-ai/flux/schnell"))
    assert catalog.card("fal-ai/flux/schnell").name == "Mine"
    assert catalog.endpoint("fal-ai/flux/schnell/turbo")[0].weights == f"path:{tmp_path / 'weights'}"
    assert len(catalog.cards()) == len(Catalog.load(None).cards())


@pytest.mark.parametrize(("first", "second"), [("me/model", "me/model"), ("me/model", "me/model/turbo")])
def test_two_cards_cannot_share_an_endpoint(tmp_path: Path, first: str, second: str) -> None:
    (tmp_path / "other.toml").write_text(CARD.replace("me/model", first))
    with pytest.raises(ConfigError, match="is already in"):
        load(tmp_path, CARD.replace("me/model", second))


def test_unknown_endpoints_suggest_near_ones() -> None:
    with pytest.raises(EndpointNotFound, match="did you mean 'laterna/sprite'"):
        Catalog.load(None).endpoint("laterna/sprit")
    with pytest.raises(EndpointNotFound, match="list what there is"):
        Catalog.load(None).endpoint("x" * 100_000)


@pytest.mark.parametrize(
    ("text", "app", "path"),
    [
        ("fal-ai/flux/dev", "fal-ai/flux", "dev"),
        ("/fal-ai/flux/dev/", "fal-ai/flux", "dev"),
        ("fal-ai/fast-sdxl", "fal-ai/fast-sdxl", ""),
        ("fal-ai/flux/dev/image-to-image", "fal-ai/flux", "dev/image-to-image"),
        ("workflows/me/thing/run", "workflows/me/thing", "run"),
        ("comfy/me/thing", "comfy/me/thing", ""),
        ("123-sdxl", "123/sdxl", ""),
    ],
)
def test_ids_are_parsed_as_clients_do(text: str, app: str, path: str) -> None:
    parsed = parse_endpoint_id(text)
    assert parsed is not None
    assert (parsed.app, parsed.path) == (app, path)


@pytest.mark.parametrize("text", ["", "/", "flux", "workflows/me", "flux-123"])
def test_what_is_no_id(text: str) -> None:
    assert parse_endpoint_id(text) is None
