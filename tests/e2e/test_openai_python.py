"""The official OpenAI Python client, unmodified, under `laterna exec`: environment variables alone point it here."""

from __future__ import annotations

import base64
import io
import json
import sys
import textwrap
from pathlib import Path
from typing import Any

from PIL import Image

from tests.e2e.conftest import Server, laterna


def execute(server: Server, script: str, tmp_path: Path) -> Any:
    """Run a script of a user's under `laterna exec`; it prints JSON last."""
    path = tmp_path / "app.py"
    path.write_text("import json, openai\nclient = openai.OpenAI()\n" + textwrap.dedent(script))
    done = laterna(server.data, "exec", "--", sys.executable, str(path))
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_generate_as_base64(server: Server, tmp_path: Path) -> None:
    script = """
        made = client.images.generate(model="test/blank", prompt="a", n=2, size="64x64", output_format="webp",
                                      quality="hd", user="me", extra_body={"seed": 7, "num_inference_steps": 3})
        print(json.dumps([made.to_dict(), made._request_id]))
    """
    made, request = execute(server, script, tmp_path)
    pictures = [Image.open(io.BytesIO(base64.b64decode(item["b64_json"]))) for item in made["data"]]
    assert [(picture.format, picture.size) for picture in pictures] == [("WEBP", (64, 64))] * 2
    assert (made["seed"], made["output_format"], made["size"]) == (7, "webp", "64x64")
    assert server.result(request, "test/blank").json()["seed"] == 7


def test_generate_as_url_from_the_asynchronous_client(server: Server, tmp_path: Path) -> None:
    script = """
        import asyncio
        async def main():
            async with openai.AsyncOpenAI() as client:
                made = await asyncio.gather(*(client.images.generate(model="test/blank", prompt="a",
                                                                     response_format="url") for _ in range(3)))
                return [one.data[0].url for one in made]
        print(json.dumps(asyncio.run(main())))
    """
    urls = execute(server, script, tmp_path)
    with server.http() as http:
        files = [http.get(url) for url in urls]
    assert len(set(urls)) == 3
    assert [Image.open(io.BytesIO(file.content)).format for file in files] == ["PNG"] * 3


def test_stream(server: Server, tmp_path: Path) -> None:
    script = """
        events = list(client.images.generate(model="test/slow", prompt="a", stream=True, partial_images=2,
                                             extra_body={"num_inference_steps": 20}))
        print(json.dumps([[event.type, event.b64_json] for event in events]))
    """
    *partials, (last, data) = execute(server, script, tmp_path)
    assert 1 <= len(partials) <= 2
    assert {kind for kind, _ in partials} == {"image_generation.partial_image"}
    assert last == "image_generation.completed"
    pictures = [Image.open(io.BytesIO(base64.b64decode(text))) for text in (*(text for _, text in partials), data)]
    assert pictures[-1].size == (64, 64)


def test_errors_are_the_clients_own(server: Server, tmp_path: Path) -> None:
    script = """
        def said(work):
            try:
                work()
            except openai.APIStatusError as error:
                return [type(error).__name__, error.param, error.code, bool(error.request_id)]
        image = client.images.generate
        print(json.dumps([
            said(lambda: image(model="test/blank", prompt="a", n=1000)),
            said(lambda: image(model="test/blank", prompt="a", stream=True, response_format="url")),
            said(lambda: client.images.edit(model="test/blank", prompt="a", image=b"x")),
            said(lambda: client.audio.speech.create(model="test/blank", voice="alloy", input="a")),
            said(lambda: image(model="test/nothing", prompt="a")),
            said(lambda: openai.OpenAI(api_key="wrong").images.generate(model="test/blank", prompt="a")),
            said(lambda: client.chat.completions.create(model="test/blank", messages=[])),
        ]))
    """
    assert execute(server, script, tmp_path) == [
        ["BadRequestError", "n", "less_than_equal", True],
        ["BadRequestError", "response_format", "value_error", True],
        ["NotFoundError", None, "not_found", True],
        ["NotFoundError", None, "not_found", True],
        ["NotFoundError", "model", "model_not_found", True],
        ["AuthenticationError", None, "invalid_api_key", True],
        ["NotFoundError", None, "not_found", True],
    ]


def test_models(server: Server, tmp_path: Path) -> None:
    script = """
        listed = [model.id for model in client.models.list()]
        print(json.dumps([listed, client.models.retrieve("laterna/sprite").owned_by]))
    """
    listed, owner = execute(server, script, tmp_path)
    assert {"laterna/sprite", "test/blank", "test/slow"} <= set(listed)
    assert owner == "laterna"
