"""PostgreSQL for tests: a server of their own, and a database for each data folder of theirs."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy import Engine

from laterna.store import postgres, sqlite
from laterna.store.migrate import migrate
from tests.tools import missing

VARIABLE = "LATERNA_TEST_POSTGRES"  # URL of a server on which tests make databases; absent: they use SQLite


def database(folder: Path) -> str:
    """What the setting `store` is for a data folder: a database of its own, where tests run on PostgreSQL."""
    url = os.environ.get(VARIABLE)
    if not url:
        return ""
    name = f"t{hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:24]}"
    return _made(url, name, _migrated(url))


def writing_engine(folder: Path) -> Engine:
    """For the database of a data folder."""
    url = database(folder)
    return postgres.engine(url) if url else sqlite.writing_engine(folder / "laterna.db")


@cache
def _migrated(url: str) -> str:
    """A database as a first start leaves it, to copy: of this process, as one that is in use cannot be copied."""
    name = f"template{os.getpid()}"
    migrate(postgres.engine(_made(url, name, "template1")))
    return name


def _made(url: str, name: str, template: str) -> str:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection, suppress(psycopg.errors.DuplicateDatabase):
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return url.replace("/postgres?", f"/{name}?")


@dataclass(frozen=True)
class Server:
    """One that runs."""

    url: str  # of a database in which tests make others
    pg_ctl: Sequence[str]

    def crash(self) -> None:
        """Be killed and start again."""
        subprocess.run([*self.pg_ctl, "-m", "immediate", "restart"], check=True, stdout=subprocess.DEVNULL)


@contextmanager
def server() -> Iterator[Server]:
    """A server on a socket in a folder of its own. Skips where PostgreSQL is not installed."""
    pytest.importorskip("psycopg")
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="pg", dir=_memory()))
    run = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if run:
        shutil.chown(folder, "postgres")
    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off -c max_connections=200"
    try:
        made = [
            *run,
            f"{programs}/initdb",
            "-D",
            f"{folder}/data",
            "-A",
            "trust",
            "-U",
            "laterna",
            "--locale=C",
            "-EUTF8",
        ]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
        pg_ctl = [*run, f"{programs}/pg_ctl", "-D", f"{folder}/data", "-w"]
        subprocess.run([*pg_ctl, "-l", f"{folder}/log", "-o", options, "start"], check=True, stdout=subprocess.DEVNULL)
        try:
            yield Server(f"postgresql://laterna@/postgres?host={folder}", pg_ctl)
        finally:
            subprocess.run([*pg_ctl, "-m", "immediate", "stop"], check=True, stdout=subprocess.DEVNULL)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _memory() -> Path | None:
    """A folder that is kept in memory, for hundreds of databases that live for a moment; None where there is none."""
    shared = Path("/dev/shm")
    return shared if shared.is_dir() and shutil.disk_usage(shared).free > 4 * 2**30 else None


def _programs() -> Path:
    """The folder of initdb and pg_ctl, which Debian keeps out of the path."""
    found = shutil.which("pg_ctl")
    folders = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not folders:
        missing("PostgreSQL is not installed")
    return folders[-1]
