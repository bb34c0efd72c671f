"""Writes the averaged weights as a diffusers `FluxPipeline` folder of half-precision safetensors.

Refuses a folder above `LIMIT`: the weights travel inside the Python package.
"""

from pathlib import Path

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline

from zoo.sprite import autoencoder, checkpoint, networks, train, words

LIMIT = 40_000_000  # bytes of the whole folder
SHIFT = 1.0  # of the sampler's times


def painter(folder: Path, known: list[str]) -> networks.Painter:
    """The averaged transformer and text encoders of `folder`, cooled if they are; fresh ones before training."""
    model = networks.Painter(known)
    state = checkpoint.load(folder / train.COOLED) or checkpoint.load(folder / train.STABLE)
    if state:
        model.load_state_dict(state["average"])
    return model.eval()


def decoder(folder: Path) -> AutoencoderKL:
    """The autoencoder with the averaged weights of `folder`, or a fresh one before training."""
    model = autoencoder.build()
    state = checkpoint.load(folder / "autoencoder.pt")
    if state:
        model.load_state_dict(state["average"])
    return model.eval()


def export(folder: Path, known: list[str], out: Path) -> int:
    """Write the pipeline for the `known` words to `out`; its size in bytes, ValueError above the limit."""
    model = painter(folder, known)
    pipeline = FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=SHIFT, use_dynamic_shifting=False),
        vae=decoder(folder).half(),
        text_encoder=model.caption.half(),
        tokenizer=words.tokenizer(known, clip=True),
        text_encoder_2=model.sentence.half(),
        tokenizer_2=words.tokenizer(known, clip=False),
        transformer=model.transformer.half(),
    )
    pipeline.save_pretrained(out, safe_serialization=True)
    for file in (out / "model_index.json", *out.glob("tokenizer*/tokenizer_config.json")):
        text = file.read_text(encoding="utf-8")  # the name that transformers 4 knows as well
        file.write_text(text.replace("TokenizersBackend", "PreTrainedTokenizerFast"), encoding="utf-8")
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    if size > LIMIT:
        raise ValueError(f"{out}: {size} bytes exceed the limit of {LIMIT}; make a network narrower")
    return size


@torch.no_grad()
def decode(model: AutoencoderKL, codes: torch.Tensor) -> torch.Tensor:
    """Pictures in [0, 1] of latents."""
    pictures: torch.Tensor = model.decode(codes).sample
    return (pictures / 2 + 0.5).clamp(0, 1)
