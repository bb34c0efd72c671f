"""The peer of bench.serving: the same weights, run one at a time by a diffusers pipeline behind the smallest FastAPI
server.
"""

from __future__ import annotations

import asyncio
import base64
import io
import sys
from importlib.resources import files
from typing import Any

import torch
import uvicorn
from diffusers import FluxPipeline
from fastapi import FastAPI
from PIL import Image


def load_pipeline() -> FluxPipeline:
    weights = str(files("laterna.models") / "sprite" / "weights")
    pipeline = FluxPipeline.from_pretrained(weights, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@torch.inference_mode()
def generate(pipeline: FluxPipeline, bodies: list[dict[str, Any]]) -> list[Image.Image]:
    """One call for requests that differ in nothing but prompt and seed."""
    pictures: list[Image.Image] = pipeline(
        prompt=[body["prompt"] for body in bodies],
        negative_prompt=["" for _ in bodies],
        true_cfg_scale=bodies[0]["guidance_scale"],
        num_inference_steps=bodies[0]["num_inference_steps"],
        height=64,
        width=64,
        max_sequence_length=16,
        generator=[torch.Generator("cpu").manual_seed(body["seed"]) for body in bodies],
    ).images
    return pictures


def encode(picture: Image.Image) -> dict[str, Any]:
    encoded = io.BytesIO()
    picture.save(encoded, "PNG")
    return {"images": [{"url": "data:image/png;base64," + base64.b64encode(encoded.getvalue()).decode()}]}


def build() -> FastAPI:
    app = FastAPI()
    pipeline = load_pipeline()
    turn = asyncio.Lock()  # wakes those who wait in the order in which they came

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/generate")
    async def one(body: dict[str, Any]) -> dict[str, Any]:
        async with turn:
            return encode((await asyncio.to_thread(generate, pipeline, [body]))[0])

    return app


if __name__ == "__main__":
    uvicorn.run(build(), port=int(sys.argv[1]), log_level="error")
