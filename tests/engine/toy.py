"""A two-layer model that drives the real engine in milliseconds."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from laterna.clock import Clock, SystemClock
from laterna.contracts.generation import ModelRef, TextToImage
from laterna.contracts.messages import Assign, Failed, Lease, Observation, Progress, Spent
from laterna.engine.checkpoints import Checkpoints
from laterna.engine.engine import Engine, Said
from laterna.engine.residency import Residency
from laterna.engine.run import Run
from laterna.families.family import Beginning, Conditioning, Family, Noisy, Picture, Predicted, Stage
from laterna.lora.adapters import Adapters
from laterna.samplers import get_sampler
from laterna.samplers.noise import NoiseSchedule
from laterna.scheduler.cost import RECENT, CostModel
from laterna.scheduler.policy import LARGEST_BATCH, Policy, Shares

NOISE = NoiseSchedule.from_config({"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012})
CHANNELS = 4


@dataclass(frozen=True, kw_only=True)
class Words(Conditioning):
    embedding: torch.Tensor  # [CHANNELS]


class Toy:
    """Predicts x0 by two small layers from the latent and the prompt. Prompts that start with 'bad' break it."""

    samplers: tuple[str, ...] = ("ddim", "euler", "euler_ancestral", "dpmpp_2m", "unipc", "lcm")
    resident_bytes: int = 1000
    adapters: Adapters | None = None

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self._first = torch.randn(CHANNELS, CHANNELS, generator=generator)
        self._second = torch.randn(CHANNELS, CHANNELS, generator=generator)
        self.batches: list[int] = []

    def grain(self) -> int:
        return 8

    def encode(self, jobs: Sequence[TextToImage]) -> list[Conditioning]:
        return [Words(embedding=_embed(job.prompt)) for job in jobs]

    def begin(self, job: TextToImage, generator: torch.Generator) -> Beginning:
        schedule = get_sampler(job.sampler).schedule(job.steps, NOISE)
        noise = torch.randn(CHANNELS, job.height // 8, job.width // 8, generator=generator)
        return Beginning(latent=noise * schedule.noise_scale, schedule=schedule)

    def denoise(self, samples: Sequence[Noisy]) -> list[Predicted]:
        """Latents of any shapes in one call; the first layer sees all their positions packed."""
        if any(sample.job.prompt.startswith("bad") for sample in samples):
            raise RuntimeError("the network broke")
        self.batches.append(len(samples))
        scaled = [(s.latent / (s.sigma**2 + 1) ** 0.5).flatten(1).T for s in samples]
        sizes = [len(positions) for positions in scaled]
        words = torch.stack([s.conditioning.embedding for s in samples if isinstance(s.conditioning, Words)])
        hidden = torch.tanh(torch.cat(scaled) @ self._first + words.repeat_interleave(torch.tensor(sizes), 0))
        packed = torch.split(torch.tanh(hidden @ self._second), sizes)
        nan = [float("nan") if s.job.prompt.startswith("nan") else 0.0 for s in samples]
        found = zip(samples, packed, nan, strict=True)
        return [Predicted(clean=clean.T.reshape(s.latent.shape) + n) for s, clean, n in found]

    def decode(self, x: torch.Tensor, jobs: Sequence[TextToImage]) -> list[Picture]:
        return [np.asarray(((p[:3] + 1) * 127.5).clamp(0, 255).byte().permute(1, 2, 0)) for p in x]

    def batch_key(self, job: TextToImage, stage: Stage) -> Hashable:
        return None if stage == "denoise" else (job.width, job.height)


def _embed(prompt: str) -> torch.Tensor:
    digest = hashlib.sha256(prompt.encode()).digest()
    return torch.tensor([byte / 128 - 1 for byte in digest[:CHANNELS]])


class Heard:
    """An audience that remembers."""

    def __init__(self) -> None:
        self.said: list[Said] = []
        self.observed: list[Observation] = []
        self.pictures: dict[str, dict[int, Picture]] = {}
        self.completed: dict[str, list[Spent]] = {}
        self.previews: list[Progress] = []

    def say(self, message: Said) -> None:
        self.said.append(message)

    def observe(self, seen: Observation) -> None:
        self.observed.append(seen)

    def preview(self, run: Run, progress: Progress, index: int, picture: Picture) -> None:
        self.previews.append(progress)

    def picture(self, run: Run, index: int, picture: Picture) -> None:
        self.pictures.setdefault(run.order.lease.request_id, {})[index] = picture

    def complete(self, run: Run) -> None:
        self.completed[run.order.lease.request_id] = run.bill()

    def failures(self) -> dict[str, Failed]:
        return {m.lease.request_id: m for m in self.said if isinstance(m, Failed)}


MODEL = ModelRef(id="toy", revision="1", family="toy", weights="builtin:none", resident_bytes=1000)


def job(prompt: str = "x", **changes: Any) -> TextToImage:
    given: dict[str, Any] = {"width": 32, "height": 32, "steps": 6, "sampler": "euler", "seed": 0}
    return TextToImage(prompt=prompt, **{**given, **changes})


def order(name: str, generation: TextToImage, **changes: Any) -> Assign:
    given: dict[str, Any] = {"model": MODEL, "tenant": "t", "priority": 1, "created_us": 0}
    return Assign(lease=Lease(request_id=name, token=name), generation=generation, **{**given, **changes})


def told() -> CostModel:
    """Costs of a device on which company is nearly free: what the toy's calls cost in truth is noise."""
    costs = CostModel()
    for stage in ("encode", "denoise", "decode"):
        for batch in range(1, LARGEST_BATCH + 1):
            ns = 1_000_000 + 10_000 * batch
            for _ in range(RECENT):
                costs.learn(Observation(model=MODEL.name, stage=stage, tokens=4, batch=batch, device_ns=ns))
    return costs


def engine(
    family: Family,
    heard: Heard,
    clock: Clock | None = None,
    budget: int = 10_000,
    checkpoints: Checkpoints | None = None,
    plan: str = "plan",
) -> Engine:
    clock = clock or SystemClock()
    residency = Residency(lambda ref: family, budget, clock)
    return Engine(residency, Policy(clock, told(), Shares()), clock, heard, checkpoints, lambda ref: plan)


def drain(running: Engine, turns: int = 2000) -> None:
    for _ in range(turns):
        if not running.turn():
            return
    raise AssertionError("the engine did not come to an end")


def alone(generation: TextToImage) -> dict[int, Picture]:
    """The pictures of a request that has the engine to itself."""
    heard = Heard()
    running = engine(Toy(), heard)
    running.submit(order("alone", generation))
    drain(running)
    return heard.pictures["alone"]
