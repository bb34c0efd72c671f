"""Adapters in inputs: fal's shape and limits, and no path that could be a file of the server."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laterna.contracts.contract import get_contract
from laterna.contracts.generation import Lora
from laterna.contracts.loras import MOST_LORAS, kind_of
from tests.contracts.test_pictures import diffusion, flux, made, problem, sprite

GOOD = {
    "https://example.com/a.safetensors?sig=1%202": "url",
    "HTTP://example.com": "url",
    "http://localhost:8000/cdn/files/abc/x": "url",
    "owner/name": "hub",
    "owner/name/file.safetensors": "hub",
    "owner/name/sub folder/file (1).safetensors": "hub",
    "laterna/pixel-art": "own",
}
BAD = [
    "",
    " ",
    "x",
    "x.safetensors",
    "/etc/passwd",
    "//etc/passwd",
    "./a/b",
    "../a/b",
    "a/../b",
    "a/b/../c",
    "a/b/..",
    "a/b/.hidden",
    "~/a/b",
    "a//b",
    "a/b/",
    "C:\\a\\b",
    "a\\b/c",
    "file:///etc/passwd",
    "file://a/b",
    "ftp://a/b",
    "data:application/octet-stream;base64,AA==",
    "s3://a/b",
    "https://",
    "a/b\n",
    "a/b\0",
    "laterna/../x",
    "x" * 3000 + "/y",
]


@pytest.mark.parametrize(("path", "kind"), GOOD.items())
def test_places(path: str, kind: str) -> None:
    assert kind_of(path) == kind
    for contract in (flux(), diffusion(), sprite()):
        assert made(contract, loras=[{"path": path}]).loras == (Lora(path=path),)


@pytest.mark.parametrize("path", BAD)
def test_paths_that_are_no_places(path: str) -> None:
    wrong = problem(flux(), loras=[{"path": "a/b"}, {"path": path}])
    assert wrong.loc == ("body", "loras", 1, "path")


@given(st.text(max_size=60))
def test_whatever_is_accepted_can_be_no_path_of_this_machine(path: str) -> None:
    kind = kind_of(path)
    if kind in ("hub", "own"):
        assert not path.startswith(("/", ".", "~"))
        assert ".." not in path.split("/")
        assert "\\" not in path
    assert (kind == "url") == path.lower().startswith(("http://", "https://")) or kind is None


def test_scales_and_numbers_are_bounded() -> None:
    assert made(flux(), loras=[{"path": "a/b", "scale": 4, "force": True, "else": 1}]).loras[0].scale == 4.0
    for scale in (-0.01, 4.01, "x", float("nan"), None):
        assert problem(flux(), loras=[{"path": "a/b", "scale": scale}]).loc == ("body", "loras", 0, "scale")
    many: list[dict[str, Any]] = [{"path": "a/b"}] * MOST_LORAS
    assert len(made(flux(), loras=many).loras) == MOST_LORAS
    assert problem(flux(), loras=[*many, {"path": "a/b"}]).loc == ("body", "loras")
    assert problem(flux(), loras=[{}]).loc == ("body", "loras", 0, "path")


def test_a_card_may_refuse_the_field_and_a_family_that_takes_none_does() -> None:
    settings = {"guidance": "none", "sampler": "euler"}
    blank = get_contract("sprite.text_to_image").narrow({}, settings, "blank")
    for none in (diffusion(loras={"max_length": 0}), blank):
        assert made(none, loras=[]).loras == ()
        wrong = problem(none, loras=[{"path": "a/b"}])
        assert (wrong.loc, wrong.type) == (("body", "loras"), "too_long")
