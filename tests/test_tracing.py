"""Traces that are off cost nothing and need nothing; what they need is named where it is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from laterna import tracing
from laterna.errors import ConfigError


def test_off_there_are_no_spans_and_nothing_is_loaded() -> None:
    code = """
import sys
import laterna.server.server
from laterna import tracing
tracing.start("")
with tracing.serving("submit", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", {}) as span:
    span.tell({"a": 1})
    assert span.traceparent is None
assert not tracing.on()
tracing.stop()
print(sorted(name for name in sys.modules if name.startswith("opentelemetry.sdk")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_without_its_packages_the_setting_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigError, match=r"laterna\[traces\]"):
        tracing.start("http://localhost:4318")
    assert not tracing.on()
