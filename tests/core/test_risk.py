"""Open risk and the meters against every limit."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from tests.core.test_executor import QTY, opened
from tests.desk import Desk
from tui_trader.core import events as ev
from tui_trader.core.risk import heat, open_risk, risk_view, used_margin
from tui_trader.core.types import Side

SYMBOL = "BTCUSDT"


@pytest.mark.parametrize("side", list(Side))
def test_open_risk_is_what_the_stop_would_lose_from_mark(side: Side) -> None:
    desk = opened(side)
    state = desk.engine.state
    plan = state.plans[SYMBOL]
    mark = Decimal(str(state.metrics[SYMBOL].mark))
    assert open_risk(state) == (mark - plan.stop_price) * side.sign * QTY
    assert 25 < open_risk(state) < 27


def test_locked_in_profit_still_risks_what_lies_between_mark_and_stop() -> None:
    desk = opened()
    plan = desk.engine.state.plans[SYMBOL]
    desk.move(float(plan.avg_entry) + 700)
    state = desk.engine.state
    mark = Decimal(str(state.metrics[SYMBOL].mark))
    assert open_risk(state) == (mark - plan.stop_price) * QTY


def test_margin_and_meters() -> None:
    desk = opened()
    state = desk.engine.state
    mark = Decimal(str(state.metrics[SYMBOL].mark))
    assert used_margin(state) == QTY * mark / 15
    meters = {m.name: m for m in risk_view(state).meters}
    assert meters["positions"].value == 1
    assert meters["largest"].value == pytest.approx(float(QTY * mark))
    assert meters["margin"].value == pytest.approx(float(QTY * mark / 15 / state.equity() * 100))
    assert meters["orders"].value == state.order_rate.count(state.now) >= 4
    assert all(m.level == pytest.approx(m.value / m.limit) for m in meters.values())


def test_losses_show_as_losses_only() -> None:
    desk = opened()
    desk.process(ev.MoveStop(ts=desk.now, symbol=SYMBOL, price=Decimal(42_000)))
    desk.move(43_000)
    meters = {m.name: m for m in risk_view(desk.engine.state).meters}
    assert 18 < meters["day loss"].value < 25
    assert meters["day loss"].value == pytest.approx(meters["total loss"].value)
    desk.move(44_100)
    assert {m.name: m.value for m in risk_view(desk.engine.state).meters}["day loss"] == 0


def test_an_empty_desk_has_no_risk() -> None:
    state = Desk().engine.state
    view = risk_view(state)
    assert (view.open_risk_usdt, view.heat, used_margin(state)) == (0.0, None, 0)
    assert all(m.value == 0 for m in view.meters)


def test_heat_of_one_position_is_full_concentration() -> None:
    assert heat(opened().engine.state) == pytest.approx(1.0)


@pytest.mark.parametrize("side", list(Side))
def test_a_price_that_is_not_heard_yet_is_no_price_of_nothing(side: Side) -> None:
    desk = opened(side)
    state = desk.engine.state
    plan, metrics = state.plans[SYMBOL], state.metrics[SYMBOL]
    metrics.mark = metrics.bid = metrics.ask = 0.0
    state.portfolio.position(SYMBOL).mark = Decimal(0)
    assert open_risk(state) == plan.risk_distance * QTY


def test_margin_in_use_counts_at_the_leverage_that_the_venue_gives_at_most() -> None:
    desk = opened()
    state = desk.engine.state
    state.instruments[SYMBOL] = msgspec.structs.replace(state.instruments[SYMBOL], max_leverage=5)
    mark = Decimal(str(state.metrics[SYMBOL].mark))
    assert used_margin(state) == QTY * mark / 5, "as it was sized"
