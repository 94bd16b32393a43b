"""Candles of one symbol for every interval, from recorded history and live trades; all in ticks and lots."""

from bisect import bisect_left
from collections.abc import Callable, Sequence

from tui_trader.exchange.contract import CandleRow

MINUTE_MS = 60_000
DAY_MS = 86_400_000
INTERVALS: dict[str, int] = {
    "1m": MINUTE_MS,
    "3m": 3 * MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": 60 * MINUTE_MS,
    "2h": 120 * MINUTE_MS,
    "4h": 240 * MINUTE_MS,
    "6h": 360 * MINUTE_MS,
    "8h": 480 * MINUTE_MS,
    "12h": 720 * MINUTE_MS,
    "1d": DAY_MS,
    "3d": 3 * DAY_MS,
    "1w": 7 * DAY_MS,
}
HISTORY_DAYS = 45
"""How far back recorded candles are served."""
_WEEK_OFFSET_MS = 4 * DAY_MS
"""1970-01-01 was a Thursday; the venue's weeks open on Monday."""


class Candle:
    """One candle. Prices in ticks, volumes in lots, turnovers in ticks x lots."""

    __slots__ = (
        "buy_turnover",
        "buy_volume",
        "close",
        "first_trade",
        "high",
        "last_trade",
        "low",
        "open",
        "open_ms",
        "trades",
        "turnover",
        "volume",
    )

    def __init__(self, open_ms: int, price: int) -> None:
        self.open_ms = open_ms
        self.open = self.high = self.low = self.close = price
        self.volume = self.turnover = self.trades = self.buy_volume = self.buy_turnover = 0
        self.first_trade = self.last_trade = -1

    def copy_to(self, open_ms: int) -> "Candle":
        """Return a copy that opens at `open_ms`."""
        twin = Candle(open_ms, self.open)
        twin.merge(self)
        return twin

    def merge(self, later: "Candle") -> None:
        """Extend this candle by a later one."""
        self.high = max(self.high, later.high)
        self.low = min(self.low, later.low)
        self.close = later.close
        self.volume += later.volume
        self.turnover += later.turnover
        self.trades += later.trades
        self.buy_volume += later.buy_volume
        self.buy_turnover += later.buy_turnover
        if self.first_trade < 0:
            self.first_trade = later.first_trade
        self.last_trade = max(self.last_trade, later.last_trade)


def bucket(open_ms: int, interval: str) -> int:
    """Return the open time of the interval's candle that contains `open_ms`."""
    size = INTERVALS[interval]
    offset = _WEEK_OFFSET_MS if interval == "1w" else 0
    return (open_ms - offset) // size * size + offset


def from_row(row: CandleRow, tick: float, step: float) -> Candle:
    """Convert a recorded row to whole ticks and lots."""
    candle = Candle(int(row[0]), round(row[1] / tick))
    candle.high = round(row[2] / tick)
    candle.low = round(row[3] / tick)
    candle.close = round(row[4] / tick)
    unit = tick * step
    candle.volume = round(row[5] / step)
    candle.turnover = round(row[6] / unit)
    candle.trades = int(row[7])
    candle.buy_volume = round(row[8] / step)
    candle.buy_turnover = round(row[9] / unit)
    return candle


