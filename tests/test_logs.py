"""Lines of log: one form, whoever writes them, with the ids that are known."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

WRITES = """
import logging, structlog, sys
from laterna.logs import configure_logs
configure_logs({level!r}, {as_json}, {worker!r})
log = structlog.get_logger()
log.debug("quiet")
with structlog.contextvars.bound_contextvars(request_id="r1", tenant="t1"):
    log.info("ours", model="m")
    logging.getLogger("theirs.own").info("quiet")
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("theirs.own").exception("theirs %d", 7)
print("data")
"""


def lines(level: str = "info", as_json: bool = True, worker: str = "") -> list[str]:
    code = WRITES.format(level=level, as_json=as_json, worker=worker)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "data\n"
    return done.stderr.splitlines()


def test_ours_and_others_lines_are_json_with_the_ids() -> None:
    ours, theirs = (json.loads(line) for line in lines(worker="gpu"))
    assert (ours["event"], ours["level"], ours["model"]) == ("ours", "info", "m")
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("theirs 7", "error", "theirs.own")
    assert "ValueError: broken" in theirs["exception"]
    for line in (ours, theirs):
        assert (line["request_id"], line["tenant"], line["worker"]) == ("r1", "t1", "gpu")
        assert line["timestamp"]


@pytest.mark.parametrize(("level", "count"), [("debug", 3), ("info", 2), ("error", 1)])
def test_levels_hold_for_ours_and_from_warning_on_for_others(level: str, count: int) -> None:
    assert len(lines(level)) == count


def test_lines_for_people_name_the_request_too() -> None:
    text = "\n".join(lines(as_json=False))
    assert "request_id=r1" in text
    assert "theirs 7" in text
