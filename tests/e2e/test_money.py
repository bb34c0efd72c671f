"""`laterna usage`, `invoice` and `budget`, against a real server with a real worker."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from tests.e2e.conftest import Server, laterna


@pytest.fixture
def spent(server: Server, tmp_path: Path) -> Server:
    """A server that has charged something."""
    done = laterna(server.data, "run", "test/blank", "x", "-o", str(tmp_path / "o.png"), "-i", "num_images=2")
    assert done.returncode == 0, done.stderr
    assert done.stderr.rstrip().endswith("cost: 0.002 USD")
    return server


def total(server: Server) -> Decimal:
    done = laterna(server.data, "budget", "--json")
    assert done.returncode == 0, done.stderr
    return Decimal(json.loads(done.stdout)[0]["spent_this_month"])


def test_usage_is_the_same_in_every_form(spent: Server) -> None:
    tomorrow = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}"
    asked = ("usage", "--by", "day,model,key", "--since", f"{datetime.now(UTC):%Y-%m-01}", "--until", tomorrow)
    rows = json.loads(laterna(spent.data, *asked, "--json").stdout)
    table = list(csv.DictReader(io.StringIO(laterna(spent.data, *asked, "--csv").stdout)))
    events = [json.loads(line) for line in laterna(spent.data, *asked, "--cloudevents").stdout.splitlines()]
    shown = laterna(spent.data, *asked).stdout.splitlines()
    expected = total(spent)
    assert sum(Decimal(str(row["cost"])) for row in rows) == expected
    assert sum(Decimal(row["cost"]) for row in table) == expected
    assert sum(Decimal(event["data"]["cost"]) for event in events) == expected
    assert len(shown) == len(rows) + 1
    [blank] = [row for row in rows if row["endpoint_id"] == "test/blank"]  # other tests use this server too
    assert (blank["key"], blank["unit"], blank["unit_price"]) == ("first", "images", 0.001)
    assert any(row["device_seconds"] > 0 for row in rows)


def test_an_invoice_is_written_in_the_form_that_its_name_says(spent: Server, tmp_path: Path) -> None:
    month = f"{datetime.now(UTC):%Y-%m}"
    [told] = json.loads(laterna(spent.data, "invoice", month).stdout)
    assert Decimal(told["total"]) == total(spent)
    for name in ("i.pdf", "i.csv", "i.json"):
        assert laterna(spent.data, "invoice", month, "-o", str(tmp_path / name)).returncode == 0
    assert (tmp_path / "i.pdf").read_bytes().startswith(b"%PDF-")
    refused = laterna(spent.data, "invoice", month, "-o", str(tmp_path / "i.docx"))
    assert (refused.returncode, "i.docx" in refused.stderr) == (1, True)


def test_a_budget_is_set_shown_and_kept(spent: Server, tmp_path: Path) -> None:
    def stand(*words: str) -> dict[str, object]:
        done = laterna(spent.data, "budget", *words, "--json")
        assert done.returncode == 0, done.stderr
        found: list[dict[str, object]] = json.loads(done.stdout)
        return found[0]

    try:
        assert stand("--monthly", "0.0000001", "--warn-at", "0")["monthly"] == "0.0000001"
        refused = laterna(spent.data, "run", "test/blank", "x", "-o", str(tmp_path / "no.png"))
        assert refused.returncode == 1
        assert "0.0000001 USD" in refused.stderr
        before = Decimal(str(stand("--add", "3.5", "--note", "cash")["credit"]))
        kept = stand("--prepaid", "--add", "-1")
        assert (kept["monthly"], kept["prepaid"], Decimal(str(kept["credit"]))) == ("0.0000001", True, before - 1)
        wrong = laterna(spent.data, "budget", "--add", "lots")
        assert (wrong.returncode, "amount" in wrong.stderr) == (1, True)
    finally:
        freed = stand("--monthly", "none", "--warn-at", "none", "--no-prepaid")
    assert (freed["monthly"], freed["warn_at"], freed["prepaid"]) == (None, None, False)


def test_what_is_cancelled_while_it_runs_costs_its_part(server: Server) -> None:
    request = server.submit(num_inference_steps=40, num_images=4)
    server.until(request, "IN_PROGRESS")
    assert laterna(server.data, "cancel", request).returncode == 0
    status = server.until(request, "COMPLETED")
    answer = server.result(request)
    assert 0 <= status["cost"]["amount"] < 0.004
    assert Decimal(answer.headers["x-laterna-cost"].split()[0]) == Decimal(str(status["cost"]["amount"]))
