"""The page in a real Chromium: what its first view weighs, when it can be used, and how a long gallery scrolls."""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, ViewportSize

from bench.browser import chromium, launched
from bench.report import Measured, Report, main, percentile
from bench.servers import Target, laterna
from bench.wall import fill

SCREEN: ViewportSize = {"width": 1360, "height": 900}
STORED = "laterna.key"  # where the page keeps its key
QUIET_MS = 500  # without a long task, after which a view is taken to be usable
PICTURES = 10_000
SCROLL_PX = 120  # a notch of a wheel, each frame
FIRST_VIEWS = {"sign-in": "form input", "models": ".card", "playground": "form textarea"}  # what is waited for

# Watches for what is waited for, and for tasks of more than 50 ms.
WATCH = """
window.seen = {shown: 0, tasks: []};
new PerformanceObserver((list) => {
  for (const task of list.getEntries()) seen.tasks.push([task.startTime, task.duration]);
}).observe({type: "longtask", buffered: true});
const look = () => {
  if (document.querySelector(%r)) seen.shown = performance.now();
  else requestAnimationFrame(look);
};
look();
"""
SCRIPTS = """() => performance.getEntriesByType("resource").filter((one) => one.name.endsWith(".js"))
  .reduce((sum, one) => sum + one.encodedBodySize, 0)"""

# Scrolls down to the last picture, a notch each frame; frames in ms, and the most tiles that were mounted.
SCROLL = """async ([count, px]) => {
  const frames = [];
  let most = 0, last = performance.now();
  while (!document.querySelector(`.tile[aria-posinset="${count}"]`)) {
    scrollBy(0, px);
    const now = await new Promise(requestAnimationFrame);
    frames.push(now - last);
    last = now;
    most = Math.max(most, document.querySelectorAll(".tile").length);
  }
  return [frames, most];
}"""


@dataclass(frozen=True, kw_only=True)
class FirstView:
    """One view opened by a browser that has nothing of it, several times."""

    name: str
    script_kb: float  # as transferred
    shown_ms: Sequence[float]  # from the navigation until it shows what it is for
    usable_ms: Sequence[float]  # and until no task of more than 50 ms followed


@dataclass(frozen=True, kw_only=True)
class Scrolled:
    """The gallery, from its first picture to its last."""

    pictures: int
    mounted: int  # at most, at any time
    frames_ms: Sequence[float]
    tasks_ms: Sequence[float]  # those of more than 50 by the clock, in which the machine may have done other things
    longest_cpu_ms: float  # that any task took of a processor


def measure(quick: bool) -> Report:
    """First views, each with an empty cache; then one long scroll."""
    path = chromium()
    if path is None:
        raise SystemExit("bench.page needs Chromium: install it, e.g. `apt install chromium`")
    pictures = PICTURES // 10 if quick else PICTURES
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(fill(Path(folder), pictures))
        with laterna(Path(folder), "laterna/sprite", {}) as target, launched(path) as browser:
            views = [_first_view(browser, target, name, 3 if quick else 9) for name in FIRST_VIEWS]
            scrolled = _scroll(browser, target, pictures)
    return _report(views, scrolled)


def _first_view(browser: Browser, target: Target, name: str, times: int) -> FirstView:
    shown, usable, weights = list[float](), list[float](), list[float]()
    where = {"sign-in": "/models", "models": "/models", "playground": "/models/laterna/sprite"}[name]
    for _ in range(times):
        page = _opened(browser, target, where, FIRST_VIEWS[name], signed_in=name != "sign-in")
        page.wait_for_timeout(QUIET_MS)
        seen: dict[str, Any] = page.evaluate("seen")
        ends = [begun + took for begun, took in seen["tasks"]]
        shown.append(seen["shown"])
        usable.append(max([seen["shown"], *ends]))
        weights.append(page.evaluate(SCRIPTS) / 1000)
        page.context.close()
    return FirstView(name=name, script_kb=statistics.median(weights), shown_ms=shown, usable_ms=usable)


