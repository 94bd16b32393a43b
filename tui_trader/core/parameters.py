"""Parameters of strategies: name, bounds and default, declared once by each strategy for config, search and store."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import msgspec

Values = Mapping[str, float]
"""A value for each parameter by name; whole numbers are floats without a fraction."""


class ParameterError(ValueError):
    """A value that a strategy cannot take; the message names it, and what would be right."""


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """One number of a strategy. ``step`` is the grid of a search; a ``whole`` parameter has no fractions."""

    name: str
    default: float
    low: float
    high: float
    step: float
    text: str
    whole: bool = False

    def checked(self, value: object) -> float:
        """``value`` as a number within the bounds. Raises ``ParameterError``."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self._refused(value)
        if self.whole and value != int(value):
            raise self._refused(value)
        found = float(value)
        if not self.low <= found <= self.high:
            raise ParameterError(f"{self.name} = {found:g} is not within {self.low:g} to {self.high:g} ({self.text})")
        return found

    def _refused(self, value: object) -> ParameterError:
        kind = "a whole number" if self.whole else "a number"
        return ParameterError(f"{self.name} = {value!r} is not {kind} from {self.low:g} to {self.high:g}")


def defaults(parameters: Iterable[Parameter]) -> dict[str, float]:
    """The default of each parameter."""
    return {parameter.name: parameter.default for parameter in parameters}


def resolve(parameters: Iterable[Parameter], *layers: Mapping[str, object]) -> dict[str, float]:
    """Defaults overlaid by each of ``layers`` in order. Raises ``ParameterError`` for unknown names and bad values."""
    known = {parameter.name: parameter for parameter in parameters}
    values = defaults(known.values())
    for layer in layers:
        for name, value in layer.items():
            if name not in known:
                raise ParameterError(f"there is no parameter {name!r}; known are {', '.join(known)}")
            values[name] = known[name].checked(value)
    return values
