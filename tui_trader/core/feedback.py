"""What the venue says back: order states, fills and the ends of requests, merged into orders and plans.

Nothing is concluded from a lost answer (I5); every fill counts once (I6); every word leads to ``executor.drive``.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from tui_trader.core import leverage
from tui_trader.core.events import Fill, OrderUpdate, SendAction, SendOutcome, SendResult
from tui_trader.core.executor import begin_close, drive, is_beyond, query
from tui_trader.core.exits import on_exit_fill
from tui_trader.core.levels import set_levels
from tui_trader.core.oco import Plan, Stage, proven_stop
from tui_trader.core.orders import OwnOrder, apply_update
from tui_trader.core.refusals import (
    HTTP_REFUSALS,
    KNOWN_STOP_REFUSALS,
    NOT_SEEN_PAUSE_S,
    NOT_SEEN_S,
    NOT_SEEN_YET,
    REDUCE_ONLY_REFUSED,
    STOP_CLOSING_S,
    STOP_LIMIT_REACHED,
    STOP_PATIENCE_S,
    STOP_TRIES,
    TARGETS_OFF_S,
    UNDELIVERED_MAX_S,
    UNDELIVERED_S,
    WOULD_TRIGGER,
    WRONG_MODE,
    refusal,
)
from tui_trader.core.retry import hold, is_dust, patience_s, refused_as_dust
from tui_trader.core.state import EngineState
from tui_trader.core.types import ZERO, Leg, OrderStatus, Severity, VenueBook, dec

BY_THE_VENUE = {
    "autoclose-": "liquidated by the venue",
    "adl_autoclose": "reduced by the venue (auto-deleveraging)",
    "settlement_autoclose-": "settled by the venue",
}
"""Client ids under which the venue itself closes positions."""


def on_order_update(state: EngineState, update: OrderUpdate) -> None:
    """An order's state from a stream, an answer or a query."""
    order = state.ledger.find(update.client_id, update.venue_id, update.book)
    if order is None:
        return
    if order.book is VenueBook.ALGO and update.book is VenueBook.REGULAR:
        update = _as_triggered(update)
    was_proven, average = order.proven, order.avg_price
    changed = apply_update(order, update)
    state.ledger.index(order)
    if changed or order.avg_price != average:
        _store_order(state, order)
    if changed and order.status in (OrderStatus.REJECTED, OrderStatus.EXPIRED) and order.filled_qty < order.qty:
        _on_refused(state, order, 0, update.reason or order.status.value)
    plan = state.plan_of(order.plan_id)
    if plan is not None:
        if order.leg is Leg.STOP and order.proven and not was_proven and order.trigger_price == plan.stop_price:
            plan.stop_failures = 0
            state.leg_failures.pop((plan.plan_id, Leg.STOP), None)
        if changed and order.leg is Leg.STOP and order.status is OrderStatus.CANCELED and not order.cancel_ms:
            _on_stop_lost(state, plan)
        drive(state, plan)


def _on_stop_lost(state: EngineState, plan: Plan) -> None:
    """Somebody else cancelled a stop: it is replaced once; the second time the position is flattened."""
    if state.open_qty(plan) <= 0:
        return
    plan.stops_lost += 1
    if plan.stops_lost > 1:
        state.halted = f"stops of {plan.symbol} are cancelled from outside"
        why = "entries halt: somebody cancels its stops; find out who, then resume with p"
        state.say(Severity.ALARM, f"{plan.symbol}: {why}", plan.symbol)
        begin_close(state, plan, "its stop was cancelled from outside again")
    else:
        state.say(Severity.ALARM, f"{plan.symbol}: the stop was cancelled from outside; bare meanwhile", plan.symbol)


def _as_triggered(update: OrderUpdate) -> OrderUpdate:
    """A word on the regular order that our conditional order became, as a word on the conditional order itself.

    It may arrive before the conditional order's own word; resting as a regular order means triggered, not proven.
    """
    resting = update.status is OrderStatus.WORKING
    return msgspec.structs.replace(
        update,
        venue_id="",
        actual_id=update.venue_id,
        status=OrderStatus.TRIGGERED if resting else update.status,
    )


def _store_order(state: EngineState, order: OwnOrder) -> None:
    state.store(
        "orders",
        {
            "client_id": order.client_id,
            "plan_id": order.plan_id,
            "leg": order.leg.value,
            "symbol": order.symbol,
            "status": order.status.value,
            "filled_qty": order.filled_qty,
            "avg_price": order.avg_price,
            "venue_id": order.venue_id,
            "updated_ts": state.now,
            "reason": order.reason,
        },
    )


