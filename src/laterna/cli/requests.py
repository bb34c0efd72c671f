"""`laterna status`, `laterna cancel` and `laterna requests`."""

from __future__ import annotations

import json as text
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laterna.cli.options import Data, Json, settings_of

if TYPE_CHECKING:
    from laterna.cli.client import Client
    from laterna.config import Settings

app = typer.Typer(help="What became of requests.", no_args_is_help=True)

ONE = "/platform/v1/models/requests"
Id = Annotated[str, typer.Argument(help="The request's id")]


def status(settings: Settings, request: str | None, *, as_json: bool) -> int:
    """Print a request's state, or the server's when no request is named."""
    client = _connect(settings)
    answer = client.get(f"/queue/requests/{request}/status?logs=1") if request else client.get("/health")
    print(text.dumps(answer, indent=2) if as_json else _lines(answer))
    return 1 if answer.get("error") else 0


def cancel(settings: Settings, request: str) -> int:
    answer = _connect(settings).put(f"/queue/requests/{request}/cancel")
    print(answer.get("status", "CANCELLATION_REQUESTED"))
    return 0


@app.command()
def show(request: Id, json: Json = False, data: Data = None) -> None:
    """Show how a request went: attempts, usage, each try at its webhook."""
    answer = _connect(settings_of(data)).get(f"{ONE}/{request}")
    print(text.dumps(answer, indent=2) if json else _detail(answer))


@app.command()
def redeliver(request: Id, data: Data = None) -> None:
    """Tell a request's webhook again, now, whether it was taken before or not."""
    print(_connect(settings_of(data)).send("POST", f"{ONE}/{request}/redeliver", {})["status"])


def state(client: Client, endpoint: str, request: str) -> dict[str, Any]:
    return client.get(f"/queue/{endpoint}/requests/{request}/status")


def _connect(settings: Settings) -> Client:
    from laterna.cli.client import connect

    return connect(settings)


def _detail(answer: dict[str, Any]) -> str:
    """One value a line; lists and the webhook's tries indented below their names."""
    webhook = answer.pop("webhook") or {}
    lines = [f"{key}: {_flat(value)}" for key, value in answer.items() if not isinstance(value, list)]
    for name in ("attempts", "usage"):
        lines += [f"{name}:", *(f"  {_pairs(item)}" for item in answer[name])]
    if webhook:
        tries = webhook.pop("tries")
        lines += [f"webhook: {_pairs(webhook)}", *(f"  {_pairs(one)}" for one in tries)]
    return "\n".join(lines)


def _pairs(item: dict[str, Any]) -> str:
    return " ".join(f"{key}={_flat(value)}" for key, value in item.items() if value is not None and value != [])


def _flat(value: Any) -> str:
    return text.dumps(value) if isinstance(value, dict | list) else str(value)


def _lines(answer: dict[str, Any]) -> str:
    lines = [f"{key}: {value}" for key, value in answer.items() if key != "logs" and not isinstance(value, list | dict)]
    lines += [f"{key}: {text.dumps(value)}" for key, value in answer.items() if isinstance(value, dict)]
    lines += [f"{line['timestamp']} {line['level']} {line['message']}" for line in answer.get("logs") or []]
    return "\n".join(lines)
