"""A real Chromium for tests of the page, and what every such test is held to: no trouble told in its console, and no
request to any other host. Skips where there is no Chromium; fails where tools are required.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, Request

from bench import browser
from tests.e2e.conftest import Server
from tests.tools import missing, node_folder

SECONDS = 60.0  # for what a loaded machine does in its own time
SERIOUS = ("serious", "critical")


@contextmanager
def launched() -> Iterator[Browser]:
    path = browser.chromium()
    if path is None:
        missing("Chromium is not installed")
    assert path is not None
    with browser.launched(path) as found:
        yield found


@dataclass
class Visit:
    """A tab of its own on a server's page."""

    page: Page
    server: Server
    troubles: list[str] = field(default_factory=list)  # that its console told, and requests to elsewhere

    @property
    def url(self) -> str:
        return self.server.address.http

    def watch(self) -> None:
        self.page.on("console", lambda said: self.troubles.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("request", self._asked)

    def _asked(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.netloc != urlsplit(self.url).netloc:
            self.troubles.append(f"asked another host: {request.url}")

    def sign_in(self, view: str = "/models") -> Page:
        """Open a view, signed in with the first key."""
        self.page.goto(f"{self.url}{view}")
        self.page.locator("input[autocomplete=current-password]").fill(self.server.key)
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector("header.top")
        return self.page

    def findings(self) -> list[str]:
        """What axe finds wrong with the page as it stands, of what is serious."""
        self.page.evaluate((node_folder() / "node_modules" / "axe-core" / "axe.min.js").read_text())
        found: dict[str, Any] = self.page.evaluate("axe.run()")
        return [
            f"{one['id']}: {json.dumps([node['html'][:200] for node in one['nodes']])}"
            for one in found["violations"]
            if one["impact"] in SERIOUS
        ]


@contextmanager
def visiting(browser: Browser, server: Server, **options: Any) -> Iterator[Visit]:
    """A tab whose troubles fail the test that opened it."""
    given: dict[str, Any] = {"viewport": {"width": 1360, "height": 900}, "locale": "en-GB", **options}
    context = browser.new_context(**given)
    context.set_default_timeout(SECONDS * 1000)
    visit = Visit(page=context.new_page(), server=server)
    visit.watch()
    yield visit
    assert visit.troubles == [], visit.troubles
    context.close()
