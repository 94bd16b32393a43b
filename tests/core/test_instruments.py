"""Rounding to the venue's filters: exact, idempotent, on the right side."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_trader.core.instruments import Instrument, stand_in
from tui_trader.core.types import Side

steps = st.sampled_from([Decimal(s) for s in ("0.00000100", "0.001", "0.01", "0.10", "0.5", "1", "5", "1000")])
values = st.decimals(min_value="0.0000001", max_value="10000000", places=8)


def instrument(**changes: object) -> Instrument:
    return Instrument(**({"symbol": "BTCUSDT", "base_asset": "BTC"} | changes))


@given(tick=steps, price=values)
def test_prices_land_on_the_tick_beside_them(tick: Decimal, price: Decimal) -> None:
    it = instrument(tick_size=tick)
    low, near, high = it.floor_price(price), it.near_price(price), it.ceil_price(price)
    assert low <= price <= high
    assert high - low in (0, tick)
    assert near in (low, high)
    assert abs(near - price) <= tick / 2
    assert all(p % tick == 0 for p in (low, near, high))
    assert (it.floor_price(low), it.ceil_price(high), it.near_price(near)) == (low, high, near)
    assert it.round_away_from_risk(price, Side.LONG) == high
    assert it.round_away_from_risk(price, Side.SHORT) == low


@given(step=steps, market=steps, qty=values)
def test_quantities_are_floored_to_the_step_and_never_grow(step: Decimal, market: Decimal, qty: Decimal) -> None:
    it = instrument(step_size=step, market_step_size=market)
    plain, at_market = it.floor_qty(qty), it.floor_qty(qty, market=True)
    assert 0 <= qty - plain < step
    assert 0 <= qty - at_market < max(step, market)
    assert plain % step == 0
    assert at_market % max(step, market) == 0


@pytest.mark.parametrize("qty", ["0", "-1", "0.0009"])
def test_nothing_and_less_than_a_step_is_zero(qty: str) -> None:
    assert instrument().floor_qty(Decimal(qty)) == 0


@pytest.mark.parametrize(
    ("qty", "price", "reduce_only", "ok"),
    [
        ("0.001", "5000", False, True),
        ("0.001", "4999.99", False, False),
        ("0.001", "1", True, True),
        ("0.0009", "43500", True, False),
        ("0", "43500", True, False),
    ],
)
def test_minimums_exempt_reduce_only_from_the_notional(qty: str, price: str, reduce_only: bool, ok: bool) -> None:
    assert instrument().tradeable_qty(Decimal(qty), Decimal(price), reduce_only=reduce_only) is ok


def test_only_a_trading_contract_takes_positions() -> None:
    assert instrument().trading
    assert not instrument(status="SETTLING").trading


@pytest.mark.parametrize(
    ("status", "trading", "closing"),
    [("TRADING", True, False), ("BREAK", False, False), ("SETTLING", False, True), ("PRE_DELIVERING", False, True)],
)
def test_a_status_says_whether_one_may_enter_and_whether_one_must_leave(
    status: str, trading: bool, closing: bool
) -> None:
    found = Instrument(symbol="A", base_asset="A", status=status)
    assert (found.trading, found.closing) == (trading, closing)


def test_what_stands_in_for_missing_rules_is_as_fine_as_what_is_there() -> None:
    found = stand_in("OLDUSDT", Decimal("-0.040"), Decimal("42847.70"))
    assert (found.step_size, found.market_step_size, found.min_qty) == (Decimal("0.001"),) * 3
    assert found.tick_size == Decimal("0.01")
    assert found.ceil_market_qty(Decimal("0.040")) == Decimal("0.040")
    assert not found.trading
    assert stand_in("OLDUSDT", Decimal("4E+1"), Decimal(7)).step_size == 1
