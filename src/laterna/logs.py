"""How the server and its workers log: lines for people, or JSON; always to stderr, never a query string or a key.

A line about a request carries its `request_id`, and its `tenant` where that is known, whichever process wrote it. What
other packages log by the standard library comes in the same form.
"""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger


def configure_logs(level: str, as_json: bool, worker: str = "") -> None:
    """Set structlog and the standard library's root logger up, once in a process.

    Args:
        level: debug, info, warning or error; other packages are heard from warning on.
        as_json: one object a line, for machines.
        worker: whose process this is; empty: the server's.
    """
    number = getattr(logging, level.upper())

    def name_worker(logger: WrappedLogger, method: str, line: EventDict) -> EventDict:
        return {"worker": worker, **line} if worker else line

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        name_worker,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.format_exc_info,
    ]
    render: Processor = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    foreign = logging.StreamHandler(sys.stderr)
    form, named = structlog.stdlib.ProcessorFormatter, structlog.stdlib.add_logger_name
    foreign.setFormatter(form(foreign_pre_chain=[*shared, named], processors=[form.remove_processors_meta, render]))
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[foreign])
