"""A model's adapters at work: which sample of a call carries which stack, and the products in the layers.

Nothing is merged into weights. Layers that an adapter changes carry a hook; within `encoding` and `denoising` it adds
the product for the samples that have one, and outside of it does nothing. What a batch stacks is prepared once for each
composition.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import torch
from torch import nn

from laterna.contracts.generation import Lora
from laterna.errors import AdapterError, AdapterTooLarge, InvalidInput, Problem
from laterna.lora.adapter import Adapter
from laterna.lora.composition import Composition
from laterna.lora.layers import DENOISERS, ENCODERS, Layer, Layers, Names, Place
from laterna.lora.library import Library
from laterna.lora.product import adapt
from laterna.lora.segments import Segments, laid

KEPT = 4  # compositions whose stacked factors stay: groups of several shapes take turns

Stack = tuple[Lora, ...]  # of one sample; empty for none


class Adapters:
    """For one loaded model. The context managers belong to the thread that runs it."""

    def __init__(
        self, library: Library | None, networks: Mapping[str, nn.Module], original: Mapping[str, Names]
    ) -> None:
        """
        Args:
            library: where adapters are; None refuses every one.
            networks: by part: unet or transformer, text_encoder, text_encoder_2.
            original: layers of the denoiser by the names that the model's authors gave them.
        """
        self._library = library
        self._layers = Layers(networks, original)
        self._hooked: set[Place] = set()
        self._kept: OrderedDict[object, Composition] = OrderedDict()
        self._now: Composition | None = None  # of the call that is running; absent where nothing is changed
        self._rows = Segments.of_rows(())  # how inputs lie where no family said it: one row a sample

    def fitted(self, stack: Stack) -> list[Adapter]:
        """The stack's adapters, read where they were not. From any thread. Raises AdapterError or InvalidInput.

        Those of one request may not take more than the budget for all: a batch stacks them once more for each sample.
        """
        if self._library is None:
            if stack:
                raise InvalidInput(Problem(loc=("body", "loras"), msg="this model takes no adapters; leave them out"))
            return []
        found = [self._fitted(self._library, number, lora) for number, lora in enumerate(stack)]
        size, most = sum(adapter.resident_bytes for adapter in found), self._library.budget_bytes
        if size > most:
            raise AdapterTooLarge(
                f"loras: together they take {size / 1e9:.1f} GB, the server allows {most / 1e9:.1f} (setting "
                f"lora_memory_gb); the largest is loras[{_largest(found)}].path"
            )
        return found

    def _fitted(self, library: Library, number: int, lora: Lora) -> Adapter:
        try:
            return library.adapter(self._layers, lora.digest)
        except AdapterError as error:
            raise type(error)(f"loras[{number}].path: {error.message}") from error

    def remarks(self, stack: Stack) -> tuple[str, ...]:
        """What the sender of a request should know of its adapters."""
        found = [adapter.remark() for adapter in self.fitted(stack)]
        return tuple(f"loras[{number}]: {remark}" for number, remark in enumerate(found) if remark)

    def of_words(self, stack: Stack) -> Stack:
        """The part of the stack that acts on the text encoders: samples with equal ones may share an encoding."""
        return tuple(
            lora for lora, adapter in self._pairs(stack) if any(place.part in ENCODERS for place in adapter.factors)
        )

    def encoding(self, rows: Sequence[Stack]) -> AbstractContextManager[None]:
        """Within, calls of the text encoders change row i of the batch by `rows[i]`. Raises AdapterError."""
        return self._on(ENCODERS, rows)

    def denoising(self, samples: Sequence[Stack]) -> AbstractContextManager[None]:
        """Within, calls of the denoising network change what belongs to sample i by `samples[i]`.

        What belongs to whom the family says with `laterna.lora.segments.lay`. Raises AdapterError.
        """
        return self._on(DENOISERS, samples)

    @contextmanager
    def _on(self, parts: tuple[str, ...], samples: Sequence[Stack]) -> Iterator[None]:
        acting = [tuple(lora for lora in stack if lora.scale) for stack in samples]
        self._now = self._composition(parts, acting) if any(acting) else None
        self._rows = Segments.of_rows(tuple(range(len(samples))))
        try:
            yield
        finally:
            self._now = None

    def _composition(self, parts: tuple[str, ...], samples: Sequence[Stack]) -> Composition:
        key = (parts, *(tuple((lora.digest, lora.scale) for lora in stack) for stack in samples))
        if key not in self._kept:
            self._make_room()
            self._kept[key] = self._compose(parts, samples)
        self._kept.move_to_end(key)
        return self._kept[key]

    def _make_room(self) -> None:
        """Before another composition: the oldest leave while there are many, or large ones."""
        most = 0 if self._library is None else self._library.budget_bytes
        while len(self._kept) >= KEPT or sum(kept.resident_bytes for kept in self._kept.values()) > most:
            self._kept.popitem(last=False)

    def _compose(self, parts: tuple[str, ...], samples: Sequence[Stack]) -> Composition:
        fitted = [[(lora.scale, adapter) for lora, adapter in self._pairs(stack)] for stack in samples]
        made = Composition(fitted, parts)
        for place in set(made.places()) - self._hooked:
            self._hooked.add(place)
            self._layers.modules[place].register_forward_hook(partial(self._add, place))
        return made

    def _pairs(self, stack: Stack) -> list[tuple[Lora, Adapter]]:
        return list(zip(stack, self.fitted(stack), strict=True))

    def _add(self, place: Place, layer: nn.Module, given: tuple[torch.Tensor, ...], y: torch.Tensor) -> torch.Tensor:
        """The hook: what the layer answers with the adapters of this call."""
        if self._now is None:
            return y
        assert isinstance(layer, Layer)
        changes = self._now.groups(layer, place, laid() or self._rows)
        return adapt(layer, y, given[0], changes) if changes else y


def _largest(adapters: Sequence[Adapter]) -> int:
    """Which of them it is."""
    return max(range(len(adapters)), key=lambda number: adapters[number].resident_bytes)
