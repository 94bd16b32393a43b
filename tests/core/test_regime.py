"""Regimes: bull, bear, sideways; live and over arrays alike, and never from the future."""

from __future__ import annotations

import numpy as np
import pytest

from tests.core.build import candle_book
from tests.core.test_bars import DAY
from tui_trader.core.bars import Bars, from_candles, window_of
from tui_trader.core.candles import CandleBook
from tui_trader.core.events import Candle
from tui_trader.core.regime import CODES, UNKNOWN, Regime, regime_at, regimes


def trend(step: float, count: int = 120) -> list[Candle]:
    closes = [100.0 + step * i + (i % 3 - 1) * 0.2 for i in range(count)]
    return [Candle(DAY + i * 60_000, c, c + 0.5, c - 0.5, c, 1.0) for i, c in enumerate(closes)]


@pytest.mark.parametrize(("step", "regime"), [(0.3, Regime.BULL), (-0.3, Regime.BEAR), (0.0, Regime.SIDEWAYS)])
def test_the_three_regimes(step: float, regime: Regime) -> None:
    candles = trend(step)
    assert regime_at(candle_book(candles), "1m") is regime
    assert regimes(window_of(from_candles(candles, "1m")))[-1] == CODES[regime]


def test_unknown_before_fifty_bars() -> None:
    assert regime_at(CandleBook(), "1m") is None
    assert regime_at(candle_book(trend(0.3, 49)), "1m") is None
    assert regimes(window_of(from_candles(trend(0.3, 60), "1m"))).tolist()[:50] == [UNKNOWN] * 49 + [1]


def test_live_equals_arrays_and_the_future_changes_nothing() -> None:
    rng = np.random.default_rng(5)
    closes = 100 + np.cumsum(rng.normal(0, 0.3, 600))
    candles = [Candle(DAY + i * 60_000, c, c + 0.4, c - 0.4, c, 1.0) for i, c in enumerate(closes.tolist())]
    whole = regimes(window_of(from_candles(candles, "1m")))
    book = CandleBook()
    for i, candle in enumerate(candles):
        book.update(candle, closed=True)
        found = regime_at(book, "1m")
        assert whole[i] == (UNKNOWN if found is None else CODES[found])
    cut: Bars = from_candles(candles[:400], "1m")
    assert (regimes(window_of(cut)) == whole[:400]).all()
    assert len(set(whole.tolist())) == 4
