"""Charges as CloudEvents 1.0 in structured mode, one a line, for a billing system outside: OpenMeter, Lago, your own.

An event's `id` is its request's: whoever receives it again knows it by that and `source`, so that exports may overlap.
Specification: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from laterna.billing.invoices import decimal
from laterna.billing.reports import Charge

SOURCE = "/laterna/charges"
TYPE = "laterna.request.charged"


def event(charge: Charge) -> dict[str, Any]:
    """The envelope with its data; amounts are exact decimals in text."""
    return {
        "specversion": "1.0",
        "id": charge.request_id,
        "source": SOURCE,
        "type": TYPE,
        "subject": charge.tenant,
        "time": datetime.fromtimestamp(charge.created_us / 1e6, UTC).isoformat(),
        "datacontenttype": "application/json",
        "data": {
            "request_id": charge.request_id,
            "tenant_id": charge.tenant,
            "api_key_id": charge.key_id,
            "endpoint_id": charge.endpoint,
            "outcome": charge.outcome,
            "unit": charge.unit,
            "unit_price": decimal(charge.unit_nano),
            "quantity": decimal(charge.quantity_micro, 6),
            "cost": decimal(charge.amount_nano),
            "cost_nano": charge.amount_nano,
            "currency": charge.currency,
        },
    }
