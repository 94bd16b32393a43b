"""Recorded 1-minute candles as an endless tape of ticks and lots, and the funding rates beside them.

The recording is finite. Beyond its end the tape goes on from the beginning, all prices scaled by (last close / first
open) per turn, so that the price is continuous; before its beginning likewise with the inverse. Indexes on a tape are
minutes since the start of the recording; any integer is valid.
"""

from __future__ import annotations

import functools
import io
from bisect import bisect_left
from importlib import resources
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from tui_trader.exchange.contract import SymbolSpec
from tui_trader.exchange.specs import RECORDED, SPECS, TapeSource

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
MIN_LOTS: Final = 4
"""Fewest lots a minute trades, so that open, high, low and close can each be traded once."""
HISTORY_BEFORE_MIN: Final = 2 * 1440
"""Recorded minutes that lie before the earliest start of a run (48 h)."""
RECORDED_AFTER_MIN: Final = 2 * 1440
"""Recorded minutes that lie after the latest start of a run (48 h)."""
_CANDIDATES: Final = 8
_LIVELY_MIN: Final = 240


class TapeMinute(msgspec.Struct, frozen=True, gc=False):
    """One minute of a tape: prices in ticks, volume in lots."""

    open: int
    high: int
    low: int
    close: int
    volume: int


class Tape:
    """Candles of one symbol on its own tick and lot grid, endless in both directions (see the module's docstring)."""

    def __init__(self, prices: tuple[Ints, Ints, Ints, Ints], volume: Ints) -> None:
        """Take open, high, low and close in ticks and volume in lots, one row per recorded minute."""
        self._open, self._high, self._low, self._close = (p.tolist() for p in prices)
        self._volume = volume.tolist()
        self.minutes = len(self._open)
        self.mean_ticks = float(prices[3].mean())
        self.mean_lots = float(volume.mean())
        self.mean_tick_lots = float((prices[3] * volume).mean())
        self._turn = self._close[-1] / self._open[0]

    def at(self, index: int) -> TapeMinute:
        """Return the minute at `index` (minutes since the recording's start, any integer)."""
        turn, i = divmod(index, self.minutes)
        if turn == 0:
            return TapeMinute(self._open[i], self._high[i], self._low[i], self._close[i], self._volume[i])
        scale = self._turn**turn
        return TapeMinute(
            max(1, round(self._open[i] * scale)),
            max(1, round(self._high[i] * scale)),
            max(1, round(self._low[i] * scale)),
            max(1, round(self._close[i] * scale)),
            self._volume[i],
        )


class Recording(msgspec.Struct, frozen=True):
    """One packaged recording: prices in USDT, volume in base units, funding as fractions."""

    start_ms: int
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    funding_ms: list[int]
    funding_rate: list[float]


@functools.cache
def load_recording(symbol: str) -> Recording:
    """Read a packaged recording; raises FileNotFoundError when there is none for `symbol`."""
    return decode_recording(resources.files("tui_trader.exchange").joinpath("data", f"{symbol}.npz").read_bytes())


def decode_recording(raw: bytes) -> Recording:
    """A recording in the compact format (whole ticks and lots, see ``data/NOTICE.md``)."""
    with np.load(io.BytesIO(raw), allow_pickle=False) as z:
        tick = 10.0 ** -int(z["price_decimals"])
        lot = 10.0 ** -int(z["quantity_decimals"])
        gap, body = z["gap"].astype(np.int64), z["body"].astype(np.int64)
        closes = int(z["first_open"]) + np.cumsum(gap + body)
        opens = closes - body
        highs = np.maximum(opens, closes) + z["upper"]
        lows = np.minimum(opens, closes) - z["lower"]
        return Recording(
            start_ms=int(z["start_ms"]),
            open=opens * tick,
            high=highs * tick,
            low=lows * tick,
            close=closes * tick,
            volume=z["volume"].astype(np.int64) * lot,
            funding_ms=z["funding_time_ms"].tolist(),
            funding_rate=(z["funding_rate_1e8"] / 1e8).tolist(),
        )


