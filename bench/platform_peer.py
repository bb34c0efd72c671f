"""The peer of bench.platform: a FastAPI server that answers with a flat picture, and keeps nothing."""

from __future__ import annotations

import base64
import io
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from PIL import Image

app = FastAPI()


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/generate")
def answer(body: dict[str, Any]) -> dict[str, Any]:
    encoded = io.BytesIO()
    Image.new("RGB", (64, 64), (body["seed"] % 256, 0, 0)).save(encoded, "PNG")
    return {"images": [{"url": "data:image/png;base64," + base64.b64encode(encoded.getvalue()).decode()}]}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="error")
