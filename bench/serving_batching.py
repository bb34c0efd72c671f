"""A peer of bench.serving: request-level dynamic batching of the same pipeline by LitServe.

What has gathered is run together, whole requests at a time. A diffusers pipeline takes one number of steps a call, so
that a gathered batch is run as one call for each number of steps in it, in the order of arrival.
"""

import sys
from typing import Any

import litserve

from bench.serving_peer import encode, generate, load_pipeline

LARGEST_BATCH = 16
GATHER_SECONDS = 0.02


class Batching(litserve.LitAPI):  # type: ignore[misc]  # litserve carries no types
    def setup(self, device: str) -> None:
        self.pipeline = load_pipeline()

    def decode_request(self, request: dict[str, Any]) -> dict[str, Any]:
        return request

    def batch(self, inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return inputs

    def predict(self, bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
        pictures: dict[int, dict[str, Any]] = {}
        for steps in dict.fromkeys(body["num_inference_steps"] for body in bodies):
            rows = [row for row, body in enumerate(bodies) if body["num_inference_steps"] == steps]
            for row, picture in zip(rows, generate(self.pipeline, [bodies[row] for row in rows]), strict=True):
                pictures[row] = encode(picture)
        return [pictures[row] for row in range(len(bodies))]

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return output

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        return output


if __name__ == "__main__":
    api = Batching(max_batch_size=LARGEST_BATCH, batch_timeout=GATHER_SECONDS, api_path="/generate")
    server = litserve.LitServer(api, accelerator="cpu", timeout=False)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="error")
