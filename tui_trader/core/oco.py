"""The executor's heart: a plan's desired exits against its orders at the venue, and the smallest safe next step.

Level-triggered: ``converge`` looks at what is open, what rests and what is in flight, and says what to place and what
to cancel so that the two meet. It is called after every fact, so any order of facts ends in the same state; that one
leg cancels the other is a consequence (a fill changes the open quantity, the legs follow) instead of a special case.

Order of safety: the stop comes first (I1); a stop is replaced by placing the new one, proving it, then cancelling the
old (I10); targets rest only under a proven stop and never sum to more than is open (I3, I18). A position is closed by
taking entries and targets off, looking at the venue once more, and a reduce-only market order, again until the venue
says zero; the stop stays until then. A position above the venue's largest market order is covered by several stops.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum

import msgspec

from tui_trader.core.instruments import Instrument
from tui_trader.core.ladder import Ladder
from tui_trader.core.orders import OwnOrder
from tui_trader.core.types import ZERO, Leg, OrderType, Origin, Side

SILENT_PATIENCE = 3
"""How many times as long an unproven stop is waited for while the venue does not answer the question about it."""

MOST_STOPS = 40
"""A fifth of the conditional orders that the venue lets an account have."""

SILENT_STOPS = 2
"""At most this many stops are sent for one purpose while the venue says nothing about any: each may have arrived."""


class Stage(StrEnum):
    """Where a plan is in its life; it never goes back."""

    ENTERING = "entering"  # its entry is on its way, nothing is known to have filled
    OPEN = "open"  # from the first fill, or its adoption, on; the rest of the entry may still be working
    CLOSING = "closing"  # it is closed at market, or nothing is open any more; the stop stays until the venue says so
    CLOSED = "closed"  # nothing of it is open and no order of it is left; a trade, if anything ever filled


class PlanTarget(msgspec.Struct, kw_only=True):
    """One take-profit rung; quantities in base.

    A close aside from the targets, or a removal by hand, lowers ``qty``; a ladder computed anew keeps ``done``.
    """

    leg: Leg
    price: Decimal
    qty: Decimal  # planned in all, what is filled included
    done: Decimal = ZERO  # filled so far

    @property
    def left(self) -> Decimal:
        """Quantity still to be taken here."""
        return max(ZERO, self.qty - self.done)


class Plan(msgspec.Struct, kw_only=True):
    """One position from its intent to its end, and all that must survive a crash.

    Times in venue ms, quantities in base, prices in quote per base, money in USDT; 0, "" or None where there is none
    yet. A flag that says nothing else stays set once it is set.
    """

    # What was decided, or found open by an adoption.
    plan_id: int
    symbol: str
    side: Side
    origin: Origin
    strategy: str  # its name; "manual" for a ticket, "adopted" for what was opened elsewhere
    opened_ms: int  # when the plan was made, before any fill; ``opened_ms`` of its trade is ``first_fill_ms``
    entry_qty: Decimal  # ordered, or found open
    conviction: float = 0.0  # 0–1
    stage: Stage = Stage.ENTERING
    atr: float = 0.0  # at the decision, in price; 0 until an adopted plan's is known
    expected_entry: Decimal = ZERO  # the price that it was sized at; slippage counts from it
    stop_hint: Decimal | None = None  # the signal's or ticket's stop, an adopted plan's first one; None: the ATR's
    sized_distance: Decimal = ZERO  # from entry to stop when its size was approved; a ladder set anew is not wider
    target_hint: Decimal | None = None  # the signal's or ticket's; None: the ladder's

    # Entry and exits.
    entry_deadline_ms: int = 0  # from then on the rest of the entry is cancelled
    cancel_entry: bool = False  # the rest of the entry is not wanted: late, by hand, closing, stopping, a foreign fill
    entered: Decimal = ZERO  # by the entry's fills, and what the venue's position shows beyond them
    entry_value: Decimal = ZERO  # the sum of quantity × price
    exited: Decimal = ZERO  # by the exits' fills, foreign ones too, and what the venue's position lacks beyond them
    exit_value: Decimal = ZERO
    last_exit: Leg | None = None  # of the exit fill that is last at the venue, whatever is heard last; None: not ours
    last_exit_at: tuple[int, int, str] = (0, 0, "")  # that fill's place: its time, its trade id by length and letters

    # Levels.
    ladder: Ladder | None = None  # computed anew with each entry fill; an adopted plan's once ATR is known
    stop_price: Decimal = ZERO  # where the stop is wanted: the orders follow, ``proven_stop`` says what stands
    initial_stop: Decimal = ZERO  # the first stop, from which R counts; it follows the ladder and nothing else
    stop_by_hand: bool = False  # the ladder and break-even leave the stop alone; trailing may still tighten it
    targets: list[PlanTarget] = msgspec.field(default_factory=list)
    targets_by_hand: bool = False  # a ladder computed anew leaves the targets alone
    at_break_even: bool = False  # the price got there, or a person asked; the stop may have been tighter already
    trailing: bool = False  # the stop follows ``best``
    best: Decimal = ZERO  # the best trigger price (mark) while open
    trail_ms: int = 0  # when trailing moved the stop last

    # Closing.
    close_reason: str = ""  # why it is being closed; from the end on, what ended it
    close_qty: Decimal | None = None  # of an open plan, still to be closed at market: a part by hand, more than ordered
    closing_ms: int = 0  # when the closing at market began
    close_asked_ms: int = 0  # when the venue was asked for a last look before the market close
    close_checked: bool = False  # a whole snapshot has answered that
    flat_asked_ms: int = 0  # when the venue was asked to confirm flat; asked again only after a later fill
    targets_off_ms: int = 0  # until then no target rests: a refused reduce-only exit may need their room

    # Result: ``realized`` − ``fees`` + ``funding``.
    fees: Decimal = ZERO  # paid; a rebate is negative
    funding: Decimal = ZERO  # received; what was paid is negative
    funding_ids: list[str] = msgspec.field(default_factory=list)  # the venue's ids of payments that are in it
    realized: Decimal = ZERO  # before fees and funding
    first_fill_ms: int = 0  # the first entry fill at the venue, or when an open position was taken over
    closed_ms: int = 0

    # Protection. A restart begins the naked times anew.
    naked_since_ms: int = 0  # from when on the venue has held more than proven stops cover; 0 while covered or flat
    naked_noticed_ms: int = 0  # when that was noticed here: a fill may be heard late
    longest_naked_ms: int = 0  # the longest such stretch that has ended
    stop_failures: int = 0  # refusals of the stop in a row; a proven one ends the row
    stops_lost: int = 0  # stops cancelled by somebody else; the second closes the position
    dust: bool = False  # less is open than the venue trades, and it refused to close it; off when more is open again
    revisions: dict[str, int] = {}  # the last number used in a client id, by leg; never used twice
    trained: str = ""  # the trained set whose result this will be; "" once a person had a hand in it

    @property
    def avg_entry(self) -> Decimal:
        """Average price of the entry's fills, 0 before the first."""
        return self.entry_value / self.entered if self.entered else ZERO

    @property
    def avg_exit(self) -> Decimal:
        """Average price of the exit fills, 0 before the first."""
        return self.exit_value / self.exited if self.exited else ZERO

    @property
    def risk_distance(self) -> Decimal:
        """R: the initial stop distance in quote per base unit."""
        return abs(self.avg_entry - self.initial_stop) if self.initial_stop else ZERO

    def next_revision(self, leg: Leg) -> int:
        """A fresh revision number of a leg; never used twice."""
        number = self.revisions.get(leg.value, 0) + 1
        self.revisions[leg.value] = number
        return number


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Place one exit order."""

    leg: Leg
    type: OrderType
    qty: Decimal
    price: Decimal = ZERO
    trigger_price: Decimal = ZERO


class Cancel(msgspec.Struct, frozen=True, kw_only=True):
    """Cancel one order of the plan."""

    client_id: str


Step = Place | Cancel


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """Waiting times in venue ms: before an unproven stop is doubled, before a cancel is said again, and for what should
    precede a market close (targets and entries gone, the venue's word on what is open).
    """

    stop_retry_ms: int
    cancel_retry_ms: int
    close_wait_ms: int = 1_000


def proven_stop(plan: Plan, orders: Sequence[OwnOrder], open_qty: Decimal) -> OwnOrder | None:
    """The stop down to which the open quantity is proven to be covered (I1), or None when a part of it is bare.

    Proven stops on the exit side count together, the tightest first; the one that completes the cover is returned, so
    for a position under a single stop it is that stop.
    """
    found = [o for o in orders if o.leg is Leg.STOP and o.proven and o.side is plan.side.exit and o.trigger_price > 0]
    left = open_qty
    for order in sorted(found, key=lambda o: -o.trigger_price * plan.side.sign):
        left -= order.qty - order.filled_qty
        if left <= 0:
            return order
    return None


def stop_sizes(qty: Decimal, instrument: Instrument) -> list[Decimal]:
    """The quantities of the stops that together cover ``qty``, each one that the venue takes as a market order.

    The last is rounded up to the market step: a remainder stays covered (I18), and reduce-only caps it at what is open.
    What more than ``MOST_STOPS`` would have to cover stays bare, which flattens the position.
    """
    most = instrument.floor_qty(instrument.market_max_qty, market=True)
    if qty <= most or most <= 0:
        return [instrument.ceil_market_qty(qty)]
    if qty > most * MOST_STOPS:
        return [most] * MOST_STOPS
    full, rest = divmod(qty, most)
    return [most] * int(full) + ([instrument.ceil_market_qty(rest)] if rest > 0 else [])


def converge(
    plan: Plan,
    open_qty: Decimal,
    orders: list[OwnOrder],
    instrument: Instrument,
    now: int,
    patience: Patience,
    *,
    counted: Decimal | None = None,
    venue_flat: bool = True,
) -> list[Step]:
    """The next steps of a plan. ``open_qty`` ≥ 0 in the plan's direction, base units; ``orders`` all of the plan's.

    ``counted`` is what is open by the fills heard so far. It exceeds ``open_qty`` by what is only said to be filled;
    the stop covers that too until the fills are heard. ``venue_flat`` says that the venue's own word agrees with an
    ``open_qty`` of 0; until then the stop stays.
    """
    covered = open_qty if counted is None else max(open_qty, counted)
    steps: list[Step] = []
    if plan.cancel_entry or plan.stage in (Stage.CLOSING, Stage.CLOSED):
        steps += _cancel([o for o in orders if o.leg is Leg.ENTRY], now, patience)
    if open_qty <= 0:
        if plan.stage is not Stage.ENTERING or not any(o.live for o in orders if o.leg is Leg.ENTRY):
            gone = [o for o in orders if o.leg is not Leg.ENTRY and (venue_flat or o.leg is not Leg.STOP)]
            steps += _cancel(gone, now, patience)
        return steps
    if plan.stop_price > 0:
        steps += _stop_steps(plan, covered, orders, instrument, now, patience)
    if plan.stage is Stage.CLOSING:
        return steps + _closing_steps(plan, open_qty, covered, orders, instrument, now, patience)
    return steps + _target_steps(plan, open_qty, covered, orders, instrument, now, patience)


def _cancel(orders: list[OwnOrder], now: int, patience: Patience) -> list[Step]:
    return [
        Cancel(client_id=o.client_id)
        for o in orders
        if o.live and (not o.cancel_ms or now - o.cancel_ms >= patience.cancel_retry_ms * 2 ** min(o.unanswered, 3))
    ]


def _stop_steps(
    plan: Plan, open_qty: Decimal, orders: list[OwnOrder], instrument: Instrument, now: int, patience: Patience
) -> list[Step]:
    stops = [o for o in orders if o.leg is Leg.STOP and o.live]
    awaited = [o for o in stops if o.unresolved and not o.cancel_ms and not _lost(o, now, patience)]
    hopeful = [
        o
        for o in stops
        if o.trigger_price == plan.stop_price and not o.cancel_ms and (o.proven or o.triggered_ms or o in awaited)
    ]
    matched, missing = _match(stop_sizes(open_qty, instrument), hopeful)
    # One set of stops in flight at a time: an entry that fills in many small parts must not send one for each of them.
    if not missing and all(o.proven for o in matched):
        return _cancel([o for o in stops if o not in matched and not o.triggered_ms], now, patience)
    steps = _cancel(_superfluous(plan, open_qty, stops, matched), now, patience)
    silent = [o for o in stops if o.unresolved and not o.negatives]
    if missing and len(silent) < SILENT_STOPS * len(missing) and not any(o not in matched for o in awaited):
        steps += [
            Place(leg=Leg.STOP, type=OrderType.STOP_MARKET, qty=qty, trigger_price=plan.stop_price) for qty in missing
        ]
    return steps


def _superfluous(plan: Plan, open_qty: Decimal, stops: list[OwnOrder], keep: list[OwnOrder]) -> list[OwnOrder]:
    """Proven stops without which proven ones at least as tight still cover all that is open, the smallest first.

    While an entry fills in many small parts the wanted quantity is never reached, and stops would pile up.
    """
    proven = sorted((o for o in stops if o.proven and not o.cancel_ms), key=lambda o: o.qty - o.filled_qty)
    gone: list[OwnOrder] = []
    for order in proven:
        as_tight = (
            o
            for o in proven
            if o is not order and o not in gone and (o.trigger_price - order.trigger_price) * plan.side.sign >= 0
        )
        if order not in keep and sum((o.qty - o.filled_qty for o in as_tight), ZERO) >= open_qty:
            gone.append(order)
    return gone


def _lost(order: OwnOrder, now: int, patience: Patience) -> bool:
    """Whether an order was probably lost on its way: the venue was asked and does not know it, or says nothing at all.

    Nothing is concluded about it (I5); a reduce-only order beside it can only protect or close what is open.
    """
    waits = patience.stop_retry_ms * (1 if order.negatives else SILENT_PATIENCE)
    return order.unresolved and now - order.sent_ms >= waits


def _match(sizes: list[Decimal], orders: list[OwnOrder]) -> tuple[list[OwnOrder], list[Decimal]]:
    """Which orders stand for which quantity, the proven and newest first; and the quantities that none stands for."""
    newest = orders[::-1]
    pool = [o for o in newest if o.proven] + [o for o in newest if not o.proven]
    matched: list[OwnOrder] = []
    missing: list[Decimal] = []
    for size in sizes:
        hit = next((o for o in pool if o.qty - o.filled_qty == size), None)
        if hit is None:
            missing.append(size)
        else:
            matched.append(hit)
            pool = [o for o in pool if o is not hit]
    return matched, missing


def _resting_targets(orders: list[OwnOrder]) -> list[OwnOrder]:
    return [o for o in orders if o.leg.target and o.live]


def _closing_steps(
    plan: Plan,
    open_qty: Decimal,
    covered: Decimal,
    orders: list[OwnOrder],
    instrument: Instrument,
    now: int,
    patience: Patience,
) -> list[Step]:
    steps = _cancel(_resting_targets(orders), now, patience)
    if now - plan.closing_ms < patience.close_wait_ms:
        if still_working(orders):
            return steps
        if not plan.close_checked and proven_stop(plan, orders, covered) is not None:
            return steps
    return steps + _market_close(open_qty, orders, instrument, now, patience)


def still_working(orders: Sequence[OwnOrder]) -> bool:
    """Whether an entry or a target may still fill."""
    return any(o.live and (o.leg is Leg.ENTRY or o.leg.target) for o in orders)


def _market_close(
    qty: Decimal, orders: list[OwnOrder], instrument: Instrument, now: int, patience: Patience
) -> list[Step]:
    """A reduce-only market order for as much as the venue takes at once. Beside one that the venue does not know of, a
    second can only close what is open.
    """
    for order in orders:
        lost = order.negatives > 0 and _lost(order, now, patience)
        if order.leg is Leg.CLOSE and order.live and not lost:
            return []
    return [Place(leg=Leg.CLOSE, type=OrderType.MARKET, qty=_market_qty(qty, instrument))]


def _market_qty(qty: Decimal, instrument: Instrument) -> Decimal:
    """As much of an open ``qty`` > 0 as one market order closes; less than the venue trades is sent as its minimum."""
    amount = instrument.floor_qty(min(qty, instrument.market_max_qty), market=True)
    return amount if amount >= max(instrument.min_qty, instrument.market_step_size) else instrument.ceil_market_qty(qty)


def _target_steps(
    plan: Plan,
    open_qty: Decimal,
    covered: Decimal,
    orders: list[OwnOrder],
    instrument: Instrument,
    now: int,
    patience: Patience,
) -> list[Step]:
    resting = _resting_targets(orders)
    if now < plan.targets_off_ms:
        return _cancel(resting, now, patience)
    desired = desired_targets(plan, open_qty, instrument, orders)
    matched: list[OwnOrder] = []
    missing: list[PlanTarget] = []
    for want in desired:
        hit = next(
            (
                o
                for o in resting
                if o not in matched
                and o.leg is want.leg
                and o.price == want.price
                and o.qty - o.filled_qty == want.qty
                and not o.cancel_ms
            ),
            None,
        )
        if hit is None:
            missing.append(want)
        else:
            matched.append(hit)
    surplus = [o for o in resting if o not in matched]
    if plan.close_qty is not None and (part := plan.close_qty - _unheard(orders, Leg.CLOSE)) > 0:
        if resting:
            return _cancel(resting, now, patience)
        return _close_part(min(part, open_qty), orders, instrument)
    steps = _cancel(surplus, now, patience)
    if any(o.leg is Leg.CLOSE and o.live for o in orders) or proven_stop(plan, orders, covered) is None:
        return steps
    room = open_qty - sum((o.remaining for o in resting), ZERO)
    for want in missing:
        if any(o.leg is want.leg for o in surplus):
            # It may still fill while its cancel is under way: a second one would take the leg twice.
            continue
        if want.qty <= room:
            room -= want.qty
            steps.append(Place(leg=want.leg, type=OrderType.LIMIT, qty=want.qty, price=want.price))
    return steps


def _close_part(qty: Decimal, orders: list[OwnOrder], instrument: Instrument) -> list[Step]:
    """One market order for a part; a second one beside an unresolved first would close more than was asked."""
    if any(o.leg is Leg.CLOSE and o.live for o in orders):
        return []
    return [Place(leg=Leg.CLOSE, type=OrderType.MARKET, qty=_market_qty(qty, instrument))]


def _unheard(orders: Sequence[OwnOrder], leg: Leg) -> Decimal:
    """What the venue says is filled of a leg while its fills have not been heard: it must not be sent again."""
    return sum((o.unbooked for o in orders if o.leg is leg), ZERO)


def desired_targets(
    plan: Plan, open_qty: Decimal, instrument: Instrument, orders: Sequence[OwnOrder] = ()
) -> list[PlanTarget]:
    """The targets that should rest now: what is left of each, nearest first, never more than is open in sum."""
    out: list[PlanTarget] = []
    room = open_qty
    nearest = sorted(plan.targets, key=lambda t: t.price * plan.side.sign)
    for target in nearest:
        qty = instrument.floor_qty(min(target.left - _unheard(orders, target.leg), room))
        if instrument.tradeable_qty(qty, target.price, reduce_only=True):
            out.append(PlanTarget(leg=target.leg, price=target.price, qty=qty))
            room -= qty
    return out


def is_over(plan: Plan, open_qty: Decimal, orders: list[OwnOrder]) -> bool:
    """Whether nothing is open, nothing rests, nothing is unresolved and every fill is booked."""
    if open_qty > 0 or any(o.live or o.unbooked > 0 for o in orders):
        return False
    return plan.stage is not Stage.OPEN


def stuck_stop(orders: list[OwnOrder], now: int, limit_ms: int) -> OwnOrder | None:
    """A stop that triggered longer than ``limit_ms`` ago and has not ended: it protects nothing."""
    for order in orders:
        if order.leg is Leg.STOP and order.live and 0 < order.triggered_ms < now - limit_ms:
            return order
    return None
