"""Bars as arrays: resampling equals the live candle book, windows see no bar before its close."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.build import candle_book
from tui_trader.core.bars import from_candles, resample, window_of, window_of_book
from tui_trader.core.candles import TIMEFRAMES, Indicator
from tui_trader.core.events import Candle

DAY = 1_747_958_400_000
"""A midnight UTC."""


def walk(first_ms: int, count: int, holes: frozenset[int] = frozenset()) -> list[Candle]:
    rows = []
    price = 100.0
    for i in range(count):
        if i not in holes:
            price += ((i * 7919) % 13 - 6) / 10
            rows.append(Candle(first_ms + i * 60_000, price, price + 1, price - 1, price + 0.3, 1.0 + i % 5))
    return rows


@given(offset=st.integers(0, 120), count=st.integers(1, 400), holes=st.frozensets(st.integers(1, 398), max_size=30))
def test_resampling_equals_the_candle_book(offset: int, count: int, holes: frozenset[int]) -> None:
    inside = frozenset(h for h in holes if h < count - 1)
    candles = walk(DAY + offset * 60_000, count, inside)
    book = candle_book(candles)
    for timeframe in ("5m", "15m", "1h"):
        bars = resample(from_candles(candles, "1m"), timeframe)
        expected = [b for b in book.closed(timeframe, 500) if _has_its_ends(b, candles, timeframe)]
        found = [b for b in (bars.candle(i) for i in range(len(bars))) if _has_its_ends(b, candles, timeframe)]
        assert found == expected


def _has_its_ends(bar: Candle, candles: list[Candle], timeframe: str) -> bool:
    """Not cut off by the beginning or the end of the history."""
    return bar.open_ms >= candles[0].open_ms and bar.open_ms + TIMEFRAMES[timeframe] <= candles[-1].open_ms + 60_000


def test_higher_bars_are_seen_at_their_close() -> None:
    minutes = from_candles(walk(DAY, 60), "1m")
    window = window_of(resample(minutes, "5m"), resample(minutes, "15m"))
    assert window.higher_closed().tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4]
    assert window_of(minutes).higher_closed().tolist() == [0] * 60


@pytest.mark.parametrize("kind", list(Indicator))
def test_a_live_window_is_the_end_of_the_whole(kind: Indicator) -> None:
    candles = walk(DAY, 900)
    book = candle_book(candles)
    whole = window_of(resample(from_candles(candles, "1m"), "5m"))
    live = window_of_book(book, "5m", 40, "15m", 7)
    assert live.bars.open_ms.tolist() == whole.bars.open_ms[-40:].tolist()
    np.testing.assert_allclose(live.indicator(kind, 14), whole.indicator(kind, 14)[-40:], rtol=1e-9)
    assert live.higher is not None
    assert len(live.higher.bars) == 7


def test_an_empty_history_stays_empty() -> None:
    assert len(resample(from_candles([], "1m"), "1h")) == 0
