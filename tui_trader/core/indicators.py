"""Indicators one closed bar at a time: Wilder's ATR, RSI and ADX, EMA.

Each gives None before there are enough bars; nothing is estimated from too few. ``core.series`` has them over arrays.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from tui_trader.core.events import Candle


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


class Ema:
    """Exponential mean with weight 2 / (period + 1), seeded with the mean of the first ``period`` values."""

    def __init__(self, period: int) -> None:
        if period < 1:
            raise ValueError(f"EMA period {period} must be at least 1")
        self.period = period
        self._seen = 0
        self._sum = 0.0
        self._value = math.nan

    def update(self, value: float) -> float | None:
        """Take one value and give the mean as of it, None before ``period`` values."""
        self._seen += 1
        if self._seen <= self.period:
            self._sum += value
            self._value = self._sum / self.period
        else:
            self._value += 2.0 / (self.period + 1) * (value - self._value)
        return self._value if self._seen >= self.period else None


class WilderRsi:
    """Wilder's relative strength index of closes, 0–100; 50 when nothing moved.

    The first averages are the means of ``period`` gains and losses, then (average · (period − 1) + newest) / period.
    Source: J. W. Wilder, New Concepts in Technical Trading Systems, 1978.
    """

    def __init__(self, period: int) -> None:
        if period < 1:
            raise ValueError(f"RSI period {period} must be at least 1")
        self.period = period
        self._changes = -1
        self._close = math.nan
        self._up = 0.0
        self._down = 0.0

    def update(self, close: float) -> float | None:
        """Take one close and give the RSI as of it, None before ``period`` changes."""
        change = close - self._close if self._changes >= 0 else 0.0
        self._close = close
        self._changes += 1
        if self._changes == 0:
            return None
        gain, loss = max(change, 0.0), max(-change, 0.0)
        if self._changes <= self.period:
            self._up += gain / self.period
            self._down += loss / self.period
        else:
            self._up += (gain - self._up) / self.period
            self._down += (loss - self._down) / self.period
        if self._changes < self.period:
            return None
        total = self._up + self._down
        return 100.0 * self._up / total if total > 0 else 50.0


class AdxReading(msgspec.Struct, frozen=True):
    """Strength of a trend, 0–100, and the directional indicators whose difference gives its direction."""

    adx: float
    plus_di: float
    minus_di: float


class WilderAdx:
    """Wilder's average directional index, one closed bar at a time; None before 2 · ``period`` bars.

    Source: J. W. Wilder, New Concepts in Technical Trading Systems, 1978; all averages smoothed as his ATR.
    """

    def __init__(self, period: int) -> None:
        if period < 1:
            raise ValueError(f"ADX period {period} must be at least 1")
        self.period = period
        self._bars = 0
        self._before = (math.nan, math.nan, math.nan)
        self._means = [0.0, 0.0, 0.0]
        self._adx = 0.0

    def update(self, high: float, low: float, close: float) -> AdxReading | None:
        """Take one closed bar and give the reading as of its close."""
        before_high, before_low, before_close = self._before
        self._before = (high, low, close)
        self._bars += 1
        if self._bars == 1:
            return None
        up, down = high - before_high, before_low - low
        span = max(high - low, abs(high - before_close), abs(low - before_close))
        newest = (span, up if up > down and up > 0 else 0.0, down if down > up and down > 0 else 0.0)
        changes = self._bars - 1
        if changes <= self.period:
            self._means = [mean + value / self.period for mean, value in zip(self._means, newest, strict=True)]
        else:
            self._means = [mean + (value - mean) / self.period for mean, value in zip(self._means, newest, strict=True)]
        return self._reading(changes) if changes >= self.period else None

    def _reading(self, changes: int) -> AdxReading | None:
        ranges, plus, minus = self._means
        plus_di, minus_di = (100.0 * plus / ranges, 100.0 * minus / ranges) if ranges > 0 else (0.0, 0.0)
        total = plus_di + minus_di
        spread = 100.0 * abs(plus_di - minus_di) / total if total > 0 else 0.0
        counted = changes - self.period + 1
        if counted <= self.period:
            self._adx += spread / self.period
        else:
            self._adx += (spread - self._adx) / self.period
        return AdxReading(self._adx, plus_di, minus_di) if counted >= self.period else None
