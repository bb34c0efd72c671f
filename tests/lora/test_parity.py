"""Pictures with adapters equal those of diffusers with the same files, alone and eight stacks in one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from laterna.contracts.generation import Lora, TextToImage
from laterna.families.family import Family, Noisy, Picture
from laterna.families.flux.original import original_names as flux_names
from laterna.families.stable_diffusion.names import original_names as unet_names
from laterna.lora.library import Library
from tests.families.checkpoints import FAMILY
from tests.families.drive import load, paint
from tests.families.test_parity import TOLERANCE, assert_equal, difference
from tests.lora.making import Adapter, factors, kohya, make, metadata, old_diffusers, peft, shelve, write
from tests.lora.reference import Painter, Worn

Files = dict[str, Path]
FOX = TextToImage(prompt="a red fox", width=64, height=48, steps=5, cfg_scale=4.0, sampler="euler", seed=7)
FLOW = msgspec.structs.replace(FOX, sampler="flow_euler", cfg_scale=1.0)
MODELS = ("sd15", "sd21", "sdxl", "flux-schnell", "flux-dev")
OFTEN = ("sd15", "flux-dev")  # of which every run tests what takes long
MIXED = [name if name in OFTEN else pytest.param(name, marks=pytest.mark.slow) for name in MODELS]
ATTENTION = "to_q to_k to_v to_out self_attn"
CONVOLUTIONS = "conv1 conv2 conv_shortcut downsamplers upsamplers conv_in conv_out"


def kinds(name: str) -> tuple[str, ...]:
    """The files that `write_files` makes; the older layout of diffusers was of UNets alone."""
    return ("peft", "metadata", "kohya", "one", *(() if name.startswith("flux") else ("old",)))


class Wardrobe:
    """One checkpoint, its adapters' files, and both ways of painting with them."""

    def __init__(self, name: str, folder: Path, made: Path, library: Library) -> None:
        self.name = name
        self.painter = Painter(name, folder)
        self.family: Family = load(FAMILY[name], folder, library, cache_high=1e9)  # reuses whenever it may
        self.files = write_files(name, self.painter, made)
        self._digests = {kind: shelve(library.shelf, file) for kind, file in self.files.items()}

    def job(self, worn: dict[str, float], **changes: object) -> TextToImage:
        base = FLOW if self.name.startswith("flux") else FOX
        stack = tuple(Lora(path=kind, scale=scale, digest=self._digests[kind]) for kind, scale in worn.items())
        return msgspec.structs.replace(base, loras=stack, **changes)

    def reference(self, job: TextToImage) -> Picture:
        return self.painter.paint(job, [Worn(file=self.files[lora.path], scale=lora.scale) for lora in job.loras])


def write_files(name: str, painter: Painter, folder: Path) -> Files:
    networks = painter.networks()
    denoiser = next(iter(networks))
    wide = make(networks, 1, rank=4, only=f"{ATTENTION} mlp ff. proj_in proj_out", alpha=2.0)
    small = make(networks, 2, rank=2, only=ATTENTION)
    known = {part: config(part, small) for part in networks}
    known[denoiser]["alpha_pattern"] = {"attn.to_q" if name.startswith("flux") else "attn1.to_q": 1.0}
    files = {
        "peft": write(folder / "peft.safetensors", peft(make(networks, 3, rank=3, only=f"{ATTENTION} ff."))),
        "metadata": write(folder / "metadata.safetensors", peft(small), metadata(**known)),
    }
    if name.startswith("flux"):
        files["kohya"] = write(folder / "kohya.safetensors", kohya(fused(networks), {"text_encoder": "lora_te1_"}))
        files["one"] = write(
            folder / "one.safetensors", peft(make({denoiser: networks[denoiser]}, 5, 6, "norm1.linear"))
        )
        return files
    one = {part: network for part, network in networks.items() if part == "unet"}
    encoders = {"text_encoder": "lora_te1_" if name == "sdxl" else "lora_te_", "text_encoder_2": "lora_te2_"}
    names = {became.layers[0]: original for original, became in unet_names(networks["unet"]).items()}
    sgm = names if name == "sdxl" else None
    layers = wide | make(one, 4, rank=4, only=f"{CONVOLUTIONS} time_emb", alpha=2.0)
    files["kohya"] = write(folder / "kohya.safetensors", kohya(layers, encoders, sgm))
    files["old"] = write(folder / "old.safetensors", old_diffusers(make(networks, 6, rank=5, only=ATTENTION)))
    files["one"] = write(folder / "one.safetensors", peft(make(one, 7, rank=6, only=CONVOLUTIONS)))
    return files


def config(part: str, adapter: Adapter) -> dict[str, Any]:
    """PEFT's, as far as it differs from its defaults."""
    return {"r": 2, "lora_alpha": 3, "target_modules": [layer for of, layer in adapter if of == part]}


def fused(networks: dict[str, torch.nn.Module]) -> Adapter:
    """An adapter of the transformer in its authors' layout, where queries, keys and values are one layer.

    Without linear1, which diffusers splits at the widths of the published model alone; `test_layouts` has it.
    """
    generator = torch.Generator().manual_seed(8)
    transformer = networks["transformer"]
    layers = dict(transformer.named_modules())
    made: Adapter = make({"text_encoder": networks["text_encoder"]}, 9, only="self_attn", alpha=2.0)
    for name, became in flux_names(transformer).items():
        places = [layers[layer] for layer in became.layers if isinstance(layers.get(layer), torch.nn.Linear)]
        if "blocks" in name and "linear1" not in name and len(places) == len(became.layers):
            whole = torch.nn.Linear(places[0].in_features, sum(p.out_features for p in places))
            made["transformer", name] = factors(whole, 4, generator, 2.0)
    return made


