"""The real application on a real socket over a real store; the test does the work, through the real queue."""

from __future__ import annotations

import asyncio
import hashlib
import io
import threading
from collections.abc import Callable, Collection, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest
import uvicorn
from PIL import Image

from laterna.api.app import create_app
from laterna.api.services import Services
from laterna.api.webhook_bodies import webhook_body
from laterna.billing.books import Books
from laterna.catalog.catalog import Catalog
from laterna.clock import SystemClock
from laterna.config import Settings
from laterna.contracts.generation import TextToImage
from laterna.contracts.messages import Artifact, Failed, Finished, FromWorker, Lease, Preview, Progress
from laterna.dispatch.estimates import Estimates
from laterna.dispatch.etas import Eta, Etas
from laterna.dispatch.floor import Floor
from laterna.dispatch.shared_secrets import SharedSecrets
from laterna.dispatch.signing import SigningKeys
from laterna.dispatch.windows import Window
from laterna.errors import LaternaError
from laterna.media.objects import MediaStore, new_key
from laterna.requests.files import Files
from laterna.requests.live import Board
from laterna.requests.requests import Leased, Requests, RequestView
from laterna.store.store import Store
from laterna.tenants.caller import ADMIN, API
from laterna.tenants.keys import DEFAULT_TENANT, Keys
from laterna.tenants.tenants import Tenants
from laterna.tenants.tokens import Tokens
from tests.postgres import database

T = TypeVar("T")
WAIT_SECONDS = 10.0
CARD = """
id = "test/blank"
name = "Blank"
family = "blank"
weights = "builtin:none"
revision = "1"
licence = "Apache-2.0"
resident_bytes = 1
[settings]
sampler = "euler"
guidance = "none"
size = 64
[price]
unit = "image"
nano = 1000000
[[endpoints]]
contract = "sprite.text_to_image"
category = "text-to-image"
[[endpoints]]
path = "deep/down"
contract = "sprite.text_to_image"
category = "text-to-image"
"""