def runs_ahead(state: EngineState, fill: Fill) -> bool:
    """Whether the stream tells an exit of what its entry is not known to have filled: booked in that order it would
    open a position the other way. The account's fills come in the order of their numbers.
    """
    order = state.ledger.find(fill.client_id, fill.venue_id)
    plan = state.plan_of(order.plan_id) if order is not None else None
    if plan is None or fill.side is plan.side.entry:
        return False
    if state.portfolio.position(fill.symbol).qty * plan.side.sign >= fill.qty:
        return False
    return any(o.leg is Leg.ENTRY and (o.live or o.unbooked > 0) for o in state.ledger.of_plan(plan.plan_id))


def on_fill(state: EngineState, fill: Fill) -> None:
    """Book one execution, once, and let the plan follow."""
    if not state.portfolio.is_new(fill):
        return
    order = state.ledger.find(fill.client_id, fill.venue_id)
    before = state.portfolio.position(fill.symbol).qty
    plan = state.plan_of(order.plan_id) if order is not None else _concerned(state, fill, before)
    if state.portfolio.contained(fill):
        _late_fill(state, fill, plan, order)
        return
    realized = state.portfolio.book_fill(fill)
    if order is not None:
        _if_more_than_ordered(state, order, fill)
        order.booked += fill.qty
        order.filled_qty = max(order.filled_qty, order.booked)
        if order.type.conditional:
            order.triggered_ms = order.triggered_ms or state.now
        if order.live and order.filled_qty >= order.qty:
            order.status = OrderStatus.FILLED
            _store_order(state, order)
    _store_fill(state, fill, plan, order)
    _if_by_the_venue(state, fill, plan)
    if plan is None:
        _external_fill(state, fill)
        return
    if order is None and not _by_the_venue(fill):
        plan.trained = ""  # somebody else had a hand in it, as with a person's own commands
    plan.fees += _fee(state, fill)
    plan.realized += realized
    if fill.side is plan.side.entry:
        _entry_fill(state, plan, fill)
    else:
        _exit_fill(state, plan, fill, order.leg if order is not None else None, before)
    state.save_plan(plan)
    drive(state, plan)


def _if_more_than_ordered(state: EngineState, order: OwnOrder, fill: Fill) -> None:
    """The venue wins, and what it gave beyond the entry's quantity is closed again (I2)."""
    excess = fill.qty - max(ZERO, order.qty - order.booked)
    plan = state.plan_of(order.plan_id)
    if excess <= 0 or order.leg is not Leg.ENTRY or plan is None:
        return
    plan.close_qty = (plan.close_qty or ZERO) + excess
    text = f"{order.symbol}: the venue filled {excess} more than was ordered; it is closed again"
    state.say(Severity.ALARM, text, order.symbol)


def on_missed_fill(state: EngineState, fill: Fill) -> None:
    """A fill from while no process ran: a plan's is booked, any other is in the venue's position already."""
    held = state.portfolio.position(fill.symbol).qty
    if state.ledger.find(fill.client_id, fill.venue_id) is not None or _concerned(state, fill, held) is not None:
        on_fill(state, fill)
        return
    state.portfolio.mark_seen(fill)
    _store_fill(state, fill, None, None)


def _concerned(state: EngineState, fill: Fill, before: Decimal) -> Plan | None:
    """The plan whose position a foreign fill changed; None when it belongs to no plan (I9).

    What was traded before a plan was journalled is not the plan's, nor is a reduction of what the plan does not hold.
    """
    plan = state.plans.get(fill.symbol)
    if plan is None or (fill.venue_ts and fill.venue_ts < plan.opened_ms):
        return None
    held = before * plan.side.sign
    concerned = held > 0 if fill.side is plan.side.exit else held >= 0
    return plan if concerned else None


def _external_fill(state: EngineState, fill: Fill) -> None:
    """Somebody else traded: the position changed, no plan did. An entry that is working there is taken back."""
    text = f"{fill.symbol}: a fill of {fill.qty} at {fill.price} belongs to no plan; asking the venue what is open"
    state.say(Severity.WARNING, text, fill.symbol)
    state.ask_snapshot("a fill that no plan owns")
    plan = state.plans.get(fill.symbol)
    if plan is not None:
        plan.cancel_entry = plan.cancel_entry or plan.stage is Stage.ENTERING
        drive(state, plan)


