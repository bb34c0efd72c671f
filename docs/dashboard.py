"""The Grafana dashboard of a server's metrics, `docs/grafana.json`: rows of panels, each with its queries."""

from __future__ import annotations

import json
from typing import Any

WIDTH, HEIGHT, COLUMNS = 8, 8, 3  # of a panel, in Grafana's grid of 24; panels in a row

Query = tuple[str, str]  # PromQL, legend


def _rate(metric: str, by: str) -> str:
    return f"sum by ({by}) (rate({metric}[$__rate_interval]))"


def _quantile(share: float, metric: str, by: str) -> Query:
    labels = by.replace(", ", " ").split()
    legend = " ".join([f"p{share * 100:g}", *(f"{{{{{label}}}}}" for label in labels)])
    return f"histogram_quantile({share:g}, {_rate(f'{metric}_bucket', ', '.join(['le', *labels]))})", legend


def _mean(metric: str, by: str) -> str:
    return f"{_rate(f'{metric}_sum', by)} / {_rate(f'{metric}_count', by)}"


PANELS: list[tuple[str, str, list[Query]]] = [  # title, Grafana's unit, queries
    ("Ready", "bool", [
        ("laterna_ready", "server"),
        ("laterna_dispatches", "dispatches {{instance}}"),
        ("laterna_worker_ready", "{{worker}}"),
    ]),
    ("Queue", "short", [("sum by (class, state) (laterna_requests)", "{{class}} {{state}}")]),
    ("Oldest that waits", "s", [("laterna_oldest_seconds", "{{class}}")]),
    ("Accepted and ended", "reqps", [
        (_rate("laterna_submitted_total", "class"), "accepted {{class}}"),
        (_rate("laterna_ended_total", "outcome"), "{{outcome}}"),
    ]),
    ("Failures by error", "reqps", [(_rate('laterna_ended_total{error!=""}', "error"), "{{error}}")]),
    ("From submission to result", "s", [
        _quantile(0.5, "laterna_took_seconds", "model"), _quantile(0.99, "laterna_took_seconds", "model"),
    ]),
    ("Wait for the first device call", "s", [
        _quantile(0.5, "laterna_waited_seconds", "class"), _quantile(0.99, "laterna_waited_seconds", "class"),
    ]),
    ("Device time in use", "percentunit", [(_rate("laterna_device_busy_seconds_total", "worker"), "{{worker}}")]),
    ("Device calls", "s", [(_mean("laterna_call_seconds", "model, stage"), "{{model}} {{stage}}")]),
    ("Samples in a call", "short", [(_mean("laterna_batch", "model, stage"), "{{model}} {{stage}}")]),
    ("Models in memory", "short", [("laterna_resident", "{{worker}} {{model}}")]),
    ("Leases", "short", [
        ("laterna_leases", "{{worker}} holds"),
        ("sum(increase(laterna_leases_lost_total[$__range]))", "lost"),
        (_rate("laterna_leased_total", "worker"), "{{worker}} given a second"),
    ]),
    ("Workers' deaths", "short", [("sum by (worker) (increase(laterna_worker_deaths_total[$__range]))", "{{worker}}")]),
    ("HTTP, p99", "s", [_quantile(0.99, "laterna_http_seconds", "route")]),
    ("HTTP, answers", "reqps", [(_rate("laterna_http_seconds_count", "status"), "{{status}}")]),
    ("Refusals by error", "reqps", [(_rate("laterna_refusals_total", "error"), "{{error}}")]),
    ("Webhooks", "short", [
        (_rate("laterna_webhook_tries_total", "went"), "{{went}} a second"), ("laterna_webhooks_due", "due"),
    ]),
    ("Commits of the store", "s", [
        (f"{_mean('laterna_commit_seconds', 'job')}", "mean"), _quantile(0.99, "laterna_commit_seconds", ""),
    ]),
    ("Writes in a commit", "short", [(_mean("laterna_commit_writes", "job"), "mean")]),
    ("Server's memory", "bytes", [("process_resident_memory_bytes", "{{job}}")]),
    ("Server's CPU", "percentunit", [("rate(process_cpu_seconds_total[$__rate_interval])", "{{job}}")]),
]  # fmt: skip


def dashboard() -> str:
    """As Grafana imports it: it asks for the Prometheus data source."""
    board = {
        "title": "Laterna",
        "uid": "laterna",
        "schemaVersion": 41,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [{"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"}]
        },
        "panels": [_panel(number, *panel) for number, panel in enumerate(PANELS)],
    }
    return json.dumps(board, indent=1) + "\n"


def _panel(number: int, title: str, unit: str, queries: list[Query]) -> dict[str, Any]:
    row, column = divmod(number, COLUMNS)
    source = {"type": "prometheus", "uid": "${source}"}
    targets = [
        {"refId": chr(ord("A") + n), "expr": expression, "legendFormat": legend, "datasource": source}
        for n, (expression, legend) in enumerate(queries)
    ]
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": title,
        "datasource": source,
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": targets,
    }
