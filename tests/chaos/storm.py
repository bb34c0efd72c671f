"""A server that clients use while it, its worker and its database are killed at random, as by a failing machine.

`Keeper` starts the server again whenever it is dead, as a service manager does. `Clients` send requests, each under an
idempotency key and again and again until it is acknowledged, as any client that cannot lose one does. `Killer` kills.
What must hold afterwards, `test_chaos` says.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any, Protocol

import httpx2
import psutil
from sqlalchemy import text

from laterna.config import Settings
from laterna.server.address import read_address
from laterna.store.store import reading_engine
from tests.e2e.conftest import Server, start, wait_for

CLIENTS = 6
PATIENCE_SECONDS = 120.0  # for one request to be acknowledged
FLAGS = ("--set", "attempts=10", "--set", "fetch_allow=127.0.0.0/8")  # few kills end a request; webhooks come here


class Database(Protocol):
    """One that can be killed."""

    def crash(self) -> None: ...


class Keeper:
    """Keeps one server alive on a data folder."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = threading.Event()
        self.starts = 0
        self.server = self._start()
        self._thread = threading.Thread(target=self._keep)
        self._thread.start()

    def _start(self) -> Server:
        """Tried until it starts: its database may be starting too."""
        while True:
            self.starts += 1
            with contextlib.suppress(AssertionError):  # it said why on its stderr and ended
                return start(self._settings.data, *FLAGS, LATERNA_STORE=self._settings.store)
            time.sleep(0.2)

    def _keep(self) -> None:
        while not self._stopping.wait(0.05):
            if self.server.process.poll() is not None:
                self.server = self._start()

    def kill(self) -> None:
        self.server.process.kill()

    def kill_worker(self) -> None:
        """Nothing where there is none at the moment."""
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            for child in psutil.Process(self.server.process.pid).children():
                if "laterna.worker" in child.cmdline():
                    os.kill(child.pid, signal.SIGKILL)

    def stop(self) -> int:
        """Its exit status, asked to end as an operator asks."""
        self._stopping.set()
        self._thread.join()
        return self.server.stop()


class Killer:
    """Kills somebody again and again."""

    def __init__(self, keeper: Keeper, database: Database | None, every_s: float, chance: Random) -> None:
        self.kills: Counter[str] = Counter()
        self._every_s, self._chance = every_s, chance
        self._victims: dict[str, Callable[[], None]] = {"server": keeper.kill, "worker": keeper.kill_worker}
        if database is not None:
            self._victims["database"] = database.crash
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._kill)
        self._thread.start()

    def _kill(self) -> None:
        while not self._stopping.wait(self._chance.uniform(0.2, 1.8) * self._every_s):
            for name in self._chance.sample(sorted(self._victims), self._chance.choice((1, 1, 1, 2))):
                self._victims[name]()
                self.kills[name] += 1

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()


@dataclass
class Sent:
    """One request that a client has, as it knows it."""

    mark: str  # its idempotency key
    images: int
    cancelled: bool  # whether its client asked for that, and was told that it will be
    webhook: bool
    request_id: str | None = None  # absent: it was never acknowledged


@dataclass
class Clients:
    """Sends so many requests in so many seconds."""

    keeper: Keeper
    receiver: str  # address of webhooks
    count: int
    seconds: float
    seed: int
    sent: list[Sent] = field(default_factory=list)
    tries: int = 0

    def run(self) -> None:
        threads = [threading.Thread(target=self._client, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _client(self, number: int) -> None:
        chance, began = Random(self.seed * 1000 + number), time.monotonic()
        mine = range(number, self.count, CLIENTS)
        for index in mine:
            time.sleep(max(0.0, began + self.seconds * index / self.count - time.monotonic()))
            one = Sent(
                mark=f"storm-{index}", images=chance.choice((1, 1, 2)), cancelled=False, webhook=chance.random() < 0.3
            )
            self.sent.append(one)
            one.request_id = self._submit(one, chance.choice(("test/blank", "test/slow")), chance.randrange(1, 8))
            if one.request_id is not None and chance.random() < 0.1:
                one.cancelled = self._cancel(one.request_id)

    def _submit(self, one: Sent, endpoint: str, steps: int) -> str | None:
        query = {"fal_webhook": f"{self.receiver}/{one.mark}"} if one.webhook else {}
        body = {"prompt": one.mark, "num_images": one.images, "num_inference_steps": steps}

        def submit(http: httpx2.Client) -> str | None:
            answer = http.post(f"/queue/{endpoint}", params=query, json=body, headers={"idempotency-key": one.mark})
            assert answer.status_code in (200, 503), answer.text
            return str(answer.json()["request_id"]) if answer.status_code == 200 else None

        return self._until(submit)

    def _cancel(self, request_id: str) -> bool:
        def cancel(http: httpx2.Client) -> str | None:
            answer = http.put(f"/queue/test/blank/requests/{request_id}/cancel")
            assert answer.status_code in (202, 400, 503), answer.text
            return {202: "yes", 400: "too late"}.get(answer.status_code)

        return self._until(cancel) == "yes"

    def _until(self, ask: Callable[[httpx2.Client], str | None]) -> str | None:
        """Ask whatever server there is until there is an answer; None after a long while."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            self.tries += 1
            address = read_address(self.keeper.server.settings.address_file)
            with contextlib.suppress(httpx2.TransportError):
                if address is not None:
                    headers = {"Authorization": f"Key {self.keeper.server.key}"}
                    with httpx2.Client(base_url=address.http, headers=headers, timeout=10, trust_env=False) as http:
                        if (told := ask(http)) is not None:
                            return told
            time.sleep(0.1)
        return None


class Receiver(ThreadingHTTPServer):
    """Hears webhooks."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.heard: dict[str, set[bytes]] = {}  # mark -> what it was told, whatever often
        self._thread = threading.Thread(target=self.serve_forever)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.heard.setdefault(self.path.strip("/"), set()).add(body)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Quiet."""


@dataclass
class Storm:
    """What is left after one."""

    settings: Settings
    sent: list[Sent]
    kills: Counter[str]
    starts: int  # of the server
    heard: dict[str, set[bytes]]
    status: int  # with which the server ended, asked to

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return rows(self.settings, query)


def rows(settings: Settings, query: str) -> list[tuple[Any, ...]]:
    """What the database says."""
    with reading_engine(settings).connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def storm(
    settings: Settings, *, requests: int, seconds: float, kills: int, seed: int, database: Database | None = None
) -> Storm:
    """Let it rage; then wait until all is settled and told."""
    receiver, keeper = Receiver(), Keeper(settings)
    clients = Clients(keeper=keeper, receiver=receiver.url, count=requests, seconds=seconds, seed=seed)
    killer = Killer(keeper, database, seconds / kills, Random(seed))
    try:
        clients.run()
        wait_for(lambda: killer.kills.total() >= kills, 10 * seconds)
    finally:
        killer.stop()
    try:
        waiting = "SELECT COUNT(*) FROM requests WHERE state <> 'settled'"
        wait_for(lambda: rows(settings, waiting) == [(0,)], PATIENCE_SECONDS + seconds)
        untold = "SELECT COUNT(*) FROM outbox WHERE next_us IS NOT NULL"
        wait_for(lambda: rows(settings, untold) == [(0,)], PATIENCE_SECONDS)
    finally:
        status = keeper.stop()
        receiver.stop()
    return Storm(
        settings=settings,
        sent=clients.sent,
        kills=killer.kills,
        starts=keeper.starts,
        heard=receiver.heard,
        status=status,
    )