def _fee(state: EngineState, fill: Fill) -> Decimal:
    """The fee in USDT. A venue may take it in its own coin (BNB), at that coin's price; without one it counts as 0."""
    if fill.fee_asset in ("USDT", "USDC", "BUSD", "") or not fill.fee:
        return fill.fee
    pair = f"{fill.fee_asset}USDT"
    coin = state.metrics.get(pair)
    price = fill.price if pair == fill.symbol else dec(coin.mark or coin.mid) if coin is not None else ZERO
    if price <= 0:
        text = f"the fee of {fill.fee} {fill.fee_asset} is not counted: no price of {fill.fee_asset} is known here"
        state.say(Severity.WARNING, f"{fill.symbol}: {text}", fill.symbol)
    return fill.fee * price


def _late_fill(state: EngineState, fill: Fill, plan: Plan | None, order: OwnOrder | None) -> None:
    """A fill heard after the venue's own position, which contains it, was taken over: only its fee is news."""
    state.portfolio.mark_seen(fill)
    _store_fill(state, fill, plan, order)
    if plan is not None:
        plan.fees += _fee(state, fill)
        state.save_plan(plan)


def _by_the_venue(fill: Fill) -> str:
    """What the venue itself did with this fill, or ""."""
    return next((text for prefix, text in BY_THE_VENUE.items() if fill.client_id.startswith(prefix)), "")


def _if_by_the_venue(state: EngineState, fill: Fill, plan: Plan | None) -> None:
    """Liquidation or deleveraging: booked to the venue, and the symbol takes no entries until a person resumes it."""
    what = _by_the_venue(fill)
    if not what:
        return
    state.paused_symbols.add(fill.symbol)
    state.save_pauses()
    if plan is not None:
        plan.close_reason = what
    state.say(
        Severity.ALARM,
        f"{fill.symbol}: {fill.qty} at {fill.price} was {what}; the symbol is paused until resumed by hand",
        fill.symbol,
    )


def _store_fill(state: EngineState, fill: Fill, plan: Plan | None, order: OwnOrder | None) -> None:
    state.store(
        "fills",
        {
            "symbol": fill.symbol,
            "trade_id": fill.trade_id,
            "client_id": order.client_id if order is not None else fill.client_id,
            "venue_id": fill.venue_id,
            "plan_id": plan.plan_id if plan else None,
            "leg": order.leg.value if order is not None else "external",
            "side": fill.side.value,
            "qty": fill.qty,
            "price": fill.price,
            "fee": fill.fee,
            "fee_asset": fill.fee_asset,
            "maker": fill.maker,
            "realized_pnl": fill.realized_pnl,
            "venue_ts": fill.venue_ts,
        },
        durable=True,
    )


def _entry_fill(state: EngineState, plan: Plan, fill: Fill) -> None:
    instrument = state.instruments.get(plan.symbol)
    plan.entered += fill.qty
    plan.entry_value += fill.qty * fill.price
    if not plan.first_fill_ms:
        plan.first_fill_ms = fill.venue_ts
    if plan.stage is Stage.ENTERING:
        plan.stage = Stage.OPEN
    if instrument is None:
        return
    if not plan.naked_since_ms:
        plan.naked_since_ms = min(fill.venue_ts or state.now, state.now)
    what = f"entry filled: {plan.side.value} {fill.qty} at {fill.price}; its stop is placed now"
    state.say(Severity.GOOD, f"{plan.symbol}: {what}", plan.symbol)
    set_levels(state, plan)
    state.ladder_event(plan, "entry_fill", Leg.ENTRY, fill.price, fill.qty, plan.strategy)


def _exit_fill(state: EngineState, plan: Plan, fill: Fill, own: Leg | None, before: Decimal) -> None:
    leg = own or Leg.CLOSE
    instrument = state.instruments.get(plan.symbol)
    qty = min(fill.qty, max(ZERO, before * plan.side.sign))
    if qty <= 0:
        state.say(Severity.WARNING, f"{plan.symbol}: {leg.name} filled beyond what was counted here", plan.symbol)
        state.ask_snapshot(f"{plan.symbol}: an exit filled although nothing was counted as open")
        return
    plan.exited += qty
    plan.exit_value += qty * fill.price
    at = (fill.venue_ts, len(fill.trade_id), fill.trade_id)
    if at >= plan.last_exit_at:
        plan.last_exit, plan.last_exit_at = own, at
    rest = f"{state.open_qty(plan) or 'nothing'} stays open"
    rest += f" of it, {fill.qty - qty} went beyond it" if fill.qty > qty else ""
    what = f"{leg.words.removeprefix('the ')} filled: {fill.qty} at {fill.price}"
    state.say(Severity.GOOD, f"{plan.symbol}: {what}; {rest}", plan.symbol)
    state.ladder_event(plan, "exit_fill", leg, fill.price, fill.qty, plan.close_reason)
    if instrument is not None:
        for text in on_exit_fill(plan, leg, fill.qty, state.open_qty(plan), instrument):
            state.say(Severity.INFO, text, plan.symbol)


