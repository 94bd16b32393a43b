"""ma_crossover: 60 closes before the current one, ±0.1 %, every 15 minutes."""

from __future__ import annotations

import pytest

from tests.core.build import NOW, candle_book, minutes
from tui_trader.core.parameters import defaults
from tui_trader.core.signals import MarketState, Signal
from tui_trader.core.types import Side
from tui_trader.strategies.ma_crossover import MaCrossover


def evaluate(closes: list[float], end_ms: int = NOW) -> Signal | None:
    strategy = MaCrossover()
    return strategy.on_bar(
        MarketState(
            symbol="BTCUSDT",
            candles=candle_book(minutes(closes, end_ms=end_ms)),
            timeframe="1m",
            values=defaults(strategy.parameters),
        )
    )


@pytest.mark.parametrize(
    ("last", "side"),
    [(100.11, Side.LONG), (100.09, None), (99.91, None), (99.89, Side.SHORT)],
)
def test_band_of_a_tenth_of_a_percent(last: float, side: Side | None) -> None:
    signal = evaluate([100.0] * 60 + [last])
    assert signal is not None
    assert signal.side is side
    assert (signal.conviction >= 0.8) == (side is not None)
    assert signal.conditions[0].met == (side is not None)


def test_the_current_close_does_not_count_towards_the_mean() -> None:
    signal = evaluate([100.0] * 60 + [160.0])
    assert signal is not None
    assert signal.conditions[0].value == pytest.approx(0.6)


def test_exits_at_two_and_four_percent() -> None:
    signal = evaluate([100.0] * 60 + [101.0])
    assert signal is not None
    assert signal.stop is not None
    assert signal.target is not None
    assert (float(signal.stop), float(signal.target)) == pytest.approx((98.98, 105.04))


def test_fewer_than_sixty_closes_say_nothing() -> None:
    assert evaluate([100.0] * 60) is None


def test_only_every_fifteen_minutes() -> None:
    assert evaluate([100.0] * 60 + [101.0], end_ms=NOW + 60_000) is None
    assert evaluate([100.0] * 60 + [101.0], end_ms=NOW + 15 * 60_000) is not None
