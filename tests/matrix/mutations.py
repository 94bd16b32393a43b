"""Executors with one rule switched off. Each must make one of its rows fail, or the rows are worth nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tui_trader.core import (
    adoption,
    engine,
    executor,
    exits,
    feedback,
    housekeeping,
    manual,
    oco,
    orders,
    reconcile,
)
from tui_trader.core.commands import CancelOrder
from tui_trader.core.events import Fill, OrderUpdate, SendOutcome, SendResult
from tui_trader.core.oco import Place, Plan, Stage
from tui_trader.core.orders import OrderLedger, OwnOrder, parse_client_id
from tui_trader.core.portfolio import Portfolio
from tui_trader.core.state import EngineState
from tui_trader.core.types import Leg, OrderStatus, OrderType, VenueBook
from tui_trader.runtime.outbox import Outbox
from tui_trader.runtime.trader import Trader
from tui_trader.venues.binance import orders as wire
from tui_trader.venues.binance.reach import Reach
from tui_trader.venues.ratelimit import Budget

Apply = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Mutation:
    """``apply`` switches the rule off; ``rows`` are scenarios of which at least one must fail then."""

    name: str
    rows: tuple[str, ...]
    apply: Apply


MUTATIONS: list[Mutation] = []


def mutation(*rows: str) -> Callable[[Apply], Apply]:
    """Register under the function's name."""

    def register(apply: Apply) -> Apply:
        MUTATIONS.append(Mutation(apply.__name__, rows, apply))
        return apply

    return register


# --- ids, journal, acknowledgements ---


@mutation("stop-cancelled-once", "move-stop-by-hand", "whole-ladder")
def ids_are_reused(patch: pytest.MonkeyPatch) -> None:
    add = OrderLedger.add

    def replace(ledger: OrderLedger, order: OwnOrder) -> None:
        ledger._orders.pop(order.client_id, None)
        add(ledger, order)

    patch.setattr(Plan, "next_revision", lambda plan, leg: 1)
    patch.setattr(OrderLedger, "add", replace)


@mutation("entry-answer-lost", "entry-timeout", "entry-503-unknown")
def an_unknown_entry_is_sent_under_a_new_id(patch: pytest.MonkeyPatch) -> None:
    concluded = feedback._on_place_outcome

    def outcome(state: EngineState, order: OwnOrder, said: SendOutcome) -> None:
        plan = state.plan_of(order.plan_id)
        if said.result is SendResult.UNKNOWN and order.leg is Leg.ENTRY and plan is not None:
            order.status = OrderStatus.REJECTED
            executor.send(state, plan, leg=Leg.ENTRY, type_=order.type, qty=order.qty, price=order.price)
            return
        concluded(state, order, said)

    patch.setattr(feedback, "_on_place_outcome", outcome)


@mutation("entry-answer-lost", "entry-timeout", "entry-503-unknown")
def an_unknown_entry_is_resent_without_asking(patch: pytest.MonkeyPatch) -> None:
    concluded = feedback._on_place_outcome

    def outcome(state: EngineState, order: OwnOrder, said: SendOutcome) -> None:
        plan = state.plan_of(order.plan_id)
        if said.result is SendResult.UNKNOWN and order.leg is Leg.ENTRY and plan is not None:
            executor._emit(state, plan, order, resend=True)
            return
        concluded(state, order, said)

    patch.setattr(feedback, "_on_place_outcome", outcome)


@mutation("stop-acknowledged-only")
def acknowledgements_are_trusted(patch: pytest.MonkeyPatch) -> None:
    concluded = feedback._on_place_outcome

    def outcome(state: EngineState, order: OwnOrder, said: SendOutcome) -> None:
        concluded(state, order, said)
        if said.result is SendResult.ACCEPTED and order.unresolved:
            order.status, order.proven_ms = OrderStatus.WORKING, state.now

    patch.setattr(feedback, "_on_place_outcome", outcome)


@mutation("entry-market", "stopped-out")
def nothing_waits_for_the_journal(patch: pytest.MonkeyPatch) -> None:
    waited = Outbox._journalled
    later: set[asyncio.Task[str]] = set()

    async def at_once(outbox: Outbox, command: Any) -> str:
        task = asyncio.get_running_loop().create_task(waited(outbox, command))
        later.add(task)
        task.add_done_callback(later.discard)
        return ""

    patch.setattr(Outbox, "_journalled", at_once)


