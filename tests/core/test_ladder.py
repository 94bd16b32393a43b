"""The TP/SL ladder: the worked example, merging of small legs, no dust."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.build import settings
from tui_trader.core.instruments import Instrument
from tui_trader.core.ladder import LadderError, build_ladder, r_multiple, split_quantities, trail_stop
from tui_trader.core.types import Leg, Side

TICK_ONE = Instrument(symbol="BTCUSDT", base_asset="BTC", tick_size=Decimal(1), min_notional=Decimal(50))
LADDER = settings().ladder
D = Decimal


def ladder(side: Side = Side.LONG, **changes: object) -> object:
    base = {
        "side": side,
        "entry": D(43_500),
        "qty": D("0.046"),
        "atr": 650.0,
        "instrument": TICK_ONE,
        "settings": LADDER,
    }
    return build_ladder(**(base | changes))


def test_spec_3_long_example() -> None:
    found = ladder()
    assert (found.stop, found.be_trigger, found.be_price) == (D(42_850), D(44_150), D(43_522))
    assert [(t.leg, t.price) for t in found.targets] == [(Leg.TP1, D(44_475)), (Leg.TP2, D(45_125))]
    assert (found.trail_from, found.trail_distance, found.risk_distance) == (D(45_125), D(520), D(650))
    assert [t.qty for t in found.targets] == [D("0.023"), D("0.013")]
    assert found.runner_qty == D("0.010")


def test_spec_3_short_mirrors() -> None:
    found = ladder(Side.SHORT)
    assert found.stop == D(44_150)
    assert found.targets[0].price == D(42_525)
    assert found.be_price == D(43_478)


def test_break_even_price_before_rounding_is_five_basis_points() -> None:
    fine = Instrument(symbol="BTCUSDT", base_asset="BTC", tick_size=D("0.01"))
    assert ladder(instrument=fine).be_price == D("43521.75")


def test_a_strategys_stop_and_target_replace_the_multiples() -> None:
    found = ladder(stop=D(42_630), target=D(45_240))
    assert found.stop == D(42_630)
    assert [t.price for t in found.targets] == [D(44_544), D(45_240)]


def test_fixed_percentages_of_ultra_conservative() -> None:
    found = ladder(settings=settings(ladder={"fixed_sl_pct": 2.0, "fixed_tp_pct": 4.0}).ladder)
    assert (found.stop, found.targets[1].price) == (D(42_630), D(45_240))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"entry": D(0)}, "entry must be a positive"),
        ({"atr": float("nan")}, "ATR must be positive"),
        ({"atr": 0.0}, "not enough history"),
        ({"atr": 1e9}, "distance exceeds the price"),
        ({"stop": D(44_000)}, "wrong side"),
        ({"target": D(43_000)}, "wrong side"),
        ({"qty": D(-1)}, "must not be negative"),
    ],
)
def test_impossible_input_is_refused_in_words(change: dict[str, object], words: str) -> None:
    with pytest.raises(LadderError, match=words):
        ladder(**change)


def test_small_legs_merge_into_their_neighbours() -> None:
    prices = (D(44_475), D(45_125))
    targets, runner, merged = split_quantities(D("0.003"), (D("0.5"), D("0.3")), TICK_ONE, prices)
    assert [(t.leg, t.qty) for t in targets] == []
    assert (runner, len(merged)) == (D("0.003"), 1)
    targets, runner, merged = split_quantities(D("0.005"), (D("0.5"), D("0.3")), TICK_ONE, prices)
    assert [(t.leg, t.qty) for t in targets] == [(Leg.TP1, D("0.002"))]
    assert runner == D("0.003")
    assert "TP2 0.001" in merged[0]


@given(
    qty=st.integers(0, 5_000),
    first=st.integers(1, 98),
    second=st.integers(1, 98),
    minimum=st.integers(1, 500),
)
def test_i18_no_dust_and_no_leg_under_the_minimum(qty: int, first: int, second: int, minimum: int) -> None:
    if first + second > 100:
        return
    instrument = Instrument(symbol="X", base_asset="X", min_notional=D(minimum))
    whole = D(qty) / 1_000
    prices = (D(100), D(110))
    targets, runner, _ = split_quantities(whole, (D(first) / 100, D(second) / 100), instrument, prices)
    assert sum((t.qty for t in targets), runner) == whole
    assert runner >= 0
    for target in targets:
        assert instrument.tradeable_qty(target.qty, target.price)
    if targets and runner:
        assert instrument.tradeable_qty(runner, prices[1])


@given(st.lists(st.integers(43_000, 47_000), min_size=1, max_size=30), st.sampled_from(list(Side)))
def test_a_trailing_stop_only_tightens(path: list[int], side: Side) -> None:
    stop = D(0)
    best = D(path[0])
    for price in map(D, path):
        best = max(best, price) if side is Side.LONG else min(best, price)
        moved = trail_stop(side, best, D(520), stop, TICK_ONE)
        assert stop == 0 or (moved - stop) * side.sign >= 0
        stop = moved
    assert abs(best - stop) == 520


def test_r_multiple() -> None:
    assert r_multiple(Side.SHORT, D(100), D(90), D(5)) == 2.0
    assert r_multiple(Side.LONG, D(100), D(90), D(0)) == 0.0


@pytest.mark.parametrize(("suggested", "expected"), [(D(40_000), D(42_630)), (D(43_000), D(43_000))])
def test_a_strategy_stop_is_never_wider_than_the_configured_percentage(suggested: Decimal, expected: Decimal) -> None:
    fixed = LADDER.model_copy(update={"fixed_sl_pct": 2.0, "fixed_tp_pct": 4.0})
    found = ladder(settings=fixed, stop=suggested)
    assert found.stop == expected
    assert found.targets[-1].price == D(45_240)