@pytest.fixture(scope="module")
def wardrobe(
    checkpoint: Callable[[str], Path], shelved: Library, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Wardrobe]:
    opened: dict[str, Wardrobe] = {}

    def get(name: str) -> Wardrobe:
        if name not in opened:
            opened[name] = Wardrobe(name, checkpoint(name), tmp_path_factory.mktemp(name), shelved)
        return opened[name]

    return get


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param(name, kind, marks=() if name in OFTEN else pytest.mark.slow)
        for name in MODELS
        for kind in kinds(name)
    ],
)
def test_alone(name: str, kind: str, wardrobe: Callable[[str], Wardrobe]) -> None:
    worn = wardrobe(name)
    job = worn.job({kind: 0.8})
    ours, theirs = paint(worn.family, job)[0], worn.reference(job)
    assert_equal(ours, theirs)
    assert difference(paint(worn.family, worn.job({}))[0], theirs) > 4 * TOLERANCE, "an adapter of no effect"


@pytest.mark.parametrize("name", MODELS)
def test_the_comparison_notices_a_wrong_scale(name: str, wardrobe: Callable[[str], Wardrobe]) -> None:
    worn = wardrobe(name)
    right = worn.reference(worn.job({"kohya": 0.8}))
    for wrong in ({"kohya": 0.84}, {"kohya": 0.4, "peft": 0.4}, {"kohya": 0.8, "metadata": 0.05}):
        assert difference(paint(worn.family, worn.job(wrong))[0], right) > 4 * TOLERANCE


def eight(worn: Wardrobe) -> Sequence[TextToImage]:
    """Stacks of one, several and no adapters; prompts, seeds, steps and guidance differ too, and sizes of tokens."""
    wide = {"width": 96, "height": 32} if worn.name.startswith("flux") else {}
    tall = {"width": 48, "height": 80} if worn.name.startswith("flux") else {}
    guided = {"cfg_scale": 3.0, "negative_prompt": "cat"}
    return [
        worn.job({"kohya": 1.0}, seed=1, steps=4),
        worn.job({"peft": 0.5}, seed=2, steps=6, prompt="a blue dog", **wide),
        worn.job({}, seed=3, steps=5, **guided),
        worn.job({"metadata": 1.2}, seed=4, steps=3, **guided),
        worn.job({"one": 0.9}, seed=5, steps=5, prompt="", **tall),
        worn.job({"kohya": 0.5, "peft": 0.4}, seed=6, steps=4, **guided, **wide),
        worn.job({"peft": 0.3, "metadata": 0.6, "one": 0.5}, seed=7, steps=5),
        worn.job({"kohya": 0.2}, seed=8, steps=6, cfg_scale=1.0),
    ]


@pytest.mark.parametrize("name", MIXED)
def test_eight_stacks_in_one_batch(name: str, wardrobe: Callable[[str], Wardrobe]) -> None:
    worn = wardrobe(name)
    jobs = eight(worn)
    for job, ours in zip(jobs, paint(worn.family, *jobs, late=[0, 2, 1, 0, 3, 0, 1, 0]), strict=True):
        assert_equal(ours, worn.reference(job))


@pytest.mark.parametrize("name", ["sd15", "flux-dev"])
def test_adapters_follow_their_samples_where_others_leave_the_call(
    name: str, wardrobe: Callable[[str], Wardrobe]
) -> None:
    """Half of the samples reuse features, so that the inner blocks see the rows of the rest."""
    worn = wardrobe(name)
    jobs = [msgspec.structs.replace(job, acceleration=("high", "none")[job.seed % 2]) for job in eight(worn)]
    for job, ours in zip(jobs, paint(worn.family, *jobs, late=[0, 2, 1, 0, 3, 0, 1, 0]), strict=True):
        if job.acceleration == "none":
            assert_equal(ours, worn.reference(job))
        else:
            assert difference(ours, paint(worn.family, job)[0]) <= TOLERANCE


@pytest.mark.parametrize("name", MODELS)
def test_neighbours_keep_every_bit(name: str, wardrobe: Callable[[str], Wardrobe]) -> None:
    """One call with others' adapters and one without them answer the same for a sample that has none."""
    worn = wardrobe(name)
    stacks: list[dict[str, float]] = [{}, {"kohya": 1.0}, {}, {"one": 1.0}, {"kohya": 1.0, "peft": 0.5}]
    jobs = [
        worn.job(stack, prompt=f"a {colour} fox", negative_prompt=f"{colour} dog", cfg_scale=3.0)
        for stack, colour in zip(stacks, ("red", "blue", "green", "big", "old"), strict=True)
    ]
    bare = [msgspec.structs.replace(job, loras=()) for job in jobs]
    with_adapters, without = first_step(worn.family, jobs), first_step(worn.family, bare)
    for row, job in enumerate(jobs):
        assert torch.equal(with_adapters[row], without[row]) == (not job.loras)


def first_step(family: Family, jobs: Sequence[TextToImage]) -> list[torch.Tensor]:
    begun = [family.begin(job, torch.Generator().manual_seed(job.seed)) for job in jobs]
    samples = [
        Noisy(
            job=job,
            conditioning=conditioning,
            latent=start.latent,
            sigma=float(start.schedule.sigmas[0]),
            timestep=float(start.schedule.timesteps[0]),
        )
        for job, conditioning, start in zip(jobs, family.encode(jobs), begun, strict=True)
    ]
    return [predicted.clean for predicted in family.denoise(samples)]
