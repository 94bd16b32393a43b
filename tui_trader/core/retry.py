"""When a leg that was refused is tried again, and what is done about a remainder that the venue does not let go."""

from __future__ import annotations

from decimal import Decimal

from tui_trader.core.oco import Plan, Stage
from tui_trader.core.orders import OwnOrder
from tui_trader.core.refusals import (
    CLOSE_TRIES,
    DUST_FIRST_S,
    DUST_MAX_S,
    REFUSED_CLOSE_S,
    SYMBOL_CLOSED,
    TARGET_PATIENCE_S,
)
from tui_trader.core.state import EngineState
from tui_trader.core.types import Leg, Severity


def hold(state: EngineState, plan_id: int, leg: Leg, *, longest_s: float, first_s: float = 1.0, at: int = 0) -> int:
    """Before a leg is tried again: a pause that doubles up to ``longest_s``, and never less than until ``at``.

    Returns how often in a row it has failed.
    """
    key = (plan_id, leg)
    failures = state.leg_failures[key] = state.leg_failures.get(key, 0) + 1
    pause = min(longest_s, first_s * 2.0 ** min(failures - 1, 10))
    state.leg_retry[key] = max(state.leg_retry.get(key, 0), at, state.now + state.ms(pause))
    return failures


def refused_as_dust(state: EngineState, plan: Plan, order: OwnOrder, code: int, reason: str) -> bool:
    """Whether a refused stop or close is of a remainder below what the venue trades. It is then tried again in growing
    pauses, stays owned and shown, and is said once. A symbol that takes no orders at all refuses nothing for its size.
    """
    if code in SYMBOL_CLOSED:
        return False
    closing = order.leg is Leg.CLOSE or (order.leg is Leg.STOP and plan.stage is Stage.CLOSING)
    if not closing or order.unbooked > 0 or not is_dust(state, plan):
        return False
    hold(state, plan.plan_id, order.leg, first_s=DUST_FIRST_S, longest_s=DUST_MAX_S)
    if not plan.dust and order.leg is Leg.CLOSE:
        plan.dust = True
        state.save_plan(plan)
        least = state.instruments[plan.symbol].min_qty
        words = (
            f"{state.open_qty(plan)} is left, less than the venue trades (from {least}), and it refuses to close it "
            f"({reason.rstrip('.')}); it stays yours and is tried again in growing pauses: close or convert it there"
        )
        state.say(Severity.ALARM, f"{plan.symbol}: {words}", plan.symbol)
    return True


def patience_s(state: EngineState, order: OwnOrder, code: int) -> float:
    """The longest pause, s, before a refused exit is tried again. A target may be refused for as long as its price is
    outside the venue's band; a close is hardly slowed down.
    """
    if order.leg.target:
        return TARGET_PATIENCE_S
    often = state.leg_failures.get((order.plan_id, order.leg), 0) >= CLOSE_TRIES
    return REFUSED_CLOSE_S if often or code in SYMBOL_CLOSED else 1.0


def is_dust(state: EngineState, plan: Plan) -> bool:
    """Whether what is open of a plan is less than the venue trades."""
    instrument, qty = state.instruments[plan.symbol], state.open_qty(plan)
    price = state.trigger_price(plan.symbol) or plan.avg_entry
    return instrument.is_dust(qty, price)


def follow_dust(state: EngineState, plan: Plan, open_qty: Decimal) -> None:
    """A remainder that somebody added to, or that is worth more now, is a position again: it is closed at once."""
    if not plan.dust or open_qty <= 0 or is_dust(state, plan):
        return
    plan.dust = False
    for leg in (Leg.STOP, Leg.CLOSE):
        state.leg_retry.pop((plan.plan_id, leg), None)
        state.leg_failures.pop((plan.plan_id, leg), None)
    state.say(Severity.WARNING, f"{plan.symbol}: {open_qty} is no remainder any more; it is closed now", plan.symbol)
    state.save_plan(plan)
