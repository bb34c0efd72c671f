"""Invoices on paper: readable, with what the numbers say, whatever they and the names are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from laterna.billing.invoices import Invoice, as_csv
from laterna.billing.paper import pdf
from laterna.billing.reports import Used
from laterna.errors import ConfigError
from tests.tools import tool


def line(**changes: Any) -> Used:
    given: dict[str, Any] = {
        "tenant": "t", "key_id": None, "key_name": None, "endpoint": "fal-ai/flux/dev", "unit": "megapixel",
        "unit_nano": 25_000_000, "currency": "USD", "charges": 3, "quantity_micro": 3_145_728,
        "amount_nano": 78_643_200, "device_ns": 1,
    }  # fmt: skip
    return Used(**{**given, **changes})


def invoice(*lines: Used, **changes: Any) -> Invoice:
    given: dict[str, Any] = {
        "number": "2026-10-t-USD", "tenant": "t", "tenant_name": "Painters", "month": "2026-10", "currency": "USD",
        "draft": False, "lines": lines, "opening_nano": 10**9, "moved": {"top_up": 10**9, "charge": -78_643_200},
        "issued_us": 1_790_000_000_000_000,
    }  # fmt: skip
    return Invoice(**{**given, **changes})


def words(content: bytes, folder: Path) -> str:
    (folder / "invoice.pdf").write_bytes(content)
    command = [tool("pdftotext"), "-layout", str(folder / "invoice.pdf"), "-"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_it_says_what_the_numbers_say(tmp_path: Path) -> None:
    text = words(pdf(invoice(line()), "The Lantern|1 Light Street"), tmp_path)
    for expected in ("The Lantern", "1 Light Street", "2026-10-t-USD", "Painters", "fal-ai/flux/dev", "3.145728"):
        assert expected in text
    assert "Total 0.0786432 USD" in text
    assert "1.9213568 USD" in text
    assert "Due" not in text
    assert "Draft" not in text


def test_what_is_owed_is_due(tmp_path: Path) -> None:
    owing = invoice(line(), draft=True, opening_nano=0, moved={"charge": -78_643_200})
    text = words(pdf(owing, ""), tmp_path)
    assert "Draft invoice" in text
    assert "Due: 0.0786432 USD" in text


@pytest.mark.parametrize("name", ["Малевич 画家 🎨", "=cmd|' /C calc'!A0", "x" * 400, "\x00\n"])
def test_any_name_and_many_lines_do_no_harm(name: str) -> None:
    lines = [line(endpoint=name or "e", amount_nano=number) for number in range(120)]
    made = invoice(*lines, tenant_name=name, number=name)
    assert pdf(made, name).startswith(b"%PDF-")
    assert not any(cell.startswith(("=", '"=')) for row in as_csv([made]).splitlines() for cell in row.split(","))


def test_without_the_package_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fpdf", None)
    with pytest.raises(ConfigError, match=r"laterna\[invoices\]"):
        pdf(invoice(), "")
