"""The composition root: opens the store, makes keys and certificates, starts workers and listeners, stops them."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import structlog

from laterna.api.app import create_app
from laterna.api.fal_views import webhook_body
from laterna.api.services import Services
from laterna.catalog.catalog import Catalog
from laterna.clock import Clock, SystemClock
from laterna.config import Settings
from laterna.dispatch.dispatch import Dispatch
from laterna.dispatch.estimates import Estimates
from laterna.dispatch.janitor import Janitor
from laterna.dispatch.webhooks import Webhooks
from laterna.fleet.local import LocalFleet
from laterna.media.fetch import Fetcher
from laterna.media.objects import MediaStore
from laterna.media.parts import Parts
from laterna.requests.files import Files
from laterna.requests.live import Board
from laterna.requests.requests import Requests
from laterna.server.address import Address
from laterna.server.devices import stations
from laterna.server.listeners import Listeners, bind
from laterna.server.logs import configure_logs
from laterna.store.store import Store
from laterna.tenants.keys import Keys
from laterna.tenants.tokens import Tokens
from laterna.tls.certificates import CertificatePaths, ensure_certificates
from laterna.tls.intercept import Intercept

log = structlog.get_logger(__name__)


async def serve(settings: Settings, up: Callable[[Address], None]) -> None:
    """Run until SIGINT or SIGTERM; `up` is called once the server answers. Raises ConfigError where it cannot start."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    configure_logs(settings)
    async with running(settings) as address:
        up(address)
        await stop.wait()
        log.info("stopping: running requests go back to the queue")


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Address]:
    """A server, while the context is open."""
    async with AsyncExitStack() as stack:
        catalog, clock = Catalog.load(settings.cards_folder), SystemClock()
        store = await Store.open(settings)
        stack.push_async_callback(store.close)
        plain = stack.enter_context(bind(settings.host, settings.port, "port"))
        tls = stack.enter_context(bind(settings.host, settings.tls_port, "tls-port"))
        certificates = await asyncio.to_thread(ensure_certificates, settings.data / "tls", settings.names)
        services = await _work(settings, clock, catalog, store, stack, f"http://localhost:{plain.getsockname()[1]}/cdn")
        yield await _open(settings, services, (plain, tls), certificates, stack)


async def _work(
    settings: Settings, clock: Clock, catalog: Catalog, store: Store, stack: AsyncExitStack, cdn: str
) -> Services:
    """Everything behind the API: queue, dispatch, workers, deliveries."""
    keys = Keys(store, clock)
    await keys.ensure_first(settings.key_file)
    board, media = Board(), MediaStore(settings.media)
    requests = Requests(store, clock, settings, webhook_body(catalog, cdn))
    await requests.recover()
    workplaces = stations(settings)
    estimates = Estimates(catalog, {station.name: station.costs_file for station in workplaces})
    dispatch = Dispatch(requests, catalog, board, estimates, clock, settings)
    fleet = LocalFleet(workplaces, dispatch)
    dispatch.attach(fleet)
    fleet.start()
    stack.push_async_callback(fleet.stop)
    stack.push_async_callback(dispatch.stop)
    fetcher = Fetcher(allow=settings.fetch_networks())
    _keep(stack, dispatch.run())
    _keep(stack, Webhooks(requests, fetcher).run())
    _keep(stack, Janitor(requests, media, Parts(media), clock, settings).run())
    return Services(
        settings=settings,
        clock=clock,
        catalog=catalog,
        requests=requests,
        board=board,
        files=Files(store, clock),
        keys=keys,
        tokens=Tokens.open(settings.data, clock),
        media=media,
        eta=estimates.eta,
        progress=estimates.progress,
        canceller=dispatch.cancel,
        watcher=dispatch.watch,
        wake=dispatch.wake,
        problem=fleet.problem,
        refusal=fleet.refusal,
    )


async def _open(
    settings: Settings,
    services: Services,
    sockets: tuple[socket.socket, socket.socket],
    certificates: CertificatePaths,
    stack: AsyncExitStack,
) -> Address:
    """The ways in, and the file that says where they are."""
    plain, tls = sockets
    listeners = Listeners(create_app(services), plain, tls, certificates.certificate, certificates.key)
    await listeners.start()
    stack.push_async_callback(listeners.stop)
    token = secrets.token_urlsafe(24)
    tls_port = tls.getsockname()[1]
    intercept = Intercept(token=token, tls_port=tls_port)
    intercept_port = await intercept.start()
    stack.push_async_callback(intercept.close)
    address = Address(
        pid=os.getpid(),
        host=settings.host if settings.host not in ("0.0.0.0", "::") else "127.0.0.1",
        port=plain.getsockname()[1],
        tls_port=tls_port,
        intercept_port=intercept_port,
        intercept_token=token,
    )
    address.write(settings.address_file)
    stack.callback(settings.address_file.unlink, missing_ok=True)
    return address


def _keep(stack: AsyncExitStack, loop: Coroutine[Any, Any, None]) -> None:
    """Run it beside everything else until the stack unwinds; a bug in it ends the server rather than going unseen."""
    task = asyncio.create_task(loop)
    task.add_done_callback(_ended)
    stack.push_async_callback(_cancel, task)


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.critical("a part of the server broke; stopping", exc_info=task.exception())
        os.kill(os.getpid(), signal.SIGTERM)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await task
