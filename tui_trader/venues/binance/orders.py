"""Order requests as Binance wants them, and its REST answers and account events as this product's facts."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import TypeVar

import msgspec

from tui_trader.core.commands import PlaceOrder
from tui_trader.core.events import (
    BalanceUpdate,
    Event,
    Fill,
    FundingPayment,
    OpenOrder,
    OrderUpdate,
    PositionUpdate,
    VenuePosition,
)
from tui_trader.core.types import LATEST_MS, ZERO, OrderSide, OrderStatus, OrderType, Transfer, VenueBook
from tui_trader.venues.binance.messages import AccountUpdate, AlgoBody, AlgoUpdate, OrderTradeUpdate
from tui_trader.venues.text import clean, is_symbol

_STATUS = {
    "NEW": OrderStatus.WORKING,
    "PARTIALLY_FILLED": OrderStatus.PARTIALLY_FILLED,
    "FILLED": OrderStatus.FILLED,
    "CANCELED": OrderStatus.CANCELED,
    "REJECTED": OrderStatus.REJECTED,
    "EXPIRED": OrderStatus.EXPIRED,
    "EXPIRED_IN_MATCH": OrderStatus.EXPIRED,
}
_ALGO_STATUS = {
    "NEW": OrderStatus.WORKING,
    "TRIGGERING": OrderStatus.TRIGGERED,
    "TRIGGERED": OrderStatus.TRIGGERED,
    "CANCELED": OrderStatus.CANCELED,
    "EXPIRED": OrderStatus.EXPIRED,
    "REJECTED": OrderStatus.REJECTED,
}
TRANSFERS = frozenset(
    {"TRANSFER", "INTERNAL_TRANSFER", "CROSS_COLLATERAL_TRANSFER", "STRATEGY_UMFUTURES_TRANSFER"}
    | {"COIN_SWAP_DEPOSIT", "COIN_SWAP_WITHDRAW", "AUTO_EXCHANGE"}
)
"""Kinds of ledger rows that are neither profit nor loss."""
_MAX_EXPONENT = 24
_AHEAD_MS = 1_000


class WireError(ValueError):
    """The venue sent something that is decodable but impossible."""


class OrderAnswer(msgspec.Struct, gc=False, rename="camel"):
    """A regular order as REST shows it."""

    symbol: str
    order_id: int
    client_order_id: str
    status: str
    side: str
    orig_qty: Decimal
    type: str = "LIMIT"
    orig_type: str = ""
    executed_qty: Decimal = ZERO
    avg_price: Decimal = ZERO
    price: Decimal = ZERO
    stop_price: Decimal = ZERO
    reduce_only: bool = False
    close_position: bool = False
    update_time: int = 0


class AlgoAnswer(msgspec.Struct, gc=False, rename="camel"):
    """A conditional order as REST shows it."""

    symbol: str
    algo_id: int
    client_algo_id: str
    algo_status: str
    side: str
    order_type: str
    quantity: Decimal = ZERO
    actual_order_id: int | str | None = None
    actual_price: str | float | None = None
    actual_qty: str | float | None = None
    trigger_price: Decimal = ZERO
    price: Decimal = ZERO
    reduce_only: bool = False
    close_position: bool = False
    update_time: int = 0


class TradeAnswer(msgspec.Struct, gc=False, rename="camel"):
    """One of the account's executions as REST shows it."""

    symbol: str
    id: int
    order_id: int
    side: str
    qty: Decimal
    price: Decimal
    commission: Decimal
    commission_asset: str
    maker: bool
    realized_pnl: Decimal
    time: int


class PositionAnswer(msgspec.Struct, gc=False, rename="camel"):
    """One row of positionRisk."""

    symbol: str
    position_amt: Decimal
    entry_price: Decimal
    liquidation_price: Decimal = ZERO
    mark_price: Decimal = ZERO
    position_side: str = "BOTH"
    leverage: int = 0


