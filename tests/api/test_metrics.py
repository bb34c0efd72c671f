"""`/metrics`: the operator's alone, true of what happened, and all that the dashboard asks for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from laterna import metrics
from laterna.contracts.messages import Beat, Lease, Observation
from laterna.tenants.caller import ADMIN, API, METRICS
from laterna.tenants.keys import DEFAULT_TENANT
from tests.api.conftest import Api, running

DASHBOARD = Path(__file__).parents[2] / "docs" / "grafana.json"
NAME = re.compile(r"\b(?:laterna|process)_\w+")


def figures(api: Api) -> Callable[..., float]:
    """What is exported now: of a name and labels, the sum."""
    with api.http() as http:
        answer = http.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    samples = [one for family in text_string_to_metric_families(answer.text) for one in family.samples]

    def of(name: str, **labels: str) -> float:
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())

    return of


def test_metrics_are_the_operators(api: Api) -> None:
    async def key(tenant: str, *scopes: str) -> str:
        return (await api.keys.create(tenant, "k", scopes)).text

    async def other() -> str:
        return (await api.tenants.create("watched")).id

    stranger = api.call(other())
    tried = {
        None: 401,
        api.call(key(DEFAULT_TENANT, METRICS)): 200,
        api.call(key(DEFAULT_TENANT, ADMIN)): 200,
        api.call(key(DEFAULT_TENANT, API)): 403,
        api.call(key(stranger, API, ADMIN, METRICS)): 403,
    }
    for text, status in tried.items():
        with api.http(key=text) as http:
            assert http.get("/metrics").status_code == status


def test_a_metrics_key_opens_nothing_else(api: Api) -> None:
    async def key() -> str:
        return (await api.keys.create(DEFAULT_TENANT, "k", (METRICS,))).text

    with api.http(key=api.call(key())) as http:
        assert http.post("/queue/test/blank", json={"prompt": "a fox"}).status_code == 403


def test_an_open_server_asks_for_no_key(tmp_path: Path) -> None:
    with running(tmp_path / "data", metrics_open=True) as api, api.http(key=None) as http:
        assert http.get("/metrics").status_code == 200


def test_a_request_is_seen_all_its_life(api: Api) -> None:
    before = figures(api)
    request_id = api.submit()
    queued = figures(api)
    assert queued("laterna_requests", **{"class": "normal", "state": "queued"}) == 1
    assert queued("laterna_oldest_seconds", **{"class": "normal"}) > 0
    leased = api.take(request_id)
    api.begin(leased)
    held = figures(api)
    assert held("laterna_requests", state="queued") == 0
    assert held("laterna_requests", **{"class": "normal", "state": "running"}) == 1
    api.finish(leased)
    after = figures(api)
    assert after("laterna_requests") == before("laterna_requests")
    for name, labels in {
        "laterna_submitted_total": {"model": "test/blank", "dialect": "fal", "class": "normal"},
        "laterna_leased_total": {"worker": "cpu"},
        "laterna_waited_seconds_count": {"model": "test/blank"},
        "laterna_ended_total": {"model": "test/blank", "outcome": "ok", "error": ""},
        "laterna_took_seconds_count": {"model": "test/blank", "class": "normal"},
        "laterna_http_seconds_count": {"method": "POST", "status": "200"},
    }.items():
        assert after(name, **labels) == before(name, **labels) + 1, name
    assert after("laterna_commit_seconds_count") > before("laterna_commit_seconds_count")


def test_failures_and_refusals_are_counted_by_code(api: Api) -> None:
    before = figures(api)
    api.fail(api.take(api.submit()), "sample_failed")
    with api.http(key="nobody:nothing") as http:
        http.post("/queue/test/blank", json={"prompt": "a fox"})
        http.get("/queue/test/blank/" + "x" * 30)
        http.request("PROPFIND", "/health")
    after = figures(api)
    for name, labels in {
        "laterna_ended_total": {"outcome": "failed", "error": "sample_failed"},
        "laterna_http_seconds_count": {"method": "other", "status": "405"},
    }.items():
        assert after(name, **labels) == before(name, **labels) + 1, name
    assert after("laterna_refusals_total", error="unauthorized") > before(
        "laterna_refusals_total", error="unauthorized"
    )


def test_device_calls_are_counted(api: Api) -> None:
    before = figures(api)
    call = Observation(model="test/blank@1", stage="denoise", tokens=16, batch=3, device_ns=250_000_000)
    beat = Beat(leases=list[Lease](), resident=[], observed=[call, call])

    async def hear() -> None:
        metrics.BUSY.labels("cpu")
        await api.services.floor.heard("cpu", beat)

    api.call(hear())
    after = figures(api)
    labels = {"model": "test/blank", "stage": "denoise"}
    assert (
        after("laterna_call_seconds_count", worker="cpu", **labels)
        == before("laterna_call_seconds_count", **labels) + 2
    )
    assert after("laterna_batch_sum", **labels) == before("laterna_batch_sum", **labels) + 6
    busy = "laterna_device_busy_seconds_total"
    assert abs(after(busy, worker="cpu") - before(busy, worker="cpu") - 0.5) < 1e-6


def test_the_dashboard_asks_for_what_is_exported_and_for_all_of_it() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = {name for panel in panels for target in panel["targets"] for name in NAME.findall(target["expr"])}
    collectors: list[Any] = list(metrics.REGISTRY._collector_to_names)
    described = [
        family for collector in collectors if hasattr(collector, "describe") for family in collector.describe()
    ]
    suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    own = {family.name: [family.name + end for end in suffixes[family.type]] for family in described}
    exported = {name for names in own.values() for name in names}
    exported |= {sample.name for family in metrics.REGISTRY.collect() for sample in family.samples}
    assert asked <= exported, asked - exported
    unseen = {family for family, names in own.items() if not asked & set(names)}
    assert unseen <= {"laterna_build"}, unseen
