"""The second book: what it refuses, when it triggers, and what a trigger becomes."""

from typing import Any

import pytest

from tests.exchange.exchange_kit import D, Desk
from tui_trader.exchange.reject import VenueError


def refusal(call: Any) -> int:
    with pytest.raises(VenueError) as caught:
        call()
    return caught.value.code


def test_a_stop_becomes_a_regular_order_with_a_new_id() -> None:
    desk = Desk()
    desk.order("BUY", "0.1")
    stop = desk.algo("SELL", "STOP_MARKET", "0.1", "49500", reduce_only=True, client_id="stop-1")
    desk.events.clear()
    desk.move(49600)
    assert (stop.status, desk.lots) == ("NEW", 100)
    desk.move(49490)
    assert desk.lots == 0
    assert desk.names() == [
        "ALGO_UPDATE TRIGGERING",
        "ALGO_UPDATE TRIGGERED",
        "ORDER_TRADE_UPDATE NEW",
        "TRADE_LITE",
        "ORDER_TRADE_UPDATE FILLED",
        "ACCOUNT_UPDATE",
        "ALGO_UPDATE FINISHED",
    ]
    order = stop.order
    assert order is not None
    assert order.id != stop.id
    assert (order.kind, order.original_kind, order.client_id) == ("MARKET", "STOP_MARKET", "stop-1")
    finished = desk.events[-1]["o"]
    assert (finished["ai"], finished["aq"], finished["ap"]) == (str(order.id), "0.100", "49489.9000")


@pytest.mark.parametrize(
    ("side", "kind", "trigger", "away", "reached"),
    [
        ("SELL", "STOP_MARKET", "49000", 49100, 48900),
        ("BUY", "STOP_MARKET", "51000", 50900, 51100),
        ("SELL", "TAKE_PROFIT_MARKET", "51000", 50900, 51100),
        ("BUY", "TAKE_PROFIT_MARKET", "49000", 49100, 48900),
    ],
)
def test_trigger_directions(side: str, kind: str, trigger: str, away: float, reached: float) -> None:
    desk = Desk()
    algo = desk.algo(side, kind, "0.01", trigger)
    desk.move(away)
    assert algo.status == "NEW"
    desk.move(reached)
    assert algo.status == "FINISHED"


def test_a_wrong_side_trigger_would_fire_at_once() -> None:
    desk = Desk()
    assert refusal(lambda: desk.algo("SELL", "STOP_MARKET", "0.01", "50500")) == -2021
    assert refusal(lambda: desk.algo("BUY", "TAKE_PROFIT_MARKET", "0.01", "50500")) == -2021


def test_mark_price_stops_ignore_the_last_price() -> None:
    desk = Desk()
    desk.market.mark = 50_000.0
    algo = desk.algo("SELL", "STOP_MARKET", "0.01", "49500", working_type="MARK_PRICE")
    desk.move(49000)
    assert algo.status == "NEW"
    desk.market.mark = 49_400.0
    desk.step()
    assert algo.status == "FINISHED"


def test_stop_limit_rests_at_its_price() -> None:
    desk = Desk()
    algo = desk.algo("BUY", "STOP", "0.01", "50500", price="50400", time_in_force="GTC")
    desk.move(50600)
    assert algo.order is not None
    assert (algo.status, algo.order.status, algo.order.price) == ("TRIGGERED", "NEW", 504000)
    desk.move(50300)
    assert (algo.status, algo.order.status) == ("FINISHED", "FILLED")


def test_trailing_stop_follows_and_never_loosens() -> None:
    desk = Desk()
    desk.order("BUY", "0.1")
    algo = desk.algo(
        "SELL",
        "TRAILING_STOP_MARKET",
        "0.1",
        None,
        callback_rate=D(1),
        activate_price=D(50500),
        reduce_only=True,
    )
    desk.move(50100)
    desk.move(49700)
    assert (algo.status, algo.activated) == ("NEW", False)
    desk.move(51000)
    desk.move(50600)
    assert (algo.status, algo.activated) == ("NEW", True)
    desk.move(50450)
    assert (algo.status, desk.lots) == ("FINISHED", 0)
    wrong = {"callback_rate": D("0.05"), "reduce_only": True}
    assert refusal(lambda: desk.algo("SELL", "TRAILING_STOP_MARKET", "0.1", None, **wrong)) == -2007


def test_close_position_rules() -> None:
    desk = Desk()
    close: dict[str, Any] = {"close_position": True}
    assert refusal(lambda: desk.algo("SELL", "STOP_MARKET", None, "49000", **close)) == -4509
    desk.order("BUY", "0.1")
    assert refusal(lambda: desk.algo("SELL", "STOP_MARKET", "0.1", "49000", **close)) == -4137
    assert refusal(lambda: desk.algo("SELL", "STOP", None, "49000", price="49000", **close)) == -4136
    stop = desk.algo("SELL", "STOP_MARKET", None, "49000", **close)
    assert refusal(lambda: desk.algo("SELL", "STOP_MARKET", None, "48000", **close)) == -4130
    profit = desk.algo("SELL", "TAKE_PROFIT_MARKET", None, "51000", **close)
    desk.order("BUY", "0.05")
    desk.move(48900)
    assert (stop.status, stop.lots, desk.lots) == ("FINISHED", 150, 0)
    assert profit.status == "EXPIRED"


def test_a_reduce_only_stop_without_position_is_rejected_at_its_trigger() -> None:
    desk = Desk()
    desk.order("BUY", "0.1")
    stop = desk.algo("SELL", "STOP_MARKET", "0.1", "49500", reduce_only=True)
    desk.order("SELL", "0.1")
    assert stop.status == "NEW"
    desk.move(49400)
    assert (stop.status, stop.reject_reason, desk.lots) == ("REJECTED", "ReduceOnly Order is rejected.", 0)


def test_margin_is_checked_only_at_the_trigger() -> None:
    desk = Desk()
    algo = desk.algo("BUY", "STOP_MARKET", "100", "51000")
    desk.move(51100)
    assert (algo.status, algo.reject_reason) == ("REJECTED", "Margin is insufficient.")


def test_at_most_200_wait() -> None:
    desk = Desk()
    for _ in range(200):
        desk.algo("SELL", "STOP_MARKET", "0.01", "49000")
    assert refusal(lambda: desk.algo("SELL", "STOP_MARKET", "0.01", "49000")) == -4045
    desk.engine.cancel_all_algos(desk.account, "BTCUSDT")
    assert (desk.account.algos, desk.state.algos) == ({}, {})


def test_cancelling_twice_is_an_unknown_order() -> None:
    desk = Desk()
    algo = desk.algo("SELL", "STOP_MARKET", "0.01", "49000")
    desk.engine.algos.cancel(algo)
    assert algo.status == "CANCELED"
    assert refusal(lambda: desk.engine.algos.cancel(algo)) == -2011
