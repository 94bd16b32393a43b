"""From a plan's next steps to orders: opening, converging, closing, and what time brings.

Every function works on the ``EngineState`` inside one ``Engine.process`` call, so nothing can change between a check
and the order it approved.
"""

from __future__ import annotations

from decimal import Decimal

from tui_trader.core import leverage, oco, trades
from tui_trader.core.commands import Approval, CancelOrder, PlaceOrder, QueryOrder
from tui_trader.core.entry import EntryProposal, EntryRequest
from tui_trader.core.exits import on_price
from tui_trader.core.instruments import Instrument
from tui_trader.core.levels import keep_on_tick, set_levels
from tui_trader.core.oco import Cancel, Patience, Place, Plan, Stage
from tui_trader.core.orders import ClientId, OwnOrder
from tui_trader.core.retry import follow_dust
from tui_trader.core.state import EngineState
from tui_trader.core.types import ZERO, Leg, OrderStatus, OrderType, Severity, TimeInForce, WorkingType

CLOSE_WAIT_S = 1.0
"""How long a market close waits for targets and entries to go and for the venue's word on what is open."""

CLOSE_LEAD = 0.1
"""How much of the longest time without a stop is left when the position is closed: the order must be looked for by a
timer, stored and carried to the venue before that time is over."""

NOTICED_S = 2.0
"""A position found bare is given this long to get its stop, however long it was bare unnoticed."""

PROVE_AGAIN_S = 2.0
"""A stop or a working entry that was not seen for this long is asked about."""

QUESTION_PAUSE_MAX_S = 15.0

FLAT_WORD_S = 6.0
"""How long the stop of a position that is closed by its fills waits for the venue's word on the position."""

STUCK_TRIGGER_S = 2.0
"""A stop that triggered this long ago and has not ended protects nothing."""


def patience(state: EngineState) -> Patience:
    """Waiting times of the executor in venue ms."""
    execution = state.settings.execution
    return Patience(
        stop_retry_ms=state.ms(execution.stop_retry_s),
        cancel_retry_ms=state.ms(execution.unknown_query_s * 4),
        close_wait_ms=state.ms(CLOSE_WAIT_S),
    )


def open_plan(state: EngineState, request: EntryRequest, proposal: EntryProposal) -> Plan | None:
    """Send the entry of an allowed proposal; None when the proposal has no size, price or instrument."""
    instrument = state.instruments.get(request.symbol)
    if instrument is None or proposal.sized is None or proposal.ladder is None or proposal.entry is None:
        return None
    market = request.limit_price is None
    plan = Plan(
        plan_id=state.next_plan_id,
        symbol=request.symbol,
        side=request.side,
        origin=request.origin,
        strategy=request.strategy,
        opened_ms=state.now,
        entry_qty=proposal.sized.qty,
        conviction=request.conviction,
        atr=proposal.ladder.atr,
        expected_entry=proposal.entry,
        stop_hint=request.stop,
        sized_distance=proposal.ladder.risk_distance,
        target_hint=request.target,
        trained=request.trained,
        entry_deadline_ms=state.now + state.ms(state.settings.execution.entry_timeout_s),
    )
    state.next_plan_id += 1
    state.plans[plan.symbol] = plan
    state.save_plan(plan, durable=True)
    send(
        state,
        plan,
        leg=Leg.ENTRY,
        type_=OrderType.MARKET if market else OrderType.LIMIT,
        qty=plan.entry_qty,
        price=ZERO if market else proposal.entry,
        overridden=proposal.verdict.overridden,
    )
    return plan


def send(
    state: EngineState,
    plan: Plan,
    *,
    leg: Leg,
    type_: OrderType,
    qty: Decimal,
    price: Decimal = ZERO,
    trigger: Decimal = ZERO,
    overridden: tuple[str, ...] = (),
) -> None:
    """Approve and emit a new order of a plan."""
    entry = leg is Leg.ENTRY
    order = OwnOrder(
        client_id=str(ClientId(state.epoch, plan.plan_id, leg, plan.next_revision(leg))),
        plan_id=plan.plan_id,
        leg=leg,
        symbol=plan.symbol,
        side=plan.side.entry if entry else plan.side.exit,
        type=type_,
        qty=qty,
        price=price,
        trigger_price=trigger,
        reduce_only=not entry,
    )
    state.ledger.add(order)
    _emit(state, plan, order, overridden=overridden)


