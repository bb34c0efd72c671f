"""What webhooks are told: in Replicate's shape of requests that came from its clients, in fal's of all others."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from laterna.api.fal_views import fal_webhook
from laterna.api.replicate_views import (
    Prediction,
    before_the_end,
    file_urls,
    log_text,
    makes_list,
    prediction_body,
)
from laterna.catalog.catalog import Catalog
from laterna.contracts.messages import Progress
from laterna.requests.told import Told
from laterna.store.states import COMPLETED, OUTPUT


def webhook_body(catalog: Catalog, cdn: str, progress: Callable[[str], Progress | None]) -> Callable[[Told], bytes]:
    """The bodies of one server.

    Args:
        cdn: where files are found by those who are told of a request that came without an address of ours.
        progress: the latest of a running request, by its id; None when it does not run.
    """

    def body(told: Told) -> bytes:
        files = told.view.base_url or cdn
        if told.view.dialect == "replicate":
            return msgspec.json.encode(_prediction(told, catalog, files, progress(told.view.request_id)))
        return msgspec.json.encode(fal_webhook(told.view, catalog, files))

    return body


def _prediction(told: Told, catalog: Catalog, cdn: str, progress: Progress | None) -> dict[str, object]:
    prediction = Prediction(
        view=told.view,
        input=told.input,
        output=file_urls(told.view, cdn) if told.event in (OUTPUT, COMPLETED) else None,
        several=makes_list(told.view, catalog),
        logs=log_text(told.logs, None if told.view.settled else progress),
    )
    body = prediction_body(prediction, cdn.removesuffix("/cdn"))
    return body if told.event == COMPLETED else before_the_end(body)
