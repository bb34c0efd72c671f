"""Everything that is PostgreSQL's own: how it is opened, who may write and who dispatches, and its triggers.

The same tables and statements as SQLite's. Several servers may work on a database: their transactions that write come
one after another (an advisory lock until the commit), so that every rule that holds for one writer holds for all. One
of them dispatches: who has the advisory lock `LEADING` on the very connection that it writes by, so that whoever loses
the lock has lost the transaction too. A commit that must last waits for the log (`synchronous_commit`), one that need
not last does not. A connection that the server ended is made anew at the next use.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from laterna.errors import ConfigError, Unavailable
from laterna.store import news

CONNECT_SECONDS = 10
MIGRATING = 0x6C617465  # advisory lock: one server at a time brings the schema up to date
WRITING = MIGRATING + 1  # advisory lock: one transaction at a time writes
LEADING = MIGRATING + 2  # advisory lock: one server dispatches, as long as its writer's connection lives
ALIKE = MIGRATING + 3  # advisory locks: the secrets that running servers have, of which there must be one kind
LOOKS = 20  # times that `must_lead` tries to have the lock: a server that was killed may have it for a moment
LOOK_SECONDS = 0.05

# A machine that is gone without a word is noticed after about ten seconds, by the database and by its servers, and a
# process that stands still within a transaction holds the others up no longer than that.
_DEAD = "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3 -c tcp_user_timeout=10000"
_STILL = "-c idle_in_transaction_session_timeout=10000 -c lock_timeout=10000"
_ALIVE = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 10_000}

_MY_TURN = text("SELECT pg_advisory_xact_lock(:key)")
_MY_TURN_AND_AWAY = text("SELECT set_config('synchronous_commit', 'off', true), pg_advisory_xact_lock(:key)")
_LEAD = text("SELECT pg_try_advisory_lock(:key)")
_LOCKS = "FROM pg_locks JOIN pg_database ON oid = database WHERE datname = current_database() AND locktype = 'advisory'"
_SOMEBODY_LEADS = text(f"SELECT EXISTS (SELECT {_LOCKS} AND objsubid = 1 AND objid = :key AND granted)")
_BE_KNOWN = text("SELECT pg_advisory_lock_shared(:kind, :what)")
_OTHERS_DIFFER = text(f"SELECT EXISTS (SELECT {_LOCKS} AND objsubid = 2 AND classid = :kind AND objid <> :what)")
_LET_GO = text("SELECT pg_advisory_unlock_all()")

_TRIGGER = re.compile(
    r"CREATE TRIGGER (?P<name>\w+)\s+BEFORE (?P<when>.+? ON (?P<table>\w+))\s+WHEN (?P<condition>.+)\s+"
    r"BEGIN SELECT RAISE\(ABORT, '(?P<message>[^']*)'\); END",
    re.DOTALL,
)


def engine(url: str, *, reading: bool = False) -> Engine:
    """Connections to a `postgresql://` URL. Raises ConfigError for a URL that is none, or without the extra."""
    kind = "-c default_transaction_read_only=on" if reading else _STILL
    try:
        return create_engine(
            re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url),
            poolclass=NullPool,
            isolation_level="REPEATABLE READ" if reading else "READ COMMITTED",
            connect_args=_connecting(kind),
            execution_options={"origin": secrets.token_hex(6)},
        )
    except ModuleNotFoundError as error:
        raise ConfigError("a store on PostgreSQL needs a driver: pip install 'laterna[postgres]'") from error
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise ConfigError("store: not a PostgreSQL URL; expected postgresql://user:password@host/name") from error


def _connecting(options: str) -> dict[str, Any]:
    given = f"-c timezone=UTC {_DEAD} {options}".strip()
    return {"connect_timeout": CONNECT_SECONDS, "options": given, "application_name": "laterna", **_ALIVE}


def parameters(engine: Engine) -> dict[str, Any]:
    """How a connection beside the engine's own is made."""
    _, found = engine.dialect.create_connect_args(engine.url)
    return {**found, **_connecting("")}


def origin(engine: Engine) -> str:
    """What this server's news are known by."""
    return str(engine.get_execution_options()["origin"])


@contextmanager
def transaction(connection: Connection, durable: bool) -> Iterator[None]:
    """A transaction of the only writer there is meanwhile; if `durable`, it outlives a loss of power once committed.

    Others hear its news with the commit. Fails, as a store that is away, where another has the turn for too long.
    """
    with connection.begin():
        connection.execute(_MY_TURN if durable else _MY_TURN_AND_AWAY, {"key": WRITING})
        news.forget(connection)
        yield
        news.send(connection)


def lead(connection: Connection) -> bool:
    """Become the one that dispatches, or go on being it; False where another server is."""
    if not connection.info.get("leads"):
        connection.info["leads"] = connection.execute(_LEAD, {"key": LEADING}).scalar()
    return bool(connection.info["leads"])


def must_lead(connection: Connection) -> None:
    """Raises Unavailable where another server dispatches: the transaction must change nothing then."""
    for _ in range(LOOKS):
        if lead(connection):
            return
        time.sleep(LOOK_SECONDS)
    raise Unavailable("another server on this database dispatches")


def led(connection: Connection) -> bool:
    """Whether any server dispatches."""
    return bool(connection.execute(_SOMEBODY_LEADS, {"key": LEADING}).scalar())


def be_alike(connection: Connection, what: int) -> bool:
    """Be known to have secrets of this digest, of 31 bits; False where a running server has others."""
    connection.execute(_BE_KNOWN, {"kind": ALIKE, "what": what})
    return not connection.execute(_OTHERS_DIFFER, {"kind": ALIKE, "what": what}).scalar()


def let_go(connection: Connection) -> None:
    """Give back what was held for the connection's life, which ends now: others need not wait until that is noticed."""
    with connection.begin():
        connection.execute(_LET_GO)


@contextmanager
def savepoint(connection: Connection) -> Iterator[None]:
    """What is changed inside is undone, alone, by an exception."""
    point = connection.begin_nested()
    try:
        yield
    except Exception:
        if not lost(connection):
            point.rollback()
        raise
    point.commit()


def lost(connection: Connection) -> bool:
    """Whether the server gave up the whole transaction, as it does when the connection breaks."""
    return connection.invalidated or connection.closed


def alone(connection: Connection) -> None:
    """Have the schema to oneself until the transaction ends, however long another one has it."""
    connection.execute(text("SET LOCAL lock_timeout TO 0"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATING})


def trigger(statement: str) -> tuple[str, str]:
    """The function and the trigger that do what a trigger of SQLite's does, as `laterna.store.sqlite` writes them."""
    found = _TRIGGER.fullmatch(statement.strip())
    assert found is not None, statement
    name, message = found["name"], found["message"]
    condition = "true" if found["condition"].strip() == "1" else found["condition"]
    row = "OLD" if found["when"].startswith("DELETE") else "NEW"
    function = f"""CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
IF {condition} THEN
    RAISE EXCEPTION '{message}' USING ERRCODE = 'integrity_constraint_violation';
END IF;
RETURN {row};
END $$"""
    return function, f"CREATE TRIGGER {name} BEFORE {found['when']} FOR EACH ROW EXECUTE FUNCTION {name}()"
