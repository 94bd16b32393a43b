import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_trader.exchange.calibration import REACH_BPS
from tui_trader.exchange.ladder import LadderShape


@given(best=st.integers(1_000, 2_000_000), is_bid=st.booleans())
def test_levels_run_strictly_away_from_the_best_price_to_the_full_reach(best: int, is_bid: bool) -> None:
    ladder = LadderShape(best, 1e9, 1.0)
    prices = ladder.prices(best, is_bid)
    assert prices[0] == best
    assert prices == sorted(set(prices), reverse=is_bid)
    assert abs(prices[-1] - best) >= 0.005 * best
    assert abs(prices[-1] - best) <= best * (REACH_BPS + 1) / 1e4 + 8
    assert all(ladder.usual(abs(price - best)) > 0 for price in prices)


def test_far_levels_stay_when_the_best_price_moves() -> None:
    ladder = LadderShape(1_000_000, 1e9, 1.0)
    before, after = set(ladder.prices(1_000_000, True)), set(ladder.prices(1_000_040, True))
    assert len(before ^ after) <= 20
    far_before, far_after = ({p for p in side if p < 999_900} for side in (before, after))
    assert len(far_before ^ far_after) <= 6
    assert len(far_before & far_after) >= 25


def test_quantities_follow_volume_and_price() -> None:
    small, large = LadderShape(10_000, 1e6, 1.0), LadderShape(10_000, 3e6, 2.0)
    assert large.usual(5) == pytest.approx(6 * small.usual(5))
    before = small.usual(0)
    small.fit(10_100)
    assert small.usual(0) == before
    small.fit(20_000)
    assert small.usual(0) < before
