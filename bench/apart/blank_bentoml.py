"""A peer of bench.platform: BentoML with a model that does nothing; it keeps nothing.

It runs in an environment of its own, without this package: what BentoML needs does not go together with our versions.
"""

from __future__ import annotations

import base64
import io
import os
import sys
from pathlib import Path
from typing import Any

import bentoml
from PIL import Image


@bentoml.service(workers=1, metrics={"enabled": False}, logging={"access": {"enabled": False}})
class Blank:
    @bentoml.api(route="/generate")  # type: ignore[untyped-decorator]
    def generate(self, prompt: str, seed: int, num_inference_steps: int, sync_mode: bool) -> dict[str, Any]:
        encoded = io.BytesIO()
        Image.new("RGB", (64, 64), (seed % 256, 0, 0)).save(encoded, "PNG")
        return {"images": [{"url": "data:image/png;base64," + base64.b64encode(encoded.getvalue()).decode()}]}


if __name__ == "__main__":
    here, program = Path(__file__), Path(sys.executable).with_name("bentoml")
    service = ["serve", f"{here.stem}:Blank", "--working-dir", str(here.parent)]
    os.execv(program, [str(program), *service, "--host", "127.0.0.1", "--port", sys.argv[1]])
