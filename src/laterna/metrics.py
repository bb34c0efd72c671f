"""What the server measures of itself, for Prometheus: each figure declared once, counted where it happens.

One registry a process. What stands in the store (`REQUESTS`, `OLDEST`, `WEBHOOKS_DUE`) is read when somebody asks;
`api.metrics` does. A label's values are few: models of the catalog, routes, workers, error codes; never an id.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from laterna import __version__

CLASSES = ("realtime", "normal", "low")  # by the number of a priority

_SHORT = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # seconds
_STEPS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)  # seconds
_LONG = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)  # seconds
_COUNTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256, 512)

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

BUILD = Gauge("laterna_build", "1, with the version", ["version"], registry=REGISTRY)
BUILD.labels(__version__).set(1)
DISPATCHES = Gauge(
    "laterna_dispatches", "Whether this server, of those on the database, has the workers work", registry=REGISTRY
)
READY = Gauge("laterna_ready", "Whether something can be generated now", registry=REGISTRY)

REQUESTS = Gauge("laterna_requests", "Requests that are not over", ["class", "state"], registry=REGISTRY)
OLDEST = Gauge("laterna_oldest_seconds", "Age of the oldest request that may be leased", ["class"], registry=REGISTRY)
SUBMITTED = Counter(
    "laterna_submitted", "Requests that were accepted", ["model", "dialect", "class"], registry=REGISTRY
)
ENDED = Counter(
    "laterna_ended", "Requests that ended; error is empty for those that went well", ["model", "outcome", "error"],
    registry=REGISTRY,
)  # fmt: skip
WAITED = Histogram(
    "laterna_waited_seconds", "From submission to the first device call", ["model", "class"], buckets=_LONG,
    registry=REGISTRY,
)  # fmt: skip
TOOK = Histogram(
    "laterna_took_seconds", "From submission to the end, of requests that went well", ["model", "class"],
    buckets=_LONG, registry=REGISTRY,
)  # fmt: skip

WORKERS = Gauge("laterna_worker_ready", "Whether a worker can work", ["worker"], registry=REGISTRY)
DEATHS = Counter("laterna_worker_deaths", "Worker processes that ended unasked", ["worker"], registry=REGISTRY)
HELD = Gauge("laterna_leases", "Leases that a worker holds", ["worker"], registry=REGISTRY)
LEASED = Counter("laterna_leased", "Leases given", ["worker"], registry=REGISTRY)
LOST = Counter("laterna_leases_lost", "Leases that ended by their worker's death or silence", registry=REGISTRY)
RESIDENT = Gauge("laterna_resident", "1 for each model in a device's memory", ["worker", "model"], registry=REGISTRY)
CALLS = Histogram(
    "laterna_call_seconds", "Device calls: encode, one step (denoise) or decode", ["worker", "model", "stage"],
    buckets=_STEPS, registry=REGISTRY,
)  # fmt: skip
BATCH = Histogram("laterna_batch", "Samples in a device call", ["model", "stage"], buckets=_COUNTS, registry=REGISTRY)
BUSY = Counter("laterna_device_busy_seconds", "Device time of calls", ["worker"], registry=REGISTRY)

HTTP = Histogram(
    "laterna_http_seconds", "Answers over HTTP, streams included", ["method", "route", "status"], buckets=_LONG,
    registry=REGISTRY,
)  # fmt: skip
REFUSALS = Counter("laterna_refusals", "Errors that were answered over HTTP, by code", ["error"], registry=REGISTRY)
WEBHOOKS = Counter("laterna_webhook_tries", "Deliveries that were tried: taken or failed", ["went"], registry=REGISTRY)
WEBHOOKS_DUE = Gauge("laterna_webhooks_due", "Deliveries that are still to be made", registry=REGISTRY)
COMMITS = Histogram(
    "laterna_commit_seconds", "Transactions of the store, with the wait for the disk", buckets=_SHORT,
    registry=REGISTRY,
)  # fmt: skip
WRITES = Histogram("laterna_commit_writes", "Writes that shared a transaction", buckets=_COUNTS, registry=REGISTRY)