def _prices(recording: Recording, source: TapeSource) -> tuple[Floats, Floats, Floats, Floats]:
    if source.price is None:
        return recording.open, recording.high, recording.low, recording.close
    if source.mirrored:
        scale = source.price * recording.open[0]
        return scale / recording.open, scale / recording.low, scale / recording.high, scale / recording.close
    factor = source.price / recording.open[0]
    return (
        recording.open * factor,
        recording.high * factor,
        recording.low * factor,
        recording.close * factor,
    )


def build_tape(spec: SymbolSpec, source: TapeSource) -> Tape:
    """Bring the recording that `source` names onto the tick and lot grid of `spec`."""
    recording = load_recording(source.recording)
    prices = _prices(recording, source)
    notional = recording.volume * recording.close
    if source.daily_volume is not None:
        notional = notional * (source.daily_volume / (1440 * notional.mean()))
    base = notional / prices[3]
    tick, lot = float(spec.tick_size), float(spec.step_size)
    o, h, low, c = (np.maximum(1, np.rint(p / tick)).astype(np.int64) for p in prices)
    return Tape((o, h, low, c), np.maximum(MIN_LOTS, np.rint(base / lot)).astype(np.int64))


def start_index(seed: int) -> int:
    """Return the recorded minute at which a run with this seed starts.

    Of a few minutes drawn with the seed the one followed by the liveliest four hours is taken, so that a short
    demonstration is not spent in the recording's dead of night. It does not depend on the wall clock: the same seed
    gives the same market whenever it is started.
    """
    recordings = [load_recording(symbol) for symbol in RECORDED]
    minutes = len(recordings[0].close)
    rng = np.random.default_rng([seed & 0xFFFFFFFF, 0x57A7])
    drawn = rng.integers(HISTORY_BEFORE_MIN, minutes - RECORDED_AFTER_MIN, size=_CANDIDATES).tolist()

    def liveliness(index: int) -> float:
        span = slice(index, index + _LIVELY_MIN)
        return float(np.mean([r.high[span].max() / r.low[span].min() for r in recordings]))

    return int(max(drawn, key=liveliness))


class FundingTape:
    """Funding rates of one symbol, mapped from the recording to the venue's clock.

    Venue funding times are UTC multiples of the interval. Each takes the rate of the recorded funding nearest to the
    same place on the tape. Between two fundings the predicted rate runs in a straight line from the one to the other.
    """

    def __init__(self, symbol: str, source: TapeSource, tape_zero_ms: int) -> None:
        """`tape_zero_ms` is the venue time of tape index 0."""
        recording = load_recording(source.recording)
        self.interval_ms = SPECS[symbol].funding_interval_hours * HOUR_MS
        self._zero = tape_zero_ms
        self._fixed = source.funding_rate
        self._span = len(recording.close) * MINUTE_MS
        self._times = [t - recording.start_ms for t in recording.funding_ms]
        self._rates = recording.funding_rate

    def next_ms(self, now_ms: int) -> int:
        """First funding time after `now_ms`."""
        return (now_ms // self.interval_ms + 1) * self.interval_ms

    def settled_rate(self, funding_ms: int) -> float:
        """Rate charged at a funding time, a signed fraction of notional."""
        if self._fixed is not None:
            return self._fixed
        at = (funding_ms - self._zero) % self._span
        i = bisect_left(self._times, at)
        near = range(max(0, i - 1), min(len(self._times), i + 1))
        return self._rates[min(near, key=lambda k: abs(self._times[k] - at))]

    def predicted_rate(self, now_ms: int) -> float:
        """Rate the running interval would settle at, as seen at `now_ms`; equals the settled rate at a funding time."""
        end = self.next_ms(now_ms)
        before, after = self.settled_rate(end - self.interval_ms), self.settled_rate(end)
        return before + (after - before) * (now_ms - end + self.interval_ms) / self.interval_ms

    def settled_between(self, start_ms: int, end_ms: int) -> list[int]:
        """Funding times in [start_ms, end_ms]."""
        first = -(-start_ms // self.interval_ms) * self.interval_ms
        return list(range(first, end_ms + 1, self.interval_ms))
