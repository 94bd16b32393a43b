"""The vocabulary: signs, sides, terminal states."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_trader.core.types import Leg, OrderSide, OrderStatus, OrderType, Side, dec


@pytest.mark.parametrize("side", list(Side))
def test_a_side_enters_and_exits_on_opposite_order_sides(side: Side) -> None:
    assert side.entry is not side.exit
    assert side.entry.sign == side.sign == -side.exit.sign
    assert side.opposite.entry is side.exit
    assert side.opposite.opposite is side


def test_only_plain_orders_rest_in_the_regular_book() -> None:
    assert {t for t in OrderType if not t.conditional} == {OrderType.MARKET, OrderType.LIMIT}


def test_four_states_are_terminal() -> None:
    ended = {OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.EXPIRED}
    assert {s for s in OrderStatus if s.terminal} == ended


def test_legs_are_two_letters_for_client_ids() -> None:
    assert all(len(leg.value) == 2 for leg in Leg)
    assert {leg for leg in Leg if leg.target} == {Leg.TP1, Leg.TP2, Leg.TP3}


def test_signs() -> None:
    assert [s.sign for s in (Side.LONG, Side.SHORT, OrderSide.BUY, OrderSide.SELL)] == [1, -1, 1, -1]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_dec_keeps_the_shortest_text_of_a_float(value: float) -> None:
    assert float(dec(value)) == value
    assert dec(0.1) == Decimal("0.1")
