"""Images in OpenAI's words while they are made: pictures of what is unfinished, then the images themselves."""

from __future__ import annotations

import base64
from collections import Counter
from typing import Any

import msgspec

from laterna.api.admission import Admitted
from laterna.api.openai_errors import openai_error
from laterna.api.openai_images import encoded
from laterna.api.services import Services
from laterna.api.sse import Event, Events
from laterna.contracts.messages import Progress
from laterna.errors import FileNotFound
from laterna.requests.requests import RequestView
from laterna.requests.wait import LOOK_SECONDS

PARTIAL, COMPLETED = "image_generation.partial_image", "image_generation.completed"


async def image_events(services: Services, admitted: Admitted, partials: int) -> Events:
    """Events of one request: at most so many partial images of each image, spread over its steps; the images; or an
    error, which the clients raise.
    """
    request_id, shown = admitted.receipt.request_id, Counter[int]()
    with services.board.watch(request_id) as watch:
        while True:
            view = await services.requests.get(admitted.caller.tenant, request_id)
            if view.settled:
                break
            event = await watch.next(LOOK_SECONDS)
            while isinstance(event, Progress):
                if event.preview is not None and _due(event, shown[event.preview.index], partials):
                    yield _partial(view, event, shown[event.preview.index])
                    shown[event.preview.index] += 1
                event = await watch.next(LOOK_SECONDS)
    for last in await _last(view, services):
        yield last


def _due(progress: Progress, shown: int, partials: int) -> bool:
    """Whether the next of them is due: they come at equal parts of the steps."""
    return shown < partials and progress.step * (partials + 1) >= progress.steps * (shown + 1)


def _partial(view: RequestView, progress: Progress, count: int) -> Event:
    preview = progress.preview
    assert preview is not None
    job = view.generation
    size = f"{job.width}x{job.height}" if job is not None else "auto"
    about = {"partial_image_index": count, "image_index": preview.index}
    return _event(PARTIAL, preview.data, preview.content_type, size, view.created_us, about)


async def _last(view: RequestView, services: Services) -> list[Event]:
    if view.trouble is not None:
        return [_error(view.trouble.code, view.trouble.message)]
    if any(output.deleted for output in view.outputs) or not view.outputs:
        return [_error(FileNotFound.code, "the images have expired or were deleted; generate them again")]
    return [
        _event(
            COMPLETED,
            base64.b64decode(await encoded(output, services)),
            output.content_type,
            f"{output.width}x{output.height}",
            view.settled_us or view.created_us,
            {"image_index": output.index, "seed": output.seed, "usage": None},
        )
        for output in view.outputs
    ]


def _event(kind: str, data: bytes, content_type: str, size: str, time_us: int, about: dict[str, Any]) -> Event:
    body = {
        "type": kind,
        "b64_json": base64.b64encode(data).decode(),
        "created_at": time_us // 1_000_000,
        "size": size,
        "quality": "auto",
        "background": "auto",
        "output_format": content_type.removeprefix("image/"),
        **about,
    }
    return Event(name=kind, data=msgspec.json.encode(body).decode())


def _error(code: str, message: str) -> Event:
    return Event(name="error", data=msgspec.json.encode({"error": openai_error(code, message)}).decode())
