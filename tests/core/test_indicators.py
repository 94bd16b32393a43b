"""Wilder's ATR: incremental and vectorised agree, nothing before warm-up."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.build import minutes
from tui_trader.core.indicators import Ema, WilderAdx, WilderAtr, WilderRsi
from tui_trader.core.series import wilder_atr


@given(st.lists(st.tuples(st.floats(1, 1e5), st.floats(0, 100), st.floats(0, 100)), min_size=1, max_size=300))
def test_incremental_and_vectorised_agree(rows: list[tuple[float, float, float]]) -> None:
    close = np.array([c for c, _, _ in rows])
    high, low = close + [u for _, u, _ in rows], close - [d for _, _, d in rows]
    vector = wilder_atr(high, low, close, 14)
    atr = WilderAtr(14)
    for i in range(len(rows)):
        value = atr.update(float(high[i]), float(low[i]), float(close[i]))
        if value is None:
            assert i < 13
            assert math.isnan(vector[i])
        else:
            assert vector[i] == pytest.approx(value, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("kind", [WilderAtr, Ema, WilderRsi, WilderAdx])
def test_a_period_below_one_is_refused(kind: type) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        kind(0)


def test_rsi_of_a_rise_and_of_rest() -> None:
    rsi = WilderRsi(2)
    assert [rsi.update(v) for v in (1.0, 2.0, 3.0)] == [None, None, 100.0]
    still = WilderRsi(2)
    assert [still.update(1.0) for _ in range(3)][-1] == 50.0


def test_adx_of_a_steady_trend_is_a_hundred() -> None:
    adx = WilderAdx(3)
    readings = [adx.update(v + 1.0, v - 1.0, v) for v in map(float, range(10, 30, 2))]
    assert readings[:5] == [None] * 5
    assert readings[-1] is not None
    assert (readings[-1].adx, readings[-1].minus_di) == (pytest.approx(100.0), 0.0)


def test_constant_range_gives_that_range() -> None:
    bars = minutes([100.0] * 30, spread=2.0)
    assert WilderAtr(14).extend(bars) == pytest.approx(4.0)
    assert WilderAtr(14).extend(bars[:13]) is None
