"""Simulated fills on market data from elsewhere: one account that pays spread, slippage, fees and funding.

Pure: quotes and orders in, the events that a venue would send out. The fill rules: a market order fills at
the next quote after the latency, on its side of the spread, slipped; a limit order fills only when the market trades
through its price, at its price; a stop triggers by mark price and fills like a market order, at its trigger on a
continuous path and at the quote after a gap; reduce-only caps at what is open.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from tui_trader.core.commands import Approval, CancelOrder, PlaceOrder, QueryOrder
from tui_trader.core.events import (
    AccountSnapshot,
    BalanceUpdate,
    Event,
    Fill,
    FundingPayment,
    OpenOrder,
    OrderUpdate,
    PositionUpdate,
    SendAction,
    SendOutcome,
    SendResult,
    VenuePosition,
)
from tui_trader.core.instruments import Instrument
from tui_trader.core.types import ZERO, Leg, OrderSide, OrderStatus, OrderType, dec

WOULD_TRIGGER = -2021
REDUCE_ONLY_REFUSED = -2022


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """What trading costs besides fees. ``half_spread_bps`` and ``slippage_bps`` per market order, of its price.

    ``quoted_half_spread_bps`` is what the gate sees where it is not what is paid; without ``funding`` none is booked.
    """

    half_spread_bps: float = 0.5
    slippage_bps: float = 0.5
    latency_ms: int = 0
    quoted_half_spread_bps: float | None = None
    funding: bool = True

    @property
    def quoted(self) -> Costs:
        """These costs with the spread that the gate sees."""
        seen = self.quoted_half_spread_bps
        return self if seen is None else msgspec.structs.replace(self, half_spread_bps=seen)

    @property
    def unpaid(self) -> Costs:
        """Nothing is paid, while the gate sees the same spread: what an edge would be without its costs."""
        return Costs(
            half_spread_bps=0.0,
            slippage_bps=0.0,
            quoted_half_spread_bps=self.quoted.half_spread_bps,
            funding=False,
        )

    def bid(self, price: float) -> float:
        """Where a market sell would fill before slippage, the mid being ``price``."""
        return price * (1 - self.half_spread_bps / 1e4)

    def ask(self, price: float) -> float:
        """Where a market buy would fill before slippage, the mid being ``price``."""
        return price * (1 + self.half_spread_bps / 1e4)


_BY_THE_VENUE = Approval(sequence=0, max_qty=ZERO, exit=True)

FREE = Costs(half_spread_bps=0.0, slippage_bps=0.0)
"""No spread and no slippage; fees and funding are paid."""


class _Order(msgspec.Struct):
    """One order here. ``ready_ms``: from when a market order may fill."""

    order: PlaceOrder
    venue_id: str
    ready_ms: int
    filled: Decimal = ZERO
    value: Decimal = ZERO

    @property
    def left(self) -> Decimal:
        return self.order.qty - self.filled


class _Holding(msgspec.Struct):
    """One position: signed quantity, average entry, last mark."""

    qty: Decimal = ZERO
    entry: Decimal = ZERO
    mark: Decimal = ZERO

    @property
    def unrealized(self) -> Decimal:
        return (self.mark - self.entry) * self.qty


class PaperAccount:
    """Orders, positions and wallet. Every method returns the events that follow, in the venue's order."""

    def __init__(self, instruments: Iterable[Instrument], wallet: Decimal, costs: Costs) -> None:
        self.wallet = wallet
        self.costs = costs
        self.fees = ZERO
        self.funding = ZERO
        self._instruments = {one.symbol: one for one in instruments}
        self._orders: dict[str, _Order] = {}
        self._holdings: dict[str, _Holding] = {}
        self._number = 0

    def position(self, symbol: str) -> Decimal:
        """Signed quantity, base."""
        return self._holding(symbol).qty

    @property
    def equity(self) -> Decimal:
        """Wallet and what is open at its last mark, USDT."""
        return self.wallet + sum((h.unrealized for h in self._holdings.values()), ZERO)

    def liquidation_price(self, symbol: str) -> Decimal:
        """Mark price at which the account would be liquidated, were this its only position; 0 when there is none."""
        holding = self._holding(symbol)
        if not holding.qty:
            return ZERO
        rate = self._instruments[symbol].maintenance_rate
        price = (holding.entry * holding.qty - self.wallet) / (holding.qty - abs(holding.qty) * rate)
        return max(ZERO, price)

    @property
    def waiting(self) -> bool:
        """Whether a market order waits for its quote."""
        return any(o.order.type is OrderType.MARKET for o in self._orders.values())

    def has_stop(self, symbol: str, trigger: Decimal) -> bool:
        """Whether a stop rests at this trigger price."""
        resting = (o.order for o in self._orders.values() if o.order.type.conditional)
        return any(order.symbol == symbol and order.trigger_price == trigger for order in resting)

    def _holding(self, symbol: str) -> _Holding:
        return self._holdings.setdefault(symbol, _Holding())

    def _next(self) -> str:
        self._number += 1
        return str(self._number)

    # --- orders ---

    def place(self, order: PlaceOrder, now: int) -> list[Event]:
        """Take an order, or refuse it as the venue would."""
        refusal = self._refusal(order)
        if refusal:
            code, reason = refusal
            return [_outcome(order, SendAction.PLACE, SendResult.REJECTED, now, code=code, reason=reason)]
        found = _Order(order, self._next(), now + self.costs.latency_ms)
        self._orders[order.client_id] = found
        return [
            _outcome(order, SendAction.PLACE, SendResult.ACCEPTED, now, venue_id=found.venue_id),
            self._update(found, OrderStatus.WORKING, now),
        ]

    def _refusal(self, order: PlaceOrder) -> tuple[int, str] | None:
        holding = self._holding(order.symbol)
        sign = 1 if order.side is OrderSide.BUY else -1
        if order.reduce_only and holding.qty * sign >= 0:
            return REDUCE_ONLY_REFUSED, "reduce-only order refused: nothing to reduce"
        if order.type.conditional and holding.mark and (holding.mark - order.trigger_price) * sign >= 0:
            return WOULD_TRIGGER, "order would immediately trigger"
        return None

    def cancel(self, order: CancelOrder, now: int) -> list[Event]:
        """Cancel one order; not found when it has ended."""
        found = self._orders.pop(order.client_id, None)
        if found is None:
            return [_outcome(order, SendAction.CANCEL, SendResult.NOT_FOUND, now, code=-2011, reason="unknown order")]
        return [
            _outcome(order, SendAction.CANCEL, SendResult.ACCEPTED, now),
            self._update(found, OrderStatus.CANCELED, now),
        ]

    def query(self, order: QueryOrder, now: int) -> list[Event]:
        """The state of a resting order; not found when it has ended."""
        found = self._orders.get(order.client_id)
        if found is None:
            return [_outcome(order, SendAction.QUERY, SendResult.NOT_FOUND, now, code=-2013, reason="no such order")]
        return [self._update(found, OrderStatus.WORKING, now)]

    def snapshot(self, now: int) -> AccountSnapshot:
        """The whole account."""
        return AccountSnapshot(
            ts=now,
            asked_at=now,
            positions=tuple(
                VenuePosition(symbol=s, qty=h.qty, entry_price=h.entry) for s, h in self._holdings.items() if h.qty
            ),
            orders=tuple(_row(o) for o in self._orders.values()),
            wallet=self.wallet,
        )

    # --- the market ---

    def move(self, symbol: str, price: float, now: int, *, gap: bool) -> list[Event]:
        """The mid and mark move to ``price``; without ``gap`` they pass through everything on the way.

        Market orders fill first, then stops, then limits, nearest price first; liquidation is looked at last.
        """
        holding = self._holding(symbol)
        holding.mark = dec(price)
        events: list[Event] = []
        mine = [o for o in self._orders.values() if o.order.symbol == symbol]
        for order in [o for o in mine if o.order.type is OrderType.MARKET and o.ready_ms <= now]:
            events += self._market(order, price, now)
        for order in [o for o in mine if o.order.type.conditional and _reached(o.order, price)]:
            at = price if gap else float(order.order.trigger_price)
            events.append(self._update(order, OrderStatus.TRIGGERED, now))
            events += self._market(order, at, now)
        limits = [o for o in mine if o.order.type is OrderType.LIMIT and _through(o.order, price)]
        for order in sorted(limits, key=lambda o: o.order.price, reverse=holding.qty < 0):
            events += self._fill(order, order.order.price, now, maker=True)
        return events + self._liquidated(symbol, price, now)

    def settle_funding(self, symbol: str, rate: float, mark: float, now: int) -> list[Event]:
        """Pay or receive funding on what is open at ``mark``; positive rates are paid by longs."""
        holding = self._holding(symbol)
        if not holding.qty or not self.costs.funding:
            return []
        amount = -(holding.qty * dec(mark) * dec(rate))
        self.wallet += amount
        self.funding += amount
        return [
            FundingPayment(ts=now, symbol=symbol, amount=amount, venue_ts=now, tran_id=f"f{self._next()}"),
            BalanceUpdate(ts=now, wallet=self.wallet, reason="FUNDING_FEE"),
        ]

    def _market(self, order: _Order, mid: float, now: int) -> list[Event]:
        slip = self.costs.slippage_bps / 1e4
        instrument = self._instruments[order.order.symbol]
        if order.order.side is OrderSide.BUY:
            price = instrument.ceil_price(dec(self.costs.ask(mid) * (1 + slip)))
        else:
            price = instrument.floor_price(dec(self.costs.bid(mid) * (1 - slip)))
        return self._fill(order, price, now, maker=False)

    def _fill(self, found: _Order, price: Decimal, now: int, *, maker: bool) -> list[Event]:
        order = found.order
        holding = self._holding(order.symbol)
        sign = 1 if order.side is OrderSide.BUY else -1
        qty = min(found.left, max(ZERO, -holding.qty * sign)) if order.reduce_only else found.left
        self._orders.pop(order.client_id, None)
        if qty <= 0:
            return [self._update(found, OrderStatus.EXPIRED, now, "reduce-only: nothing is open any more")]
        instrument = self._instruments[order.symbol]
        fee = qty * price * (instrument.maker_fee if maker else instrument.taker_fee)
        realized = self._change(holding, qty * sign, price)
        found.filled += qty
        found.value += qty * price
        self.wallet += realized - fee
        self.fees += fee
        done = OrderStatus.FILLED if found.left == 0 else OrderStatus.EXPIRED
        return [
            self._update(found, done, now),
            Fill(
                ts=now,
                symbol=order.symbol,
                client_id=order.client_id,
                venue_id=found.venue_id,
                trade_id=self._next(),
                side=order.side,
                qty=qty,
                price=price,
                fee=fee,
                fee_asset="USDT",
                maker=maker,
                realized_pnl=realized,
                venue_ts=now,
            ),
            BalanceUpdate(ts=now, wallet=self.wallet, reason="ORDER"),
            PositionUpdate(ts=now, symbol=order.symbol, qty=holding.qty, entry_price=holding.entry, venue_ts=now),
        ]

    def _change(self, holding: _Holding, delta: Decimal, price: Decimal) -> Decimal:
        """Book a signed quantity; returns what it realised."""
        before = holding.qty
        after = before + delta
        if before * delta >= 0:
            holding.entry = (holding.entry * abs(before) + price * abs(delta)) / abs(after)
            holding.qty = after
            return ZERO
        closed = min(abs(before), abs(delta))
        realized = (price - holding.entry) * closed * (1 if before > 0 else -1)
        holding.qty = after
        if after == 0:
            holding.entry = ZERO
        elif before * after < 0:
            holding.entry = price
        return realized

    def _liquidated(self, symbol: str, price: float, now: int) -> list[Event]:
        """Close the position when the equity no longer covers the maintenance margin of everything open."""
        needed = sum(
            (abs(h.qty) * h.mark * self._instruments[s].maintenance_rate for s, h in self._holdings.items() if h.qty),
            ZERO,
        )
        holding = self._holding(symbol)
        if not holding.qty or self.equity > needed:
            return []
        side = OrderSide.SELL if holding.qty > 0 else OrderSide.BUY
        number = self._next()
        order = PlaceOrder(
            ts=now,
            client_id=f"autoclose-{number}",
            plan_id=0,
            leg=Leg.CLOSE,
            symbol=symbol,
            side=side,
            type=OrderType.MARKET,
            qty=abs(holding.qty),
            reduce_only=True,
            approval=_BY_THE_VENUE,
        )
        return self._market(_Order(order, number, now), price, now)

    def _update(self, found: _Order, status: OrderStatus, now: int, reason: str = "") -> OrderUpdate:
        order = found.order
        return OrderUpdate(
            ts=now,
            symbol=order.symbol,
            client_id=order.client_id,
            venue_id=found.venue_id,
            book=order.book,
            status=status,
            side=order.side,
            type=order.type,
            qty=order.qty,
            filled_qty=found.filled,
            avg_price=found.value / found.filled if found.filled else ZERO,
            price=order.price,
            trigger_price=order.trigger_price,
            reduce_only=order.reduce_only,
            reason=reason,
            venue_ts=now,
        )


def _reached(order: PlaceOrder, price: float) -> bool:
    trigger = float(order.trigger_price)
    return price >= trigger if order.side is OrderSide.BUY else price <= trigger


def _through(order: PlaceOrder, price: float) -> bool:
    limit = float(order.price)
    return price < limit if order.side is OrderSide.BUY else price > limit


def _row(found: _Order) -> OpenOrder:
    order = found.order
    return OpenOrder(
        symbol=order.symbol,
        client_id=order.client_id,
        venue_id=found.venue_id,
        book=order.book,
        status=OrderStatus.WORKING,
        side=order.side,
        type=order.type,
        qty=order.qty,
        filled_qty=found.filled,
        price=order.price,
        trigger_price=order.trigger_price,
        reduce_only=order.reduce_only,
    )


def _outcome(
    order: PlaceOrder | CancelOrder | QueryOrder,
    action: SendAction,
    result: SendResult,
    now: int,
    *,
    venue_id: str = "",
    code: int = 0,
    reason: str = "",
) -> SendOutcome:
    return SendOutcome(
        ts=now,
        action=action,
        result=result,
        symbol=order.symbol,
        client_id=order.client_id,
        venue_id=venue_id,
        code=code,
        reason=reason,
    )
