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

from laterna import tracing
from laterna.api.app import create_app
from laterna.api.hosts import FAL_HOSTS
from laterna.api.services import Services
from laterna.api.webhook_bodies import webhook_body
from laterna.billing.books import Books
from laterna.catalog.catalog import Catalog
from laterna.clock import Clock, SystemClock
from laterna.config import Settings
from laterna.dispatch.dispatch import Dispatch
from laterna.dispatch.estimates import Estimates
from laterna.dispatch.etas import Etas
from laterna.dispatch.floor import Floor
from laterna.dispatch.janitor import Janitor
from laterna.dispatch.shared_secrets import SharedSecrets
from laterna.dispatch.signing import SigningKeys
from laterna.dispatch.webhooks import Webhooks
from laterna.errors import LaternaError
from laterna.fleet.local import LocalFleet
from laterna.logs import configure_logs
from laterna.media.fetch import Fetcher
from laterna.media.objects import IMPATIENT, MediaStore
from laterna.media.parts import Parts
from laterna.media.signatory import Signatory
from laterna.requests.files import Files
from laterna.requests.live import Board
from laterna.requests.requests import Requests
from laterna.server.address import Address, reachable, served_names, url_host
from laterna.server.devices import stations
from laterna.server.listeners import Listeners, bind
from laterna.store.store import Store
from laterna.tenants.keys import Keys
from laterna.tenants.tenants import Tenants
from laterna.tenants.tokens import Tokens
from laterna.tls.certificates import CertificatePaths, ensure_certificates
from laterna.tls.intercept import Intercept

log = structlog.get_logger(__name__)


End = asyncio.Future[None]  # done when the server is to stop; with an exception where a part of it broke


async def serve(settings: Settings, up: Callable[[Address], None]) -> None:
    """Run until SIGINT or SIGTERM; `up` is called once the server answers.

    Raises ConfigError where it cannot start, LaternaError where a part of it broke.
    """
    loop = asyncio.get_running_loop()
    end: End = loop.create_future()

    def stop() -> None:
        if not end.done():
            end.set_result(None)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    configure_logs(settings.log_level, settings.log_json)
    async with running(settings, end) as address:
        up(address)
        try:
            await end
        except Exception as error:
            raise LaternaError(f"the server stopped because a part of it broke, see its log: {error!r}") from error
        log.info("stopping: running requests go back to the queue")


@asynccontextmanager
async def running(settings: Settings, end: End) -> AsyncIterator[Address]:
    """A server, while the context is open."""
    async with AsyncExitStack() as stack:
        tracing.start(settings.traces)
        stack.callback(tracing.stop)
        catalog, clock = Catalog.load(settings.cards_folder), SystemClock()
        store = await Store.open(settings)
        stack.push_async_callback(store.close)
        settings.address_file.unlink(missing_ok=True)  # of a server that was killed
        plain = stack.enter_context(bind(settings.host, settings.port, "port"))
        tls = stack.enter_context(bind(settings.host, settings.tls_port, "tls-port"))
        certificates = await asyncio.to_thread(ensure_certificates, settings.data / "tls", served_names(settings))
        cdn = f"http://{url_host(settings.host)}:{plain.getsockname()[1]}/cdn"
        services = await _work(settings, clock, catalog, store, stack, cdn, end)
        yield await _open(settings, services, (plain, tls), certificates, stack)


async def _work(
    settings: Settings, clock: Clock, catalog: Catalog, store: Store, stack: AsyncExitStack, cdn: str, end: End
) -> Services:
    """Everything behind the API: queue, dispatch, workers, deliveries."""
    keys = Keys(store, clock)
    await keys.ensure_first(settings.key_file)
    stack.push_async_callback(keys.note_uses)
    _keep(stack, _now_and_then(keys.note_uses), end)
    board, media = Board(), MediaStore(settings.media_place, IMPATIENT)
    workplaces = stations(settings)
    estimates = Estimates({station.name: station.costs_file for station in workplaces})
    etas = Etas(catalog, estimates, clock, settings.data / "etas.json")
    stack.callback(etas.save)
    requests = Requests(store, clock, settings, webhook_body(catalog, cdn, estimates.progress), etas.check)
    await requests.recover()
    dispatch = Dispatch(requests, catalog, board, estimates, etas, clock, settings)
    floor = Floor(dispatch, lambda: dispatch.windows, estimates, etas, clock)
    await asyncio.to_thread(Signatory.open, settings.signatory)  # what is wrong with it is said here, not by workers
    fleet = LocalFleet(workplaces, floor)
    dispatch.attach(fleet)
    fleet.start()
    _keep(stack, fleet.watch(), end)
    stack.push_async_callback(fleet.stop)
    stack.push_async_callback(dispatch.stop)
    fetcher, signing = Fetcher(allow=settings.fetch_networks()), SigningKeys.open(settings.data, clock)
    shared = SharedSecrets.open(settings.data, clock)
    _keep(stack, dispatch.run(), end)
    _keep(stack, Webhooks(requests, fetcher, signing, shared, clock, dispatch.logged).run(), end)
    _keep(stack, Janitor(requests, media, Parts(media), clock, settings).run(), end)
    return Services(
        settings=settings,
        clock=clock,
        catalog=catalog,
        requests=requests,
        board=board,
        files=Files(store, clock),
        keys=keys,
        books=Books(store, clock),
        tokens=Tokens.open(settings.data, clock),
        tenants=Tenants(store, clock, settings),
        media=media,
        eta=etas.eta,
        progress=estimates.progress,
        canceller=dispatch.cancel,
        watcher=dispatch.watch,
        wake=dispatch.wake,
        jwks=signing.jwks,
        webhook_secret=shared.secret,
        floor=floor,
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
    listeners = Listeners(
        create_app(services),
        plain,
        tls,
        certificates.certificate,
        certificates.key,
        largest_frame=round(settings.body_mb * 1_000_000),
    )
    await listeners.start()
    stack.push_async_callback(listeners.stop)
    token = secrets.token_urlsafe(24)
    tls_port = tls.getsockname()[1]
    intercept = Intercept(token=token, names=FAL_HOSTS, target=(reachable(settings.host), tls_port))
    intercept_port = await intercept.start()
    stack.push_async_callback(intercept.close)
    address = Address(
        pid=os.getpid(),
        host=reachable(settings.host),
        port=plain.getsockname()[1],
        tls_port=tls_port,
        intercept_port=intercept_port,
        intercept_token=token,
    )
    address.write(settings.address_file)
    stack.callback(settings.address_file.unlink, missing_ok=True)
    return address


def _keep(stack: AsyncExitStack, loop: Coroutine[Any, Any, None], end: End) -> None:
    """Run it beside everything else until the stack unwinds; a bug in it ends the server rather than going unseen."""
    task = asyncio.create_task(loop)
    task.add_done_callback(lambda task: _ended(task, end))
    stack.push_async_callback(_cancel, task)


async def _now_and_then(do: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Every minute."""
    while True:
        await asyncio.sleep(60)
        await do()


def _ended(task: asyncio.Task[None], end: End) -> None:
    broke = None if task.cancelled() else task.exception()
    if broke is not None:
        log.critical("a part of the server broke; stopping", exc_info=broke)
        if not end.done():
            end.set_exception(broke)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await task
