"""Every filter refuses with the venue's code and takes the nearest legal value."""

from typing import Any

import pytest

from tests.exchange.exchange_kit import Desk
from tui_trader.exchange.reject import VenueError
from tui_trader.exchange.scripted import ScriptedMarket, scripted_spec

CASES: list[tuple[int, str, str | None, dict[str, Any]]] = [
    (-4014, "0.01", "49000.05", {}),
    (-1111, "0.01", "49000.001", {}),
    (-1111, "0.0101", "49000", {}),
    (-4004, "0.0001", "49000", {}),
    (-4003, "0", "49000", {}),
    (-4005, "1001", "49000", {}),
    (-4005, "121", None, {}),
    (-4164, "0.001", "49000", {}),
    (-4016, "0.01", "52600", {}),
    (-4015, "0.01", "49000", {"client_id": "no spaces"}),
    (-4015, "0.01", "49000", {"client_id": "x" * 37}),
    (-4061, "0.01", "49000", {"position_side": "LONG"}),
    (-1115, "0.01", "49000", {"time_in_force": "DAY"}),
    (-2019, "10", "49000", {}),
    (-2022, "0.01", "49000", {"reduce_only": True}),
    (-5022, "0.01", "50100", {"time_in_force": "GTX"}),
    (-5021, "0.01", "49000", {"time_in_force": "FOK"}),
]


@pytest.mark.parametrize(("code", "quantity", "price", "options"), CASES)
def test_refusals(code: int, quantity: str, price: str | None, options: dict[str, Any]) -> None:
    desk = Desk()
    digest = desk.engine.digest()
    with pytest.raises(VenueError) as refusal:
        desk.order("BUY", quantity, price, **options)
    assert refusal.value.code == code
    assert (desk.events, desk.account.history, desk.engine.digest()) == ([], {}, digest)


@pytest.mark.parametrize(("quantity", "price"), [("0.002", "49000.1"), ("0.001", "50000"), ("1.000", "47500")])
def test_legal_orders_are_accepted(quantity: str, price: str) -> None:
    desk = Desk()
    assert desk.order("BUY", quantity, price).status == "NEW"


def test_open_client_ids_are_unique_and_free_again_afterwards() -> None:
    desk = Desk()
    order = desk.order("BUY", "0.01", "49000", client_id="same")
    with pytest.raises(VenueError) as refusal:
        desk.order("BUY", "0.01", "49000", client_id="same")
    assert refusal.value.code == -4116
    desk.engine.cancel_order(order)
    assert desk.order("BUY", "0.01", "49000", client_id="same").is_open


def test_symbols_that_do_not_trade_refuse_orders() -> None:
    for status, code in (("PENDING_TRADING", -4140), ("SETTLING", -4141)):
        desk = Desk(ScriptedMarket(scripted_spec(status=status)))
        with pytest.raises(VenueError) as refusal:
            desk.order("BUY", "0.01", "49000")
        assert refusal.value.code == code


def test_conditional_types_are_sent_to_the_algo_endpoint() -> None:
    desk = Desk()
    with pytest.raises(VenueError) as refusal:
        desk.engine.place_order(desk.account, desk.request("SELL", "STOP_MARKET", "0.01", None))
    assert refusal.value.code == -4120
