"""The official Python client, unmodified, started by `laterna exec`: only environment variables point it here."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2

from tests.e2e.conftest import Server, laterna


def execute(server: Server, script: str, tmp_path: Path, *flags: str) -> Any:
    """Run a script of a user's under `laterna exec`; it prints JSON last."""
    path = tmp_path / "app.py"
    path.write_text("import fal_client, json\n" + textwrap.dedent(script))
    done = laterna(server.data, "exec", *flags, "--", sys.executable, str(path))
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_run(server: Server, tmp_path: Path) -> None:
    result = execute(
        server, """print(json.dumps(fal_client.run("test/blank", {"prompt": "a", "seed": 7})))""", tmp_path
    )
    assert result["seed"] == 7
    assert result["images"][0]["content_type"] == "image/png"


def test_submit_status_result(server: Server, tmp_path: Path) -> None:
    script = """
        handle = fal_client.submit("test/slow", {"prompt": "a", "num_inference_steps": 5})
        first = handle.status()
        result = handle.get()
        last = fal_client.status("test/slow", handle.request_id, with_logs=True)
        again = fal_client.result("test/slow", handle.request_id)
        print(json.dumps([type(first).__name__, type(last).__name__, last.metrics, result == again]))
    """
    first, last, metrics, same = execute(server, script, tmp_path)
    assert first in ("Queued", "InProgress")
    assert last == "Completed"
    assert metrics["inference_time"] > 0.4
    assert same


def test_subscribe_hears_updates_and_logs(server: Server, tmp_path: Path) -> None:
    script = """
        seen = []
        result = fal_client.subscribe("test/slow", {"prompt": "a", "num_inference_steps": 8}, with_logs=True,
                                      on_queue_update=lambda update: seen.append(type(update).__name__))
        print(json.dumps([seen, list(result)]))
    """
    seen, keys = execute(server, script, tmp_path)
    assert "InProgress" in seen
    assert "images" in keys


def test_cancel(server: Server, tmp_path: Path) -> None:
    script = """
        import time
        handle = fal_client.submit("test/slow", {"prompt": "a", "num_inference_steps": 50})
        while not isinstance(handle.status(), fal_client.InProgress): time.sleep(0.05)
        handle.cancel()
        begun = time.monotonic()
        while not isinstance(handle.status(), fal_client.Completed): time.sleep(0.05)
        try:
            handle.get()
        except fal_client.FalClientHTTPError as error:
            print(json.dumps([error.status_code, error.error_type, time.monotonic() - begun]))
    """
    status, kind, seconds = execute(server, script, tmp_path)
    assert (status, kind) == (499, "client_cancelled")
    assert seconds < 3


def test_stream_shows_previews_and_ends_with_the_result(server: Server, tmp_path: Path) -> None:
    script = """
        events = list(fal_client.stream("test/slow", {"prompt": "a", "num_inference_steps": 12}))
        print(json.dumps([len(events), sorted(events[0]), sorted(events[-1])]))
    """
    count, _first, last = execute(server, script, tmp_path)
    assert count > 1
    assert {"images", "seed", "prompt"} <= set(last)


def test_async_client(server: Server, tmp_path: Path) -> None:
    script = """
        import asyncio
        async def main():
            handles = [await fal_client.submit_async("test/slow", {"prompt": "a", "seed": n}) for n in range(4)]
            results = await asyncio.gather(*(handle.get() for handle in handles))
            one = await fal_client.subscribe_async("test/blank", {"prompt": "b", "seed": 9})
            return [r["seed"] for r in results] + [one["seed"]]
        print(json.dumps(asyncio.run(main())))
    """
    assert execute(server, script, tmp_path) == [0, 1, 2, 3, 9]


def test_upload_through_the_intercepting_proxy(server: Server, tmp_path: Path) -> None:
    picture = tmp_path / "in.png"
    from PIL import Image

    Image.new("RGB", (8, 8), (10, 200, 30)).save(picture)
    script = f"""
        import httpx
        url = fal_client.upload_file({str(picture)!r})
        answer = httpx.get(url)
        print(json.dumps([url, answer.status_code, answer.headers["content-type"], answer.content.hex()]))
    """
    url, status, content_type, data = execute(server, script, tmp_path)
    assert (status, content_type) == (200, "image/png")
    assert bytes.fromhex(data) == picture.read_bytes()
    assert "v3.fal.media" in url or "localhost" in url


