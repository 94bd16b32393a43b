"""One minute of a symbol's market, worked out ahead: the path of the best prices and every taker.

The path starts at the recorded open and ends at the recorded close; in between it touches exactly the recorded high and
low, in an order drawn with the seed (a rising candle usually makes its low first). Between those points it is a
Brownian bridge over the steps at which the best price moves at all, reflected at high and low; at the other steps it
rests, as recorded books do. The takers' quantities sum to the recorded volume and every one trades within [low, high].

A minute depends on (seed, symbol, tape index) only: not on speed, on how it is stepped through, on other minutes or on
participants' orders.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

import msgspec
import numpy as np

from tui_trader.exchange import calibration as cal
from tui_trader.exchange.contract import STEP_MS
from tui_trader.exchange.history import MINUTE_MS, Ints, TapeMinute

STEPS: Final = MINUTE_MS // STEP_MS
"""Steps in a minute."""
_LOW_FIRST_WHEN_RISING: Final = 0.7
_MAX_MOVE_PROBABILITY: Final = 0.6
_RANGE_TO_SIGMA: Final = 1.6
"""Mean range of a Brownian motion in units of its standard deviation at the end: sqrt(8/pi) = 1.596."""
_SIDE_BIAS: Final = 0.35
CENTRED_FROM_TICKS: Final = 9
"""From this spread on the recorded price is the mid, and trades print half a spread away from it."""

Taker = tuple[bool, int]


class Shape(msgspec.Struct, frozen=True):
    """What a symbol's minutes have in common."""

    seed: int
    symbol: str
    usdt_per_tick_lot: float
    """Notional of one lot at a price of one tick."""
    mean_lots: float
    """Mean volume of a minute."""
    spread_bps: float
    """Usual spread; at least one tick."""

    def spread_ticks(self, price: int) -> int:
        """Usual spread at a price in ticks."""
        return max(1, round(price * self.spread_bps / 10_000))

    def key(self) -> list[int]:
        """Seed words of this symbol's random numbers."""
        return [self.seed & 0xFFFFFFFFFFFFFFFF, zlib.crc32(self.symbol.encode())]


class MinutePlan(msgspec.Struct, frozen=True):
    """Best prices after the quotes of each step are set, and the takers that follow them."""

    bids: list[int]
    asks: list[int]
    takers: list[list[Taker]]
    noise: list[float]
    """Standard normal numbers for the quantities that are quoted in this minute."""


def takers_in(minute: TapeMinute, shape: Shape) -> int:
    """Usual number of takers in a minute of this volume."""
    notional = minute.volume * minute.close * shape.usdt_per_tick_lot
    low, high = cal.TAKERS_BOUNDS
    count = cal.TAKERS_PER_MINUTE * (notional / 1e6) ** cal.TAKERS_EXPONENT
    return int(min(minute.volume, max(low, min(high, round(count)))))


def buy_share(minute: TapeMinute) -> float:
    """Share of the volume that buyers take: a half, more in a minute that closes near its high."""
    span = minute.high - minute.low
    return 0.5 + _SIDE_BIAS * (minute.close - minute.open) / span if span else 0.5


def edge_sides(shape: Shape, index: int) -> tuple[bool, bool]:
    """Sides (is_buy) of the first and the last taker of a minute in a market with a wide spread."""
    bits = zlib.crc32(f"{shape.symbol}:{index}".encode())
    return bool(bits & 1), bool(bits & 2)


class _Path(msgspec.Struct, frozen=True):
    moves: dict[int, int]
    """Step → traded price, for the first step and each at which the price changes."""
    essential: list[int]
    """Steps at which open, high, low and close must trade."""
    extremes: dict[int, bool]
    """Step at which the high (True) or the low (False) is made."""


def _extremes(minute: TapeMinute, both: bool, rng: np.random.Generator) -> dict[int, bool]:
    """Steps that make the high (True) and the low (False); without `both` only where open and close do not."""
    first, second = sorted(rng.choice(STEPS - 2, size=2, replace=False).tolist())
    rising = minute.close >= minute.open
    low_first = rng.random() < (_LOW_FIRST_WHEN_RISING if rising else 1 - _LOW_FIRST_WHEN_RISING)
    order = (False, True) if low_first else (True, False)
    wanted = {
        True: both or minute.high > max(minute.open, minute.close),
        False: both or minute.low < min(minute.open, minute.close),
    }
    steps = (first + 1, second + 1)
    return {step: is_high for step, is_high in zip(steps, order, strict=True) if wanted[is_high]}


def _path(minute: TapeMinute, mean_lots: float, both: bool, rng: np.random.Generator) -> _Path:
    extremes = _extremes(minute, both, rng)
    anchors = {0: minute.open, STEPS - 1: minute.close}
    anchors.update({step: minute.high if is_high else minute.low for step, is_high in extremes.items()})
    busy = (minute.volume / mean_lots) ** 0.5
    chance = min(_MAX_MOVE_PROBABILITY, cal.MOVE_PROBABILITY * max(1.0, busy))
    mask = rng.random(STEPS) < chance
    mask[list(anchors)] = True
    steps: Ints = np.flatnonzero(mask)
    at = np.arange(len(steps))
    pins = sorted(anchors)
    pin_at = np.searchsorted(steps, pins)
    walk = np.cumsum(rng.standard_normal(len(steps)))
    sigma = (minute.high - minute.low) / (_RANGE_TO_SIGMA * len(steps) ** 0.5)
    bridge = sigma * (walk - np.interp(at, pin_at, walk[pin_at]))
    raw = bridge + np.interp(at, pin_at, [anchors[p] for p in pins])
    raw = minute.low + np.abs(raw - minute.low)
    raw = minute.high - np.abs(minute.high - raw)
    prices = np.rint(np.clip(raw, minute.low, minute.high)).astype(np.int64).tolist()
    moves: dict[int, int] = {}
    last = None
    for step, price in zip(steps.tolist(), prices, strict=True):
        if price != last:
            moves[step] = last = price
    return _Path(moves, pins, extremes)


