"""Money over HTTP: headers, estimates, usage, charges, accounts, invoices; each for who may see it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from laterna.contracts.messages import Failed
from tests.api.conftest import Api, running

BASE = "/platform/v1"
REPORTS = ("models/usage", "models/billing-events", "models/analytics", "account/usage", "account/billing")
BAD_PAYMENTS: list[Any] = [
    {},
    {"amount": 0},
    {"amount": "1e-10"},
    {"amount": True},
    {"amount": 1, "currency": "usd"},
    {"amount": 1, "note": 7},
    [],
    "x",
]
HOURS = "start=2020-01-01&timeframe=month&end=2030-01-01"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One application whose default tenant has charges of its own."""
    with running(tmp_path_factory.mktemp("money") / "data", invoice_from="The Lantern|1 Light Street") as api:
        for count in (1, 3):
            api.done(num_images=count)
        api.done("test/blank/deep/down", num_images=2)
        cancel_half_way(api)
        failing = api.submit()
        api.fail(api.take(failing), "sample_failed")
        yield api


def cancel_half_way(api: Api) -> str:
    request = api.submit(num_images=4)
    leased = api.take(request)
    api.begin(leased)
    with api.http() as http:
        http.put(f"/queue/test/blank/requests/{request}/cancel")
    said = Failed(lease=leased.lease, code="client_cancelled", message="cancelled", done=1, steps=2)
    api.call(api.requests.fail(said))
    return request


def customer(api: Api, name: str) -> tuple[str, str]:
    """Another tenant and its admin key."""

    async def work() -> tuple[str, str]:
        tenant = (await api.tenants.create(name)).id
        return tenant, (await api.keys.create(tenant, "its")).text

    return api.call(work())


def admin(api: Api, name: str) -> tuple[str, str]:
    async def work() -> tuple[str, str]:
        tenant = (await api.tenants.create(name)).id
        return tenant, (await api.keys.create(tenant, "admin", ("API", "ADMIN"))).text

    return api.call(work())


def test_what_it_may_cost_is_told_before_and_what_it_cost_after(shop: Api) -> None:
    with shop.http() as http:
        answer = http.post("/queue/test/blank", json={"prompt": "a fox", "num_images": 2})
        request = answer.json()["request_id"]
        assert answer.headers["x-laterna-estimate"] == "0.002 USD"
        assert "x-laterna-cost" not in answer.headers
        shop.finish(shop.take(request))
        result = http.get(f"/queue/test/blank/requests/{request}")
        assert (result.headers["x-fal-billable-units"], result.headers["x-laterna-cost"]) == ("2", "0.002 USD")
        status = http.get(f"/queue/test/blank/requests/{request}/status").json()
        assert status["cost"] == {"amount": 0.002, "currency": "USD"}
        detail = http.get(f"{BASE}/models/requests/{request}").json()
        assert detail["cost"] == {"amount": 0.002, "currency": "USD"}


def test_what_was_cancelled_half_way_costs_half(shop: Api) -> None:
    request = cancel_half_way(shop)
    with shop.http() as http:
        answer = http.get(f"/queue/test/blank/requests/{request}")
    assert answer.status_code == 499
    assert (answer.headers["x-fal-billable-units"], answer.headers["x-laterna-cost"]) == ("2", "0.002 USD")


def test_estimates(shop: Api) -> None:
    def ask(kind: str, **endpoints: object) -> object:
        body = {"estimate_type": kind, "endpoints": {name.replace("__", "/"): one for name, one in endpoints.items()}}
        with shop.http() as http:
            answer = http.post(f"{BASE}/models/pricing/estimate", json=body)
        return answer.json().get("total_cost", (answer.status_code, answer.json().get("error", {}).get("type")))

    assert ask("unit_price", test__blank={"unit_quantity": 2.5}) == 0.0025
    assert ask("input", test__blank={"input": {"prompt": "x", "num_images": 4}, "call_quantity": 10}) == 0.04
    assert ask("historical_api_price", test__blank__deep__down={"call_quantity": 3}) == 0.006
    for bad in (
        ask("guess", test__blank={}),
        ask("unit_price"),
        ask("unit_price", test__blank={"unit_quantity": -1}),
        ask("unit_price", test__blank={"unit_quantity": "NaN"}),
        ask("unit_price", test__blank=7),
        ask("input", test__blank={"input": {"prompt": 7}}),
        ask("historical_api_price", laterna__sprite={"call_quantity": 1}),
    ):
        assert bad == (400, "validation_error")
    assert ask("unit_price", no__such={"unit_quantity": 1}) == (404, "not_found")


