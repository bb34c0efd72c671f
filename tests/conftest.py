"""What all tests share: asynchronous tests run on asyncio."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

# How fast this machine draws examples says nothing about the code.
hypothesis_settings.register_profile("laterna", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("laterna")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
