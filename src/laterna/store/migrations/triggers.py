"""Triggers of migrations, written once in SQLite's words and made in those of the database at hand."""

from __future__ import annotations

from collections.abc import Iterable

from alembic import op
from sqlalchemy import text

from laterna.store import postgres


def create(statements: Iterable[str]) -> None:
    for statement in statements:
        if op.get_bind().dialect.name == "sqlite":
            op.execute(statement)
        else:
            for part in postgres.trigger(statement):
                op.get_bind().exec_driver_sql(part.replace("%", "%%"))


def drop(name: str, table: str) -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute(text(f"DROP TRIGGER {name}"))
    else:
        op.execute(text(f"DROP TRIGGER {name} ON {table}"))
        op.execute(text(f"DROP FUNCTION {name}()"))