def test_usage_adds_up_to_the_charges(shop: Api) -> None:
    with shop.http() as http:
        usage = http.get(f"{BASE}/models/usage?{HOURS}&expand=time_series,summary,auth_method").json()
        events, cursor = [], ""
        while True:
            page = http.get(f"{BASE}/models/billing-events?{HOURS}&limit=2&cursor={cursor}").json()
            events += page["billing_events"]
            if not page["has_more"]:
                break
            cursor = page["next_cursor"]
        account = http.get(f"{BASE}/account/billing?expand=credits").json()
    total = sum(event["cost_nano"] for event in events)
    assert len({event["request_id"] for event in events}) == len(events) >= 4
    assert [event["timestamp"] for event in events] == sorted((e["timestamp"] for e in events), reverse=True)
    for results in ([one for bucket in usage["time_series"] for one in bucket["results"]], usage["summary"]):
        assert round(sum(one["cost"] for one in results) * 1e9) == total
        assert {one["auth_method"] for one in results} == {"first"}
        assert all(abs(one["quantity"] * one["unit_price"] - one["cost"]) < 1e-12 for one in results)
    assert account["purses"][0]["spent_this_month"] == str(total / 1e9)
    assert account["credits"] == {"current_balance": -total / 1e9, "currency": "USD"}
    half = next(event for event in events if event["outcome"] == "cancelled")
    assert (half["output_units"], half["cost_total"], half["cost_estimate_nano_usd"]) == (2.0, 0.002, 4_000_000)


def test_an_export_is_cloudevents_and_goes_on_where_it_stopped(shop: Api) -> None:
    events: list[dict[str, Any]] = []
    cursor: str | None = ""
    with shop.http() as http:
        while cursor is not None:
            answer = http.get(f"{BASE}/models/billing-events?{HOURS}&format=cloudevents&limit=2&cursor={cursor}")
            events += [json.loads(line) for line in answer.text.splitlines()]
            cursor = answer.headers.get("x-laterna-next-cursor")
    assert len({event["id"] for event in events}) == len(events) >= 4
    for event in events:
        assert {"specversion", "id", "source", "type"} <= set(event)
        assert event["specversion"] == "1.0"
        assert datetime.fromisoformat(event["time"]).tzinfo is not None
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)
    assert events[0]["data"]["cost"] == "0.001"


@pytest.mark.parametrize("by", ["time", "model", "key", "tenant", "time,model,key,tenant"])
def test_reports_by_any_dimension_add_up_to_the_same(shop: Api, by: str) -> None:
    with shop.http() as http:
        rows = http.get(f"{BASE}/account/usage?{HOURS}&by={by}&tenant_id=all").json()["rows"]
        everything = http.get(f"{BASE}/models/usage?{HOURS}&tenant_id=all&expand=summary").json()["summary"]
    assert round(sum(row["cost"] for row in rows) * 1e9) == round(sum(one["cost"] for one in everything) * 1e9)
    named = {"time": "time", "model": "endpoint_id", "key": "api_key_id", "tenant": "tenant_id"}
    assert all((name in rows[0]) == (dimension in by) for dimension, name in named.items())


def test_analytics_count_what_happened(shop: Api) -> None:
    with shop.http() as http:
        body = http.get(f"{BASE}/models/analytics?{HOURS}&expand=summary,time_series").json()
        some = http.get(
            f"{BASE}/models/analytics?{HOURS}&endpoint_id=test/blank&expand=error_count,p50_duration"
        ).json()
        assert http.get(f"{BASE}/models/analytics?expand=cold_boot_count").status_code == 400
        assert http.get(f"{BASE}/models/analytics?tenant_id=all&{HOURS}").status_code == 200
    one = next(result for result in body["summary"] if result["endpoint_id"] == "test/blank")
    parts = ("success_count", "user_error_count", "error_count")
    assert one["request_count"] == sum(one[name] for name in parts) >= 4
    assert one["error_count"] == one["runtime_error_count"] == 1
    assert one["user_error_count"] >= 1
    assert one["p50_duration"] == one["p99_duration"] == 0.75
    assert one["total_billable_duration"] == 0.75 * one["success_count"]
    assert one["p99_prepare_duration"] > 0
    counted = [result["request_count"] for bucket in body["time_series"] for result in bucket["results"]]
    assert sum(counted) == sum(result["request_count"] for result in body["summary"])
    [result] = [result for bucket in some["time_series"] for result in bucket["results"]]
    assert result == {"endpoint_id": "test/blank", "error_count": 1, "p50_duration": 0.75}


def test_a_customer_sees_its_own_and_the_operator_all(shop: Api) -> None:
    tenant, key = admin(shop, "customer")
    with shop.http(key=key) as http:
        assert http.post("/queue/test/blank", json={"prompt": "x"}).status_code == 200
        assert http.get(f"{BASE}/models/usage?{HOURS}&expand=summary").json()["summary"] == []
        for other in ("default", "all", "nobody"):
            for path in REPORTS:
                assert http.get(f"{BASE}/{path}?tenant_id={other}").status_code == 403
            assert http.get(f"{BASE}/account/invoices/2026-01?tenant_id={other}").status_code == 403
        assert http.put(f"{BASE}/account/limits", json={"monthly": 10**6}).status_code == 403
        assert http.post(f"{BASE}/account/credits", json={"amount": 10**6}).status_code == 403
    shop.finish(shop.take())
    with shop.http() as http:
        summary = http.get(f"{BASE}/models/usage?{HOURS}&expand=summary&tenant_id={tenant}").json()["summary"]
        assert [one["cost"] for one in summary] == [0.001]
        assert http.get(f"{BASE}/account/billing?tenant_id=nobody").status_code == 404
    _, plain = customer(shop, "plain")
    for bad in (plain, None):
        with shop.http(key=bad) as http:
            for path in ("models/usage", "models/billing-events", "account/usage", "account/billing"):
                assert http.get(f"{BASE}/{path}").status_code in (401, 403)


