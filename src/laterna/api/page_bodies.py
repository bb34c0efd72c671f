"""What the page shows, as JSON: pictures, requests, devices. Times are ISO 8601, money is in its own currency."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from laterna.contracts.generation import Generation
from laterna.contracts.messages import Progress
from laterna.dispatch.etas import Eta
from laterna.dispatch.floor import Device, Pulse, Work
from laterna.requests.pictures import Picture
from laterna.requests.recent import Ended
from laterna.requests.requests import Output, RequestView, Total

CLASSES = ("realtime", "normal", "low")  # by priority
PERCENTILES = (0.5, 0.9, 0.99)


def moment(time_us: int | None) -> str | None:
    return None if time_us is None else datetime.fromtimestamp(time_us / 1e6, UTC).isoformat()


def picture_body(picture: Picture, cdn: str, token: Callable[[str], str]) -> dict[str, Any]:
    return {
        "key": picture.key,
        **addresses(picture, cdn, token),
        "file_name": picture.file_name,
        "content_type": picture.content_type,
        "size_bytes": picture.size_bytes,
        "sha256": picture.sha256,
        "width": picture.width,
        "height": picture.height,
        "created_at": moment(picture.created_us),
        "expires_at": moment(picture.expires_us),
        "request_id": picture.request_id,
        "index": picture.index,
        "seed": picture.seed,
        "endpoint_id": picture.endpoint,
        "model_revision": picture.model_revision,
        "inference_seconds": picture.inference_s,
        "asked": asked_body(picture.generation),
    }


def addresses(made: Picture | Output, cdn: str, token: Callable[[str], str]) -> dict[str, str]:
    """Where it is, and where the page shows it from: an `img` sends no key, so a token stands in the address.

    Args:
        token: one that reads the file with that key.
    """
    url = f"{cdn}/files/{made.key}/{made.file_name}"
    return {"url": url, "shown_url": f"{url}?token={token(made.key)}" if made.restricted else url}


def asked_body(job: Generation | None) -> dict[str, Any] | None:
    """What the engine was asked, in its own words; None where it is deleted or only another version can read it."""
    return None if job is None else msgspec.to_builtins(job)


def request_body(view: RequestView, eta: Eta | None = None, progress: Progress | None = None) -> dict[str, Any]:
    """One request in a list."""
    trouble, job = view.trouble, view.generation
    return {
        "request_id": view.request_id,
        "endpoint_id": view.endpoint,
        "model_revision": view.model_revision,
        "dialect": view.dialect,
        "class": CLASSES[view.priority],
        "state": view.state,
        "outcome": view.outcome,
        "cancelling": view.cancelling,
        "error": None if trouble is None else {"type": trouble.code, "message": trouble.message},
        "prompt": None if job is None else job.prompt,
        "pictures": None if job is None else job.count,
        "position": view.position,
        "eta": eta_body(eta),
        "progress": None if progress is None else progress_body(progress),
        "attempts": view.attempts,
        "created_at": moment(view.created_us),
        "started_at": moment(view.started_us),
        "ended_at": moment(view.settled_us),
        "expires_at": moment(view.expires_us),
        "inference_seconds": view.inference_s,
        "price": {"amount": view.price_nano / 1e9, "currency": view.currency},
        "tags": dict(view.tags),
    }


def eta_body(eta: Eta | None) -> dict[str, Any] | None:
    """Seconds from now, and between which in nine of ten cases."""
    return None if eta is None else {"seconds": eta.seconds, "low": eta.low_s, "high": eta.high_s}


def progress_body(progress: Progress) -> dict[str, Any]:
    return {
        "stage": progress.stage,
        "step": progress.step,
        "steps": progress.steps,
        "batch": progress.batch,
        "remaining_seconds": progress.remaining_s,
    }


def device_body(device: Device) -> dict[str, Any]:
    window, said = device.window, device.window.device
    return {
        "worker": window.worker,
        "ready": window.ready,
        "device": None if said is None else said.device,
        "name": None if said is None else said.device_name,
        "memory_bytes": None if said is None else said.memory_bytes,
        "resident": sorted(window.resident),
        "call": None if device.call is None else msgspec.to_builtins(device.call),
        "pulses": [_pulse(pulse) for pulse in device.pulses],
        "work": [_work(work) for work in device.work],
    }


def queue_body(totals: Sequence[Total]) -> list[dict[str, Any]]:
    """How many wait, by class, tenant and model."""
    counted: Counter[tuple[int, str, str]] = Counter()
    for total in totals:
        counted[total.priority, total.tenant, total.card_id] += total.count
    return [
        {"class": CLASSES[priority], "tenant": tenant, "model": card, "waiting": count}
        for (priority, tenant, card), count in sorted(counted.items())
    ]


def recent_body(ended: Sequence[Ended]) -> dict[str, Any]:
    """Percentiles of latency, outcomes, errors by type, and how many ended in each minute, by its number."""
    well = [one for one in ended if one.outcome == "ok"]
    return {
        "waited": _percentiles([one.waited_s for one in well if one.waited_s is not None]),
        "total": _percentiles([one.total_s for one in well]),
        "outcomes": dict(Counter(one.outcome for one in ended)),
        "errors": dict(Counter(one.error_code for one in ended if one.error_code is not None)),
        "by_minute": dict(sorted(Counter(one.settled_us // 60_000_000 for one in ended).items())),
    }


def _percentiles(seconds: list[float]) -> dict[str, float] | None:
    """By nearest rank; None without any."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    return {f"p{round(part * 100)}": ordered[max(0, math.ceil(part * len(ordered)) - 1)] for part in PERCENTILES}


def _pulse(pulse: Pulse) -> dict[str, Any]:
    return {
        "at": moment(pulse.time_us),
        "busy_seconds": pulse.busy_s,
        "calls": pulse.calls,
        "samples": pulse.samples,
        "missed_seconds": pulse.missed_s,
    }


def _work(work: Work) -> dict[str, Any]:
    return {
        "request_id": work.held.lease.request_id,
        "tenant": work.held.tenant,
        "class": CLASSES[work.held.priority],
        "model": work.held.model,
        "begun": work.held.begun_ns is not None,
        "left_seconds": work.held.left_s,
        "progress": None if work.progress is None else progress_body(work.progress),
    }
