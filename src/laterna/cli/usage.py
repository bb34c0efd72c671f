"""`laterna usage` and `laterna invoice`."""

from __future__ import annotations

import csv
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote, urlencode

from laterna.cli.client import Client, connect
from laterna.cli.table import table
from laterna.config import Settings
from laterna.errors import ConfigError

DAYS = 30
FORMS = {".json": "json", ".csv": "csv", ".pdf": "pdf"}


def usage(
    settings: Settings,
    *,
    by: str,
    since: str | None,
    until: str | None,
    models: list[str],
    tenant: str | None,
    form: str,
) -> None:
    """Print rows by the dimensions that are asked for, or every charge."""
    asked = {
        "start": since or f"{datetime.now(UTC) - timedelta(days=DAYS):%Y-%m-%d}",
        "end": until,
        "endpoint_id": ",".join(models),
        "tenant_id": tenant,
    }
    query = urlencode({name: value for name, value in asked.items() if value})
    client = connect(settings)
    if form == "cloudevents":
        _export(client, f"/platform/v1/models/billing-events?format=cloudevents&limit=100&{query}")
        return
    dimensions = urlencode({"by": by.replace("day", "time"), "timeframe": "day"})
    rows = client.get(f"/platform/v1/account/usage?{dimensions}&{query}")["rows"]
    for row in rows:
        row |= {"time": row["time"][:10]} if "time" in row else {}
    if form == "json":
        print(json.dumps(rows, indent=2))
    elif form == "csv":
        writer = csv.DictWriter(sys.stdout, list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows(rows)
    else:
        print(table(rows) or "nothing was used", file=sys.stdout if rows else sys.stderr)


def invoice(settings: Settings, month: str, output: Path | None, currency: str | None, tenant: str | None) -> None:
    """Write it to the file, in the form that its name says, or print it as JSON."""
    form = "json" if output is None else FORMS.get(output.suffix.lower())
    if form is None:
        raise ConfigError(f"--output {output}: expected a name that ends in {', '.join(FORMS)}")
    asked = {"format": form, "currency": currency, "tenant_id": tenant}
    query = urlencode({name: value for name, value in asked.items() if value})
    content = connect(settings).document(f"/platform/v1/account/invoices/{quote(month, safe='')}?{query}")
    if output is None:
        print(json.dumps(json.loads(content)["invoices"], indent=2))
    else:
        output.write_bytes(content)
        print(output)


def _export(client: Client, path: str) -> None:
    cursor: str | None = ""
    while cursor is not None:
        text, cursor = client.lines(f"{path}&cursor={cursor}")
        sys.stdout.write(text)