def _lots(volume: int, count: int, rng: np.random.Generator) -> list[int]:
    """Split a volume into `count` heavy-tailed parts of at least one lot each."""
    weights = np.exp(cal.TAKER_LOG_SIGMA * rng.standard_normal(count))
    parts = 1 + np.floor(weights / weights.sum() * (volume - count)).astype(np.int64)
    parts[int(parts.argmax())] += volume - int(parts.sum())
    return parts.tolist()  # type: ignore[no-any-return]  # numpy's stubs do not say what the list holds


def _schedule(minute: TapeMinute, path: _Path, shape: Shape, rng: np.random.Generator) -> list[int]:
    """Number of takers of each step: at least one wherever a price must trade, the rest anywhere."""
    must = {*path.moves, *path.essential}
    if len(must) > minute.volume:
        must = set(path.essential)
    total = max(takers_in(minute, shape), len(must))
    counts = np.bincount(rng.integers(0, STEPS, size=total - len(must)), minlength=STEPS)
    counts[list(must)] += 1
    return counts.tolist()  # type: ignore[no-any-return]  # numpy's stubs do not say what the list holds


def _quotes(
    path: _Path, minute: TapeMinute, shape: Shape, rng: np.random.Generator
) -> tuple[list[int], list[int], list[bool]]:
    """Best bid, best ask and active side (is_buy) of each step.

    The active side is the one that trades the path's price: the price of a rise is the ask, that of a fall the bid,
    and while the path rests so does the book.
    """
    usual = shape.spread_ticks(minute.open)
    bids: list[int] = []
    asks: list[int] = []
    actives: list[bool] = []
    active = bool(rng.random() < 0.5)
    wide = rng.random(STEPS).tolist()
    bid = ask = 0
    last: int | None = None
    for step in range(STEPS):
        price = path.moves.get(step)
        if price is not None:
            spread = usual if wide[step] >= cal.WIDE_SPREAD_SHARE else 2 * usual
            active = active if last is None else price > last
            bid, ask = (price - spread, price) if active else (price, price + spread)
            last = price
        bids.append(max(1, bid))
        asks.append(ask)
        actives.append(active)
    return bids, asks, actives


def _centred_quotes(
    path: _Path, minute: TapeMinute, shape: Shape, index: int
) -> tuple[list[int], list[int], list[bool]]:
    """As `_quotes`, for a wide spread: the path is the mid."""
    below, above = half_spread(minute, shape)
    first, final = edge_sides(shape, index)
    bids: list[int] = []
    asks: list[int] = []
    price = minute.open
    for step in range(STEPS):
        price = path.moves.get(step, price)
        bids.append(price - below)
        asks.append(price + above)
    actives = [path.extremes.get(step, first) for step in range(STEPS)]
    actives[0], actives[-1] = first, final
    return bids, asks, actives


def half_spread(minute: TapeMinute, shape: Shape) -> tuple[int, int]:
    """Ticks from the mid down to the bid and up to the ask in a market with a wide spread."""
    spread = shape.spread_ticks(minute.open)
    return spread // 2, spread - spread // 2


def is_centred(minute: TapeMinute, shape: Shape) -> bool:
    """Whether the spread is too wide for the recorded price to be one of the best prices."""
    return shape.spread_ticks(minute.open) >= CENTRED_FROM_TICKS


def _sides(
    counts: list[int], actives: list[bool], forced: set[int], share: float, rng: np.random.Generator
) -> Iterator[list[bool]]:
    """Sides of the takers of each step, in runs; the first of a forced step and the very last take the active side."""
    draws = iter(rng.random(2 * sum(counts)).tolist())
    side = actives[0]
    for step, count in enumerate(counts):
        sides: list[bool] = []
        for k in range(count):
            keep, buy = next(draws), next(draws)
            if keep >= cal.SAME_SIDE_PROBABILITY:
                side = buy < share
            if (k == 0 and step in forced) or (step == STEPS - 1 and k == count - 1):
                side = actives[step]
            sides.append(side)
        yield sides


def plan_minute(minute: TapeMinute, index: int, shape: Shape) -> MinutePlan:
    """Work out the minute at tape index `index`."""
    rng = np.random.default_rng([*shape.key(), index])
    centred = is_centred(minute, shape)
    path = _path(minute, shape.mean_lots, centred, rng)
    if centred:
        bids, asks, actives = _centred_quotes(path, minute, shape, index)
    else:
        bids, asks, actives = _quotes(path, minute, shape, rng)
    counts = _schedule(minute, path, shape, rng)
    lots = iter(_lots(minute.volume, sum(counts), rng))
    forced = {*path.moves, *path.extremes}
    takers: list[list[Taker]] = []
    for step, sides in enumerate(_sides(counts, actives, forced, buy_share(minute), rng)):
        can_buy = centred or asks[step] <= minute.high
        can_sell = centred or bids[step] >= minute.low
        takers.append([((buy and can_buy) or not can_sell, next(lots)) for buy in sides])
    return MinutePlan(bids, asks, takers, rng.standard_normal(512).tolist())
