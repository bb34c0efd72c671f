"""What webhooks are told: in Replicate's shape of requests that came from its clients, in fal's of all others."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from laterna.api.fal_views import fal_webhook
from laterna.api.replicate_views import Prediction, file_urls, log_text, makes_list, prediction_body
from laterna.catalog.catalog import Catalog
from laterna.requests.told import Told


def webhook_body(catalog: Catalog, cdn: str) -> Callable[[Told], bytes]:
    """The bodies of one server.

    Args:
        cdn: where files are found by those who are told of a request that came without an address of ours.
    """

    def body(told: Told) -> bytes:
        files = told.view.base_url or cdn
        if told.view.dialect == "replicate":
            return msgspec.json.encode(_prediction(told, catalog, files))
        return msgspec.json.encode(fal_webhook(told.view, catalog, files))

    return body


def _prediction(told: Told, catalog: Catalog, cdn: str) -> dict[str, object]:
    prediction = Prediction(
        view=told.view,
        input=told.input,
        output=file_urls(told.view, cdn),
        several=makes_list(told.view, catalog),
        logs=log_text(told.logs),
    )
    return prediction_body(prediction, cdn.removesuffix("/cdn"))
