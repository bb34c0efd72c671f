"""`laterna status`, `laterna cancel` and `laterna requests`."""

from __future__ import annotations

import json as text
import sys
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

import typer

from laterna.cli.options import Data, Json, settings_of
from laterna.cli.table import table

if TYPE_CHECKING:
    from laterna.cli.client import Client
    from laterna.config import Settings

app = typer.Typer(help="What became of requests.", no_args_is_help=True)

ONE = "/platform/v1/models/requests"
LARGEST_PAGE = 100
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


@app.command(name="list")
def list_(
    state: Annotated[list[str], typer.Option(help="blocked, scheduled, queued, leased, running or settled")] = [],  # noqa: B006
    outcome: Annotated[list[str], typer.Option(help="ok, failed, cancelled or expired")] = [],  # noqa: B006
    model: Annotated[list[str], typer.Option(help="Only this endpoint; may be repeated")] = [],  # noqa: B006
    tag: Annotated[list[str], typer.Option(help="Only with this tag, as NAME=VALUE; may be repeated")] = [],  # noqa: B006
    since: Annotated[str, typer.Option(help="Submitted then or later, such as 2026-05-01")] = "",
    until: Annotated[str, typer.Option(help="Submitted earlier")] = "",
    most: Annotated[int, typer.Option("-n", "--limit", min=1, help="How many, the newest first")] = 20,
    json: Json = False,
    data: Data = None,
) -> None:
    """List requests, newest first."""
    asked = {"state": state, "outcome": outcome, "endpoint_id": model, "tag": tag, "start": since, "end": until}
    query = urlencode({name: value for name, value in asked.items() if value}, doseq=True)
    found = _first(_connect(settings_of(data)), query, most)
    if json:
        print(text.dumps(found, indent=2))
    else:
        print(table([_row(one) for one in found]) or "no such request", file=sys.stdout if found else sys.stderr)


@app.command()
def forget(request: Id, data: Data = None) -> None:
    """Delete what was sent, generated and logged of a request that has ended."""
    gone = _connect(settings_of(data)).send("DELETE", f"{ONE}/{request}/payloads", {})["cdn_delete_results"]
    print("\n".join(f"{one['link']} {one['exception'] or 'deleted'}" for one in gone))


@app.command()
def show(request: Id, json: Json = False, data: Data = None) -> None:
    """Show how a request went: where its time went, attempts, usage, each try at its webhook."""
    answer = _connect(settings_of(data)).get(f"{ONE}/{request}")
    print(text.dumps(answer, indent=2) if json else _detail(answer))


@app.command()
def redeliver(request: Id, data: Data = None) -> None:
    """Tell a request's webhook again, now, whether it was taken before or not."""
    print(_connect(settings_of(data)).send("POST", f"{ONE}/{request}/redeliver", {})["status"])


def state(client: Client, endpoint: str, request: str) -> dict[str, Any]:
    return client.get(f"/queue/{endpoint}/requests/{request}/status")


def _first(client: Client, query: str, most: int) -> list[dict[str, Any]]:
    """So many, of as many pages as that takes."""
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None and len(found) < most:
        page = client.get(f"{ONE}?limit={min(most - len(found), LARGEST_PAGE)}&cursor={cursor}&{query}")
        found, cursor = found + page["items"], page["next_cursor"]
    return found


def _row(one: dict[str, Any]) -> dict[str, Any]:
    tags = ",".join(f"{name}={value}" for name, value in one["tags"].items())
    ended = one["error"]["type"] if one["error"] else one["outcome"]
    return {
        "request": one["request_id"],
        "model": one["endpoint_id"],
        "sent": one["sent_at"][:19],
        "state": one["state"],
        "outcome": ended,
        "seconds": one["duration"],
        "tags": tags or None,
    }


def _connect(settings: Settings) -> Client:
    from laterna.cli.client import connect

    return connect(settings)


def _detail(answer: dict[str, Any]) -> str:
    """One value a line; lists and the webhook's tries indented below their names."""
    webhook = answer.pop("webhook") or {}
    lines = [f"{key}: {_flat(value)}" for key, value in answer.items() if not isinstance(value, list)]
    for name in ("timeline", "attempts", "usage"):
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
