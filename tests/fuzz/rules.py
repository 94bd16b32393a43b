"""What every fact must satisfy before the engine may hear it, whatever bytes it was made of."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal

import msgspec

from tui_trader.core import events as ev
from tui_trader.core.instruments import Instrument
from tui_trader.core.types import OrderSide, OrderStatus, OrderType, VenueBook
from tui_trader.venues.text import clean, is_symbol

LATEST_MS = 4_102_444_800_000
"""1 January 2100: no venue time lies beyond."""
LARGEST = Decimal(10) ** 25


class BrokenRuleError(AssertionError):
    """A fact came out of a parser that must not exist."""


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise BrokenRuleError(what)


def check(fact: object, now_ms: int) -> None:
    """Types, finiteness, signs, times and clean text of one fact. Raises ``BrokenRuleError``."""
    for name, value in _leaves(fact):
        _leaf(name, value)
    rule = _RULES.get(type(fact))
    if rule is not None:
        rule(fact, now_ms)


def _leaves(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, msgspec.Struct):
        for field in value.__struct_fields__:
            yield from _leaves(getattr(value, field), field)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _leaves(item, name)
    else:
        yield name, value


def _leaf(name: str, value: object) -> None:
    if isinstance(value, float):
        _must(math.isfinite(value), f"{name} is {value}")
    elif isinstance(value, Decimal):
        _must(value.is_finite() and abs(value) < LARGEST, f"{name} is {value}")
    elif isinstance(value, int):
        _must(-(2**63) <= value < 2**63, f"{name} = {value} fits no store")
    elif isinstance(value, str):
        _must(len(value) <= 700, f"{name} has {len(value)} characters")
        _must(clean(value, 700) == value, f"{name} {value!r} holds control characters")
        if name == "symbol" and value:
            _must(is_symbol(value), f"the symbol {value!r}")


def _time(name: str, value: int, now_ms: int, ahead_ms: int = 1_000) -> None:
    _must(0 <= value <= now_ms + ahead_ms, f"{name} {value} is not a time up to {now_ms}")


def _top(fact: ev.BookTop, now_ms: int) -> None:
    _must(0 < fact.bid < fact.ask and fact.bid_qty >= 0 and fact.ask_qty >= 0, f"the top {fact}")


def _depth(fact: ev.BookDepth, now_ms: int) -> None:
    for levels, sign in ((fact.bids, -1), (fact.asks, 1)):
        prices = [price * sign for price, _ in levels]
        _must(prices == sorted(set(prices)), "levels are not in order")
        _must(all(price > 0 and qty > 0 for price, qty in levels), "an impossible level")
    _must(fact.bids[0][0] < fact.asks[0][0], "a crossed book")
    _must(fact.bid_depth >= 0 and fact.ask_depth >= 0, "a negative depth")


def _trade(fact: ev.TradePrint, now_ms: int) -> None:
    _must(fact.price > 0 and fact.qty >= 0, f"the trade {fact}")


def _mark(fact: ev.MarkPrice, now_ms: int) -> None:
    _must(fact.mark > 0 and fact.index >= 0 and abs(fact.funding_rate) < 1, f"the mark {fact}")
    _must(0 <= fact.next_funding_ms <= LATEST_MS, f"the next funding at {fact.next_funding_ms}")


def _ticker(fact: ev.Ticker24h, now_ms: int) -> None:
    _must(fact.last > 0 and fact.quote_volume >= 0, f"the ticker {fact}")


def _interest(fact: ev.OpenInterest, now_ms: int) -> None:
    _must(fact.open_interest >= 0, f"the open interest {fact}")


def candle(row: ev.Candle, now_ms: int) -> None:
    """A candle that could have happened. Raises ``BrokenRuleError``."""
    _must(0 < row.low <= min(row.open, row.close), f"the candle {row}")
    _must(max(row.open, row.close) <= row.high, f"the candle {row}")
    _must(row.volume >= 0, f"the candle {row}")
    _time("open_ms", row.open_ms, now_ms, 60_000)
    _must(row.open_ms % 60_000 == 0, f"a candle opens at {row.open_ms}")


def _kline(fact: ev.KlineUpdate, now_ms: int) -> None:
    candle(fact.candle, now_ms)


def _order(fact: ev.OrderUpdate | ev.OpenOrder, now_ms: int) -> None:
    _must(isinstance(fact.side, OrderSide) and isinstance(fact.type, OrderType), f"the order {fact}")
    _must(isinstance(fact.status, OrderStatus) and isinstance(fact.book, VenueBook), f"the order {fact}")
    _must(min(fact.qty, fact.filled_qty, fact.price, fact.trigger_price) >= 0, f"a negative number in {fact}")
    if isinstance(fact, ev.OrderUpdate):
        _must(fact.avg_price >= 0, f"the average price {fact.avg_price}")
        _time("venue_ts", fact.venue_ts, now_ms)


def _fill(fact: ev.Fill, now_ms: int) -> None:
    _must(fact.qty > 0 and fact.price > 0, f"the fill {fact}")
    _must(bool(fact.trade_id), "a fill without a trade id")
    _time("venue_ts", fact.venue_ts, now_ms)


def _position(fact: ev.PositionUpdate | ev.VenuePosition, now_ms: int) -> None:
    _must(fact.entry_price >= 0 and fact.liquidation_price >= 0, f"the position {fact}")
    if isinstance(fact, ev.PositionUpdate):
        _time("venue_ts", fact.venue_ts, now_ms)


def _funding(fact: ev.FundingPayment, now_ms: int) -> None:
    _must(bool(fact.tran_id), "a funding payment without an id")
    _time("venue_ts", fact.venue_ts, now_ms)


def _snapshot(fact: ev.AccountSnapshot, now_ms: int) -> None:
    for rows in (fact.positions, fact.orders, fact.fills, fact.funding):
        for row in rows:
            check(row, now_ms)


def instrument(row: Instrument) -> None:
    """Rules by which an order can be rounded and sized. Raises ``BrokenRuleError``."""
    positive = (row.tick_size, row.step_size, row.market_step_size, row.min_qty, row.max_qty, row.market_max_qty)
    _must(min(positive) > 0 and row.min_notional > 0, f"the rules {row}")
    _must(row.min_qty <= row.max_qty, f"min quantity {row.min_qty} > max quantity {row.max_qty}")
    _must(0 < row.multiplier_down <= 1 <= row.multiplier_up, f"the price band {row}")
    _must(0 < row.maintenance_rate < 1 and 1 <= row.max_leverage <= 500, f"the margin rules {row}")


_RULES = {
    ev.BookTop: _top,
    ev.BookDepth: _depth,
    ev.TradePrint: _trade,
    ev.MarkPrice: _mark,
    ev.Ticker24h: _ticker,
    ev.OpenInterest: _interest,
    ev.KlineUpdate: _kline,
    ev.OrderUpdate: _order,
    ev.OpenOrder: _order,
    ev.Fill: _fill,
    ev.PositionUpdate: _position,
    ev.VenuePosition: _position,
    ev.FundingPayment: _funding,
    ev.AccountSnapshot: _snapshot,
}


def check_text(text: str, most: int = 700) -> None:
    """A sentence that a terminal may be given. Raises ``BrokenRuleError``."""
    _must(len(text) <= most, f"{len(text)} characters")
    _must(clean(text, most) == text, f"control characters in {text!r}")


def check_typed(text: str, most: int = 4_000) -> None:
    """Words about what a person wrote: their own letters may come back, what a terminal obeys may not."""
    _must(len(text) <= most, f"{len(text)} characters")
    _must(all(c.isprintable() or c == "\n" for c in text), f"control characters in {text!r}")
