"""volume_breakout: a range of 20 bars ≤ 3 ATR, left on 1.8 × the mean volume; stop at mid-range."""

from __future__ import annotations

from decimal import Decimal

from tests.core.build import NOW, candle_book
from tui_trader.core.events import Candle
from tui_trader.core.parameters import defaults
from tui_trader.core.signals import MarketState, Signal
from tui_trader.core.types import Side
from tui_trader.strategies.volume_breakout import VolumeBreakout


def evaluate(close: float, volume: float, *, count: int = 40, drift: float = 0.0) -> Signal | None:
    first = NOW - (count + 1) * 300_000
    bases = [100.0 + drift * i for i in range(count)]
    bars = [(base, base + 0.5, base - 0.5, base, 10.0) for base in bases]
    bars.append((bases[-1], max(close, bases[-1]), min(close, bases[-1]), close, volume))
    candles = [
        Candle(first + i * 300_000 + m * 60_000, o, h, low, c, v / 5)
        for i, (o, h, low, c, v) in enumerate(bars)
        for m in range(5)
    ]
    book = candle_book(candles)
    strategy = VolumeBreakout()
    values = defaults(strategy.parameters)
    return strategy.on_bar(MarketState(symbol="BTCUSDT", candles=book, timeframe="5m", values=values))


def test_a_break_up_on_volume_is_an_a_plus_long() -> None:
    signal = evaluate(101.0, 20.0)
    assert signal is not None
    assert signal.side is Side.LONG
    assert signal.conviction >= 0.8
    assert signal.stop == Decimal("100.0")
    assert [c.met for c in signal.conditions] == [True, True, True]


def test_a_break_down_is_a_short() -> None:
    signal = evaluate(99.0, 20.0)
    assert signal is not None
    assert signal.side is Side.SHORT


def test_too_little_volume_holds_and_says_why() -> None:
    signal = evaluate(101.0, 15.0)
    assert signal is not None
    assert (signal.side, signal.conviction) == (None, 0.0)
    assert signal.note == "volume 1.50 × the mean, at least 1.8"


def test_a_wide_range_holds_and_says_why() -> None:
    """20 bars that climb by 0.5 each span 10.5; the ATR is (13 · 1 + 1.5) / 14."""
    signal = evaluate(121.0, 20.0, drift=0.5)
    assert signal is not None
    assert (signal.side, signal.note) == (None, "range 10.14 ATR, at most 3")


def test_a_close_inside_the_range_says_nothing() -> None:
    assert evaluate(100.4, 90.0) is None


def test_before_warm_up_nothing() -> None:
    assert evaluate(101.0, 20.0, count=19) is None
