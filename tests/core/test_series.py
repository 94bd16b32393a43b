"""Indicators over arrays: equal to the incremental forms to 1e-9 on recorded candles; nothing before warm-up."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tui_trader.core import series
from tui_trader.core.indicators import Ema, WilderAdx, WilderAtr, WilderRsi
from tui_trader.exchange.history import Recording, load_recording

Floats = NDArray[np.float64]


def same(vector: Floats, steps: list[float | None], warm: int) -> None:
    assert len(vector) == len(steps)
    for i, value in enumerate(steps):
        assert (value is None) == (i < warm) == math.isnan(vector[i]), i
    expected = np.array([math.nan if v is None else v for v in steps])
    np.testing.assert_allclose(vector, expected, rtol=1e-9, atol=1e-9)


@pytest.fixture(scope="module", params=["BTCUSDT", "XLMUSDT"])
def recorded(request: pytest.FixtureRequest) -> Recording:
    return load_recording(request.param)


@pytest.mark.parametrize("period", [1, 2, 14, 200])
def test_ema(recorded: Recording, period: int) -> None:
    ema = Ema(period)
    same(series.ema(recorded.close, period), [ema.update(v) for v in recorded.close.tolist()], period - 1)


@pytest.mark.parametrize("period", [1, 2, 14])
def test_rsi(recorded: Recording, period: int) -> None:
    rsi = WilderRsi(period)
    same(series.rsi(recorded.close, period), [rsi.update(v) for v in recorded.close.tolist()], period)


@pytest.mark.parametrize("period", [1, 14, 60])
def test_atr(recorded: Recording, period: int) -> None:
    atr = WilderAtr(period)
    rows = zip(recorded.high.tolist(), recorded.low.tolist(), recorded.close.tolist(), strict=True)
    vector = series.wilder_atr(recorded.high, recorded.low, recorded.close, period)
    same(vector, [atr.update(*row) for row in rows], period - 1)


@pytest.mark.parametrize("period", [1, 7, 14])
def test_adx(recorded: Recording, period: int) -> None:
    adx = WilderAdx(period)
    rows = zip(recorded.high.tolist(), recorded.low.tolist(), recorded.close.tolist(), strict=True)
    readings = [adx.update(*row) for row in rows]
    strength, plus, minus = series.adx(recorded.high, recorded.low, recorded.close, period)
    same(strength, [None if r is None else r.adx for r in readings], 2 * period - 1)
    warm = [r for r in readings if r is not None]
    np.testing.assert_allclose(plus[2 * period - 1 :], [r.plus_di for r in warm], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(minus[2 * period - 1 :], [r.minus_di for r in warm], rtol=1e-9, atol=1e-9)


def test_known_values() -> None:
    """Worked by hand: closes 1 2 3 4 5, and a fall of 2 after it."""
    closes = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 3.0])
    np.testing.assert_allclose(series.sma(closes, 3)[2:], [2, 3, 4, 4])
    np.testing.assert_allclose(series.ema(closes, 3)[2:], [2, 3, 4, 3.5])
    np.testing.assert_allclose(series.rsi(closes, 2)[2:], [100, 100, 100, 100 * 0.5 / 1.5])
    np.testing.assert_allclose(series.highest(closes, 2)[1:], [2, 3, 4, 5, 5])
    np.testing.assert_allclose(series.lowest(closes, 2)[1:], [1, 2, 3, 4, 3])


def test_a_flat_market_has_neither_strength_nor_direction() -> None:
    flat = np.full(50, 7.0)
    assert series.rsi(flat, 14)[-1] == 50.0
    assert [float(v[-1]) for v in series.adx(flat, flat, flat, 14)] == [0.0, 0.0, 0.0]


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60), st.integers(1, 4))
def test_a_swing_low_is_under_its_neighbours(values: list[int], side: int) -> None:
    low = np.array(values, dtype=np.float64)
    found = series.swing_lows(low, side)
    for i in range(len(values)):
        whole = i >= side and i + side < len(values)
        swing = (
            whole
            and all(values[i] < v for v in values[i - side : i])
            and all(values[i] <= v for v in values[i + 1 : i + side + 1])
        )
        assert found[i] == swing
    assert (series.swing_highs(-low, side) == found).all()


@pytest.mark.parametrize(
    "of",
    [
        lambda v: series.sma(v, 5),
        lambda v: series.ema(v, 5),
        lambda v: series.rsi(v, 5),
        lambda v: series.wilder_atr(v, v, v, 5),
        lambda v: series.adx(v, v, v, 5)[0],
        lambda v: series.highest(v, 5),
    ],
)
def test_too_few_bars_give_nothing(of: Callable[[Floats], Floats]) -> None:
    for count in range(5):
        assert np.isnan(of(np.arange(count, dtype=np.float64))).all()


def test_periods_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        series.ema(np.ones(3), 0)


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=80),
    st.integers(1, 40),
    st.integers(0, 30),
)
def test_a_mean_is_the_same_to_the_last_bit_in_any_array(values: list[float], period: int, cut: int) -> None:
    array = np.array(values)
    whole, part = series.sma(array, period), series.sma(array[cut:], period)
    np.testing.assert_array_equal(part[period - 1 :], whole[cut + period - 1 :])
    for i in range(period - 1, len(values)):
        assert whole[i] == pytest.approx(math.fsum(values[i - period + 1 : i + 1]) / period, abs=1e-6)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.integers(1, 40))
def test_extremes_are_those_of_each_window(values: list[float], period: int) -> None:
    top, bottom = (find(np.array(values), period) for find in (series.highest, series.lowest))
    for i in range(len(values)):
        window = values[max(0, i - period + 1) : i + 1]
        if len(window) < period:
            assert np.isnan([top[i], bottom[i]]).all()
        else:
            assert (top[i], bottom[i]) == (max(window), min(window))


@given(st.lists(st.integers(0, 30), max_size=20), st.lists(st.integers(0, 30), max_size=20))
def test_ranks_count_the_stamps_that_are_not_after_each_time(stamps: list[int], times: list[int]) -> None:
    stamps.sort()
    times.sort()
    found = series.ranks(np.array(stamps, dtype=np.int64), np.array(times, dtype=np.int64))
    assert found.tolist() == [sum(stamp <= time for stamp in stamps) for time in times]
