"""The official OpenAI JavaScript client, unmodified, under node and `laterna exec`."""

from __future__ import annotations

import json

from tests.e2e.conftest import Server, laterna
from tests.tools import node_folder, tool


def test_images_streams_models_and_errors(server: Server) -> None:
    done = laterna(server.data, "exec", "--no-intercept", "--", tool("node"), str(node_folder() / "openai.mjs"))
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["images"] == [[137, 80, 78, 71]] * 2
    assert said["seed"] == 7
    assert said["events"][0] == "image_generation.partial_image"
    assert said["events"][-1] == "image_generation.completed"
    assert {"test/blank", "laterna/sprite"} <= set(said["models"])
    assert said["errors"] == [
        ["BadRequestError", "n", "less_than_equal", True],
        ["AuthenticationError", None, "invalid_api_key", True],
    ]
