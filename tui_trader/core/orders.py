"""Own orders: client ids, the table of legal status transitions, and the ledger of everything that was ever sent.

Idea of the transition table: nautilus_trader's order FSM. Status and cumulative fill never go back (I6), with one
exception that venues really make: an order reported cancelled or expired may still turn out filled.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

import msgspec

from tui_trader.core.events import OrderUpdate
from tui_trader.core.types import TERMINAL, ZERO, Leg, OrderSide, OrderStatus, OrderType, VenueBook

PREFIX = "tt-"
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
_ID = re.compile(r"^tt-([a-z0-9]{1,9})-([0-9a-z]{1,7})-([a-z0-9]{2})-([0-9a-z]{1,5})$")

_S = OrderStatus
LEGAL: dict[OrderStatus, frozenset[OrderStatus]] = {
    _S.INTENT: frozenset(_S) - {_S.INTENT},
    _S.SENT: frozenset(_S) - {_S.INTENT, _S.SENT},
    _S.UNKNOWN: frozenset(_S) - {_S.INTENT, _S.SENT, _S.UNKNOWN},
    _S.WORKING: frozenset({_S.PARTIALLY_FILLED, _S.TRIGGERED, _S.FILLED, _S.CANCELED, _S.EXPIRED, _S.REJECTED}),
    _S.PARTIALLY_FILLED: frozenset({_S.FILLED, _S.CANCELED, _S.EXPIRED}),
    _S.TRIGGERED: frozenset({_S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELED, _S.EXPIRED, _S.REJECTED}),
    _S.FILLED: frozenset(),
    _S.CANCELED: frozenset({_S.PARTIALLY_FILLED, _S.FILLED}),
    _S.EXPIRED: frozenset({_S.PARTIALLY_FILLED, _S.FILLED}),
    _S.REJECTED: frozenset({_S.WORKING, _S.PARTIALLY_FILLED, _S.TRIGGERED, _S.FILLED, _S.CANCELED, _S.EXPIRED}),
}
"""From each status, those that a later fact may bring. REJECTED may be left because an order that was concluded lost
can still be heard of from the venue, and the venue wins."""


def base36(number: int) -> str:
    """``number`` ≥ 0 in lower-case base 36."""
    if number < 0:
        raise ValueError(f"base36 takes no negative number, got {number}")
    digits = ""
    while True:
        number, rest = divmod(number, 36)
        digits = _BASE36[rest] + digits
        if number == 0:
            return digits


class ClientId(msgspec.Struct, frozen=True):
    """The parts of a client id: which start of which store, which plan, which leg, which revision of it (I4)."""

    epoch: str
    plan_id: int
    leg: Leg
    revision: int

    def __str__(self) -> str:
        """The text on the wire, at most 36 characters of the venue's alphabet."""
        return f"{PREFIX}{self.epoch}-{base36(self.plan_id)}-{self.leg.value}-{base36(self.revision)}"


def parse_client_id(text: str) -> ClientId | None:
    """The parts of one of our ids, or None when the order is not ours."""
    match = _ID.match(text)
    if match is None:
        return None
    epoch, plan, leg, revision = match.groups()
    try:
        return ClientId(epoch, int(plan, 36), Leg(leg), int(revision, 36))
    except ValueError:
        return None


