"""The account as counted here against the account at the venue (I5, I7, I8, I9): plain functions over one snapshot.

At start the venue's positions are taken over at once; later a difference that no fill explains must stand in two
snapshots before the venue wins. Orders that are not ours are never touched.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from tui_trader.core import adoption, executor, feedback, restored, trades, transfers
from tui_trader.core.commands import CancelOrder
from tui_trader.core.events import AccountSnapshot, Fill, OpenOrder, OrderUpdate, VenuePosition
from tui_trader.core.instruments import stand_in
from tui_trader.core.oco import Plan, Stage, proven_stop
from tui_trader.core.orders import OwnOrder, parse_client_id
from tui_trader.core.portfolio import Portfolio, Position
from tui_trader.core.state import EngineState, Recovered
from tui_trader.core.types import ZERO, Leg, OrderStatus, Severity, VenueBook


def restore(state: EngineState, recovered: Recovered) -> None:
    """Take over what the store remembers. Orders that were live are ``unknown`` until the venue speaks."""
    state.portfolio = Portfolio(recovered.trade_ids, recovered.funding_ids)
    state.portfolio.fills_cursor_ms = state.portfolio.restored_ms = recovered.fills_cursor_ms
    state.next_plan_id = recovered.next_plan_id
    for body in recovered.plans:
        plan = restored.plan(state, body)
        if plan is None or plan.stage is Stage.CLOSED or plan.symbol in state.plans:
            continue
        plan.naked_since_ms = plan.naked_noticed_ms = 0
        state.plans[plan.symbol] = plan
        state.next_plan_id = max(state.next_plan_id, plan.plan_id + 1)
        open_qty = max(ZERO, plan.entered - plan.exited)
        state.portfolio.adopt(plan.symbol, open_qty * plan.side.sign, plan.avg_entry)
        state.portfolio.position(plan.symbol).last_fill_ms = recovered.fills_cursor_ms
    for row in recovered.orders:
        order = restored.order(row)
        if order is not None and state.ledger.get(order.client_id) is None:
            state.ledger.add(order)


def _note_incomplete(state: EngineState) -> None:
    """Said once until a whole answer came: it is asked again every few seconds."""
    if not state.read_in_part:
        waits = (
            "entries wait for it" if state.resync_ms or not state.reconciled_ms else "stops and exits stay as they are"
        )
        words = f"the venue's account could not be read completely; it is read again, {waits}"
        state.say(Severity.WARNING, words)
    state.read_in_part = True


def on_snapshot(state: EngineState, snapshot: AccountSnapshot) -> None:
    """Compare and repair. An incomplete snapshot proves nothing by what it lacks; the one
    that was compared last says nothing new when it is heard again (I6).
    """
    first = not state.reconciled_ms
    if snapshot.complete and snapshot.asked_at == state.snapshot_asked_at:
        return
    state.note_mode(snapshot.hedge_mode, snapshot.asked_at)
    if snapshot.hedge_mode:
        return
    _book_facts(state, snapshot, first)
    if not snapshot.complete:
        _note_incomplete(state)
        return
    state.read_in_part = False
    if state.portfolio.wallet is None or snapshot.asked_at - state.portfolio.wallet_ms >= _replica_lag_ms(state):
        # An older word than the stream's would take back what a close has just made, and the limits would judge that.
        state.portfolio.wallet = snapshot.wallet
        # A venue whose clock was set back is believed again from here on.
        state.portfolio.wallet_ts = min(state.portfolio.wallet_ts, snapshot.asked_at)
    transfers.on_ledger(state, snapshot)
    state.snapshot_asked_at = snapshot.asked_at
    state.foreign_conditionals = sum(
        1 for row in snapshot.orders if row.book is VenueBook.ALGO and parse_client_id(row.client_id) is None
    )
    venue = {p.symbol: p for p in snapshot.positions if p.qty != 0}
    doubtful = {p.symbol for p in state.portfolio.positions.values() if p.qty != 0 or p.mismatches or not p.checked}
    for symbol in sorted(venue.keys() | doubtful | state.reconciling.keys() | state.plans.keys()):
        _compare(state, snapshot, symbol, venue.get(symbol), first)
    _settle_orders(state, snapshot)
    state.reconciled_ms = snapshot.ts
    state.looked_ms = snapshot.asked_at
    state.store("state", {"key": "fills_cursor", "value": state.fills_cursor_ms()})
    if snapshot.asked_at >= state.resync_ms:
        state.resync_ms = 0
    if snapshot.asked_at >= state.flatten_ms and not state.reconciling:
        state.flatten_ms = 0
    if first:
        _greet(state, venue)
    for plan in list(state.plans.values()):
        adoption.complete_adopted(state, plan)
        _watch_liquidation(state, plan)
        executor.drive(state, plan)


def _watch_liquidation(state: EngineState, plan: Plan) -> None:
    """A stop beyond the liquidation price protects nothing (isolated margin, a high leverage); told when it begins."""
    position = state.portfolio.position(plan.symbol)
    known = state.open_qty(plan) > 0 and position.liquidation > 0 and plan.stop_price > 0
    before, position.stop_too_far = position.stop_too_far, False
    if not known or (plan.stop_price - position.liquidation) * plan.side.sign > 0:
        return
    position.stop_too_far = True
    if not before:
        text = (
            f"the position would be liquidated at {position.liquidation.normalize():f}, before its stop at "
            f"{plan.stop_price}: move the stop nearer, give it more margin at the venue, or close it"
        )
        state.say(Severity.ALARM, f"{plan.symbol}: {text}", plan.symbol)


def _greet(state: EngineState, venue: dict[str, VenuePosition]) -> None:
    count = len(venue)
    text = "the venue shows no open position" if not count else f"the venue shows {count} open position(s)"
    state.say(Severity.INFO, f"reconciled: {text}")
    if state.halted:
        state.say(Severity.WARNING, f"entries stay halted: {state.halted}; look at the account, then resume with p")
    for plan in state.plans.values():
        qty = state.open_qty(plan)
        if qty > 0 and plan.opened_ms < state.now:
            proven = proven_stop(plan, state.ledger.of_plan(plan.plan_id), qty) is not None
            stop = f"its stop at {plan.stop_price} " + ("is proven" if proven else "is not seen yet and is placed")
            words = f"{plan.side.value} {qty} from {plan.avg_entry.normalize():f} goes on after the restart; {stop}"
            state.say(Severity.GOOD if proven else Severity.WARNING, f"{plan.symbol}: {words}", plan.symbol)


def _book_facts(state: EngineState, snapshot: AccountSnapshot, first: bool) -> None:
    for fill in sorted(snapshot.fills, key=_turn):
        if not state.portfolio.is_new(fill):
            continue
        if first:
            feedback.on_missed_fill(state, _named(state, snapshot, fill))
        else:
            feedback.on_fill(state, fill)
    for payment in snapshot.funding:
        trades.on_funding(state, payment)


def _turn(fill: Fill) -> tuple[int, int, str]:
    """Trade numbers of a symbol only grow; its venue's clock may have been set back."""
    return int(fill.trade_id) if fill.trade_id.isdecimal() else 0, fill.venue_ts, fill.trade_id