def on_send_outcome(state: EngineState, outcome: SendOutcome) -> None:
    """How a request ended; nothing is concluded from a lost answer (I5)."""
    state.store(
        "sends",
        {
            "ts": state.now,
            "client_id": outcome.client_id,
            "action": outcome.action.value,
            "result": outcome.result.value,
            "code": outcome.code,
            "reason": outcome.reason,
        },
    )
    if outcome.action is SendAction.LEVERAGE:
        leverage.on_outcome(state, outcome)
        return
    order = state.ledger.get(outcome.client_id)
    if order is None:
        return
    if outcome.action in (SendAction.PLACE, SendAction.JOURNAL):
        _on_place_outcome(state, order, outcome)
    elif outcome.action is SendAction.CANCEL:
        _on_cancel_outcome(state, order, outcome)
    elif outcome.action is SendAction.QUERY and outcome.result is SendResult.NOT_FOUND:
        order.unanswered = 0
        _on_negative(state, order)
    elif outcome.action is SendAction.QUERY:
        order.unanswered += 1
    plan = state.plan_of(order.plan_id)
    if plan is not None:
        drive(state, plan)


def _on_place_outcome(state: EngineState, order: OwnOrder, outcome: SendOutcome) -> None:
    if outcome.venue_id:
        order.venue_id = order.venue_id or outcome.venue_id
        state.ledger.index(order)
    if outcome.result is SendResult.ACCEPTED:
        order.acked_ms = state.now
        return
    if not order.unresolved:
        return
    if outcome.result is SendResult.UNKNOWN:
        if order.status is not OrderStatus.UNKNOWN or order.reason != outcome.reason:
            doubt = (
                f"whether {order.leg.words} reached the venue is not known; asking it ({outcome.reason.rstrip('.')})"
            )
            state.say(Severity.WARNING, f"{order.symbol}: {doubt}", order.symbol)
        order.status = OrderStatus.UNKNOWN
        order.reason = outcome.reason
        query(state, order)
        return
    order.status = OrderStatus.REJECTED
    order.reason = outcome.reason
    _store_order(state, order)
    if outcome.retry_at or not outcome.code:
        _not_delivered(state, order, outcome)
        return
    _on_refused(state, order, outcome.code, outcome.reason)


def _not_delivered(state: EngineState, order: OwnOrder, outcome: SendOutcome) -> None:
    """The venue asked for silence, or the request never reached it: nothing is said about the order itself, and an exit
    goes out again, under its own id.
    """
    order.undelivered = order.leg is not Leg.ENTRY
    hold(state, order.plan_id, order.leg, first_s=UNDELIVERED_S, longest_s=UNDELIVERED_MAX_S, at=outcome.retry_at)
    then = "it is sent again" if order.undelivered else "it is given up"
    text = f"{order.symbol}: {order.leg.words} was not delivered; {then} ({outcome.reason.rstrip('.')})"
    state.say(Severity.ALARM if order.undelivered else Severity.WARNING, text, order.symbol)


def _on_refused(state: EngineState, order: OwnOrder, code: int, reason: str) -> None:
    plan = state.plan_of(order.plan_id)
    reason = refusal(code, reason)
    what = f"{order.symbol}: {order.leg.name} {order.qty} {_ended(code)} the venue: {reason}"
    if code in WRONG_MODE:
        state.note_mode(True, state.now)
        state.ask_snapshot("the venue speaks of hedge mode")
    if plan is None or order.leg is Leg.ENTRY:
        state.say(Severity.WARNING, what, order.symbol)
        return
    if state.open_qty(plan) <= 0:
        return
    if refused_as_dust(state, plan, order, code, reason):
        pass
    elif order.leg is Leg.STOP:
        _on_stop_refused(state, plan, order, code, reason)
    else:
        failures = hold(state, plan.plan_id, order.leg, longest_s=patience_s(state, order, code))
        if order.leg.target or failures.bit_count() == 1:
            state.say(Severity.WARNING, what, order.symbol)
    if code in REDUCE_ONLY_REFUSED:
        state.ask_snapshot("reduce-only refused")
        if not order.leg.target or state.leg_failures[plan.plan_id, order.leg] == 1:
            # The exits that rest already may leave no room for this one: targets go, and come back when it stands.
            plan.targets_off_ms = state.now + state.ms(TARGETS_OFF_S)


