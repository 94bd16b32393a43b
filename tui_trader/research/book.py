"""A candle book over history that is already there: the same answers as the live one, without growing it bar by bar."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tui_trader.core.bars import Bars, Key, Window, indicator_of, resample
from tui_trader.core.candles import ATR_DECIMALS, TIMEFRAMES, CandleBook, Indicator
from tui_trader.core.events import Candle
from tui_trader.core.indicators import AtrReading
from tui_trader.core.parameters import Values
from tui_trader.core.signals import Scan, Strategy
from tui_trader.core.soundness import words_of
from tui_trader.core.types import DAY_MS, MINUTE_MS
from tui_trader.errors import ConfigError
from tui_trader.research.history import History

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

MOST_KEPT = 16
"""How many arrays of one timeframe are kept; at 1 m and a year each takes 4 MB."""


class _Kept:
    """Arrays worked out from the bars of one timeframe when asked for; the ones used last are kept.

    Safe to share between threads.
    """

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._found: dict[Key, NDArray[Any]] = {}
        self._lock = threading.Lock()

    def indicator(self, kind: Indicator, period: int) -> Floats:
        return self.shared((kind, period), lambda: indicator_of(self._bars, kind, period))

    def shared(self, key: Key, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        found = self._found.get(key)
        if found is None:
            found = make()
            found.flags.writeable = False
        with self._lock:
            self._found.pop(key, None)
            self._found[key] = found
            if len(self._found) > MOST_KEPT:
                del self._found[next(iter(self._found))]
        return found


class GrowingBook(CandleBook):
    """``CandleBook`` that grows over a history bar by bar: a hole is the history's own, and nothing will fill it.

    As in a session once a load has spanned the gap, a higher bar is what its remaining minutes give; the averages go
    on over it instead of beginning again.
    """

    def _note_gap(self, start: int, end: int) -> None:
        self._confirmed.append((start, end))
        for name, bucket in self._building.items():
            length = TIMEFRAMES[name]
            if start < bucket.bar.open_ms + length <= end and self._whole(bucket, length):
                self._push(name, bucket.bar)


class HistoryBook(CandleBook):
    """``CandleBook`` whose newest closed 1 m bar is wherever ``update`` was last called; what lies ahead is not seen.

    Indicators are computed once over the whole and agree with the live ones to 1e-9.
    """

    def __init__(self, symbol: str, minutes: Bars) -> None:
        super().__init__(symbol)
        self._minutes = minutes
        self._frames: dict[str, Bars] = {}
        self._closes: dict[str, Ints] = {}
        self._windows: dict[tuple[str, str | None], Window] = {}
        self._now = 0

    def frame(self, timeframe: str) -> Bars:
        """All bars of a timeframe, also those ahead."""
        found = self._frames.get(timeframe)
        return found if found is not None else self._frames.setdefault(timeframe, resample(self._minutes, timeframe))

    def closes(self, timeframe: str) -> Ints:
        """When each of those bars closed, ms."""
        found = self._closes.get(timeframe)
        return found if found is not None else self._closes.setdefault(timeframe, self.frame(timeframe).close_ms)

    def minutes_of(self, timeframe: str, bars: Ints) -> Ints:
        """Indexes of the 1 m bars with whose close these bars of a timeframe are known."""
        if timeframe == "1m":
            return bars
        whole = self.window(timeframe).shared(
            ("minutes",), lambda: np.searchsorted(self.closes("1m"), self.closes(timeframe))
        )
        return np.asarray(whole[bars], dtype=np.int64)

    def window(self, timeframe: str, higher: str | None = None) -> Window:
        """The window over all bars of a timeframe. Its arrays are shared: read-only."""
        found = self._windows.get((timeframe, higher))
        if found is None:
            if higher is None:
                kept = _Kept(self.frame(timeframe))
                made = Window(self.frame(timeframe), kept.indicator, None, kept.shared)
            else:
                own = self.window(timeframe)
                made = Window(own.bars, own.indicator, self.window(higher), own.shared)
            found = self._windows.setdefault((timeframe, higher), made)
        return found

    def update(self, candle: Candle, closed: bool) -> tuple[tuple[str, Candle], ...]:
        """Move to the close of ``candle``; give the bars that closed with it, smallest first."""
        if not closed:
            return ()
        self._now = candle.open_ms + MINUTE_MS
        result = []
        for name, length in TIMEFRAMES.items():
            if self._now % length == 0 and (count := self._count(name)) and self.closes(name)[count - 1] == self._now:
                result.append((name, self.frame(name).candle(count - 1)))
        return tuple(result)

    def closed(self, timeframe: str, count: int) -> tuple[Candle, ...]:
        """The last ``count`` closed bars, oldest first; fewer when there are fewer."""
        end = self._count(timeframe)
        frame = self.frame(timeframe)
        return tuple(frame.candle(i) for i in range(max(0, end - count), end))

    def bars(self, timeframe: str, count: int) -> Bars:
        """The same as arrays."""
        end = self._count(timeframe)
        return self.frame(timeframe).slice(max(0, end - count), end)

    def running(self, timeframe: str) -> Candle | None:
        """None: nothing is known of a bar before its close."""
        return None

    def last_closed_ms(self, timeframe: str) -> int:
        """Close time of the newest closed bar, 0 when there is none."""
        count = self._count(timeframe)
        return int(self.closes(timeframe)[count - 1]) if count else 0

    def atr(self, timeframe: str, period: int) -> AtrReading | None:
        """Wilder's ATR as of the newest closed bar; None before ``period`` bars."""
        count = self._count(timeframe)
        if count < period:
            return None
        value = round(float(self.window(timeframe).indicator(Indicator.ATR, period)[count - 1]), ATR_DECIMALS)
        return AtrReading(value=value, as_of_ms=self.last_closed_ms(timeframe), bars=count)

    def values(self, timeframe: str, kind: Indicator, period: int, count: int) -> tuple[float, ...]:
        """An indicator as of each of the last ``count`` closed bars, oldest first, NaN before it was warm."""
        end = self._count(timeframe)
        return tuple(self.window(timeframe).indicator(kind, period)[max(0, end - count) : end].tolist())

    def load(self, candles: Sequence[Candle]) -> None:
        """Nothing: the history is already whole."""

    def _count(self, timeframe: str) -> int:
        return int(np.searchsorted(self.closes(timeframe), self._now, side="right"))


