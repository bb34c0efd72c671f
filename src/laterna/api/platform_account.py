"""fal's platform API, the part about an account: its credit and limits, what the operator pays in, its invoices."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laterna.api.admission import read_posted
from laterna.api.platform import listed
from laterna.api.platform_answers import admin_of, body_wrong, nano, operator_of, tenant_asked, wrong
from laterna.api.services import Services
from laterna.billing.invoices import Invoice, as_csv, as_json, decimal
from laterna.billing.paper import pdf
from laterna.billing.purses import Limits, Purse
from laterna.errors import NotFound

BASE = "/platform/v1/account"
CURRENCY = "USD"  # where none is said
LONGEST_NOTE = 500  # characters
_CURRENCY = re.compile(r"[A-Z]{3}")
_MONTH = re.compile(r"(19[7-9][0-9]|2[0-9]{3})-(0[1-9]|1[0-2])")


class Account:
    """`/platform/v1/account/billing`, `.../credits`, `.../limits`, `.../invoices/{month}`"""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        return [
            Route(f"{BASE}/billing", self.billing, methods=["GET"]),
            Route(f"{BASE}/limits", self.limit, methods=["PUT"]),
            Route(f"{BASE}/credits", self.pay, methods=["POST"]),
            Route(f"{BASE}/invoices/{{month}}", self.invoices, methods=["GET"]),
        ]

    async def billing(self, request: Request) -> Response:
        """Credit (with `expand=credits`, as fal has it), what is spent and held this month, and the limits."""
        tenant = await tenant_asked(request, self._services, await admin_of(request, self._services))
        return JSONResponse(await self._told(tenant, "credits" in listed(request, "expand")))

    async def limit(self, request: Request) -> Response:
        """Say what the tenant of `tenant_id` may spend; what is left out is without limit. For the operator."""
        tenant = await self._operated(request)
        body = await self._body(request, ("currency", "monthly", "warn_at", "prepaid"))
        amounts = {name: None if body.get(name) is None else nano(name, body[name]) for name in ("monthly", "warn_at")}
        for name, amount in amounts.items():
            if amount is not None and amount < 0:
                raise body_wrong(name, "expected 0 or more", body[name])
        prepaid = body.get("prepaid", False)
        if not isinstance(prepaid, bool):
            raise body_wrong("prepaid", "expected true or false", prepaid)
        limits = Limits(monthly_nano=amounts["monthly"], warn_nano=amounts["warn_at"], prepaid=prepaid)
        await self._services.books.limit(tenant, _currency(body), limits)
        return JSONResponse(await self._told(tenant, credits=True))

    async def pay(self, request: Request) -> Response:
        """Add to the credit of `tenant_id` what was received; once for an `Idempotency-Key`. For the operator."""
        tenant = await self._operated(request)
        body = await self._body(request, ("currency", "amount", "note"))
        amount, note = nano("amount", body.get("amount")), body.get("note", "")
        if not amount:
            raise body_wrong("amount", "expected an amount other than 0; one below 0 takes back", body.get("amount"))
        if not isinstance(note, str) or len(note) > LONGEST_NOTE:
            raise body_wrong("note", f"expected a text of at most {LONGEST_NOTE} characters", note)
        reference = request.headers.get("idempotency-key", "").strip()[:200] or None
        entry = await self._services.books.pay(tenant, _currency(body), amount, note, reference)
        return JSONResponse({"transaction_id": entry.transaction_id, **await self._told(tenant, credits=True)}, 201)

    async def invoices(self, request: Request) -> Response:
        """Those of a month (YYYY-MM, UTC), one a currency: as JSON, CSV or, of one `currency`, PDF."""
        tenant = await tenant_asked(request, self._services, await admin_of(request, self._services))
        month, form = request.path_params["month"], request.query_params.get("format", "json")
        if not _MONTH.fullmatch(month):
            raise wrong("month", "expected YYYY-MM", month)
        if form not in ("json", "csv", "pdf"):
            raise wrong("format", "expected json, csv or pdf", form)
        made = await self._services.books.invoices(tenant, datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC))
        currency = request.query_params.get("currency")
        made = [invoice for invoice in made if currency in (None, invoice.currency)]
        if form == "json":
            return JSONResponse({"invoices": [as_json(invoice) for invoice in made]})
        if form == "csv":
            return Response(as_csv(made), media_type="text/csv", headers=_attached(f"{month}-{tenant}.csv"))
        return await self._paper(made, month)

    async def _paper(self, made: list[Invoice], month: str) -> Response:
        if len(made) != 1:
            known = ", ".join(invoice.currency for invoice in made) or "none"
            raise NotFound(f"a PDF is of one invoice; {month} has {known}: choose with currency=")
        content = await asyncio.to_thread(pdf, made[0], self._services.settings.invoice_from)
        return Response(content, media_type="application/pdf", headers=_attached(f"{made[0].number}.pdf"))

    async def _operated(self, request: Request) -> str:
        caller = await operator_of(request, self._services)
        return await tenant_asked(request, self._services, caller)

    async def _body(self, request: Request, known: tuple[str, ...]) -> dict[str, Any]:
        body = await read_posted(request, self._services)
        if not isinstance(body, dict):
            raise body_wrong("", "expected a JSON object", body)
        for name in body:
            if name not in known:
                raise body_wrong(str(name)[:80], f"unknown; known: {', '.join(known)}", body[name])
        return body

    async def _told(self, tenant: str, credits: bool) -> dict[str, Any]:
        found = await self._services.books.purses(tenant)
        body: dict[str, Any] = {"username": tenant, "purses": [purse_body(purse) for purse in found]}
        if not credits:
            return body
        first = next((purse for purse in found if purse.currency == CURRENCY), found[0] if found else None)
        if first is None:
            return {**body, "credits": {"current_balance": 0.0, "currency": CURRENCY}}
        return {**body, "credits": {"current_balance": first.balance_nano / 1e9, "currency": first.currency}}


def purse_body(purse: Purse) -> dict[str, Any]:
    """Amounts are exact decimals in text."""
    limits = purse.limits
    return {
        "currency": purse.currency,
        "credit": decimal(purse.balance_nano),
        "held": decimal(purse.held_nano),
        "spent_this_month": decimal(purse.spent_nano),
        "monthly": None if limits.monthly_nano is None else decimal(limits.monthly_nano),
        "warn_at": None if limits.warn_nano is None else decimal(limits.warn_nano),
        "warned": purse.warned,
        "prepaid": limits.prepaid,
    }


def _currency(body: dict[str, Any]) -> str:
    currency = body.get("currency", CURRENCY)
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise body_wrong("currency", "expected three capital letters, such as USD", currency)
    return currency


def _attached(name: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{re.sub(r"[^A-Za-z0-9._-]", "_", name)}"'}
