"""Watches protection while trading: I1 (a proven stop, or being flattened) and I8 (no orphans).

What rests at the venue is counted here from the venue's own words, so that neither the plan nor the ledger has to be
believed. Times are venue ms; limits are real seconds.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from decimal import Decimal

import msgspec

from tui_trader.core import events as ev
from tui_trader.core.commands import CancelOrder, Command, PlaceOrder, QueryOrder, RequestSnapshot
from tui_trader.core.invariants_orders import parts_of
from tui_trader.core.oco import Stage
from tui_trader.core.state import EngineState
from tui_trader.core.trace import Breach
from tui_trader.core.types import ZERO, Leg, OrderSide, OrderStatus, VenueBook

GRACE_S = 2.0
"""The hard limit is the executor's own; so long after it the position must be on its way out."""
IDLE_S = 15.0
"""A position that is being flattened and bare must not be left without any step for longer."""
DUST_IDLE_S = 330.0
"""The same for a remainder below what the venue trades, when the venue itself refused to close it."""
ORPHAN_S = 10.0
ORPHAN_SEEN_S = 5.0
"""An orphan counts once it was seen resting so long after the symbol went flat, so that no late word accuses."""
GONE_KEPT = 5_000

_RESTING = frozenset({OrderStatus.WORKING, OrderStatus.PARTIALLY_FILLED})


class Resting(msgspec.Struct, kw_only=True):
    """One own order that rests by the venue's word. ``seen_ms`` is the word's time, ``heard_ms`` when it came."""

    plan_id: int
    leg: Leg
    symbol: str
    side: OrderSide
    left: Decimal  # base, not filled
    seen_ms: int
    heard_ms: int
    orphan_ms: int = 0  # since when no position needs it, 0 while one does
    failed_ms: int = 0  # when a request about it last failed


