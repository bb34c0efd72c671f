"""A peer of bench.platform: LitServe, whose worker process does nothing. It keeps nothing."""

import sys
from typing import Any

import litserve

from bench.platform_peer import answer


class Blank(litserve.LitAPI):  # type: ignore[misc]  # litserve carries no types
    def setup(self, device: str) -> None: ...

    def decode_request(self, request: dict[str, Any]) -> dict[str, Any]:
        return request

    def predict(self, body: dict[str, Any]) -> dict[str, Any]:
        return answer(body)

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        return output


if __name__ == "__main__":
    server = litserve.LitServer(Blank(api_path="/generate"), accelerator="cpu", timeout=False)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="error")
