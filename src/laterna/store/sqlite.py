"""Everything that is SQLite's own: how it is opened, how long a commit waits for the disk, and the triggers' dialect.

Write-ahead log; one connection writes, others read beside it; a commit that must last waits until the log is on the
disk (`synchronous=FULL`), a commit that need not last does not. What is deleted is overwritten (`secure_delete`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool

from laterna.store.states import BLOCKED, QUEUED, SCHEDULED, SETTLED, TRANSITIONS

BUSY_SECONDS = 5.0  # another process may hold the file for a moment: a backup, the sqlite3 shell
CACHE_KIB = 32 * 1024


def writing_engine(path: Path) -> Engine:
    """For the one connection that changes the file; made where there is none."""
    durable = ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL")
    return _engine(path, "BEGIN IMMEDIATE", *durable, "PRAGMA foreign_keys=ON", "PRAGMA secure_delete=ON")


def reading_engine(path: Path) -> Engine:
    """For connections that see each transaction as soon as it is committed and cannot write."""
    return _engine(path, "BEGIN", "PRAGMA query_only=ON")


@contextmanager
def transaction(connection: Connection, durable: bool) -> Iterator[None]:
    """A transaction that, if `durable`, outlives a loss of power once it is committed."""
    driver = _driver(connection)
    assert not driver.in_transaction
    driver.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}").close()
    with connection.begin():
        yield


@contextmanager
def savepoint(connection: Connection) -> Iterator[None]:
    """What is changed inside is undone, alone, by an exception."""
    driver = _driver(connection)
    driver.execute("SAVEPOINT write").close()
    try:
        yield
    except Exception:
        if not lost(connection):
            driver.execute("ROLLBACK TO write").close()
            driver.execute("RELEASE write").close()
        raise
    driver.execute("RELEASE write").close()


def lost(connection: Connection) -> bool:
    """Whether the database gave up the whole transaction, as it does when the disk is full."""
    return not _driver(connection).in_transaction


def _driver(connection: Connection) -> sqlite3.Connection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def _engine(path: Path, begin: str, *pragmas: str) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}", poolclass=NullPool, connect_args={"timeout": BUSY_SECONDS, "isolation_level": None}
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        for pragma in (*pragmas, f"PRAGMA cache_size=-{CACHE_KIB}"):
            connection.execute(pragma).close()

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def triggers() -> dict[str, str]:
    """Name to statement: what constraints on single rows cannot say."""
    ways = "".join(
        f"\n  OR OLD.state = '{old}' AND NEW.state IN ({_listed(targets)})"
        for old, targets in TRANSITIONS.items()
        if targets
    )
    births = _listed((BLOCKED, SCHEDULED, QUEUED))
    settled = f"OLD.state = '{SETTLED}'"
    fixed = "outcome, settled_us, error_code, attempts, price_nano, currency"
    parent = "(SELECT state FROM requests WHERE id = {}.request_id)"
    parent_settled = f"{parent.format('NEW')} = '{SETTLED}'"
    found = {
        "requests_begin_waiting": ("INSERT ON requests", f"NEW.state NOT IN ({births})", "a request begins waiting"),
        "requests_go_legal_ways": (
            "UPDATE OF state ON requests",
            f"NOT (\n  OLD.state = NEW.state{ways}\n)",
            "illegal transition of a request",
        ),
        "requests_stay_settled": (f"UPDATE OF {fixed} ON requests", settled, "a settled request does not change"),
        "requests_stay": ("DELETE ON requests", "1", "requests are kept"),
    }
    too_late = "the request was settled before"
    for table in ("outputs", "outbox"):
        found[f"{table}_come_before_settling"] = (f"INSERT ON {table}", parent_settled, too_late)
    # What was used may become known later; what is charged may not.
    found["charges_come_before_settling"] = (
        "INSERT ON usage_lines",
        f"NEW.amount_nano <> 0 AND {parent_settled}",
        too_late,
    )
    quote = "(SELECT price_nano FROM requests WHERE id = NEW.request_id)"
    found["charges_keep_to_the_quote"] = (
        "INSERT ON usage_lines",
        f"NEW.amount_nano < 0 OR NEW.amount_nano > {quote}",
        "no more is charged than was quoted",
    )
    found["quotes_stay"] = (
        "UPDATE OF price_nano, currency, price_unit, unit_nano, quantity_micro ON requests",
        "1",
        "a quote is a promise",
    )
    line = "usage_lines WHERE request_id = NEW.request_id AND stage = 'price'"
    found["charges_have_their_usage_line"] = (
        "INSERT ON entries",
        f"NEW.kind = 'charge' AND NOT EXISTS (\n  SELECT 1 FROM {line}\n  "
        "AND amount_nano = NEW.amount_nano AND currency = NEW.currency AND tenant_id = NEW.tenant_id\n)",
        "a charge is that of its usage line",
    )
    found["entries_keep_one_currency"] = (
        "INSERT ON entries",
        "EXISTS (SELECT 1 FROM accounts WHERE id IN (NEW.debit, NEW.credit) AND currency <> NEW.currency)",
        "both accounts are of the currency of the entry",
    )
    for table in ("accounts", "entries"):
        found[f"{table}_stay"] = (f"DELETE ON {table}", "1", f"{table} are only added")
    for table in ("usage_lines", "events", "accounts", "entries"):
        found[f"{table}_do_not_change"] = (f"UPDATE ON {table}", "1", f"{table} are only added")
    found["usage_lines_stay"] = ("DELETE ON usage_lines", "1", "usage_lines are only added")
    found["events_stay"] = (
        "DELETE ON events",
        f"{parent.format('OLD')} <> '{SETTLED}'",
        "events are kept while their request lives",
    )
    return {
        name: f"CREATE TRIGGER {name}\nBEFORE {when}\nWHEN {condition}\nBEGIN SELECT RAISE(ABORT, '{message}'); END"
        for name, (when, condition, message) in found.items()
    }


def _listed(values: Iterable[str]) -> str:
    return ", ".join(f"'{value}'" for value in values)
