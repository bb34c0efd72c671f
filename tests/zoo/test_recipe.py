"""The recipe's parts that need no download: scenes, captions, latents, words, and training that goes on where it was
killed."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

pytest.importorskip("diffusers")

from tests.zoo import made_up
from zoo.sprite import art, captions, checkpoint, colours, latents, packages, scenes, subjects, views, words


def _known() -> tuple[subjects.Subject, ...]:
    """The listed subjects; those without a Dutch name of their own get an English one."""
    found = []
    for line in subjects.lines():
        names = [tuple(name.strip() for name in part.split("|")) for part in line.split("=")[1:]]
        found.append(subjects.Subject(label=line, code="", names=names[0], dutch=names[-1], flips=True))
    return tuple(found)


def test_pack_and_unpack_are_inverse_and_in_flux_order() -> None:
    from diffusers import FluxPipeline

    codes = torch.randn(3, latents.CHANNELS, 8, 8)
    assert torch.equal(latents.unpack(latents.pack(codes)), codes)
    assert torch.equal(latents.pack(codes), FluxPipeline._pack_latents(codes, 3, latents.CHANNELS, 8, 8))


def test_latents_are_centred_of_unit_variance_and_keep_simple_pictures() -> None:
    draw = scenes.Draw(made_up.bank())
    basis = latents.fit(draw, pictures=200)
    pictures, _ = draw.batch(100, np.random.default_rng(7))
    codes = basis.project(pictures)
    assert abs(codes.mean().item()) < 0.2
    assert codes.square().mean().item() == pytest.approx(1, abs=0.25)
    assert (basis.lift(codes) - pictures).square().mean().item() / 4 < 10**-2.5


def test_a_batch_follows_from_its_seed_alone() -> None:
    draw = scenes.Draw(made_up.bank())
    first, second = (draw.batch(8, np.random.default_rng([3, 5])) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert first[1] == second[1]


def test_held_out_combinations_are_never_drawn() -> None:
    draw = scenes.Draw(made_up.bank())
    seen: set[tuple[int, int]] = set()
    rng = np.random.default_rng(0)
    for _ in range(500):
        icon = int(rng.integers(6))
        seen.add((icon, draw._ground((icon,), rng)))
    assert draw.kept
    assert not seen & draw.kept
    assert len(seen) == 6 * len(colours.NAMES) - len(draw.kept)


def test_a_caption_says_the_ground_the_style_and_the_things() -> None:
    bank, rng = made_up.bank(), np.random.default_rng(1)
    for ground, name in enumerate(colours.NAMES):
        for icon in range(6):
            scene = scenes.scene(bank, (icon, (icon + 3) % 6), ground)
            said = captions.sentence(scene, rng)
            spoken = set(re.findall(r"\w+", said))
            dutch = "schijf" in spoken
            assert ({"schijf", "balk", "en"} if dutch else {"disc", "bar", "and"}) <= spoken
            colour = {captions.DUTCH_COLOURS[name]} if dutch else {name, *captions.SYNONYMS.get(name, [])}
            style = captions.DUTCH_STYLES if dutch else captions.STYLES
            assert scene.style == "3d" or spoken & set(style[scene.style]), said
            assert any(word in said for word in colour) or not {"background", "achtergrond"} & spoken, said


def test_captions_hold_only_known_words_and_fit() -> None:
    known = _known()
    tokenizers = [words.tokenizer(captions.vocabulary(known), clip=clip) for clip in (False, True)]
    rng = np.random.default_rng(2)
    for first in known:
        for style in art.STYLES:
            things = (first,) if rng.random() < 0.5 else (first, known[int(rng.integers(len(known)))])
            tint = "purple" if len(things) == 1 else ""
            ground = str(rng.choice(colours.NAMES))
            said = captions.sentence(captions.Scene(things=things, tint=tint, style=style, ground=ground), rng)
            for tokenizer in tokenizers:
                tokens = tokenizer(said).input_ids
                assert words.UNKNOWN not in tokens, said
                assert len(tokens) <= words.LENGTH, said


def test_clip_captions_end_with_the_mark_that_pooling_reads() -> None:
    tokens = words.tokenizer(["a", "red"], clip=True)("A red Zzyzx, please", padding="max_length").input_ids
    assert len(tokens) == words.LENGTH
    assert tokens[0] == words.START
    assert tokens.count(words.END) == 1
    assert words.UNKNOWN in tokens


@pytest.mark.parametrize("paint", colours.PAINTS)
def test_repainting_changes_the_dominant_colour_to_the_one_named(paint: str) -> None:
    red = Image.new("RGBA", (64, 64), (200, 40, 40, 255))
    red.paste((20, 20, 20, 255), (0, 0, 64, 20))
    painted = colours.repaint(red, "red", paint)
    assert colours.dominant(painted) == paint
    assert painted.getpixel((5, 5)) == (20, 20, 20, 255)


def test_a_view_keeps_off_the_edge_and_is_premultiplied() -> None:
    picture = Image.new("RGBA", (200, 100), (255, 128, 0, 100))
    rng = np.random.default_rng(0)
    for view in range(20):
        placed = views._whole(picture, made_up.subject("bar", "balk"), view, rng)
        rim = placed[3].clone()
        rim[views.RIM : -views.RIM, views.RIM : -views.RIM] = 0
        assert not rim.any()
        assert placed[0].max() == placed[3].max() == 100


def _course(path: Path) -> checkpoint.Course:
    torch.manual_seed(0)
    network = nn.Linear(4, 4)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    return checkpoint.Course(network=network, optimizer=optimizer, path=path, decay=0.9, minutes=10)


def _advance(course: checkpoint.Course, steps: int) -> None:
    for _ in range(steps):
        batch = torch.randn(8, 4, generator=torch.Generator().manual_seed(course.step))
        course.advance((course.network(batch) - batch).square().mean(), 0.1)


def test_a_killed_run_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    whole = _course(tmp_path / "whole.pt")
    _advance(whole, 12)
    halved = _course(tmp_path / "halved.pt")
    _advance(halved, 7)
    assert halved.save(now=True)
    _advance(halved, 3)  # lost by the kill
    halved = _course(tmp_path / "halved.pt")
    assert halved.step == 7
    _advance(halved, 5)
    for name, value in whole.average.items():
        assert torch.equal(value, halved.average[name])


def test_a_package_that_was_tampered_with_is_refused(tmp_path: Path) -> None:
    for file, _ in packages.PACKAGES.values():
        (tmp_path / file).write_bytes(b"not the package")
    with pytest.raises(ValueError, match="is not the recipe's"):
        packages.fetch(tmp_path)
