"""What Binance USDⓈ-M sends, as typed structs; field names follow the meaning, ``rename`` the letters on the wire.

Unknown fields are skipped by the decoder. Market numbers decode from text to ``float``, account numbers to ``Decimal``.
``gc=False``: no struct here can take part in a reference cycle.
"""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta, field

_LARGEST = sys.float_info.max
Price = Annotated[float, Meta(gt=0, le=_LARGEST)]
Qty = Annotated[float, Meta(ge=0, le=_LARGEST)]
Pair = tuple[Price, Qty]
"""A level. The decoder refuses what is negative, infinite or not a number: the frame is counted, the book resyncs."""


class DepthUpdate(msgspec.Struct, gc=False, tag_field="e", tag="depthUpdate"):
    """A depth diff; quantities are absolute."""

    symbol: str = field(name="s")
    first_id: int = field(name="U")
    last_id: int = field(name="u")
    prev_id: int = field(name="pu")
    bids: list[Pair] = field(name="b")
    asks: list[Pair] = field(name="a")
    event_ms: int = field(name="E", default=0)


class PartialDepth(msgspec.Struct, gc=False, tag_field="e", tag="depthUpdate"):
    """A ``@depth5|10|20`` frame: the best levels, not a change. Only the stream name tells it from a diff."""

    symbol: str = field(name="s")
    last_id: int = field(name="u")
    bids: list[Pair] = field(name="b")
    asks: list[Pair] = field(name="a")


class BookTicker(msgspec.Struct, gc=False, tag_field="e", tag="bookTicker"):
    """Best bid and ask after update ``update_id``."""

    update_id: int = field(name="u")
    symbol: str = field(name="s")
    bid: float = field(name="b")
    bid_qty: float = field(name="B")
    ask: float = field(name="a")
    ask_qty: float = field(name="A")
    event_ms: int = field(name="E", default=0)


class AggTrade(msgspec.Struct, gc=False, tag_field="e", tag="aggTrade"):
    """Trades of one taker order at one price."""

    symbol: str = field(name="s")
    price: float = field(name="p")
    qty: float = field(name="q")
    buyer_is_maker: bool = field(name="m")


class Trade(msgspec.Struct, gc=False, tag_field="e", tag="trade"):
    """One trade."""

    symbol: str = field(name="s")
    price: float = field(name="p")
    qty: float = field(name="q")
    buyer_is_maker: bool = field(name="m")


class KlineBody(msgspec.Struct, gc=False):
    """A running or closed candle."""

    open_ms: int = field(name="t")
    interval: str = field(name="i")
    open: float = field(name="o")
    high: float = field(name="h")
    low: float = field(name="l")
    close: float = field(name="c")
    volume: float = field(name="v")
    closed: bool = field(name="x")


class Kline(msgspec.Struct, gc=False, tag_field="e", tag="kline"):
    """A candle of one symbol."""

    symbol: str = field(name="s")
    body: KlineBody = field(name="k")


class MarkPriceUpdate(msgspec.Struct, gc=False, tag_field="e", tag="markPriceUpdate"):
    """Mark and index price, predicted funding rate, next funding time."""

    symbol: str = field(name="s")
    mark: float = field(name="p")
    index: float = field(name="i", default=0.0)
    rate: float | str = field(name="r", default="")
    next_funding_ms: int = field(name="T", default=0)
    event_ms: int = field(name="E", default=0)


class Ticker(msgspec.Struct, gc=False, tag_field="e", tag="24hrTicker"):
    """Rolling 24 h statistics."""

    symbol: str = field(name="s")
    last: float = field(name="c")
    change_pct: float = field(name="P")
    quote_volume: float = field(name="q")
    event_ms: int = field(name="E", default=0)


class OrderBody(msgspec.Struct, gc=False):
    """The order in an ORDER_TRADE_UPDATE."""

    symbol: str = field(name="s")
    client_id: str = field(name="c")
    side: str = field(name="S")
    type: str = field(name="o")
    execution: str = field(name="x")
    status: str = field(name="X")
    order_id: int = field(name="i")
    qty: Decimal = field(name="q")
    price: Decimal = field(name="p")
    trade_ms: int = field(name="T")
    avg_price: Decimal = field(name="ap", default=Decimal(0))
    stop_price: Decimal = field(name="sp", default=Decimal(0))
    last_qty: Decimal = field(name="l", default=Decimal(0))
    filled_qty: Decimal = field(name="z", default=Decimal(0))
    last_price: Decimal = field(name="L", default=Decimal(0))
    fee: Decimal = field(name="n", default=Decimal(0))
    fee_asset: str | None = field(name="N", default=None)
    trade_id: int = field(name="t", default=0)
    maker: bool = field(name="m", default=False)
    reduce_only: bool = field(name="R", default=False)
    close_position: bool = field(name="cp", default=False)
    realized: Decimal = field(name="rp", default=Decimal(0))
    original_type: str = field(name="ot", default="")
    expiry_reason: str = field(name="er", default="0")