def warm_up_ms(strategy: Strategy, timeframe: str, values: Values) -> int:
    """How much history the strategy asks for before it decides anything, ms."""
    own, above = strategy.history(values)
    higher = strategy.higher(timeframe)
    return int(max(own * TIMEFRAMES[timeframe], above * TIMEFRAMES[higher] if higher is not None else 0))


def _unsound(scan: Scan, count: int) -> str:
    """What is wrong with a scan over ``count`` bars, or "". Raises whatever odd things in it raise."""
    lengths = {name: len(getattr(scan, name)) for name in Scan.__struct_fields__}
    if len(set(lengths.values())) > 1:
        return "its arrays differ in length: " + ", ".join(f"{name} {n}" for name, n in lengths.items())
    where, entries = scan.bars, scan.side != 0
    if len(where) and (where[0] < 0 or where[-1] >= count or bool((np.diff(where) <= 0).any())):
        return f"its bars are not rising indexes below {count}"
    if not bool(np.isin(scan.side, (-1, 0, 1)).all()):
        return "a side is none of -1, 0 and 1"
    if not bool(((scan.conviction >= 0) & (scan.conviction <= 1))[entries].all()):
        return "a conviction is not within 0 to 1"
    for name, prices in (("stop", scan.stop), ("target", scan.target)):
        if bool((prices[entries] <= 0).any()):
            return f"a {name} is no price above 0"
    return ""


def scan_of(strategy: Strategy, book: HistoryBook, timeframe: str, values: Values) -> Scan:
    """What the strategy says over the whole history, and nothing before it has the history that it asks for.

    Raises ``ConfigError`` when a person's own strategy fails; in a shipped one it is a defect of the product.
    """
    try:
        above = strategy.higher(timeframe)
        window = book.window(timeframe, above)
        scan = strategy.scan(window, values)
        count, higher_count = strategy.history(values)
        problem = _unsound(scan, len(window.bars))
    except (Exception, SystemExit) as error:
        if type(strategy).__module__.startswith("tui_trader."):
            raise
        raise ConfigError(f"{strategy.name} failed on the history: {words_of(error, strategy)}. Mend it.") from error
    if problem:
        raise ConfigError(f"{strategy.name} cannot be tested: {problem}. Mend its scan.")
    # Both counts only grow, so that what is too early is a beginning.
    early = count - 1
    if above is not None:
        early = max(early, int(np.searchsorted(window.higher_closed(), higher_count)))
    late = slice(int(np.searchsorted(scan.bars, early)), None)
    return Scan(
        bars=scan.bars[late],
        side=scan.side[late],
        conviction=scan.conviction[late],
        stop=scan.stop[late],
        target=scan.target[late],
    )


def day_volume(history: History) -> Floats:
    """Quote volume of the 24 h up to each bar's close, USDT; scaled up to a day while there is less history."""
    bars = history.bars
    total = np.concatenate(([0.0], np.cumsum(bars.volume * (bars.high + bars.low + bars.close) / 3)))
    first = np.searchsorted(bars.open_ms, bars.open_ms + MINUTE_MS - DAY_MS)
    seen = np.minimum(bars.open_ms + MINUTE_MS - bars.open_ms[0], DAY_MS)
    result: Floats = (total[1:] - total[first]) * (DAY_MS / seen)
    return result