def test_a_customer_without_budget_is_told_402_in_its_dialect(shop: Api) -> None:
    tenant, key = customer(shop, "poor")
    with shop.http() as http:
        told = http.put(f"{BASE}/account/limits?tenant_id={tenant}", json={"monthly": 0.002, "warn_at": "0.001"}).json()
        assert told["purses"][0]["monthly"] == "0.002"
    with shop.http(key=key) as http:
        ok = http.post("/queue/test/blank", json={"prompt": "x", "num_images": 2})
        assert "0.002 USD of this month" in ok.headers["x-laterna-budget-warning"]
        refused = http.post("/queue/test/blank", json={"prompt": "x"})
        assert (refused.status_code, refused.headers["x-fal-error-type"]) == (402, "out_of_budget")
        assert "0.002 USD held" in refused.json()["detail"]
        openai = http.post("/openai/v1/images/generations", json={"model": "test/blank", "prompt": "x"})
        assert (openai.status_code, openai.json()["error"]["code"]) == (402, "insufficient_quota")
        replicate = http.post("/replicate/v1/models/test/blank/predictions", json={"input": {"prompt": "x"}})
        assert (replicate.status_code, replicate.json()["status"]) == (402, 402)
        http.put(f"/queue/test/blank/requests/{ok.json()['request_id']}/cancel")
        assert http.post("/queue/test/blank", json={"prompt": "x"}).status_code == 200


def test_credit_is_paid_in_once_for_each_key(shop: Api) -> None:
    tenant, _ = customer(shop, "prepaid")
    with shop.http() as http:
        for _ in range(2):
            answer = http.post(
                f"{BASE}/account/credits?tenant_id={tenant}",
                json={"amount": "12.34", "note": "bank"},
                headers={"idempotency-key": "payment-1"},
            )
            assert answer.status_code == 201
        assert answer.json()["credits"] == {"current_balance": 12.34, "currency": "USD"}
        for bad in BAD_PAYMENTS:
            wrong = http.post(f"{BASE}/account/credits?tenant_id={tenant}", json=bad)
            assert (wrong.status_code, wrong.json()["error"]["type"]) == (400, "validation_error"), bad
        for limits in ({"monthly": -1}, {"monthly": "much"}, {"prepaid": 1}, {"monthy": 1}, {"monthly": 1e400}):
            wrong = http.put(f"{BASE}/account/limits?tenant_id={tenant}", content=json.dumps(limits))
            assert wrong.status_code == 400, limits
        assert http.put(f"{BASE}/account/limits?tenant_id=nobody", json={}).status_code == 404


def test_an_invoice_is_what_the_ledger_says(shop: Api, tmp_path: Path) -> None:
    month = f"{datetime.now(UTC):%Y-%m}"
    with shop.http() as http:
        [invoice] = http.get(f"{BASE}/account/invoices/{month}").json()["invoices"]
        table = list(csv.DictReader(io.StringIO(http.get(f"{BASE}/account/invoices/{month}?format=csv").text)))
        spent = http.get(f"{BASE}/account/billing").json()["purses"][0]["spent_this_month"]
        paper = http.get(f"{BASE}/account/invoices/{month}?format=pdf&currency=USD")
        assert http.get(f"{BASE}/account/invoices/{month}?format=pdf&currency=EUR").status_code == 404
        assert http.get(f"{BASE}/account/invoices/2026-13").status_code == 400
        assert http.get(f"{BASE}/account/invoices/{month}?format=doc").status_code == 400
    assert (invoice["draft"], invoice["total"]) == (True, spent)
    assert invoice["credit"] == {"opening": "0", "charge": f"-{spent}", "closing": f"-{spent}"}
    assert [row["amount"] for row in table] == [line["amount"] for line in invoice["lines"]]
    assert paper.status_code == 200
    assert paper.content.startswith(b"%PDF-")


@pytest.mark.parametrize(
    "query",
    [
        "start=yesterday",
        "start=2026-01-02&end=2026-01-01",
        "timeframe=fortnight",
        "timezone=Mars/Olympus",
        "timezone=../../etc/passwd",
        "start=0001-01-01",
        "start=2020-01-01&end=2026-01-01&timeframe=minute",
        "expand=everything",
    ],
)
def test_bad_questions_are_refused_by_name(shop: Api, query: str) -> None:
    with shop.http() as http:
        answer = http.get(f"{BASE}/models/usage?{query}")
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "validation_error")
