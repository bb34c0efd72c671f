"""Inputs of image endpoints become exactly what the engine is asked; wrong ones become problems that name the field."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laterna.contracts.contract import CONTRACTS, Contract, MadeFile, get_contract
from laterna.contracts.generation import TextToImage
from laterna.errors import InvalidInput, Problem

FLUX_SIZE = {"image_size": {"default": "landscape_4_3", "ge": 256, "le": 2048, "multiple_of": 16}}


def flux(guidance: str = "embedded", **fields: Any) -> Contract:
    return get_contract("flux.text_to_image").narrow(
        {**FLUX_SIZE, **fields}, {"guidance": guidance, "sampler": "flow_euler"}
    )


def diffusion(**fields: Any) -> Contract:
    return get_contract("stable_diffusion.text_to_image").narrow(
        fields, {"guidance": "classifier_free", "sampler": "ddim"}
    )


def sprite() -> Contract:
    settings: dict[str, str | int] = {"guidance": "classifier_free", "sampler": "flow_euler", "size": 64}
    return get_contract("sprite.text_to_image").narrow({}, settings)


def made(contract: Contract, **body: Any) -> TextToImage:
    job = contract.normalise(contract.parse({"prompt": "a fox", **body}))
    assert isinstance(job, TextToImage)
    return job


def problem(contract: Contract, **body: Any) -> Problem:
    with pytest.raises(InvalidInput) as caught:
        contract.parse({"prompt": "a fox", **body})
    assert len(caught.value.problems) == 1
    return caught.value.problems[0]


def test_flux_defaults_are_fals() -> None:
    job = made(flux(), seed=1)
    assert (job.width, job.height, job.steps, job.guidance, job.cfg_scale) == (1024, 768, 28, 3.5, 1.0)
    assert (job.count, job.image_format, job.inline, job.sampler) == (1, "jpeg", False, "flow_euler")


def test_stable_diffusion_defaults_are_fals() -> None:
    job = made(diffusion(), seed=1)
    assert (job.width, job.height, job.steps, job.guidance, job.cfg_scale) == (1024, 1024, 25, None, 7.5)
    assert made(diffusion(), format="png").image_format == "png"
    assert (job.sampler, made(diffusion(), sampler="unipc").sampler) == ("ddim", "unipc")


def test_sprite_has_its_own_size_and_no_other() -> None:
    job = made(sprite())
    assert (job.width, job.height, job.steps, job.cfg_scale, job.image_format) == (64, 64, 20, 2.0, "png")
    assert made(sprite(), seed=1, image_size={"width": 64, "height": 64}) == made(sprite(), seed=1)
    wrong = problem(sprite(), image_size={"width": 128, "height": 64})
    assert wrong.loc == ("body", "image_size", "width")
    assert wrong.ctx == {"le": 64}
    assert "64" in problem(sprite(), image_size="square").msg


@pytest.mark.parametrize(
    ("guidance", "cfg_scale", "embedded"), [("embedded", 1.0, 5.0), ("classifier_free", 5.0, None), ("none", 1.0, None)]
)
def test_the_card_says_what_guidance_scale_means(guidance: str, cfg_scale: float, embedded: float | None) -> None:
    job = made(flux(guidance), guidance_scale=5)
    assert (job.cfg_scale, job.guidance) == (cfg_scale, embedded)


def test_sizes_are_rounded_down_to_the_grain() -> None:
    job = made(flux(), image_size={"width": 1000, "height": 519})
    assert (job.width, job.height) == (992, 512)


def test_a_seed_is_kept_or_drawn() -> None:
    assert made(flux(), seed=0).seed == 0
    assert made(flux(), seed=2**63 - 8, num_images=4).seed == 2**63 - 8
    drawn = {made(flux()).seed for _ in range(20)}
    assert len(drawn) > 10
    assert all(0 <= seed < 2**53 for seed in drawn)
    contract = flux()
    assert contract.normalise(contract.parse({"prompt": "a"}), seed=9) == made(contract, prompt="a", seed=9)


def test_sync_mode_is_inline() -> None:
    assert made(flux(), sync_mode=True).inline


def test_acceleration_reaches_the_engine_and_is_off_unless_asked_for() -> None:
    assert made(flux(), seed=1).acceleration == "none"
    for name in ("none", "regular", "high"):
        assert made(flux(), seed=1, acceleration=name).acceleration == name
    with pytest.raises(InvalidInput, match="acceleration"):
        made(flux(), seed=1, acceleration="ludicrous")


def test_fields_of_fals_schemas_without_a_meaning_here_are_accepted_and_unknown_ones_ignored() -> None:
    assert made(flux(), seed=1, somebody_elses_field={"a": [1]}) == made(flux(), seed=1)


def test_pictures_are_checked_unless_that_is_unwanted_and_symbols_where_it_is_wanted() -> None:
    assert made(flux(), seed=1).safety
    assert not made(flux(), seed=1, enable_safety_checker=False).safety
    assert not made(sprite(), seed=1).safety


def test_what_cannot_be_honoured_is_refused_by_name() -> None:
    assert made(diffusion(), embeddings=[])
    wrong = problem(diffusion(), embeddings=[{"path": "x"}])
    assert (wrong.loc, wrong.type) == (("body", "embeddings"), "feature_not_supported")


@pytest.mark.parametrize(
    ("body", "loc", "kind"),
    [
        ({"prompt": None}, ("body", "prompt"), "string_type"),
        ({"prompt": 7}, ("body", "prompt"), "string_type"),
        ({"prompt": "\ud800"}, ("body", "prompt"), "string_unicode"),
        ({"num_inference_steps": 0}, ("body", "num_inference_steps"), "greater_than_equal"),
        ({"num_inference_steps": 51}, ("body", "num_inference_steps"), "less_than_equal"),
        ({"num_inference_steps": 2.5}, ("body", "num_inference_steps"), "int_from_float"),
        ({"guidance_scale": float("nan")}, ("body", "guidance_scale"), "finite_number"),
        ({"guidance_scale": "nan"}, ("body", "guidance_scale"), "finite_number"),
        ({"num_images": 5}, ("body", "num_images"), "less_than_equal"),
        ({"seed": -1}, ("body", "seed"), "greater_than_equal"),
        ({"seed": 2**63}, ("body", "seed"), "less_than_equal"),
        ({"output_format": "gif"}, ("body", "output_format"), "literal_error"),
        ({"image_size": "huge"}, ("body", "image_size"), "image_size"),
        ({"image_size": [64, 64]}, ("body", "image_size"), "image_size"),
        ({"image_size": {"width": "wide", "height": 512}}, ("body", "image_size", "width"), "int_parsing"),
        ({"image_size": {"width": 10**9, "height": 512}}, ("body", "image_size", "width"), "less_than_equal"),
    ],
)
def test_each_wrong_field_is_named(body: dict[str, Any], loc: tuple[str, ...], kind: str) -> None:
    found = problem(flux(), **body)
    assert (found.loc, found.type) == (loc, kind)


def test_a_missing_prompt_and_a_body_that_is_no_object() -> None:
    with pytest.raises(InvalidInput) as missing:
        flux().parse({})
    assert [(p.loc, p.type) for p in missing.value.problems] == [(("body", "prompt"), "missing")]
    bodies: list[object] = [[], "text", 7, None]
    for body in bodies:
        with pytest.raises(InvalidInput, match="Input should be a JSON object"):
            flux().parse(body)


def test_a_long_prompt_is_refused_with_the_limit_and_not_repeated() -> None:
    found = problem(flux(), prompt="x" * 100_000)
    assert found.ctx == {"max_length": 4000}
    assert "4000" in found.msg
    assert len(str(found.input)) < 300


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
FIELDS = st.sampled_from(
    [
        "prompt",
        "image_size",
        "num_inference_steps",
        "seed",
        "num_images",
        "guidance_scale",
        "loras",
        "sync_mode",
        "other",
    ]
)


@given(st.sampled_from([flux(), diffusion(), sprite()]), st.dictionaries(FIELDS, JSON))
def test_whatever_comes_is_a_job_or_problems_that_can_be_sent(contract: Contract, body: dict[str, Any]) -> None:
    problems: tuple[Problem, ...] = ()
    try:
        job = contract.normalise(contract.parse(body))
    except InvalidInput as error:
        problems = error.problems
    if problems:
        assert len(msgspec.json.encode([(p.loc, p.msg, p.type, p.input, p.ctx) for p in problems])) < 20_000
    else:
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(job), type=TextToImage) == job
        assert 0 <= job.seed <= job.seed + job.count - 1 < 2**63


def test_the_family_completes_what_a_card_leaves_open() -> None:
    settings = {"guidance": "none", "sampler": "flow_euler"}
    contract = get_contract("flux.text_to_image").narrow({}, settings, "flux")
    job = made(contract, image_size={"width": 1000, "height": 600})
    assert (job.width % 16, job.height % 16) == (0, 0)
    assert problem(contract, image_size={"width": 14142, "height": 512}).ctx == {"le": 2048}


@pytest.mark.parametrize("sampler", ["ddim", "lcm"])
def test_steps_are_bounded_by_the_sampler_that_was_asked_for(sampler: str) -> None:
    settings = {"guidance": "classifier_free", "sampler": sampler}
    fields = {"num_inference_steps": {"le": 2000}}
    contract = get_contract("stable_diffusion.text_to_image").narrow(fields, settings, "stable_diffusion")
    found = problem(contract, num_inference_steps=51, sampler="lcm")
    assert (found.loc, found.type, found.ctx, found.input) == (
        ("body", "num_inference_steps"), "less_than_equal", {"le": 50}, 51,
    )  # fmt: skip
    assert "'lcm'" in found.msg
    assert made(contract, num_inference_steps=51, sampler="euler").steps == 51
    assert problem(contract, num_inference_steps=501, sampler="euler").ctx == {"le": 500}


def test_a_sampler_that_does_not_fit_the_family_is_refused_by_name() -> None:
    wrong = problem(diffusion(), sampler="flow_euler")
    assert (wrong.loc, wrong.type) == (("body", "sampler"), "literal_error")
    settings = {"guidance": "classifier_free", "sampler": "ddim"}
    fields = {"sampler": {"choices": ["ddim", "unipc"]}}
    few = get_contract("stable_diffusion.text_to_image").narrow(fields, settings, "stable_diffusion")
    assert problem(few, sampler="euler").loc == ("body", "sampler")
    assert (made(few, sampler=None).sampler, made(few, sampler="unipc").sampler) == ("ddim", "unipc")


def test_the_result_has_fals_shape() -> None:
    contract = flux()
    job = made(contract, seed=3, num_images=2)
    files = [
        MadeFile(
            url=f"https://x/{n}", content_type="image/png", name="n", size_bytes=9, width=64, height=32, flagged=n == 1
        )
        for n in range(2)
    ]
    result = contract.result(job, files, 1.5)
    assert contract.output.model_validate(result).model_dump() == result
    assert list(result) == ["images", "timings", "seed", "has_nsfw_concepts", "prompt"]
    assert (result["seed"], result["timings"], result["has_nsfw_concepts"]) == (3, {"inference": 1.5}, [False, True])


@pytest.mark.parametrize("name", CONTRACTS)
def test_every_contract_named_is_there(name: str) -> None:
    assert get_contract(name).input.model_fields["prompt"].is_required()


def test_an_unknown_contract_names_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"flux\.text_to_image"):
        get_contract("flux")
