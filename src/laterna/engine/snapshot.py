"""A snapshot: what a request needs to go on elsewhere as if nothing had happened, and its form as bytes.

Holds references to tensors that nobody changes, so that taking one costs the engine nothing; the copy from the device
is made where it is encoded. Never pickle: safetensors and JSON behind a checksum, as a file may be torn. Conditioning
and schedules are not in it: encoding makes the same ones again.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from laterna.contracts.generation import Generation, ModelRef
from laterna.contracts.messages import Lease, Spent
from laterna.engine.sample import Sample
from laterna.families.caching import Cache
from laterna.samplers.sampler import restore, tensors

_NUMBER_BYTES = 4  # of the checksum and of the length of the JSON part, big endian


@dataclass(frozen=True, kw_only=True)
class State:
    """Where one sample stands between two steps."""

    step: int  # denoising steps done, at least 1
    latent: torch.Tensor
    history: Mapping[str, torch.Tensor]  # the sampler's, by field
    generator: torch.Tensor  # of the noise still to be drawn; uint8
    cache: Cache | None = None  # features that the next step may reuse


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What the pictures depend on: a snapshot may be used only where all of it is the same."""

    job: str  # digest of what was asked for
    model: str  # id and revision
    plan: str  # digest of the engine's plan


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One request's state."""

    lease: Lease  # under which it came so far
    identity: Identity
    spent: list[Spent]  # under that lease alone
    samples: Mapping[int, State]  # by index; those that are missing have not begun


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    lease: Lease
    identity: Identity
    spent: list[Spent]
    steps: dict[int, int]  # of each sample
    caches: dict[int, dict[str, int | float]] = {}  # what is no tensor of the caches of those samples that have one


def identity(job: Generation, model: ModelRef, plan: str) -> Identity:
    return Identity(
        job=hashlib.blake2b(msgspec.json.encode(job), digest_size=16).hexdigest(), model=model.name, plan=plan
    )


def differences(one: Identity, other: Identity) -> list[str]:
    """Names of the parts in which they are not the same."""
    return [name for name in one.__struct_fields__ if getattr(one, name) != getattr(other, name)]


def state_of(sample: Sample) -> State:
    """The sample as it is now, at least one step done."""
    assert sample.latent is not None
    assert sample.history is not None
    generator = sample.generator.get_state()
    return State(
        step=sample.step,
        latent=sample.latent,
        history=tensors(sample.history),
        generator=generator,
        cache=sample.cache,
    )


def put_back(sample: Sample, state: State) -> None:
    """Put an encoded sample where the state was taken. Raises ValueError, nothing changed, where it does not fit."""
    assert sample.latent is not None
    assert sample.history is not None
    if state.latent.shape != sample.latent.shape or not 0 < state.step <= sample.steps:
        raise ValueError(f"latent: {tuple(state.latent.shape)} at step {state.step} is not of this sample")
    history = restore(sample.history, state.history)
    sample.generator.set_state(state.generator)
    sample.latent, sample.history, sample.step = state.latent.to(sample.latent), history, state.step
    if state.cache is not None:
        place = sample.latent.device
        moved: dict[str, Any] = {name: tensor.to(place) for name, tensor in _tensors(state.cache).items()}
        sample.cache = replace(state.cache, **moved)


def encode(snapshot: Snapshot) -> list[bytes]:
    """Checksum, length, JSON and tensors, in parts. Copies from the device: not for the engine's thread."""
    head = msgspec.json.encode(
        _Head(
            lease=snapshot.lease,
            identity=snapshot.identity,
            spent=snapshot.spent,
            steps={index: state.step for index, state in snapshot.samples.items()},
            caches={index: _numbers(state.cache) for index, state in snapshot.samples.items() if state.cache},
        )
    )
    named = {
        f"{index}.{name}": tensor.detach().to("cpu", copy=True).contiguous()
        for index, state in snapshot.samples.items()
        for name, tensor in _named(state).items()
    }
    parts: list[bytes] = [len(head).to_bytes(_NUMBER_BYTES, "big") + head, save(named)]
    return [_checksum(parts), *parts]


def decode(data: bytes) -> Snapshot:
    """Raises ValueError where it is not whole or not ours."""
    checksum, body = data[:_NUMBER_BYTES], data[_NUMBER_BYTES:]
    if _checksum([body]) != checksum:
        raise ValueError("snapshot: its checksum is wrong")
    end = _NUMBER_BYTES + int.from_bytes(body[:_NUMBER_BYTES], "big")
    try:
        head, named = msgspec.json.decode(body[_NUMBER_BYTES:end], type=_Head), load(body[end:])
        samples = {
            index: _state(step, _below(f"{index}.", named), head.caches.get(index))
            for index, step in head.steps.items()
        }
    except (msgspec.DecodeError, SafetensorError, KeyError, TypeError) as error:
        raise ValueError(f"snapshot: of another version: {error}") from error
    return Snapshot(lease=head.lease, identity=head.identity, spent=head.spent, samples=samples)


def _named(state: State) -> dict[str, torch.Tensor]:
    history = {f"history.{name}": tensor for name, tensor in state.history.items()}
    cache = {f"cache.{name}": tensor for name, tensor in _tensors(state.cache).items()} if state.cache else {}
    return {"latent": state.latent, "generator": state.generator, **history, **cache}


def _state(step: int, named: Mapping[str, torch.Tensor], numbers: Mapping[str, Any] | None) -> State:
    return State(
        step=step,
        latent=named["latent"],
        history=_below("history.", named),
        generator=named["generator"],
        cache=None if numbers is None else Cache(**_below("cache.", named), **numbers),
    )


def _below(prefix: str, named: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    return {name.removeprefix(prefix): tensor for name, tensor in named.items() if name.startswith(prefix)}


def _tensors(cache: Cache) -> dict[str, torch.Tensor]:
    return {name: value for name, value in vars(cache).items() if isinstance(value, torch.Tensor)}


def _numbers(cache: Cache) -> dict[str, int | float]:
    return {name: value for name, value in vars(cache).items() if isinstance(value, int | float)}


def _checksum(parts: Iterable[bytes]) -> bytes:
    """Tells a torn file from a whole one."""
    found = 0
    for part in parts:
        found = zlib.crc32(part, found)
    return found.to_bytes(_NUMBER_BYTES, "big")
