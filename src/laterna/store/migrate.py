"""Brings a database to this version's schema, forward only, when the server starts."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DatabaseError

from laterna.errors import ConfigError
from laterna.store import postgres

FOLDER = Path(__file__).parent / "migrations"


def migrate(engine: Engine) -> None:
    """Run what is missing, in one transaction. Raises ConfigError for a file that is no database of ours."""
    try:
        with engine.connect() as connection, connection.begin():
            if engine.dialect.name != "sqlite":
                postgres.alone(connection)
            if _revisions(connection) != tuple(ScriptDirectory.from_config(_config()).get_heads()):
                command.upgrade(_config(connection), "head")
    except CommandError as error:
        raise ConfigError(
            f"{engine.url.database}: {error}; it was written by a newer version: install that, or use another folder"
        ) from error
    except DatabaseError as error:
        raise ConfigError(f"{engine.url.database}: cannot be opened as this server's database: {error.orig}") from error


def _revisions(connection: Connection) -> tuple[str, ...]:
    return MigrationContext.configure(connection).get_current_heads()


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
