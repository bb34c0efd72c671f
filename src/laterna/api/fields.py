"""The fields of a small JSON body, taken one by one: what is missing, wrong or unknown is named."""

from __future__ import annotations

from laterna.contracts.problems import echo
from laterna.errors import InvalidInput, Problem


class Fields:
    """One body, until `done`."""

    def __init__(self, body: object) -> None:
        """Raises InvalidInput for what is no JSON object, as every method does for a field."""
        if not isinstance(body, dict):
            raise InvalidInput(Problem(loc=("body",), msg="the body should be a JSON object", type="model_type"))
        self._left = dict(body)

    def text(self, name: str, longest: int) -> str:
        """A text that must be there."""
        value = self._left.pop(name, None)
        if not isinstance(value, str) or not 0 < len(value.strip()) <= longest:
            raise _wrong(name, f"expected a text of 1 to {longest} characters", value)
        return value.strip()

    def texts(self, name: str, most: int) -> list[str]:
        """A list of words; empty where it is not given."""
        value = self._left.pop(name, None)
        if value is None:
            return []
        words = isinstance(value, list) and all(isinstance(one, str) and len(one.split()) == 1 for one in value)
        if not words or not 0 < len(value) <= most:
            raise _wrong(name, f"expected a list of 1 to {most} texts without blanks", value)
        return [one.strip() for one in value]

    def one_of(self, name: str, choices: tuple[str, ...], default: str) -> str:
        value = self._left.pop(name, default)
        if isinstance(value, str):
            value = value.lower().replace("_", "-").replace("readonly", "read-only")
        if value not in choices:
            raise _wrong(name, f"expected one of {', '.join(choices)}", value)
        return str(value)

    def truth(self, name: str) -> bool:
        """False where it is not given."""
        value = self._left.pop(name, False)
        if not isinstance(value, bool):
            raise _wrong(name, "expected true or false", value)
        return value

    def number(self, name: str, least: float, most: float) -> float | None:
        """None where it is not given."""
        value = self._left.pop(name, None)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise _wrong(name, f"expected a number, {least:g} to {most:g}", value)
        return value

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def done(self) -> None:
        """All is taken. Raises InvalidInput naming what is left."""
        if self._left:
            raise _wrong(next(iter(self._left)), "there is no such field", None)


def _wrong(name: str, why: str, value: object) -> InvalidInput:
    return InvalidInput(Problem(loc=("body", name), msg=why, type="value_error", input=echo(value)))
