"""Everything that is PostgreSQL's own: how it is opened, how long a commit waits for the disk, and its triggers.

The same tables and statements as SQLite's. A commit that must last waits for the log (`synchronous_commit`), one that
need not last does not. A connection that the server ended is made anew at the next use.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from laterna.errors import ConfigError, Unavailable

CONNECT_SECONDS = 10
MIGRATING = 0x6C617465  # advisory lock: one server at a time brings the schema up to date
WRITING = MIGRATING + 1  # advisory lock: one server writes, as long as its connection lives
LOOKS = 40  # times that the writer tries to have the lock: a server that was killed may have it for a moment
LOOK_SECONDS = 0.05

_TRIGGER = re.compile(
    r"CREATE TRIGGER (?P<name>\w+)\s+BEFORE (?P<when>.+? ON (?P<table>\w+))\s+WHEN (?P<condition>.+)\s+"
    r"BEGIN SELECT RAISE\(ABORT, '(?P<message>[^']*)'\); END",
    re.DOTALL,
)


def engine(url: str, *, reading: bool = False) -> Engine:
    """Connections to a `postgresql://` URL. Raises ConfigError for a URL that is none, or without the extra."""
    options = f"-c timezone=UTC{' -c default_transaction_read_only=on' if reading else ''}"
    try:
        return create_engine(
            re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url),
            poolclass=NullPool,
            isolation_level="REPEATABLE READ" if reading else "READ COMMITTED",
            connect_args={"connect_timeout": CONNECT_SECONDS, "options": options, "application_name": "laterna"},
        )
    except ModuleNotFoundError as error:
        raise ConfigError("a store on PostgreSQL needs a driver: pip install 'laterna[postgres]'") from error
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise ConfigError("store: not a PostgreSQL URL; expected postgresql://user:password@host/name") from error


@contextmanager
def transaction(connection: Connection, durable: bool) -> Iterator[None]:
    """A transaction of the only writer that, if `durable`, outlives a loss of power once it is committed.

    Raises Unavailable where another server is the writer.
    """
    with connection.begin():
        if not connection.info.get("writes"):
            _be_the_writer(connection)
        if not durable:
            connection.execute(text("SET LOCAL synchronous_commit TO off"))
        yield


def _be_the_writer(connection: Connection) -> None:
    """Have the lock for as long as the connection lives; a new one, after a crash, must have it anew."""
    for _ in range(LOOKS):
        if connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": WRITING}).scalar():
            connection.info["writes"] = True
            return
        time.sleep(LOOK_SECONDS)
    raise Unavailable("another server works on this database; stop it, or set another store")


def lost(connection: Connection) -> bool:
    """Whether the server gave up the whole transaction, as it does when the connection breaks."""
    return connection.invalidated or connection.closed


def alone(connection: Connection) -> None:
    """Have the schema to oneself until the transaction ends."""
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
