"""What goes over a realtime connection: inputs and outputs in msgpack, everything else as JSON text.

Bytes are bytes: those of an input become a data URI, as contracts know them, and those of an output are beside its URL.
"""

from __future__ import annotations

from typing import Any

import msgspec

from laterna.api.bodies import DEEPEST, deeper, parse_json
from laterna.api.errors import BadRequest
from laterna.api.fal_views import data_uri, result_body
from laterna.catalog.catalog import Catalog
from laterna.errors import Unauthorized
from laterna.media.sniff import HEAD_BYTES, sniff
from laterna.requests.requests import RequestView

_decoder = msgspec.msgpack.Decoder()


def read_frame(frame: bytes | str) -> dict[str, Any]:
    """The input in a frame: msgpack, or JSON where it is text. Raises BadRequest for what is no map of plain values."""
    value = parse_json(frame.encode()) if isinstance(frame, str) else _unpacked(frame)
    if not isinstance(value, dict):
        raise BadRequest("a frame should be a map: the endpoint's input")
    return value


def result_frame(said: dict[str, Any], view: RequestView, catalog: Catalog, cdn: str) -> bytes:
    """The output of a request that ended well, for the input that was said. Raises FileNotFound.

    Images that are handed over have a data URI as `url`, as elsewhere, and their bytes as `content`.
    """
    made = result_body(view, catalog, cdn)
    for image, output in zip(made.get("images", []), view.outputs, strict=False):
        if output.data is not None:
            image["content"] = output.data
    return msgspec.msgpack.encode(made | _about(said))


def timings(view: RequestView) -> dict[str, Any]:
    """A message that clients ignore and people like."""
    return {"type": "x-fal-message", "action": "timings", "timing": view.inference_s or 0.0}


def failure(code: str, message: str) -> dict[str, Any]:
    """An error, in the words by which Python raises it, and by which JavaScript knows that its token has ended."""
    body = {"type": "x-fal-error", "error": code, "reason": message}
    return {**body, "status": "error", "error": "Unauthorized"} if code == Unauthorized.code else body


def told(said: dict[str, Any], message: dict[str, Any]) -> str:
    """A text frame about the input that was said."""
    return msgspec.json.encode(message | _about(said)).decode()


def _about(said: dict[str, Any]) -> dict[str, Any]:
    """The sender's own name for it, where it gave one."""
    return {"request_id": said["request_id"]} if "request_id" in said else {}


def _unpacked(frame: bytes) -> object:
    try:
        value: object = _decoder.decode(frame)
    except (msgspec.DecodeError, UnicodeError, ValueError, TypeError, RecursionError) as error:
        raise BadRequest(f"the frame is no msgpack: {error}") from error
    if deeper(value, DEEPEST):
        raise BadRequest(f"the frame is nested deeper than {DEEPEST} levels")
    return _plain(value)


def _plain(value: object) -> object:
    """The value as JSON can say it."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return data_uri(sniff(value[:HEAD_BYTES]), value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _plain(item) for key, item in value.items()}
    raise BadRequest("a frame may hold maps with text keys, lists, texts, numbers, booleans, nil and bytes")
