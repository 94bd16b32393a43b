"""Indicators over closed bars: Wilder's ATR (one bar at a time, and over whole arrays), mean volume, range.

Every function gives None, or NaN in an array, before there are enough bars; nothing is estimated from too few.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from tui_trader.core.events import Candle

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BLOCK = 256


class AtrReading(msgspec.Struct, frozen=True, kw_only=True):
    """An ATR in price units. ``as_of_ms`` is the close time of its newest bar; ``bars`` how many bars went into it."""

    value: float
    as_of_ms: int
    bars: int


class WilderAtr:
    """Wilder's average true range, one closed bar at a time.

    The first true range is high − low, the first average the mean of ``period`` true ranges, then
    ATR = (ATR · (period − 1) + TR) / period. Source: J. W. Wilder, New Concepts in Technical Trading Systems, 1978.
    """

    def __init__(self, period: int) -> None:
        if period < 1:
            raise ValueError(f"ATR period {period} must be at least 1")
        self.period = period
        self.bars = 0
        self._previous_close = math.nan
        self._sum = 0.0
        self._value = math.nan

    @property
    def value(self) -> float | None:
        """The ATR in price units, None before ``period`` bars were seen."""
        return self._value if self.bars >= self.period else None

    def update(self, high: float, low: float, close: float) -> float | None:
        """Take one closed bar and give the ATR as of its close."""
        true_range = high - low
        if self.bars:
            true_range = max(true_range, abs(high - self._previous_close), abs(low - self._previous_close))
        self._previous_close = close
        self.bars += 1
        if self.bars < self.period:
            self._sum += true_range
        elif self.bars == self.period:
            self._value = (self._sum + true_range) / self.period
        else:
            self._value = (self._value * (self.period - 1) + true_range) / self.period
        return self.value

    def extend(self, bars: Iterable[Candle]) -> float | None:
        """Take several closed bars, oldest first."""
        for bar in bars:
            self.update(bar.high, bar.low, bar.close)
        return self.value


def true_ranges(high: NDArray[np.float64], low: NDArray[np.float64], close: NDArray[np.float64]) -> NDArray[np.float64]:
    """True range of each bar, shape (n,); the first is high − low."""
    import numpy as np

    ranges = np.asarray(high - low, dtype=np.float64)
    if len(ranges) > 1:
        before = close[:-1]
        ranges[1:] = np.maximum(ranges[1:], np.maximum(np.abs(high[1:] - before), np.abs(low[1:] - before)))
    return ranges


def wilder_atr(
    high: NDArray[np.float64], low: NDArray[np.float64], close: NDArray[np.float64], period: int
) -> NDArray[np.float64]:
    """ATR as of each bar's close, shape (n,), NaN before ``period`` bars; agrees with ``WilderAtr`` to 1e-9.

    The recursion x ← a·x + b·TR is solved in closed form per block; blocks keep the powers of ``a`` within a float.
    """
    import numpy as np

    if period < 1:
        raise ValueError(f"ATR period {period} must be at least 1")
    ranges = true_ranges(high, low, close)
    result: NDArray[np.float64] = np.full(len(ranges), np.nan)
    if len(ranges) < period:
        return result
    value = float(ranges[:period].mean())
    result[period - 1] = value
    if period == 1:
        return ranges
    decay = 1.0 - 1.0 / period
    powers = decay ** np.arange(1, _BLOCK + 1, dtype=np.float64)
    for start in range(period, len(ranges), _BLOCK):
        block = ranges[start : start + _BLOCK]
        weight = powers[: len(block)]
        result[start : start + len(block)] = weight * (value + np.cumsum(block / period / weight))
        value = float(result[start + len(block) - 1])
    return result


def mean_volume(bars: Sequence[Candle], count: int) -> float | None:
    """Mean volume (base units) of the last ``count`` bars, None with fewer."""
    if count < 1 or len(bars) < count:
        return None
    return math.fsum(bar.volume for bar in bars[-count:]) / count


def high_low_range(bars: Sequence[Candle], count: int) -> tuple[float, float] | None:
    """(highest high, lowest low) of the last ``count`` bars, None with fewer."""
    if count < 1 or len(bars) < count:
        return None
    window = bars[-count:]
    return max(bar.high for bar in window), min(bar.low for bar in window)


def mean_close(bars: Sequence[Candle], count: int) -> float | None:
    """Mean of the last ``count`` closes, None with fewer."""
    if count < 1 or len(bars) < count:
        return None
    return math.fsum(bar.close for bar in bars[-count:]) / count
