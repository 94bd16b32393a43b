"""``volume_breakout``: a tight range left on volume."""

from __future__ import annotations

import numpy as np

from tui_trader.core.bars import Window
from tui_trader.core.candles import Indicator
from tui_trader.core.parameters import Parameter, Values
from tui_trader.core.series import highest, lowest, sma
from tui_trader.strategies.base import BarStrategy, Setups, before, graded


class VolumeBreakout(BarStrategy):
    """Range of the 20 bars before ≤ 3 ATR; a close beyond it on volume ≥ 1.8 × their mean; stop at mid-range.

    Full score: half the allowed range, twice the needed volume, half an ATR beyond the range. Without a break there is
    nothing to say.
    """

    name = "volume_breakout"
    timeframe = "5m"
    parameters: tuple[Parameter, ...] = (
        Parameter(name="bars", default=20, low=5, high=100, step=5, whole=True, text="bars of the consolidation"),
        Parameter(name="max_range_atr", default=3.0, low=0.5, high=12.0, step=0.5, text="its greatest range, ATR"),
        Parameter(name="volume_mult", default=1.8, low=1.0, high=8.0, step=0.2, text="volume against the bars' mean"),
        Parameter(name="atr_period", default=14, low=5, high=50, step=1, whole=True, text="bars of the ATR"),
    )

    def history(self, values: Values) -> tuple[int, int]:
        """The consolidation and the bar that leaves it."""
        return max(int(values["bars"]), int(values["atr_period"])) + 1, 0

    def setups(self, window: Window, values: Values) -> Setups:
        """Bars that close beyond the range of those before them are judged."""
        bars, count = window.bars, int(values["bars"])
        top, bottom = before(highest(bars.high, count)), before(lowest(bars.low, count))
        mean = before(sma(bars.volume, count))
        atr = window.indicator(Indicator.ATR, int(values["atr_period"]))
        direction = np.where(bars.close > top, 1, np.where(bars.close < bottom, -1, 0)).astype(np.int8)
        known = np.isfinite(atr) & (atr > 0) & (mean > 0)
        direction = np.where(known, direction, 0).astype(np.int8)
        with np.errstate(divide="ignore", invalid="ignore"):
            width = (top - bottom) / atr
            volume = bars.volume / mean
            reach = np.where(direction > 0, bars.close - top, bottom - bars.close) / atr
        limit, mult = values["max_range_atr"], values["volume_mult"]
        middle = (top + bottom) / 2
        return Setups(
            direction=direction,
            tests=(
                graded("consolidation", width, limit, limit / 2, lambda v: f"range {v:.2f} ATR, at most {limit:g}"),
                graded("volume", volume, mult, 2 * mult, lambda v: f"volume {v:.2f} × the mean, at least {mult:g}"),
                graded("break", reach, 0.0, 0.5, lambda v: f"close {v:.2f} ATR beyond the range"),
            ),
            stop=np.where((bars.close - middle) * direction > 0, middle, np.nan),
            target=np.full(len(bars), np.nan),
        )
