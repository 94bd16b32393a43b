"""Regular orders: partial fills, times in force, reduce-only, amending, self-trades, countdowns."""

import pytest

from tests.exchange.exchange_kit import D, Desk
from tui_trader.exchange.orders import OrderRequest
from tui_trader.exchange.reject import VenueError
from tui_trader.exchange.scripted import ScriptedMarket


def test_events_of_a_fill_come_in_order() -> None:
    desk = Desk()
    desk.order("BUY", "0.1")
    assert desk.names() == ["ORDER_TRADE_UPDATE NEW", "TRADE_LITE", "ORDER_TRADE_UPDATE FILLED", "ACCOUNT_UPDATE"]
    fill = desk.events[2]["o"]
    assert (fill["x"], fill["L"], fill["l"], fill["n"], fill["m"]) == (
        "TRADE",
        "50000.10",
        "0.100",
        "2.50000500",
        False,
    )


def test_a_market_order_walks_the_book_within_the_percent_price_band() -> None:
    desk = Desk(ScriptedMarket(lots=10, depth=3, prints=False))
    order = desk.order("BUY", "0.05")
    assert (order.filled, order.status) == (30, "EXPIRED")
    assert [trade.price for trade in desk.account.trades] == [D("50000.1"), D("50000.2"), D("50000.3")]


def test_a_limit_order_fills_partly_and_rests_with_its_remainder() -> None:
    desk = Desk(ScriptedMarket(lots=10, depth=3, prints=False))
    order = desk.order("BUY", "0.015", "50000.1")
    assert (order.filled, order.status, order.resting) == (10, "PARTIALLY_FILLED", True)
    assert desk.state.book.bids.best() == 500001
    desk.market.trade(False, "0.003")
    desk.step()
    assert (order.filled, order.status) == (15, "FILLED")


def test_immediate_or_cancel_expires_its_remainder() -> None:
    desk = Desk(ScriptedMarket(lots=10, depth=3, prints=False))
    order = desk.order("BUY", "0.02", "50000.1", time_in_force="IOC")
    assert (order.filled, order.status) == (10, "EXPIRED")
    assert desk.order("SELL", "0.010", "49999.9", time_in_force="FOK").status == "FILLED"


def test_queue_position_decides_when_a_bid_fills() -> None:
    desk = Desk(ScriptedMarket(prints=False))
    order = desk.order("BUY", "0.01", "49999.9")
    desk.market.trade(False, "0.995")
    desk.step()
    assert order.filled == 0
    desk.market.trade(False, "1.008")
    desk.step()
    assert order.filled == 10


def test_reduce_only_never_opens_or_flips() -> None:
    desk = Desk()
    desk.order("BUY", "0.1")
    first = desk.order("SELL", "0.06", "50500", reduce_only=True)
    with pytest.raises(VenueError) as refusal:
        desk.order("SELL", "0.05", "50600", reduce_only=True)
    assert refusal.value.code == -4118
    second = desk.order("SELL", "0.04", "50600", reduce_only=True)
    closing = desk.order("SELL", "0.2", reduce_only=True)
    assert (closing.filled, closing.status, desk.lots) == (100, "EXPIRED", 0)
    assert (first.status, second.status) == ("EXPIRED", "EXPIRED")


def test_a_resting_reduce_only_order_is_capped_by_what_is_left() -> None:
    desk = Desk()
    desk.order("BUY", "0.1")
    target = desk.order("SELL", "0.08", "50500", reduce_only=True)
    desk.order("SELL", "0.07")
    desk.move(50600)
    assert (target.filled, target.status, desk.lots) == (30, "EXPIRED", 0)


def test_amending_keeps_the_place_only_when_it_shrinks() -> None:
    desk = Desk()
    order = desk.order("BUY", "0.02", "49000")
    desk.engine.amend_order(order, D("0.01"), D(49000))
    assert (order.lots, desk.events[-1]["o"]["x"]) == (10, "AMENDMENT")
    desk.engine.amend_order(order, D("0.03"), D("50000.1"))
    assert (order.filled, order.status) == (30, "FILLED")


def test_a_refused_amendment_leaves_the_order() -> None:
    desk = Desk()
    order = desk.order("BUY", "0.02", "49000", time_in_force="GTX")
    with pytest.raises(VenueError) as refusal:
        desk.engine.amend_order(order, D("0.02"), D("50001"))
    assert refusal.value.code == -5022
    assert (order.price, order.resting, desk.state.book.bids.quantity(490000)) == (490000, True, 20)


def test_own_orders_do_not_trade_with_each_other() -> None:
    desk = Desk()
    resting = desk.order("BUY", "0.01", "50000")
    desk.order("SELL", "0.01")
    assert (resting.status, desk.lots) == ("EXPIRED_IN_MATCH", -10)


def test_two_accounts_trade_with_each_other() -> None:
    desk = Desk()
    other = desk.engine.add_account("key2", "secret2", D(10000))
    resting = desk.order("SELL", "0.01", "50000")
    desk.engine.place_order(other, OrderRequest("BTCUSDT", True, "MARKET", D("0.01")))
    assert resting.status == "FILLED"
    assert other.position(desk.market.spec).lots == 10
    assert desk.account.wallet - 10000 == -D("0.01") * 50000 * D("0.0002")
    assert other.wallet - 10000 == -D("0.01") * 50000 * D("0.0005")


def test_cancel_countdown_and_good_till_date() -> None:
    desk = Desk()
    order = desk.order("BUY", "0.01", "49000")
    desk.account.countdowns["BTCUSDT"] = desk.engine.now_ms + 2000
    dated = desk.order("BUY", "0.01", "48900", time_in_force="GTD", good_till_ms=desk.engine.now_ms + 1000)
    desk.step(1000)
    assert (order.status, dated.status) == ("NEW", "EXPIRED")
    desk.step(1000)
    assert order.status == "CANCELED"


def test_open_orders_bind_margin() -> None:
    desk = Desk()
    desk.order("BUY", "2", "49000")
    desk.order("BUY", "2", "49000")
    with pytest.raises(VenueError) as refusal:
        desk.order("BUY", "1", "49000")
    assert refusal.value.code == -2019
    assert desk.order("SELL", "2", "51000").status == "NEW"
