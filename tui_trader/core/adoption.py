"""Positions that no plan owns: protected first, given targets once ATR is known."""

from __future__ import annotations

from decimal import Decimal

from tui_trader.core.executor import drive
from tui_trader.core.exits import emergency_distance, protective_stop
from tui_trader.core.indicators import AtrReading
from tui_trader.core.levels import set_levels
from tui_trader.core.oco import Plan, Stage
from tui_trader.core.state import EngineState
from tui_trader.core.types import Origin, Severity, Side


def _atr(state: EngineState, symbol: str) -> AtrReading | None:
    book = state.candles.get(symbol)
    ladder = state.settings.ladder
    return book.atr(ladder.atr_timeframe, ladder.atr_period) if book is not None else None


def _bare_since(state: EngineState, symbol: str) -> int:
    """Venue time from which the position is bare: its fill, when it was heard of after the last comparison."""
    filled = state.portfolio.position(symbol).last_fill_ms
    return min(filled, state.now) if filled >= state.reconciled_ms > 0 else state.now


def adopted_plan(state: EngineState, symbol: str, qty: Decimal, entry: Decimal, why: str) -> Plan:
    """A plan for a position that no plan owns: protected first, targets when ATR is known.

    While neither the venue's entry price nor a market price is known there is no stop price; the executor sets it with
    the first price, or flattens when none comes.
    """
    side = Side.LONG if qty > 0 else Side.SHORT
    instrument = state.instruments[symbol]
    reference = state.trigger_price(symbol) or entry
    entry = entry or reference
    reading = _atr(state, symbol)
    plan = Plan(
        plan_id=state.next_plan_id,
        symbol=symbol,
        side=side,
        origin=Origin.ADOPTED,
        strategy="adopted",
        opened_ms=state.now,
        entry_qty=abs(qty),
        stage=Stage.OPEN,
        atr=reading.value if reading else 0.0,
        expected_entry=entry,
        entered=abs(qty),
        entry_value=abs(qty) * entry,
        first_fill_ms=state.now,
        naked_since_ms=_bare_since(state, symbol),
        cancel_entry=True,
    )
    state.next_plan_id += 1
    state.plans[symbol] = plan
    if reference > 0:
        distance = emergency_distance(reference, plan.atr, state.settings.ladder)
        plan.stop_price = protective_stop(side, reference, distance, instrument)
        plan.initial_stop = plan.stop_price
    state.say(Severity.WARNING, f"{symbol}: adopted {side.value} {abs(qty)} at {entry}: {why}; it gets a stop", symbol)
    return plan


def complete_adopted(state: EngineState, plan: Plan) -> None:
    """Give an adopted plan its ladder once ATR is known."""
    if plan.ladder is not None or plan.origin is not Origin.ADOPTED or plan.stage is not Stage.OPEN:
        return
    reading = _atr(state, plan.symbol)
    if reading is None:
        return
    plan.atr = reading.value
    plan.stop_hint = plan.stop_price if (plan.avg_entry - plan.stop_price) * plan.side.sign > 0 else None
    keep = plan.stop_price
    set_levels(state, plan)
    if (keep - plan.stop_price) * plan.side.sign > 0:
        plan.stop_price = keep
    drive(state, plan)
