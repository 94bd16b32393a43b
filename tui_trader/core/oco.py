"""The executor's heart: a plan's desired exits against its orders at the venue, and the smallest safe next step.

Level-triggered: ``converge`` looks at what is open, what rests and what is in flight, and says what to place and what
to cancel so that the two meet. It is called after every fact, so any order of facts ends in the same state; that one
leg cancels the other is a consequence (a fill changes the open quantity, the legs follow) instead of a special case.

Order of safety: the stop comes first (I1); a stop is replaced by placing the new one, proving it, then cancelling the
old (I10); targets rest only under a proven stop and never sum to more than is open (I3, I18); a market close goes out
only when no target can fill beside it, and the stop stays until nothing is open.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum

import msgspec

from tui_trader.core.instruments import Instrument
from tui_trader.core.ladder import Ladder
from tui_trader.core.orders import OwnOrder
from tui_trader.core.types import ZERO, Leg, OrderStatus, OrderType, Origin, Side


class Stage(StrEnum):
    """Where a plan is in its life."""

    ENTERING = "entering"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class PlanTarget(msgspec.Struct, kw_only=True):
    """One take-profit rung: ``qty`` planned, ``done`` already filled; both in base."""

    leg: Leg
    price: Decimal
    qty: Decimal
    done: Decimal = ZERO

    @property
    def left(self) -> Decimal:
        """Quantity still to be taken here."""
        return max(ZERO, self.qty - self.done)


class Plan(msgspec.Struct, kw_only=True):
    """One position from its intent to its end, and all that must survive a crash. Times in venue ms."""

    plan_id: int
    symbol: str
    side: Side
    origin: Origin
    strategy: str
    opened_ms: int
    entry_qty: Decimal
    conviction: float = 0.0
    stage: Stage = Stage.ENTERING
    atr: float = 0.0
    expected_entry: Decimal = ZERO
    stop_hint: Decimal | None = None
    target_hint: Decimal | None = None
    entry_deadline_ms: int = 0
    cancel_entry: bool = False
    entered: Decimal = ZERO
    entry_value: Decimal = ZERO
    exited: Decimal = ZERO
    exit_value: Decimal = ZERO
    ladder: Ladder | None = None
    stop_price: Decimal = ZERO
    initial_stop: Decimal = ZERO
    stop_by_hand: bool = False
    targets: list[PlanTarget] = msgspec.field(default_factory=list)
    targets_by_hand: bool = False
    at_break_even: bool = False
    trailing: bool = False
    best: Decimal = ZERO
    trail_ms: int = 0
    close_reason: str = ""
    close_qty: Decimal | None = None
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    realized: Decimal = ZERO
    first_fill_ms: int = 0
    closed_ms: int = 0
    naked_since_ms: int = 0
    longest_naked_ms: int = 0
    last_stop_ms: int = 0
    stop_failures: int = 0
    stops_lost: int = 0
    revisions: dict[str, int] = {}

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
    urgent: bool = False


Step = Place | Cancel


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """Waiting times in venue ms: before an unproven stop is doubled, and before a cancel is said again."""

    stop_retry_ms: int
    cancel_retry_ms: int


def covers(order: OwnOrder, plan: Plan, open_qty: Decimal) -> bool:
    """Whether a stop stands on the exit side with at least the open quantity."""
    return (
        order.leg is Leg.STOP
        and order.live
        and order.side is plan.side.exit
        and order.qty - order.filled_qty >= open_qty
        and order.trigger_price > 0
    )


def proven_stop(plan: Plan, orders: list[OwnOrder], open_qty: Decimal) -> OwnOrder | None:
    """The tightest stop that is proven to cover the open quantity (I1), or None."""
    found = [o for o in orders if o.proven and covers(o, plan, open_qty)]
    if not found:
        return None
    return max(found, key=lambda o: o.trigger_price * plan.side.sign)


def converge(
    plan: Plan,
    open_qty: Decimal,
    orders: list[OwnOrder],
    instrument: Instrument,
    now: int,
    patience: Patience,
    *,
    counted: Decimal | None = None,
) -> list[Step]:
    """The next steps of a plan. ``open_qty`` ≥ 0 in the plan's direction, base units; ``orders`` all of the plan's.

    ``counted`` is what is open by the fills heard so far. It exceeds ``open_qty`` by what is only said to be filled;
    the stop covers that too until the fills are heard.
    """
    covered = open_qty if counted is None else max(open_qty, counted)
    steps: list[Step] = []
    if plan.cancel_entry or plan.stage in (Stage.CLOSING, Stage.CLOSED):
        steps += _cancel([o for o in orders if o.leg is Leg.ENTRY], now, patience)
    if open_qty <= 0:
        if plan.stage is not Stage.ENTERING or not any(o.live for o in orders if o.leg is Leg.ENTRY):
            steps += _cancel([o for o in orders if o.leg is not Leg.ENTRY], now, patience)
        return steps
    if plan.stop_price > 0:
        steps += _stop_steps(plan, covered, orders, now, patience)
    if plan.stage is Stage.CLOSING:
        return steps + _closing_steps(plan, open_qty, orders, instrument, now, patience)
    return steps + _target_steps(plan, open_qty, covered, orders, instrument, now, patience)


def _cancel(orders: list[OwnOrder], now: int, patience: Patience) -> list[Step]:
    return [
        Cancel(client_id=o.client_id)
        for o in orders
        if o.live and (not o.cancel_ms or now - o.cancel_ms >= patience.cancel_retry_ms)
    ]


def _stop_steps(plan: Plan, open_qty: Decimal, orders: list[OwnOrder], now: int, patience: Patience) -> list[Step]:
    stops = [o for o in orders if o.leg is Leg.STOP and o.live]
    wanted = [o for o in stops if o.trigger_price == plan.stop_price and o.qty - o.filled_qty == open_qty]
    alive = [o for o in wanted if not o.cancel_ms]
    steps: list[Step] = []
    # One stop in flight at a time: an entry that fills in many small parts must not send a stop for each of them.
    awaited = [o for o in stops if o.unresolved and not o.cancel_ms and now - o.sent_ms < patience.stop_retry_ms]
    hopeful = awaited or [o for o in alive if o.proven or o.triggered_ms]
    if not hopeful and now - plan.last_stop_ms >= _stop_pause(plan, patience):
        steps.append(Place(leg=Leg.STOP, type=OrderType.STOP_MARKET, qty=open_qty, trigger_price=plan.stop_price))
    keep = next((o for o in reversed(alive) if o.proven), None)
    if keep is not None:
        steps += _cancel([o for o in stops if o is not keep and not o.triggered_ms], now, patience)
    return steps


def _stop_pause(plan: Plan, patience: Patience) -> int:
    return patience.stop_retry_ms if plan.stop_failures else 0


def _resting_targets(orders: list[OwnOrder]) -> list[OwnOrder]:
    return [o for o in orders if o.leg.target and o.live]


def _closing_steps(
    plan: Plan, open_qty: Decimal, orders: list[OwnOrder], instrument: Instrument, now: int, patience: Patience
) -> list[Step]:
    targets = _resting_targets(orders)
    if targets:
        return _cancel(targets, now, patience)
    if any(o.leg is Leg.ENTRY and o.live for o in orders):
        return []
    return _market_close(open_qty, orders, instrument)


def _market_close(qty: Decimal, orders: list[OwnOrder], instrument: Instrument) -> list[Step]:
    if any(o.leg is Leg.CLOSE and o.live for o in orders):
        return []
    amount = min(qty, instrument.market_max_qty)
    return [Place(leg=Leg.CLOSE, type=OrderType.MARKET, qty=amount)] if amount > 0 else []


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
        return _market_close(min(part, open_qty), orders, instrument)
    steps = _cancel(surplus, now, patience)
    if any(o.leg is Leg.CLOSE and o.live for o in orders) or proven_stop(plan, orders, covered) is None:
        return steps
    room = open_qty - sum((o.remaining for o in resting), ZERO)
    for want in missing:
        if want.qty <= room:
            room -= want.qty
            steps.append(Place(leg=want.leg, type=OrderType.LIMIT, qty=want.qty, price=want.price))
    return steps


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
        if order.leg is Leg.STOP and order.status is OrderStatus.TRIGGERED and now - order.triggered_ms > limit_ms:
            return order
    return None