def _named(state: EngineState, snapshot: AccountSnapshot, fill: Fill) -> Fill:
    """A fill from while no process ran, with the order of ours that it fits: REST does not say the client id.

    That is one that still lived when the last process ended, does not rest any more, and could trade so much.
    """
    plan = state.plans.get(fill.symbol)
    if plan is None or state.ledger.find(fill.client_id, fill.venue_id) is not None:
        return fill
    resting = {row.client_id for row in snapshot.orders}
    fits = [
        o
        for o in state.ledger.of_plan(plan.plan_id)
        if o.live
        and o.client_id not in resting
        and o.side is fill.side
        and o.qty - o.filled_qty >= fill.qty
        and (o.book is VenueBook.ALGO or not o.venue_id)
    ]
    best = next(iter(sorted(fits, key=lambda o: o.leg is not Leg.STOP)), None)
    return fill if best is None else msgspec.structs.replace(fill, client_id=best.client_id)


def _compare(
    state: EngineState, snapshot: AccountSnapshot, symbol: str, venue: VenuePosition | None, first: bool
) -> None:
    position = state.portfolio.position(symbol)
    at_start, first = first, first or symbol in state.uncompared
    qty = venue.qty if venue is not None else ZERO
    entry = venue.entry_price if venue is not None else ZERO
    position.liquidation = venue.liquidation_price if venue is not None else ZERO
    position.mark, position.mark_ms = venue.mark if venue is not None else ZERO, snapshot.asked_at
    if snapshot.asked_at >= position.venue_ts:
        position.venue_qty, position.venue_ts = qty, snapshot.asked_at
    _without_rules(state, symbol, qty, entry)
    if position.qty == qty:
        position.mismatches = 0
        position.checked = True
        state.reconciling.pop(symbol, None)
        _agree(state, snapshot, symbol)
    elif position.last_fill_ms >= snapshot.asked_at:
        _traded_meanwhile(state, symbol, first)
        return
    elif _may_lag(state, position, qty, snapshot, first):
        state.reconciling.setdefault(symbol, state.now)
        if first:
            state.uncompared.add(symbol)
        state.ask_snapshot(f"{symbol}: what is shown lacks a fill of a moment ago; the answer may be an old one")
        return
    elif not first and position.mismatches == 0:
        position.mismatches = 1
        state.reconciling[symbol] = state.now
        state.ask_snapshot(f"{symbol} differs from the venue")
        return
    else:
        _venue_wins(state, snapshot, symbol, qty, entry)
    state.uncompared.discard(symbol)
    if qty != 0 and symbol not in state.plans and symbol in state.instruments:
        _take_over(state, symbol, qty, entry, snapshot.orders, at_start=at_start)


