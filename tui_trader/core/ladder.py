"""The TP/SL ladder: prices from ATR, on the tick and away from risk; quantities without dust."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from tui_trader.core.instruments import Instrument
from tui_trader.core.settings import LadderSettings
from tui_trader.core.types import ZERO, Leg, Side, dec


class LadderError(ValueError):
    """The input gives no ladder; the message says why."""


class Target(msgspec.Struct, frozen=True):
    """One take-profit rung: price in quote, quantity in base, its part of the whole."""

    leg: Leg
    price: Decimal
    qty: Decimal
    fraction: Decimal


class Ladder(msgspec.Struct, frozen=True):
    """All levels of one position. ``risk_distance`` is R in quote; ``runner_qty`` is left to the trailing stop."""

    side: Side
    entry: Decimal
    qty: Decimal
    stop: Decimal
    targets: tuple[Target, ...]
    runner_qty: Decimal
    be_trigger: Decimal
    be_price: Decimal
    trail_from: Decimal
    trail_distance: Decimal
    risk_distance: Decimal
    atr: float
    why: tuple[str, ...]
    merged: tuple[str, ...]


class _Distances(msgspec.Struct, frozen=True):
    stop: Decimal
    tp1: Decimal
    tp2: Decimal
    be: Decimal
    trail: Decimal
    why: tuple[str, ...]


def build_ladder(
    *,
    side: Side,
    entry: Decimal,
    qty: Decimal,
    atr: float,
    instrument: Instrument,
    settings: LadderSettings,
    stop: Decimal | None = None,
    target: Decimal | None = None,
) -> Ladder:
    """The ladder of ``qty`` entered at ``entry``.

    Distances are multiples of ATR. A strategy's ``stop`` replaces the ATR stop; a strategy's ``target`` becomes TP2 and
    TP1, break-even and the trailing distance keep their proportions to it. With ``fixed_sl_pct`` and ``fixed_tp_pct``
    set, percentages of the entry take the place of ATR, and a strategy's stop may be nearer than that but not wider.
    Raises ``LadderError`` for impossible input.
    """
    _check(side, entry, qty, atr, stop, target)
    d = _distances(side, entry, atr, settings, stop, target)
    sign = side.sign

    def level(distance: Decimal) -> Decimal:
        return instrument.round_away_from_risk(entry + sign * distance, side)

    stop_price = level(-d.stop)
    if stop_price <= 0:
        raise LadderError(f"the stop would be at {stop_price:f}: its distance exceeds the price")
    if (entry - stop_price) * sign <= 0:
        raise LadderError(f"a stop at {stop_price} does not lie on the losing side of the entry {entry}")
    prices = (level(d.tp1), level(d.tp2))
    if min(prices) <= 0:
        raise LadderError(f"targets {prices[0]:f}, {prices[1]:f} are not positive: the distances exceed the price")
    fractions = (dec(settings.partial_close_tp1), dec(settings.partial_close_tp2))
    targets, runner, merged = split_quantities(qty, fractions, instrument, prices)
    offset = entry * dec(settings.break_even_offset_bps) / 10_000
    return Ladder(
        side=side,
        entry=entry,
        qty=qty,
        stop=stop_price,
        targets=targets,
        runner_qty=runner,
        be_trigger=level(d.be),
        be_price=level(offset),
        trail_from=prices[1],
        trail_distance=max(instrument.tick_size, instrument.near_price(d.trail)),
        risk_distance=abs(entry - stop_price),
        atr=atr,
        why=d.why,
        merged=merged,
    )


def _check(side: Side, entry: Decimal, qty: Decimal, atr: float, stop: Decimal | None, target: Decimal | None) -> None:
    if not entry.is_finite() or entry <= 0:
        raise LadderError(f"the entry must be a positive price, got {entry}")
    if not qty.is_finite() or qty < 0:
        raise LadderError(f"the quantity must not be negative, got {qty}")
    if not math.isfinite(atr) or atr <= 0:
        raise LadderError(f"ATR must be positive, got {atr}: not enough history, or stale")
    if stop is not None and (entry - stop) * side.sign <= 0:
        raise LadderError(f"the suggested stop {stop} is on the wrong side of the entry {entry}")
    if target is not None and (target - entry) * side.sign <= 0:
        raise LadderError(f"the suggested target {target} is on the wrong side of the entry {entry}")


def _distances(
    side: Side, entry: Decimal, atr: float, s: LadderSettings, stop: Decimal | None, target: Decimal | None
) -> _Distances:
    unit = dec(atr)
    stop_distance = unit * dec(s.atr_mult_sl)
    why = [f"ATR {atr:.5g}", f"SL {s.atr_mult_sl:g} ATR", f"TP {s.atr_mult_tp1:g} and {s.atr_mult_tp2:g} ATR"]
    if s.fixed_sl_pct:
        stop_distance = entry * dec(s.fixed_sl_pct) / 100
        why[1] = f"SL {s.fixed_sl_pct:g} % of entry"
    if stop is not None:
        by_strategy = abs(entry - stop)
        if not s.fixed_sl_pct or by_strategy <= stop_distance:
            stop_distance = by_strategy
            why[1] = f"SL by the strategy, {float(stop_distance) / atr:.2f} ATR"
    if s.fixed_tp_pct:
        unit = entry * dec(s.fixed_tp_pct) / 100 / dec(s.atr_mult_tp2)
        why[2] = f"TP2 {s.fixed_tp_pct:g} % of entry, the other levels in proportion"
    if target is not None:
        unit = abs(target - entry) / dec(s.atr_mult_tp2)
        why[2] = "TP2 by the strategy, the other levels in proportion"
    return _Distances(
        stop=stop_distance,
        tp1=unit * dec(s.atr_mult_tp1),
        tp2=unit * dec(s.atr_mult_tp2),
        be=unit * dec(s.atr_mult_be),
        trail=unit * dec(s.trail_dist_mult),
        why=tuple(why),
    )


def split_quantities(
    qty: Decimal, fractions: tuple[Decimal, Decimal], instrument: Instrument, prices: Sequence[Decimal]
) -> tuple[tuple[Target, ...], Decimal, tuple[str, ...]]:
    """Quantities of TP1, TP2 and the runner, floored to the step; they sum to ``qty`` exactly (I18).

    A leg under the venue's minimum merges into its neighbour: TP2 into the runner, TP1 into TP2. A runner under the
    minimum merges into the last target. Returns the targets, the runner's quantity and a sentence for each merge.
    """
    first, second = (instrument.floor_qty(qty * f) for f in fractions)
    merged: list[str] = []

    def enough(amount: Decimal, price: Decimal) -> bool:
        return instrument.tradeable_qty(amount, price)

    if not enough(second, prices[1]):
        if second > 0:
            merged.append(f"TP2 {second} is under the venue's minimum: left to the runner")
        second = ZERO
    if not enough(first, prices[0]):
        moved = first + second
        if enough(moved, prices[1]):
            merged.append(f"TP1 {first} is under the venue's minimum: joined to TP2")
            second = moved
        elif first > 0:
            merged.append(f"TP1 {first} is under the venue's minimum: left to the runner")
            second = ZERO
        first = ZERO
    runner = qty - first - second
    if runner > 0 and not enough(runner, prices[1]) and (first or second):
        merged.append(f"the runner {runner} is under the venue's minimum: joined to the last target")
        if second:
            second += runner
        else:
            first += runner
        runner = ZERO
    rows = ((Leg.TP1, prices[0], first), (Leg.TP2, prices[1], second))
    targets = tuple(Target(leg, price, amount, amount / qty) for leg, price, amount in rows if amount > 0)
    return targets, runner, tuple(merged)


def trail_stop(side: Side, best: Decimal, distance: Decimal, current_stop: Decimal, instrument: Instrument) -> Decimal:
    """Best price minus ``distance`` on the tick, or ``current_stop`` where that is tighter: it never loosens."""
    candidate = instrument.round_away_from_risk(best - side.sign * distance, side)
    if current_stop <= 0:
        return candidate
    return max(candidate, current_stop) if side is Side.LONG else min(candidate, current_stop)


def r_multiple(side: Side, entry: Decimal, price: Decimal, risk_distance: Decimal) -> float:
    """Distance from entry to ``price`` in multiples of R; 0 when R is unknown."""
    return float((price - entry) * side.sign / risk_distance) if risk_distance else 0.0
