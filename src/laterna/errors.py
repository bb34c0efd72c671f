"""Every error that Laterna raises on purpose, in one tree.

    LaternaError
    ├── ConfigError                 a setting is unknown or has a bad value
    ├── InvalidInput                a field of a request is missing, unknown or out of range
    ├── MediaError                  bytes that are no readable image, video or sound
    │   └── ImageTooLarge
    ├── Unauthorized                no key, or a key that nobody holds
    ├── Forbidden                   a key that may not do this
    ├── NotFound
    │   ├── EndpointNotFound
    │   ├── RequestNotFound
    │   └── FileNotFound
    ├── Conflict
    │   ├── NotFinished             the result was asked for too early
    │   └── AlreadyCompleted        too late to cancel
    ├── Refused                     valid, but not accepted now
    │   ├── QueueFull
    │   ├── OutOfBudget             its tenant's credit, or what it may spend in a month, does not cover it
    │   ├── RateLimited             its tenant submits too many in a minute
    │   ├── TooManyConcurrent       as many of its tenant's run as may, and its sender waits on the line
    │   ├── StorageFull             its tenant's files take as much as they may
    │   ├── DeadlineUnreachable
    │   ├── PayloadTooLarge
    │   ├── NoRunner                nothing here can run models
    │   └── Unavailable             the server is stopping, or the store does not answer
    ├── FetchError                  a URL could not be fetched
    │   ├── AddressRefused          it leads to an address that users may not reach
    │   ├── FetchTooLarge
    │   ├── FetchTimeout
    │   └── WrongContentType
    ├── WeightsError                a model cannot be loaded
    │   ├── UnsafeWeights           pickle, or anything that could run code
    │   ├── UnreadableWeights
    │   ├── MissingWeights
    │   └── ModelTooLarge           it does not fit the device
    ├── AdapterError                a LoRA cannot be applied
    │   ├── UnreadableAdapter       it is no whole safetensors file, or pickle
    │   ├── UnsupportedAdapter      DoRA, LoHa, LoKr: another kind than low-rank factors
    │   ├── AdapterMismatch         it was made for another model
    │   ├── MissingAdapter          nobody has it under that name
    │   └── AdapterTooLarge         a request's adapters would take too much memory
    └── ExecutionError              a request that was accepted and failed
        ├── SampleFailed            the engine could not finish it
        ├── OutOfMemory             one sample alone is too much for the device
        ├── GenerationTimeout       it ran past its limit
        ├── StartTimeout            it did not start in the time that its owner gave
        ├── PoisonRequest           it took its workers down with it until its attempts ran out
        └── RequestCancelled

`code` is the machine-readable name that goes over the wire and into the store. HTTP status codes are mapped in
`laterna.api` alone. A message names the key, the value and the way out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class LaternaError(Exception):
    """The root: `message` is for people, `code` for programs."""

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ConfigError(LaternaError):
    code = "config_error"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing wrong with one field of an input, in pydantic's terms."""

    loc: tuple[str | int, ...]  # path of the field, starting with "body"
    msg: str  # what is wrong and what would be right
    type: str = "value_error"  # pydantic's or fal's machine-readable name
    input: object = None  # the offending value, shortened where it is long
    ctx: dict[str, object] | None = None  # limits, such as {"le": 50}; absent when there are none


class InvalidInput(LaternaError):
    """One or more fields are wrong; nothing was queued."""

    code = "invalid_input"

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, p.loc))}: {p.msg}" for p in problems))
        self.problems = problems


class MediaError(LaternaError):
    code = "image_load_error"


class ImageTooLarge(MediaError):
    code = "image_too_large"


class Unauthorized(LaternaError):
    code = "unauthorized"


class Forbidden(LaternaError):
    code = "forbidden"


class NotFound(LaternaError):
    code = "not_found"


class EndpointNotFound(NotFound):
    code = "endpoint_not_found"


class RequestNotFound(NotFound):
    code = "request_not_found"


class FileNotFound(NotFound):
    code = "file_not_found"


class Conflict(LaternaError):
    code = "conflict"


class NotFinished(Conflict):
    code = "not_finished"


class AlreadyCompleted(Conflict):
    code = "already_completed"


class Refused(LaternaError):
    code = "refused"

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s  # seconds after which it will be accepted; absent: nobody knows


class QueueFull(Refused):
    code = "queue_full"


class OutOfBudget(Refused):
    code = "out_of_budget"


class RateLimited(Refused):
    code = "rate_limited"


class TooManyConcurrent(Refused):
    code = "concurrent_requests_limit"


class StorageFull(Refused):
    code = "storage_limit"


class DeadlineUnreachable(Refused):
    code = "deadline_unreachable"


class PayloadTooLarge(Refused):
    code = "payload_too_large"


class NoRunner(Refused):
    code = "runner_scheduling_failure"


class Unavailable(Refused):
    code = "unavailable"


class FetchError(LaternaError):
    code = "file_download_error"


class AddressRefused(FetchError):
    code = "address_refused"


class FetchTooLarge(FetchError):
    code = "file_too_large"


class FetchTimeout(FetchError):
    code = "download_timeout"


class WrongContentType(FetchError):
    code = "unsupported_content_type"


class WeightsError(LaternaError):
    code = "weights_error"


class UnsafeWeights(WeightsError):
    code = "unsafe_weights"


class UnreadableWeights(WeightsError):
    code = "unreadable_weights"


class MissingWeights(WeightsError):
    code = "missing_weights"


class ModelTooLarge(WeightsError):
    code = "model_too_large"


class AdapterError(LaternaError):
    code = "adapter_error"


class UnreadableAdapter(AdapterError):
    code = "unreadable_adapter"


class UnsupportedAdapter(AdapterError):
    code = "unsupported_adapter"


class AdapterMismatch(AdapterError):
    code = "adapter_mismatch"


class MissingAdapter(AdapterError):
    code = "missing_adapter"


class AdapterTooLarge(AdapterError):
    code = "adapter_too_large"


class ExecutionError(LaternaError):
    code = "internal_server_error"


class SampleFailed(ExecutionError):
    code = "sample_failed"


class OutOfMemory(ExecutionError):
    code = "out_of_memory"


class GenerationTimeout(ExecutionError):
    code = "generation_timeout"


class StartTimeout(ExecutionError):
    code = "request_timeout"


class PoisonRequest(ExecutionError):
    code = "runner_disconnected"


class RequestCancelled(ExecutionError):
    code = "client_cancelled"