class BalanceAnswer(msgspec.Struct, gc=False):
    """One row of balance."""

    asset: str
    balance: Decimal


class IncomeAnswer(msgspec.Struct, gc=False, rename="camel"):
    """One row of income."""

    symbol: str
    income_type: str
    income: Decimal
    asset: str
    time: int
    tran_id: int | str


Row = TypeVar("Row", PositionAnswer, OrderAnswer, AlgoAnswer, IncomeAnswer)


def number(value: Decimal) -> Decimal:
    """``value`` when it is finite and of a believable size; raises ``WireError`` otherwise."""
    if not value.is_finite() or abs(value.adjusted()) > _MAX_EXPONENT or len(value.as_tuple().digits) > 40:
        raise WireError("an account number is not finite or not believable")
    return value


def amount(value: Decimal) -> Decimal:
    """``value`` when it can be a quantity or a price: believable and not negative; raises ``WireError`` otherwise."""
    if number(value) < 0:
        raise WireError("a quantity or a price is negative")
    return value


def _traded(value: Decimal) -> Decimal:
    if number(value) <= 0:
        raise WireError("a quantity or a price of an execution is not positive")
    return value


def moment(ms: int, ts: int) -> int:
    """The venue time ``ms`` of a fact heard at ``ts``; raises ``WireError`` when it can be none.

    A time from the future is taken for now: believed, it would make every later fact look old.
    """
    if not 0 <= ms < LATEST_MS:
        raise WireError("a time is not between 1970 and 2100")
    return ts if ms > ts + _AHEAD_MS else ms


def symbol(text: str) -> str:
    """``text`` when it is a symbol this product handles; raises ``WireError`` otherwise."""
    if not is_symbol(text):
        raise WireError(f"the symbol {clean(text, 32)!r} is not ASCII capitals and digits")
    return text


def named(rows: Iterable[Row]) -> list[Row]:
    """The rows whose symbol this product handles. The venue lists contracts with names in other letters: one that
    somebody holds must not make the rest of the account unreadable.
    """
    return [row for row in rows if is_symbol(row.symbol)]


def _side(text: str) -> OrderSide:
    if text not in ("BUY", "SELL"):
        raise WireError(f"an order side {clean(text, 20)!r}")
    return OrderSide(text)


def order_type(text: str) -> OrderType:
    """The order type; liquidations and what else the venue makes itself count as market orders."""
    try:
        return OrderType(text)
    except ValueError:
        return OrderType.MARKET


def _status(text: str) -> OrderStatus:
    try:
        return _STATUS[text]
    except KeyError:
        raise WireError(f"an order status {clean(text, 40)!r}") from None


def algo_status(text: str, filled: Decimal) -> OrderStatus:
    """FINISHED means filled or cancelled after the trigger: only the executed quantity tells."""
    if text == "FINISHED":
        return OrderStatus.FILLED if filled > 0 else OrderStatus.CANCELED
    try:
        return _ALGO_STATUS[text]
    except KeyError:
        raise WireError(f"a conditional order status {clean(text, 40)!r}") from None


def _text(value: Decimal) -> str:
    return format(value, "f")


def place_params(order: PlaceOrder) -> dict[str, str]:
    """The form fields of ``order`` for its endpoint (``order`` or ``algoOrder``, by ``order.book``)."""
    algo = order.book is VenueBook.ALGO
    params = {
        "symbol": order.symbol,
        "side": order.side.value,
        "type": order.type.value,
        "quantity": _text(order.qty),
        "clientAlgoId" if algo else "newClientOrderId": order.client_id,
    }
    if order.reduce_only:
        params["reduceOnly"] = "true"
    if order.type in (OrderType.LIMIT, OrderType.STOP, OrderType.TAKE_PROFIT):
        params["price"] = _text(order.price)
        params["timeInForce"] = order.tif.value
    if algo:
        params["algoType"] = "CONDITIONAL"
        params["triggerPrice"] = _text(order.trigger_price)
        params["workingType"] = order.working_type.value
    else:
        params["newOrderRespType"] = "ACK"
    return params


