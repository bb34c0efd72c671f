"""The marks that say, to machines, that a file was generated: by which model, when, from which seed.

XMP with IPTC's DigitalSourceType, the vocabulary that search engines, social networks and C2PA share, and the Software
field that older readers know. Anybody can write these; what is signed is in `laterna.media.manifests`. Nothing of the
user's input is written into a file.

Sources: IPTC Photo Metadata Standard 2025.1, Extension schema; XMP specification part 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from xml.sax.saxutils import quoteattr

from laterna import __version__

GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
SOFTWARE = f"Laterna {__version__}"

CARRIERS = frozenset(
    {
        *("image/png", "image/jpeg", "image/webp", "image/gif", "image/avif"),
        *("video/mp4", "video/quicktime"),
        *("audio/wav", "audio/mpeg", "audio/mp4"),
    }
)  # the types that a manifest goes into. Not FLAC: it would stand before the first bytes, which players know a FLAC by

_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about=""
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:laterna="urn:laterna:generation:1"
%s/>
</rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What is known of how a file came to be."""

    model: str | None = None  # id of the model; None for previews
    created_us: int | None = None  # UTC microseconds since 1970; None for previews
    seed: int | None = None  # of this sample; None where no number decides the output

    @property
    def created(self) -> datetime | None:
        return None if self.created_us is None else datetime.fromtimestamp(self.created_us // 1_000_000, UTC)

    def xmp(self) -> str:
        """The XMP packet as text."""
        fields = {
            "Iptc4xmpExt:DigitalSourceType": GENERATED,
            "Iptc4xmpExt:AISystemUsed": self.model or SOFTWARE,
            "xmp:CreatorTool": SOFTWARE,
            "xmp:CreateDate": self.created.isoformat() if self.created else None,
            "laterna:seed": None if self.seed is None else str(self.seed),
        }
        lines = [f" {name}={quoteattr(value)}" for name, value in fields.items() if value is not None]
        return _PACKET % "\n".join(lines)


UNKNOWN = Provenance()  # that it was generated, and no more