def test_a_wrong_field_raises_with_its_name(server: Server, tmp_path: Path) -> None:
    script = """
        try:
            fal_client.run("test/blank", {"prompt": "a", "num_inference_steps": 100000})
        except fal_client.FalClientHTTPError as error:
            print(json.dumps([error.status_code, error.response.json()["detail"]]))
    """
    status, detail = execute(server, script, tmp_path)
    assert status == 422
    assert detail[0]["loc"] == ["body", "num_inference_steps"]


def test_realtime_with_a_token_and_with_the_key(server: Server, tmp_path: Path) -> None:
    script = """
        import asyncio
        said = []
        for use_jwt in (True, False):
            with fal_client.realtime("test/slow", use_jwt=use_jwt, max_buffering=4) as connection:
                for seed in (1, 2):
                    connection.send({"prompt": "a", "seed": seed, "num_inference_steps": 2})
                    result = connection.recv()
                    said.append([result["seed"], result["images"][0]["content"][:4].hex()])
                connection.send({"prompt": 7})
                try:
                    connection.recv()
                except fal_client.client.RealtimeError as error:
                    said.append([error.error, "prompt" in error.reason])
        async def main():
            async with fal_client.realtime_async("test/blank") as connection:
                await connection.send({"prompt": "a", "seed": 3})
                return (await connection.recv())["seed"]
        said.append(asyncio.run(main()))
        print(json.dumps(said))
    """
    once = [[1, "89504e47"], [2, "89504e47"], ["invalid_input", True]]
    assert execute(server, script, tmp_path) == [*once, *once, 3]


def test_what_does_not_start_in_time_is_a_504_of_the_users(servers: Callable[..., Server], tmp_path: Path) -> None:
    server = servers()
    script = """
        try:
            fal_client.subscribe("test/slow", {"prompt": "a"}, start_timeout=2)
        except fal_client.FalClientHTTPError as error:
            kind = error.response.headers["x-fal-request-timeout-type"]
            print(json.dumps([error.status_code, error.error_type, kind]))
    """
    server.worker().suspend()
    try:
        assert execute(server, script, tmp_path) == [504, "request_timeout", "user"]
    finally:
        server.worker().resume()


def test_a_submit_says_how_it_is_to_be_treated(server: Server, tmp_path: Path) -> None:
    script = """
        headers = {
            "X-Fal-Tags": "team=art", "X-Fal-Store-IO": "0", "X-Fal-No-Retry": "1",
            "X-Fal-Retry-Config": json.dumps({"timeout": {"retries": 0}}),
            "X-Fal-Object-Lifecycle-Preference": json.dumps({"expiration_duration_seconds": 60,
                                                             "initial_acl": {"default": "hide"}}),
            "Idempotency-Key": "once",
        }
        handles = [fal_client.submit("test/blank", {"prompt": "a"}, hint="session-1", priority="low", headers=headers)
                   for _ in range(2)]
        print(json.dumps([[handle.request_id for handle in handles], handles[0].get()]))
    """
    (first, second), result = execute(server, script, tmp_path)
    assert first == second
    url = result["images"][0]["url"].replace(f"https://{server.address.tls}", server.address.http)
    with server.http() as http:
        assert http.get(url).status_code == 200, "its owner may read it"
        told = http.get(f"/queue/test/blank/requests/{first}")
        assert told.headers["x-fal-runner-hints"] == told.headers["x-fal-served-from"] == "cpu"
        shown = http.get(f"/platform/v1/models/requests/{first}").json()
        past = http.get(f"/platform/v1/models/requests/by-endpoint?request_id={first}&expand=payloads").json()
    assert httpx2.get(url, trust_env=False).status_code == 404
    assert shown["tags"] == {"team": "art"}
    assert (past["items"][0]["json_input"], past["items"][0]["json_output"]) == (None, None)
    listed = laterna(server.data, "requests", "list", "--tag", "team=art", "--outcome", "ok", "--json")
    assert [one["request_id"] for one in json.loads(listed.stdout)] == [first]
    assert url.split("/")[-2] in laterna(server.data, "requests", "forget", first).stdout
