"""`laterna status` and `laterna cancel`."""

from __future__ import annotations

import json
from typing import Any

from laterna.cli.client import Client, connect
from laterna.config import Settings


def status(settings: Settings, request: str | None, *, as_json: bool) -> int:
    """Print a request's state, or the server's when no request is named."""
    client = connect(settings)
    answer = client.get(f"/queue/requests/{request}/status?logs=1") if request else client.get("/health")
    print(json.dumps(answer, indent=2) if as_json else _lines(answer))
    return 1 if answer.get("error") else 0


def cancel(settings: Settings, request: str) -> int:
    answer = connect(settings).put(f"/queue/requests/{request}/cancel")
    print(answer.get("status", "CANCELLATION_REQUESTED"))
    return 0


def state(client: Client, endpoint: str, request: str) -> dict[str, Any]:
    return client.get(f"/queue/{endpoint}/requests/{request}/status")


def _lines(answer: dict[str, Any]) -> str:
    lines = [f"{key}: {value}" for key, value in answer.items() if key != "logs" and not isinstance(value, list | dict)]
    lines += [f"{key}: {json.dumps(value)}" for key, value in answer.items() if isinstance(value, dict)]
    lines += [f"{line['timestamp']} {line['level']} {line['message']}" for line in answer.get("logs") or []]
    return "\n".join(lines)
