"""Requests as the venue wants them, states as this product means them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.venues.faults import order
from tui_trader.core.types import OrderStatus, OrderType
from tui_trader.venues.binance.orders import WireError, algo_status, number, order_type, place_params, symbol


def test_a_market_order_names_no_price() -> None:
    assert place_params(order("o-1-en-0", qty=Decimal("1E-3"))) == {
        "symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.001", "newClientOrderId": "o-1-en-0",
        "newOrderRespType": "ACK",
    }  # fmt: skip


def test_a_stop_goes_to_the_conditional_book() -> None:
    stop = order("o-1-sl-0", type=OrderType.STOP_MARKET, trigger_price=Decimal("49000.0"), reduce_only=True)
    found = place_params(stop)
    assert (found["algoType"], found["clientAlgoId"], found["triggerPrice"]) == ("CONDITIONAL", "o-1-sl-0", "49000.0")
    assert found["reduceOnly"] == "true"
    assert not {"newClientOrderId", "price", "newOrderRespType"} & found.keys()


@pytest.mark.parametrize(
    ("text", "filled", "status"),
    [
        ("FINISHED", "1", OrderStatus.FILLED), ("FINISHED", "0", OrderStatus.CANCELED),
        ("NEW", "0", OrderStatus.WORKING), ("TRIGGERING", "0", OrderStatus.TRIGGERED),
        ("EXPIRED", "0", OrderStatus.EXPIRED), ("REJECTED", "0", OrderStatus.REJECTED),
    ],
)  # fmt: skip
def test_a_conditional_orders_state(text: str, filled: str, status: OrderStatus) -> None:
    assert algo_status(text, Decimal(filled)) is status


@pytest.mark.parametrize("text", ["NaN", "sNaN", "Infinity", "-Infinity", "1E+25", "1E-25", "1" * 41])
def test_a_number_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(WireError):
        number(Decimal(text))


def test_unknown_words_are_refused_or_a_market_order() -> None:
    with pytest.raises(WireError):
        algo_status("ODD\x1b", Decimal(0))
    with pytest.raises(WireError):
        symbol("币安USDT")
    assert order_type("LIQUIDATION") is OrderType.MARKET
