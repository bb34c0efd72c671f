"""Replicate's signatures: its own client believes them, and nothing that was changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from replicate.webhook import Webhooks, WebhookSigningSecret, WebhookValidationError

from laterna.clock import ManualClock, SystemClock
from laterna.dispatch.shared_secrets import FILE, SharedSecrets

BODY = json.dumps({"id": "x", "output": ["ö"]}, ensure_ascii=False).encode()


def verify(headers: dict[str, str], body: bytes, secret: str) -> None:
    key = WebhookSigningSecret(key=secret)
    Webhooks.validate(headers=headers, body=body.decode(), secret=key, tolerance=300)


def test_the_stock_client_verifies_them(tmp_path: Path) -> None:
    shared = SharedSecrets.open(tmp_path, SystemClock())
    headers = shared.headers("delivery", "tenant", BODY)
    verify(headers, BODY, shared.secret("tenant"))
    again = SharedSecrets.open(tmp_path, SystemClock())
    verify(headers, BODY, again.secret("tenant"))


def test_whatever_is_changed_is_not_believed(tmp_path: Path) -> None:
    shared = SharedSecrets.open(tmp_path, SystemClock())
    headers, secret = shared.headers("delivery", "tenant", BODY), shared.secret("tenant")
    moment = str(int(headers["webhook-timestamp"]) - 1)
    for changed, body, key in (
        (headers, BODY + b" ", secret),
        ({**headers, "webhook-id": "another"}, BODY, secret),
        ({**headers, "webhook-timestamp": moment}, BODY, secret),
        (headers, BODY, shared.secret("somebody else")),
        (SharedSecrets.open(tmp_path, ManualClock()).headers("delivery", "tenant", BODY), BODY, secret),
    ):
        with pytest.raises(WebhookValidationError):
            verify(changed, body, key)


def test_the_secret_is_its_owners_alone(tmp_path: Path) -> None:
    before = SharedSecrets.open(tmp_path, SystemClock()).secret("tenant")
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0
    (tmp_path / FILE).unlink()
    assert SharedSecrets.open(tmp_path, SystemClock()).secret("tenant") != before
