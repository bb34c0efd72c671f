"""A request in Replicate's words: a prediction and its output. Only here do states become Replicate's five."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from laterna.api.dialects import REPLICATE
from laterna.api.fal_views import data_uri
from laterna.api.replicate_models import name_of, version_of
from laterna.api.services import Services
from laterna.catalog.catalog import Catalog
from laterna.catalog.cog import makes_several
from laterna.contracts.messages import Progress
from laterna.errors import EndpointNotFound
from laterna.requests.requests import LogLine, Output, RequestView
from laterna.store.states import CANCELLED, OK, RUNNING

BASE = f"{REPLICATE}/v1"
STARTING, PROCESSING, SUCCEEDED, FAILED, CANCELED = "starting", "processing", "succeeded", "failed", "canceled"
LARGEST_DATA_URI = 8 * 2**20  # bytes of a file that is told as one
BAR = 20  # characters


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What there is to tell of one request."""

    view: RequestView
    input: Any  # JSON as it was sent; None once it is deleted
    output: list[str] | None  # addresses of its files; absent before the end, and once they are deleted
    several: bool  # whether its output is a list, even of one
    logs: str


def status_of(view: RequestView) -> str:
    """One of Replicate's five; what expired has failed, since its clients know no other word for it."""
    if view.settled:
        return {OK: SUCCEEDED, CANCELLED: CANCELED}.get(view.outcome or "", FAILED)
    return PROCESSING if view.state == RUNNING else STARTING


def prediction_body(told: Prediction, site: str, stream_url: str | None = None) -> dict[str, Any]:
    """The prediction.

    Args:
        site: this server's own address.
        stream_url: where whoever has the address may follow it; absent: nowhere.
    """
    view, files = told.view, told.output
    one = f"{site}{BASE}/predictions/{view.request_id}"
    return {
        "id": view.request_id,
        "model": name_of(view.endpoint),
        "version": version_of(view.endpoint, view.model_revision),
        "status": status_of(view),
        "input": told.input or {},
        "output": files if files is None or told.several else files[0],
        "logs": told.logs,
        "error": None if view.trouble is None else view.trouble.message,
        "metrics": _metrics(view),
        "created_at": moment(view.created_us),
        "started_at": moment(view.started_us),
        "completed_at": moment(view.settled_us),
        "data_removed": told.input is None,
        "source": "api",
        "urls": {"get": one, "cancel": f"{one}/cancel", **({"stream": stream_url} if stream_url else {})},
    }


def before_the_end(body: dict[str, Any]) -> dict[str, Any]:
    """The same prediction as it ran: what is told late says nothing of the end, which is told by itself."""
    return {**body, "status": PROCESSING, "error": None, "metrics": {}, "completed_at": None}


def log_text(lines: Sequence[LogLine], progress: Progress | None = None) -> str:
    """The log, with a line as tqdm writes it where something runs: the clients find progress in it."""
    text = "".join(f"{line.message}\n" for line in lines)
    if progress is None or not progress.steps:
        return text
    done = progress.step / progress.steps
    return f"{text}{done * 100:.0f}%|{'█' * round(done * BAR):{BAR}}| {progress.step}/{progress.steps}\n"


def file_urls(view: RequestView, cdn: str) -> list[str] | None:
    """Where the files are that it generated; None where there are none, or none any more."""
    urls = [_url(output, cdn) for output in view.outputs]
    return None if not urls or None in urls else [url for url in urls if url is not None]


async def file_data(view: RequestView, services: Services, cdn: str) -> list[str] | None:
    """The same for a client who came by plain HTTP: small files as data URIs, since it takes no `http:` for files."""
    urls = file_urls(view, cdn)
    if urls is None or cdn.startswith("https:"):
        return urls
    return [await _embedded(output, services, url) for output, url in zip(view.outputs, urls, strict=True)]


def makes_list(view: RequestView, catalog: Catalog) -> bool:
    """Whether its output is a list; of an endpoint that has left the catalogue, by how many files there are."""
    try:
        return makes_several(catalog.endpoint(view.endpoint)[1])
    except EndpointNotFound:
        return len(view.outputs) > 1


def moment(time_us: int | None) -> str | None:
    return None if time_us is None else datetime.fromtimestamp(time_us / 1e6, UTC).isoformat().replace("+00:00", "Z")


def _metrics(view: RequestView) -> dict[str, float]:
    if view.settled_us is None:
        return {}
    total = (view.settled_us - view.created_us) / 1e6
    return (
        {"total_time": total} if view.inference_s is None else {"predict_time": view.inference_s, "total_time": total}
    )


def _url(output: Output, cdn: str) -> str | None:
    if output.inline:
        return None if output.data is None else data_uri(output.content_type, output.data)
    return None if output.deleted else f"{cdn}/files/{output.key}/{output.file_name}"


async def _embedded(output: Output, services: Services, url: str) -> str:
    if output.inline or output.size_bytes > LARGEST_DATA_URI:
        return url
    return data_uri(output.content_type, await services.media.get(output.key))
