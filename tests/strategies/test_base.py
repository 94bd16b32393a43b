"""Scores, swings, and the promise that a live bar and a scan over history say the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_trader.core.bars import Bars, resample, window_of
from tui_trader.core.candles import CandleBook
from tui_trader.core.parameters import resolve
from tui_trader.core.signals import MarketState
from tui_trader.core.types import Side
from tui_trader.exchange.history import load_recording
from tui_trader.strategies.base import BarStrategy, Setups, graded, last_two, met_score, missed_score
from tui_trader.strategies.divergence_capitulation import DivergenceCapitulation
from tui_trader.strategies.htf_sweep import HtfSweep
from tui_trader.strategies.ma_crossover import MaCrossover
from tui_trader.strategies.volume_breakout import VolumeBreakout

LOOSE: dict[str, dict[str, object]] = {
    "divergence_capitulation": {"fast": 10, "slow": 60, "volume_mult": 1.0, "wick_share": 0.2, "lookback": 40},
    "htf_sweep": {"body_atr": 0.2},
    "volume_breakout": {"max_range_atr": 6.0, "volume_mult": 1.2},
}
"""Values under which even a few days give many setups."""


@given(st.floats(-1e9, 1e9))
def test_met_is_at_least_a_plus_and_missed_below(x: float) -> None:
    at = np.array([x])
    assert 0.8 <= met_score(at)[0] <= 1.0
    assert 0.0 <= missed_score(at)[0] < 0.8


@pytest.mark.parametrize(("full", "met"), [(4.0, [False, True, True, False]), (0.0, [True, True, False, False])])
def test_a_graded_test_is_met_towards_its_full_score(full: float, met: list[bool]) -> None:
    test = graded("x", np.array([1.0, 2.0, 3.0, np.nan]), 2.0, full, str)
    assert test.met.tolist() == met
    assert ((test.score >= 0.8) == test.met).all()


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 4))
def test_a_swing_is_known_only_after_its_neighbours(swings: list[bool], side: int) -> None:
    earlier, later = last_two(np.array(swings, dtype=np.bool_), side)
    for i in range(len(swings)):
        known = [j for j in range(i - side + 1) if swings[j]]
        assert later[i] == (known[-1] if known else -1)
        assert earlier[i] == (known[-2] if len(known) > 1 else -1)


def recorded(symbol: str, days: int) -> Bars:
    found = load_recording(symbol)
    count = days * 1440
    opened = found.start_ms + 60_000 * np.arange(len(found.close), dtype=np.int64)
    columns = {name: getattr(found, name)[:count] for name in ("open", "high", "low", "close", "volume")}
    return Bars(timeframe="1m", open_ms=opened[:count], **columns)


@pytest.mark.parametrize("kind", [MaCrossover, HtfSweep, VolumeBreakout, DivergenceCapitulation])
@pytest.mark.parametrize(("symbol", "timeframe"), [("ETHUSDT", "1m"), ("XLMUSDT", "5m")])
def test_a_live_bar_and_a_scan_say_the_same(kind: type[BarStrategy], symbol: str, timeframe: str) -> None:
    """Every bar of three days, fed one minute at a time, against one scan of the whole."""
    strategy = kind()
    values = resolve(strategy.parameters, LOOSE.get(strategy.name, {}))
    minutes = recorded(symbol, 4 if timeframe == "5m" else 2)
    higher = strategy.higher(timeframe)
    window = window_of(resample(minutes, timeframe), resample(minutes, higher) if higher else None)
    scan = strategy.scan(window, values)
    count, above = strategy.history(values)
    place = {bar: at for at, bar in enumerate(scan.bars.tolist())}
    book = CandleBook(symbol)
    setups = 0
    index = -1
    for i in range(len(minutes)):
        closed = dict(book.update(minutes.candle(i), closed=True))
        if timeframe not in closed:
            continue
        index += 1
        state = MarketState(symbol=symbol, candles=book, timeframe=timeframe, values=values)
        book.atr(timeframe, 14)
        enough = len(book.closed(timeframe, count)) == count and (
            not higher or len(book.closed(higher, above)) == above
        )
        signal = strategy.on_bar(state)
        if not enough:
            assert signal is None
            continue
        side = 0 if signal is None or signal.side is None else signal.side.sign
        at = place.get(index)
        assert side == (0 if at is None else scan.side[at]), (index, signal)
        if signal is None or signal.side is None:
            continue
        setups += 1
        assert signal.side in Side
        assert signal.conviction == pytest.approx(scan.conviction[at], abs=1e-12)
        for price, vector in ((signal.stop, scan.stop), (signal.target, scan.target)):
            assert (price is None) == bool(np.isnan(vector[at]))
            assert price is None or float(price) == pytest.approx(vector[at], rel=1e-12)
    assert setups >= 3


def test_a_price_that_is_not_finite_is_none_in_a_scan_as_it_is_live() -> None:
    count = 3
    found = Setups(
        direction=np.ones(count, dtype=np.int8),
        tests=(graded("any", np.ones(count), 0.5, 1.0, str),),
        stop=np.array([99.0, np.inf, np.nan]),
        target=np.array([-np.inf, 101.0, np.inf]),
    ).scan()
    assert np.array_equal(found.stop, [99.0, np.nan, np.nan], equal_nan=True)
    assert np.array_equal(found.target, [np.nan, 101.0, np.nan], equal_nan=True)
