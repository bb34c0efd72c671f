"""A request in fal's words: its status, its result, its webhook. Only here do states become the wire's three."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from laterna.api.errors import STATUS, error_body
from laterna.api.hosts import Origin
from laterna.catalog.catalog import Catalog
from laterna.catalog.endpoint_id import parse_endpoint_id
from laterna.contracts.contract import Contract, MadeFile, get_contract
from laterna.contracts.messages import Progress
from laterna.dispatch.etas import Eta
from laterna.errors import EndpointNotFound, FileNotFound
from laterna.requests.requests import LogLine, Output, RequestView, Trouble
from laterna.store.states import RUNNING, SETTLED

IN_QUEUE, IN_PROGRESS, COMPLETED = "IN_QUEUE", "IN_PROGRESS", "COMPLETED"
ANY_PICTURES = "sprite.text_to_image"  # tells of pictures whose endpoint has left the catalogue


def wire_state(view: RequestView) -> str:
    """One of fal's three: a request is in progress from its first device call."""
    return {RUNNING: IN_PROGRESS, SETTLED: COMPLETED}.get(view.state, IN_QUEUE)


def urls(request_id: str, endpoint: str, origin: Origin) -> dict[str, str]:
    """Where the request is followed: under its app, without the endpoint's path."""
    parsed = parse_endpoint_id(endpoint)
    one = f"{origin.queue}/{parsed.app if parsed else endpoint}/requests/{request_id}"
    return {"response_url": one, "status_url": f"{one}/status", "cancel_url": f"{one}/cancel"}


def status_body(
    view: RequestView, origin: Origin, lines: Iterable[LogLine] | None, eta: Eta | None = None
) -> dict[str, Any]:
    """The status; `lines` are the log lines to tell, None where none were asked for."""
    state = wire_state(view)
    body: dict[str, Any] = {
        "status": state,
        "request_id": view.request_id,
        **urls(view.request_id, view.endpoint, origin),
        "logs": None if lines is None else [log_entry(line) for line in lines],
    }
    if state == IN_QUEUE:
        body["queue_position"] = view.position or 0
    if state == COMPLETED:
        body["metrics"] = {} if view.inference_s is None else {"inference_time": view.inference_s}
        body["cost"] = {"amount": (view.cost_nano or 0) / 1e9, "currency": view.currency}
        if view.trouble is not None:
            body |= {"error": view.trouble.message, "error_type": view.trouble.code}
    elif eta is not None:
        body |= eta_body(eta)
    return body


def eta_body(eta: Eta | None) -> dict[str, Any]:
    """When it will be done, in seconds from now, and between which seconds in nine of ten cases."""
    if eta is None:
        return {"eta_seconds": None}
    return {
        "eta_seconds": round(eta.seconds, 3),
        "eta_interval_seconds": [round(eta.low_s, 3), round(eta.high_s, 3)],
    }


def log_entry(line: LogLine) -> dict[str, Any]:
    moment = datetime.fromtimestamp(line.time_us / 1e6, UTC).isoformat()
    return {"message": line.message, "level": line.level, "source": "USER", "timestamp": moment}


def progress_body(progress: Progress, *, preview: bool) -> dict[str, Any]:
    """How far a running request is; the preview as a data URI where it is wanted and there is one."""
    body: dict[str, Any] = {
        "stage": progress.stage,
        "step": progress.step,
        "steps": progress.steps,
        "batch": progress.batch,
        "remaining_s": round(progress.remaining_s, 3),
    }
    if preview and progress.preview is not None:
        body["preview"] = data_uri(progress.preview.content_type, progress.preview.data)
        body["preview_index"] = progress.preview.index
    return body


def preview_output(progress: Progress) -> dict[str, Any] | None:
    """A step of a stream: what the output would be if it ended now; None without a picture."""
    if progress.preview is None:
        return None
    shown = progress.preview
    image = {"url": data_uri(shown.content_type, shown.data), "content_type": shown.content_type, "index": shown.index}
    return {"images": [image], "progress": progress_body(progress, preview=False)}


def result_body(view: RequestView, catalog: Catalog, cdn: str) -> dict[str, Any]:
    """The output of a request that ended well. Raises FileNotFound once it is deleted.

    Args:
        cdn: where its client finds files.
    """
    if view.generation is None or not view.outputs:
        raise FileNotFound(f"the output of request {view.request_id} has expired or was deleted; generate it again")
    files = [_made(output, cdn) for output in view.outputs]
    return _contract(catalog, view.endpoint).result(view.generation, files, view.inference_s or 0.0)


def data_uri(content_type: str, data: bytes) -> str:
    return f"data:{content_type};base64,{base64.b64encode(data).decode()}"


def fal_webhook(view: RequestView, catalog: Catalog, cdn: str) -> dict[str, Any]:
    """What a webhook is told."""
    body: dict[str, Any] = {"request_id": view.request_id, "gateway_request_id": view.request_id}
    if view.trouble is not None:
        return {**body, "status": "ERROR", "payload": trouble_body(view.trouble), "error": _invalid(view.trouble)}
    try:
        return {**body, "status": "OK", "payload": result_body(view, catalog, cdn)}
    except FileNotFound as error:
        return {**body, "status": "OK", "payload": None, "payload_error": error.message}


def trouble_body(trouble: Trouble) -> dict[str, Any]:
    """The body of a failed result."""
    return error_body(trouble.code, trouble.message)


def _invalid(trouble: Trouble) -> str:
    return f"Invalid status code: {STATUS.get(trouble.code, 500)}"


def _contract(catalog: Catalog, endpoint: str) -> Contract:
    try:
        return catalog.endpoint(endpoint)[1].contract
    except EndpointNotFound:
        return get_contract(ANY_PICTURES)


def _made(output: Output, cdn: str) -> MadeFile:
    return MadeFile(
        url=_output_url(output, cdn),
        content_type=output.content_type,
        name=output.file_name,
        size_bytes=output.size_bytes,
        width=output.width,
        height=output.height,
        flagged=output.flagged,
    )


def _output_url(output: Output, cdn: str) -> str:
    if not output.inline:
        return f"{cdn}/files/{output.key}/{output.file_name}"
    if output.data is None:
        raise FileNotFound("the images were handed over once, in sync_mode, and are not kept; generate them again")
    return data_uri(output.content_type, output.data)
