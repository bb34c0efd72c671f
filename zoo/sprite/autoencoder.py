"""The autoencoder: an encoder that reproduces the fixed latents and a decoder that paints them without block edges.

Both halves learn separately, because `latents` fixes what lies between them. The decoder also sees noisy latents, as a
sampler's are never exact. Saves every few minutes and resumes; `sheet` draws its reconstructions.
"""

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch.nn import functional

from zoo.sprite import checkpoint, latents, scenes, views

STEPS = 3000
RATE = 2e-3
BATCH = 16  # whole pictures a step; crops come twice as many
WIDTHS = (16, 32, 64, 96, 112)  # channels at 128, 64, 32, 16 and 8 px
QUIET = -12.0  # log variance that the encoder reports: its latents are exact


def build() -> AutoencoderKL:
    """A fresh network: 128 px to 8x8x40 and back."""
    model = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * len(WIDTHS),
        up_block_types=("UpDecoderBlock2D",) * len(WIDTHS),
        block_out_channels=WIDTHS,
        layers_per_block=1,
        latent_channels=latents.CHANNELS,
        norm_num_groups=8,
        sample_size=views.SIDE,
        scaling_factor=1.0,
        shift_factor=0.0,
        force_upcast=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
        mid_block_add_attention=False,
    )
    with torch.no_grad():
        model.encoder.conv_out.weight[latents.CHANNELS :] = 0
        model.encoder.conv_out.bias[latents.CHANNELS :] = QUIET
    return model


def _crops(pictures: torch.Tensor, codes: torch.Tensor, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Half-side crops of pictures and their latents, aligned to the latent grid."""
    half = codes.shape[-1] // 2
    row, column = rng.integers(half + 1, size=2)
    codes = codes[:, :, row : row + half, column : column + half]
    top, left, side = row * latents.PATCH, column * latents.PATCH, half * latents.PATCH
    return pictures[:, :, top : top + side, left : left + side], codes


def _picture_loss(painted: torch.Tensor, pictures: torch.Tensor) -> torch.Tensor:
    """Absolute error of values and of both first differences."""
    error = painted - pictures
    edges = (error[:, :, 1:] - error[:, :, :-1]).abs().mean() + (error[..., 1:] - error[..., :-1]).abs().mean()
    return error.abs().mean() + 0.5 * edges + error.square().mean()


def train(folder: Path, draw: scenes.Draw, basis: latents.Basis, steps: int, minutes: float) -> None:
    """Train to `steps` steps in all, or for `minutes`, from the last save in `folder`."""
    torch.manual_seed(2)
    model = build()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=0.0)
    course = checkpoint.Course(
        network=model, optimizer=optimizer, path=folder / "autoencoder.pt", decay=0.998, minutes=minutes
    )
    while course.step < steps and not course.over():
        picture, code = _losses(
            model, draw, basis, course.step, whole=course.step % 4 == 0 or course.step > 0.7 * steps
        )
        course.advance(picture + code, RATE * checkpoint.falling(course.step, steps, 200))
        if course.step % 50 == 0:
            course.note(f"{picture.item():.4f} {code.item():.4f}")
        if course.save(now=course.step == steps or course.over()):
            course.note(
                "# dB decoder {:.2f} noisy {:.2f} round trip {:.2f}".format(*measure(course.average, draw, basis))
            )


def _losses(
    model: AutoencoderKL, draw: scenes.Draw, basis: latents.Basis, step: int, *, whole: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """The decoder's and the encoder's loss on one batch, of whole pictures or of crops."""
    rng = np.random.default_rng([2, step])
    generator = torch.Generator().manual_seed(step)
    pictures, _ = draw.batch(BATCH if whole else 2 * BATCH, rng)
    codes = basis.project(pictures)
    if not whole:
        pictures, codes = _crops(pictures, codes, rng)
    noise = torch.rand(len(codes), 1, 1, 1, generator=generator).mul(0.5).sub(0.2).clamp(min=0)  # none for two in five
    painted = model.decode(codes + noise * torch.randn(codes.shape, generator=generator)).sample
    guess = model.encode(pictures).latent_dist.mode()
    return _picture_loss(painted, pictures), functional.mse_loss(guess, codes)


@torch.no_grad()
def measure(weights: dict[str, torch.Tensor], draw: scenes.Draw, basis: latents.Basis) -> tuple[float, float, float]:
    """Signal-to-noise in dB over 64 pictures: decoded exact latents, latents with noise 0.2, encoded and decoded."""
    model = build()
    model.load_state_dict(weights)
    pictures, _ = draw.batch(64, np.random.default_rng(99))
    codes = basis.project(pictures)
    noisy = codes + 0.2 * torch.randn(codes.shape, generator=torch.Generator().manual_seed(0))
    trip = model.encode(pictures).latent_dist.mode()
    ratios = []
    for code in (codes, noisy, trip):
        error = (model.decode(code).sample.clamp(-1, 1) - pictures).square().mean().item() / 4
        ratios.append(-10 * float(np.log10(error)))
    return ratios[0], ratios[1], ratios[2]
