"""`/metrics`: what the server measures, as Prometheus reads it. For the operator: a key of the first tenant with the
scope ADMIN or METRICS; with the setting `metrics_open`, for anybody who reaches the server.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from laterna import metrics
from laterna.api.services import Services
from laterna.dispatch.floor import Device
from laterna.errors import Forbidden
from laterna.requests.requests import Census
from laterna.store.states import LEASED, QUEUED, RUNNING, SCHEDULED
from laterna.tenants.caller import ADMIN, DEFAULT_TENANT, METRICS

STATES = (SCHEDULED, QUEUED, LEASED, RUNNING)


class Metrics:
    """One path, on every host."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        return [Route("/metrics", self.metrics, methods=["GET"])]

    async def metrics(self, request: Request) -> Response:
        if not self._services.settings.metrics_open:
            await self._check(request)
        found = await self._services.requests.census()
        _show(found, self._services.clock.now_us())
        _show_devices(self._services.floor.devices())
        metrics.READY.set(self._services.problem() is None)
        return Response(generate_latest(metrics.REGISTRY), media_type=CONTENT_TYPE_LATEST)

    async def _check(self, request: Request) -> None:
        caller = await self._services.keys.authenticate(request.headers.get("authorization"))
        if caller.tenant != DEFAULT_TENANT or not caller.scopes & {ADMIN, METRICS}:
            right = f"use a key of the tenant {DEFAULT_TENANT!r} with the scope ADMIN or METRICS"
            raise Forbidden(f"metrics are the operator's: {right}")


def _show(found: Census, now_us: int) -> None:
    for number, name in enumerate(metrics.CLASSES):
        for state in STATES:
            metrics.REQUESTS.labels(name, state).set(found.counts.get((state, number), 0))
        age_us = now_us - found.oldest_us.get(number, now_us)
        metrics.OLDEST.labels(name).set(max(0, age_us) / 1e6)
    metrics.WEBHOOKS_DUE.set(found.webhooks_due)


def _show_devices(devices: Iterable[Device]) -> None:
    for gauge in (metrics.RESIDENT, metrics.WORKERS, metrics.HELD):
        gauge.clear()
    for device in devices:
        worker, window = device.window.worker, device.window
        metrics.WORKERS.labels(worker).set(window.ready)
        metrics.HELD.labels(worker).set(len(window.held))
        for model in window.resident:
            metrics.RESIDENT.labels(worker, model.partition("@")[0]).set(1)
