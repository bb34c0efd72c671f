"""After a storm: nothing is lost, nothing is done twice in effect, and the money adds up.

CHAOS_SECONDS, CHAOS_REQUESTS and CHAOS_KILLS say how large it is, CHAOS_SEED which one: `make chaos` is the large one.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from laterna.config import Settings
from tests.billing.conftest import ADDS_UP
from tests.chaos.storm import Storm, storm
from tests.postgres import server as postgres

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

SECONDS = float(os.environ.get("CHAOS_SECONDS", "60"))
REQUESTS = int(os.environ.get("CHAOS_REQUESTS", "300"))
KILLS = int(os.environ.get("CHAOS_KILLS", "10"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))


def test_nothing_is_lost_while_server_and_workers_are_killed(tmp_path: Path) -> None:
    check(storm(Settings(data=tmp_path), requests=REQUESTS, seconds=SECONDS, kills=KILLS, seed=SEED))


def test_nothing_is_lost_while_the_database_is_killed_too(tmp_path: Path) -> None:
    with postgres() as database:
        settings = Settings(data=tmp_path, store=database.url)
        check(storm(settings, requests=REQUESTS, seconds=SECONDS, kills=KILLS, seed=SEED + 1, database=database))


def check(after: Storm) -> None:
    print(f"{len(after.sent)} requests, kills {dict(after.kills)}, {after.starts} starts of the server")
    acknowledged(after)
    once(after)
    assert [(why, row) for why, query in ADDS_UP.items() for row in after.rows(query)] == []
    told(after)
    assert after.status == 0, (after.settings.data / "stderr").read_text()[-3000:]


def acknowledged(after: Storm) -> None:
    """Every request was taken, is there once, and ended as it should."""
    assert [one.mark for one in after.sent if one.request_id is None] == []
    known = {one.request_id: one for one in after.sent}
    found = after.rows("SELECT id, idempotency_key, outcome, error_code FROM requests")
    assert len(found) == len(known) == len(after.sent)
    for request_id, mark, outcome, code in found:
        one = known[request_id]
        assert one.mark == mark
        assert outcome == "ok" or (one.cancelled and outcome == "cancelled"), (mark, outcome, code)


def once(after: Storm) -> None:
    """What went well has its files, once, and was metered; lines of attempts that a stop forgot are there too."""
    ok = {one for (one,) in after.rows("SELECT id FROM requests WHERE outcome = 'ok'")}
    outputs = dict(after.rows("SELECT request_id, COUNT(*) FROM outputs GROUP BY request_id"))
    assert outputs == {one.request_id: one.images for one in after.sent if one.request_id in ok}
    for (key,) in after.rows("SELECT file_key FROM outputs"):
        assert (after.settings.media / key[:2] / key).stat().st_size > 0
    assert after.rows("SELECT request_id FROM attempts WHERE outcome = 'ok' GROUP BY 1 HAVING COUNT(*) > 1") == []
    priced = after.rows("SELECT request_id FROM usage_lines WHERE stage = 'price'")
    assert {one for (one,) in priced} >= ok
    metered = dict(after.rows("SELECT request_id, SUM(device_ns) FROM usage_lines GROUP BY 1"))
    used = dict(after.rows("SELECT request_id, SUM(COALESCE(device_ns, 0)) FROM attempts GROUP BY 1"))
    assert {one: ns for one, ns in used.items() if ns > metered.get(one, 0)} == {}
    assert all(metered[one] > 0 for one in ok)


def told(after: Storm) -> None:
    """Whoever wanted a webhook had one, and never two that differ."""
    wanted = {one.mark for one in after.sent if one.webhook}
    assert set(after.heard) == wanted
    assert {mark: len(bodies) for mark, bodies in after.heard.items() if len(bodies) != 1} == {}
