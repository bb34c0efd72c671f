"""Traces: what requests went through, as spans of OpenTelemetry, sent to a collector where the operator names one.

Off, everything here costs next to nothing and needs no package. A span's context is text, a `traceparent` header of W3C
Trace Context: it is stored with the request, so that what is known of it later comes into the same trace. Spans are
made for a request and for what becomes of it, never for a step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from laterna import __version__
from laterna.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, SpanKind

HEADER = "traceparent"
Value = str | int | float | bool

_EXPORT_SECONDS = 5.0  # that a batch of spans may take on its way: a silent collector holds up the server's end so long
_LONGEST_REASON = 500  # characters
_provider: TracerProvider | None = None  # None while traces are off


def start(collector: str) -> None:
    """Send spans to the collector, a URL such as http://localhost:4318, from now on; without a URL, do nothing.

    What the SDK reads from the environment holds: OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS and so on. Raises
    ConfigError where its packages are missing.
    """
    global _provider
    if not collector:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as missing:
        raise ConfigError(
            f"traces = {collector!r}, but {missing.name} is not installed: `pip install 'laterna[traces]'`, or leave "
            "the setting away"
        ) from missing
    _provider = TracerProvider(resource=Resource.create({"service.name": "laterna", "service.version": __version__}))
    exporter = OTLPSpanExporter(f"{collector.rstrip('/')}/v1/traces", timeout=_EXPORT_SECONDS)
    _provider.add_span_processor(BatchSpanProcessor(exporter))


def stop() -> None:
    """Send what is left, and nothing more from now on."""
    global _provider
    provider, _provider = _provider, None
    if provider is not None:
        provider.shutdown()


def on() -> bool:
    """Whether spans are sent."""
    return _provider is not None


class Made:
    """A span under way; nothing where traces are off."""

    def __init__(self, span: Span | None) -> None:
        self._span = span
        self.traceparent = None if span is None else _context(span)

    def tell(self, about: Mapping[str, Value]) -> None:
        """Add attributes."""
        if self._span is not None:
            self._span.set_attributes(_named(about))


@contextmanager
def serving(name: str, parent: str | None, about: Mapping[str, Value]) -> Iterator[Made]:
    """A span of what is done meanwhile for a client, whose `traceparent` header is `parent`.

    Without one, or with one that is none, it begins a trace of its own. An exception ends it as an error, and goes on.
    """
    if _provider is None:
        yield Made(None)
        return
    from opentelemetry.trace import SpanKind

    span = _begin(_provider, name, parent, SpanKind.SERVER, about)
    try:
        yield Made(span)
    except BaseException as error:
        _fail(span, f"{type(error).__name__}: {error}")
        raise
    finally:
        span.end()


def record(name: str, parent: str, start_ns: int, end_ns: int, error: str | None, about: Mapping[str, Value]) -> str:
    """A span of what is over, in UTC nanoseconds; returns its context, for those below it."""
    if _provider is None:
        return parent
    from opentelemetry.trace import SpanKind

    span = _begin(_provider, name, parent, SpanKind.INTERNAL, about, start_ns)
    if error is not None:
        _fail(span, error)
    span.end(max(start_ns, end_ns))
    return _context(span)


def _begin(
    provider: TracerProvider,
    name: str,
    parent: str | None,
    kind: SpanKind,
    about: Mapping[str, Value],
    start_ns: int | None = None,
) -> Span:
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = TraceContextTextMapPropagator().extract({} if parent is None else {HEADER: parent}, Context())
    tracer = provider.get_tracer("laterna", __version__)
    return tracer.start_span(name, context, kind, _named(about), start_time=start_ns)


def _context(span: Span) -> str:
    made = span.get_span_context()
    return f"00-{made.trace_id:032x}-{made.span_id:016x}-{made.trace_flags:02x}"


def _named(about: Mapping[str, Value]) -> dict[str, Value]:
    return {f"laterna.{name}": value for name, value in about.items()}


def _fail(span: Span, why: str) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_status(Status(StatusCode.ERROR, why[:_LONGEST_REASON]))