def _on_stop_refused(state: EngineState, plan: Plan, order: OwnOrder, code: int, reason: str) -> None:
    older = proven_stop(plan, state.ledger.of_plan(plan.plan_id), state.open_qty(plan))
    if code in WOULD_TRIGGER:
        _on_stop_passed(state, plan, order, older)
        return
    plan.stop_failures += 1
    if code == STOP_LIMIT_REACHED:
        state.count_conditionals_full()
    unknown = code not in KNOWN_STOP_REFUSALS and code not in HTTP_REFUSALS and not is_dust(state, plan)
    if unknown:
        state.halted = f"the venue refuses stops for an unknown reason: {reason}"
    if unknown and older is None:
        why = f" for an unknown reason: {reason}"
    else:
        why = f": {reason}" if _tried_enough(state, plan, code) else ""
    if why:
        _later(state, plan, STOP_CLOSING_S)
        begin_close(state, plan, f"the venue refuses the stop{why}")
        return
    _later(state, plan, NOT_SEEN_PAUSE_S if code == NOT_SEEN_YET else state.settings.execution.stop_retry_s)
    state.say(Severity.ALARM, f"{plan.symbol}: the stop {_ended(code)} the venue: {reason}; trying again", plan.symbol)


def _ended(code: int) -> str:
    return "was refused by" if code else "ended at"


def _tried_enough(state: EngineState, plan: Plan, code: int) -> bool:
    if code == NOT_SEEN_YET:
        return plan.naked_since_ms > 0 and state.now - plan.naked_since_ms >= state.ms(NOT_SEEN_S)
    return plan.stop_failures >= STOP_TRIES


def _later(state: EngineState, plan: Plan, seconds: float) -> None:
    state.leg_retry[(plan.plan_id, Leg.STOP)] = state.now + state.ms(seconds)


def _on_stop_passed(state: EngineState, plan: Plan, order: OwnOrder, older: OwnOrder | None) -> None:
    """The venue says that price is beyond the stop: closed, unless an older stop stands that price has not reached."""
    price = state.trigger_price(plan.symbol)
    if older is None or (price > 0 and is_beyond(plan, price, older.trigger_price)):
        _later(state, plan, STOP_CLOSING_S)
        begin_close(state, plan, "price is already beyond the stop")
        return
    hold(state, plan.plan_id, Leg.STOP, longest_s=STOP_PATIENCE_S)
    text = f"a stop at {order.trigger_price} would trigger at once; the older one at {older.trigger_price} stays"
    state.say(Severity.WARNING, f"{plan.symbol}: {text} until the price allows it", plan.symbol)


def _on_cancel_outcome(state: EngineState, order: OwnOrder, outcome: SendOutcome) -> None:
    if outcome.result is SendResult.NOT_FOUND or (outcome.result is SendResult.UNKNOWN and not order.unanswered):
        if order.live:
            query(state, order)
    elif outcome.result is not SendResult.ACCEPTED and not outcome.code:
        order.unanswered += 1


def _on_negative(state: EngineState, order: OwnOrder) -> None:
    if not order.live:
        return
    order.negatives += 1
    order.first_negative_ms = order.first_negative_ms or state.now
    execution = state.settings.execution
    order.doubted = order.proven_ms > 0 and state.now - order.proven_ms >= state.ms(execution.replica_lag_s)
    # Until the receive window of the request has passed, one that is late on its way may still be acted on.
    window_s = state.settings.venue.recv_window_ms / 1000
    long_enough = state.now - order.first_negative_ms >= state.ms(
        execution.replica_lag_s
    ) and state.now - order.sent_ms >= state.ms(window_s)
    if order.negatives < execution.not_found_needs or not long_enough or order.symbol in state.reconciling:
        return
    seen = order.proven_ms > 0 or order.filled_qty > 0 or order.acked_ms > 0 or order.venue_id != ""
    order.status = OrderStatus.CANCELED if seen else OrderStatus.REJECTED
    order.reason = "the venue does not know it any more" if seen else "never reached the venue"
    order.undelivered = not seen and order.leg is not Leg.ENTRY
    _store_order(state, order)
    plan = state.plan_of(order.plan_id)
    held = plan is not None and state.open_qty(plan) > 0
    severity = Severity.WARNING if held or order.leg is Leg.ENTRY else Severity.INFO
    state.say(severity, f"{order.symbol}: {order.leg.words}: {order.reason}", order.symbol)
