"""Positions counted from fills: exact, each trade id once."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from tui_trader.core.events import Fill, FundingPayment
from tui_trader.core.portfolio import Portfolio
from tui_trader.core.types import OrderSide, Side


def fill(trade_id: str, side: OrderSide, qty: str, price: str, ts: int = 1) -> Fill:
    return Fill(
        ts=ts,
        symbol="BTCUSDT",
        client_id="",
        venue_id="",
        trade_id=trade_id,
        side=side,
        qty=Decimal(qty),
        price=Decimal(price),
        fee=Decimal(0),
        fee_asset="USDT",
        maker=False,
        realized_pnl=Decimal(0),
        venue_ts=ts,
    )


def test_average_entry_and_realised_pnl() -> None:
    portfolio = Portfolio()
    assert portfolio.book_fill(fill("1", OrderSide.BUY, "1", "100")) == 0
    assert portfolio.book_fill(fill("2", OrderSide.BUY, "3", "200")) == 0
    position = portfolio.position("BTCUSDT")
    assert (position.qty, position.entry, position.side) == (Decimal(4), Decimal(175), Side.LONG)
    assert portfolio.book_fill(fill("3", OrderSide.SELL, "2", "185")) == Decimal(20)
    assert position.unrealized(Decimal(180)) == Decimal(10)
    assert portfolio.book_fill(fill("4", OrderSide.SELL, "3", "170")) == Decimal(-10)
    assert (position.qty, position.entry, position.side) == (Decimal(-1), Decimal(170), Side.SHORT)


def test_what_was_held_before_the_last_fills_is_known() -> None:
    portfolio = Portfolio()
    for number, (side, qty, ts) in enumerate([("BUY", "5", 10), ("SELL", "2", 30), ("SELL", "1", 20)]):
        portfolio.book_fill(fill(str(number), OrderSide(side), qty, "100", ts))
    position = portfolio.position("BTCUSDT")
    assert position.held_before(0) == [Decimal(4), Decimal(5), Decimal(0)]
    assert position.held_before(20) == [Decimal(4), Decimal(5)]
    portfolio.adopt("BTCUSDT", Decimal(7), Decimal(100))
    assert position.held_before(0) == []


def test_i6_a_trade_id_is_new_once() -> None:
    portfolio = Portfolio(seen=("BTCUSDT:8",))
    old, new = fill("8", OrderSide.BUY, "1", "100"), fill("9", OrderSide.BUY, "1", "100", ts=50)
    assert not portfolio.is_new(old)
    assert portfolio.is_new(new)
    portfolio.book_fill(new)
    assert not portfolio.is_new(new)
    assert portfolio.fills_cursor_ms == 50
    portfolio.mark_seen(fill("10", OrderSide.BUY, "1", "100", ts=60))
    assert not portfolio.is_new(fill("10", OrderSide.BUY, "1", "100"))
    assert portfolio.position("BTCUSDT").qty == 1


def test_funding_counts_once() -> None:
    payment = FundingPayment(ts=1, symbol="BTCUSDT", amount=Decimal("-0.2"), venue_ts=1, tran_id="5")
    portfolio = Portfolio()
    assert portfolio.is_new_funding(payment)
    assert not portfolio.is_new_funding(payment)


def test_adopt_takes_the_venues_word() -> None:
    portfolio = Portfolio()
    portfolio.adopt("BTCUSDT", Decimal("-2"), Decimal(90))
    assert [p.symbol for p in portfolio.open_positions()] == ["BTCUSDT"]
    portfolio.adopt("BTCUSDT", Decimal(0), Decimal(90))
    assert portfolio.open_positions() == []
    assert portfolio.position("BTCUSDT").entry == 0


@given(
    st.lists(
        st.tuples(st.sampled_from(list(OrderSide)), st.integers(1, 500), st.integers(1, 10_000)),
        min_size=1,
        max_size=20,
    )
)
def test_i17_cash_and_position_balance_to_the_last_digit(rows: list[tuple[OrderSide, int, int]]) -> None:
    portfolio = Portfolio()
    realized = cash = Decimal(0)
    for number, (side, qty, price) in enumerate(rows):
        realized += portfolio.book_fill(fill(str(number), side, str(qty), str(price)))
        cash -= side.sign * Decimal(qty) * Decimal(price)
    position = portfolio.position("BTCUSDT")
    assert position.qty == sum(side.sign * qty for side, qty, _ in rows)
    mark = Decimal(123)
    assert abs(realized + position.unrealized(mark) - (cash + position.qty * mark)) < Decimal("1e-15")
