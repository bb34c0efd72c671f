"""A real server and its worker, seen from outside: one trace for a request, its timeline, and logs that name it."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from tests.e2e.collector import Collector, Seen, collector
from tests.e2e.conftest import Server, wait_for

Start = Callable[..., Server]
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
DONE = ["queue", "encode", "denoise", "decode", "store", "settle"]  # and, where the model was not in memory yet, load
NO_TRACEPARENTS = ["", "nonsense", f"00-{TRACE}-{SPAN}", f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01"]


@pytest.fixture
def seen() -> Iterator[Collector]:
    with collector() as found:
        yield found


def submit(server: Server, traceparent: str | None = None, **body: Any) -> str:
    with server.http(**({} if traceparent is None else {"traceparent": traceparent})) as http:
        answer = http.post("/queue/test/slow", json={"prompt": "x", "num_inference_steps": 3, **body})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["request_id"])


def detail(server: Server, request: str) -> dict[str, Any]:
    with server.http() as http:
        body: dict[str, Any] = http.get(f"/platform/v1/models/requests/{request}").json()
    return body


def unloaded(stages: list[str]) -> list[str]:
    """Without the loading, which only those wait for who come before the model is in memory."""
    return [stage for stage in stages if stage != "load"]


def below(spans: list[Seen], parent: Seen) -> list[Seen]:
    return [span for span in spans if span.parent == parent.id]


def test_a_request_is_one_trace_of_the_clients_own_and_its_parts_are_the_timelines(
    servers: Start, seen: Collector
) -> None:
    server = servers("--set", f"traces={seen.url}")
    request = submit(server, f"00-{TRACE}-{SPAN}-01", num_images=2)
    strangers = [submit(server, text) for text in NO_TRACEPARENTS]
    unsampled = submit(server, f"00-{TRACE[::-1]}-{SPAN}-00")
    for one in (request, *strangers, unsampled):
        server.until(one, "COMPLETED")
    timeline = detail(server, request)["timeline"]
    assert server.stop() == 0
    spans = seen.of(request)
    assert {(span.trace, span.service) for span in spans} == {(TRACE, "laterna")}
    [root] = [span for span in spans if span.parent == SPAN]
    assert (root.name, root.about["laterna.endpoint"], root.error) == ("submit", "test/slow", "")
    passed = sorted(below(spans, root), key=lambda span: (span.start_ns, span.end_ns))
    stages = [span.name for span in passed]
    assert (stages, unloaded(stages)) == ([part["stage"] for part in timeline], DONE)
    for span, part in zip(passed, timeline, strict=True):
        assert (span.end_ns - span.start_ns) / 1e9 == pytest.approx(part["seconds"], abs=1e-6)
        assert (span.about["laterna.request_id"], span.error) == (request, "")
    assert all(one.end_ns == other.start_ns for one, other in pairwise(passed))
    [denoise] = [span for span in passed if span.name == "denoise"]
    batches = below(spans, denoise)
    assert sum(span.about["laterna.calls"] for span in batches) == denoise.about["laterna.calls"] >= 3
    least_ns, most_ns = denoise.start_ns - 1000, denoise.end_ns + 1000  # parts begin at whole microseconds
    assert all(least_ns <= span.start_ns <= span.end_ns <= most_ns for span in batches)
    assert max(span.about["laterna.most_samples"] for span in batches) >= 2
    traces = {span.trace for one in strangers for span in seen.of(one) if span.name == "submit" and not span.parent}
    assert len(traces | {TRACE}) == len(strangers) + 1, "what is no context begins a trace of its own"
    assert seen.of(unsampled) == [], "its client does not want it"


def test_the_timeline_adds_up_with_what_it_waited_for(servers: Start) -> None:
    server = servers()
    first, second = submit(server, num_inference_steps=8), submit(server, acceleration="none")
    for request in (first, second):
        server.until(request, "COMPLETED")
        body = detail(server, request)
        parts = body["timeline"]
        assert unloaded([part["stage"] for part in parts]) == DONE
        for one, other in pairwise(parts):
            assert one["start_seconds"] + one["seconds"] == pytest.approx(other["start_seconds"], abs=1e-9)
        assert parts[0]["start_seconds"] == 0
        [attempt] = body["attempts"]
        for stage in ("encode", "denoise", "decode"):
            [part] = [part for part in parts if part["stage"] == stage]
            calls = sum(span["seconds"] for span in attempt["timeline"] if span["stage"] == stage)
            assert 0 < calls <= part["seconds"] + 1e-6
    assert server.stop() == 0


def test_a_killed_worker_leaves_no_hole_in_the_trace(servers: Start, seen: Collector) -> None:
    server = servers("--set", f"traces={seen.url}")
    request = submit(server, f"00-{TRACE}-{SPAN}-01", num_inference_steps=20)
    server.until(request, "IN_PROGRESS")
    os.kill(server.worker().pid, signal.SIGKILL)
    server.until(request, "COMPLETED")
    assert server.stop() == 0
    spans = seen.of(request)
    [root] = [span for span in spans if span.name == "submit"]
    passed = sorted(below(spans, root), key=lambda span: (span.start_ns, span.end_ns))
    assert unloaded([span.name for span in passed]) == ["queue", "run", *DONE]
    assert [span.name for span in passed if span.error] == ["run"]
    assert [span.about["laterna.attempt"] for span in passed] == [1, 1, *[2] * (len(passed) - 2)]
    assert all(one.end_ns == other.start_ns for one, other in pairwise(passed))


def test_a_cancelled_and_a_refused_request_end_as_errors(servers: Start, seen: Collector) -> None:
    server = servers("--set", f"traces={seen.url}")
    request = submit(server, num_inference_steps=50)
    with server.http() as http:
        assert http.put(f"/queue/test/slow/requests/{request}/cancel").status_code == 202
        assert http.post("/queue/test/slow", json={"prompt": 7}).status_code == 422
    server.until(request, "COMPLETED")
    assert server.stop() == 0
    assert seen.of(request)[-1].error == "client_cancelled"
    [refused] = [span for span in seen.spans if span.name == "submit" and span.error]
    assert "laterna.request_id" not in refused.about


def test_a_collector_that_is_gone_costs_no_request_and_no_end(servers: Start) -> None:
    with socket.socket() as taken:  # bound, and never listened on: whoever connects is refused
        taken.bind(("127.0.0.1", 0))
        server = servers("--set", f"traces=http://127.0.0.1:{taken.getsockname()[1]}")
        request = submit(server)
        assert server.until(request, "COMPLETED")["status"] == "COMPLETED"
        assert server.result(request).status_code == 200
        assert server.stop() == 0


def test_lines_about_a_request_name_it_and_its_tenant_in_every_process(servers: Start) -> None:
    server = servers("--set", "log_json=true", "--set", "log_level=debug")
    request = submit(server)
    server.until(request, "COMPLETED")

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in (server.data / "stderr").read_text().splitlines()]

    def told() -> dict[str, dict[str, Any]] | None:
        found = {line["event"]: line for line in lines() if line.get("request_id") == request}
        wanted = {"request submitted", "request taken", "request finished", "request done", "http"}
        return found if wanted <= found.keys() else None

    found = wait_for(told)
    assert len({line["tenant"] for line in found.values()}) == 1
    assert [name for name in ("request taken", "request finished") if "worker" not in found[name]] == []
    (up,) = [line for line in lines() if line["event"] == "laterna is up"]
    assert up["http"] == server.address.http
    assert server.stop() == 0
    assert all({"event", "level", "timestamp"} <= line.keys() for line in lines()), "every line is one"
    assert server.key not in json.dumps(lines())