def order_update(answer: OrderAnswer, ts: int) -> OrderUpdate:
    """A regular order's REST state as a fact. Raises ``WireError``."""
    return OrderUpdate(
        ts=ts,
        symbol=symbol(answer.symbol),
        client_id=clean(answer.client_order_id, 64),
        venue_id=str(answer.order_id),
        book=VenueBook.REGULAR,
        status=_status(answer.status),
        side=_side(answer.side),
        type=order_type(answer.orig_type or answer.type),
        qty=amount(answer.orig_qty),
        filled_qty=amount(answer.executed_qty),
        avg_price=amount(answer.avg_price),
        price=amount(answer.price),
        trigger_price=amount(answer.stop_price),
        reduce_only=answer.reduce_only,
        close_position=answer.close_position,
        venue_ts=moment(answer.update_time, ts),
    )


def _loose(value: str | float | None) -> Decimal:
    if value is None or value == "":
        return ZERO
    try:
        return amount(Decimal(str(value)))
    except ArithmeticError:
        raise WireError("an account number is not a number") from None


def algo_order_update(answer: AlgoAnswer, ts: int) -> OrderUpdate:
    """A conditional order's REST state as a fact. Raises ``WireError``."""
    filled = _loose(answer.actual_qty)
    return OrderUpdate(
        ts=ts,
        symbol=symbol(answer.symbol),
        client_id=clean(answer.client_algo_id, 64),
        venue_id=str(answer.algo_id),
        book=VenueBook.ALGO,
        status=algo_status(answer.algo_status, filled),
        side=_side(answer.side),
        type=order_type(answer.order_type),
        qty=amount(answer.quantity),
        filled_qty=filled,
        avg_price=_loose(answer.actual_price) if filled else ZERO,
        price=amount(answer.price),
        trigger_price=amount(answer.trigger_price),
        reduce_only=answer.reduce_only,
        close_position=answer.close_position,
        actual_id=clean(answer.actual_order_id or "", 40),
        venue_ts=moment(answer.update_time, ts),
    )


def open_order(update: OrderUpdate) -> OpenOrder:
    """A row of the open-orders snapshot."""
    return OpenOrder(
        symbol=update.symbol,
        client_id=update.client_id,
        venue_id=update.venue_id,
        book=update.book,
        status=update.status,
        side=update.side,
        type=update.type,
        qty=update.qty,
        filled_qty=update.filled_qty,
        price=update.price,
        trigger_price=update.trigger_price,
        reduce_only=update.reduce_only,
        close_position=update.close_position,
    )


def fill(answer: TradeAnswer, client_id: str, ts: int) -> Fill:
    """A REST execution as a fact; REST does not say the client id, so it is empty unless known."""
    return Fill(
        ts=ts,
        symbol=symbol(answer.symbol),
        client_id=client_id,
        venue_id=str(answer.order_id),
        trade_id=str(answer.id),
        side=_side(answer.side),
        qty=_traded(answer.qty),
        price=_traded(answer.price),
        fee=number(answer.commission),
        fee_asset=clean(answer.commission_asset, 20),
        maker=answer.maker,
        realized_pnl=number(answer.realized_pnl),
        venue_ts=moment(answer.time, ts),
    )


def position(answer: PositionAnswer) -> VenuePosition:
    """A position row. Raises ``WireError``."""
    return VenuePosition(
        symbol=symbol(answer.symbol),
        qty=number(answer.position_amt),
        entry_price=amount(answer.entry_price),
        leverage=answer.leverage,
        liquidation_price=max(ZERO, number(answer.liquidation_price)),
        mark=amount(answer.mark_price),
    )


def funding(answer: IncomeAnswer, ts: int) -> FundingPayment:
    """A funding row. Raises ``WireError``."""
    return FundingPayment(
        ts=ts,
        symbol=symbol(answer.symbol),
        amount=number(answer.income),
        venue_ts=moment(answer.time, ts),
        tran_id=clean(answer.tran_id, 64),
    )


