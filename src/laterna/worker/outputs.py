"""Finished pictures become stored artifacts, beside the engine: encoding and signing never hold up the next step.

Keeps what a run has handed over until the run is complete, then says Finished. What a run stored that does not come so
far is deleted again; where a worker dies over it, the janitor finds it later.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec
from obstore.exceptions import BaseError

from laterna.contracts.messages import Artifact, Finished, FromWorker, Lease, Preview, Progress
from laterna.engine.run import Run
from laterna.engine.timeline import Timeline
from laterna.families.family import Picture
from laterna.media.images import encode_image
from laterna.media.manifests import Manifests
from laterna.media.objects import MediaStore, new_key
from laterna.media.provenance import UNKNOWN, Provenance
from laterna.media.safety import SafetyChecker

PREVIEW_FORMAT = "jpeg"


@dataclass(kw_only=True, eq=False)
class _Kept:
    """What a run has handed over."""

    run: Run
    over: bool = False  # it will not be finished: nothing more of it is stored
    keys: list[str] = field(default_factory=list)  # in the media store, or about to be; the pool's thread only
    artifacts: list[Artifact] = field(default_factory=list)  # the pool's thread only
    timeline: Timeline = field(default_factory=Timeline)  # of storing them; the pool's thread only


class Outputs:
    """One background thread, which stores in the order in which it was told; calls come from the engine's thread.

    `unstored` is called on that thread, once for a run, which must then be ended: `forget` is waited for.
    """

    def __init__(
        self,
        media: MediaStore,
        manifests: Manifests,
        say: Callable[[FromWorker], None],
        unstored: Callable[[Run, str], None],
    ) -> None:
        self._media = media
        self._manifests = manifests
        self._say = say
        self._unstored = unstored
        self._safety = SafetyChecker()  # the pool's thread only
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="outputs")
        self._lock = threading.Lock()
        self._runs: dict[str, _Kept] = {}  # by the lease's token, until finished or forgotten

    def picture(self, run: Run, index: int, picture: Picture) -> None:
        kept = self._kept(run)
        self._pool.submit(self._guarded, kept, lambda: self._keep(kept, index, picture))

    def complete(self, run: Run) -> None:
        kept = self._kept(run)
        self._pool.submit(self._guarded, kept, lambda: self._finish(kept))

    def stop(self, lease: Lease) -> Run | None:
        """Let it not be finished any more; None where that was said already, or nothing of it is here."""
        with self._lock:
            kept = self._runs.get(lease.token)
            if kept is None or kept.over:
                return None
            kept.over = True
        return kept.run

    def forget(self, lease: Lease) -> None:
        """Delete what is stored of it: the run has failed."""
        with self._lock:
            kept = self._runs.pop(lease.token, None)
            if kept is None:
                return
            kept.over = True
        self._pool.submit(self._drop, kept)

    def preview(self, run: Run, progress: Progress, index: int, picture: Picture) -> None:
        self._pool.submit(self._send_preview, run.order.generation.safety, progress, index, picture)

    def close(self) -> None:
        """Finish what is complete, delete the rest."""
        self._pool.shutdown(wait=True)
        for kept in self._runs.values():
            self._drop(kept)

    def _kept(self, run: Run) -> _Kept:
        with self._lock:
            return self._runs.setdefault(run.order.lease.token, _Kept(run=run))

    def _guarded(self, kept: _Kept, work: Callable[[], None]) -> None:
        if kept.over:
            return
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the edge of a thread: recorded as the request's failure
            if self.stop(kept.run.order.lease) is not None:
                self._unstored(kept.run, f"an output could not be stored: {error}")

    def _keep(self, kept: _Kept, index: int, picture: Picture) -> None:
        job, model, begun = kept.run.order.generation, kept.run.order.model, time.monotonic_ns()
        shown, flagged = self._safety.shown(picture) if job.safety else (picture, False)
        made = Provenance(model=model.id, created_us=time.time_ns() // 1000, seed=job.seed + index)
        data, content_type = self._marked(shown, job.image_format, made)
        key = ""
        if not job.inline:
            key = new_key()
            kept.keys.append(key)
            self._media.put_sync(key, data, content_type)
        kept.artifacts.append(
            Artifact(
                index=index,
                seed=job.seed + index,
                key=key,
                content_type=content_type,
                size_bytes=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
                width=picture.shape[1],
                height=picture.shape[0],
                data=data if job.inline else None,
                flagged=flagged,
            )
        )
        kept.timeline.add("store", begun - kept.run.begun_ns, time.monotonic_ns() - begun, 1)

    def _finish(self, kept: _Kept) -> None:
        run, lease = kept.run, kept.run.order.lease
        with self._lock:
            if kept.over:
                return
            del self._runs[lease.token]
        seconds = (time.monotonic_ns() - (run.started_ns or 0)) / 1e9
        artifacts = sorted(kept.artifacts, key=lambda artifact: artifact.index)
        self._say(
            Finished(
                lease=lease,
                artifacts=artifacts,
                spent=run.bill(),
                inference_s=seconds,
                timeline=[*run.timeline.spans(), *kept.timeline.spans()],
            )
        )

    def _drop(self, kept: _Kept) -> None:
        for key in kept.keys:
            with suppress(OSError, BaseError):  # what cannot be deleted now is the janitor's
                self._media.delete_sync(key)

    def _send_preview(self, safety: bool, progress: Progress, index: int, picture: Picture) -> None:
        picture = self._safety.shown(picture)[0] if safety else picture
        data, content_type = self._marked(picture, PREVIEW_FORMAT, UNKNOWN)
        shown = Preview(index=index, content_type=content_type, data=data)
        self._say(msgspec.structs.replace(progress, preview=shown))

    def _marked(self, picture: Picture, image_format: str, made: Provenance) -> tuple[bytes, str]:
        data, content_type = encode_image(picture, image_format, made)
        return self._manifests.signed(data, content_type, made), content_type