class OwnOrder(msgspec.Struct, kw_only=True):
    """One order of ours, from its intent to its end. Times in venue ms, 0 for "not yet"; quantities in base."""

    client_id: str
    plan_id: int
    leg: Leg
    symbol: str
    side: OrderSide
    type: OrderType
    qty: Decimal
    price: Decimal = ZERO  # of a limit order, else 0
    trigger_price: Decimal = ZERO  # of a conditional order, else 0
    reduce_only: bool = True  # all but entries

    # What the venue says of it.
    status: OrderStatus = OrderStatus.SENT
    filled_qty: Decimal = ZERO  # by its word or its fills, whichever tells more; never less again
    booked: Decimal = ZERO  # by fills, or contained in a position that was compared
    avg_price: Decimal = ZERO  # of what it says is filled
    venue_id: str = ""
    actual_id: str = ""  # of the regular order that a triggered conditional one became
    sent_ms: int = 0  # handed over for sending, last time; 0 for one restored from the store
    updated_ms: int = 0  # the last word heard, or sent
    venue_ts: int = 0  # the newest date that the venue gave to a word; older words are stale
    acked_ms: int = 0  # the request was accepted: the venue knows it, nothing proves that it rests
    proven_ms: int = 0  # last seen resting by a stream, a query or a snapshot
    triggered_ms: int = 0  # a conditional order's, or its first fill: it protects no more

    # Questions and cancels.
    cancel_ms: int = 0  # the last cancel; one that has any is not wanted any more
    cancel_tries: int = 0
    query_ms: int = 0  # the last question about it
    unanswered: int = 0  # questions and cancels since the venue last answered one; pauses double with it
    negatives: int = 0  # answers that it is not known, since it was sent or last heard of
    first_negative_ms: int = 0  # the first of them
    reason: str = ""  # why it ended so or is in doubt, for the log and the console
    undelivered: bool = False  # the venue never acted on it and never will: it may be sent again as it is (I4)
    doubted: bool = False  # last asked, the venue did not know it, longer after its proof than its replicas lag

    @property
    def book(self) -> VenueBook:
        """The venue's book it rests in."""
        return VenueBook.ALGO if self.type.conditional else VenueBook.REGULAR

    @property
    def live(self) -> bool:
        """True while the venue may still act on it, for all that is known."""
        return self.status not in TERMINAL

    @property
    def remaining(self) -> Decimal:
        """Quantity that may still be filled."""
        return max(ZERO, self.qty - self.filled_qty) if self.live else ZERO

    @property
    def unbooked(self) -> Decimal:
        """Filled by the venue's word, while the fills themselves (price, fee) have not been heard yet.

        A word counts for no more than was ordered; what is filled beyond that counts when its fills are heard.
        """
        filled = self.filled_qty if self.filled_qty < self.qty else self.qty
        return filled - self.booked if filled > self.booked else ZERO

    @property
    def proven(self) -> bool:
        """Seen resting and untriggered in a stream event or a snapshot; an acknowledgement is not enough.

        While it is doubted it proves nothing, although nothing is concluded about it either (I5). A conditional order
        that is partly filled has triggered.
        """
        seen = self.proven_ms > 0 and not self.doubted and not self.triggered_ms
        return seen and self.status in (OrderStatus.WORKING, OrderStatus.PARTIALLY_FILLED)

    @property
    def settled(self) -> bool:
        """Ended, with every fill booked: its plan needs it no more."""
        return not self.live and self.unbooked <= 0

    @property
    def unresolved(self) -> bool:
        """Sent, and nothing heard from the venue about its state."""
        return self.status in (OrderStatus.SENT, OrderStatus.UNKNOWN)


def apply_update(order: OwnOrder, update: OrderUpdate) -> bool:
    """Merge the venue's word into ``order``; returns whether anything changed. Stale or repeated words change nothing.

    Evidence from a stream, a query or a snapshot proves a resting order; a bare acknowledgement does not. A word that
    the venue dates before one that was heard already is stale, unless it tells an end or a fill; one without a date
    stands on its own.
    """
    stale = 0 < update.venue_ts < order.venue_ts
    if stale and not update.status.terminal and update.filled_qty <= order.filled_qty:
        return False
    order.venue_ts = max(order.venue_ts, update.venue_ts)
    changed = _advance(order, update)
    # What is only said to be filled is believed up to what was ordered; more than that shows in fills.
    filled = min(update.filled_qty, max(order.qty, order.booked))
    if filled > order.filled_qty:
        order.filled_qty = filled
        changed = True
    # The fills are told before the order's own word, which then adds no quantity, but the average.
    if update.avg_price > 0 and 0 < order.filled_qty <= filled:
        order.avg_price = update.avg_price
    order.venue_id = order.venue_id or update.venue_id
    order.actual_id = update.actual_id or order.actual_id
    if update.reason and order.status.terminal:
        order.reason = update.reason
    if update.from_venue_evidence and not stale:
        order.unanswered = 0
        order.doubted = False
        order.negatives = order.first_negative_ms = 0
        if order.status in (OrderStatus.WORKING, OrderStatus.PARTIALLY_FILLED):
            order.proven_ms = max(order.proven_ms, update.ts)
    order.updated_ms = max(order.updated_ms, update.ts)
    return changed