def transfer(answer: IncomeAnswer, ts: int) -> Transfer:
    """A row of the ledger that is neither profit nor loss. Raises ``WireError``."""
    return Transfer(
        amount=number(answer.income),
        venue_ts=moment(answer.time, ts),
        tran_id=clean(f"{answer.income_type}:{answer.tran_id}", 64),
    )


def stream_order(message: OrderTradeUpdate, ts: int) -> list[Event]:
    """The order's state and, when it traded, the fill (first, so that the average is known). Raises ``WireError``."""
    body = message.order
    side, client_id, venue_id = _side(body.side), clean(body.client_id, 64), str(body.order_id)
    facts: list[Event] = []
    if body.trade_id and number(body.last_qty) > 0:
        facts.append(
            Fill(
                ts=ts,
                symbol=symbol(body.symbol),
                client_id=client_id,
                venue_id=venue_id,
                trade_id=str(body.trade_id),
                side=side,
                qty=_traded(body.last_qty),
                price=_traded(body.last_price),
                fee=number(body.fee),
                fee_asset=clean(body.fee_asset or "USDT", 20),
                maker=body.maker,
                realized_pnl=number(body.realized),
                venue_ts=moment(body.trade_ms, ts),
            )
        )
    facts.append(
        OrderUpdate(
            ts=ts,
            symbol=symbol(body.symbol),
            client_id=client_id,
            venue_id=venue_id,
            book=VenueBook.REGULAR,
            status=_status(body.status),
            side=side,
            type=order_type(body.original_type or body.type),
            qty=amount(body.qty),
            filled_qty=amount(body.filled_qty),
            avg_price=amount(body.avg_price),
            price=amount(body.price),
            trigger_price=amount(body.stop_price),
            reduce_only=body.reduce_only,
            close_position=body.close_position,
            reason="" if body.expiry_reason == "0" else clean(f"expiry reason {body.expiry_reason}", 80),
            venue_ts=moment(message.trade_ms, ts),
        )
    )
    return facts


def stream_algo(message: AlgoUpdate, ts: int) -> list[Event]:
    """The conditional order's state. Raises ``WireError``."""
    body: AlgoBody = message.order
    filled = amount(body.filled_qty)
    return [
        OrderUpdate(
            ts=ts,
            symbol=symbol(body.symbol),
            client_id=clean(body.client_id, 64),
            venue_id=str(body.algo_id),
            book=VenueBook.ALGO,
            status=algo_status(body.status, filled),
            side=_side(body.side),
            type=order_type(body.type),
            qty=amount(body.qty),
            filled_qty=filled,
            avg_price=amount(body.avg_price) if filled else ZERO,
            price=amount(body.price),
            trigger_price=amount(body.trigger_price),
            reduce_only=body.reduce_only,
            close_position=body.close_position,
            actual_id=clean(body.actual_id or "", 40),
            reason=clean(body.reject_reason, 200),
            venue_ts=moment(message.trade_ms, ts),
        )
    ]


def stream_account(message: AccountUpdate, ts: int) -> list[Event]:
    """Wallet and positions; hedge-mode rows (LONG, SHORT) are left to the snapshot. Raises ``WireError``."""
    facts: list[Event] = [
        PositionUpdate(
            ts=ts,
            symbol=symbol(row.symbol),
            qty=number(row.amount),
            entry_price=amount(row.entry_price),
            venue_ts=moment(message.trade_ms, ts),
        )
        for row in message.account.positions
        if row.position_side == "BOTH"
    ]
    facts.extend(
        BalanceUpdate(
            ts=ts,
            wallet=number(row.wallet),
            reason=clean(message.account.reason, 40),
            change=number(row.change),
            venue_ts=moment(message.trade_ms, ts),
        )
        for row in message.account.balances
        if row.asset == "USDT"
    )
    return facts