class CoverWatch:
    """Knows what rests at the venue and since when each open position is without a proven stop."""

    def __init__(self, state: EngineState) -> None:
        self._state = state
        self.resting: dict[str, Resting] = {}
        self.naked: dict[str, int] = {}
        self._gone: OrderedDict[str, int] = OrderedDict()
        self._acted: dict[str, int] = {}
        self._not_closed: dict[str, int] = {}
        self._reconciled_ms = 0

    # --- what comes in and goes out ---

    def event(self, event: ev.Event) -> None:
        """Take the venue's word on own orders and follow the positions it touches."""
        if isinstance(event, ev.OrderUpdate):
            self._said(event)
            self._follow(event.symbol, self._state.now)
        elif isinstance(event, ev.Fill):
            self._follow(event.symbol, min(event.venue_ts or self._state.now, self._state.now))
        elif isinstance(event, ev.SendOutcome):
            self._outcome(event)
        elif isinstance(event, ev.AccountSnapshot):
            self._listed(event)
            self._follow_all()

    def commands(self, commands: list[Command]) -> None:
        """Remember when something was last done for a symbol."""
        for command in commands:
            if isinstance(command, PlaceOrder | CancelOrder | QueryOrder):
                self._acted[command.symbol] = self._state.now
            elif isinstance(command, RequestSnapshot):
                self._acted[""] = self._state.now

    def _said(self, update: ev.OrderUpdate) -> None:
        order = self._state.ledger.find(update.client_id, update.venue_id, update.book)
        name = order.client_id if order is not None else update.client_id
        parts = parts_of(name)
        if parts is None or not update.from_venue_evidence:
            return
        at = update.venue_ts or update.ts
        known = self.resting.get(name)
        if known is not None and at < known.seen_ms and not update.status.terminal:
            return
        child = order is not None and order.book is VenueBook.ALGO and update.book is VenueBook.REGULAR
        if update.status not in _RESTING or child:
            self._ended(name, at if update.status.terminal or child else 0)
        elif at > self._gone.get(name, -1):
            self._rests(name, parts.plan_id, parts.leg, update, at)

    def _rests(self, name: str, plan_id: int, leg: Leg, row: ev.OrderUpdate | ev.OpenOrder, at: int) -> None:
        left = max(ZERO, row.qty - row.filled_qty)
        known = self.resting.get(name)
        if known is not None:
            known.left, known.seen_ms, known.heard_ms = left, max(at, known.seen_ms), self._state.now
            return
        self.resting[name] = Resting(
            plan_id=plan_id,
            leg=leg,
            symbol=row.symbol,
            side=row.side,
            left=left,
            seen_ms=at,
            heard_ms=self._state.now,
        )

    def _ended(self, name: str, at: int) -> None:
        self.resting.pop(name, None)
        if at:
            self._gone[name] = max(at, self._gone.get(name, 0))
            while len(self._gone) > GONE_KEPT:
                self._gone.popitem(last=False)

    def _outcome(self, outcome: ev.SendOutcome) -> None:
        if outcome.action is ev.SendAction.PLACE and outcome.result is ev.SendResult.REJECTED:
            parts = parts_of(outcome.client_id)
            if parts is not None and parts.leg is Leg.CLOSE:
                self._not_closed[outcome.symbol] = self._state.now
        known = self.resting.get(outcome.client_id)
        if known is None:
            return
        if outcome.action is ev.SendAction.CANCEL and outcome.result is ev.SendResult.ACCEPTED:
            self._ended(outcome.client_id, self._state.now)
            self._follow(known.symbol, self._state.now)
        elif outcome.result is not ev.SendResult.ACCEPTED:
            known.failed_ms = self._state.now

    def _listed(self, snapshot: ev.AccountSnapshot) -> None:
        if not snapshot.complete or snapshot.hedge_mode:
            return
        listed: set[str] = set()
        for row in snapshot.orders:
            parts = parts_of(row.client_id)
            if parts is None:
                continue
            listed.add(row.client_id)
            if row.status in _RESTING and snapshot.asked_at > self._gone.get(row.client_id, -1):
                self._rests(row.client_id, parts.plan_id, parts.leg, row, snapshot.asked_at)
        for name in [n for n, rest in self.resting.items() if n not in listed and rest.heard_ms < snapshot.asked_at]:
            self._ended(name, 0)

    # --- I1 ---

    def _covered(self, symbol: str, qty: Decimal) -> bool:
        exit_side = OrderSide.SELL if qty > 0 else OrderSide.BUY
        stops = (
            r.left for r in self.resting.values() if r.leg is Leg.STOP and r.symbol == symbol and r.side is exit_side
        )
        return sum(stops, ZERO) >= abs(qty)

    def _follow(self, symbol: str, since: int) -> None:
        qty = self._state.portfolio.position(symbol).qty
        if qty != 0 and not self._covered(symbol, qty):
            self.naked.setdefault(symbol, since)
            return
        began = self.naked.pop(symbol, None)
        if began is not None:
            self._state.unprotected_s.append(max(0, self._state.now - began) / 1000 / self._state.rate)

    def _follow_all(self) -> None:
        for symbol in sorted({p.symbol for p in self._state.portfolio.open_positions()} | self.naked.keys()):
            self._follow(symbol, self._state.now)

    def check(self) -> Iterator[Breach]:
        """What time has made a breach; call it every second or two."""
        state = self._state
        self._reconciled_ms = self._reconciled_ms or state.reconciled_ms
        self._follow_all()
        if not state.reconciled_ms or not state.reachable():
            return
        since = max(state.reachable_since(), self._reconciled_ms)
        for symbol in sorted(self.naked):
            yield from self._bare(symbol, since)
        yield from self._orphans(since)

    def _bare(self, symbol: str, reachable_ms: int) -> Iterator[Breach]:
        state = self._state
        naked = state.now - max(self.naked[symbol], reachable_ms)
        if naked <= state.ms(state.settings.execution.naked_limit_s + GRACE_S):
            return
        plan = state.plans.get(symbol)
        idle = state.now - max(self._acted.get(symbol, 0), self._acted.get("", 0), reachable_ms)
        seconds = naked / 1000 / state.rate
        qty = state.portfolio.position(symbol).qty
        words = f"{qty} {symbol} is open without a stop seen at the venue for {seconds:.0f} s"
        if plan is None:
            words += ", and no plan owns it: close it at the venue, or wait for its filters"
        elif plan.stage is not Stage.CLOSING:
            words += " and is not being flattened: close it by hand (x) now"
        elif idle > state.ms(self._patience_s(symbol)):
            words += ", it should be flattened and nothing is sent for it: close it at the venue now"
        else:
            return
        yield Breach(invariant="I1", symbol=symbol, subject=symbol, words=words)

    def _patience_s(self, symbol: str) -> float:
        """How long a bare position that is being flattened may be left without a step, s."""
        state = self._state
        position, instrument = state.portfolio.position(symbol), state.instruments.get(symbol)
        refused = state.now - self._not_closed.get(symbol, -state.ms(DUST_IDLE_S)) < state.ms(DUST_IDLE_S)
        price = state.trigger_price(symbol) or position.entry
        dust = instrument is not None and instrument.is_dust(abs(position.qty), price)
        return DUST_IDLE_S if refused and dust else IDLE_S

    # --- I8 ---

    def _orphans(self, reachable_ms: int) -> Iterator[Breach]:
        state = self._state
        plans = {plan.plan_id for plan in state.plans.values()}
        for name in sorted(self.resting):
            rest = self.resting[name]
            position = state.portfolio.position(rest.symbol)
            flat = position.qty == 0 and position.venue_qty == 0
            if rest.plan_id in plans and not (flat and rest.leg is not Leg.ENTRY):
                rest.orphan_ms = 0
                continue
            rest.orphan_ms = rest.orphan_ms or state.now
            if self._is_orphan(rest, reachable_ms):
                words = f"our order {name} still rests at the venue although nothing is open: cancel it there"
                yield Breach(invariant="I8", symbol=rest.symbol, subject=name, words=words)

    def _is_orphan(self, rest: Resting, reachable_ms: int) -> bool:
        state = self._state
        start = max(rest.orphan_ms, reachable_ms)
        patience = ORPHAN_S
        if rest.failed_ms > start:
            start, patience = rest.failed_ms, state.settings.execution.reconcile_s + ORPHAN_SEEN_S
        age = state.now - start
        seen = rest.heard_ms - start > state.ms(ORPHAN_SEEN_S)
        return age > state.ms(patience) and (seen or age > 3 * state.ms(patience))
