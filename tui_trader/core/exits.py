"""How a running plan's exits move: levels on the real fill, break-even, quantities after fills, trailing.

All functions change only the plan they are given and return sentences for the log; placing and cancelling follows from
``oco.converge``.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from tui_trader.core.instruments import Instrument
from tui_trader.core.ladder import Ladder, build_ladder, trail_stop
from tui_trader.core.oco import Plan, PlanTarget, Stage
from tui_trader.core.settings import LadderSettings
from tui_trader.core.types import ZERO, Leg, Origin, Side, dec

WIDER = Decimal("1.1")
"""A stop so many times as far as the approved one is no matter of the fill's price."""


def plan_levels(plan: Plan, instrument: Instrument, settings: LadderSettings) -> list[str]:
    """Compute the ladder anew on the real average fill and the filled quantity.

    Levels moved by hand, at break-even or trailing stay where they are.
    """
    plan.ladder = _ladder(plan, instrument, settings, plan.stop_hint)
    if plan.stop_hint is None and 0 < plan.sized_distance * WIDER < plan.ladder.risk_distance:
        # Other settings since the entry was approved, by a reload or a restart: its size is that of the nearer stop.
        nearer = plan.avg_entry - plan.side.sign * plan.sized_distance
        ladder = _ladder(plan, instrument, settings, nearer)
        why = (ladder.why[0], "SL as far as when its size was approved", *ladder.why[2:])
        plan.ladder = msgspec.structs.replace(ladder, why=why)
    if not plan.initial_stop or plan.exited == 0 or plan.origin is not Origin.ADOPTED:
        plan.initial_stop = plan.ladder.stop
    if not (plan.stop_by_hand or plan.at_break_even or plan.trailing):
        plan.stop_price = plan.ladder.stop
    if not plan.targets_by_hand:
        done = {t.leg: t.done for t in plan.targets}
        plan.targets = [
            PlanTarget(leg=t.leg, price=t.price, qty=t.qty, done=done.get(t.leg, ZERO)) for t in plan.ladder.targets
        ]
    targets = ", ".join(f"{t.leg.name} {t.price}" for t in plan.targets)
    return [f"{plan.symbol}: levels: stop {plan.stop_price}, {targets}"]


def _ladder(plan: Plan, instrument: Instrument, settings: LadderSettings, stop: Decimal | None) -> Ladder:
    return build_ladder(
        side=plan.side,
        entry=plan.avg_entry,
        qty=plan.entered,
        atr=plan.atr,
        instrument=instrument,
        settings=settings,
        stop=stop,
        target=plan.target_hint,
    )


def protective_stop(side: Side, reference: Decimal, distance: Decimal, instrument: Instrument) -> Decimal:
    """A stop at ``distance`` from ``reference``, on the tick, away from risk and always on the losing side of it."""
    price = instrument.round_away_from_risk(reference - side.sign * distance, side)
    tick = instrument.tick_size
    if side is Side.LONG:
        return max(tick, min(price, instrument.floor_price(reference) - tick))
    return max(price, instrument.ceil_price(reference) + tick)


def tighter(side: Side, price: Decimal, than: Decimal) -> bool:
    """Whether a stop at ``price`` loses less than one at ``than`` (0 = none yet)."""
    return than == 0 or (price - than) * side.sign > 0


def on_price(
    plan: Plan, price: Decimal, instrument: Instrument, now: int, *, min_interval_ms: int = 0, step_ticks: int = 1
) -> list[str]:
    """Break-even and trailing, given the trigger price of the moment.

    ``min_interval_ms`` and ``step_ticks`` pace the trailing moves: each replaces an order at the venue.
    """
    ladder = plan.ladder
    if plan.stage is not Stage.OPEN or ladder is None or price <= 0:
        return []
    sign = plan.side.sign
    if plan.best == 0 or (price - plan.best) * sign > 0:
        plan.best = price
    notes: list[str] = []
    if not plan.at_break_even and not plan.stop_by_hand and _was_at_trigger(plan, ladder, price):
        notes += move_to_break_even(plan, instrument)
    if not plan.trailing and not _target_left(plan, Leg.TP2) and (price - ladder.trail_from) * sign >= 0:
        notes += start_trailing(plan)
    if plan.trailing and now - plan.trail_ms >= min_interval_ms:
        notes += _trail(plan, instrument, now, step_ticks)
    return notes