def _emit(
    state: EngineState, plan: Plan, order: OwnOrder, *, overridden: tuple[str, ...] = (), resend: bool = False
) -> None:
    """Every send of the product comes through here (I12)."""
    state.approvals += 1
    order.status = OrderStatus.SENT
    order.sent_ms = order.updated_ms = state.now
    order.undelivered = False
    order.negatives = order.first_negative_ms = 0
    state.order_rate.record(state.now)
    state.out.append(
        PlaceOrder(
            ts=state.now,
            client_id=order.client_id,
            plan_id=plan.plan_id,
            leg=order.leg,
            symbol=plan.symbol,
            side=order.side,
            type=order.type,
            qty=order.qty,
            price=order.price,
            trigger_price=order.trigger_price,
            reduce_only=order.reduce_only,
            tif=TimeInForce.GTC,
            working_type=WorkingType(state.settings.execution.stop_working_type),
            approval=Approval(
                sequence=state.approvals, max_qty=order.qty, exit=order.reduce_only, overridden=overridden
            ),
            resend=resend,
        )
    )


def _send_step(state: EngineState, plan: Plan, step: Place, orders: list[OwnOrder]) -> None:
    """Send an exit; one that the venue never got goes out again under its own id (I4)."""
    for order in reversed(orders):
        if order.undelivered and _is_step(order, step):
            _emit(state, plan, order, resend=True)
            return
    send(state, plan, leg=step.leg, type_=step.type, qty=step.qty, price=step.price, trigger=step.trigger_price)


def _is_step(order: OwnOrder, step: Place) -> bool:
    same = (order.leg, order.type, order.qty, order.price, order.trigger_price)
    return same == (step.leg, step.type, step.qty, step.price, step.trigger_price)


def drive(state: EngineState, plan: Plan) -> None:
    """Take the plan's next safe steps, watch its protection, and close it when nothing is left."""
    instrument = state.instruments.get(plan.symbol)
    if instrument is None or plan.stage is Stage.CLOSED or not state.reconciled_ms:
        # Before the first comparison with the venue a stop that rests there would only be doubled.
        return
    orders = state.ledger.of_plan(plan.plan_id)
    if _turned(state, plan, orders):
        for order in orders:
            cancel(state, Cancel(client_id=order.client_id))
        finish(state, plan)
        return
    unheard = [o for o in orders if o.unbooked > 0]
    counted, open_qty = _open(state, plan, unheard)
    if unheard:
        state.ask_snapshot(f"{plan.symbol}: fills not heard yet", repeated=True)
    if open_qty > 0 and plan.stop_price <= 0:
        set_levels(state, plan)
    if open_qty <= 0 < counted:
        # Only a word without its fills says that it is closed; that fill may have been counted otherwise, so the legs
        # stay until the snapshot has spoken, which then is not left to the pace (I8).
        if state.now - state.snapshot_asked_ms >= state.ms(FLAT_WORD_S / 2):
            state.require_snapshot(f"{plan.symbol}: said to be closed, the fills are not heard")
        _watch_protection(state, plan, counted, orders)
        return
    _go_on(state, plan, instrument, orders, counted, open_qty)


def _go_on(
    state: EngineState,
    plan: Plan,
    instrument: Instrument,
    orders: list[OwnOrder],
    counted: Decimal,
    open_qty: Decimal,
) -> None:
    _settle_stage(state, plan, open_qty, orders)
    follow_dust(state, plan, open_qty)
    flat = open_qty <= 0 and _venue_agrees_flat(state, plan)
    if flat and oco.is_over(plan, open_qty, orders):
        finish(state, plan)
        return
    if open_qty <= 0 and not flat:
        _ask_whether_flat(state, plan)
    _watch_protection(state, plan, counted, orders)
    _look_before_closing(state, plan, open_qty, orders)
    steps = oco.converge(
        plan, open_qty, orders, instrument, state.now, patience(state), counted=counted, venue_flat=flat
    )
    for step in steps:
        if isinstance(step, Cancel):
            cancel(state, step)
        elif _may_send(state, plan, step, counted if step.leg is Leg.STOP else open_qty, orders):
            _send_step(state, plan, step, orders)


