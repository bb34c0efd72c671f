"""Who gets in, and who does not."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from laterna.clock import ManualClock
from laterna.config import Settings
from laterna.errors import Forbidden, InvalidInput, NotFound, Unauthorized
from laterna.store.store import Store
from laterna.tenants.caller import ADMIN, API, KINDS, Caller, matches
from laterna.tenants.keys import DEFAULT_TENANT, Keys
from laterna.tenants.tenants import Tenants
from tests.postgres import database


@dataclass
class Gate:
    keys: Keys
    tenants: Tenants
    clock: ManualClock
    settings: Settings
    store: Store

    def written(self) -> str:
        return self.settings.key_file.read_text().strip()


@asynccontextmanager
async def gate(folder: Path) -> AsyncIterator[Gate]:
    settings, clock = Settings(data=folder, store=database(folder)), ManualClock()
    store = await Store.open(settings)
    try:
        keys = Keys(store, clock)
        await keys.ensure_first(settings.key_file)
        yield Gate(keys, Tenants(store, clock, settings), clock, settings, store)
    finally:
        await store.close()


def play(folder: Path, scene: Callable[[Gate], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        async with gate(folder) as g:
            await scene(g)

    asyncio.run(run())


async def refused(g: Gate, header: str | None) -> bool:
    try:
        await g.keys.authenticate(header)
    except Unauthorized:
        return True
    return False


def test_the_first_key_opens_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    async def scene(g: Gate) -> None:
        assert stat.S_IMODE(g.settings.key_file.stat().st_mode) == 0o600
        caller = await g.keys.authenticate(f"Key {g.written()}")
        assert (caller.tenant, caller.scopes) == (DEFAULT_TENANT, frozenset({API, ADMIN}))
        secret = g.written().partition(":")[2]
        assert len(secret) == 64
        for header in (f"Key {secret}", f"Bearer {g.written()}", f"bearer {secret}", f"KEY   {secret}  "):
            assert (await g.keys.authenticate(header)) == caller

    play(tmp_path, scene)


def test_the_database_does_not_know_the_secret(tmp_path: Path) -> None:
    play(tmp_path, lambda _: asyncio.sleep(0))
    secret = (tmp_path / "key").read_text().strip().partition(":")[2]
    with sqlite3.connect(tmp_path / "laterna.db") as connection:
        assert secret not in "\n".join(connection.iterdump())


def test_what_is_no_key_is_refused(tmp_path: Path) -> None:
    async def scene(g: Gate) -> None:
        key_id, _, secret = g.written().partition(":")
        other = await g.keys.create(DEFAULT_TENANT, "other")
        bad = ["", "Key", "Key ", secret, f"Basic {secret}", f"Key {key_id}", f"Key {key_id}:", f"Key :{secret}"]
        bad += [f"Key {key_id}:{other.secret}", f"Key {other.id}:{secret}", f"Key {secret[:-1]}", f"Key {secret}0"]
        bad += ["Key \ud800", "Key \x00", "Key " + "x" * 100_000, f"Key {key_id}:{secret}:x", f"Key {secret.upper()}"]
        for header in [None, *bad]:
            assert await refused(g, header), header

    play(tmp_path, scene)


def test_restarts_keep_the_key_and_a_lost_file_gets_another(tmp_path: Path) -> None:
    found = []

    async def note(g: Gate) -> None:
        found.append(g.written())
        assert await refused(g, f"Key {g.written()}") is False

    play(tmp_path, note)
    play(tmp_path, note)
    assert found[0] == found[1]
    (tmp_path / "key").unlink()

    async def former_is_void(g: Gate) -> None:
        await note(g)
        assert await refused(g, f"Key {found[0]}")

    play(tmp_path, former_is_void)
    assert found[2] != found[1]
    (tmp_path / "key").write_text("junk")
    play(tmp_path, note)
    assert len(set(found)) == 3
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_a_revoked_key_is_refused_at_once_though_it_was_remembered(tmp_path: Path) -> None:
    async def scene(g: Gate) -> None:
        made = await g.keys.create(DEFAULT_TENANT, "short-lived")
        assert not await refused(g, f"Key {made.text}")
        other = await g.tenants.create("other")
        with pytest.raises(NotFound):
            await g.keys.revoke(other.id, made.id)
        await g.keys.revoke(DEFAULT_TENANT, made.id)
        await g.keys.revoke(DEFAULT_TENANT, made.id)
        assert await refused(g, f"Key {made.text}")
        assert [key.revoked_us is None for key in await g.keys.list(DEFAULT_TENANT)].count(True) == 1

    play(tmp_path, scene)


def test_revoking_wins_over_a_lookup_on_its_way(tmp_path: Path) -> None:
    async def scene(g: Gate) -> None:
        for _ in range(20):
            made = await g.keys.create(DEFAULT_TENANT, "raced")
            lookups = [asyncio.create_task(refused(g, f"Key {made.text}")) for _ in range(3)]
            await asyncio.gather(g.keys.revoke(DEFAULT_TENANT, made.id), *lookups)
            assert await refused(g, f"Key {made.text}")

    play(tmp_path, scene)


def test_an_expired_key_is_refused_though_it_was_remembered(tmp_path: Path) -> None:
    async def scene(g: Gate) -> None:
        made = await g.keys.create(DEFAULT_TENANT, "hour", expires_us=g.clock.now_us() + 3_600_000_000)
        assert not await refused(g, f"Key {made.text}")
        g.clock.advance(3600)
        assert await refused(g, f"Key {made.text}")

    play(tmp_path, scene)


def test_a_known_key_needs_no_query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(g: Gate) -> None:
        g.keys.remember(True)  # as a server does that hears the others on its database
        await g.keys.authenticate(f"Key {g.written()}")

        async def none(_: object) -> None:
            raise AssertionError("a query was made")

        monkeypatch.setattr(g.store, "read", none)
        await g.keys.authenticate(f"Key {g.written()}")

    play(tmp_path, scene)


def test_keys_belong_to_their_tenant_and_scope(tmp_path: Path) -> None:
    async def scene(g: Gate) -> None:
        tenant = (await g.tenants.create("studio", weight=3)).id
        made = await g.keys.create(tenant, "plain")
        caller = await g.keys.authenticate(f"Key {made.text}")
        assert (caller.tenant, caller.key_id) == (tenant, made.id)
        caller.need(API)
        with pytest.raises(Forbidden, match="ADMIN"):
            caller.need(ADMIN)
        with pytest.raises(IntegrityError):
            await g.keys.create("stranger", "no such tenant")

    play(tmp_path, scene)


def test_a_rotated_key_has_two_secrets_for_a_while(tmp_path: Path) -> None:
    async def scene(g: Gate) -> None:
        first = await g.keys.create(DEFAULT_TENANT, "ci", models=("a/*",), realtime=True)
        caller = await g.keys.authenticate(f"Key {first.text}")
        second = await g.keys.rotate(DEFAULT_TENANT, first.id, 60)
        assert second.id == first.id
        for made in (first, second):
            assert await g.keys.authenticate(f"Key {made.text}") == caller, "id, scopes and models stay"
        g.clock.advance(59)
        assert not await refused(g, f"Key {first.text}")
        g.clock.advance(1)
        assert await refused(g, f"Key {first.text}"), "though it was remembered"
        assert not await refused(g, f"Key {second.text}")

    play(tmp_path, scene)


def test_a_second_rotation_ends_the_first_secret_and_no_overlap_ends_it_at_once(tmp_path: Path) -> None:
    async def scene(g: Gate) -> None:
        first = await g.keys.create(DEFAULT_TENANT, "ci")
        second = await g.keys.rotate(DEFAULT_TENANT, first.id, 3600)
        third = await g.keys.rotate(DEFAULT_TENANT, first.id, 3600)
        good = [not await refused(g, f"Key {made.text}") for made in (first, second, third)]
        assert good == [False, True, True]
        fourth = await g.keys.rotate(DEFAULT_TENANT, first.id, 0)
        good = [not await refused(g, f"Key {made.text}") for made in (second, third, fourth)]
        assert good == [False, False, True]
        await g.keys.revoke(DEFAULT_TENANT, first.id)
        assert await refused(g, f"Key {fourth.text}")
        with pytest.raises(NotFound):
            await g.keys.rotate(DEFAULT_TENANT, first.id, 0)

    play(tmp_path, scene)


def test_nobody_rotates_another_tenants_key(tmp_path: Path) -> None:
    async def scene(g: Gate) -> None:
        made = await g.keys.create(DEFAULT_TENANT, "ci")
        other = await g.tenants.create("other")
        said = []
        for key_id in (made.id, str(uuid.uuid4())):
            with pytest.raises(NotFound) as wrong:
                await g.keys.rotate(other.id, key_id, 0)
            said.append(wrong.value.message.replace(key_id, "ID"))
        assert said[0] == said[1]
        assert not await refused(g, f"Key {made.text}")

    play(tmp_path, scene)


def test_the_key_file_follows_its_key(tmp_path: Path) -> None:
    async def scene(g: Gate) -> None:
        first = g.written()
        other = await g.keys.create(DEFAULT_TENANT, "ci")
        await g.keys.rotate(DEFAULT_TENANT, other.id, 0)
        assert g.written() == first
        made = await g.keys.rotate(DEFAULT_TENANT, first.partition(":")[0], 0)
        assert g.written() == made.text != first
        assert stat.S_IMODE(g.settings.key_file.stat().st_mode) == 0o600
        await g.keys.ensure_first(g.settings.key_file)
        assert g.written() == made.text, "a restart keeps it"

    play(tmp_path, scene)


def test_when_a_key_was_used_is_known_and_outlives_the_server(tmp_path: Path) -> None:
    made: list[str] = []

    async def scene(g: Gate) -> None:
        key = await g.keys.create(DEFAULT_TENANT, "ci")
        made.append(key.id)
        assert await used(g, key.id) is None
        g.clock.advance(5)
        await g.keys.authenticate(f"Key {key.text}")
        assert await used(g, key.id) == g.clock.now_us()
        g.clock.advance(5)
        await refused(g, f"Key {key.id}:{'0' * 64}")
        assert await used(g, key.id) == g.clock.now_us() - 5_000_000, "a try that failed is no use"

    play(tmp_path, scene)

    async def later(g: Gate) -> None:
        assert await used(g, made[0]) is not None

    play(tmp_path, later)


async def used(g: Gate, key_id: str) -> int | None:
    return next(key.used_us for key in await g.keys.list(DEFAULT_TENANT) if key.id == key_id)


def test_models_are_patterns_of_endpoint_ids(tmp_path: Path) -> None:
    async def scene(g: Gate) -> None:
        made = await g.keys.create(DEFAULT_TENANT, "narrow", models=("a/b", "c/*/fast"))
        caller = await g.keys.authenticate(f"Key {made.text}")
        for fine in ("a/b", "c/d/fast", "c/d/e/fast"):
            caller.need_model(fine)
        for wrong in ("a/b/c", "a/B", "c/fast", "x", ""):
            with pytest.raises(Forbidden, match="only: a/b"):
                caller.need_model(wrong)
        for bad in ("", "a b", "a[b]", "a?", "é", "x" * 201):
            with pytest.raises(InvalidInput, match="models"):
                await g.keys.create(DEFAULT_TENANT, "bad", models=(bad,))

    play(tmp_path, scene)


WORDS = st.text("ab/*", min_size=1, max_size=6)


@given(st.lists(WORDS, min_size=1, max_size=3), WORDS, st.text("ab/", max_size=8))
def test_what_a_key_may_give_opens_nothing_that_it_does_not(own: list[str], given_: str, endpoint: str) -> None:
    caller = Caller(tenant="t", key_id="k", scopes=frozenset({API, ADMIN}), models=tuple(own))
    try:
        caller.need_to_give([given_], realtime=False)
    except Forbidden:
        return
    assert not matches([given_], endpoint) or matches(own, endpoint)


def test_only_the_operators_admins_operate(tmp_path: Path) -> None:
    async def scene(g: Gate) -> None:
        other = await g.tenants.create("other")
        operates = {}
        for tenant in (DEFAULT_TENANT, other.id):
            for kind, scopes in KINDS.items():
                made = await g.keys.create(tenant, kind, scopes)
                caller = await g.keys.authenticate(f"Key {made.text}")
                operates[tenant, kind] = caller.operates
        assert [who for who, does in operates.items() if does] == [(DEFAULT_TENANT, "admin")]

    play(tmp_path, scene)
