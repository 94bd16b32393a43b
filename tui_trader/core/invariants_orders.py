"""Watches orders while trading: I2–I6, I11 and I12, from the commands that leave and the venue's words that come in.

Nothing here is shared with the code that enforces these rules: what was sent is counted from the commands themselves,
what became of it from the events. The engine's ledger is only read to be compared.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache

import msgspec

from tui_trader.core import events as ev
from tui_trader.core.commands import CancelOrder, Command, PlaceOrder, Record
from tui_trader.core.orders import OwnOrder, parse_client_id
from tui_trader.core.state import EngineState
from tui_trader.core.trace import Breach
from tui_trader.core.types import MINUTE_MS, ZERO, Leg, OrderStatus, Side, VenueBook, dec

SENT_KEPT = 4_000
PLANS_KEPT = 20_000

parts_of = lru_cache(maxsize=2_000)(parse_client_id)
"""Ids are looked at again and again; they are taken apart once."""

_S = OrderStatus
_RANK = {_S.INTENT: 0, _S.SENT: 0, _S.UNKNOWN: 0, _S.WORKING: 1, _S.TRIGGERED: 2, _S.PARTIALLY_FILLED: 3}
_ENDED = 4
"""How far an order is in its life. It never goes back, unless it was believed ended and the venue speaks of it."""


def rank(status: OrderStatus) -> int:
    """How far an order of this status is in its life."""
    return _RANK.get(status, _ENDED)


class Sent(msgspec.Struct, kw_only=True):
    """One own order as seen from outside. ``said`` is filled by the venue's words; ``status``, ``filled`` and
    ``traded`` (the sum of its trades) are what the ledger showed last.
    """

    plan_id: int
    leg: Leg
    symbol: str
    qty: Decimal
    sign: int = 0
    order: PlaceOrder | None = None
    status: OrderStatus = OrderStatus.SENT
    said: Decimal = ZERO
    filled: Decimal = ZERO
    traded: Decimal = ZERO
    unsent: bool = False
    refused: bool = False
    ended: bool = False
    negatives: int = 0
    first_negative_ms: int = 0

    @property
    def at_most(self) -> Decimal:
        """The largest quantity that it may still turn out to have traded."""
        return max(self.traded, self.said) if self.ended or self.refused else max(self.qty, self.traded)


class OrderWatch:
    """Counts what is sent and checks it; ``sent`` holds own orders by client id, the newest last."""

    def __init__(self, state: EngineState) -> None:
        self.sent: OrderedDict[str, Sent] = OrderedDict()
        self._state = state
        self._live: dict[str, None] = {}
        self._revision: OrderedDict[tuple[int, Leg], int] = OrderedDict()
        self._oldest_plan = 0
        self._approved: OrderedDict[int, Decimal] = OrderedDict()
        self._sequence = 0
        self._held: dict[str, Decimal] = {}
        self._told: dict[str, Decimal] = {}
        self._minute: deque[int] = deque(maxlen=5_000)
        self._journalled: OrderedDict[int, int] = OrderedDict()
        for plan in state.plans.values():
            self._journalled[plan.plan_id] = plan.opened_ms
            self._approved[plan.plan_id] = plan.entry_qty
        for order in state.ledger:
            self._take(order)

    def _take(self, order: OwnOrder) -> None:
        """An order of an earlier start, or one that only the venue remembered."""
        sign = order.side.sign
        known = Sent(plan_id=order.plan_id, leg=order.leg, symbol=order.symbol, qty=order.qty, sign=sign)
        known.status, known.filled, known.traded = order.status, order.filled_qty, order.booked
        self.sent[order.client_id] = known
        if order.live:
            self._live[order.client_id] = None

    def journalled_ms(self, plan_id: int) -> int | None:
        """When the plan was first written down, venue ms; None when it never was."""
        return self._journalled.get(plan_id)

    # --- what leaves ---

    def commands(self, commands: list[Command]) -> Iterator[Breach]:
        """Check what is about to leave. An entry that breaks a rule is named in ``Breach.withhold``."""
        before = len(self._minute)
        for command in commands:
            if type(command) is PlaceOrder:
                yield from self._place(command, before)
            elif type(command) is CancelOrder:
                yield from self._cancel(command)
            elif type(command) is Record and command.kind == "plans":
                self._note_plan(command)

    def repeats(self, commands: list[Command]) -> None:
        """Orders that were refused or lost and leave again under their id: their life begins anew. Call it first."""
        for command in commands:
            known = self.sent.get(command.client_id) if type(command) is PlaceOrder and command.resend else None
            if known is not None:
                known.refused = known.unsent = known.ended = False
                known.status = _S.SENT if known.status is _S.REJECTED else known.status

    def _note_plan(self, record: Record) -> None:
        number = record.data.get("plan_id")
        if isinstance(number, int) and number not in self._journalled:
            self._journalled[number] = record.ts
            _bound(self._journalled, PLANS_KEPT)

    def _cancel(self, command: CancelOrder) -> Iterator[Breach]:
        if parts_of(command.client_id) is None:
            words = f"a cancel of {command.client_id or command.venue_id}, which is not our order, was decided"
            yield Breach(invariant="I8", symbol=command.symbol, subject=command.client_id, words=words)

    def _place(self, order: PlaceOrder, earlier: int) -> Iterator[Breach]:
        for invariant, words in self._problems(order, earlier):
            entry = not order.reduce_only
            yield Breach(
                invariant=invariant,
                symbol=order.symbol,
                subject=order.client_id,
                words=f"{order.leg.name} of {order.symbol}: {words}",
                withhold=order.client_id if entry and order.leg is Leg.ENTRY else "",
            )
        if order.client_id not in self.sent:
            self._remember(order)

    def _remember(self, order: PlaceOrder) -> None:
        number = parts_of(order.client_id)
        key = (order.plan_id, order.leg)
        self._revision[key] = max(self._revision.get(key, 0), number.revision if number else 0)
        while len(self._revision) > PLANS_KEPT:
            (plan_id, _), _ = self._revision.popitem(last=False)
            self._oldest_plan = max(self._oldest_plan, plan_id + 1)
        self.sent[order.client_id] = Sent(
            plan_id=order.plan_id,
            leg=order.leg,
            symbol=order.symbol,
            qty=order.qty,
            sign=order.side.sign,
            order=order,
        )
        self._live[order.client_id] = None
        self._minute.append(self._state.now)
        self._sequence = max(self._sequence, order.approval.sequence)
        if order.leg is Leg.ENTRY:
            self._approved.setdefault(order.plan_id, order.approval.max_qty)
            _bound(self._approved, PLANS_KEPT)
        while len(self.sent) > SENT_KEPT:
            self._live.pop(self.sent.popitem(last=False)[0], None)

    def _problems(self, order: PlaceOrder, earlier: int) -> Iterator[tuple[str, str]]:
        known = self.sent.get(order.client_id)
        if known is not None:
            yield from _repeated(order, known)
            return
        inexact = list(self._numbers(order))
        if inexact:
            yield from inexact
            return
        yield from self._identity(order)
        yield from self._approval(order)
        if order.leg is Leg.ENTRY:
            yield from self._entry(order, earlier)
        else:
            yield from self._exit(order)

    def _numbers(self, order: PlaceOrder) -> Iterator[tuple[str, str]]:
        for name in ("qty", "price", "trigger_price"):
            value: object = getattr(order, name)
            if type(value) is not Decimal or not value.is_finite() or value < 0:
                yield "I17", f"its {name} {value!r} is no exact amount"
        if order.qty == 0:
            yield "I17", "its quantity is zero"

    def _identity(self, order: PlaceOrder) -> Iterator[tuple[str, str]]:
        parts = parts_of(order.client_id)
        if parts is None or parts.plan_id != order.plan_id or parts.leg is not order.leg:
            yield "I4", f"its id {order.client_id} does not carry its plan {order.plan_id} and leg {order.leg.name}"
            return
        if parts.epoch != self._state.epoch:
            yield "I4", f"its id {order.client_id} is of another start than this one ({self._state.epoch})"
        if parts.revision <= self._revision.get((order.plan_id, order.leg), 0):
            yield "I4", f"its id {order.client_id} is not newer than the last one of this leg"
        if order.resend:
            yield "I4", f"it is said to be sent again, but {order.client_id} was never sent"
        if order.plan_id not in self._journalled:
            yield "I4", f"its plan {order.plan_id} was never written down"

    def _approval(self, order: PlaceOrder) -> Iterator[tuple[str, str]]:
        approval = order.approval
        if approval.sequence <= self._sequence:
            yield "I12", f"its approval {approval.sequence} is not fresh (the last one was {self._sequence})"
        if order.qty > approval.max_qty:
            yield "I12", f"its quantity {order.qty} is above the approved {approval.max_qty}"
        if approval.exit is (order.leg is Leg.ENTRY):
            yield "I12", f"it is approved as an {'exit' if approval.exit else 'entry'}, which it is not"

    # --- entries ---

    def _entry(self, order: PlaceOrder, earlier: int) -> Iterator[tuple[str, str]]:
        state = self._state
        for invariant, words in _blocked(state, order.symbol):
            yield invariant, f"it was decided although {words}"
        held = state.portfolio.position(order.symbol).qty
        if held != 0 and order.plan_id not in self._approved:
            yield "I2", f"{held} is open in this symbol already"
        approved = self._approved.get(order.plan_id, order.approval.max_qty)
        wanted = order.qty
        for other in self._entries(order.symbol):
            if other.plan_id == order.plan_id:
                wanted += other.at_most
            elif not other.ended:
                yield "I2", f"plan {other.plan_id} may still enter {other.qty} here"
        if wanted > approved:
            yield "I2", f"with it {wanted} may be entered, {approved} was approved"
        yield from self._limits(order, earlier)

    def _entries(self, symbol: str) -> Iterator[Sent]:
        """Entries of a symbol that may have traded or may still trade."""
        for client_id in self._live:
            found = self.sent[client_id]
            if found.leg is Leg.ENTRY and found.symbol == symbol and not found.refused:
                yield found

    def _limits(self, order: PlaceOrder, earlier: int) -> Iterator[tuple[str, str]]:
        state = self._state
        limits = state.settings.limits
        metrics = state.metrics.get(order.symbol)
        price = order.price or (dec(metrics.mark or metrics.mid) if metrics is not None else ZERO)
        most = limits.max_notional_per_symbol * (1 + dec(limits.price_collar))
        if price <= 0:
            yield "I12", "its price is not known"
        elif order.qty * price > most:
            yield "I12", f"its notional {order.qty * price:,.2f} is above the limit {limits.max_notional_per_symbol:,}"
        others = {p.symbol for p in state.portfolio.open_positions()}
        others |= {s.symbol for i in self._live if (s := self.sent[i]).leg is Leg.ENTRY and not s.ended}
        if len(others - {order.symbol}) >= limits.max_positions:
            yield (
                "I12",
                f"{len(others - {order.symbol})} other positions or entries are open, {limits.max_positions} may",
            )
        recent = sum(1 for at in list(self._minute)[:earlier] if state.now - at <= MINUTE_MS)
        if recent >= limits.max_orders_per_minute:
            yield "I12", f"{recent} orders left within a minute, {limits.max_orders_per_minute} may"

    # --- exits ---

    def _exit(self, order: PlaceOrder) -> Iterator[tuple[str, str]]:
        if not order.reduce_only:
            yield "I3", "it is not reduce-only, so it could open a position"
        position = self._state.portfolio.position(order.symbol)
        before = self._held.get(order.symbol, ZERO)
        unheard = self._unheard(order.symbol)
        held = [qty for qty in (position.qty + unheard, position.qty, position.venue_qty, before) if qty != 0]
        sides = {Side.LONG.exit if qty > 0 else Side.SHORT.exit for qty in held}
        if not held:
            yield "I3", "nothing is open here"
        elif order.side not in sides:
            yield "I3", f"a {order.side.value} would add to the open {held[0]}"
        elif order.qty > self._at_most(order.symbol, max(abs(qty) for qty in held)):
            yield "I3", f"its quantity {order.qty} is above the open {max(abs(qty) for qty in held)}"

    def _at_most(self, symbol: str, held: Decimal) -> Decimal:
        """The largest exit for what is open: a remainder under the market step is sent as a whole step."""
        most = held + self._told.get(symbol, ZERO)
        instrument = self._state.instruments.get(symbol)
        return most if instrument is None else instrument.ceil_market_qty(most)

    def _unheard(self, symbol: str) -> Decimal:
        """What the venue says is entered while its trades were not heard, signed; of earlier processes, too."""
        return sum((s.sign * max(ZERO, s.said - s.traded) for s in self._entries(symbol)), ZERO)

    def done(self) -> None:
        """The call is over: what is open now bounds the exits of the next one."""
        self._told.clear()
        for symbol, position in self._state.portfolio.positions.items():
            self._held[symbol] = position.qty

    # --- what comes in ---

    def event(self, event: ev.Event) -> Iterator[Breach]:
        """Take the venue's word and check that nothing was concluded that it did not say."""
        touched: set[str] = set()
        if isinstance(event, ev.OrderUpdate):
            yield from self._heard(event.client_id, event.venue_id, event.book, event.symbol, touched)
            self._said(event, touched)
        elif isinstance(event, ev.Fill):
            yield from self._heard(event.client_id, event.venue_id, VenueBook.REGULAR, event.symbol, touched)
        elif isinstance(event, ev.SendOutcome) and event.client_id:
            yield from self._heard(event.client_id, "", VenueBook.REGULAR, event.symbol, touched)
            self._outcome(event)
        elif isinstance(event, ev.AccountSnapshot):
            yield from self._listed(event, touched)
        yield from self._conclusions(touched, isinstance(event, ev.AccountSnapshot | ev.Timer))

    def _heard(
        self, client_id: str, venue_id: str, book: VenueBook, symbol: str, touched: set[str]
    ) -> Iterator[Breach]:
        order = self._state.ledger.find(client_id, venue_id, book)
        name = order.client_id if order is not None else client_id
        if order is not None and name not in self.sent:
            self._take(order)
        touched.add(name)
        parts = parts_of(name)
        if parts is None or parts.epoch != self._state.epoch or parts.plan_id < self._oldest_plan:
            return
        known = self.sent.get(name)
        if parts.revision > self._revision.get((parts.plan_id, parts.leg), 0):
            words = f"the venue speaks of our order {name}, which was never sent"
            yield Breach(invariant="I4", symbol=symbol, subject=name, words=words)
        elif known is not None and known.unsent:
            words = f"{name} is at the venue although its intent could not be written down"
            yield Breach(invariant="I4", symbol=symbol, subject=name, words=words)

    def _said(self, update: ev.OrderUpdate, touched: set[str]) -> None:
        for name in touched & self.sent.keys():
            known = self.sent[name]
            known.said = max(known.said, update.filled_qty)
            known.ended = known.ended or update.status.terminal
            if update.from_venue_evidence:
                known.negatives = known.first_negative_ms = 0

    def _outcome(self, outcome: ev.SendOutcome) -> None:
        known = self.sent.get(outcome.client_id)
        if known is None:
            return
        if outcome.action in (ev.SendAction.PLACE, ev.SendAction.JOURNAL):
            if outcome.result is ev.SendResult.REJECTED:
                known.refused = True
                known.unsent = outcome.action is ev.SendAction.JOURNAL
        elif outcome.action is ev.SendAction.QUERY and outcome.result is ev.SendResult.NOT_FOUND:
            known.negatives += 1
            known.first_negative_ms = known.first_negative_ms or self._state.now

    def _listed(self, snapshot: ev.AccountSnapshot, touched: set[str]) -> Iterator[Breach]:
        for row in snapshot.orders:
            if parts_of(row.client_id) is None:
                continue
            yield from self._heard(row.client_id, row.venue_id, row.book, row.symbol, touched)
            known = self.sent.get(row.client_id)
            if known is not None and snapshot.complete and not snapshot.hedge_mode:
                known.said = max(known.said, row.filled_qty)
                known.negatives = known.first_negative_ms = 0
        for fill in snapshot.fills:
            # Fills told at once are followed one by one: they bound what the steps between may exceed.
            self._told[fill.symbol] = self._told.get(fill.symbol, ZERO) + fill.qty
            order = self._state.ledger.find(fill.client_id, fill.venue_id)
            if order is not None:
                touched.add(order.client_id)

    # --- what was concluded ---

    def _conclusions(self, touched: set[str], everything: bool) -> Iterator[Breach]:
        names = sorted(touched | self._live.keys()) if everything else sorted(touched)
        for name in names:
            known, order = self.sent.get(name), self._state.ledger.get(name)
            if known is None or (order is not None and order.live and _unchanged(known, order)):
                continue
            if order is None:
                self._live.pop(name, None)
                continue
            for invariant, words in self._judged(known, order, spoken=name in touched):
                told = f"{name} ({known.leg.name}): {words}"
                yield Breach(invariant=invariant, symbol=known.symbol, subject=name, words=told)
            known.status, known.filled, known.traded = order.status, order.filled_qty, order.booked
            if order.live or self._state.plan_of(order.plan_id) is not None:
                self._live[name] = None
            else:
                self._live.pop(name, None)

    def _judged(self, known: Sent, order: OwnOrder, *, spoken: bool) -> Iterator[tuple[str, str]]:
        before, after = known.status, order.status
        if order.filled_qty < known.filled or order.booked < known.traded:
            yield "I6", f"its fills went back from {max(known.filled, known.traded)} to {order.filled_qty}"
        if _went_back(before, after, spoken=spoken):
            yield "I6", f"its status went back from {before.value} to {after.value}"
        if after.terminal and not before.terminal and not self._evidence(known, order):
            yield "I5", f"it was declared {after.value} ({order.reason or 'no reason'}) without the venue's word"
        if known.order is not None and order.booked > order.qty:
            yield "I2", f"{order.booked} traded under it, only {order.qty} was ordered"
        known.ended = known.ended or after.terminal

    def _evidence(self, known: Sent, order: OwnOrder) -> bool:
        """Whether the venue said that it ended: a word, a refusal, its whole fill, or enough "not found" over time."""
        if known.ended or known.refused or max(known.said, order.booked) >= order.qty:
            return True
        execution = self._state.settings.execution
        asked_ms = self._state.now - known.first_negative_ms
        return known.negatives >= execution.not_found_needs and asked_ms >= self._state.ms(execution.replica_lag_s)


