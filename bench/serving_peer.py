"""The peer of bench.serving: the same weights, run one at a time by a diffusers pipeline behind the smallest FastAPI
server.
"""

from __future__ import annotations

import base64
import io
import threading
from importlib.resources import files
from typing import Any

import torch
from diffusers import FluxPipeline
from fastapi import FastAPI

app = FastAPI()
turn = threading.Lock()
pipeline = FluxPipeline.from_pretrained(str(files("laterna.models") / "sprite" / "weights"), torch_dtype=torch.float32)
pipeline.set_progress_bar_config(disable=True)


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/generate")
def generate(body: dict[str, Any]) -> dict[str, Any]:
    with turn, torch.inference_mode():
        picture = pipeline(
            prompt=body["prompt"],
            negative_prompt="",
            true_cfg_scale=body["guidance_scale"],
            num_inference_steps=body["num_inference_steps"],
            height=64,
            width=64,
            max_sequence_length=16,
            generator=torch.Generator("cpu").manual_seed(body["seed"]),
        ).images[0]
    encoded = io.BytesIO()
    picture.save(encoded, "PNG")
    return {"images": [{"url": "data:image/png;base64," + base64.b64encode(encoded.getvalue()).decode()}]}
