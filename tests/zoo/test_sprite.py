"""The recipe's parts that need no download: latents, words, and training that goes on where it was killed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("diffusers")

from zoo.sprite import checkpoint, data, latents, words


def _bank() -> data.Bank:
    """Two made-up subjects: a disc and a bar, drawn in random ink."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:64, :64]
    shapes = [np.hypot(rows - 32, columns - 32) < 20, abs(rows - 32) < 8]
    cover = np.stack([np.repeat(255 * shape[None, None], data.POSITIONS, 0) for shape in shapes]).astype(np.uint8)
    ink = (cover * rng.random((2, data.POSITIONS, 3, 1, 1))).astype(np.uint8)
    subjects = tuple(data.Subject(label=n, file="", names=(n,), flips=True) for n in ("disc", "orange bar"))
    return data.Bank(subjects=subjects, colours=("red", ""), ink=torch.from_numpy(ink), cover=torch.from_numpy(cover))


def test_pack_and_unpack_are_inverse_and_in_flux_order() -> None:
    from diffusers import FluxPipeline

    codes = torch.randn(3, latents.CHANNELS, 8, 8)
    assert torch.equal(latents.unpack(latents.pack(codes)), codes)
    assert torch.equal(latents.pack(codes), FluxPipeline._pack_latents(codes, 3, latents.CHANNELS, 8, 8))


def test_latents_are_centred_of_unit_variance_and_keep_simple_pictures() -> None:
    bank = _bank()
    basis = latents.fit(bank, pictures=256)
    pictures, _ = data.draw(bank, 256, np.random.default_rng(7))
    codes = basis.project(pictures)
    assert abs(codes.mean().item()) < 0.1
    assert codes.square().mean().item() == pytest.approx(1, abs=0.15)
    assert (basis.lift(codes) - pictures).square().mean().item() / 4 < 10**-2.5


def test_a_batch_follows_from_its_seed_alone() -> None:
    first, second = (data.draw(_bank(), 8, np.random.default_rng([3, 5])) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert first[1] == second[1]


def test_a_caption_names_the_background_that_the_picture_has() -> None:
    bank, rng = _bank(), np.random.default_rng(1)
    for colour, name in enumerate(data.BACKGROUNDS):
        said = {name, *data.COLOUR_SYNONYMS.get(name, [])}
        texts = [data.caption(bank, 0, colour, rng) for _ in range(40)]
        assert all(any(word in text for word in said) or text.endswith("disc") for text in texts), texts
        corner = data.compose(bank, np.array([0]), np.array([0]), np.array([colour]))[0, :, 0, 0]
        assert (corner * 127.5 + 127.5).round().tolist() == list(data.BACKGROUNDS[name])


def test_captions_hold_only_known_words_and_fit() -> None:
    tokenizer = words.tokenizer(clip=False)
    lines = data.subject_lines()
    subjects = tuple(
        data.Subject(label="", file="", names=tuple(n.strip() for n in line.split("=")[1].split("|")), flips=True)
        for line in lines
    )
    blank = torch.zeros(1, dtype=torch.uint8)
    bank = data.Bank(subjects=subjects, colours=("gray",) * len(lines), ink=blank, cover=blank)
    rng = np.random.default_rng(2)
    for subject in range(len(lines)):
        for colour in range(len(data.BACKGROUNDS)):
            tokens = tokenizer(data.caption(bank, subject, colour, rng)).input_ids
            assert words.UNKNOWN not in tokens
            assert len(tokens) <= words.LENGTH


def test_clip_captions_end_with_the_mark_that_pooling_reads() -> None:
    tokens = words.tokenizer(clip=True)("A red Zzyzx, please", padding="max_length").input_ids
    assert len(tokens) == words.LENGTH
    assert tokens[0] == words.START
    assert tokens.count(words.END) == 1
    assert words.UNKNOWN in tokens


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
    for file, _ in data.PACKAGES.values():
        (tmp_path / file).write_bytes(b"not the package")
    with pytest.raises(ValueError, match="is not the recipe's"):
        data.fetch(tmp_path)
