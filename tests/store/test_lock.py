"""One server a data folder."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from laterna.config import Settings
from laterna.errors import ConfigError
from laterna.store.store import Store

HOLD = """
import asyncio, sys, time
from pathlib import Path
from laterna.config import Settings
from laterna.store.store import Store
async def main():
    await Store.open(Settings(data=Path(sys.argv[1])))
    print("open", flush=True)
    time.sleep(60)
asyncio.run(main())
"""


async def _open_and_close(folder: Path) -> None:
    store = await Store.open(Settings(data=folder))
    await store.close()


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(ConfigError, match=f"in use by process {other.pid}"):
            asyncio.run(_open_and_close(tmp_path))
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
    asyncio.run(_open_and_close(tmp_path))


def test_the_same_process_may_open_again_only_after_closing(tmp_path: Path) -> None:
    async def scene() -> None:
        store = await Store.open(Settings(data=tmp_path))
        with pytest.raises(ConfigError, match=str(os.getpid())):
            await Store.open(Settings(data=tmp_path))
        await store.close()
        await _open_and_close(tmp_path)

    asyncio.run(scene())


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be used"):
        asyncio.run(_open_and_close(tmp_path / "file"))