class OrderTradeUpdate(msgspec.Struct, gc=False, tag_field="e", tag="ORDER_TRADE_UPDATE"):
    """A change of one regular order, with the fill when there was one."""

    event_ms: int = field(name="E")
    trade_ms: int = field(name="T")
    order: OrderBody = field(name="o")


class BalanceBody(msgspec.Struct, gc=False):
    """Wallet of one asset."""

    asset: str = field(name="a")
    wallet: Decimal = field(name="wb")
    change: Decimal = field(name="bc", default=Decimal(0))


class PositionBody(msgspec.Struct, gc=False):
    """One position; signed amount."""

    symbol: str = field(name="s")
    amount: Decimal = field(name="pa")
    entry_price: Decimal = field(name="ep")
    position_side: str = field(name="ps", default="BOTH")


class AccountBody(msgspec.Struct, gc=False):
    """Balances and positions that changed, and why."""

    balances: list[BalanceBody] = field(name="B", default_factory=list)
    positions: list[PositionBody] = field(name="P", default_factory=list)
    reason: str = field(name="m", default="")


class AccountUpdate(msgspec.Struct, gc=False, tag_field="e", tag="ACCOUNT_UPDATE"):
    """Wallet and positions after a change."""

    event_ms: int = field(name="E")
    trade_ms: int = field(name="T")
    account: AccountBody = field(name="a")


class AlgoBody(msgspec.Struct, gc=False):
    """The conditional order in an ALGO_UPDATE."""

    client_id: str = field(name="caid")
    algo_id: int = field(name="aid")
    type: str = field(name="o")
    symbol: str = field(name="s")
    side: str = field(name="S")
    qty: Decimal = field(name="q")
    status: str = field(name="X")
    actual_id: int | str = field(name="ai", default="")
    avg_price: Decimal = field(name="ap", default=Decimal(0))
    filled_qty: Decimal = field(name="aq", default=Decimal(0))
    trigger_price: Decimal = field(name="tp", default=Decimal(0))
    price: Decimal = field(name="p", default=Decimal(0))
    close_position: bool = field(name="cp", default=False)
    reduce_only: bool = field(name="R", default=False)
    reject_reason: str = field(name="rm", default="")


class AlgoUpdate(msgspec.Struct, gc=False, tag_field="e", tag="ALGO_UPDATE"):
    """A change of one conditional order."""

    event_ms: int = field(name="E")
    trade_ms: int = field(name="T")
    order: AlgoBody = field(name="o")


class TradeLite(msgspec.Struct, gc=False, tag_field="e", tag="TRADE_LITE"):
    """An early, short word on a fill; the ORDER_TRADE_UPDATE behind it says everything."""

    symbol: str = field(name="s")


class ListenKeyExpired(msgspec.Struct, gc=False, tag_field="e", tag="listenKeyExpired"):
    """The private stream is over although its socket stays open. ``E`` was seen as text: the decoder is not strict."""

    event_ms: int = field(name="E", default=0)


class Answer(msgspec.Struct, gc=False):
    """The server's word on a SUBSCRIBE; ``error`` holds code and text when it was refused."""

    id: int | str | None = None
    error: dict[str, object] | None = None


class Ignored(msgspec.Struct, gc=False):
    """A well-formed frame that this product has no use for; ``name`` is the event's, cleaned."""

    name: str


class Unparsed(msgspec.Struct, gc=False):
    """Bytes that are not what the protocol promises: dropped and counted."""

    reason: str


Single = (
    DepthUpdate
    | BookTicker
    | AggTrade
    | Trade
    | Kline
    | MarkPriceUpdate
    | Ticker
    | OrderTradeUpdate
    | AccountUpdate
    | AlgoUpdate
    | TradeLite
    | ListenKeyExpired
)

Message = Single | PartialDepth | list[BookTicker] | list[MarkPriceUpdate] | list[Ticker] | Answer | Ignored | Unparsed
