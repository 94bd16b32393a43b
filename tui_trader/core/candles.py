"""Candles of one symbol: 1 m candles in, every timeframe out, each bar visible at its close and not before."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from enum import StrEnum
from itertools import pairwise

from tui_trader.core.events import Candle
from tui_trader.core.indicators import AtrReading, Ema, WilderAdx, WilderAtr, WilderRsi
from tui_trader.core.types import DAY_MS, HOUR_MS, MINUTE_MS

TIMEFRAMES: dict[str, int] = {
    "1m": MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "1h": HOUR_MS,
    "4h": 4 * HOUR_MS,
    "1d": DAY_MS,
}
"""Length of each timeframe in ms; buckets start at multiples of the length since the epoch (UTC)."""

ATR_DECIMALS = 8
"""To so many decimals the ladder's ATR is rounded, so that the last bits of an average never move a stop by a tick."""

_HIGHER = tuple((name, length) for name, length in TIMEFRAMES.items() if length > MINUTE_MS)
KEPT_MINUTES = 1_500
KEPT_BARS = 500
KEPT: dict[str, int] = {name: KEPT_MINUTES if name == "1m" else KEPT_BARS for name in TIMEFRAMES}
"""How many closed bars of each timeframe a session has at hand."""
_SLACK = 250


class Indicator(StrEnum):
    """Indicators that a candle book can follow from bar to bar."""

    ATR = "atr"
    EMA = "ema"
    RSI = "rsi"
    ADX = "adx"
    DIRECTION = "direction"
    """+DI − −DI of the ADX."""


def _stepper(kind: Indicator, period: int) -> Callable[[Candle], float | None]:
    """What turns the next closed bar into the indicator's value as of its close."""
    if kind is Indicator.ATR:
        atr = WilderAtr(period)
        return lambda bar: atr.update(bar.high, bar.low, bar.close)
    if kind is Indicator.EMA:
        ema = Ema(period)
        return lambda bar: ema.update(bar.close)
    if kind is Indicator.RSI:
        rsi = WilderRsi(period)
        return lambda bar: rsi.update(bar.close)
    adx = WilderAdx(period)

    def step(bar: Candle) -> float | None:
        reading = adx.update(bar.high, bar.low, bar.close)
        if reading is None:
            return None
        return reading.adx if kind is Indicator.ADX else reading.plus_di - reading.minus_di

    return step


class _Track:
    """One indicator of one timeframe: its values beside the kept bars, NaN before it is warm."""

    __slots__ = ("bars", "step", "values")

    def __init__(self, kind: Indicator, period: int, bars: Sequence[Candle]) -> None:
        self.step = _stepper(kind, period)
        self.values: list[float] = []
        self.bars = 0
        for bar in bars:
            self.add(bar)

    def add(self, bar: Candle) -> None:
        value = self.step(bar)
        self.values.append(math.nan if value is None else value)
        self.bars += 1


def sane(candle: Candle) -> bool:
    """Whether a candle can be true: finite positive prices, high and low around open and close, volume ≥ 0."""
    prices = (candle.open, candle.high, candle.low, candle.close)
    if not all(math.isfinite(price) and price > 0 for price in prices):
        return False
    if not math.isfinite(candle.volume) or candle.volume < 0:
        return False
    return candle.low <= min(candle.open, candle.close) and candle.high >= max(candle.open, candle.close)


class _Bucket:
    """A higher-timeframe bar being built; ``minutes`` counts the closed 1 m candles in it."""

    __slots__ = ("bar", "minutes")

    def __init__(self, open_ms: int, first: Candle) -> None:
        self.bar = Candle(open_ms, first.open, first.high, first.low, first.close, first.volume)
        self.minutes = 1

    def add(self, candle: Candle) -> None:
        self.bar = _joined(self.bar, candle)
        self.minutes += 1


def _joined(bar: Candle, candle: Candle) -> Candle:
    high, low = max(bar.high, candle.high), min(bar.low, candle.low)
    return Candle(bar.open_ms, bar.open, high, low, candle.close, bar.volume + candle.volume)


