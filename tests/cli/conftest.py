"""Servers of these tests are those of the end-to-end tests: real processes on the test's own folder."""

from tests.e2e.conftest import servers

__all__ = ["servers"]
