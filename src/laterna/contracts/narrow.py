"""Narrows a contract's input to one card: other defaults, bounds, choices and sizes per field, checked when built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from annotated_types import Ge, Gt, Le, Lt, MaxLen
from pydantic import BaseModel, Field, ValidationError, create_model
from pydantic.fields import FieldInfo

from laterna.contracts.sizes import LARGEST, SizeLimits, size_type

SIZE = "image_size"
KEYS = ("default", "ge", "le", "max_length", "choices")
SIZE_KEYS = ("default", "ge", "le", "multiple_of")
I = TypeVar("I", bound=BaseModel)  # noqa: E741


def narrowed(base: type[I], fields: Mapping[str, Mapping[str, Any]]) -> type[I]:
    """The input model with the card's overrides.

    Args:
        fields: field name -> override -> value. For `image_size`, `ge` and `le` bound both sides in pixels and
            `multiple_of` is the grain that sides are rounded down to.

    Raises ValueError naming the field, the override and what is possible.
    """
    made = {name: _field(base, name, overrides) for name, overrides in fields.items()}
    model: type[I] = create_model(base.__name__, __base__=base, __doc__=base.__doc__, **made)  # type: ignore[call-overload]
    try:
        model.model_validate({name: "x" for name, field in model.model_fields.items() if field.is_required()})
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}, got {first['input']!r}") from error
    return model


def size_limits(fields: Mapping[str, Mapping[str, Any]]) -> SizeLimits:
    """The limits that a card's overrides of `image_size` say."""
    given = fields.get(SIZE, {})
    grain = given.get("multiple_of", SizeLimits.grain)
    return SizeLimits(smallest=given.get("ge", grain), largest=given.get("le", SizeLimits.largest), grain=grain)


def _field(base: type[BaseModel], name: str, overrides: Mapping[str, Any]) -> tuple[Any, FieldInfo]:
    old = base.model_fields.get(name)
    if old is None:
        raise ValueError(f"{name!r} is no field of {base.__name__}; its fields: {', '.join(base.model_fields)}")
    known = SIZE_KEYS if name == SIZE else KEYS
    for key in overrides:
        if key not in known:
            raise ValueError(f"{name}.{key} is not known; known: {', '.join(known)}")
    default = overrides.get("default", old.default)
    field = Field(default, description=old.description, examples=old.examples)
    return (_sized(overrides) if name == SIZE else _bounded(old, overrides)), field


def _sized(overrides: Mapping[str, Any]) -> Any:
    limits = size_limits({SIZE: overrides})
    if not 1 <= limits.grain <= limits.smallest <= limits.largest <= LARGEST:
        raise ValueError(f"{SIZE}: expected 1 <= multiple_of <= ge <= le <= {LARGEST}, got {limits}")
    return size_type(limits)


def _bounded(old: FieldInfo, overrides: Mapping[str, Any]) -> Any:
    replaced: tuple[type, ...] = ()
    new: list[object] = []
    for key, bound, others in (("ge", Ge, (Ge, Gt)), ("le", Le, (Le, Lt)), ("max_length", MaxLen, (MaxLen,))):
        if key in overrides:
            replaced += others
            new.append(bound(overrides[key]))
    kept = [item for item in old.metadata if not isinstance(item, replaced)]
    annotation: Any = _choices(old, overrides["choices"]) if "choices" in overrides else old.annotation
    return Annotated.__class_getitem__((annotation, *kept, *new)) if kept or new else annotation  # type: ignore[attr-defined]


def _choices(old: FieldInfo, names: Any) -> Any:
    """One of the names, or nothing where the field may be left empty."""
    chosen: Any = Literal.__getitem__(tuple(names))
    return chosen if old.default is not None else chosen | None
