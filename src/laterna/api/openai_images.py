"""Image generation in OpenAI's words: what they mean to an endpoint, and what was made, told in them.

`n`, `size` and `output_format` become the endpoint's own fields; what its sender leaves out, or gives as null, keeps
the endpoint's default; all other fields (the client's `extra_body`) are the endpoint's own and go to it as they are.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from laterna.api.fal_views import result_body
from laterna.api.services import Services
from laterna.catalog.catalog import Catalog
from laterna.contracts.problems import echo
from laterna.errors import InvalidInput, Problem
from laterna.requests.requests import Output, RequestView

FIELDS = {  # OpenAI's field -> what endpoints call it; the first that an endpoint has
    "n": ("num_images",),
    "size": ("image_size",),
    "output_format": ("output_format", "format"),
}
IGNORED = {"background", "moderation", "output_compression", "quality", "style", "user"}
MOST_PARTIALS = 3  # pictures of an unfinished image
FORMS = ("b64_json", "url")  # of an image in the answer; the first where none is asked for
_SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class ImagesAsked:
    """One request for images, understood."""

    endpoint: str  # id, as the sender named it
    input: Mapping[str, Any]  # in the endpoint's own words, not validated yet
    senders: Mapping[str, str]  # field of the endpoint -> the sender's name for it, where it is another
    form: str  # one of FORMS
    partials: int | None = None  # pictures of each unfinished image, at most; absent: no stream is asked for

    def in_senders_words(self, error: InvalidInput) -> InvalidInput:
        """The same problems, with fields named as the sender named them."""
        return InvalidInput(*(self._named(problem) for problem in error.problems))

    def _named(self, problem: Problem) -> Problem:
        where, *path = problem.loc
        if where == "body" and path:
            path[0] = self.senders.get(str(path[0]), path[0])
        return Problem(loc=(where, *path), msg=problem.msg, type=problem.type, input=problem.input, ctx=problem.ctx)


def read_images(body: object, catalog: Catalog) -> ImagesAsked:
    """What a request's body asks for. Raises InvalidInput naming the field, EndpointNotFound for an unknown model."""
    if not isinstance(body, dict):
        raise InvalidInput(Problem(loc=("body",), msg="the body should be a JSON object", type="model_type"))
    given = {name: value for name, value in body.items() if value is not None and name not in IGNORED}
    model, form = given.pop("model", None), given.pop("response_format", FORMS[0])
    partials = _partials(given.pop("stream", False), given.pop("partial_images", 0))
    if not isinstance(model, str) or not model:
        raise _wrong("model", "name one of those that GET /openai/v1/models lists", model)
    if form not in FORMS:
        raise _wrong("response_format", f"expected {' or '.join(FORMS)}", form)
    if partials is not None and form != FORMS[0]:
        raise _wrong("response_format", "a stream has the images themselves; leave it out", form)
    card, endpoint = catalog.endpoint(model)
    own = {name: _own_name(name, endpoint.contract.input.model_fields) for name in FIELDS if name in given}
    renamed = {own[name]: _meant(name, given.pop(name)) for name in own}
    return ImagesAsked(
        endpoint=endpoint.id(card),
        input=given | {name: value for name, value in renamed.items() if value is not None},
        senders={theirs: name for name, theirs in own.items()},
        form=form,
        partials=partials,
    )


async def images_body(view: RequestView, services: Services, cdn: str, form: str) -> dict[str, Any]:
    """The images of a request that ended well. Raises FileNotFound once they are deleted.

    Args:
        cdn: where its client finds files.
    """
    made = result_body(view, services.catalog, cdn)
    first = view.outputs[0]
    return {
        "created": (view.settled_us or view.created_us) // 1_000_000,
        "data": [
            {"url": image["url"]} if form == "url" else {"b64_json": await encoded(output, services)}
            for image, output in zip(made["images"], view.outputs, strict=True)
        ],
        "output_format": first.content_type.removeprefix("image/"),
        "size": f"{first.width}x{first.height}",
        "seed": made["seed"],
    }


async def encoded(output: Output, services: Services) -> str:
    data = await services.media.get(output.key) if output.data is None else output.data
    return base64.b64encode(data).decode()


def _partials(stream: object, most: object) -> int | None:
    """How many partial images a stream is to have; None for no stream, which may say what it likes of them."""
    if stream not in (True, False):
        raise _wrong("stream", "expected true or false", stream)
    if not stream:
        return None
    if isinstance(most, bool) or not isinstance(most, int) or not 0 <= most <= MOST_PARTIALS:
        raise _wrong("partial_images", f"expected 0 to {MOST_PARTIALS}", most)
    return most


def _own_name(name: str, known: Mapping[str, object]) -> str:
    return next((theirs for theirs in FIELDS[name] if theirs in known), FIELDS[name][0])


def _meant(name: str, value: object) -> object:
    """A field's value in the endpoint's words; None for what is left to the endpoint."""
    if name != "size":
        return value
    if value == "auto":
        return None
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise _wrong("size", 'expected "WIDTHxHEIGHT" in pixels, such as "1024x1024", or "auto"', value)
    return {"width": int(match[1]), "height": int(match[2])}


def _wrong(name: str, why: str, value: object) -> InvalidInput:
    kind = "missing" if value is None else "value_error"
    return InvalidInput(Problem(loc=("body", name), msg=why, type=kind, input=echo(value)))
