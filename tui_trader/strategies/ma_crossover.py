"""``ma_crossover``: price against the mean of the last closes, every 15 minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tui_trader.core.bars import Window
from tui_trader.core.parameters import Parameter, Values
from tui_trader.core.series import sma
from tui_trader.core.types import MINUTE_MS
from tui_trader.strategies.base import BarStrategy, Setups, graded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]


class MaCrossover(BarStrategy):
    """Mean of the last 60 closes, not counting the current one; 0.1 % above it is long, below it short.

    Conviction is 0.8 (A+) at the edge of the band and grows to 1.0 at five bands from the mean.
    """

    name = "ma_crossover"
    timeframe = "1m"
    parameters: tuple[Parameter, ...] = (
        Parameter(name="length", default=60, low=5, high=400, step=5, whole=True, text="closes averaged"),
        Parameter(
            name="band", default=0.001, low=0.0001, high=0.05, step=0.0001, text="distance, fraction of the mean"
        ),
        Parameter(name="every_min", default=15, low=1, high=1440, step=1, whole=True, text="minutes between looks"),
        Parameter(name="stop_pct", default=2.0, low=0.1, high=20.0, step=0.1, text="stop, percent of entry"),
        Parameter(name="target_pct", default=4.0, low=0.1, high=50.0, step=0.1, text="target, percent of entry"),
    )

    def history(self, values: Values) -> tuple[int, int]:
        """The averaged closes and the current one."""
        return int(values["length"]) + 1, 0

    def setups(self, window: Window, values: Values) -> Setups:
        """Every bar whose close falls on the evaluation grid is judged."""
        bars = window.bars
        length, band, every = int(values["length"]), values["band"], int(values["every_min"])
        at = window.shared(("grid", every), lambda: _on_grid(bars.close_ms, every * MINUTE_MS))
        at = at[np.searchsorted(at, length) :]
        close = bars.close[at]
        mean = window.shared(("mean", length), lambda: sma(bars.close, length))[at - 1]
        away = close / mean - 1.0
        sign = np.where(away >= 0, 1, -1).astype(np.int8)
        beyond = np.where(sign > 0, close > mean * (1 + band), close < mean * (1 - band))
        test = graded(
            "distance to the mean", np.abs(away), band, 5 * band, lambda v: f"{v:.2%} from the mean", met=beyond
        )
        return Setups(
            bars=at,
            direction=sign,
            tests=(test,),
            stop=close * (1 - sign * values["stop_pct"] / 100),
            target=close * (1 + sign * values["target_pct"] / 100),
        )


def _on_grid(closes: Ints, every: int) -> Ints:
    return np.flatnonzero(closes // every * every == closes)
