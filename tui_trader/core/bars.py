"""Bars as arrays, and the window of them that a strategy looks at: the same for a live bar and for years of history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import msgspec
import numpy as np

from tui_trader.core import series
from tui_trader.core.candles import TIMEFRAMES, CandleBook, Indicator
from tui_trader.core.events import Candle
from tui_trader.core.types import MINUTE_MS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Times = NDArray[np.int64]


class Bars(msgspec.Struct, frozen=True, kw_only=True):
    """Closed bars of one timeframe, oldest first; arrays of shape (n,). ``open_ms`` int64, the others float64."""

    timeframe: str
    open_ms: Times
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    def __len__(self) -> int:
        return len(self.open_ms)

    @property
    def close_ms(self) -> Times:
        """When each bar closed, and so became visible (exclusive end), ms."""
        return self.open_ms + TIMEFRAMES[self.timeframe]

    def slice(self, start: int, end: int) -> Bars:
        """The bars ``start`` to ``end`` (exclusive), as views."""
        return Bars(
            timeframe=self.timeframe,
            open_ms=self.open_ms[start:end],
            open=self.open[start:end],
            high=self.high[start:end],
            low=self.low[start:end],
            close=self.close[start:end],
            volume=self.volume[start:end],
        )

    def candle(self, index: int) -> Candle:
        """One bar as an object."""
        return Candle(
            int(self.open_ms[index]),
            float(self.open[index]),
            float(self.high[index]),
            float(self.low[index]),
            float(self.close[index]),
            float(self.volume[index]),
        )


def from_candles(candles: Sequence[Candle], timeframe: str) -> Bars:
    """Bars of candles in order."""
    return Bars(
        timeframe=timeframe,
        open_ms=np.array([c.open_ms for c in candles], dtype=np.int64),
        open=np.array([c.open for c in candles], dtype=np.float64),
        high=np.array([c.high for c in candles], dtype=np.float64),
        low=np.array([c.low for c in candles], dtype=np.float64),
        close=np.array([c.close for c in candles], dtype=np.float64),
        volume=np.array([c.volume for c in candles], dtype=np.float64),
    )


def resample(minutes: Bars, timeframe: str) -> Bars:
    """Whole bars of a higher timeframe from 1 m bars.

    As ``CandleBook`` with history loaded: a bar at the beginning or the end that lacks minutes is left out; one with a
    hole inside the history is what the minutes that are there give.
    """
    length = TIMEFRAMES[timeframe]
    if timeframe == minutes.timeframe or not len(minutes):
        return Bars(**{**{name: getattr(minutes, name) for name in Bars.__struct_fields__}, "timeframe": timeframe})
    bucket = minutes.open_ms // length
    starts = np.flatnonzero(np.diff(bucket, prepend=bucket[0] - 1))
    ends = np.append(starts[1:], len(minutes))
    first_whole = int(minutes.open_ms[0] % length == 0)
    last_whole = (int(minutes.open_ms[-1]) + MINUTE_MS) % length == 0
    keep = slice(0 if first_whole else 1, None if last_whole else -1)
    bars = Bars(
        timeframe=timeframe,
        open_ms=bucket[starts] * length,
        open=minutes.open[starts],
        high=np.maximum.reduceat(minutes.high, starts),
        low=np.minimum.reduceat(minutes.low, starts),
        close=minutes.close[ends - 1],
        volume=_sums(minutes, bucket, starts, length),
    )
    return bars.slice(*keep.indices(len(bars))[:2])


def _sums(minutes: Bars, bucket: Times, starts: Times, length: int) -> Floats:
    """Volume of each bucket, added one minute after the other, as a live bar grows; a missing minute adds nothing."""
    table: Floats = np.zeros((len(starts), length // MINUTE_MS))
    row = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(minutes)))
    table[row, (minutes.open_ms - bucket * length) // MINUTE_MS] = minutes.volume
    return np.asarray(np.cumsum(table, axis=1)[:, -1])


Key = tuple[object, ...]
Shared = Callable[[Key, Callable[[], "NDArray[Any]"]], "NDArray[Any]"]


def _anew(key: Key, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    return make()


class Window:
    """The bars that a strategy may look at, with indicators as of each bar's close and the higher timeframe beside.

    ``indicator(kind, period)`` gives an array beside the bars, NaN before it was warm. ``shared(key, make)`` gives what
    ``make`` works out from the bars and from nothing else but what ``key`` holds: a search keeps it for its other runs.
    Arrays of both are read-only.
    """

    def __init__(
        self,
        bars: Bars,
        indicator: Callable[[Indicator, int], Floats],
        higher: Window | None = None,
        shared: Shared = _anew,
    ) -> None:
        self.bars = bars
        self.indicator = indicator
        self.higher = higher
        self.shared = shared
        self._closed: Times | None = None

    def higher_closed(self) -> Times:
        """For each bar, how many bars of the higher timeframe were closed at its close, shape (n,)."""
        if self._closed is None:
            if self.higher is None:
                self._closed = np.zeros(len(self.bars), dtype=np.int64)
            else:
                self._closed = series.ranks(self.higher.bars.close_ms, self.bars.close_ms)
        return self._closed


def window_of(bars: Bars, higher: Bars | None = None) -> Window:
    """The window over whole history."""
    found: dict[tuple[Indicator, int], Floats] = {}

    def indicator(kind: Indicator, period: int) -> Floats:
        key = (kind, period)
        if key not in found:
            found[key] = indicator_of(bars, kind, period)
        return found[key]

    return Window(bars, indicator, window_of(higher) if higher is not None else None)


def indicator_of(bars: Bars, kind: Indicator, period: int) -> Floats:
    """An indicator as of each bar's close, shape (n,), NaN before it was warm."""
    if kind is Indicator.ATR:
        return series.wilder_atr(bars.high, bars.low, bars.close, period)
    if kind is Indicator.EMA:
        return series.ema(bars.close, period)
    if kind is Indicator.RSI:
        return series.rsi(bars.close, period)
    strength, plus, minus = series.adx(bars.high, bars.low, bars.close, period)
    return strength if kind is Indicator.ADX else np.where(np.isnan(strength), np.nan, plus - minus)


@runtime_checkable
class KnowsBars(Protocol):
    """A book that has its bars as arrays already."""

    def bars(self, timeframe: str, count: int) -> Bars:
        """The last ``count`` closed bars, oldest first; fewer when there are fewer."""
        ...


def window_of_book(
    book: CandleBook, timeframe: str, count: int, higher: str | None = None, higher_count: int = 0
) -> Window:
    """The window over the last ``count`` closed bars of a live book, and ``higher_count`` of a higher timeframe."""
    bars = (
        book.bars(timeframe, count)
        if isinstance(book, KnowsBars)
        else from_candles(book.closed(timeframe, count), timeframe)
    )

    def indicator(kind: Indicator, period: int) -> Floats:
        return np.array(book.values(timeframe, kind, period, len(bars)), dtype=np.float64)

    above = window_of_book(book, higher, higher_count) if higher is not None else None
    return Window(bars, indicator, above)