def adopt_heard(state: EngineState, symbol: str) -> None:
    """Adopt a position of somebody else's at once, without a snapshot, when the stream's two words agree on it: its
    fills and, not older than they are, the position itself.
    """
    position = state.portfolio.position(symbol)
    owned = position.qty == 0 or symbol in state.plans
    doubtful = not state.reconciled_ms or state.resync_ms or state.hedge_mode or symbol in state.reconciling
    if owned or doubtful or symbol not in state.instruments:
        return
    if position.venue_qty == position.qty and position.venue_ts >= position.last_fill_ms:
        executor.drive(state, _take_over(state, symbol, position.qty, position.entry))


def _take_over(
    state: EngineState,
    symbol: str,
    qty: Decimal,
    entry: Decimal,
    orders: tuple[OpenOrder, ...] = (),
    *,
    at_start: bool = False,
) -> Plan:
    """Adopt; while everything is being flattened, or after the kill switch, what was opened elsewhere is closed."""
    plan = _adopt(state, orders, symbol, qty, entry)
    if state.flatten_ms:
        executor.begin_close(state, plan, "flatten all")
    elif state.killed and not at_start:
        executor.begin_close(state, plan, f"kill switch: {state.killed}")
    return plan


def _without_rules(state: EngineState, symbol: str, qty: Decimal, entry: Decimal) -> None:
    """A plan goes on, and a kill or "flatten all" closes, although the venue's rules of a symbol are missing."""
    plan = state.plans.get(symbol)
    wanted = plan is not None or (qty != 0 and (state.killed or state.flatten_ms))
    if symbol in state.instruments or not wanted:
        return
    open_qty = qty or state.portfolio.position(symbol).qty
    price = plan.stop_price if plan is not None and plan.stop_price > 0 else entry
    state.instruments[symbol] = stand_in(symbol, open_qty, price)
    text = "the venue gives no rules of this symbol; what is open is held and closed with amounts as it shows them"
    state.say(Severity.ALARM, f"{symbol}: {text}", symbol)


