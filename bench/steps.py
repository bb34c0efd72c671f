"""Part of bench.engine: what one denoising step is called with, ours and the same network's as diffusers calls it."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import msgspec
import torch
from diffusers import FluxTransformer2DModel, UNet2DConditionModel
from safetensors.torch import save_file

from laterna.catalog.catalog import Catalog
from laterna.compiler import prepare
from laterna.contracts.generation import Lora, ModelRef, TextToImage
from laterna.families import load_family
from laterna.families.caching import Thresholds
from laterna.families.family import Family, Noisy
from laterna.families.flux.tokens import positions
from laterna.families.guidance import Rows
from laterna.families.stable_diffusion.conditioning import DiffusionConditioning, Embeds
from laterna.families.stable_diffusion.network import Network
from laterna.lora.library import Library
from laterna.lora.shelf import Shelf

RANK = 16  # of the adapters
ADAPTED = re.compile(r"blocks\.\d+\.(attn|ff|ff_context|proj_mlp|proj_out)\b")  # as diffusers' training scripts do
AT = 5  # which step of the schedule is measured
TEXT_TOKENS = 16  # of the sprite's prompts
GUIDANCE = 2.0

Curve = Mapping[int, float]  # seconds of a step by batch size


def load_sprite(shelf: Shelf) -> tuple[ModelRef, Family]:
    """The built-in model, with adapters from the shelf."""
    ref = Catalog.load(None).card("laterna/sprite").ref()
    return ref, load_family(ref, torch.device("cpu"), library=Library(shelf, 2**30))


def load_eager() -> FluxTransformer2DModel:
    """Its network as diffusers loads it."""
    weights = files("laterna.models") / "sprite" / "weights"
    return FluxTransformer2DModel.from_pretrained(str(weights), subfolder="transformer").float().eval()


def sprite_jobs(count: int, steps: int) -> list[TextToImage]:
    """All guided, all with words and seeds of their own."""
    return [
        TextToImage(
            prompt=f"a red fox on a teal background, number {number}",
            width=64,
            height=64,
            steps=steps,
            cfg_scale=GUIDANCE,
            sampler="flow_euler",
            seed=number,
        )
        for number in range(count)
    ]


def adapted(jobs: Sequence[TextToImage], digests: Sequence[str]) -> list[TextToImage]:
    """Each job with one adapter of its own."""
    loras = [(Lora(path=digest, digest=digest, scale=1.0),) for digest in digests]
    return [msgspec.structs.replace(job, loras=own) for job, own in zip(jobs, loras, strict=True)]


def shelve(transformer: FluxTransformer2DModel, shelf: Shelf, count: int) -> list[str]:
    """Digests of so many random adapters."""
    digests = []
    for seed in range(count):
        scratch = shelf.scratch()
        write_adapter(transformer, seed, scratch)
        digests.append(shelf.put(scratch))
    return digests


def write_adapter(transformer: FluxTransformer2DModel, seed: int, path: Path) -> None:
    """A random adapter of RANK, on the attention and feed-forward layers of every block."""
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    for name, layer in transformer.named_modules():
        if isinstance(layer, torch.nn.Linear) and ADAPTED.search(name):
            down = torch.randn(RANK, layer.in_features, generator=generator) / layer.in_features**0.5
            up = 0.01 * torch.randn(layer.out_features, RANK, generator=generator)
            tensors |= {f"transformer.{name}.lora_A.weight": down, f"transformer.{name}.lora_B.weight": up}
    save_file(tensors, path)


@torch.inference_mode()
def noisy(family: Family, jobs: Sequence[TextToImage]) -> list[Noisy]:
    """The jobs as a denoising call finds them."""
    found = []
    for job, conditioning in zip(jobs, family.encode(jobs), strict=True):
        beginning = family.begin(job, torch.Generator().manual_seed(job.seed))
        found.append(
            Noisy(
                job=job,
                conditioning=conditioning,
                latent=beginning.latent,
                sigma=float(beginning.schedule.sigmas[AT]),
                timestep=float(beginning.schedule.timesteps[AT]),
            )
        )
    return found


def eager_sprite(transformer: FluxTransformer2DModel, batch: int) -> Callable[[], object]:
    """The untouched network on as many guided samples."""
    config, rows = transformer.config, 2 * batch
    given = {
        "hidden_states": torch.randn(rows, 16, config.in_channels),
        "timestep": torch.full((rows,), 0.5),
        "pooled_projections": torch.randn(rows, config.pooled_projection_dim),
        "encoder_hidden_states": torch.randn(rows, TEXT_TOKENS, config.joint_attention_dim),
        "txt_ids": torch.zeros(TEXT_TOKENS, 3),
        "img_ids": positions(4, 4, torch.device("cpu")),
    }
    return lambda: transformer(**given, return_dict=False)


def load_sd15() -> tuple[Network, UNet2DConditionModel]:
    """A UNet of SD 1.5's architecture with random weights, ours and untouched: speed transfers, quality does not."""
    untouched = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8, sample_size=64)
    untouched.eval().requires_grad_(False)
    ours = copy.deepcopy(untouched)
    prepare(ours)
    return Network(ours, "epsilon", Thresholds(regular=0.0, high=0.0)), untouched


def step_sd15(network: Network, pixels: int) -> Callable[[], object]:
    """Ours, one guided sample."""
    job = TextToImage(prompt="", width=pixels, height=pixels, steps=20, cfg_scale=7.5, sampler="ddim", seed=0)
    embeds = Embeds(states=torch.randn(77, 768), pooled=None)
    conditioning = DiffusionConditioning(positive=embeds, negative=embeds)
    latent = torch.randn(4, pixels // 8, pixels // 8)
    samples = [Noisy(job=job, conditioning=conditioning, latent=latent, sigma=3.0, timestep=500.0)]
    rows = Rows.of([job], [True])
    return lambda: network(samples, rows)


def eager_sd15(unet: UNet2DConditionModel, pixels: int) -> Callable[[], object]:
    """Theirs, the two rows of a guided sample."""
    latent, states = torch.randn(2, 4, pixels // 8, pixels // 8), torch.randn(2, 77, 768)
    timestep = torch.full((2,), 500.0)
    return lambda: unet(latent, timestep, encoder_hidden_states=states, return_dict=False)
