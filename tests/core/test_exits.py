"""How exits move: break-even, trailing that never loosens, quantities that follow what is open."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.build import settings
from tui_trader.core.exits import (
    emergency_distance,
    move_to_break_even,
    on_exit_fill,
    on_price,
    plan_levels,
    protective_stop,
    shrink_targets,
    start_trailing,
    tighter,
)
from tui_trader.core.instruments import Instrument
from tui_trader.core.oco import Plan, Stage
from tui_trader.core.types import Leg, Origin, Side

BTC = Instrument(symbol="BTCUSDT", base_asset="BTC", tick_size=Decimal(1))
QTY = Decimal("0.046")
ENTRY = Decimal(43_500)
LADDER = settings().ladder


def plan(side: Side = Side.LONG, **changes: object) -> Plan:
    base = {
        "plan_id": 1,
        "symbol": "BTCUSDT",
        "side": side,
        "origin": Origin.STRATEGY,
        "strategy": "test",
        "opened_ms": 0,
        "entry_qty": QTY,
        "stage": Stage.OPEN,
        "entered": QTY,
        "entry_value": QTY * ENTRY,
        "atr": 650.0,
    }
    made = Plan(**(base | changes))
    plan_levels(made, BTC, LADDER)
    return made


def at(p: Plan, distance: int, *, now: int = 1_000, **pace: int) -> list[str]:
    return on_price(p, ENTRY + p.side.sign * distance, BTC, now, **pace)


@pytest.mark.parametrize(
    ("side", "stop", "targets", "be"),
    [
        (Side.LONG, 42_850, [44_475, 45_125], 43_522),
        (Side.SHORT, 44_150, [42_525, 41_875], 43_478),
    ],
)
def test_the_worked_example(side: Side, stop: int, targets: list[int], be: int) -> None:
    p = plan(side)
    assert p.stop_price == p.initial_stop == stop
    assert [t.price for t in p.targets] == targets
    assert [t.qty for t in p.targets] == [Decimal("0.023"), Decimal("0.013")]
    assert at(p, 649) == []
    assert at(p, 650) == [f"BTCUSDT: stop to break-even {be}"]
    assert (p.stop_price, p.at_break_even) == (be, True)
    assert at(p, 700) == []


@pytest.mark.parametrize("side", list(Side))
def test_trailing_starts_beyond_tp2_only_when_tp2_is_taken(side: Side) -> None:
    p = plan(side)
    at(p, 1_700)
    assert not p.trailing
    on_exit_fill(p, Leg.TP1, Decimal("0.023"), Decimal("0.023"), BTC)
    assert not p.trailing
    notes = on_exit_fill(p, Leg.TP2, Decimal("0.013"), Decimal("0.010"), BTC)
    assert notes == ["BTCUSDT: trailing starts, distance 520"]
    at(p, 1_700, now=2_000)
    assert p.stop_price == ENTRY + side.sign * (1_700 - 520)
    at(p, 1_200, now=9_000)
    assert p.stop_price == ENTRY + side.sign * (1_700 - 520), "it never loosens"


def test_trailing_is_paced_by_time_and_by_step() -> None:
    p = plan()
    at(p, 1_700)
    start_trailing(p)
    assert at(p, 1_700, now=10_000, min_interval_ms=1_000) != []
    assert at(p, 1_800, now=10_999, min_interval_ms=1_000) == []
    assert at(p, 1_800, now=11_000, min_interval_ms=1_000) != []
    assert at(p, 1_809, now=20_000, step_ticks=10) == []
    assert at(p, 1_810, now=20_001, step_ticks=10) != []


@pytest.mark.parametrize("changes", [{"stage": Stage.CLOSING}, {"stage": Stage.ENTERING}])
def test_only_an_open_plan_moves(changes: dict[str, object]) -> None:
    p = plan(**changes)
    assert at(p, 5_000) == []
    assert at(plan(), -43_500) == [], "no price"


def test_a_stop_moved_by_hand_is_not_moved_to_break_even_by_price() -> None:
    p = plan(stop_by_hand=True)
    assert at(p, 900) == []


@pytest.mark.parametrize("side", list(Side))
def test_break_even_never_loosens(side: Side) -> None:
    p = plan(side)
    p.stop_price = ENTRY + side.sign * 200
    assert move_to_break_even(p, BTC) == []
    assert p.stop_price == ENTRY + side.sign * 200


def test_more_fills_move_the_levels_but_not_what_was_moved() -> None:
    p = plan()
    at(p, 700)
    stop = p.stop_price
    p.entered, p.entry_value = QTY * 2, QTY * 2 * (ENTRY + 100)
    plan_levels(p, BTC, LADDER)
    assert p.stop_price == stop
    assert p.targets[0].price == ENTRY + 100 + 975
    p.targets_by_hand = True
    p.entered, p.entry_value = QTY * 3, QTY * 3 * (ENTRY + 200)
    plan_levels(p, BTC, LADDER)
    assert p.targets[0].price == ENTRY + 100 + 975


def test_a_part_closed_aside_shrinks_the_targets_in_proportion() -> None:
    p = plan(close_qty=Decimal("0.023"))
    on_exit_fill(p, Leg.CLOSE, Decimal("0.013"), Decimal("0.033"), BTC)
    assert p.close_qty == Decimal("0.010")
    on_exit_fill(p, Leg.CLOSE, Decimal("0.010"), Decimal("0.023"), BTC)
    assert p.close_qty is None
    assert all(t.left <= t.qty for t in p.targets)
    assert sum(t.left for t in p.targets) <= Decimal("0.023")


quantities = st.integers(1, 500)


@given(open_before=quantities, closed=quantities, first=quantities, second=quantities)
def test_i18_targets_within_what_was_open_stay_within_what_is_open(
    open_before: int, closed: int, first: int, second: int
) -> None:
    step = Decimal("0.001")
    first, second, closed = min(first, open_before), min(second, max(0, open_before - first)), min(closed, open_before)
    p = plan()
    p.targets[0].qty, p.targets[1].qty = first * step, second * step
    left = (open_before - closed) * step
    shrink_targets(p, left, closed * step, BTC)
    assert left == 0 or sum(t.left for t in p.targets) <= left
    assert all(t.left >= 0 and t.left % step == 0 for t in p.targets)


prices = st.decimals(min_value=2, max_value=100_000, places=3)


@given(
    side=st.sampled_from(list(Side)), reference=prices, distance=st.decimals(min_value=0, max_value=200_000, places=2)
)
def test_a_protective_stop_is_on_the_losing_side_and_positive(
    side: Side, reference: Decimal, distance: Decimal
) -> None:
    stop = protective_stop(side, reference, distance, BTC)
    assert (reference - stop) * side.sign > 0
    assert stop > 0
    assert stop % BTC.tick_size == 0


def test_tighter_and_emergency() -> None:
    assert tighter(Side.LONG, Decimal(2), Decimal(1))
    assert not tighter(Side.LONG, Decimal(1), Decimal(1))
    assert tighter(Side.SHORT, Decimal(1), Decimal(2))
    assert tighter(Side.SHORT, Decimal(5), Decimal(0)), "no stop yet"
    assert emergency_distance(ENTRY, 650.0, LADDER) == 650
    assert emergency_distance(ENTRY, 0.0, LADDER) == 870


def test_r_is_measured_on_the_whole_entry_whatever_was_heard_first() -> None:
    own, adopted = plan(), plan(origin=Origin.ADOPTED)
    for found in (own, adopted):
        found.exited = found.entered / 2
        found.initial_stop = Decimal(1)
        plan_levels(found, BTC, LADDER)
    assert own.initial_stop == own.ladder.stop == 42_850
    assert adopted.initial_stop == 1


@pytest.mark.parametrize("side", list(Side))
def test_a_target_that_filled_beyond_the_trigger_says_that_the_price_was_there(side: Side) -> None:
    p = plan(side)
    on_exit_fill(p, Leg.TP1, Decimal("0.023"), Decimal("0.023"), BTC)
    assert at(p, 20) == [], "beyond its price a stop at break-even would trigger at once"
    assert at(p, 200) == [f"BTCUSDT: stop to break-even {ENTRY + side.sign * 22}"]
    assert p.at_break_even


@pytest.mark.parametrize("change", ["stop_by_hand", "targets_by_hand"])
def test_what_a_person_moved_says_nothing_about_the_trigger(change: str) -> None:
    p = plan()
    on_exit_fill(p, Leg.TP1, Decimal("0.023"), Decimal("0.023"), BTC)
    setattr(p, change, True)
    assert at(p, 200) == []


def test_a_target_nearer_than_the_trigger_does_not_say_that_the_price_was_there() -> None:
    p = plan()
    plan_levels(p, BTC, settings(ladder={"atr_mult_be": 2.0}).ladder)
    on_exit_fill(p, Leg.TP1, Decimal("0.023"), Decimal("0.023"), BTC)
    assert at(p, 1_200) == []
