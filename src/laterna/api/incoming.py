"""Files on their way in, by whichever surface: the bytes to the media store, then the row that says whose they are.

What a file is, its bytes say; the type that its sender claims is not believed.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import AsyncIterator
from typing import Any

from laterna.api.lifecycle import Lifecycle
from laterna.api.services import Services
from laterna.errors import LaternaError, PayloadTooLarge, StorageFull
from laterna.media.objects import too_large
from laterna.media.sniff import HEAD_BYTES, sniff
from laterna.requests.access import Access
from laterna.requests.files import FileRecord
from laterna.tenants.caller import Caller

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class Incoming:
    """Keeps files for their senders."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.limit = round(services.settings.upload_mb * 1_000_000)  # bytes of a file

    async def keep(
        self, caller: Caller, key: str, name: str, chunks: AsyncIterator[bytes], lifecycle: Lifecycle
    ) -> FileRecord:
        """Store the bytes under the key, with their row. Raises PayloadTooLarge, StorageFull."""
        room, head = await self.room(caller), bytearray()

        async def watched() -> AsyncIterator[bytes]:
            async for chunk in chunks:
                head.extend(chunk[: max(0, HEAD_BYTES - len(head))])
                yield chunk

        try:
            stored = await self._services.media.put_stream(key, watched(), limit_bytes=room)
        except PayloadTooLarge as error:
            raise self.too_large(room) from error
        return await self.record(caller, key, name, sniff(bytes(head)), stored.size_bytes, stored.sha256, lifecycle)

    async def room(self, caller: Caller) -> int:
        """Bytes that one file of the caller may have now. Raises StorageFull where it may keep no more."""
        left = await self._services.files.room(caller.tenant)
        return self.limit if left is None else min(left, self.limit)

    def too_large(self, room: int) -> LaternaError:
        """What a file is told that does not fit."""
        if room == self.limit:
            return too_large(room)
        return StorageFull(f"the file is larger than the {room:,} bytes that you may keep yet; delete others first")

    async def record(
        self,
        caller: Caller,
        key: str,
        name: str,
        content_type: str,
        size: int,
        sha256: str | None,
        lifecycle: Lifecycle,
    ) -> FileRecord:
        """The row of a file whose bytes are stored; it lives for so long, or as long as the server keeps files.

        Raises StorageFull; then the bytes are gone.
        """
        now = self._services.clock.now_us()
        seconds = lifecycle.keep_seconds or self._services.settings.keep_days * 86_400
        made = FileRecord(
            key=key,
            tenant=caller.tenant,
            request_id=None,
            file_name=name,
            content_type=content_type,
            size_bytes=size,
            sha256=sha256,
            acl=lifecycle.access or Access(),
            expires_us=now + round(seconds * 1e6) if seconds else None,
        )
        try:
            return await self._services.files.add(made)
        except StorageFull:  # others of its tenant were stored meanwhile
            await self._services.media.delete(key)
            raise


def safe_name(given: Any, content_type: Any) -> str:
    """A file name that is safe in paths and headers, with an extension where the type has one."""
    text = _UNSAFE.sub("_", str(given or "").replace("\\", "/").rpartition("/")[2]).strip("._")[-100:]
    extension = mimetypes.guess_extension(str(content_type or "").partition(";")[0].strip()) or ".bin"
    return text or f"file{extension}"