def _was_at_trigger(plan: Plan, ladder: Ladder, price: Decimal) -> bool:
    """Whether the price is at the break-even trigger, or was: a target that filled beyond it tells so, of a time when
    nobody watched. Then the stop follows once it would not trigger at once.
    """
    sign = plan.side.sign
    if (price - ladder.be_trigger) * sign >= 0:
        return True
    if plan.targets_by_hand or (price - ladder.be_price) * sign <= 0:
        return False
    return any(t.done > 0 and (t.price - ladder.be_trigger) * sign >= 0 for t in plan.targets)


def move_to_break_even(plan: Plan, instrument: Instrument) -> list[str]:
    """Stop to the break-even price, if that tightens it."""
    if plan.ladder is None:
        return []
    plan.at_break_even = True
    price = instrument.round_away_from_risk(plan.ladder.be_price, plan.side)
    if not tighter(plan.side, price, plan.stop_price):
        return []
    plan.stop_price = price
    return [f"{plan.symbol}: stop to break-even {price}"]


def start_trailing(plan: Plan) -> list[str]:
    """From now on the stop follows the best price."""
    if plan.trailing or plan.ladder is None:
        return []
    plan.trailing = True
    return [f"{plan.symbol}: trailing starts, distance {plan.ladder.trail_distance}"]


def _trail(plan: Plan, instrument: Instrument, now: int, step_ticks: int) -> list[str]:
    if plan.ladder is None:
        return []
    price = trail_stop(plan.side, plan.best, plan.ladder.trail_distance, plan.stop_price, instrument)
    if (price - plan.stop_price) * plan.side.sign < step_ticks * instrument.tick_size:
        return []
    plan.stop_price = price
    plan.trail_ms = now
    return [f"{plan.symbol}: trailing stop to {price}"]


def _target_left(plan: Plan, leg: Leg) -> bool:
    return any(t.leg is leg and t.left > 0 for t in plan.targets)


def on_exit_fill(plan: Plan, leg: Leg, qty: Decimal, open_qty: Decimal, instrument: Instrument) -> list[str]:
    """Book an exit fill into the plan's targets; TP2 filled starts trailing; other exits shrink the targets."""
    notes: list[str] = []
    for target in plan.targets:
        if target.leg is leg:
            target.done += qty
    if leg is Leg.TP2 and not _target_left(plan, Leg.TP2):
        notes += start_trailing(plan)
    if leg is Leg.CLOSE and plan.close_qty is not None:
        left = plan.close_qty - qty
        plan.close_qty = left if instrument.floor_qty(left, market=True) >= instrument.min_qty else None
    if not leg.target:
        shrink_targets(plan, open_qty, qty, instrument)
    return notes


def shrink_targets(plan: Plan, open_qty: Decimal, closed: Decimal, instrument: Instrument) -> None:
    """After a part was closed aside from the targets, scale what is left of each by what is left open."""
    before = open_qty + closed
    if open_qty <= 0 or before <= 0:
        return
    for target in plan.targets:
        keep = instrument.floor_qty(target.left * open_qty / before)
        target.qty = target.done + keep


def emergency_distance(price: Decimal, atr: float, settings: LadderSettings) -> Decimal:
    """Stop distance for a bare position: the ladder's when ATR is known, else 2 % of price."""
    return dec(atr) * dec(settings.atr_mult_sl) if atr > 0 else price * dec("0.02")
