"""The stable_diffusion family: convolutional latents through one UNet."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from diffusers import AutoencoderKL

from laterna.contracts.generation import TextToImage
from laterna.families.checks import begin_schedule, check_job
from laterna.families.components import bytes_of
from laterna.families.family import Beginning, Conditioning, Noisy, Picture, Predicted, Stage, predictions
from laterna.families.guidance import Rows, is_guided
from laterna.families.stable_diffusion.conditioning import Encoders, encode
from laterna.families.stable_diffusion.decode import decode
from laterna.families.stable_diffusion.names import original_names
from laterna.families.stable_diffusion.network import Network
from laterna.lora.adapters import Adapters
from laterna.lora.library import Library
from laterna.samplers.noise import NoiseSchedule

SAMPLERS = ("ddim", "dpmpp_2m", "dpmpp_2m_karras", "euler", "euler_ancestral", "lcm", "unipc")


class StableDiffusion:
    """One loaded model of the family. Latents are [channels, height / 8, width / 8] in sigma space."""

    samplers: tuple[str, ...] = SAMPLERS

    def __init__(
        self, network: Network, encoders: Encoders, vae: AutoencoderKL, noise: NoiseSchedule, library: Library | None
    ) -> None:
        self._network = network
        self._encoders = encoders
        self._vae = vae
        self._noise = noise
        self._grain: int = 2 ** (len(vae.config.block_out_channels) - 1)  # pixels along a latent position's side
        networks = {"unet": network.unet, **encoders.networks()}
        self.adapters = Adapters(library, networks, original_names(network.unet))
        self.resident_bytes = bytes_of([*networks.values(), vae])

    def grain(self) -> int:
        return self._grain

    def batch_key(self, job: TextToImage, stage: Stage) -> Hashable:
        return self._grid(job)

    @torch.inference_mode()
    def encode(self, jobs: Sequence[TextToImage]) -> list[Conditioning]:
        return encode(self._encoders, jobs, [self._is_guided(job) for job in jobs], self.adapters)

    def begin(self, job: TextToImage, generator: torch.Generator) -> Beginning:
        check_job(job, samplers=self.samplers, grain=self._grain)
        schedule = begin_schedule(job, self._noise)
        noise = torch.randn((self._vae.config.latent_channels, *self._grid(job)), generator=generator)
        return Beginning(latent=(noise * schedule.noise_scale).to(self._vae.device), schedule=schedule)

    @torch.inference_mode()
    def denoise(self, samples: Sequence[Noisy]) -> list[Predicted]:
        rows = Rows.of([sample.job for sample in samples], [self._is_guided(sample.job) for sample in samples])
        with self.adapters.denoising([sample.job.loras for sample in samples]):
            clean, choice = self._network(samples, rows)
        return predictions(list(clean), choice, self._network.split.share)

    @torch.inference_mode()
    def decode(self, x: torch.Tensor, jobs: Sequence[TextToImage]) -> list[Picture]:
        return decode(self._vae, x)

    def _is_guided(self, job: TextToImage) -> bool:
        return is_guided(job) and not self._network.embeds_guidance

    def _grid(self, job: TextToImage) -> tuple[int, int]:
        """Rows and columns of the latent."""
        return job.height // self._grain, job.width // self._grain
