"""Several servers on one PostgreSQL: real processes, real workers, one of which dispatches."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from laterna.store import postgres
from tests.billing.conftest import ADDS_UP
from tests.e2e.conftest import Server, start, wait_for, write_cards
from tests.postgres import Server as Database
from tests.postgres import server as database_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SECONDS = 180  # for what takes a new worker process, on a machine that is busy


class Group:
    """Servers on one database and one shared folder."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder, self._url = folder, url
        self.engine: Engine = postgres.engine(url)
        self.started: list[Server] = []
        write_cards(folder / "shared")

    def start(self, name: str, *flags: str) -> Server:
        data = self._folder / name
        data.mkdir()
        shared = json.dumps(str(self._folder / "shared"))
        (data / "laterna.toml").write_text(f"store = {json.dumps(self._url)}\nshared = {shared}\n")
        self.started.append(start(data, *flags))
        return self.started[-1]

    def rows(self, query: str, **named: Any) -> list[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query), named)]

    def end_leader(self) -> None:
        """End the connection that holds the lock."""
        self.rows("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE objid = :key AND granted", key=postgres.LEADING)

    def done(self, requests: list[str]) -> bool:
        ended = self.rows("SELECT id FROM requests WHERE outcome = 'ok'")
        return {one for (one,) in ended} >= set(requests)

    def adds_up(self) -> None:
        """Each ended once and was paid for once."""
        assert self.rows("SELECT request_id FROM attempts WHERE outcome = 'ok' GROUP BY 1 HAVING COUNT(*) > 1") == []
        assert [(why, rows) for why, query in ADDS_UP.items() if (rows := self.rows(query))] == []
        priced = "SELECT request_id FROM usage_lines WHERE stage = 'price' GROUP BY 1 HAVING COUNT(*) > 1"
        assert self.rows(priced) == []


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with database_server() as found:
        yield found


@pytest.fixture
def group(tmp_path: Path, database: Database) -> Iterator[Group]:
    name = f"several{os.getpid()}_{abs(hash(tmp_path))}"
    made = postgres.engine(database.url).connect().execution_options(isolation_level="AUTOCOMMIT")
    with made as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    several = Group(tmp_path, database.url.replace("/postgres?", f"/{name}?"))
    yield several
    for server in several.started:
        server.process.kill()
        server.process.wait()


def role(server: Server) -> str:
    with server.http() as http:
        return str(http.get("/health").json()["role"])


def has(server: Server, wanted: str) -> Callable[[], bool]:
    return lambda: role(server) == wanted


def follow(server: Server, request: str) -> list[dict[str, Any]]:
    """Every status that the stream tells, to its end."""
    path = f"/queue/test/slow/requests/{request}/status/stream?logs=1&previews=1"
    with server.http() as http, http.stream("GET", path) as answer:
        assert answer.status_code == 200
        return [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]


def test_a_replica_serves_what_the_dispatcher_makes(group: Group) -> None:
    """Submit, follow, cancel, fetch: nobody needs to know which server is which."""
    second = group.start("second", "--set", "api_only=true")
    request = second.submit(num_inference_steps=40)
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(follow, second, request)  # while nobody dispatches: it sees the queue for sure
        first = group.start("first")
        seen = following.result()
    assert [role(first), role(second)] == ["dispatcher", "replica"]
    assert first.key == second.key
    assert {one["status"] for one in seen} == {"IN_QUEUE", "IN_PROGRESS", "COMPLETED"}
    assert [one["progress"] for one in seen if "progress" in one], "its progress comes from the other server"
    assert any("preview" in one["progress"] for one in seen if "progress" in one)
    with second.http() as http:
        picture = http.get(second.result(request).json()["images"][0]["url"])
        assert picture.status_code == 200
        assert picture.content
        answer = http.post("/test/blank", json={"prompt": "x"})
        assert answer.status_code == 200, answer.text

    endless = second.submit(num_inference_steps=50, num_images=4)
    second.until(endless, "IN_PROGRESS")
    with second.http() as http:
        assert http.put(f"/queue/test/slow/requests/{endless}/cancel").status_code == 202
    wait_for(lambda: group.rows("SELECT 1 FROM requests WHERE outcome = 'cancelled'"))
    group.adds_up()


def test_a_key_that_ends_here_ends_there(group: Group) -> None:
    first, second = group.start("first", "--set", "api_only=true"), group.start("second", "--set", "api_only=true")
    with first.http() as http, second.http() as there:
        said = there.get("/ready").json()
        assert said["problem"].startswith("no server on this database dispatches")
        made = http.post("/platform/v1/keys", json={"alias": "short"}).json()
        headers = {"authorization": f"Key {made['key']}"}
        path = "/platform/v1/limits"
        assert there.get(path, headers=headers).status_code == 200
        assert http.delete(f"/platform/v1/keys/{made['key_id']}").status_code == 204
        wait_for(lambda: there.get(path, headers=headers).status_code == 401)


def test_another_takes_over_from_one_that_is_killed(group: Group) -> None:
    first, second = group.start("first"), group.start("second")
    requests = [server.submit(num_inference_steps=15) for _ in range(6) for server in (first, second)]
    first.until(requests[0], "IN_PROGRESS")
    first.process.kill()
    wait_for(has(second, "dispatcher"), SECONDS)
    requests += [second.submit(num_inference_steps=2)]
    wait_for(lambda: group.done(requests), SECONDS)
    group.adds_up()
    assert len(group.rows("SELECT id FROM requests")) == len(requests)
    assert second.stop() == 0


@pytest.mark.parametrize("whole", [False, True])
def test_a_lost_lock_makes_no_second_dispatcher(group: Group, database: Database, whole: bool) -> None:
    """Its connection, or the whole database, is ended again and again while both work; the work is done once."""
    servers = [group.start("first"), group.start("second")]
    requests: list[str] = []
    for _ in range(5):
        with ThreadPoolExecutor() as pool:
            requests += pool.map(submit, servers * 2)
        if whole:
            database.crash()
        else:
            group.end_leader()
        wait_for(lambda: sorted(map(role, servers)) == ["dispatcher", "replica"], SECONDS)
    wait_for(lambda: group.done(requests), SECONDS)
    group.adds_up()
    assert len(group.rows("SELECT id FROM requests")) == len(requests)
    assert [server.stop() for server in servers] == [0, 0]


def submit(server: Server) -> str:
    """Again while the database is away."""
    mark = secrets.token_hex(8)
    return wait_for(lambda: taken(server, mark), SECONDS)


def taken(server: Server, mark: str) -> str | None:
    with server.http(**{"idempotency-key": mark}) as http:
        answer = http.post("/queue/test/slow", json={"prompt": "x", "num_inference_steps": 5})
    assert answer.status_code in (200, 503), answer.text
    return str(answer.json()["request_id"]) if answer.status_code == 200 else None


def test_another_folder_of_keys_is_refused(group: Group, tmp_path: Path) -> None:
    group.start("first", "--set", "api_only=true")
    with pytest.raises(AssertionError, match="set shared and files to the same for all of them"):
        group.start("second", "--set", "api_only=true", "--set", f"shared={tmp_path / 'else'}")
