"""Kills a process at each statement that it sends to the database, of what submits, leases, settles, tells webhooks and
pays; then looks.

    python -m tests.billing.crashing FOLDER [DEED ...]

Every point is a process of its own, forked from this one, on its own copy of a data folder. Prints the number of points
of each deed; fails where anything does not add up afterwards, or where doing it again ends otherwise than undisturbed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event, text

from laterna.billing.books import Books
from laterna.billing.purses import Limits
from laterna.billing.quotes import Price
from laterna.contracts.messages import Lease
from laterna.errors import AlreadyCompleted
from laterna.store import writer
from tests.billing.conftest import faults, tenant
from tests.requests.conftest import TAKEN, World, artifact, failed, finished, refused, world

PRICE = Price(unit="image", nano=1000)
Deed = Callable[[World], Coroutine[Any, Any, None]]
MARKS = ("running", "cancelled", "waiting", "lost", "told")  # idempotency keys of the requests that are there before


async def prepare(w: World) -> None:
    """A tenant with limits, and one request in each state that a deed may find."""
    books = await tenant(w, "a")
    await books.limit("a", "USD", Limits(monthly_nano=6000, prepaid=True))
    await books.pay("a", "USD", 8000, reference="first")
    for mark in MARKS:
        await w.submit(
            tenant="a", price=PRICE, idempotency_key=mark, webhook_url="https://example.org",
            max_attempts=1 if mark == "lost" else 3,
        )  # fmt: skip
    by_id = {await named(w, mark): mark for mark in MARKS}
    for leased in await w.requests.lease("cpu", 9) + await w.requests.lease("gpu", 9):
        if by_id[leased.lease.request_id] == "waiting":
            await w.requests.release([leased.lease])
        else:
            await w.requests.started(leased.lease)
    await w.requests.cancel("a", await named(w, "cancelled"))
    await w.requests.finish(finished(await lease_of(w, "told")))


async def named(w: World, mark: str) -> str:
    query = text("SELECT id FROM requests WHERE idempotency_key = :mark")
    return str(await w.store.read(lambda c: c.execute(query, {"mark": mark}).scalar_one()))


async def lease_of(w: World, mark: str) -> Lease:
    """The lease that it had before any deed."""
    query = text("SELECT request_id, lease_token FROM attempts WHERE request_id = :id")
    named_ = {"id": await named(w, mark)}
    row = await w.store.read(lambda c: c.execute(query, named_).first())
    assert row is not None
    return Lease(request_id=row[0], token=row[1])


async def submit(w: World) -> None:
    await w.submit(tenant="a", price=PRICE, idempotency_key="new", webhook_url="https://example.org")


async def finish(w: World) -> None:
    lease = await lease_of(w, "running")
    await w.requests.finish(finished(lease, artifact(lease, key="made")))


async def end_cancelled(w: World) -> None:
    lease = await lease_of(w, "cancelled")
    await w.requests.fail(failed(lease, code="client_cancelled", done=1, steps=4))


async def fail(w: World) -> None:
    await w.requests.fail(failed(await lease_of(w, "running")))


async def try_again(w: World) -> None:
    await w.requests.fail(failed(await lease_of(w, "running"), retry=True))


async def crash(w: World) -> None:
    await w.requests.crashed(await lease_of(w, "lost"), "it died", touched=True)


async def cancel(w: World) -> None:
    with contextlib.suppress(AlreadyCompleted):
        await w.requests.cancel("a", await named(w, "waiting"))


async def take(w: World) -> None:
    for leased in await w.requests.lease("gpu", 9):
        await w.requests.started(leased.lease)


async def deliver(w: World) -> None:
    for delivery in await w.requests.due_webhooks(9):
        await w.requests.webhook_tried(delivery, TAKEN)


async def refuse(w: World) -> None:
    for delivery in await w.requests.due_webhooks(9):
        await w.requests.webhook_tried(delivery, refused())


async def redeliver(w: World) -> None:
    await w.requests.redeliver("a", await named(w, "told"))


async def pay(w: World) -> None:
    await Books(w.store, w.clock).pay("a", "USD", 500, reference="second")


DEEDS: tuple[Deed, ...] = (submit, finish, end_cancelled, fail, try_again, crash, cancel, pay)
DEEDS += (take, deliver, refuse, redeliver)


def run(scene: Callable[[World], Coroutine[Any, Any, Any]], folder: Path) -> Any:
    async def play() -> Any:
        async with world(folder) as w:
            return await scene(w)

    return asyncio.run(play())


def die_at(point: int) -> Callable[[], None]:
    """Called before each statement and commit, and before anybody is told: this one kills the process."""
    left = [point]

    def step() -> None:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    return step


def child(folder: Path, deed: Deed, point: int) -> None:
    """In the forked process: do it, and die at the point."""

    async def scene(w: World) -> None:
        step, tell = die_at(point), writer._tell
        for name in ("before_cursor_execute", "commit"):
            event.listen(Engine, name, lambda *_: step() if _in_writer() else None)

        def told(group: Any) -> None:
            step()
            tell(group)

        writer._tell = told
        await deed(w)

    run(scene, folder)


def _in_writer() -> bool:
    """Reads do not count."""
    return threading.current_thread().name == "store-writer"


async def settle_all(w: World) -> None:
    """As a next server would."""
    await w.requests.recover()
    w.clock.advance(60)
    while leased := await w.requests.lease("cpu", 50):
        for one in leased:
            assert await w.requests.finish(finished(one.lease))


async def totals(w: World) -> list[Any]:
    """All that is to be the same whether there was a crash or not."""
    return await w.store.read(lambda c: [[tuple(row) for row in c.execute(text(query))] for query in TOTALS])


TOTALS = (
    "SELECT idempotency_key, outcome FROM requests ORDER BY 1",
    "SELECT r.idempotency_key, u.amount_nano FROM usage_lines u JOIN requests r ON r.id = u.request_id"
    " WHERE u.stage = 'price' ORDER BY 1",
    "SELECT r.idempotency_key, SUM(u.device_ns) FROM usage_lines u JOIN requests r ON r.id = u.request_id"
    " GROUP BY 1 ORDER BY 1",
    "SELECT kind, COUNT(*), SUM(amount_nano) FROM entries GROUP BY 1 ORDER BY 1",
    "SELECT balance_nano, spent_nano FROM purses",
    "SELECT COUNT(*), COUNT(next_us), COUNT(delivered_us), SUM(tries) FROM outbox",
    "SELECT COUNT(*), SUM(status) FROM deliveries",
)


def check(folder: Path, deed: Deed, expected: list[Any]) -> list[str]:
    """What is wrong after a crash: once as the next server finds it, once after the deed was done again."""

    async def scene(w: World) -> list[str]:
        found = await faults(w)
        await deed(w)
        found += await faults(w)
        await settle_all(w)
        found += await faults(w)
        after = await totals(w)
        return found + [f"{one} is not {other}" for one, other in zip(after, expected, strict=True) if one != other]

    async def without(w: World) -> list[str]:
        await settle_all(w)
        return await faults(w)

    forgotten = folder.with_name(folder.name + "-forgotten")
    shutil.copytree(folder, forgotten)
    wrong: list[str] = run(without, forgotten) + run(scene, folder)
    return wrong


def kill_everywhere(base: Path, folder: Path, deed: Deed) -> int:
    """How many points there were."""
    point = 0
    while True:
        point += 1
        shutil.copytree(base, folder / str(point))
        pid = os.fork()
        if not pid:
            try:
                child(folder / str(point), deed, point)
            except Exception:  # noqa: BLE001 - the forked process's edge: the parent sees the status
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        status = os.waitpid(pid, 0)[1]
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0, f"{deed.__name__}: it failed at point {point} instead of dying"
            shutil.rmtree(folder / str(point))
            return point - 1


def main(folder: Path, names: Sequence[str]) -> int:
    base, wrong = folder / "base", 0
    run(prepare, base)
    for deed in (deed for deed in DEEDS if not names or deed.__name__ in names):
        name = deed.__name__
        (folder / name).mkdir()
        points = kill_everywhere(base, folder / name, deed)
        shutil.copytree(base, folder / name / "undisturbed")

        async def undisturbed(w: World, deed: Deed = deed) -> list[Any]:
            await deed(w)
            await settle_all(w)
            return await totals(w)

        expected = run(undisturbed, folder / name / "undisturbed")
        for point in range(1, points + 1):
            for fault in check(folder / name / str(point), deed, expected):
                print(f"{name}, killed at point {point} of {points}: {fault}", file=sys.stderr)
                wrong += 1
        print(name, points, flush=True)
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
