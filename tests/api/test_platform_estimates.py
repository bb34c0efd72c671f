"""Estimates: units at the catalogue's price, calls at what they used to cost their tenant."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.api.conftest import Api

ESTIMATE = "/platform/v1/models/pricing/estimate"


def ask(api: Api, body: Any, key: str | None = "") -> httpx2.Response:
    with api.http(key=key) as http:
        return http.post(ESTIMATE, json=body)


def test_units_cost_what_the_catalogue_says(api: Api) -> None:
    named = {"test/blank": {"unit_quantity": 250}, "test/blank/deep/down": {"unit_quantity": 0.5}}
    answer = ask(api, {"estimate_type": "unit_price", "endpoints": named})
    assert answer.json() == {"estimate_type": "unit_price", "total_cost": pytest.approx(0.2505), "currency": "USD"}


def test_calls_cost_what_the_tenants_used_to(api: Api) -> None:
    key = api.stranger()
    body = {"estimate_type": "historical_api_price", "endpoints": {"test/blank": {"call_quantity": 10}}}
    assert (answer := ask(api, body, key)).status_code == 404, answer.text
    with api.http(key=key) as http:
        for count in (1, 2, 6):
            made = http.post("/queue/test/blank", json={"prompt": "a", "num_images": count}).json()["request_id"]
            api.finish(api.take(made))
        failed = http.post("/queue/test/blank", json={"prompt": "a", "num_images": 8}).json()["request_id"]
        api.fail(api.take(failed), "sample_failed")
    assert ask(api, body, key).json()["total_cost"] == pytest.approx(10 * 0.003)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "estimate_type"),
        ([], "estimate_type"),
        ({"estimate_type": ["unit_price"]}, "estimate_type"),
        ({"estimate_type": "unit_price"}, "endpoints"),
        ({"estimate_type": "unit_price", "endpoints": {}}, "endpoints"),
        ({"estimate_type": "unit_price", "endpoints": {"test/blank": 3}}, "unit_quantity"),
        ({"estimate_type": "unit_price", "endpoints": {"test/blank": {"call_quantity": 3}}}, "unit_quantity"),
        ({"estimate_type": "unit_price", "endpoints": {"test/blank": {"unit_quantity": -1}}}, "unit_quantity"),
        ({"estimate_type": "unit_price", "endpoints": {"test/blank": {"unit_quantity": 1e300}}}, "unit_quantity"),
        ({"estimate_type": "unit_price", "endpoints": {"test/blank": {"unit_quantity": True}}}, "unit_quantity"),
    ],
)
def test_what_cannot_be_estimated_is_refused_by_name(api: Api, body: Any, field: str) -> None:
    answer = ask(api, body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "validation_error")
    assert field in answer.json()["error"]["message"]


def test_an_unknown_endpoint_and_a_missing_key(api: Api) -> None:
    body = {"estimate_type": "unit_price", "endpoints": {"no/such": {"unit_quantity": 1}}}
    assert ask(api, body).json()["error"]["type"] == "not_found"
    assert ask(api, body, key=None).json()["error"]["type"] == "authorization_error"
