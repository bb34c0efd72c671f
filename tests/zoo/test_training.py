"""Training, cooling, judging and exporting in small: every stage runs, resumes and says the truth."""

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("diffusers")

from tests.zoo import made_up
from zoo.sprite import captions, checkpoint, export, judge, latents, networks, sampling, scenes, train, verdict, words


@pytest.fixture(scope="module")
def draw() -> scenes.Draw:
    return scenes.Draw(made_up.bank())


@pytest.fixture(scope="module")
def basis(draw: scenes.Draw) -> latents.Basis:
    return latents.fit(draw, pictures=100)


def _plan(steps: int) -> train.Plan:
    return train.Plan(steps=steps, cooling=2, minutes=10, fused=False)


def test_cooling_branches_off_and_leaves_the_stable_weights(
    tmp_path: Path, draw: scenes.Draw, basis: latents.Basis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "BATCH", 2)
    train.train(tmp_path, draw, basis, _plan(2))
    train.cool(tmp_path, draw, basis, _plan(2))
    train.train(tmp_path, draw, basis, _plan(3))
    train.cool(tmp_path, draw, basis, _plan(3))  # done already: a longer stable part does not move it
    stable, cooled = (checkpoint.load(tmp_path / name) for name in (train.STABLE, train.COOLED))
    assert stable is not None
    assert cooled is not None
    assert (stable["step"], stable["origin"]) == (3, 0)
    assert (cooled["step"], cooled["origin"]) == (4, 2)


def test_the_sampler_is_the_exported_pipeline_s(tmp_path: Path, draw: scenes.Draw) -> None:
    from diffusers import FluxPipeline

    known = captions.vocabulary(draw.bank.subjects)
    torch.manual_seed(0)
    fresh = networks.Painter(known)
    torch.save({"average": fresh.state_dict()}, tmp_path / train.STABLE)
    assert export.export(tmp_path, known, tmp_path / "out") <= export.LIMIT
    pipeline = FluxPipeline.from_pretrained(tmp_path / "out", dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    painter = networks.Painter(known)
    painter.transformer, painter.sentence = pipeline.transformer, pipeline.text_encoder_2
    painter.caption = pipeline.text_encoder
    ours = sampling.paint(painter, ["a disc on a red background"], steps=4, seed=5)
    theirs = pipeline(
        "a disc on a red background",
        negative_prompt="",
        true_cfg_scale=2.0,
        height=128,
        width=128,
        num_inference_steps=4,
        max_sequence_length=words.LENGTH,
        latents=torch.randn(1, 16, latents.CHANNELS * 4, generator=torch.Generator().manual_seed(5)),
        output_type="latent",
    ).images
    assert torch.allclose(latents.pack(ours), theirs, atol=1e-4)


@pytest.mark.slow
def test_a_judge_learns_from_real_pictures_and_gives_a_true_verdict(
    tmp_path: Path, draw: scenes.Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "BATCH", 16)
    judge.learn(tmp_path, draw.bank, steps=120, minutes=10)
    model = judge.load(tmp_path, draw.bank)
    kept = scenes.held_out(draw.bank)
    icons, grounds = [icon for icon, _ in kept], [ground for _, ground in kept]
    pictures = judge.real(draw.bank, icons, grounds, np.random.default_rng(1)) / 2 + 0.5
    found = verdict.reach(draw, model, pictures)
    assert found.painted == found.real
    assert found.real.subject > 0.9
    assert found.real.ground > 0.9
    assert found.shuffled.ground < 0.5
    assert found.distance == pytest.approx(found.real_distance)
    assert found.distance > 0
