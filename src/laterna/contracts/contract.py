"""A contract: what an endpoint takes and answers, and how that becomes what the engine is asked.

Named in cards, found in a lazy table, so that importing this costs nothing. Knows no card, no store and no HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from laterna.contracts.generation import Generation

if TYPE_CHECKING:
    from pydantic import BaseModel

Settings = Mapping[str, str | int | float | bool]  # of a card's family
Overrides = Mapping[str, Mapping[str, Any]]  # of a card's endpoint: field -> override -> value


@dataclass(frozen=True, kw_only=True)
class MadeFile:
    """One output as its receiver finds it."""

    url: str  # absolute, or a data URI
    content_type: str
    name: str  # of the file, for people
    size_bytes: int
    width: int | None = None  # pixels; absent for sound
    height: int | None = None  # pixels; absent for sound
    flagged: bool = False  # whether the safety checker blacked it out


class Contract(Protocol):
    """What a contract object does."""

    @property
    def input(self) -> type[BaseModel]:
        """The typed input, narrowed to the card."""
        ...

    @property
    def output(self) -> type[BaseModel]: ...

    def narrow(self, fields: Overrides, settings: Settings, family: str = "") -> Contract:
        """This contract for one card, within what its family takes (`laterna.contracts.traits`).

        Raises ValueError naming the field or setting that is wrong.
        """
        ...

    def parse(self, body: object) -> BaseModel:
        """The typed input. Raises InvalidInput with every problem."""
        ...

    def normalise(self, asked: BaseModel, seed: int | None = None) -> Generation:
        """What the engine is asked; `seed` is used where the sender gave none, and a random one where this is None."""
        ...

    def result(self, job: Generation, files: Sequence[MadeFile], inference_s: float) -> dict[str, Any]:
        """The endpoint's output, of files in the order of their samples."""
        ...


CONTRACTS = {  # name -> module:object
    "flux.text_to_image": "laterna.contracts.pictures:FLUX",
    "stable_diffusion.text_to_image": "laterna.contracts.pictures:STABLE_DIFFUSION",
    "sprite.text_to_image": "laterna.contracts.pictures:SPRITE",
}


def get_contract(name: str) -> Contract:
    """The contract of that name. Raises ValueError naming those there are."""
    if name not in CONTRACTS:
        raise ValueError(f"no contract {name!r}; known: {', '.join(CONTRACTS)}")
    module, _, attribute = CONTRACTS[name].partition(":")
    found: Contract = getattr(import_module(module), attribute)
    return found
