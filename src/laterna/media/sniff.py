"""What bytes are, by their first few, and what may be shown by a browser where it stands.

The type that an uploader claims is never served: a file is what its bytes say, and unless that is a plain picture, film
or sound it is handed out as a download.
"""

from __future__ import annotations

UNKNOWN = "application/octet-stream"
HEAD_BYTES = 512  # that `sniff` looks at

# No type here can carry a script, and none is parsed by more than a codec.
PLAIN = frozenset(
    {
        *("image/png", "image/jpeg", "image/webp", "image/gif", "image/avif", "image/bmp"),
        *("video/mp4", "video/webm", "video/quicktime"),
        *("audio/wav", "audio/mpeg", "audio/flac", "audio/ogg", "audio/mp4", "audio/webm"),
    }
)

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_BRANDS = {b"avif": "image/avif", b"avis": "image/avif", b"M4A ": "audio/mp4", b"qt  ": "video/quicktime"}
_STILLS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1")


def is_plain_media(content_type: str) -> bool:
    """True for raster pictures, films and sounds; never for SVG, HTML, XML, PDF or what is unknown."""
    return content_type.partition(";")[0].strip().lower() in PLAIN


def sniff(data: bytes) -> str:
    """The content type of the bytes, of which the first HEAD_BYTES are enough; UNKNOWN if they say nothing."""
    head = data[:HEAD_BYTES]
    for magic, content_type in _MAGIC:
        if head.startswith(magic):
            return content_type
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12], UNKNOWN)
    if head[4:8] == b"ftyp":
        return "image/heic" if head[8:12] in _STILLS else _BRANDS.get(head[8:12], "video/mp4")
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
    if _is_mpeg_audio(head):
        return "audio/mpeg"
    return _markup(head)


def _is_mpeg_audio(head: bytes) -> bool:
    """A frame header of MPEG audio: 11 set bits; version, layer, bit rate and sample rate, none of them reserved."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    return version != 1 and layer != 0 and head[2] >> 4 != 15 and head[2] >> 2 & 3 != 3


def _markup(head: bytes) -> str:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not text.startswith(b"<"):
        return UNKNOWN
    if b"<svg" in text:
        return "image/svg+xml"
    return "application/xml" if text.startswith(b"<?xml") else "text/html"
