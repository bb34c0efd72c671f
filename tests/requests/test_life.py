"""From submit to settle, as an owner and as dispatch see it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, insert, select, text, update

from laterna.billing.quotes import Price
from laterna.errors import (
    AlreadyCompleted,
    Conflict,
    DeadlineUnreachable,
    InvalidInput,
    NotFinished,
    QueueFull,
    RequestNotFound,
)
from laterna.requests.listing import _tagged
from laterna.requests.requests import Filter, Requests
from laterna.store.schema import payloads, requests, tenants
from laterna.tenants.keys import DEFAULT_TENANT
from tests.requests.conftest import SPENT, World, artifact, failed, finished, job, submission, world

OTHER = "other"
Scene = Callable[[World], Coroutine[Any, Any, None]]


def play(folder: Path, scene: Scene, **settings: Any) -> None:
    async def run() -> None:
        async with world(folder, **settings) as w:
            await scene(w)

    asyncio.run(run())


async def add_tenant(w: World) -> None:
    await w.store.write(lambda c: c.execute(insert(tenants), {"id": OTHER, "name": OTHER, "created_us": 1}) and None)


def test_a_request_goes_from_submit_to_its_result(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        request_id = await w.submit()
        waiting = await w.requests.get(DEFAULT_TENANT, request_id)
        assert (waiting.state, waiting.position, waiting.outcome) == ("queued", 0, None)
        [leased] = await w.requests.lease("cpu", 10)
        assert leased.lease.request_id == request_id
        assert (leased.attempt, leased.generation) == (1, job())
        held = await w.requests.get(DEFAULT_TENANT, request_id)
        assert (held.position, held.lease) == (0, leased.lease)
        w.clock.advance(1)
        assert await w.requests.started(leased.lease)
        running = await w.requests.get(DEFAULT_TENANT, request_id)
        assert (running.state, running.position, running.started_us) == ("running", None, w.clock.now_us())
        await w.requests.note(leased.lease, "INFO", "half way")
        assert await w.requests.finish(finished(leased.lease))
        done = await w.requests.get(DEFAULT_TENANT, request_id)
        assert (done.outcome, done.inference_s, done.trouble, done.lease) == ("ok", 1.5, None, None)
        assert [(made.index, made.seed, made.width, made.file_name) for made in done.outputs] == [(0, 7, 64, "0.png")]
        assert [line.message for line in await w.requests.logs(DEFAULT_TENANT, request_id)] == ["half way"]

    play(tmp_path, scene)


def test_what_was_sent_comes_back(tmp_path: Path) -> None:
    sent = {"prompt": "ein Fuchs 🦊", "seed": 2**62, "nested": [1.5, None, {"a": True}]}

    async def scene(w: World) -> None:
        request_id = await w.submit(
            raw_input=sent, tags={"team": "a"}, generation=job(prompt="ein Fuchs 🦊", seed=2**63 - 1)
        )
        assert await w.requests.raw_input(DEFAULT_TENANT, request_id) == sent
        seen = await w.requests.get(DEFAULT_TENANT, request_id)
        assert (seen.tags, seen.generation) == ({"team": "a"}, job(prompt="ein Fuchs 🦊", seed=2**63 - 1))

    play(tmp_path, scene)


def test_half_a_surrogate_is_refused_before_anything_is_queued(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        for bad in ({"raw_input": {"prompt": "\ud800"}}, {"generation": job(prompt="\ud800")}):
            with pytest.raises(InvalidInput, match="Unicode"):
                await w.submit(**bad)
        assert (await w.requests.page(DEFAULT_TENANT)).items == ()

    play(tmp_path, scene)


def test_the_queue_is_ordered_by_priority_then_age(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        low, normal, realtime, late = [await w.submit(priority=p) for p in (2, 1, 0, 1)]
        order = [realtime, normal, late, low]
        assert [(await w.requests.get(DEFAULT_TENANT, r)).position for r in order] == [0, 1, 2, 3]
        leased = await w.requests.lease("cpu", 2) + await w.requests.lease("cpu", 9)
        assert [one.lease.request_id for one in leased] == order

    play(tmp_path, scene)


def test_far_back_in_the_queue_places_are_at_most_a_second_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("laterna.requests.places.EXACT", 3)

    async def scene(w: World) -> None:
        async def seen() -> list[int | None]:
            return [(await w.requests.get(DEFAULT_TENANT, r)).position for r in made]

        made = [await w.submit() for _ in range(8)]
        w.clock.advance(1)
        assert await seen() == list(range(8))
        leases = [one.lease for one in await w.requests.lease("cpu", 2)]
        for lease in leases:
            await w.requests.started(lease)
        near, far = (await seen())[:6], (await seen())[6:]
        assert near == [None, None, 0, 1, 2, 3]
        assert far == [6, 7], "as they were in the picture"
        w.clock.advance(1)
        assert await seen() == [None, None, *range(6)]

    play(tmp_path, scene)


def test_a_full_queue_refuses(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        await w.submit()
        await w.submit(not_before_us=w.clock.now_us() + 1)
        with pytest.raises(QueueFull, match="queue_length"):
            await w.submit(priority=0)
        await w.requests.lease("cpu", 1)
        await w.submit()

    play(tmp_path, scene, queue_length=2)


def test_a_submission_may_refuse_to_queue_behind_others_of_its_model(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        await w.submit(card_id="test/other")
        await w.submit(max_queue_length=1)
        with pytest.raises(QueueFull, match="fal_max_queue_length"):
            await w.submit(max_queue_length=1)

    play(tmp_path, scene)


def test_an_idempotency_key_gives_the_first_receipt(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        receipts = await asyncio.gather(*(w.requests.submit(submission(idempotency_key="k")) for _ in range(5)))
        assert len({receipt.request_id for receipt in receipts}) == 1
        assert sorted(receipt.repeated for receipt in receipts) == [False, True, True, True, True]
        with pytest.raises(Conflict, match="idempotency"):
            await w.submit(idempotency_key="k", raw_input={"prompt": "another"})
        await add_tenant(w)
        assert await w.submit(idempotency_key="k", tenant=OTHER) != receipts[0].request_id

    play(tmp_path, scene)


def test_deadlines_that_passed_are_refused(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        for name in ("start_by_us", "finish_by_us"):
            with pytest.raises(DeadlineUnreachable, match=name.removesuffix("_us")):
                await w.submit(**{name: w.clock.now_us()})

    play(tmp_path, scene)


def test_what_outlives_the_time_that_its_owner_gave_is_cancelled_waiting_or_running(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        by = w.clock.now_us() + 1_000_000
        waiting, held, running, done = [await w.submit(cancel_by_us=by) for _ in range(4)]
        leases = {one.lease.request_id: one.lease for one in await w.requests.lease("cpu", 4)}
        await w.requests.release([leases[waiting]])
        await w.requests.started(leases[running])
        await w.requests.finish(finished(leases[done]))
        assert await w.requests.cancel_outlived() == {}
        w.clock.advance(2)
        told = await w.requests.cancel_outlived()
        assert told == {waiting: None, held: leases[held], running: leases[running]}
        assert await w.requests.cancel_outlived() == {}, "they are told once"
        assert (await w.requests.get(DEFAULT_TENANT, waiting)).outcome == "cancelled"
        assert (await w.requests.get(DEFAULT_TENANT, done)).outcome == "ok"
        assert (await w.requests.get(DEFAULT_TENANT, running)).cancelling
        await w.requests.release([leases[held]])
        assert (await w.requests.get(DEFAULT_TENANT, held)).outcome == "cancelled"
        assert await w.requests.fail(failed(leases[running], code="client_cancelled"))
        assert (await w.requests.get(DEFAULT_TENANT, running)).outcome == "cancelled"

    play(tmp_path, scene)


@pytest.mark.parametrize("name", ["start_by_us", "finish_by_us"])
def test_what_waits_past_its_deadline_expires(tmp_path: Path, name: str) -> None:
    async def scene(w: World) -> None:
        late, held, running = [await w.submit(**{name: w.clock.now_us() + 1_000_000}) for _ in range(3)]
        leases = {one.lease.request_id: one.lease for one in await w.requests.lease("cpu", 3)}
        await w.requests.started(leases[running])
        await w.requests.release([leases[late]])
        assert await w.requests.reclaim() == []
        w.clock.advance(2)
        assert set(await w.requests.reclaim()) == {late, held}
        for request_id in (late, held):
            seen = await w.requests.get(DEFAULT_TENANT, request_id)
            assert seen.trouble is not None
            assert (seen.outcome, seen.trouble.code) == ("expired", "request_timeout")
        assert not await w.requests.finish(finished(leases[held]))
        assert await w.requests.finish(finished(leases[running]))

    play(tmp_path, scene)


def test_a_scheduled_request_waits_for_its_time(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        request_id = await w.submit(not_before_us=w.clock.now_us() + 5_000_000)
        assert (await w.requests.get(DEFAULT_TENANT, request_id)).state == "scheduled"
        w.clock.advance(4.9)
        assert await w.requests.lease("cpu", 1) == []
        w.clock.advance(0.2)
        assert len(await w.requests.lease("cpu", 1)) == 1

    play(tmp_path, scene)


def test_other_tenants_see_nothing(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        await add_tenant(w)
        leased = await w.leased()
        await w.requests.note(leased.lease, "INFO", "secret")
        request_id = leased.lease.request_id
        for bad in (request_id, "nonsense", "", "\ud800", request_id.upper(), "' OR 1=1"):
            with pytest.raises(RequestNotFound):
                await w.requests.get(OTHER, bad)
            with pytest.raises(RequestNotFound):
                await w.requests.cancel(OTHER, bad)
            with pytest.raises(RequestNotFound):
                await w.requests.delete_payloads(OTHER, bad)
            assert await w.requests.logs(OTHER, bad) == []
            assert await w.requests.raw_input(OTHER, bad) is None
        assert await w.requests.finish(finished(leased.lease))
        assert await w.requests.usage(OTHER, request_id) == []
        assert (await w.requests.page(OTHER)).items == ()

    play(tmp_path, scene)


def test_cancelling_what_waits_ends_it_at_once(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        request_id = await w.submit()
        assert (await w.requests.cancel(DEFAULT_TENANT, request_id)).settled
        seen = await w.requests.get(DEFAULT_TENANT, request_id)
        assert seen.trouble is not None
        assert (seen.outcome, seen.trouble.code) == ("cancelled", "client_cancelled")
        assert await w.requests.lease("cpu", 1) == []
        with pytest.raises(AlreadyCompleted):
            await w.requests.cancel(DEFAULT_TENANT, request_id)

    play(tmp_path, scene)


@pytest.mark.parametrize("answer", ["fail", "retry", "release", "crash", "silence", "recover"])
def test_cancelling_what_runs_waits_for_its_worker(tmp_path: Path, answer: str) -> None:
    async def scene(w: World) -> None:
        leased = await w.leased()
        await w.requests.started(leased.lease)
        for _ in range(2):
            asked = await w.requests.cancel(DEFAULT_TENANT, leased.lease.request_id)
            assert (asked.settled, asked.lease) == (False, leased.lease)
        assert (await w.requests.get(DEFAULT_TENANT, leased.lease.request_id)).cancelling
        await answers(w)[answer](leased.lease)
        seen = await w.requests.get(DEFAULT_TENANT, leased.lease.request_id)
        assert (seen.outcome, seen.cancelling) == ("cancelled", False)

    def answers(w: World) -> dict[str, Callable[[Any], Coroutine[Any, Any, object]]]:
        async def silence(_: object) -> None:
            w.clock.advance(11)
            await w.requests.reclaim()

        return {
            "fail": lambda lease: w.requests.fail(failed(lease, code="client_cancelled")),
            "retry": lambda lease: w.requests.fail(failed(lease, retry=True)),
            "release": lambda lease: w.requests.release([lease]),
            "crash": lambda lease: w.requests.crashed(lease, "it died"),
            "silence": silence,
            "recover": lambda _: w.requests.recover(),
        }

    play(tmp_path, scene)


def test_what_finishes_in_spite_of_a_cancel_is_kept(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        leased = await w.leased()
        await w.requests.cancel(DEFAULT_TENANT, leased.lease.request_id)
        assert await w.requests.finish(finished(leased.lease))
        assert (await w.requests.get(DEFAULT_TENANT, leased.lease.request_id)).outcome == "ok"

    play(tmp_path, scene)


def test_a_stale_lease_changes_nothing(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        old = (await w.leased()).lease
        await w.requests.started(old)
        await w.requests.crashed(old, "it died")
        assert await w.requests.meter(old, SPENT)
        [again] = await w.requests.lease("gpu", 1)
        assert again.attempt == 2
        assert await w.requests.renew([old, again.lease]) == [old]
        before = await everything(w)
        assert not await w.requests.started(old)
        assert not await w.requests.finish(finished(old, artifact(old, data=b"inline", key="")))
        assert not await w.requests.fail(failed(old))
        assert not await w.requests.meter(old, SPENT)
        await w.requests.note(old, "INFO", "from the grave")
        await w.requests.release([old])
        await w.requests.crashed(old, "again")
        assert await everything(w) == before
        assert await w.requests.finish(finished(again.lease))
        settled = await everything(w)
        assert not await w.requests.finish(finished(again.lease))
        assert await everything(w) == settled, "its own files are kept"

    play(tmp_path, scene)


async def everything(w: World) -> list[Any]:
    """All rows of all tables that a lease can touch."""
    names = ("requests", "attempts", "events", "outputs", "files", "usage_lines", "outbox")
    return await w.store.read(lambda c: [c.execute(text(f"SELECT * FROM {name}")).all() for name in names])


def test_a_lease_that_is_renewed_lasts_and_one_that_is_not_does_not(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        kept, dropped, begun = await w.leased(), await w.leased(), await w.leased()
        await w.requests.started(begun.lease)
        for _ in range(5):
            w.clock.advance(8)
            assert await w.requests.renew([kept.lease]) == []
            await w.requests.reclaim()
        assert (await w.requests.get(DEFAULT_TENANT, kept.lease.request_id)).state == "leased"
        lost = await w.requests.get(DEFAULT_TENANT, dropped.lease.request_id)
        assert (lost.state, lost.attempts) == ("queued", 0)
        assert (await w.requests.get(DEFAULT_TENANT, begun.lease.request_id)).attempts == 1
        [line] = await w.requests.logs(DEFAULT_TENANT, dropped.lease.request_id)
        assert (line.level, "fell silent" in line.message) == ("WARN", True)

    play(tmp_path, scene)


def test_a_request_that_kills_its_workers_fails_after_its_attempts(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        request_id = await w.submit()
        for attempt in (1, 2, 3):
            [leased] = await w.requests.lease("cpu", 5)
            assert leased.attempt == attempt
            await w.requests.started(leased.lease)
            await w.requests.crashed(leased.lease, "the worker died")
        seen = await w.requests.get(DEFAULT_TENANT, request_id)
        assert seen.trouble is not None
        assert (seen.outcome, seen.trouble.code, seen.attempts) == ("failed", "runner_disconnected", 3)
        assert await w.requests.lease("cpu", 5) == []

    play(tmp_path, scene)


def test_neighbours_of_a_request_that_kills_workers_come_through(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        requests = [await w.submit() for _ in range(6)]
        poison = requests[2]
        while leased := await w.requests.lease("cpu", 4):
            if any(one.lease.request_id == poison for one in leased):
                for one in leased:
                    await w.requests.crashed(one.lease, "the worker died", touched=True)
            else:
                for one in leased:
                    assert await w.requests.finish(finished(one.lease))
        outcomes = {r: (await w.requests.get(DEFAULT_TENANT, r)).outcome for r in requests}
        assert outcomes == {r: "failed" if r == poison else "ok" for r in requests}

    play(tmp_path, scene)


def test_the_last_attempt_is_made_alone(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        suspect = (await w.leased(max_attempts=2)).lease
        await w.requests.crashed(suspect, "the worker died", touched=True)
        urgent = await w.submit(priority=0)
        [first] = await w.requests.lease("cpu", 9)
        assert first.lease.request_id == urgent
        assert await w.requests.lease("cpu", 9) == [], "it waits until the worker holds nothing"
        await w.requests.finish(finished(first.lease))
        other = await w.submit()
        [alone] = await w.requests.lease("cpu", 9)
        assert alone.lease.request_id == suspect.request_id
        assert await w.requests.lease("cpu", 9) == [], "nobody joins it"
        assert [one.lease.request_id for one in await w.requests.lease("gpu", 9)] == [other]

    play(tmp_path, scene)


def test_a_clean_stop_costs_no_attempt(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        request_id = await w.submit()
        for _ in range(10):
            [leased] = await w.requests.lease("cpu", 1)
            assert leased.attempt == 1
            await w.requests.started(leased.lease)
            await w.requests.release([leased.lease])
        seen = await w.requests.get(DEFAULT_TENANT, request_id)
        assert (seen.state, seen.attempts, seen.started_us) == ("queued", 0, None)

    play(tmp_path, scene)


def test_deaths_of_the_server_cost_no_attempt(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        ran, held, waited = (await w.leased()).lease, (await w.leased()).lease, await w.submit()
        for _ in range(5):
            await w.requests.started(ran)
            successor = Requests(w.store, w.clock, w.settings)
            assert set(await successor.recover()) == {ran.request_id, held.request_id}
            views = [await successor.get(DEFAULT_TENANT, r) for r in (ran.request_id, held.request_id, waited)]
            assert [(view.state, view.attempts) for view in views] == 3 * [("queued", 0)]
            assert not await successor.finish(finished(ran))
            ran, held = (one.lease for one in await successor.lease("cpu", 2))
        assert await successor.finish(finished(ran))

    play(tmp_path, scene)


def test_a_lease_that_was_never_begun_costs_no_attempt(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        lease = (await w.leased()).lease
        for _ in range(5):
            await w.requests.crashed(lease, "its worker was dying as it was leased")
            assert (await w.requests.get(DEFAULT_TENANT, lease.request_id)).attempts == 0
            [again] = await w.requests.lease("cpu", 1)
            lease = again.lease

    play(tmp_path, scene)


def test_a_failure_that_may_pass_is_tried_again_later(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        request_id = await w.submit()
        for wait in (1, 5):
            [leased] = await w.requests.lease("cpu", 1)
            assert await w.requests.fail(failed(leased.lease, retry=True))
            assert await w.requests.lease("cpu", 1) == []
            w.clock.advance(wait)
        [leased] = await w.requests.lease("cpu", 1)
        assert await w.requests.fail(failed(leased.lease, retry=True, code="file_download_error"))
        seen = await w.requests.get(DEFAULT_TENANT, request_id)
        assert seen.trouble is not None
        assert (seen.outcome, seen.trouble.code, seen.attempts) == ("failed", "file_download_error", 3)
        lines = await w.requests.usage(DEFAULT_TENANT, request_id)
        assert (sum(line.device_ns for line in lines), {line.attempt for line in lines}) == (3 * 105, {1, 2, 3})
        assert sum(line.amount_nano for line in lines) == 0

    play(tmp_path, scene)


def test_a_failure_that_stays_is_not_tried_again(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        for leased, retry in ((await w.leased(), False), (await w.leased(max_attempts=1), True)):
            assert await w.requests.fail(failed(leased.lease, retry=retry))
            assert (await w.requests.get(DEFAULT_TENANT, leased.lease.request_id)).outcome == "failed"

    play(tmp_path, scene)


def test_only_success_is_charged_and_as_it_was_quoted(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        price = Price(unit="image", nano=7, currency="EUR")
        for ok in (True, False):
            receipt = await w.requests.submit(submission(price=price, generation=job(count=3)))
            assert (receipt.price_nano, receipt.currency) == (21, "EUR")
            [leased] = await w.requests.lease("cpu", 1)
            await (w.requests.finish(finished(leased.lease)) if ok else w.requests.fail(failed(leased.lease)))
            lines = await w.requests.usage(DEFAULT_TENANT, receipt.request_id)
            assert sum(line.amount_nano for line in lines) == (21 if ok else 0)
            assert {line.currency for line in lines} == {"EUR"}

    play(tmp_path, scene)


def test_input_that_this_version_cannot_read_fails_alone(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        broken = await w.submit()
        await w.store.write(lambda c: c.execute(update(payloads).values(generation=b'{"type":"odd"}')) and None)
        good = await w.submit()
        assert [one.lease.request_id for one in await w.requests.lease("cpu", 9)] == [good]
        seen = await w.requests.get(DEFAULT_TENANT, broken)
        assert (seen.outcome, seen.generation) == ("failed", None)

    play(tmp_path, scene)


def test_pages_show_every_request_once_newest_first(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        made = []
        for number in range(11):
            made.append(await w.submit(endpoint=f"test/{number % 2}"))
            if number % 3 == 0:
                w.clock.advance(1)
        seen, cursor = [], None
        while True:
            page = await w.requests.page(DEFAULT_TENANT, cursor, 4)
            seen += [view.request_id for view in page.items]
            await w.submit()  # what comes later does not shift the pages
            if (cursor := page.cursor) is None:
                break
        assert seen == made[::-1]
        even = await w.requests.page(DEFAULT_TENANT, which=Filter(endpoints=("test/0",), states=("queued",)))
        assert [view.request_id for view in even.items] == made[::-2]
        for bad in ("", "x", "1.x", "99999999999999999999." + made[0], "-1." + made[0]):
            with pytest.raises(InvalidInput, match="cursor"):
                await w.requests.page(DEFAULT_TENANT, bad)

    play(tmp_path, scene)


def test_a_chatty_worker_does_not_fill_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("laterna.queue.events.MAX_LOG_LINES", 10)

    async def scene(w: World) -> None:
        leased = await w.leased()
        for number in range(20):
            await w.requests.note(leased.lease, "LOUD", f"{number} " + "x" * 20_000)
        lines = await w.requests.logs(DEFAULT_TENANT, leased.lease.request_id)
        assert len(lines) <= 10
        assert {line.level for line in lines} == {"INFO"}
        assert max(len(line.message) for line in lines) == 8_000
        assert await w.requests.logs(DEFAULT_TENANT, leased.lease.request_id, lines[2].seq) == lines[3:]
        assert await w.requests.finish(finished(leased.lease))

    play(tmp_path, scene)


def test_payloads_are_kept_until_settled(tmp_path: Path) -> None:
    async def scene(w: World) -> None:
        request_id = await w.submit()
        with pytest.raises(NotFinished):
            await w.requests.delete_payloads(DEFAULT_TENANT, request_id)

    play(tmp_path, scene)


def test_the_plan_that_a_request_began_under_is_stored(tmp_path: Path) -> None:
    """That of its last beginning: under another plan it starts over."""

    async def scene(w: World) -> None:
        request_id = await w.submit()
        for plan in ("one", "other"):
            [leased] = await w.requests.lease("cpu", 1)
            assert await w.requests.started(leased.lease, plan)
            stored = await w.store.read(
                lambda c: c.execute(select(requests.c.plan_digest).where(requests.c.id == request_id)).scalar()
            )
            assert stored == plan
            await w.requests.release([leased.lease])

    play(tmp_path, scene)


@given(
    st.dictionaries(st.text(max_size=6), st.text(max_size=6), max_size=3),
    st.tuples(st.text(max_size=6), st.text(max_size=6)),
)
def test_a_tag_is_found_by_its_name_and_value_alone(tags: dict[str, str], wanted: tuple[str, str]) -> None:
    """Whatever characters they have: quotes, braces, commas, upper and lower case."""
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE requests (tags TEXT)"))
        connection.execute(text("INSERT INTO requests VALUES (:tags)"), {"tags": json.dumps(tags)})
        for name, value in (wanted, *tags.items(), *((value, name) for name, value in tags.items())):
            found = connection.execute(select(requests.c.tags).where(_tagged(name, value))).all()
            assert bool(found) == (tags.get(name) == value)
