"""The composition root: opens the store, makes keys and certificates, starts workers and listeners, stops them."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
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
from laterna.errors import ConfigError, LaternaError
from laterna.logs import configure_logs
from laterna.media.fetch import Fetcher
from laterna.media.objects import IMPATIENT, MediaStore
from laterna.media.parts import Parts
from laterna.media.signatory import Signatory
from laterna.private import one_at_a_time, private_folder
from laterna.requests.files import Files
from laterna.requests.live import Board
from laterna.requests.requests import Requests
from laterna.server.address import Address, reachable, served_names, url_host
from laterna.server.devices import stations
from laterna.server.dispatching import Dispatching
from laterna.server.kept import End, keep
from laterna.server.listeners import Listeners, bind
from laterna.server.others import Others
from laterna.store.store import Store
from laterna.tenants.keys import Keys
from laterna.tenants.tenants import Tenants
from laterna.tenants.tokens import Tokens
from laterna.tls.certificates import CertificatePaths, ensure_certificates
from laterna.tls.intercept import Intercept

log = structlog.get_logger(__name__)


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
    secret = await _secrets(settings, clock, store, keys)
    stack.push_async_callback(keys.note_uses)
    keep(stack, _now_and_then(keys.note_uses), end)
    board, media = Board(), MediaStore(settings.media_place, IMPATIENT)
    workplaces = stations(settings)
    estimates = Estimates({station.name: station.costs_file for station in workplaces})
    etas = Etas(catalog, estimates, clock, settings.data / "etas.json")
    stack.callback(etas.save)
    requests = Requests(store, clock, settings, webhook_body(catalog, cdn, estimates.progress), etas.check)
    await asyncio.to_thread(Signatory.open, settings.signatory)  # what is wrong with it is said here, not by workers
    fetcher, logged = Fetcher(allow=settings.fetch_networks()), set[str]()
    webhooks = Webhooks(requests, fetcher, secret.signing, secret.shared, clock, logged)
    dispatching = Dispatching(
        store,
        requests,
        lambda: Dispatch(requests, catalog, board, estimates, etas, clock, settings, logged),
        workplaces,
        (webhooks.run, Janitor(requests, media, Parts(media), clock, settings).run),
        end,
        never=settings.api_only,
    )
    floor = Floor(dispatching, dispatching.windows, estimates, etas, clock)
    dispatching.attach(floor)
    others = Others(store, board, keys, dispatching, clock)
    stack.push_async_callback(dispatching.stop)
    await dispatching.look()
    for loop in (dispatching.run, others.listen, others.tell):
        keep(stack, loop(), end)
    return Services(
        settings=settings,
        clock=clock,
        catalog=catalog,
        requests=requests,
        board=board,
        files=Files(store, clock),
        keys=keys,
        books=Books(store, clock),
        tokens=secret.tokens,
        tenants=Tenants(store, clock, settings),
        media=media,
        eta=lambda view: None if dispatching.dispatch is None else etas.eta(view),
        progress=lambda request_id: None if dispatching.dispatch is None else estimates.progress(request_id),
        canceller=dispatching.cancel,
        watcher=others.watch,
        wake=dispatching.wake,
        jwks=secret.signing.jwks,
        webhook_secret=secret.shared.secret,
        floor=floor,
        problem=dispatching.problem,
        refusal=dispatching.refusal,
        role=lambda: dispatching.role,
    )


@dataclass(frozen=True, kw_only=True)
class _Secrets:
    """What all servers on a database have alike."""

    tokens: Tokens
    signing: SigningKeys
    shared: SharedSecrets


async def _secrets(settings: Settings, clock: Clock, store: Store, keys: Keys) -> _Secrets:
    """Made by whichever server starts first. Raises ConfigError where another server runs with others."""
    try:
        private_folder(settings.common)
    except OSError as error:
        raise ConfigError(f"the folder {settings.common} cannot be used: {error}; set shared to another") from error
    with ExitStack() as alone:
        await asyncio.to_thread(alone.enter_context, one_at_a_time(settings.common / "keys.lock"))
        tokens = Tokens.open(settings.common, clock)
        if not await store.be_alike(tokens.digest(settings.files)):
            raise ConfigError(
                f"the keys in {settings.common} or the bucket are not those of a server that runs on this database: "
                "set shared and files to the same for all of them"
            )
        await keys.ensure_first(settings.key_file)
        # What is wrong with the signatory is said here, not by workers.
        await asyncio.to_thread(Signatory.open, settings.signatory)
        signing, shared = SigningKeys.open(settings.common, clock), SharedSecrets.open(settings.common, clock)
        return _Secrets(tokens=tokens, signing=signing, shared=shared)


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


async def _now_and_then(do: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Every minute."""
    while True:
        await asyncio.sleep(60)
        await do()
