"""What a person asks for: overrides of running exits, pausing, flattening, killing. Each lands in the audit log."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
from pydantic import ValidationError

from tui_trader.core import events as ev
from tui_trader.core import executor, leverage
from tui_trader.core.commands import SettingsApplied
from tui_trader.core.entries import LARGEST
from tui_trader.core.exits import move_to_break_even, start_trailing
from tui_trader.core.oco import Plan, PlanTarget, Stage
from tui_trader.core.plain import plain
from tui_trader.core.reload import FIXED_SECTIONS, apply_reload, later_changes, unusable
from tui_trader.core.settings import Settings
from tui_trader.core.state import EngineState
from tui_trader.core.types import ZERO, Leg, Severity

FARTHEST_STOP = Decimal("0.5")
"""A stop by hand farther from the price than this share of it protects nothing and is a typing mistake."""


def handle(state: EngineState, command: ev.UserCommand) -> None:
    """Carry out one command of a person; what cannot be done is answered in words, never silently."""
    action = type(command).__name__
    detail = {k: v for k, v in msgspec.to_builtins(command).items() if k not in ("event", "ts", "settings_json")}
    state.store("audit", {"ts": state.now, "actor": "person", "action": action, "detail": detail}, durable=True)
    if not _possible(command):
        state.say(Severity.WARNING, f"{action}: a number in it is not finite or too large; nothing was done")
        return
    _HANDLERS[type(command)](state, command)


def _possible(command: ev.UserCommand) -> bool:
    values = (getattr(command, name) for name in command.__struct_fields__)
    return all(v.is_finite() and abs(v) < LARGEST for v in values if isinstance(v, Decimal))


def _plan(state: EngineState, command: ev.PositionCommand, what: str) -> Plan | None:
    symbol = command.symbol
    plan = state.plans.get(symbol)
    if plan is not None and command.plan_id not in (0, plan.plan_id):
        text = f"{symbol}: the position that was meant is gone; nothing was done to the one there now"
        state.say(Severity.WARNING, text, symbol)
        return None
    if plan is None or state.open_qty(plan) <= 0 or plan.stage is not Stage.OPEN:
        state.say(Severity.WARNING, f"{symbol or 'nothing selected'}: no open position to {what}", symbol)
        return None
    if symbol not in state.instruments:
        state.say(Severity.WARNING, f"{symbol}: the venue's filters are not known yet; nothing was done", symbol)
        return None
    plan.trained = ""  # what a person has a hand in is no result of a trained set any more
    return plan


def _close(state: EngineState, command: ev.ClosePosition) -> None:
    plan = _plan(state, command, "close")
    if plan is None:
        return
    instrument = state.instruments[plan.symbol]
    open_qty = state.open_qty(plan)
    part = instrument.floor_qty(open_qty * min(command.fraction, Decimal(1)), market=True)
    if 0 < part < instrument.min_qty:
        part = instrument.ceil_market_qty(part)
    if command.fraction <= 0:
        state.say(Severity.WARNING, f"{plan.symbol}: {command.fraction} of a position cannot be closed", plan.symbol)
    elif command.fraction >= 1 or part <= 0 or open_qty - part < instrument.min_qty:
        executor.begin_close(state, plan, "closed by hand", alarm=False)
        executor.drive(state, plan)
    elif plan.close_qty is not None:
        state.say(Severity.WARNING, f"{plan.symbol}: a partial close is under way", plan.symbol)
    else:
        plan.close_qty = part
        state.say(Severity.INFO, f"{plan.symbol}: closing {part} of {open_qty}", plan.symbol)
        executor.drive(state, plan)


def _move_stop(state: EngineState, command: ev.MoveStop) -> None:
    plan = _plan(state, command, "protect")
    if plan is None:
        return
    price = state.instruments[plan.symbol].round_away_from_risk(command.price, plan.side)
    now_price = state.trigger_price(plan.symbol)
    if price <= 0 or now_price <= 0 or (now_price - price) * plan.side.sign <= 0:
        state.say(
            Severity.WARNING,
            f"{plan.symbol}: a stop at {price} would trigger at once (price {now_price}); the old stop stays",
            plan.symbol,
        )
        return
    problem = _out_of_reach(state, plan, price, now_price)
    if problem:
        state.say(Severity.WARNING, f"{plan.symbol}: a stop at {price} {problem}; the old stop stays", plan.symbol)
        return
    plan.stop_price = price
    plan.stop_by_hand = True
    _moved(state, plan, "by hand")


def _out_of_reach(state: EngineState, plan: Plan, price: Decimal, now_price: Decimal) -> str:
    """Why a stop that far away is none; "" when it protects. The venue would refuse it, which closes the position."""
    liquidation = state.portfolio.position(plan.symbol).liquidation
    if liquidation > 0 and (price - liquidation) * plan.side.sign <= 0:
        return f"lies beyond the liquidation price {liquidation}"
    if abs(now_price - price) > now_price * FARTHEST_STOP:
        return f"is more than {FARTHEST_STOP:.0%} from the price {now_price}: a typing mistake"
    return ""


def _moved(state: EngineState, plan: Plan, why: str) -> None:
    state.say(Severity.INFO, f"{plan.symbol}: stop to {plan.stop_price} {why}", plan.symbol)
    state.ladder_event(plan, "stop_moved", Leg.STOP, plan.stop_price, state.open_qty(plan), why)
    state.save_plan(plan)
    executor.drive(state, plan)


def _break_even(state: EngineState, command: ev.StopToBreakEven) -> None:
    plan = _plan(state, command, "protect")
    if plan is None:
        return
    if plan.ladder is None:
        state.say(Severity.WARNING, f"{plan.symbol}: it has no ladder yet, so no break-even price", plan.symbol)
        return
    instrument = state.instruments[plan.symbol]
    target = instrument.round_away_from_risk(plan.ladder.be_price, plan.side)
    price = state.trigger_price(plan.symbol)
    if price <= 0 or (price - target) * plan.side.sign <= 0:
        state.say(
            Severity.WARNING,
            f"{plan.symbol}: break-even {target} is beyond the price {price}; the stop stays at {plan.stop_price}",
            plan.symbol,
        )
        return
    if move_to_break_even(plan, instrument):
        _moved(state, plan, "(break-even) by hand")
    else:
        state.say(Severity.INFO, f"{plan.symbol}: the stop {plan.stop_price} is already tighter", plan.symbol)


def _trail(state: EngineState, command: ev.StartTrailing) -> None:
    plan = _plan(state, command, "trail")
    if plan is None:
        return
    for text in start_trailing(plan) or [f"{plan.symbol}: trailing already runs, or has no ladder to follow"]:
        state.say(Severity.INFO, text, plan.symbol)
    state.save_plan(plan)
    executor.on_market(state, plan.symbol)


def _set_target(state: EngineState, command: ev.SetTarget) -> None:
    plan = _plan(state, command, "give a target")
    if plan is None:
        return
    instrument = state.instruments[plan.symbol]
    price = instrument.round_away_from_risk(command.price, plan.side)
    now_price = state.trigger_price(plan.symbol)
    others = sum((t.left for t in plan.targets if t.leg is not command.leg), ZERO)
    room = state.open_qty(plan) - others
    qty = min(instrument.floor_qty(plan.entered * command.fraction), room)
    problem = ""
    if not command.leg.target:
        problem = f"{command.leg.name} is not a target"
    elif now_price <= 0 or (price - now_price) * plan.side.sign <= 0:
        problem = f"a target at {price} is not beyond the price {now_price}"
    elif not instrument.tradeable_qty(qty, price, reduce_only=True):
        problem = f"only {max(room, ZERO)} is free for another target"
    if problem:
        state.say(Severity.WARNING, f"{plan.symbol}: {problem}; nothing changed", plan.symbol)
        return
    done = sum((t.done for t in plan.targets if t.leg is command.leg), ZERO)
    plan.targets = [t for t in plan.targets if t.leg is not command.leg]
    plan.targets.append(PlanTarget(leg=command.leg, price=price, qty=done + qty, done=done))
    plan.targets_by_hand = True
    _retargeted(state, plan, f"{command.leg.name} at {price} for {qty}", command.leg, price, qty)


def _remove_target(state: EngineState, command: ev.RemoveTarget) -> None:
    plan = _plan(state, command, "change")
    if plan is None:
        return
    gone = next((t for t in plan.targets if t.leg is command.leg and t.left > 0), None)
    if gone is None:
        state.say(Severity.WARNING, f"{plan.symbol}: there is no open {command.leg.name}", plan.symbol)
        return
    gone.qty = gone.done
    plan.targets_by_hand = True
    _retargeted(state, plan, f"{command.leg.name} removed", command.leg, gone.price, ZERO)


def _retargeted(state: EngineState, plan: Plan, text: str, leg: Leg, price: Decimal, qty: Decimal) -> None:
    state.say(Severity.INFO, f"{plan.symbol}: {text} by hand", plan.symbol)
    state.ladder_event(plan, "target_changed", leg, price, qty, "by hand")
    state.save_plan(plan)
    executor.drive(state, plan)


def _pause(state: EngineState, command: ev.PauseEntries) -> None:
    verb = "paused" if command.paused else "resumed"
    if command.strategy:
        _toggle(state.paused_strategies, command.strategy, command.paused)
        if not command.paused:
            state.failed_strategies.pop(command.strategy, None)
        what = command.strategy
    elif command.symbol:
        _toggle(state.paused_symbols, command.symbol, command.paused)
        what = command.symbol
    else:
        state.paused_all = command.paused
        if not command.paused:
            state.halted, state.flatten_ms = "", 0
        what = "all entries"
    state.save_pauses()
    state.say(Severity.INFO, f"{what}: {verb} by hand")


def _toggle(names: set[str], name: str, on: bool) -> None:
    if on:
        names.add(name)
    else:
        names.discard(name)


def _cancel_entry(state: EngineState, command: ev.CancelEntry) -> None:
    plan = state.plans.get(command.symbol)
    if plan is None or not any(o.live and o.leg is Leg.ENTRY for o in state.ledger.of_plan(plan.plan_id)):
        state.say(Severity.WARNING, f"{command.symbol}: no working entry to cancel", command.symbol)
        return
    plan.cancel_entry = True
    executor.drive(state, plan)


def flatten_all(state: EngineState, reason: str) -> None:
    """Close every plan and cancel every entry; stops stay until nothing is open."""
    for plan in list(state.plans.values()):
        plan.trained = ""
        executor.begin_close(state, plan, reason, alarm=False)
        executor.drive(state, plan)


def _flatten(state: EngineState, command: ev.FlattenAll) -> None:
    state.paused_all = True
    state.save_pauses()
    state.say(Severity.WARNING, "flattening all positions; entries are paused until resumed")
    flatten_all(state, f"flatten all {command.reason}")
    # A position that no plan owns yet is found and closed by the next comparison: that of a plan's closing, or ours.
    state.flatten_ms = state.now
    if not state.plans:
        state.require_snapshot("flatten all")


def kill(state: EngineState, reason: str) -> None:
    """Latch the kill switch: no entries until a person re-arms, across restarts; everything is flattened (I15)."""
    if not state.killed:
        state.killed = reason
        state.store("state", {"key": "kill", "value": {"reason": reason, "ts": state.now}}, durable=True)
        text = f"kill switch: {reason}; all is closed at market, entries are refused until R re-arms"
        state.say(Severity.ALARM, text)
    flatten_all(state, f"kill switch: {reason}")


def _kill(state: EngineState, command: ev.KillSwitch) -> None:
    kill(state, command.reason)


def _rearm(state: EngineState, command: ev.Rearm) -> None:
    if not state.killed:
        state.say(Severity.INFO, "the kill switch is not latched")
        return
    state.killed = ""
    state.losses.rearm(state.equity(), state.now)
    state.store("state", {"key": "kill", "value": None}, durable=True)
    state.store("state", {"key": "losses", "value": state.losses.to_state()}, durable=True)
    left = "; ".join(r.text for r in state.no_entries())
    then = f"entries stay refused: {left}" if left else "entries are possible again"
    state.say(Severity.WARNING, f"the kill switch was re-armed by hand; {then}")


def _arm(state: EngineState, command: ev.ArmEntries) -> None:
    if command.venue != state.venue:
        state.say(Severity.WARNING, f"not armed: this session trades on {state.venue}, not {command.venue!r}")
        return
    state.armed = True
    state.say(Severity.WARNING, f"entries armed on {state.venue} by hand")


def _reload(state: EngineState, command: ev.SettingsChanged) -> None:
    try:
        wanted = Settings.model_validate_json(command.settings_json)
    except ValidationError as error:
        state.say(Severity.WARNING, f"settings not reloaded, the old ones stay: {error.errors()[0]['msg']}")
        return
    problem = unusable(wanted, state.strategies.values())
    if problem:
        state.say(Severity.WARNING, plain(f"settings not reloaded, the old ones stay: {problem}"))
        return
    before = state.settings
    losses = state.losses.amounts(state.equity())
    applied, held = apply_reload(state.settings, wanted, positions_open=bool(state.plans), losses=losses)
    later = later_changes(before, wanted, running=state.strategies)
    applied = applied.model_copy(update={name: getattr(before, name) for name in FIXED_SECTIONS})
    if applied.sizing.default_leverage != state.settings.sizing.default_leverage:
        state.leverage_set.clear()
    state.adopt_settings(applied)
    leverage.reconsider(state)
    text = "settings reloaded"
    if held:
        text += "; not loosened while positions are open: " + ", ".join(held)
    if later:
        text += "; from the next start on: " + ", ".join(later)
    state.say(Severity.INFO, text)
    _pause_left_out(state)
    detail = {"changed": _changed(before, applied), "held_back": list(held)}
    row: dict[str, object] = {"ts": state.now, "actor": "engine", "action": "SettingsApplied", "detail": detail}
    state.store("audit", row, durable=True)
    state.out.append(SettingsApplied(ts=state.now, settings_json=applied.model_dump_json().encode(), held_back=held))


def _pause_left_out(state: EngineState) -> None:
    """A strategy that the settings do not name any more enters nothing from now on."""
    gone = state.strategies.keys() - state.paused_strategies - set(state.settings.strategies.enabled)
    for name in sorted(gone):
        state.paused_strategies.add(name)
        text = f"{name} is paused: the settings do not enable it any more; its positions stay managed, resume it with p"
        state.say(Severity.WARNING, text)
    if gone:
        state.save_pauses()


def _changed(before: Settings, after: Settings) -> dict[str, list[object]]:
    """What differs, as "section.key": [old, new]."""
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    found: dict[str, list[object]] = {}
    for section, values in new.items():
        if not isinstance(values, dict):
            values, old[section] = {"": values}, {"": old[section]}
        for key, value in values.items():
            if old[section].get(key) != value:
                found[f"{section}.{key}".rstrip(".")] = [old[section].get(key), value]
    return found


def _stop(state: EngineState, command: ev.ShutdownRequested) -> None:
    state.stopping = command.reason
    state.say(Severity.WARNING, f"stopping: {command.reason}; entries are cancelled, stops stay at the venue")
    for plan in list(state.plans.values()):
        plan.cancel_entry = True
        executor.drive(state, plan)


_HANDLERS: dict[type, Callable[[EngineState, Any], None]] = {
    ev.ClosePosition: _close,
    ev.MoveStop: _move_stop,
    ev.StopToBreakEven: _break_even,
    ev.StartTrailing: _trail,
    ev.SetTarget: _set_target,
    ev.RemoveTarget: _remove_target,
    ev.PauseEntries: _pause,
    ev.CancelEntry: _cancel_entry,
    ev.FlattenAll: _flatten,
    ev.KillSwitch: _kill,
    ev.Rearm: _rearm,
    ev.ArmEntries: _arm,
    ev.SettingsChanged: _reload,
    ev.ShutdownRequested: _stop,
}
