"""Money in headers: what a request may cost, told with its id, and what it was charged, told with its result."""

from __future__ import annotations

from laterna.billing.invoices import decimal
from laterna.billing.purses import money
from laterna.requests.requests import Receipt, RequestView

BILLABLE = "X-Fal-Billable-Units"  # millionths are exact: 1.048576 megapixels
ESTIMATE = "X-Laterna-Estimate"  # such as "0.0025 USD": no more than that
COST = "X-Laterna-Cost"
WARNING = "X-Laterna-Budget-Warning"


def estimate_headers(receipt: Receipt) -> dict[str, str]:
    """Before: what it costs if it succeeds."""
    headers = {ESTIMATE: money(receipt.price_nano, receipt.currency)}
    return headers if receipt.warning is None else {**headers, WARNING: receipt.warning}


def cost_headers(view: RequestView) -> dict[str, str]:
    """After: what it was charged, of a request that is settled."""
    if view.cost_nano is None:
        return {}
    return {BILLABLE: decimal(view.charged_micro or 0, 6), COST: money(view.cost_nano, view.currency)}