def _replica_lag_ms(state: EngineState) -> int:
    return state.ms(state.settings.execution.replica_lag_s)


def _may_lag(state: EngineState, position: Position, qty: Decimal, snapshot: AccountSnapshot, first: bool) -> bool:
    """Whether a lagging replica explains the difference: protection is not taken away for that, and no fill undone.

    Of fills from before a restart only the time of the newest is known: soon after it any difference waits.
    """
    begin = snapshot.asked_at - _replica_lag_ms(state)
    if first and begin < state.portfolio.restored_ms <= snapshot.ts:
        return True
    if position.last_fill_ms <= begin:
        return False
    sign = 1 if position.qty > 0 else -1
    less = position.qty != 0 and qty * sign < abs(position.qty)
    return less or qty in position.held_before(begin)


def _traded_meanwhile(state: EngineState, symbol: str, first: bool) -> None:
    """The position was read before a fill that is counted already: neither figure may replace the other."""
    if not first:
        state.ask_snapshot(f"{symbol} traded while the snapshot was taken")
        return
    state.uncompared.add(symbol)
    state.reconciling.setdefault(symbol, state.now)
    state.require_snapshot(f"{symbol} traded while the first snapshot was taken")


def _agree(state: EngineState, snapshot: AccountSnapshot, symbol: str) -> None:
    """The position agrees, so every fill is counted: nothing told so long before the snapshot that no replica can lag
    behind it is still unheard, and a plan that accounts for another quantity (late fills of an ended plan, a restart
    between two writes) follows.
    """
    plan = state.plans.get(symbol)
    if plan is None:
        return
    for order in state.ledger.of_plan(plan.plan_id):
        if order.updated_ms < snapshot.asked_at - _replica_lag_ms(state):
            order.booked = max(order.booked, order.filled_qty)
    before = plan.entered - plan.exited
    _align(state, plan, state.open_qty(plan), state.portfolio.position(symbol).entry)
    if plan.entered - plan.exited != before:
        state.save_plan(plan, durable=True)


def _align(state: EngineState, plan: Plan, open_after: Decimal, entry: Decimal) -> None:
    """Let a plan account for ``open_after``; the difference was traded where nobody here heard of it."""
    position = state.portfolio.position(plan.symbol)
    mark = state.trigger_price(plan.symbol) or position.entry or entry
    open_before = plan.entered - plan.exited
    if open_after < open_before:
        gone = open_before - open_after
        plan.exited += gone
        plan.exit_value += gone * mark
        plan.realized += (mark - plan.avg_entry) * gone * plan.side.sign
        plan.close_reason = plan.close_reason or "closed elsewhere"
        plan.last_exit = None
    elif open_after > open_before:
        plan.entered += open_after - open_before
        plan.entry_value += (open_after - open_before) * (entry or mark)
        plan.first_fill_ms = plan.first_fill_ms or state.now
        plan.stage = Stage.OPEN if plan.stage is Stage.ENTERING else plan.stage


def _venue_wins(state: EngineState, snapshot: AccountSnapshot, symbol: str, qty: Decimal, entry: Decimal) -> None:
    position = state.portfolio.position(symbol)
    plan = state.plans.get(symbol)
    before = position.qty
    if plan is not None:
        _align(state, plan, max(ZERO, qty * plan.side.sign), entry)
        state.save_plan(plan, durable=True)
        for order in state.ledger.of_plan(plan.plan_id):
            order.booked = max(order.booked, order.filled_qty)
    state.portfolio.adopt(symbol, qty, entry or state.trigger_price(symbol) or position.entry)
    position.taken_ms, position.checked = snapshot.asked_at, True
    state.reconciling.pop(symbol, None)
    state.say(
        Severity.ALARM, f"{symbol}: the venue holds {qty}, here it was {before}; the venue's word is taken", symbol
    )


