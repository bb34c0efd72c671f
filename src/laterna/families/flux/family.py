"""The flux family: packed tokens through one transformer, whose velocity gives the clean latent."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from diffusers import AutoencoderKL

from laterna.contracts.generation import TextToImage
from laterna.families.checks import begin_schedule, check_job
from laterna.families.components import bytes_of
from laterna.families.family import Beginning, Conditioning, Noisy, Picture, Predicted, Stage, predictions
from laterna.families.flux.conditioning import Encoders
from laterna.families.flux.network import Network
from laterna.families.flux.original import original_names
from laterna.families.flux.tokens import pack, unpack
from laterna.families.pictures import to_pictures
from laterna.lora.adapters import Adapters
from laterna.lora.library import Library
from laterna.samplers.noise import NoiseSchedule


class Flux:
    """One loaded model of the family. Latents are [tokens, 4 * channels] in sigma space of a flow."""

    samplers: tuple[str, ...] = ("flow_euler",)

    def __init__(
        self, network: Network, encoders: Encoders, vae: AutoencoderKL, noise: NoiseSchedule, library: Library | None
    ) -> None:
        self._network = network
        self._encoders = encoders
        self._vae = vae
        self._noise = noise
        self._patch: int = 2 * 2 ** (len(vae.config.block_out_channels) - 1)  # pixels along a token's side
        networks = {"transformer": network.transformer, **encoders.networks()}
        self.adapters = Adapters(library, networks, original_names(network.transformer))
        self.resident_bytes = bytes_of([*networks.values(), vae])

    def grain(self) -> int:
        return self._patch

    def _tokens(self, job: TextToImage) -> int:
        rows, columns = self._grid(job)
        return rows * columns

    def batch_key(self, job: TextToImage, stage: Stage) -> Hashable:
        """Tokens of any number and aspect are denoised together; the autoencoder takes pictures of one shape."""
        return None if stage == "denoise" else self._grid(job)

    @torch.inference_mode()
    def encode(self, jobs: Sequence[TextToImage]) -> list[Conditioning]:
        return self._encoders.encode(jobs, self.adapters)

    def begin(self, job: TextToImage, generator: torch.Generator) -> Beginning:
        check_job(job, samplers=self.samplers, grain=self._patch)
        schedule = begin_schedule(job, self._noise, tokens=self._tokens(job))
        rows, columns = self._grid(job)
        noise = torch.randn((self._vae.config.latent_channels, 2 * rows, 2 * columns), generator=generator)
        return Beginning(latent=pack(noise * schedule.noise_scale).to(self._vae.device), schedule=schedule)

    @torch.inference_mode()
    def denoise(self, samples: Sequence[Noisy]) -> list[Predicted]:
        with self.adapters.denoising([sample.job.loras for sample in samples]):
            velocities, choice = self._network(samples, [self._grid(sample.job) for sample in samples])
        pairs = zip(samples, velocities, strict=True)
        return predictions([s.latent - s.sigma * velocity for s, velocity in pairs], choice, self._network.blocks.share)

    @torch.inference_mode()
    def decode(self, x: torch.Tensor, jobs: Sequence[TextToImage]) -> list[Picture]:
        config = self._vae.config
        latents = unpack(x, *self._grid(jobs[0])) / config.scaling_factor + (config.shift_factor or 0.0)
        return to_pictures(self._vae.decode(latents.to(self._vae.dtype), return_dict=False)[0])

    def _grid(self, job: TextToImage) -> tuple[int, int]:
        """Rows and columns of tokens."""
        return job.height // self._patch, job.width // self._patch
