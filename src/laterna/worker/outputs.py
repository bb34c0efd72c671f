"""Finished pictures become stored artifacts, beside the engine: encoding never holds up the next step.

Keeps what a run has handed over until the run is complete, then says Finished; forgets it if the run fails.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from laterna.contracts.messages import Artifact, Failed, Finished, FromWorker, Lease, Preview, Progress
from laterna.engine.run import Run
from laterna.errors import ExecutionError
from laterna.families.family import Picture
from laterna.media.images import encode_image
from laterna.media.objects import MediaStore, new_key

PREVIEW_FORMAT = "jpeg"


class Outputs:
    """One background thread; calls come from the engine's thread."""

    def __init__(self, media: MediaStore, say: Callable[[FromWorker], None]) -> None:
        self._media = media
        self._say = say
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="outputs")
        self._done: dict[str, list[Artifact]] = {}  # lease token -> what is stored so far; the pool's thread only

    def picture(self, run: Run, index: int, picture: Picture) -> None:
        self._pool.submit(self._guarded, run, lambda: self._keep(run, index, picture))

    def complete(self, run: Run) -> None:
        self._pool.submit(self._guarded, run, lambda: self._finish(run))

    def forget(self, lease: Lease) -> None:
        self._pool.submit(self._done.pop, lease.token, None)

    def preview(self, progress: Progress, index: int, picture: Picture) -> None:
        self._pool.submit(self._send_preview, progress, index, picture)

    def held(self) -> list[str]:
        """Tokens of runs that have left the engine and are not said to be finished yet."""
        return list(self._done)

    def close(self) -> None:
        self._pool.shutdown(wait=True)

    def _guarded(self, run: Run, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the edge of a thread: recorded as the request's failure
            self._done.pop(run.order.lease.token, None)
            failure = f"an output could not be stored: {error}"
            lease = run.order.lease
            self._say(Failed(lease=lease, code=ExecutionError.code, message=failure, spent=run.bill(), retry=True))

    def _keep(self, run: Run, index: int, picture: Picture) -> None:
        job, order = run.order.generation, run.order
        data, content_type = encode_image(
            picture, job.image_format, model=order.model.id, created_us=time.time_ns() // 1000, seed=job.seed + index
        )
        key = ""
        if not job.inline:
            key = new_key()
            self._media.put_sync(key, data)
        self._done.setdefault(order.lease.token, []).append(
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
            )
        )

    def _finish(self, run: Run) -> None:
        artifacts = self._done.get(run.order.lease.token, [])
        if len(artifacts) < run.order.generation.count:
            return  # one could not be stored, and the run was said to have failed
        seconds = (time.monotonic_ns() - (run.started_ns or 0)) / 1e9
        lease, artifacts = run.order.lease, sorted(artifacts, key=lambda artifact: artifact.index)
        self._say(Finished(lease=lease, artifacts=artifacts, spent=run.bill(), inference_s=seconds))
        self._done.pop(lease.token, None)

    def _send_preview(self, progress: Progress, index: int, picture: Picture) -> None:
        data, content_type = encode_image(picture, PREVIEW_FORMAT)
        shown = Preview(index=index, content_type=content_type, data=data)
        self._say(
            Progress(
                lease=progress.lease,
                stage=progress.stage,
                step=progress.step,
                steps=progress.steps,
                batch=progress.batch,
                remaining_s=progress.remaining_s,
                preview=shown,
            )
        )