def _turned(state: EngineState, plan: Plan, orders: list[OwnOrder]) -> bool:
    """Whether somebody turned the position against the plan: it must not keep what stands now from being protected."""
    against = state.portfolio.position(plan.symbol).qty * plan.side.sign < 0
    if not against or plan.entered <= 0:
        return False
    return not any(o.unbooked > 0 or (o.live and o.leg is Leg.ENTRY) for o in orders)


def _open(state: EngineState, plan: Plan, unheard: list[OwnOrder]) -> tuple[Decimal, Decimal]:
    """What a stop must cover and what may be closed, base units ≥ 0.

    By the fills heard, and by the venue's word on orders whose fills were not heard yet: an entry that is said to be
    filled is protected at once, an exit that is said to be filled still needs its cover.
    """
    held = state.portfolio.position(plan.symbol).qty * plan.side.sign
    held += sum((o.unbooked for o in unheard if o.leg is Leg.ENTRY), ZERO)
    closed = sum((o.unbooked for o in unheard if o.leg is not Leg.ENTRY), ZERO)
    return max(ZERO, held), max(ZERO, held - closed)


def _venue_agrees_flat(state: EngineState, plan: Plan) -> bool:
    """Whether the venue itself said, after the last fill, that nothing is open in the plan's direction.

    Its word is waited for at most ``FLAT_WORD_S``: an order of ours must not rest on and on over nothing (I8).
    """
    position = state.portfolio.position(plan.symbol)
    if position.venue_qty * plan.side.sign <= 0 and position.venue_ts >= position.last_fill_ms:
        return True
    return state.now - position.last_fill_ms >= state.ms(FLAT_WORD_S)


def _ask_whether_flat(state: EngineState, plan: Plan) -> None:
    last_fill = state.portfolio.position(plan.symbol).last_fill_ms
    if state.now - last_fill >= state.ms(1.0) and plan.flat_asked_ms <= last_fill:
        plan.flat_asked_ms = state.now
        state.require_snapshot(f"{plan.symbol}: the venue has not said that it is flat")


def _look_before_closing(state: EngineState, plan: Plan, open_qty: Decimal, orders: list[OwnOrder]) -> None:
    """Between taking entries and targets off and closing at market the venue is asked once more what is open."""
    if plan.stage is not Stage.CLOSING or open_qty <= 0 or plan.close_checked:
        return
    if plan.close_asked_ms:
        plan.close_checked = state.snapshot_asked_at >= plan.close_asked_ms
    elif not oco.still_working(orders) or state.now - plan.closing_ms >= state.ms(CLOSE_WAIT_S):
        plan.close_asked_ms = state.now
        state.require_snapshot(f"{plan.symbol}: before closing at market")


def _settle_stage(state: EngineState, plan: Plan, open_qty: Decimal, orders: list[OwnOrder]) -> None:
    if plan.stage in (Stage.ENTERING, Stage.OPEN) and state.now >= plan.entry_deadline_ms:
        plan.cancel_entry = True
    entering = any(o.live for o in orders if o.leg is Leg.ENTRY)
    if plan.stage is Stage.OPEN and open_qty == 0 and not entering:
        plan.stage = Stage.CLOSING
        state.save_plan(plan)


def _why_closed(plan: Plan) -> str:
    """What ended the position: the leg that filled last at the venue; its reason when it was closed on purpose."""
    if plan.last_exit is Leg.STOP or (plan.last_exit is not None and plan.last_exit.target):
        return "stop" if plan.last_exit is Leg.STOP else plan.last_exit.name
    return plan.close_reason or ("closed elsewhere" if plan.last_exit is None else "closed by hand")


