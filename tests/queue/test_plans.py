"""No query looks through a whole table: a store with years of history answers as fast as a new one."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, Select, event

from laterna.queue import leasing, waiting
from laterna.requests.files import FileRecord, Files
from laterna.requests.requests import Chosen, Which
from laterna.store.states import WEBHOOK_EVENTS
from laterna.tenants.keys import DEFAULT_TENANT, Keys
from laterna.tenants.limits import Limits
from laterna.tenants.tenants import Tenants
from tests.postgres import VARIABLE
from tests.requests.conftest import SPENT, TAKEN, World, failed, finished, refused, submission, world

# A walk through the index of those that wait is what counting them takes.
ALLOWED = {
    "SCAN requests USING COVERING INDEX ix_requests_next",
    "SCAN requests USING COVERING INDEX ix_requests_lanes",
    "SCAN requests USING COVERING INDEX ix_requests_scheduled",
    "SCAN requests USING INDEX ix_requests_worker",  # what workers hold: their windows, no more
}
FINE = re.compile(
    r"SCAN lanes|SETUP|RECURSIVE STEP|"
    r"SEARCH|SCALAR SUBQUERY|USE TEMP B-TREE FOR ORDER BY|SCAN CONSTANT ROW|MULTI-INDEX|INDEX \d|CO-ROUTINE|SCAN anon_1"
)

own_planner = pytest.mark.skipif(VARIABLE in os.environ, reason="SQLite's planner is asked")


async def use_everything(w: World) -> None:
    """Call whatever runs while a server runs."""
    requests, files = w.requests, Files(w.store, w.clock)
    first = (await w.leased(webhook_url="https://example.org", idempotency_key="k", max_queue_length=9)).lease
    await w.submit(idempotency_key="k", webhook_url="https://example.org")
    moment = w.clock.now_us() + 1
    second = (await w.leased(start_by_us=moment, finish_by_us=moment, cancel_by_us=moment)).lease
    await requests.started(first)
    await requests.note(first, "INFO", "hello")
    await requests.renew([first, second])
    waiting = await w.submit()
    await requests.get(DEFAULT_TENANT, waiting)
    await requests.cancel(DEFAULT_TENANT, first.request_id)
    await requests.finish(finished(first))
    await requests.get(DEFAULT_TENANT, first.request_id)
    await requests.fail(failed((await w.leased()).lease, retry=True))
    await requests.release([(await w.leased()).lease])
    await w.submit(not_before_us=w.clock.now_us() + 1)
    w.clock.advance(1)
    await requests.totals()
    chosen = [Chosen(id=one.id, device_ns=7, virtual_ns=5) for one in await requests.waiting()]
    await requests.crashed((await requests.lease("cpu", 1, chosen))[0].lease, "it died")
    w.clock.advance(60)
    await requests.reclaim()
    await requests.submit(submission(cancel_by_us=w.clock.now_us() + 1))
    w.clock.advance(1)
    await requests.cancel_outlived()
    await requests.recover()
    for delivery in await requests.due_webhooks(5):
        await requests.webhook_tried(delivery, refused())
        await requests.webhook_tried(delivery, TAKEN)
    await requests.webhook(DEFAULT_TENANT, first.request_id)
    await requests.redeliver(DEFAULT_TENANT, first.request_id)
    past = Which(since_us=0, until_us=w.clock.now_us(), endpoints=("test/blank",), well=True, codes=frozenset({"a"}))
    for which in (past, replace(past, longest_first=True, well=None)):
        await requests.history(DEFAULT_TENANT, which, f"7.{first.request_id}", 1)
    page = await requests.page(DEFAULT_TENANT, None, 1)
    await requests.page(DEFAULT_TENANT, page.cursor, 1)
    await requests.logs(DEFAULT_TENANT, first.request_id)
    await requests.usage(DEFAULT_TENANT, first.request_id)
    await requests.attempts(DEFAULT_TENANT, first.request_id)
    await requests.raw_input(DEFAULT_TENANT, first.request_id)
    await requests.delete_payloads(DEFAULT_TENANT, first.request_id)
    await files.page(DEFAULT_TENANT, None, 1)
    w.clock.advance(10**7)
    await requests.purged(await requests.sweep())
    await requests.strangers(["a" * 32])
    old = (await w.leased()).lease
    await requests.meter(old, SPENT)
    await requests.crashed(old, "it died")
    await requests.finish(finished(old))
    await use_limits(w, files)
    await use_tidings(w)
    keys = Keys(w.store, w.clock)
    made = await keys.rotate(DEFAULT_TENANT, (await keys.create(DEFAULT_TENANT, "ci")).id, 60)
    await keys.authenticate(f"Key {made.text}")
    await keys.check(made.id)
    await keys.list(DEFAULT_TENANT)
    await keys.revoke(DEFAULT_TENANT, made.id)


async def use_tidings(w: World) -> None:
    leased = await w.leased(webhook_url="https://example.org", webhook_events=WEBHOOK_EVENTS)
    await w.requests.started(leased.lease)
    await w.requests.logged([leased.lease.request_id])
    for delivery in await w.requests.due_tidings(5, ["x"], ["x"]):
        await w.requests.webhook_tried(delivery, TAKEN)
    await w.requests.finish(finished(leased.lease))


async def use_limits(w: World, files: Files) -> None:
    tenants = Tenants(w.store, w.clock, w.settings)
    everything = Limits(concurrency=9, queue_length=9, rate=9, storage_bytes=10**9)
    tenant = (await tenants.create("limited", limits=everything)).id
    await w.submit(tenant=tenant, direct=True)
    await w.requests.waiting()
    await w.requests.standing(tenant)
    await w.requests.lease("cpu", 1)
    await files.room(tenant)
    await files.add(FileRecord(key="k", tenant=tenant, request_id=None, file_name="f", content_type="x", size_bytes=1))
    await tenants.change((await tenants.find("limited")).id, 2, everything)


@own_planner
def test_no_query_looks_through_a_table(tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    def note(_c: object, _cursor: object, statement: str, parameters: Any, _context: object, many: bool) -> None:
        if statement.split()[0] in ("SELECT", "UPDATE", "DELETE", "INSERT"):
            seen.setdefault(statement, parameters[0] if many else parameters)

    async def scene() -> None:
        async with world(tmp_path) as w:
            event.listen(Engine, "before_cursor_execute", note)
            try:
                await use_everything(w)
            finally:
                event.remove(Engine, "before_cursor_execute", note)

    asyncio.run(scene())
    assert len(seen) > 40, "the queries were not seen"
    with sqlite3.connect(tmp_path / "laterna.db") as connection:
        for statement, parameters in seen.items():
            for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters):
                few = "LIMIT" in statement and re.search(r"SCAN \w+ USING (COVERING )?INDEX", step)
                assert few or step in ALLOWED or FINE.search(step), f"{step}\n{statement}"


@own_planner
@pytest.mark.parametrize("statement", [leasing._NEXT, waiting._AHEAD])
def test_the_next_ones_come_out_of_the_index_in_order(tmp_path: Path, statement: Select[Any]) -> None:
    sql = re.sub(r"\sFOR UPDATE.*", "", str(statement.compile(compile_kwargs={"render_postcompile": True})))

    async def make() -> None:
        async with world(tmp_path):
            pass

    asyncio.run(make())
    with sqlite3.connect(tmp_path / "laterna.db") as connection:
        named = dict.fromkeys(re.findall(r":(\w+)", sql), 1)
        steps = [row[-1] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", named)]
    assert any("ix_requests_next" in step for step in steps), steps
    assert not any("TEMP B-TREE" in step for step in steps), steps
