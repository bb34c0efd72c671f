"""The official Replicate Python client, unmodified, under `laterna exec`: environment variables alone point it here."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Server, laterna


def execute(server: Server, script: str, tmp_path: Path) -> Any:
    """Run a script of a user's under `laterna exec`; it prints JSON last."""
    path = tmp_path / "app.py"
    path.write_text("import json, replicate\n" + textwrap.dedent(script))
    done = laterna(server.data, "exec", "--", sys.executable, str(path), REPLICATE_POLL_INTERVAL="0.05")
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_run_by_model_and_by_version(server: Server, tmp_path: Path) -> None:
    script = """
        made = replicate.run("test/blank", input={"prompt": "a", "num_images": 2, "output_format": "webp"})
        version = replicate.models.get("test/blank").latest_version
        more = replicate.run(f"test/blank:{version.id}", input={"prompt": "a"})
        polled = replicate.run("test/slow", input={"prompt": "a", "num_inference_steps": 5}, wait=False)
        print(json.dumps([[type(file).__name__, file.url, file.read().hex()] for file in made + more + polled]))
    """
    files = execute(server, script, tmp_path)
    assert [kind for kind, _, _ in files] == ["FileOutput"] * 4
    assert all(url.startswith("https://localhost:") for _, url, _ in files)
    assert [bytes.fromhex(data)[:4] for _, _, data in files] == [b"RIFF", b"RIFF", b"\x89PNG", b"\x89PNG"]


def test_create_follow_reload_and_list(server: Server, tmp_path: Path) -> None:
    script = """
        made = replicate.predictions.create(model="test/slow", input={"prompt": "a", "num_inference_steps": 10})
        seen = [made.status]
        progress = []
        while made.status not in ("succeeded", "failed", "canceled"):
            made.reload()
            seen.append(made.status)
            progress.append(made.progress and made.progress.total)
        page = replicate.predictions.list()
        print(json.dumps([seen, progress, made.metrics["predict_time"], made.id in [one.id for one in page]]))
    """
    seen, progress, seconds, listed = execute(server, script, tmp_path)
    assert (seen[0], seen[-1]) == ("starting", "succeeded")
    assert "processing" in seen
    assert 10 in progress
    assert seconds > 0.9
    assert listed


def test_cancel(server: Server, tmp_path: Path) -> None:
    script = """
        made = replicate.predictions.create(model="test/slow", input={"prompt": "a", "num_inference_steps": 50})
        while made.status != "processing": made.reload()
        made.cancel()
        print(json.dumps([made.status, replicate.predictions.get(made.id).status]))
    """
    assert execute(server, script, tmp_path) == ["canceled", "canceled"]


def test_stream(server: Server, tmp_path: Path) -> None:
    script = """
        found = list(replicate.stream("test/slow", input={"prompt": "a", "num_inference_steps": 5}))
        files = [event.data for event in found if event.event.value == "output"]
        print(json.dumps([[event.event.value for event in found], files[0].read().hex()]))
    """
    names, data = execute(server, script, tmp_path)
    assert names[-2:] == ["output", "done"]
    assert bytes.fromhex(data).startswith(b"\x89PNG")


def test_errors_are_the_clients_own(server: Server, tmp_path: Path) -> None:
    script = """
        def said(work):
            try:
                work()
            except replicate.exceptions.ReplicateError as error:
                return [error.status, error.type, error.detail]
        create = replicate.predictions.create
        print(json.dumps([
            said(lambda: replicate.run("test/blank", input={"prompt": "a", "num_images": 1000})),
            said(lambda: replicate.run("test/nothing", input={"prompt": "a"})),
            said(lambda: create(version="0" * 64, input={"prompt": "a"})),
            said(lambda: replicate.Client(api_token="wrong").run("test/blank", input={"prompt": "a"})),
            said(lambda: replicate.deployments.get("a/b")),
        ]))
    """
    found = execute(server, script, tmp_path)
    assert [status for status, _, _ in found] == [422, 404, 404, 401, 404]
    assert "input.num_images" in found[0][2]
    assert "is not served" in found[4][2]


def test_files_models_and_the_rest(server: Server, tmp_path: Path) -> None:
    script = """
        import io
        kept = replicate.files.create(io.BytesIO(b"hello"), filename="a.txt")
        again = replicate.files.get(kept.id)
        listed = [file.id for file in replicate.files.list()]
        gone = replicate.files.delete(kept.id)
        print(json.dumps([
            kept.name, again.size, kept.id in listed, gone,
            [model.name for model in replicate.models.search("slowly asked")],
            replicate.models.get("laterna/sprite").latest_version.openapi_schema["components"]["schemas"]["Output"]["type"],
            len(replicate.models.list().results) > 2,
            [version.cog_version for version in replicate.models.get("test/blank").versions.list()],
            replicate.Client().accounts.current().username,
            [hardware.sku for hardware in replicate.Client().hardware.list()],
        ]))
    """
    found = execute(server, script, tmp_path)
    assert found == ["a.txt", 5, True, True, ["blank", "slow"], "array", True, ["0.16.12"], "default", ["laterna"]]


def test_the_asynchronous_client(server: Server, tmp_path: Path) -> None:
    script = """
        import asyncio
        async def main():
            inputs = [{"prompt": "a", "num_inference_steps": steps} for steps in (3, 4, 5)]
            made = await asyncio.gather(*(replicate.async_run("test/slow", input=one) for one in inputs))
            return [(await files[0].aread())[:4].hex() for files in made]
        print(json.dumps(asyncio.run(main())))
    """
    assert execute(server, script, tmp_path) == ["89504e47"] * 3