def _may_send(state: EngineState, plan: Plan, step: Place, open_qty: Decimal, orders: list[OwnOrder]) -> bool:
    if step.qty > state.instruments[plan.symbol].ceil_market_qty(open_qty):
        return False
    if step.leg is Leg.STOP and oco.proven_stop(plan, orders, open_qty) is not None:
        # The venue would refuse a stop that the price has passed; while an older one protects, it waits for the price.
        price = state.trigger_price(plan.symbol)
        if price > 0 and is_beyond(plan, price, step.trigger_price):
            return False
    return state.now >= state.leg_retry.get((plan.plan_id, step.leg), 0)


def is_beyond(plan: Plan, price: Decimal, trigger: Decimal) -> bool:
    """Whether a stop at ``trigger`` would trigger at once at ``price``."""
    return (price - trigger) * plan.side.sign <= 0


def cancel(state: EngineState, step: Cancel) -> None:
    """Emit a cancel for one own order."""
    order = state.ledger.get(step.client_id)
    if order is None or not order.live:
        return
    order.cancel_ms = state.now
    order.cancel_tries += 1
    state.out.append(
        CancelOrder(
            ts=state.now,
            client_id=order.client_id,
            symbol=order.symbol,
            book=order.book,
            venue_id=order.venue_id,
        )
    )


def _watch_protection(state: EngineState, plan: Plan, open_qty: Decimal, orders: list[OwnOrder]) -> None:
    if open_qty > 0 and oco.stuck_stop(orders, state.now, state.ms(STUCK_TRIGGER_S)):
        begin_close(state, plan, "the stop triggered and is stuck")
    if open_qty <= 0 or oco.proven_stop(plan, orders, open_qty) is not None:
        _covered(state, plan, open_qty)
        return
    plan.naked_since_ms = plan.naked_since_ms or state.now
    plan.naked_noticed_ms = plan.naked_noticed_ms or state.now
    naked = state.now - max(plan.naked_since_ms, state.reachable_since())
    # What is heard late may be bare for long already: its stop, sent in this very call, is given a moment.
    late = state.now - plan.naked_noticed_ms < state.ms(NOTICED_S)
    limit_s = state.settings.execution.naked_limit_s * (1 - CLOSE_LEAD)
    if naked > state.ms(limit_s) and not state.away() and not late:
        begin_close(state, plan, f"no proven stop for {naked / 1000 / state.rate:.1f} s")


def _covered(state: EngineState, plan: Plan, open_qty: Decimal) -> None:
    if not plan.naked_since_ms:
        return
    bare_ms = state.now - plan.naked_since_ms
    plan.longest_naked_ms = max(plan.longest_naked_ms, bare_ms)
    plan.naked_since_ms = plan.naked_noticed_ms = 0
    plan.stop_failures = 0
    if open_qty > 0:
        bare = f"after {bare_ms / 1000 / state.rate:.1f} s without one"
        state.say(Severity.GOOD, f"{plan.symbol}: a stop over {open_qty} is proven at the venue, {bare}", plan.symbol)


def begin_close(state: EngineState, plan: Plan, reason: str, *, alarm: bool = True) -> None:
    """Flatten one plan: entry and targets off, market close, the stop stays until nothing is open."""
    if plan.stage in (Stage.CLOSING, Stage.CLOSED):
        return
    plan.stage = Stage.CLOSING
    plan.close_reason = reason
    plan.closing_ms = state.now
    plan.cancel_entry = True
    severity = Severity.ALARM if alarm else Severity.WARNING
    state.say(severity, f"{plan.symbol}: closing the position at market: {reason}", plan.symbol)
    state.save_plan(plan)


def finish(state: EngineState, plan: Plan) -> None:
    """The plan is over: book the trade, free the symbol."""
    _covered(state, plan, ZERO)
    plan.stage = Stage.CLOSED
    plan.closed_ms = state.now
    plan.close_reason = _why_closed(plan)
    state.plans.pop(plan.symbol, None)
    state.ledger.release_plan(plan.plan_id)
    for leg in Leg:
        state.leg_retry.pop((plan.plan_id, leg), None)
        state.leg_failures.pop((plan.plan_id, leg), None)
    leverage.reconsider(state, plan.symbol)
    state.save_plan(plan)
    if state.portfolio.position(plan.symbol).qty != 0:
        state.require_snapshot(f"{plan.symbol}: a position is left that no plan owns")
    elif plan.entered > 0:
        state.ask_snapshot(f"{plan.symbol}: flat; looking whether anything of ours rests in either book")
    if plan.entered <= 0:
        state.say(Severity.INFO, f"{plan.symbol}: the entry ended without a fill; nothing is open", plan.symbol)
        return
    state.cooldown_until[plan.symbol] = state.now + int(state.settings.strategies.cooldown_min * 60_000)
    trades.book_trade(state, plan)


