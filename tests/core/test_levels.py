"""Levels before, with and without the fills: a position never waits for them to have a stop price."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.core.test_executor import QTY, opened
from tests.core.test_oco import plan as bare_plan
from tests.desk import Desk
from tui_trader.core.levels import set_levels
from tui_trader.core.oco import Stage
from tui_trader.core.types import Side

SYMBOL = "BTCUSDT"


@pytest.mark.parametrize(
    ("side", "hint", "expected"),
    [
        (Side.LONG, None, "42849.9"),
        (Side.SHORT, None, "44150.1"),
        (Side.LONG, Decimal(43_000), "43000"),
        (Side.LONG, Decimal(44_000), "42849.9"),
    ],
)
def test_before_a_fill_is_heard_the_stop_stands_on_the_expected_entry(
    side: Side, hint: Decimal | None, expected: str
) -> None:
    desk = Desk().start()
    entering = bare_plan(
        side=side,
        stage=Stage.ENTERING,
        entered=Decimal(0),
        entry_value=Decimal(0),
        stop_price=Decimal(0),
        targets=[],
        atr=650.0,
        expected_entry=Decimal("43499.9") if side is Side.LONG else Decimal("43500.1"),
        stop_hint=hint,
    )
    set_levels(desk.engine.state, entering)
    assert entering.stop_price == Decimal(expected)
    assert (entering.stage, entering.targets) == (Stage.ENTERING, [])


def test_a_position_whose_own_fills_were_never_heard_is_taken_over_at_its_entry() -> None:
    desk = opened()
    state = desk.engine.state
    found = state.plans[SYMBOL]
    found.entered = found.entry_value = found.exited = Decimal(0)
    found.stage = Stage.ENTERING
    set_levels(state, found)
    assert (found.stage, found.entered, found.avg_entry) == (Stage.OPEN, QTY, Decimal("43500.1"))


def test_without_a_ladder_there_is_at_least_a_stop() -> None:
    desk = opened()
    found = desk.engine.state.plans[SYMBOL]
    found.atr, found.stop_price, found.stop_hint = 0.0, Decimal(0), None
    set_levels(desk.engine.state, found)
    assert found.stop_price == Decimal("42630.1"), "two percent"