def picture(colour: tuple[int, int, int] = (200, 40, 40), kind: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(data, kind)
    return data.getvalue()


class Silence:
    """Hears workers and does nothing of it."""

    async def heard(self, worker: str, message: FromWorker) -> None:
        pass

    async def lost(self, worker: str) -> None:
        pass


class Api:
    """A running application, and hands that do its work."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        (folder / "cards").mkdir(parents=True)
        (folder / "cards" / "blank.toml").write_text(CARD)
        self.settings = Settings(data=folder, store=database(folder), **settings)
        self.cancelled: list[Lease] = []
        self.watched: list[Lease] = []
        self.problem: str | None = None
        self.refusals: dict[str, LaternaError] = {}  # by card
        self._latest: dict[str, Progress] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._pool = ThreadPoolExecutor(8)

    def start(self) -> None:
        self._thread.start()
        self.call(self._start())

    def stop(self) -> None:
        self.call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._pool.shutdown()

    async def _start(self) -> None:
        clock, catalog = SystemClock(), Catalog.load(self.settings.cards_folder)
        self.store = await Store.open(self.settings)
        self.keys = Keys(self.store, clock)
        await self.keys.ensure_first(self.settings.key_file)
        self.books = Books(self.store, clock)
        self.tenants = Tenants(self.store, clock, self.settings)
        self.requests = Requests(
            self.store, clock, self.settings, webhook_body(catalog, "http://cdn", self._latest.get)
        )
        self.board, self.media = Board(), MediaStore(self.settings.media)
        self.files, self.tokens = Files(self.store, clock), Tokens.open(self.settings.data, clock)
        self.services = Services(
            settings=self.settings, clock=clock, catalog=catalog, requests=self.requests, board=self.board,
            files=self.files, keys=self.keys, tenants=self.tenants, books=self.books, tokens=self.tokens,
            media=self.media, eta=self._eta,
            progress=self._latest.get, jwks=SigningKeys.open(self.settings.data, clock).jwks,
            webhook_secret=SharedSecrets.open(self.settings.data, clock).secret,
            canceller=self._cancel, watcher=self.watched.append, wake=lambda: None, problem=lambda: self.problem,
            refusal=lambda model: self.refusals.get(model.id), floor=self._floor(catalog, clock),
        )  # fmt: skip
        config = uvicorn.Config(
            create_app(self.services), port=0, log_config=None, access_log=False, lifespan="off", proxy_headers=False,
            timeout_graceful_shutdown=2, server_header=False,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._serving = asyncio.ensure_future(self._server._serve())
        while not self._server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.005)
        self.port = int(self._server.servers[0].sockets[0].getsockname()[1])

    async def _stop(self) -> None:
        self._server.should_exit = True
        await self._serving
        await self.store.close()

    def _eta(self, view: RequestView) -> Eta:
        return Eta(seconds=1.25, low_s=1.0, high_s=2.0)

    def _floor(self, catalog: Catalog, clock: SystemClock) -> Floor:
        estimates = Estimates({})
        etas = Etas(catalog, estimates, clock)
        self.windows: dict[str, Window] = {}  # what workers hold, as the floor tells of it
        return Floor(Silence(), lambda: self.windows, estimates, etas, clock)

    async def _cancel(self, lease: Lease) -> None:
        self.cancelled.append(lease)

    # What a test does.

    @property
    def key(self) -> str:
        return self.settings.key_file.read_text().strip()

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def http(self, key: str | None = "", **headers: str) -> httpx2.Client:
        """A client with the first key, another, or (None) no key."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            given["authorization"] = f"Key {key or self.key}"
        return httpx2.Client(base_url=self.url, headers=given, timeout=WAIT_SECONDS, trust_env=False)

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it in the application's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_SECONDS)

    def beside(self, work: Callable[[], T]) -> Future[T]:
        """Run it in another thread, as a client of its own."""
        return self._pool.submit(work)

    def submit(self, endpoint: str = "test/blank", **body: Any) -> str:
        with self.http() as http:
            answer = http.post(f"/queue/{endpoint}", json={"prompt": "a fox", **body})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["request_id"])

    def take(self, request_id: str | None = None) -> Leased:
        """Lease a request as a worker would, waiting for it; all others are given back."""
        return self.call(self._take(request_id))

    async def _take(self, request_id: str | None) -> Leased:
        for _ in range(1000):
            found = await self.requests.lease("cpu", 50)
            wanted = [one for one in found if request_id in (None, one.lease.request_id)][:1]
            await self.requests.release([one.lease for one in found if one not in wanted])
            if wanted:
                self.board.changed(wanted[0].lease.request_id)
                return wanted[0]
            await asyncio.sleep(0.01)
        raise AssertionError("nothing to lease")

    def begin(self, leased: Leased) -> None:
        async def work() -> None:
            await self.requests.started(leased.lease)
            self.board.changed(leased.lease.request_id)

        self.call(work())

    def progress(self, leased: Leased, step: int, preview: bytes | None = None) -> None:
        shown = None if preview is None else Preview(index=0, content_type="image/jpeg", data=preview)
        said = Progress(
            lease=leased.lease, stage="denoise", step=step, steps=leased.generation.steps, batch=1, remaining_s=0.5,
            preview=shown,
        )  # fmt: skip

        async def work() -> None:
            self._latest[leased.lease.request_id] = said
            self.board.progress(said)

        self.call(work())

    def note(self, leased: Leased, message: str) -> None:
        async def work() -> None:
            await self.requests.note(leased.lease, "INFO", message)
            self.board.changed(leased.lease.request_id)

        self.call(work())

    def finish(self, leased: Leased, flagged: Collection[int] = ()) -> list[bytes]:
        """Settle it with pictures, some of them flagged by the safety checker; returns their bytes."""
        return self.call(self._finish(leased, flagged))

    async def _finish(self, leased: Leased, flagged: Collection[int]) -> list[bytes]:
        job = leased.generation
        assert isinstance(job, TextToImage)
        made = [picture((40 * n, 90, 30)) for n in range(job.count)]
        artifacts = []
        for index, data in enumerate(made):
            key = "" if job.inline else new_key()
            if key:
                await self.media.put(key, data)
            artifacts.append(
                Artifact(
                    index=index, seed=job.seed + index, key=key, content_type="image/png", size_bytes=len(data),
                    sha256=hashlib.sha256(data).hexdigest(), width=job.width, height=job.height,
                    data=data if job.inline else None, flagged=index in flagged,
                )
            )  # fmt: skip
        await self.requests.started(leased.lease)
        await self.requests.finish(Finished(lease=leased.lease, artifacts=artifacts, spent=[], inference_s=0.75))
        self.board.changed(leased.lease.request_id)
        return made

    def fail(self, leased: Leased, code: str, message: str = "it went wrong") -> None:
        async def work() -> None:
            await self.requests.fail(Failed(lease=leased.lease, code=code, message=message))
            self.board.changed(leased.lease.request_id)

        self.call(work())

    def done(self, endpoint: str = "test/blank", **body: Any) -> str:
        """A request that ended well."""
        request_id = self.submit(endpoint, **body)
        self.finish(self.take(request_id))
        return request_id

    def stranger(self) -> str:
        """The key of another tenant."""

        async def work() -> str:
            tenant = await self.tenants.create(f"stranger-{new_key()}")
            return (await self.keys.create(tenant.id, "its", (API, ADMIN))).text

        return self.call(work())

    def empty(self) -> None:
        """End whatever earlier tests left waiting."""

        async def work() -> None:
            while found := await self.requests.lease("cpu", 100):
                for one in found:
                    await self.requests.fail(Failed(lease=one.lease, code="sample_failed", message="left over"))

        self.call(work())

    def state(self, request_id: str) -> str:
        view = self.call(self.requests.get(DEFAULT_TENANT, request_id))
        return view.outcome or view.state


@contextmanager
def running(folder: Path, **settings: Any) -> Iterator[Api]:
    api = Api(folder, **settings)
    api.start()
    try:
        yield api
    finally:
        api.stop()


@pytest.fixture(scope="package")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running(tmp_path_factory.mktemp("api") / "data") as found:
        yield found


@pytest.fixture
def api(shared: Api) -> Api:
    """One application that tests share; its queue is empty."""
    shared.empty()
    return shared
