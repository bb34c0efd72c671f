"""A data folder whose gallery has as many pictures as wanted, in fifty colours."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from PIL import Image

from laterna.catalog.catalog import Catalog
from laterna.clock import SystemClock
from laterna.config import Settings
from laterna.contracts.generation import TextToImage
from laterna.contracts.messages import Artifact, Finished
from laterna.media.objects import MediaStore, new_key
from laterna.requests.requests import Requests, Submission
from laterna.store.store import Store
from laterna.tenants.keys import DEFAULT_TENANT, Keys

COLOURS = 50


async def fill(folder: Path, pictures: int) -> None:
    """One request that made them all, as a worker would have said it."""
    settings, clock = Settings(data=folder), SystemClock()
    store = await Store.open(settings)
    media, requests = MediaStore(settings.media), Requests(store, clock, settings)
    await Keys(store, clock).ensure_first(settings.key_file)
    card, endpoint = Catalog.load(settings.cards_folder).endpoint("laterna/sprite")
    job = TextToImage(prompt="one of many", width=64, height=64, steps=1, sampler="euler", seed=1, count=pictures)
    await requests.submit(
        Submission(
            tenant=DEFAULT_TENANT,
            endpoint=endpoint.id(card),
            card_id=card.id,
            model_revision=card.revision,
            raw_input={"prompt": "one of many"},
            generation=job,
        )
    )
    (leased,) = await requests.lease("cpu", 1)
    artifacts = [await _stored(media, index) for index in range(pictures)]
    await requests.started(leased.lease)
    await requests.finish(Finished(lease=leased.lease, artifacts=artifacts, spent=[], inference_s=1.0))
    await store.close()


async def _stored(media: MediaStore, index: int) -> Artifact:
    key, data = new_key(), _png(index % COLOURS)
    await media.put(key, data)
    return Artifact(
        index=index,
        seed=1 + index,
        key=key,
        content_type="image/png",
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        width=64,
        height=64,
    )


def _png(number: int) -> bytes:
    data = io.BytesIO()
    colour = (number * 5 % 256, number * 83 % 256, number * 37 % 256)
    Image.new("RGB", (64, 64), colour).save(data, "PNG")
    return data.getvalue()
