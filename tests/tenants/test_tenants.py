"""Who shares the server: names are unique, new ones have the settings' limits, changes are theirs alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from laterna.errors import Conflict, InvalidInput, NotFound
from laterna.tenants.keys import DEFAULT_TENANT
from laterna.tenants.limits import Limits
from laterna.tenants.tenants import Tenants
from tests.requests.conftest import world

pytestmark = pytest.mark.anyio
USUAL: dict[str, Any] = {
    "tenant_concurrency": 2,
    "tenant_queue_length": 30,
    "tenant_rate": 400,
    "tenant_storage_gb": 5.0,
}


async def test_a_new_tenant_has_the_limits_of_the_settings_and_the_operator_none(tmp_path: Path) -> None:
    async with world(tmp_path, **USUAL) as w:
        tenants = Tenants(w.store, w.clock, w.settings)
        made = await tenants.create("studio", weight=3)
        assert await tenants.find("studio") == await tenants.find(made.id) == made
        assert made.limits == Limits(concurrency=2, queue_length=30, rate=400, storage_bytes=5_000_000_000)
        assert (await tenants.find(DEFAULT_TENANT)).limits == Limits()
        free = await tenants.create("free", limits=Limits())
        assert (await tenants.find("free")).limits == free.limits == Limits()
    async with world(tmp_path, tenant_concurrency=9) as w:
        assert await Tenants(w.store, w.clock, w.settings).find("studio") == made, "they are its own from then on"


async def test_a_change_is_one_tenants(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        tenants = Tenants(w.store, w.clock, w.settings)
        one, other = await tenants.create("one"), await tenants.create("other")
        await tenants.change(one.id, 7, Limits(concurrency=0, rate=5))
        changed = await tenants.find("one")
        assert (changed.weight, changed.limits) == (7, Limits(concurrency=0, rate=5))
        assert await tenants.find("other") == other
        assert [tenant.name for tenant in await tenants.all()] == [DEFAULT_TENANT, "one", "other"]


async def test_names_are_unique_and_plain(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        tenants = Tenants(w.store, w.clock, w.settings)
        made = await tenants.create("studio")
        for taken in ("studio", DEFAULT_TENANT, made.id):
            with pytest.raises(Conflict, match="already"):
                await tenants.create(taken)
        for bad in ("", "a b", "../x", "a/b", "é", "-x", "x" * 81, "a\n", "all"):
            with pytest.raises(InvalidInput, match="name"):
                await tenants.create(bad)
        for weight in (0, -1, 10**9):
            with pytest.raises(InvalidInput, match="weight"):
                await tenants.create("heavy", weight)
        with pytest.raises(NotFound):
            await tenants.find("heavy")
