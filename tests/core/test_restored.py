"""A damaged store: what cannot be computed with counts as not stored, and the position is adopted and protected."""

from __future__ import annotations

from copy import deepcopy
from decimal import Decimal

import msgspec
import pytest

from tests.core.test_executor import QTY, opened, prices
from tests.core.test_reconcile import remembered, revive
from tests.core.test_state import empty
from tui_trader.core import restored
from tui_trader.core.oco import Plan
from tui_trader.core.types import OrderStatus

DECIMALS = ("entered", "exited", "entry_value", "stop_price", "best", "initial_stop", "entry_qty", "fees")


@pytest.mark.parametrize("value", ["NaN", "sNaN", "Infinity", "-Infinity", "1e40"])
@pytest.mark.parametrize("name", DECIMALS)
def test_a_number_that_is_none_makes_a_plan_unreadable(name: str, value: str) -> None:
    (body,) = remembered(opened()).plans
    state = empty()
    assert restored.plan(state, body | {name: value}) is None
    assert "its position will be adopted" in state.log[-1].text


@pytest.mark.parametrize(
    "change",
    [
        {"entered": "-1"},
        {"plan_id": -5},
        {"plan_id": 0},
        {"plan_id": 10**30},
        {"opened_ms": 10**30},
        {"atr": "nan"},
        {"targets": [{"leg": "t1", "price": "NaN", "qty": "1"}]},
        {"targets": "x"},
        {"stage": "soon"},
    ],
)
def test_what_makes_no_sense_makes_a_plan_unreadable(change: dict[str, object]) -> None:
    (body,) = remembered(opened()).plans
    assert restored.plan(empty(), body | change) is None


def test_a_damaged_ladder_inside_a_plan_is_found() -> None:
    (body,) = remembered(opened()).plans
    damaged = deepcopy(body)
    damaged["ladder"]["be_trigger"] = "sNaN"
    assert restored.plan(empty(), damaged) is None


def test_a_sound_plan_comes_back_as_it_was() -> None:
    (body,) = remembered(opened()).plans
    assert restored.plan(empty(), body) == msgspec.convert(body, Plan, strict=False)
    lost = restored.plan(empty(), body | {"realized": "-12.5", "funding": "-0.1"})
    assert lost is not None
    assert (lost.realized, lost.funding) == (Decimal("-12.5"), Decimal("-0.1"))


def test_a_live_order_comes_back_unknown_and_a_damaged_one_not_at_all() -> None:
    row = remembered(opened()).orders[-1]
    found = restored.order(row)
    assert found is not None
    assert (found.status, found.sent_ms) == (OrderStatus.UNKNOWN, 0)
    for change in ({"qty": "NaN"}, {"qty": "0"}, {"filled_qty": "-1"}, {"leg": "xx"}, {"trigger_price": "Infinity"}):
        assert restored.order(row | change) is None


def test_the_alarm_about_a_damaged_plan_is_clean() -> None:
    state = empty()
    assert restored.plan(state, {"symbol": "BTC\x1b]0;x\x07USDT"}) is None
    assert state.log[-1].text.isprintable()


def test_a_position_whose_plan_is_damaged_is_adopted_with_its_stop() -> None:
    desk = opened()
    recovered = remembered(desk)
    before = prices(desk, "STOP_MARKET")
    damaged = tuple(body | {"stop_price": "NaN"} for body in recovered.plans)
    revive(desk, msgspec.structs.replace(recovered, plans=damaged))
    plan = desk.engine.state.plans["BTCUSDT"]
    assert (plan.strategy, plan.entered, plan.naked_since_ms) == ("adopted", QTY, 0)
    assert prices(desk, "STOP_MARKET") == before


@pytest.mark.parametrize("status", ["intent", "sent", "working"])
def test_i14_an_order_that_may_have_reached_the_venue_comes_back_in_doubt(status: str) -> None:
    row = remembered(opened()).orders[0]
    found = restored.order(row | {"status": status, "filled_qty": "0"})
    assert found is not None
    assert found.status is OrderStatus.UNKNOWN
