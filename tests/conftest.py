"""What all tests share: asynchronous tests run on asyncio, and Ctrl-C reaches the commands that tests start."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from tests.postgres import VARIABLE

# A shell's background jobs ignore Ctrl-C, and so would every command started from here.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How fast this machine draws examples says nothing about the code. On PostgreSQL each may need a database of its own.
EXAMPLES = 10 if VARIABLE in os.environ else 100
hypothesis_settings.register_profile(
    "laterna", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=EXAMPLES
)
hypothesis_settings.load_profile("laterna")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
