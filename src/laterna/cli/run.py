"""`laterna run`: one request, watched while it runs, and its files saved."""

from __future__ import annotations

import base64
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from laterna.cli.client import Client, connect_or_start
from laterna.cli.picture import draw, from_data_uri
from laterna.config import Settings
from laterna.errors import LaternaError, Unavailable


def run(
    settings: Settings,
    endpoint: str,
    prompt: str | None,
    output: Path | None,
    inputs: dict[str, str],
    *,
    preview: bool | None,
    as_json: bool,
) -> int:
    """Submit, show progress on stderr, save the files, print their names on stdout. Ctrl-C cancels the request."""
    console = Console(stderr=True)
    show = console.is_terminal if preview is None else preview
    body: dict[str, Any] = {name: _value(text) for name, text in inputs.items()}
    if prompt is not None:
        body["prompt"] = prompt
    output = output or Path(endpoint.rsplit("/", 1)[-1] + ".png")
    _check_writable(output)
    with connect_or_start(settings) as client:
        request = ""
        try:
            with _interrupted_afterwards():
                request = client.submit(endpoint, body)["request_id"]
            cost = _watch(client, endpoint, request, console, show)
            result = client.get(f"/queue/{endpoint}/requests/{request}")
        except KeyboardInterrupt:
            if request:
                client.put(f"/queue/{endpoint}/requests/{request}/cancel")
                print(f"cancelled {request}", file=sys.stderr)
            return 130
        except Unavailable as error:
            raise Unavailable(f"{error.message} The request is kept: `laterna status {request}`") from error
        files = _save(client, result, output)
        if show and files:
            console.print(draw(files[0].read_bytes()))
        if cost is not None and cost["amount"]:
            print(f"cost: {cost['amount']:.9f}".rstrip("0") + f" {cost['currency']}", file=sys.stderr)
    print(json.dumps(result, indent=2) if as_json else "\n".join(map(str, files)))
    return 0


@contextmanager
def _interrupted_afterwards() -> Iterator[None]:
    """Hold the first Ctrl-C back until the block ends: what was submitted is known then, and can be cancelled."""
    held: list[int] = []

    def hold(number: int, frame: FrameType | None) -> None:
        if held:
            raise KeyboardInterrupt
        held.append(number)

    before = signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        raise KeyboardInterrupt


def _watch(client: Client, endpoint: str, request: str, console: Console, show: bool) -> dict[str, Any] | None:
    """Until it is over; returns what it cost, where the server says so."""
    bar = Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), console=console)
    task = bar.add_task("waiting", total=None, note="")
    picture: RenderableType = Text("")
    cost: dict[str, Any] | None = None
    with Live(bar, console=console, transient=True) as live:
        for event in client.events(f"/queue/{endpoint}/requests/{request}/status/stream?logs=1&previews={int(show)}"):
            progress = event.get("progress") or {}
            if event["status"] == "IN_QUEUE":
                bar.update(task, description="waiting", note=f"{event['queue_position']} ahead")
            elif event["status"] == "IN_PROGRESS":
                stage, step, steps = progress.get("stage", "start"), progress.get("step", 0), progress.get("steps")
                bar.update(task, description=stage, completed=step, total=steps, note=f"{step}/{steps or '?'}")
            if show and progress.get("preview"):
                picture = from_data_uri(progress["preview"])
            live.update(Group(picture, bar))
            cost = event.get("cost")
    return cost


def _save(client: Client, result: dict[str, Any], output: Path) -> list[Path]:
    media = [item for value in result.values() for item in (value if isinstance(value, list) else [value])]
    urls = [item["url"] for item in media if isinstance(item, dict) and "url" in item]
    if not urls:
        raise LaternaError("the result holds no file; see it with --json")
    names = [output] if len(urls) == 1 else [output.with_stem(f"{output.stem}-{n}") for n in range(1, len(urls) + 1)]
    for url, name in zip(urls, names, strict=True):
        inline = url.startswith("data:")
        content = base64.b64decode(url.partition(",")[2]) if inline else client.download(url)
        try:
            name.write_bytes(content)
        except OSError as error:
            kept = "" if inline else f"; it is kept at {url}"
            raise LaternaError(f"cannot write {name}: {error.strerror}{kept}") from error
    return names


def _check_writable(path: Path) -> None:
    """Before anything is generated. Raises OSError where the file cannot be written."""
    new = not path.exists()
    with path.open("ab"):
        pass
    if new:
        path.unlink()


def _value(text: str) -> Any:
    """JSON where it is JSON, text otherwise: `seed=7`, `image_size={"width":64,"height":64}`, `output_format=jpeg`."""
    try:
        return json.loads(text)
    except ValueError:
        return text