class CandleSeries:
    """Closed minutes, the running minute, and lazily kept aggregates of the longer intervals.

    `load(start_ms, end_ms)` returns recorded minutes opening in [start_ms, end_ms). The last day is loaded at once,
    older ones when somebody asks for them.
    """

    def __init__(self, start_ms: int, price: int, load: Callable[[int, int], list[Candle]]) -> None:
        first = start_ms // MINUTE_MS * MINUTE_MS
        self._load = load
        self._oldest_ms = first - DAY_MS - 60 * MINUTE_MS
        self._horizon_ms = first - HISTORY_DAYS * DAY_MS
        self.minutes: list[Candle] = load(self._oldest_ms, first)
        self.running = Candle(first, self.minutes[-1].close if self.minutes else price)
        self._aggregates: dict[str, list[Candle]] = {}
        self._day: tuple[Candle, int] | None = None

    def ensure(self, since_ms: int) -> None:
        """Load recorded minutes back to `since_ms`, at most HISTORY_DAYS before the start."""
        since = max(since_ms // MINUTE_MS * MINUTE_MS, self._horizon_ms)
        if since < self._oldest_ms:
            self.minutes[:0] = self._load(since, self._oldest_ms)
            self._oldest_ms = since
            self._aggregates.clear()

    def trade(self, price: int, lots: int, is_buy: bool, trade_id: int) -> None:
        """Book one trade into the running minute."""
        candle = self.running
        if candle.trades == 0:
            candle.open = candle.high = candle.low = price
            candle.first_trade = trade_id
        elif price > candle.high:
            candle.high = price
        elif price < candle.low:
            candle.low = price
        candle.close = price
        turnover = price * lots
        candle.volume += lots
        candle.turnover += turnover
        candle.trades += 1
        candle.last_trade = trade_id
        if is_buy:
            candle.buy_volume += lots
            candle.buy_turnover += turnover

    def roll(self, now_ms: int) -> list[Candle]:
        """Close every minute that has ended by `now_ms` and return them, oldest first."""
        closed: list[Candle] = []
        while self.running.open_ms + MINUTE_MS <= now_ms:
            candle = self.running
            closed.append(candle)
            self.minutes.append(candle)
            for interval, rows in self._aggregates.items():
                _extend(rows, candle, interval)
            self.running = Candle(candle.open_ms + MINUTE_MS, candle.close)
            self._day = None
        return closed

    def rows(self, interval: str, since_ms: int) -> Sequence[Candle]:
        """Return the candles of an interval from about `since_ms`, oldest first; the last one is still running."""
        self.ensure(bucket(max(since_ms, self._horizon_ms), interval))
        if interval == "1m":
            return [*self.minutes, self.running]
        rows, current = self._closed(interval), self.current(interval)
        if rows and rows[-1].open_ms == current.open_ms:
            return [*rows[:-1], current]
        return [*rows, current]

    def current(self, interval: str) -> Candle:
        """Return the running candle of an interval."""
        running = self.running
        open_ms = bucket(running.open_ms, interval)
        self.ensure(open_ms)
        if interval == "1m":
            return running
        rows = self._closed(interval)
        if not rows or rows[-1].open_ms != open_ms:
            return running.copy_to(open_ms)
        whole = rows[-1].copy_to(open_ms)
        if running.trades:
            whole.merge(running)
        return whole

    def closed_at(self, interval: str, open_ms: int) -> Candle | None:
        """Return the closed candle of `interval` that opened at `open_ms`, or None."""
        rows = self.minutes if interval == "1m" else self._closed(interval)
        index = bisect_left(rows, open_ms, key=lambda candle: candle.open_ms)
        return rows[index] if index < len(rows) and rows[index].open_ms == open_ms else None

    def _closed(self, interval: str) -> list[Candle]:
        """Return the aggregate of closed minutes; its last row may be incomplete."""
        rows = self._aggregates.get(interval)
        if rows is None:
            rows = []
            for minute in self.minutes:
                _extend(rows, minute, interval)
            self._aggregates[interval] = rows
        return rows

    def day(self) -> Candle:
        """Return the rolling 24 h as one candle that opens at the first minute counted."""
        if self._day is None or self._day[1] != self.running.open_ms:
            since = self.running.open_ms + MINUTE_MS - DAY_MS
            first = bisect_left(self.minutes, since, key=lambda candle: candle.open_ms)
            rows = self.minutes[first:] or [self.running]
            whole = rows[0].copy_to(rows[0].open_ms)
            for candle in rows[1:]:
                whole.merge(candle)
            if rows[0] is self.running:
                return whole
            self._day = (whole, self.running.open_ms)
        total = self._day[0].copy_to(self._day[0].open_ms)
        if self.running.trades:
            total.merge(self.running)
        return total


def _extend(rows: list[Candle], minute: Candle, interval: str) -> None:
    open_ms = bucket(minute.open_ms, interval)
    if rows and rows[-1].open_ms == open_ms:
        rows[-1].merge(minute)
    else:
        rows.append(minute.copy_to(open_ms))