def query(state: EngineState, order: OwnOrder) -> None:
    """Ask the venue about one order."""
    order.query_ms = state.now
    state.out.append(
        QueryOrder(
            ts=state.now, client_id=order.client_id, symbol=order.symbol, book=order.book, venue_id=order.venue_id
        )
    )


def tick(state: EngineState) -> None:
    """Ask about orders in doubt and stops not seen for a while, and drive every plan."""
    for order in state.ledger.live():
        pause_s = _question_due_s(state, order)
        if pause_s and state.now - _last_word_ms(order) >= state.ms(pause_s):
            query(state, order)
    for plan in list(state.plans.values()):
        drive(state, plan)


def _last_word_ms(order: OwnOrder) -> int:
    seen = 0 if order.triggered_ms or order.negatives else order.proven_ms
    return max(order.sent_ms, order.query_ms, seen)


def _question_due_s(state: EngineState, order: OwnOrder) -> float:
    """How long after the last word or question the venue is asked about an order, s; 0 for never.

    While it does not answer the pause doubles, so that an outage is not met with thousands of requests.
    """
    doubling = 2.0 ** min(order.unanswered, 10)
    wait = state.settings.execution.unknown_query_s
    if order.unresolved or order.negatives or order.cancel_tries > 2:
        return min(QUESTION_PAUSE_MAX_S, wait * (1 + min(order.negatives, 6)) * doubling)
    # A market order ends as it arrives, and a triggered stop is one: without the word of its end it was lost.
    if order.triggered_ms or order.type is OrderType.MARKET:
        return min(QUESTION_PAUSE_MAX_S, wait * doubling)
    # A stop is proven by being seen, and an entry may fill at any time: while the stream is silent that must show soon.
    watched = order.leg in (Leg.STOP, Leg.ENTRY)
    return min(QUESTION_PAUSE_MAX_S, PROVE_AGAIN_S * doubling) if watched else 0.0


def on_reached(state: EngineState, *, away: bool) -> None:
    """The venue answers again: what waited for that is asked and sent now. ``away`` for longer than a blip."""
    state.leg_failures.clear()
    state.leg_retry.clear()
    for order in state.ledger.live():
        order.unanswered = 0
        if order.unresolved:
            query(state, order)
    if state.reconciled_ms:
        (state.require_snapshot if away else state.ask_snapshot)("the venue answers again")
    tick(state)


def on_instrument(state: EngineState, instrument: Instrument) -> None:
    """The venue's rules of a symbol are known anew: its ladder stands on the tick; one that the venue closes is left
    before it settles."""
    plan = state.plans.get(instrument.symbol)
    if plan is None:
        return
    keep_on_tick(state, plan)
    if instrument.closing:
        begin_close(state, plan, f"the venue closes the symbol ({instrument.status})")
        drive(state, plan)


def on_market(state: EngineState, symbol: str) -> None:
    """A price moved: break-even and trailing of the symbol's plan."""
    plan = state.plans.get(symbol)
    instrument = state.instruments.get(symbol)
    if plan is None or instrument is None or plan.ladder is None:
        return
    execution = state.settings.execution
    before = plan.stop_price
    price = state.trigger_price(symbol)
    for text in on_price(
        plan,
        price,
        instrument,
        state.now,
        min_interval_ms=state.ms(execution.trail_min_interval_s),
        step_ticks=execution.trail_step_ticks,
    ):
        state.say(Severity.INFO, text, symbol)
    if plan.stop_price != before:
        state.ladder_event(plan, "stop_moved", Leg.STOP, plan.stop_price, state.open_qty(plan), "price")
        state.save_plan(plan)
        drive(state, plan)
