"""An OpenTelemetry collector: OTLP over HTTP, as its exporters speak it."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One span, as it came."""

    name: str
    trace: str  # hex
    id: str  # hex
    parent: str  # hex; empty: the root of its trace
    start_ns: int
    end_ns: int
    error: str  # empty: it went well
    about: dict[str, Any]
    service: str


@dataclass
class Collector:
    url: str
    spans: list[Seen] = field(default_factory=list)

    def of(self, request_id: str) -> list[Seen]:
        """All spans of the trace in which the request was submitted, in the order of their beginnings."""
        [trace] = {s.trace for s in self.spans if s.about.get("laterna.request_id") == request_id} or {""}
        return sorted((span for span in self.spans if span.trace == trace), key=lambda span: span.start_ns)


@contextmanager
def collector() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            packed = self.headers.get("content-encoding") == "gzip"
            assert self.path == "/v1/traces"
            found.spans.extend(_seen(ExportTraceServiceRequest.FromString(gzip.decompress(body) if packed else body)))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        found = Collector(url=f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


def _seen(told: ExportTraceServiceRequest) -> Iterator[Seen]:
    for resource in told.resource_spans:
        service = {item.key: item.value.string_value for item in resource.resource.attributes}["service.name"]
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Seen(
                    name=span.name,
                    trace=span.trace_id.hex(),
                    id=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    start_ns=span.start_time_unix_nano,
                    end_ns=span.end_time_unix_nano,
                    error=span.status.message if span.status.code == 2 else "",
                    about={item.key: _value(item.value) for item in span.attributes},
                    service=service,
                )


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))
