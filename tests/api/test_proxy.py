"""The proxy maps fal's addresses to our own paths, and refuses every other."""

from __future__ import annotations

import pytest

from laterna.api.errors import BadRequest
from laterna.api.proxy import internal


@pytest.mark.parametrize(
    ("url", "path", "query"),
    [
        ("https://fal.run/fal-ai/flux/dev", "/fal-ai/flux/dev", ""),
        ("https://queue.fal.run/me/x/requests/1/status?logs=1", "/queue/me/x/requests/1/status", "logs=1"),
        ("https://rest.fal.ai/tokens/", "/rest/tokens", ""),
        ("https://rest.alpha.fal.ai/storage/upload/initiate?storage_type=gcs", "/rest/storage/upload/initiate",
         "storage_type=gcs"),
        ("https://v3.fal.media/files/upload", "/cdn/files/upload", ""),
        ("https://fal.run:443/a/b/stream", "/a/b/stream", ""),
    ],
)  # fmt: skip
def test_fals_addresses_are_ours(url: str, path: str, query: str) -> None:
    assert internal(url) == (path, query)


@pytest.mark.parametrize(
    "url",
    ["", "fal.run/x", "http://fal.run/x", "https://evil.example/x", "https://fal.run.evil.example/x", "https://fal.run@evil/x",
     "https://evil@fal.run/x", "https://fal.run:22/x", "https://127.0.0.1/x", "file:///etc/passwd", "https://[::1/x",
     "https://fal.run/api/fal/proxy", "https://fal.run:99999/x", "//fal.run/x", "https://169.254.169.254/latest/meta-data"],
)  # fmt: skip
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(BadRequest, match="x-fal-target-url"):
        internal(url)
