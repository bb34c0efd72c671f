"""What all tests share: asynchronous tests run on asyncio, and Ctrl-C reaches the commands that tests start."""

from __future__ import annotations

import signal

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

# A shell's background jobs ignore Ctrl-C, and so would every command started from here.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How fast this machine draws examples says nothing about the code.
hypothesis_settings.register_profile("laterna", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("laterna")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
