"""Other futures for a history: whatever reads them where it should not, decides otherwise."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tui_trader.core.bars import Bars

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FIELDS = ("open", "high", "low", "close", "volume")


def _nan(bars: dict[str, Floats], rng: random.Random) -> None:
    for values in bars.values():
        values[:] = np.nan


def _huge(bars: dict[str, Floats], rng: random.Random) -> None:
    for values in bars.values():
        values *= 1e6


def _shuffled(bars: dict[str, Floats], rng: random.Random) -> None:
    order = list(range(len(bars["close"])))
    rng.shuffle(order)
    for values in bars.values():
        values[:] = values[order]


def _mirrored(bars: dict[str, Floats], rng: random.Random) -> None:
    """Every move the other way: prices p become p₀² / p, so that they stay above zero."""
    first = float(bars["open"][0])
    high, low = bars["high"].copy(), bars["low"].copy()
    bars["open"][:] = first * first / bars["open"]
    bars["close"][:] = first * first / bars["close"]
    bars["high"][:], bars["low"][:] = first * first / low, first * first / high


POISONS: dict[str, Callable[[dict[str, Floats], random.Random], None]] = {
    "NaN": _nan,
    "huge": _huge,
    "shuffled": _shuffled,
    "mirrored": _mirrored,
}


def poisoned(
    bars: Bars, from_ms: int, poison: Callable[[dict[str, Floats], random.Random], None], rng: random.Random
) -> Bars:
    """The bars with everything from ``from_ms`` on poisoned."""
    first = int(np.searchsorted(bars.open_ms, from_ms))
    columns = {name: getattr(bars, name).copy() for name in FIELDS}
    if first < len(bars):
        poison({name: values[first:] for name, values in columns.items()}, rng)
    return Bars(timeframe=bars.timeframe, open_ms=bars.open_ms, **columns)
