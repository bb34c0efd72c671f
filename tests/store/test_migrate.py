"""An upgraded database has exactly what the code says: tables, constraints, indexes and triggers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, text

from laterna.errors import ConfigError
from laterna.store.migrate import migrate
from laterna.store.schema import metadata
from laterna.store.sqlite import triggers, writing_engine


def _everything(engine: Engine) -> dict[tuple[str, str], object]:
    """What SQLite knows: columns and constraints of tables, statements of indexes and triggers."""
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT type, name, sql FROM sqlite_master WHERE name <> 'alembic_version'")
        ).all()
        return {(kind, name): _described(connection, kind, name, sql) for kind, name, sql in rows if sql is not None}


def _described(connection: Connection, kind: str, name: str, sql: str) -> object:
    if kind != "table":
        return re.sub(r"\s+", " ", sql)
    columns = connection.execute(text(f'PRAGMA table_info("{name}")')).all()
    keys = connection.execute(text(f'PRAGMA foreign_key_list("{name}")')).all()
    constraints = sorted(part.strip(" ,\n\t") for part in re.findall(r"(?m)^\s*CONSTRAINT .*$", sql))
    return [tuple(row) for row in columns], sorted(tuple(row)[2:] for row in keys), constraints


def test_migrations_lead_to_the_schema(tmp_path: Path) -> None:
    upgraded, made = writing_engine(tmp_path / "upgraded.db"), writing_engine(tmp_path / "made.db")
    migrate(upgraded)
    with made.connect() as connection, connection.begin():
        metadata.create_all(connection)
        for statement in triggers().values():
            connection.execute(text(statement))
    expected = _everything(made)
    assert {kind for kind, _ in expected} == {"table", "index", "trigger"}
    assert _everything(upgraded) == expected


def test_migrating_again_changes_nothing(tmp_path: Path) -> None:
    engine = writing_engine(tmp_path / "laterna.db")
    migrate(engine)
    before = _everything(engine)
    migrate(engine)
    assert _everything(engine) == before


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    engine = writing_engine(tmp_path / "laterna.db")
    migrate(engine)
    with engine.connect() as connection, connection.begin():
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigError, match="newer version"):
        migrate(engine)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "laterna.db").write_bytes(b"no database at all, but long enough to be looked at" * 100)
    with pytest.raises(ConfigError, match="cannot be opened"):
        migrate(writing_engine(tmp_path / "laterna.db"))