def _adopt(state: EngineState, orders: tuple[OpenOrder, ...], symbol: str, qty: Decimal, entry: Decimal) -> Plan:
    plan = adoption.adopted_plan(state, symbol, qty, entry, "no plan of this store owns it")
    stops = [o for o in orders if _own_stop(o, plan)]
    if stops:
        best = max(stops, key=lambda o: o.trigger_price * plan.side.sign)
        plan.stop_price = best.trigger_price
        plan.initial_stop = best.trigger_price
        for row in stops:
            if state.ledger.get(row.client_id) is None:
                state.ledger.add(_from_row(row, plan.plan_id, Leg.STOP))
    state.save_plan(plan, durable=True)
    return plan


def _own_stop(row: OpenOrder, plan: Plan) -> bool:
    parsed = parse_client_id(row.client_id)
    return (
        parsed is not None
        and parsed.leg is Leg.STOP
        and row.symbol == plan.symbol
        and row.side is plan.side.exit
        and row.trigger_price > 0
        and not row.status.terminal
    )


def _from_row(row: OpenOrder, plan_id: int, leg: Leg) -> OwnOrder:
    return OwnOrder(
        client_id=row.client_id,
        plan_id=plan_id,
        leg=leg,
        symbol=row.symbol,
        side=row.side,
        type=row.type,
        qty=row.qty,
        price=row.price,
        trigger_price=row.trigger_price,
        reduce_only=row.reduce_only,
        status=OrderStatus.UNKNOWN,
        venue_id=row.venue_id,
    )


def _settle_orders(state: EngineState, snapshot: AccountSnapshot) -> None:
    seen: set[str] = set()
    for row in snapshot.orders:
        parsed = parse_client_id(row.client_id)
        if parsed is None:
            continue
        seen.add(row.client_id)
        order = state.ledger.get(row.client_id)
        plan = state.plans.get(row.symbol)
        if order is None and plan is not None and _belongs(state, row, plan, parsed.plan_id):
            order = _from_row(row, plan.plan_id, parsed.leg)
            state.ledger.add(order)
        if order is None or state.plan_of(order.plan_id) is None or _rests_again(order, snapshot):
            _cancel_orphan(state, row)
        if order is not None:
            feedback.on_order_update(state, _as_update(row, snapshot.ts))
    for order in state.ledger.live():
        if order.client_id not in seen and max(order.sent_ms, order.updated_ms) < snapshot.asked_at:
            executor.query(state, order)


def _belongs(state: EngineState, row: OpenOrder, plan: Plan, plan_id: int) -> bool:
    """Whether an order that is not remembered is the plan's. A stop of ours over an open position always is, whatever
    plan placed it: it goes when one of this plan's own is proven (I10).
    """
    return plan.plan_id == plan_id or (state.open_qty(plan) > 0 and _own_stop(row, plan))


def _rests_again(order: OwnOrder, snapshot: AccountSnapshot) -> bool:
    """A request that was late on its way stood up an order under the id of one that has ended."""
    ended = order.status.terminal and order.status is not OrderStatus.REJECTED
    return ended and order.updated_ms < snapshot.asked_at


def _cancel_orphan(state: EngineState, row: OpenOrder) -> None:
    state.say(Severity.WARNING, f"{row.symbol}: cancelling our order {row.client_id}: no position needs it", row.symbol)
    state.out.append(
        CancelOrder(ts=state.now, client_id=row.client_id, symbol=row.symbol, book=row.book, venue_id=row.venue_id)
    )


def _as_update(row: OpenOrder, ts: int) -> OrderUpdate:
    return OrderUpdate(
        ts=ts,
        symbol=row.symbol,
        client_id=row.client_id,
        venue_id=row.venue_id,
        book=row.book,
        status=row.status,
        side=row.side,
        type=row.type,
        qty=row.qty,
        filled_qty=row.filled_qty,
        price=row.price,
        trigger_price=row.trigger_price,
        reduce_only=row.reduce_only,
        close_position=row.close_position,
    )