def _advance(order: OwnOrder, update: OrderUpdate) -> bool:
    if update.status not in LEGAL[order.status]:
        return False
    if order.status.terminal and update.status is OrderStatus.PARTIALLY_FILLED:
        return update.filled_qty > order.filled_qty
    order.status = update.status
    if order.type.conditional and order.status in (OrderStatus.TRIGGERED, OrderStatus.PARTIALLY_FILLED):
        order.triggered_ms = order.triggered_ms or update.ts
    return True


class OrderLedger:
    """Own orders of open plans and the recently ended ones, by client id and by the venue's ids.

    A plan keeps its unsettled orders and the ``keep_settled`` newest: a stop that trails for days is replaced thousands
    of times, and every fact looks through the plan's orders.
    """

    def __init__(self, keep_ended: int = 200, keep_settled: int = 50) -> None:
        self._orders: dict[str, OwnOrder] = {}
        self._by_venue: dict[tuple[VenueBook, str], str] = {}
        self._by_plan: dict[int, list[str]] = {}
        self._ended: list[str] = []
        self._keep = keep_ended
        self._keep_settled = keep_settled

    def __iter__(self) -> Iterator[OwnOrder]:
        return iter(self._orders.values())

    def get(self, client_id: str) -> OwnOrder | None:
        """The order with this client id."""
        return self._orders.get(client_id)

    def find(self, client_id: str, venue_id: str, book: VenueBook = VenueBook.REGULAR) -> OwnOrder | None:
        """The order by client id, else by its id in one of the venue's books, which number independently.

        A triggered conditional order has a second id, in the regular book; executions name regular ids only.
        """
        order = self._orders.get(client_id)
        return order if order is not None else self._orders.get(self._by_venue.get((book, venue_id), ""))

    def add(self, order: OwnOrder) -> None:
        """Keep a new order. Raises ``ValueError`` when its id was used before (I4)."""
        if order.client_id in self._orders:
            raise ValueError(f"client id {order.client_id} was used before")
        self._orders[order.client_id] = order
        ids = self._by_plan.setdefault(order.plan_id, [])
        ids.append(order.client_id)
        if len(ids) > 2 * self._keep_settled:
            old = [i for i in ids[: -self._keep_settled] if self._orders[i].settled]
            self._by_plan[order.plan_id] = [i for i in ids if i not in old]
            self._end(old)
        self.index(order)

    def index(self, order: OwnOrder) -> None:
        """Make the order findable by the venue ids known by now, and its plan's again when it lives again."""
        ids = self._by_plan.get(order.plan_id)
        if ids is not None and order.live and order.client_id not in ids:
            ids.append(order.client_id)
        if order.venue_id:
            self._by_venue[order.book, order.venue_id] = order.client_id
        if order.actual_id:
            self._by_venue[VenueBook.REGULAR, order.actual_id] = order.client_id

    def of_plan(self, plan_id: int) -> list[OwnOrder]:
        """Orders of one plan, oldest first."""
        return [self._orders[i] for i in self._by_plan.get(plan_id, ()) if i in self._orders]

    def live(self) -> list[OwnOrder]:
        """Orders that the venue may still act on."""
        return [order for order in self._orders.values() if order.live]

    def release_plan(self, plan_id: int) -> None:
        """A plan ended: its orders move to the bounded history."""
        self._end(self._by_plan.pop(plan_id, []))

    def _end(self, ids: list[str]) -> None:
        self._ended.extend(ids)
        while len(self._ended) > self._keep:
            gone = self._orders.pop(self._ended.pop(0), None)
            if gone is not None:
                self._by_venue.pop((gone.book, gone.venue_id), None)
                self._by_venue.pop((VenueBook.REGULAR, gone.actual_id), None)