class CandleBook:
    """All candles of one symbol.

    A minute that the stream did not deliver is a gap: higher bars that contain it stay invisible and
    ``needs_backfill`` is True until ``load`` covered that time. A gap that is still there after a load which spans it
    is one of the venue itself; then the bar is what the venue's remaining minutes give.
    Bounded: at least 1500 candles of 1 m and 500 bars of each other timeframe are kept.
    """

    def __init__(self, symbol: str = "") -> None:
        self.symbol = symbol
        self.needs_backfill = False
        self._bars: dict[str, list[Candle]] = {name: [] for name in TIMEFRAMES}
        self._building: dict[str, _Bucket] = {}
        self._running: Candle | None = None
        self._gaps: list[tuple[int, int]] = []
        self._confirmed: list[tuple[int, int]] = []
        self._tracks: dict[tuple[str, Indicator, int], _Track] = {}
        self._reached: dict[str, int] = {}

    @property
    def gaps(self) -> tuple[tuple[int, int], ...]:
        """Missing minutes as (first missing open, next present open), ms, oldest first, within the kept 1 m candles."""
        return tuple(sorted(self._gaps + self._confirmed))

    @property
    def missing(self) -> int:
        """How many minutes the stream did not deliver that are still to be loaded."""
        return sum(end - start for start, end in self._gaps) // MINUTE_MS

    def load(self, candles: Sequence[Candle]) -> None:
        """Merge closed 1 m history, in any order; idempotent; an impossible candle is left out."""
        usable = {candle.open_ms: candle for candle in candles if candle.open_ms % MINUTE_MS == 0 and sane(candle)}
        if not usable:
            return
        minutes = {candle.open_ms: candle for candle in self._bars["1m"]}
        expected = self._next_open()
        minutes.update(usable)
        merged = [minutes[key] for key in sorted(minutes)]
        span = (min(usable), max(usable) + MINUTE_MS)
        if self._running is not None and self._running.open_ms <= merged[-1].open_ms:
            self._running = None
        self._find_gaps(merged, span, expected)
        self._rebuild(merged)

    def has_history(self, timeframe: str) -> bool:
        """Whether bars of a higher timeframe were loaded and nothing is missing since then."""
        return timeframe in self._reached

    def load_higher(self, timeframe: str, bars: Sequence[Candle]) -> None:
        """Take closed bars of a higher timeframe from before the kept minutes; what the minutes gave stays.

        Strategies on 1 h and above need more history than minutes can be fetched for. Idempotent; a bar that cannot be
        true, or that would close after the newest minute, is left out.
        """
        length = TIMEFRAMES[timeframe]
        known = self._bars[timeframe]
        minutes = self._bars["1m"]
        newest = minutes[-1].open_ms + MINUTE_MS if minutes else 0
        merged = {bar.open_ms: bar for bar in bars if bar.open_ms % length == 0 and sane(bar)}
        merged = {key: bar for key, bar in merged.items() if not newest or key + length <= newest}
        merged.update({bar.open_ms: bar for bar in known})
        self._bars[timeframe] = [merged[key] for key in sorted(merged)]
        for key in [key for key in self._tracks if key[0] == timeframe]:
            self._tracks[key] = _Track(*key[1:], self._bars[timeframe])
        self._reached[timeframe] = newest or self.last_closed_ms(timeframe)
        self._trim()

    def update(self, candle: Candle, closed: bool) -> tuple[tuple[str, Candle], ...]:
        """Take a running or closed 1 m candle from the stream; give the (timeframe, bar) it closed, smallest first.

        Duplicates and candles older than the newest closed one change nothing.
        """
        if candle.open_ms % MINUTE_MS or not sane(candle):
            return ()
        expected = self._next_open()
        if expected and candle.open_ms < expected:
            return ()
        if expected and candle.open_ms > expected:
            self._note_gap(expected, candle.open_ms)
        if not closed:
            self._running = candle
            return ()
        self._running = None
        return self._append(candle)

    def closed(self, timeframe: str, count: int) -> tuple[Candle, ...]:
        """The last ``count`` closed bars, oldest first; fewer when there are fewer."""
        bars = self._bars[timeframe]
        return tuple(bars[-count:]) if count > 0 else ()

    def running(self, timeframe: str) -> Candle | None:
        """The bar that is still open, from the closed minutes in it and the running one; None when nothing is known."""
        minute = self._running
        if timeframe == "1m":
            return minute
        length = TIMEFRAMES[timeframe]
        bucket = self._building.get(timeframe)
        if minute is None:
            return bucket.bar if bucket is not None and self._next_open() < bucket.bar.open_ms + length else None
        start = minute.open_ms - minute.open_ms % length
        if bucket is not None and bucket.bar.open_ms == start:
            return _joined(bucket.bar, minute)
        return Candle(start, minute.open, minute.high, minute.low, minute.close, minute.volume)

    def last_closed_ms(self, timeframe: str) -> int:
        """Close time (exclusive end) of the newest closed bar, 0 when there is none."""
        bars = self._bars[timeframe]
        return bars[-1].open_ms + TIMEFRAMES[timeframe] if bars else 0

    def atr(self, timeframe: str, period: int) -> AtrReading | None:
        """Wilder's ATR as of the newest closed bar; None before ``period`` bars. Fails on an unknown timeframe."""
        track = self._track(timeframe, Indicator.ATR, period)
        if not track.values or math.isnan(track.values[-1]):
            return None
        return AtrReading(
            value=round(track.values[-1], ATR_DECIMALS), as_of_ms=self.last_closed_ms(timeframe), bars=track.bars
        )

    def values(self, timeframe: str, kind: Indicator, period: int, count: int) -> tuple[float, ...]:
        """An indicator as of each of the last ``count`` closed bars, oldest first, NaN before it was warm.

        It remembers every bar since it was first asked for, or since the last ``load``, not only the kept ones.
        """
        values = self._track(timeframe, kind, period).values
        return tuple(values[-count:]) if count > 0 else ()

    def _track(self, timeframe: str, kind: Indicator, period: int) -> _Track:
        key = (timeframe, kind, period)
        track = self._tracks.get(key)
        if track is None:
            track = self._tracks[key] = _Track(kind, period, self._bars[timeframe])
        return track

    def _next_open(self) -> int:
        minutes = self._bars["1m"]
        known = minutes[-1].open_ms + MINUTE_MS if minutes else 0
        if self._gaps and self._gaps[-1][1] > known:
            return self._gaps[-1][1]
        return known

    def _note_gap(self, start: int, end: int) -> None:
        self.needs_backfill = True
        if self._gaps and self._gaps[-1][1] == start:
            start = self._gaps.pop()[0]
        self._gaps.append((start, end))

    def _append(self, candle: Candle) -> tuple[tuple[str, Candle], ...]:
        self._push("1m", candle)
        result = [("1m", candle)]
        end = candle.open_ms + MINUTE_MS
        for name, length in _HIGHER:
            bar = self._grow(name, length, candle)
            if end % length == 0 and bar is not None:
                self._push(name, bar)
                result.append((name, bar))
        self._trim()
        return tuple(result)

    def _grow(self, name: str, length: int, candle: Candle) -> Candle | None:
        """Add a minute to its bucket; the bar when the bucket ends whole with this minute."""
        start = candle.open_ms - candle.open_ms % length
        bucket = self._building.get(name)
        if bucket is None or bucket.bar.open_ms != start:
            bucket = self._building[name] = _Bucket(start, candle)
        else:
            bucket.add(candle)
        return bucket.bar if self._whole(bucket, length) else None

    def _whole(self, bucket: _Bucket, length: int) -> bool:
        start = bucket.bar.open_ms
        missing = length // MINUTE_MS - bucket.minutes
        for low, high in self._confirmed:
            missing -= max(0, min(high, start + length) - max(low, start)) // MINUTE_MS
        return missing <= 0

    def _push(self, name: str, bar: Candle) -> None:
        self._bars[name].append(bar)
        for (timeframe, _, _), track in self._tracks.items():
            if timeframe == name:
                track.add(bar)

    def _trim(self) -> None:
        for name, bars in self._bars.items():
            if len(bars) <= KEPT[name] + _SLACK:
                continue
            surplus = len(bars) - KEPT[name]
            del bars[:surplus]
            for key, track in self._tracks.items():
                if key[0] == name:
                    del track.values[:surplus]
        oldest = self._bars["1m"][0].open_ms if self._bars["1m"] else 0
        self._gaps = [gap for gap in self._gaps if gap[1] > oldest]
        self._confirmed = [gap for gap in self._confirmed if gap[1] > oldest]

    def _find_gaps(self, merged: list[Candle], span: tuple[int, int], expected: int) -> None:
        """Sort every hole into confirmed (inside a loaded span) or open (to be backfilled).

        One before the minutes that are kept anyway would never be loaded: it does not matter.
        """
        spans = [*self._confirmed, span]
        self._gaps, self._confirmed = [], []
        oldest = merged[-KEPT_MINUTES:][0].open_ms
        for before, after in pairwise(merged):
            start, end = before.open_ms + MINUTE_MS, after.open_ms
            if start == end or end <= oldest:
                continue
            held = self._confirmed if any(low <= start and end <= high for low, high in spans) else self._gaps
            held.append((start, end))
        newest = merged[-1].open_ms + MINUTE_MS
        if expected > newest:
            self._gaps.append((newest, expected))
        self.needs_backfill = bool(self._gaps)

    def _rebuild(self, minutes: list[Candle]) -> None:
        """Higher bars anew from ``minutes``; bars older than the first minute stay as they were."""
        first = minutes[0].open_ms
        kept = {name: [bar for bar in self._bars[name] if bar.open_ms < first] for name, _ in _HIGHER}
        self._bars = {"1m": minutes, **kept}
        self._building = {}
        for name, length in _HIGHER:
            self._rebuild_one(name, length, minutes)
            if name in self._reached and self._broken_since(name, length):
                del self._reached[name]
        self._tracks = {key: _Track(*key[1:], self._bars[key[0]]) for key in self._tracks}
        self._trim()

    def _broken_since(self, name: str, length: int) -> bool:
        """Whether bars are missing that closed after the timeframe's history was loaded."""
        reached = self._reached[name]
        return any(
            after.open_ms - before.open_ms != length and after.open_ms > reached
            for before, after in pairwise(self._bars[name])
        )

    def _rebuild_one(self, name: str, length: int, minutes: list[Candle]) -> None:
        bars = self._bars[name]
        newest_end = minutes[-1].open_ms + MINUTE_MS
        known = {bar.open_ms for bar in bars}
        bucket: _Bucket | None = None
        for candle in minutes:
            start = candle.open_ms - candle.open_ms % length
            if bucket is not None and bucket.bar.open_ms == start:
                bucket.add(candle)
                continue
            if bucket is not None and bucket.bar.open_ms not in known and self._whole(bucket, length):
                bars.append(bucket.bar)
            bucket = _Bucket(start, candle)
        if bucket is None:
            return
        self._building[name] = bucket
        ended = bucket.bar.open_ms + length <= newest_end
        if ended and bucket.bar.open_ms not in known and self._whole(bucket, length):
            bars.append(bucket.bar)