@mutation("entry-not-found-but-filled", "entry-late-arrival", "not-found-but-live")
def the_first_not_found_is_believed(patch: pytest.MonkeyPatch) -> None:
    def negative(state: EngineState, order: OwnOrder) -> None:
        if order.live:
            order.status, order.undelivered = OrderStatus.REJECTED, order.leg is not Leg.ENTRY

    patch.setattr(feedback, "_on_negative", negative)


@mutation("cancel-answer-lost", "entry-answer-lost", "cancel-refused-filled", "stop-answer-lost")
def nothing_is_ever_asked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(executor, "query", lambda state, order: None)
    patch.setattr(feedback, "query", lambda state, order: None)


@mutation("cancel-refused-filled", "cancel-answer-lost")
def a_refused_cancel_means_cancelled(patch: pytest.MonkeyPatch) -> None:
    def outcome(state: EngineState, order: OwnOrder, said: SendOutcome) -> None:
        if order.live and said.result is not SendResult.ACCEPTED:
            order.status = OrderStatus.CANCELED

    patch.setattr(feedback, "_on_cancel_outcome", outcome)


@mutation("cancel-request-lost", "old-stop-cancel-lost")
def a_cancel_is_said_only_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        oco,
        "_cancel",
        lambda rows, now, patience: [oco.Cancel(client_id=o.client_id) for o in rows if o.live and not o.cancel_ms],
    )


# --- facts ---


@mutation("events-twice", "events-minutes-late", "garbage-frames")
def a_trade_counts_each_time_it_is_told(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Portfolio, "is_new", lambda portfolio, fill: True)


@mutation("events-out-of-order", "events-twice", "events-minutes-late", "target-partly-filled")
def a_lower_fill_and_an_older_status_are_believed(patch: pytest.MonkeyPatch) -> None:
    def apply(order: OwnOrder, update: OrderUpdate) -> bool:
        changed = order.status is not update.status or order.filled_qty != update.filled_qty
        order.status, order.filled_qty = update.status, update.filled_qty
        order.venue_id = order.venue_id or update.venue_id
        order.actual_id = update.actual_id or order.actual_id
        if order.status in (OrderStatus.WORKING, OrderStatus.PARTIALLY_FILLED):
            order.proven_ms = update.ts
        order.updated_ms = update.ts
        return changed

    patch.setattr(feedback, "apply_update", apply)


@mutation("events-out-of-order", "cancel-refused-filled", "events-minutes-late", "sold-while-entering")
def any_status_may_follow_any_other(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(orders, "LEGAL", {status: frozenset(OrderStatus) for status in OrderStatus})


@mutation("disconnect", "garbage-frames", "restart-after-fill-while-away", "disconnect-while-entering")
def fills_come_from_the_stream_alone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reconcile, "_book_facts", lambda state, snapshot, first: None)


@mutation("closed-elsewhere-unheard", "reduced-elsewhere", "maintenance-stop-fills", "disconnect-both-books")
def nothing_is_compared_while_a_plan_runs(patch: pytest.MonkeyPatch) -> None:
    compared = reconcile.on_snapshot

    def when_idle(state: EngineState, snapshot: Any) -> None:
        if not state.plans:
            compared(state, snapshot)
        state.resync_ms = 0

    patch.setattr(reconcile, "on_snapshot", when_idle)


@mutation("crash-lagging-replica")
def a_lagging_word_of_flat_is_believed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reconcile, "_may_lag", lambda state, position, qty, snapshot, first: False)


@mutation("adopt-foreign", "adopt-at-start", "short-adopted-while-holding")
def nothing_is_adopted(patch: pytest.MonkeyPatch) -> None:
    def ignored(state: EngineState, symbol: str, qty: Decimal, entry: Decimal, why: str) -> Plan:
        plan = adopted(state, symbol, qty, entry, why)
        state.plans.pop(symbol, None)
        return plan

    adopted = adoption.adopted_plan
    patch.setattr(adoption, "adopted_plan", ignored)


@mutation("opened-elsewhere")
def what_was_opened_elsewhere_waits_for_its_turn(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reconcile, "adopt_heard", lambda state, symbol: None)
    patch.setattr(housekeeping, "_unowned", lambda state, position: False)


@mutation("adopt-at-start", "entry-not-found-but-filled")
def the_venue_never_wins(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reconcile, "_venue_wins", lambda state, snapshot, symbol, qty, entry: None)
    book = feedback.on_fill

    def own_only(state: EngineState, fill: Fill) -> None:
        if state.ledger.find(fill.client_id, fill.venue_id) is not None:
            book(state, fill)

    patch.setattr(feedback, "on_fill", own_only)


