"""Where a plan's stop and targets stand: on the fills when they are heard, on the venue's word until then."""

from __future__ import annotations

from tui_trader.core.exits import emergency_distance, plan_levels, protective_stop
from tui_trader.core.instruments import Instrument
from tui_trader.core.ladder import LadderError
from tui_trader.core.oco import Plan, Stage
from tui_trader.core.state import EngineState
from tui_trader.core.types import Leg, Severity


def set_levels(state: EngineState, plan: Plan) -> None:
    """Ladder on the real average fill; when it cannot be computed, at least a stop."""
    instrument = state.instruments[plan.symbol]
    if plan.entered <= 0 and state.open_qty(plan) <= 0:
        _provisional_stop(state, plan, instrument)
        return
    if plan.entered <= 0:
        _take_over(state, plan)
    if plan.avg_entry <= 0:
        price = state.trigger_price(plan.symbol)
        if price <= 0:
            return
        plan.entry_value = plan.entered * price
    try:
        for text in plan_levels(plan, instrument, state.settings.ladder):
            state.say(Severity.INFO, text, plan.symbol)
    except LadderError as error:
        distance = emergency_distance(plan.avg_entry, plan.atr, state.settings.ladder)
        plan.stop_price = plan.stop_price or protective_stop(plan.side, plan.avg_entry, distance, instrument)
        plan.initial_stop = plan.initial_stop or plan.stop_price
        state.say(Severity.WARNING, f"{plan.symbol}: no ladder ({error}); stop at {plan.stop_price}", plan.symbol)


def keep_on_tick(state: EngineState, plan: Plan) -> None:
    """Stop and targets onto a tick that became coarser: off it they would be refused when they are placed again."""
    instrument = state.instruments[plan.symbol]
    stop = instrument.round_away_from_risk(plan.stop_price, plan.side)
    prices = [instrument.round_away_from_risk(target.price, plan.side) for target in plan.targets]
    if stop == plan.stop_price and prices == [target.price for target in plan.targets]:
        return
    plan.stop_price = stop
    for target, price in zip(plan.targets, prices, strict=True):
        target.price = price
    targets = ", ".join(f"{target.leg.name} {target.price}" for target in plan.targets)
    text = f"{plan.symbol}: the venue's tick size is now {instrument.tick_size}: stop {stop}, {targets or 'no targets'}"
    state.say(Severity.INFO, text, plan.symbol)
    state.ladder_event(plan, "stop_moved", Leg.STOP, stop, state.open_qty(plan), "the venue's tick size changed")
    state.save_plan(plan)


def _provisional_stop(state: EngineState, plan: Plan, instrument: Instrument) -> None:
    """A stop for what the venue says is filled, at the price it says, until the fills themselves are heard."""
    told = (o.avg_price for o in state.ledger.of_plan(plan.plan_id) if o.leg is Leg.ENTRY and o.avg_price > 0)
    price = next(told, plan.expected_entry) or state.trigger_price(plan.symbol)
    if price <= 0:
        return
    distance = emergency_distance(price, plan.atr, state.settings.ladder)
    if plan.stop_hint is not None and (price - plan.stop_hint) * plan.side.sign > 0:
        distance = abs(price - plan.stop_hint)
    plan.stop_price = protective_stop(plan.side, price, distance, instrument)
    text = f"{plan.symbol}: the venue says that the entry filled; stop at {plan.stop_price} until its fills are heard"
    state.say(Severity.INFO, text, plan.symbol)


def _take_over(state: EngineState, plan: Plan) -> None:
    """A position stands in the plan's direction before any of its own fills was heard: the plan owns it from now on."""
    position = state.portfolio.position(plan.symbol)
    plan.entered = state.open_qty(plan)
    plan.entry_value = plan.entered * position.entry
    plan.first_fill_ms = plan.first_fill_ms or state.now
    plan.stage = Stage.OPEN if plan.stage is Stage.ENTERING else plan.stage