def _unchanged(known: Sent, order: OwnOrder) -> bool:
    """Whether a live order stands as it was last looked at: the same values are the same objects."""
    return order.status is known.status and order.filled_qty is known.filled and order.booked is known.traded


def _went_back(before: OrderStatus, after: OrderStatus, *, spoken: bool) -> bool:
    if before.terminal:
        return after is not before and (before is _S.FILLED or not spoken)
    return rank(after) < rank(before)


def _repeated(order: PlaceOrder, known: Sent) -> Iterator[tuple[str, str]]:
    if known.order is None:
        return
    same = all(
        getattr(order, name) == getattr(known.order, name)
        for name in ("symbol", "side", "type", "qty", "price", "trigger_price", "reduce_only", "leg", "plan_id")
    )
    if not same:
        yield "I4", f"its id {order.client_id} was used before for another order"
    elif not order.resend:
        yield "I2", f"its id {order.client_id} leaves a second time without being a repeat of the first"


def _blocked(state: EngineState, symbol: str) -> Iterator[tuple[str, str]]:
    """Why no entry may leave now, read from the facts themselves."""
    latched = (
        ("I15", "the kill switch is latched", bool(state.killed)),
        ("I24", "entries are not armed", not state.armed),
        ("I12", f"entries are halted: {state.halted}", bool(state.halted)),
        ("I12", "the session is stopping", bool(state.stopping)),
        ("I12", "entries are paused", state.paused_all or symbol in state.paused_symbols),
        ("I11", "the account was not compared with the venue", not state.reconciled_ms or state.resync_ms > 0),
        ("I11", f"the clock differs by {state.skew_ms:.0f} ms", abs(state.skew_ms) > state.settings.data.max_skew_ms),
        ("I7", "the symbol differs from the venue", symbol in state.reconciling),
    )
    yield from ((invariant, words) for invariant, words, is_so in latched if is_so)
    for channel, health in state.channels.items():
        if not health.up or health.until_ms > state.now:
            yield "I11", f"{channel.value} is down or must be silent"


def _bound(found: OrderedDict[int, int] | OrderedDict[int, Decimal], most: int) -> None:
    while len(found) > most:
        found.popitem(last=False)
