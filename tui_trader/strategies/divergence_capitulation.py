"""``divergence_capitulation``: a trend that sells out while its momentum already turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tui_trader.core.bars import Window
from tui_trader.core.candles import Indicator
from tui_trader.core.parameters import Parameter, Values
from tui_trader.core.series import sma, swing_highs, swing_lows
from tui_trader.strategies.base import BarStrategy, Setups, before, graded, last_two

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SWING_BARS = 3
RSI_PERIOD = 14
ATR_PERIOD = 14


class DivergenceCapitulation(BarStrategy):
    """Close < EMA 50 < EMA 200; the last two swing lows lower in price and higher in RSI 14; then a bar of ≥ 2.5 × the
    mean volume whose lower wick is at least half of it → long, stop under the low by 0.1 ATR. Mirrored → short.

    A swing low has 3 higher bars on each side and counts from the close of the last of them. Only bars with the trend
    and the volume are judged, so that near misses show without noise.
    """

    name = "divergence_capitulation"
    timeframe = "15m"
    parameters: tuple[Parameter, ...] = (
        Parameter(name="fast", default=50, low=10, high=100, step=5, whole=True, text="bars of the fast EMA"),
        Parameter(name="slow", default=200, low=60, high=300, step=20, whole=True, text="bars of the slow EMA"),
        Parameter(name="volume_mult", default=2.5, low=1.0, high=8.0, step=0.25, text="volume against the mean"),
        Parameter(name="volume_bars", default=20, low=5, high=60, step=5, whole=True, text="bars of the mean volume"),
        Parameter(name="wick_share", default=0.5, low=0.2, high=0.9, step=0.05, text="wick as a part of the bar"),
        Parameter(name="lookback", default=60, low=20, high=200, step=10, whole=True, text="bars for the two swings"),
        Parameter(name="stop_atr", default=0.1, low=0.0, high=2.0, step=0.1, text="stop beyond the extreme, ATR"),
    )

    def history(self, values: Values) -> tuple[int, int]:
        """The swings' bars with their neighbours, the mean volume, and a warm slow EMA."""
        swings = int(values["lookback"]) + 2 * SWING_BARS
        return max(swings, int(values["volume_bars"]) + 1, int(values["slow"])), 0

    def setups(self, window: Window, values: Values) -> Setups:
        """Long setups in downtrends, short ones in uptrends; never both at one bar."""
        bars = window.bars
        fast = window.indicator(Indicator.EMA, int(values["fast"]))
        slow = window.indicator(Indicator.EMA, int(values["slow"]))
        down, up = (bars.close < fast) & (fast < slow), (bars.close > fast) & (fast > slow)
        mean = before(sma(bars.volume, int(values["volume_bars"])))
        with np.errstate(divide="ignore", invalid="ignore"):
            volume = np.where(mean > 0, bars.volume / mean, np.nan)
            gap = np.abs(slow - fast) / slow
            wick = _wick(window, down)
        direction = np.where(down, 1, np.where(up, -1, 0))
        mult, share = values["volume_mult"], values["wick_share"]
        direction = np.where(volume >= mult, direction, 0).astype(np.int8)
        diverging, extreme = self._divergence(window, down, int(values["lookback"]))
        atr = window.indicator(Indicator.ATR, ATR_PERIOD)
        beyond = np.where(down, np.fmin(bars.low, extreme), np.fmax(bars.high, extreme))
        stop = beyond - np.where(down, 1, -1) * values["stop_atr"] * atr
        # After a crash the ATR may be worth more than what is left of the price: no stop, no setup.
        direction[stop <= 0] = 0
        return Setups(
            direction=direction,
            tests=(
                graded("trend", gap, 0.0, 0.02, lambda v: f"EMAs {v:.2%} apart"),
                graded("divergence", diverging, 0.0, 10.0, _swing_words, met=diverging > 0),
                graded(
                    "capitulation", volume, mult, 2 * mult, lambda v: f"volume {v:.2f} × the mean, at least {mult:g}"
                ),
                graded("rejection", wick, share, 1.0, lambda v: f"wick {v:.0%} of the bar, at least {share:.0%}"),
            ),
            stop=stop,
            target=np.full(len(bars), np.nan),
        )

    def _divergence(self, window: Window, down: NDArray[np.bool_], lookback: int) -> tuple[Floats, Floats]:
        """By how many RSI points the last two swings disagree with price (NaN: no two swings, or price agrees), and the
        price of the later one."""
        bars = window.bars
        rsi = window.indicator(Indicator.RSI, RSI_PERIOD)
        result: Floats = np.full(len(bars), np.nan)
        extreme: Floats = np.full(len(bars), np.nan)
        here = np.arange(len(bars))
        lows = window.shared(("last lows",), lambda: np.stack(last_two(swing_lows(bars.low, SWING_BARS), SWING_BARS)))
        highs = window.shared(
            ("last highs",), lambda: np.stack(last_two(swing_highs(bars.high, SWING_BARS), SWING_BARS))
        )
        for (earlier, later), prices, wanted, sign in ((lows, bars.low, down, 1.0), (highs, bars.high, ~down, -1.0)):
            there = wanted & (earlier >= 0) & (here - earlier <= lookback)
            first, second = earlier[there], later[there]
            lower = (prices[second] - prices[first]) * sign < 0
            result[there] = np.where(lower, (rsi[second] - rsi[first]) * sign, np.nan)
            extreme[there] = prices[second]
        return result, extreme


def _wick(window: Window, down: NDArray[np.bool_]) -> Floats:
    bars = window.bars
    body_low, body_high = np.minimum(bars.open, bars.close), np.maximum(bars.open, bars.close)
    wick = np.where(down, body_low - bars.low, bars.high - body_high)
    return np.asarray(wick / (bars.high - bars.low), dtype=np.float64)


def _swing_words(value: float) -> str:
    return f"RSI turns by {value:+.1f} while price goes on" if np.isfinite(value) else "the last two swings agree"