@mutation("sold-while-entering", "flipped-elsewhere", "short-adopted-while-holding")
def a_foreign_fill_belongs_to_whatever_plan_there_is(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(feedback, "_concerned", lambda state, fill, before: state.plans.get(fill.symbol))


@mutation("liquidated", "deleveraged")
def a_liquidation_is_a_fill_like_any_other(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(feedback, "BY_THE_VENUE", {})


# --- stops ---


@mutation("move-stop-by-hand", "stop-4130", "target-partly-filled", "close-position-stop-rests")
def the_old_stop_goes_before_the_new_one_is_proven(patch: pytest.MonkeyPatch) -> None:
    def steps(
        plan: Plan, open_qty: Decimal, rows: list[OwnOrder], instrument: Any, now: int, patience: Any
    ) -> list[Any]:
        live = [o for o in rows if o.leg is Leg.STOP and o.live]
        right = [o for o in live if o.trigger_price == plan.stop_price and o.qty - o.filled_qty == open_qty]
        wrong = [o for o in live if o not in right]
        if wrong:
            return list(oco._cancel(wrong, now, patience))
        if right:
            return []
        return [Place(leg=Leg.STOP, type=OrderType.STOP_MARKET, qty=open_qty, trigger_price=plan.stop_price)]

    patch.setattr(oco, "_stop_steps", steps)


@mutation("whole-ladder", "target-partly-filled", "close-part-by-hand", "increased-elsewhere")
def the_stop_keeps_its_quantity(patch: pytest.MonkeyPatch) -> None:
    follow = oco._stop_steps

    def once(plan: Plan, open_qty: Decimal, rows: list[OwnOrder], *rest: Any) -> list[Any]:
        there = any(o.leg is Leg.STOP and o.proven and o.trigger_price == plan.stop_price for o in rows)
        return [] if there else follow(plan, open_qty, rows, *rest)

    patch.setattr(oco, "_stop_steps", once)


@mutation("stop-would-trigger", "stop-would-trigger-4142")
def a_stop_beyond_the_price_is_just_tried_again(patch: pytest.MonkeyPatch) -> None:
    def passed(state: EngineState, plan: Plan, order: OwnOrder, older: OwnOrder | None) -> None:
        state.leg_retry[(plan.plan_id, Leg.STOP)] = state.now + 1_000

    patch.setattr(feedback, "_on_stop_passed", passed)


@mutation("stop-stuck-triggering")
def a_stuck_stop_still_protects(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(oco, "stuck_stop", lambda rows, now, limit_ms: None)


@mutation("stop-never-arrives", "stop-4509-for-ever")
def a_naked_position_is_never_flattened(patch: pytest.MonkeyPatch) -> None:
    close = executor.begin_close

    def unless_naked(state: EngineState, plan: Plan, reason: str, **options: Any) -> None:
        if "stop" not in reason:
            close(state, plan, reason, **options)

    patch.setattr(executor, "begin_close", unless_naked)
    patch.setattr(feedback, "begin_close", unless_naked)


@mutation("stop-4509-for-ever", "stop-cap-reached")
def a_refused_stop_is_tried_for_ever(patch: pytest.MonkeyPatch) -> None:
    def again(state: EngineState, plan: Plan, order: OwnOrder, code: int, reason: str) -> None:
        state.leg_retry[(plan.plan_id, Leg.STOP)] = state.now + 1_000

    patch.setattr(feedback, "_on_stop_refused", again)
    patch.setattr(executor, "_watch_protection", lambda state, plan, qty, rows: None)


@mutation("stop-4509", "stop-503-not-executed")
def the_first_refusal_flattens(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(feedback, "STOP_TRIES", 1)
    patch.setattr(feedback, "NOT_SEEN_S", 0.0)
    patch.setattr(
        feedback,
        "_not_delivered",
        lambda state, order, said: executor.begin_close(state, state.plan_of(order.plan_id), "refused"),
    )


@mutation("stop-cancelled-twice")
def a_stop_is_replaced_again_and_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(feedback, "_on_stop_lost", lambda state, plan: None)


@mutation("stop-unknown-error-no-entries")
def an_unknown_refusal_is_like_any_other(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(feedback, "HTTP_REFUSALS", range(-100_000, 1))


@mutation("reduce-only-refused")
def targets_stay_when_reduce_only_is_refused(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(feedback, "REDUCE_ONLY_REFUSED", frozenset())


@mutation("conditional-cap-near")
def the_venues_cap_of_stops_is_not_looked_at(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(EngineState, "conditionals", lambda state: 0)
    counted = reconcile.on_snapshot

    def uncounted(state: EngineState, snapshot: Any) -> None:
        counted(state, snapshot)
        state.foreign_conditionals = 0

    patch.setattr(reconcile, "on_snapshot", uncounted)


@mutation("dust", "dust-smallest")
def dust_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    step = Decimal("0.002")
    patch.setattr(oco, "stop_sizes", lambda qty, instrument: [qty // step * step] if qty >= step else [])


@mutation("canary-refused")
def the_canary_is_not_sent(patch: pytest.MonkeyPatch) -> None:
    async def silent(trader: Trader) -> None:
        return

    patch.setattr(Trader, "_run_canary", silent)


# --- targets, entries, exits ---


@mutation("targets-only-under-a-stop", "stop-acknowledged-only")
def targets_do_not_wait_for_the_stop(patch: pytest.MonkeyPatch) -> None:
    steps, proven = oco._target_steps, oco.proven_stop

    def unguarded(*parts: Any) -> list[Any]:
        oco.proven_stop = lambda plan, rows, qty: rows[0]  # type: ignore[assignment]
        try:
            return steps(*parts)
        finally:
            oco.proven_stop = proven

    patch.setattr(oco, "_target_steps", unguarded)


@mutation("close-part-by-hand", "reduced-elsewhere", "deleveraged", "dust")
def targets_keep_their_quantity(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(exits, "shrink_targets", lambda plan, open_qty, closed, instrument: None)
    patch.setattr(
        oco, "desired_targets", lambda plan, open_qty, instrument, rows=(): [t for t in plan.targets if t.left > 0]
    )


@mutation("target-and-stop", "gap-through-both", "stopped-out")
def exits_are_not_reduce_only(patch: pytest.MonkeyPatch) -> None:
    honest = wire.place_params
    patch.setattr(wire, "place_params", lambda order: {k: v for k, v in honest(order).items() if k != "reduceOnly"})


@mutation("entry-limit-timeout", "entry-partly-filled")
def the_remainder_of_an_entry_works_for_ever(patch: pytest.MonkeyPatch) -> None:
    settle = executor._settle_stage

    def patient(state: EngineState, plan: Plan, open_qty: Decimal, rows: list[OwnOrder]) -> None:
        plan.entry_deadline_ms = state.now + 1_000_000
        settle(state, plan, open_qty, rows)

    patch.setattr(executor, "_settle_stage", patient)


@mutation("stop-fills-partly")
def the_close_is_sent_once(patch: pytest.MonkeyPatch) -> None:
    close = oco._market_close

    def once(qty: Decimal, rows: list[OwnOrder], *rest: Any) -> list[Any]:
        return [] if any(o.leg is Leg.CLOSE for o in rows) else close(qty, rows, *rest)

    patch.setattr(oco, "_market_close", once)


@mutation("flatten-in-order", "close-all-by-hand")
def the_stop_goes_first_when_flattening(patch: pytest.MonkeyPatch) -> None:
    steps = oco._closing_steps

    def stripped(plan: Plan, open_qty: Decimal, covered: Decimal, rows: list[OwnOrder], *rest: Any) -> list[Any]:
        cancels = oco._cancel([o for o in rows if o.leg is Leg.STOP], rest[1], rest[2])
        return cancels + steps(plan, open_qty, covered, rows, *rest)

    patch.setattr(oco, "_closing_steps", stripped)


@mutation("closed-elsewhere", "stopped-out", "close-all-by-hand")
def the_other_leg_is_not_cancelled(patch: pytest.MonkeyPatch) -> None:
    converge = oco.converge

    def lazy(plan: Plan, open_qty: Decimal, *rest: Any, **options: Any) -> list[Any]:
        return converge(plan, open_qty, *rest, **options) if open_qty > 0 or plan.stage is Stage.ENTERING else []

    patch.setattr(oco, "converge", lazy)


# --- both books, others' orders ---


def _only(book: VenueBook) -> Apply:
    def apply(patch: pytest.MonkeyPatch) -> None:
        settle = reconcile._settle_orders

        def half(state: EngineState, snapshot: Any) -> None:
            rows = tuple(row for row in snapshot.orders if row.book is book)
            settle(state, msgspec.structs.replace(snapshot, orders=rows))

        patch.setattr(reconcile, "_settle_orders", half)

    return apply


@mutation("orphans-in-both-books")
def only_the_regular_book_is_looked_at(patch: pytest.MonkeyPatch) -> None:
    _only(VenueBook.REGULAR)(patch)


@mutation("orphans-in-both-books")
def only_the_algo_book_is_looked_at(patch: pytest.MonkeyPatch) -> None:
    _only(VenueBook.ALGO)(patch)


@mutation("foreign-orders-untouched", "close-position-stop-rests")
def whatever_rests_and_is_not_ours_is_cancelled(patch: pytest.MonkeyPatch) -> None:
    settle = reconcile._settle_orders

    def greedy(state: EngineState, snapshot: Any) -> None:
        settle(state, snapshot)
        for row in snapshot.orders:
            if parse_client_id(row.client_id) is None:
                state.out.append(CancelOrder(ts=state.now, client_id=row.client_id, symbol=row.symbol, book=row.book))

    patch.setattr(reconcile, "_settle_orders", greedy)


# --- blind, killed, restarted ---


@mutation("clock-skew", "enter-while-cut", "disconnect")
def entries_go_out_while_blind(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(EngineState, "_blind", lambda state: [])


@mutation("book-silent", "book-gap", "book-stale")
def a_stale_book_is_traded_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(engine.Engine, "_on_stale", lambda self, event: None)
    told = engine.Engine._on_timer

    def fresh(self: engine.Engine, event: Any) -> None:
        for m in self.state.metrics.values():
            m.book_ms = m.depth_ms = self.state.now
        told(self, event)

    patch.setattr(engine.Engine, "_on_timer", fresh)


@mutation("kill-switch")
def the_kill_switch_does_not_block(patch: pytest.MonkeyPatch) -> None:
    blocks = EngineState._global_blocks
    patch.setattr(EngineState, "_global_blocks", lambda state: [b for b in blocks(state) if b[0] != "killed"])


@mutation("crash-after-kill")
def a_restart_forgets_the_kill_switch(patch: pytest.MonkeyPatch) -> None:
    recover = housekeeping.recover

    def forgetful(state: EngineState, recovered: Any) -> None:
        recover(state, recovered)
        state.killed = ""

    patch.setattr(housekeeping, "recover", forgetful)


@mutation("kill-switch", "crash-after-kill")
def the_kill_switch_is_not_stored(patch: pytest.MonkeyPatch) -> None:
    store = EngineState.store

    def lossy(state: EngineState, kind: str, data: dict[str, object], **options: Any) -> None:
        if data.get("key") != "kill":
            store(state, kind, data, **options)

    patch.setattr(EngineState, "store", lossy)


@mutation("crash-slow-comparison")
def a_restart_acts_before_it_compares(patch: pytest.MonkeyPatch) -> None:
    drive = executor.drive

    def hasty(state: EngineState, plan: Plan) -> None:
        before, state.reconciled_ms = state.reconciled_ms, state.reconciled_ms or 1
        try:
            drive(state, plan)
        finally:
            if state.reconciled_ms == 1:
                state.reconciled_ms = before

    for module in (executor, feedback, adoption):
        patch.setattr(module, "drive", hasty)


@mutation("restart-with-working-entry", "restart-with-position", "crash-while-entry-is-on-its-way")
def a_restart_forgets_its_orders(patch: pytest.MonkeyPatch) -> None:
    restore = reconcile.restore
    patch.setattr(
        reconcile, "restore", lambda state, recovered: restore(state, msgspec.structs.replace(recovered, orders=()))
    )


@mutation("leave-with-working-entry", "leave-protected")
def leaving_leaves_the_entry_working(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(manual, "_stop", lambda state, command: None)
    patch.setitem(manual._HANDLERS, manual.ev.ShutdownRequested, lambda state, command: None)


# --- the venue's clock, rules and patience ---


@mutation("stop-minus-1021", "entry-minus-1021")
def a_refused_timestamp_is_a_refused_order(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Reach, "asked", Reach._once)


@mutation("rate-limited", "banned", "forbidden", "rate-limited-stop")
def retry_after_is_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Budget, "silence", lambda budget, seconds: None)


@mutation("symbol-settling-exit")
def a_closing_symbol_is_held(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(executor, "on_instrument", lambda state, instrument: None)


@mutation("whole-ladder", "break-even-exit")
def the_stop_never_moves_to_break_even(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(exits, "move_to_break_even", lambda plan, instrument: [])


@mutation("stop-answer-lost", "stop-timeout")
def an_order_is_asked_about_only_once(patch: pytest.MonkeyPatch) -> None:
    def told(state: EngineState) -> None:
        for plan in list(state.plans.values()):
            executor.drive(state, plan)

    patch.setattr(executor, "tick", told)