def _scroll(browser: Browser, target: Target, pictures: int) -> Scrolled:
    page = _opened(browser, target, "/gallery", ".tile", signed_in=True)
    page.wait_for_timeout(QUIET_MS)
    before = len(page.evaluate("seen.tasks"))
    browser.start_tracing(page=page, categories=["toplevel"])
    frames, mounted = page.evaluate(SCROLL, [pictures, SCROLL_PX])
    longest_cpu_ms = _longest_cpu_ms(browser.stop_tracing())
    page.wait_for_timeout(QUIET_MS)
    tasks = [took for _, took in page.evaluate("seen.tasks")[before:]]
    page.context.close()
    return Scrolled(pictures=pictures, mounted=mounted, frames_ms=frames, tasks_ms=tasks, longest_cpu_ms=longest_cpu_ms)


def _longest_cpu_ms(trace: bytes) -> float:
    """Of the tasks of pages' main threads."""
    events: list[dict[str, Any]] = json.loads(trace)["traceEvents"]
    named = [one for one in events if one.get("name") == "thread_name"]
    threads = {(one["pid"], one["tid"]) for one in named if one["args"]["name"] == "CrRendererMain"}
    calls = [one for one in events if one.get("ph") == "X" and (one["pid"], one["tid"]) in threads]
    tasks = [float(one.get("tdur", 0)) for one in calls]
    return max(tasks) / 1000


def _opened(browser: Browser, target: Target, view: str, awaited: str, *, signed_in: bool) -> Page:
    """A tab of a browser that was never here."""
    context = browser.new_context(viewport=SCREEN, locale="en-GB")
    page = context.new_page()
    page.add_init_script(WATCH % awaited)
    if signed_in:
        key = target.headers["Authorization"].removeprefix("Key ")
        page.add_init_script(f"sessionStorage.setItem({STORED!r}, {key!r})")
    page.goto(target.url.removesuffix("/laterna/sprite") + view)
    while not page.evaluate("seen.shown"):  # the page's policy forbids the tab to evaluate a condition by itself
        page.wait_for_timeout(20)
    return page


def _report(views: Sequence[FirstView], scrolled: Scrolled) -> Report:
    first = Measured(
        title="First views, nothing cached",
        columns=("view", "script kB", "shown ms", "usable ms"),
        rows=[
            (one.name, one.script_kb, statistics.median(one.shown_ms), statistics.median(one.usable_ms))
            for one in views
        ],
    )
    longest = max(scrolled.tasks_ms, default=0.0)
    wall = Measured(
        title=f"Gallery of {scrolled.pictures} pictures, a notch of the wheel each frame",
        columns=("mounted at most", "frame p50 ms", "frame p99 ms", "tasks over 50 ms", "longest ms", "longest CPU ms"),
        rows=[
            (
                scrolled.mounted,
                *(percentile(scrolled.frames_ms, at) for at in (0.5, 0.99)),
                len(scrolled.tasks_ms),
                longest,
                scrolled.longest_cpu_ms,
            )
        ],
    )
    return Report(
        tables=(first, wall),
        figures={
            "page_script_kb": max(one.script_kb for one in views),
            "page_usable_ms": max(statistics.median(one.usable_ms) for one in views),
            "page_mounted": scrolled.mounted,
            "page_long_tasks": len(scrolled.tasks_ms),
            "page_longest_task_ms": longest,
            "page_longest_task_cpu_ms": scrolled.longest_cpu_ms,
        },
        notes=(
            "script: as transferred; usable: shown, and no task of more than 50 ms after that.",
            "Server and browser share the machine: a task's CPU time is what it took itself.",
        ),
        plot=lambda path: _plot(path, scrolled),
    )


def _plot(path: Path, scrolled: Scrolled) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6, 3.5), layout="constrained")
    axis.plot(scrolled.frames_ms, linewidth=0.8)
    axis.set(xlabel="frame", ylabel="ms", title=f"Scrolling through {scrolled.pictures} pictures")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main(measure)
