"""The messages between the server and a worker, versioned; the same over a local socket or a Ray actor.

The server says Assign, Cancel, Watch and Stop; the worker says Ready, Started, Resumed, Progress, Note, Finished,
Failed, Beat.
A request in these messages is always named together with its lease's token, so that an old lease is never heard.
"""

from __future__ import annotations

import msgspec

from laterna.contracts.generation import Generation, ModelRef

DEVICE_STAGES = ("encode", "denoise", "decode")
VERSION = 1  # both sides must agree; a worker that says another version is replaced


class _Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    pass


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """Who may finish a request: fenced by a random token."""

    request_id: str
    token: str


class Assign(_Message, frozen=True, kw_only=True, tag="assign"):
    lease: Lease
    model: ModelRef
    generation: Generation
    tenant: str  # fair shares are between tenants
    weight: int = 1  # its share against others'
    priority: int  # 0 realtime, 1 normal, 2 low
    created_us: int  # when the request was submitted, UTC microseconds
    finish_by_us: int | None = None  # explicit deadline, UTC microseconds; absent when there is none
    attempt: int = 1


class Cancel(_Message, frozen=True, kw_only=True, tag="cancel"):
    lease: Lease
    waits_again: bool = False  # whether the request goes on later, perhaps elsewhere: save it first


class Watch(_Message, frozen=True, kw_only=True, tag="watch"):
    """Somebody began to watch the request: send previews from now on."""

    lease: Lease


class Stop(_Message, frozen=True, kw_only=True, tag="stop"):
    """Save what is running (its leases go back to the queue) and exit."""


class Ready(_Message, frozen=True, kw_only=True, tag="ready"):
    version: int
    pid: int
    device: str  # cpu, cuda:0, ...
    device_name: str  # for people
    memory_bytes: int  # what models may occupy together
    widening: dict[str, int] = {}  # family -> how many times its models take here the 16 bits a number of their cards

    def widens(self, model: ModelRef) -> int:
        """How many times the model takes here the bytes that its card says."""
        return self.widening.get(model.family, 1)


class Started(_Message, frozen=True, kw_only=True, tag="started"):
    """The first device call for the request is about to run."""

    lease: Lease
    plan: str = ""  # digest of the engine's plan for its model; empty where there is none


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """Device time of one request, by stage: its share of every call it was in."""

    stage: str
    calls: int
    device_ns: int


class Resumed(_Message, frozen=True, kw_only=True, tag="resumed"):
    """The request goes on from where another worker, or this one before, had saved it."""

    lease: Lease
    step: int  # denoising steps done by its slowest sample
    former: Lease  # under which it came so far
    spent: list[Spent]  # under the former lease: counts where that attempt's usage is not known


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """A picture of an unfinished sample."""

    index: int  # which sample
    content_type: str
    data: bytes  # encoded


class Progress(_Message, frozen=True, kw_only=True, tag="progress"):
    lease: Lease
    stage: str  # fetch, load, encode, denoise or decode
    step: int  # denoising steps done by the slowest sample
    steps: int  # of how many
    batch: int  # samples in the call
    remaining_s: float  # predicted seconds of device work left, without waiting
    preview: Preview | None = None  # absent when nobody watches, or too soon after the last
    spent: list[Spent] = []  # so far: what is metered should the worker die


class Note(_Message, frozen=True, kw_only=True, tag="note"):
    """A line for the request's log."""

    lease: Lease
    level: str  # DEBUG, INFO, WARN or ERROR
    message: str


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """A stored output or, where `data` is present, one that is handed over and not kept."""

    index: int  # which sample
    seed: int  # the sample's own
    key: str  # of the media store; empty when `data` is present
    content_type: str
    size_bytes: int
    sha256: str  # hex digest of the encoded bytes
    width: int | None = None  # pixels; absent for sound
    height: int | None = None  # pixels; absent for sound
    duration_s: float | None = None  # absent for pictures
    data: bytes | None = None  # only for inline outputs
    flagged: bool = False  # whether the safety checker blacked it out


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Calls of one stage, one after another, that a run shared with as many others: a line of its timeline.

    So are the fetching of its adapters, the load of its model and the storing of its outputs, which call no device.
    """

    stage: str  # fetch, load, encode, denoise, decode or store
    start_ns: int  # from when its worker took the request to the beginning of the first of these
    device_ns: int  # their wall time, whoever paid for it
    calls: int
    smallest: int  # samples in the call that had fewest, its own and others'
    largest: int  # samples in the call that had most
    end_ns: int | None = None  # as `start_ns`, to the end of the last of these; absent: an earlier version wrote it

    @property
    def on_device(self) -> bool:
        return self.stage in DEVICE_STAGES


class Finished(_Message, frozen=True, kw_only=True, tag="finished"):
    lease: Lease
    artifacts: list[Artifact]
    spent: list[Spent]
    inference_s: float  # from the first device call to the last, wall seconds
    timeline: list[Span] = []  # what its worker did, in order


class Failed(_Message, frozen=True, kw_only=True, tag="failed"):
    """The request ended without a result. `code` is an error's code of `laterna.errors`."""

    lease: Lease
    code: str
    message: str
    spent: list[Spent] = []
    retry: bool = False  # whether another attempt may go better
    done: int = 0  # denoising steps done, of all samples together: what a cancelled request pays for
    steps: int = 0  # of how many; 0 where it had not begun
    timeline: list[Span] = []  # what its worker did, in order


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What one device call cost: what the cost models learn from."""

    model: str
    stage: str
    tokens: int  # per sample
    batch: int
    device_ns: int
    adapters: int = 0  # samples with adapters
    skipped: int = 0  # samples that reused what they had computed before
    between_ns: int | None = None  # since the call before; absent where there was nothing to do, or a model to load


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A device call that is under way."""

    model: str
    stage: str
    seconds: float  # that it has taken so far
    longest_s: float  # that it may take; beyond it hangs


class Beat(_Message, frozen=True, kw_only=True, tag="beat"):
    """A sign of life, about once a second: keeps the leases named in it."""

    leases: list[Lease]
    resident: list[str]  # model ids in memory
    observed: list[Observation]  # calls since the last beat
    call: Call | None = None  # absent while the device rests


ToWorker = Assign | Cancel | Watch | Stop
FromWorker = Ready | Started | Resumed | Progress | Note | Finished | Failed | Beat
