"""An example of your own strategy: buy a pullback in an uptrend, sell one in a downtrend.

Copy this file into a folder, set ``strategies.folder`` to it and add ``"rsi_pullback"`` to ``strategies.enabled``. File
and class bear the same name. It is an example, not advice: backtest before you trust anything.
"""

import numpy as np

from tui_trader.core.bars import Window
from tui_trader.core.candles import Indicator
from tui_trader.core.parameters import Parameter, Values
from tui_trader.strategies.base import BarStrategy, Setups, before, graded


class RsiPullback(BarStrategy):
    """Price on one side of its EMA, the RSI fell back against that trend, and it turned with it again."""

    name = "rsi_pullback"
    timeframe = "15m"
    # What `optimize` may search, and what config.toml may set: "rsi_pullback.pullback" = 35
    parameters = (
        Parameter(name="trend", default=100, low=20, high=300, step=20, whole=True, text="bars of the EMA"),
        Parameter(name="pullback", default=40, low=20, high=50, step=5, text="the RSI must have fallen to this"),
        Parameter(name="stop_atr", default=1.5, low=0.5, high=5, step=0.25, text="stop from the close, ATR"),
    )

    def history(self, values: Values) -> tuple[int, int]:
        """How many closed bars must be known: of ``timeframe``, and of a higher one (here none)."""
        return int(values["trend"]) + 1, 0

    def setups(self, window: Window, values: Values) -> Setups:
        """Every condition at every bar at once: live only the last bar counts, in a backtest all of them.

        ``bars`` are closed, oldest first, and so are the indicators: the value at a bar is as of its close. Look only
        back: ``before(x)`` is x one bar earlier. ``tui-trader check-lookahead rsi_pullback`` finds what looks ahead.
        """
        bars = window.bars
        ema = window.indicator(Indicator.EMA, int(values["trend"]))
        atr, rsi = window.indicator(Indicator.ATR, 14), window.indicator(Indicator.RSI, 14)
        sign = np.where(bars.close > ema, 1, -1)
        dip = np.where(sign > 0, before(rsi), 100 - before(rsi))  # the RSI of the bar before, mirrored for shorts
        turn = (rsi - before(rsi)) * sign
        with np.errstate(divide="ignore", invalid="ignore"):
            away = np.abs(bars.close - ema) / atr
        worth_showing = np.isfinite(away) & (turn > 0) & (dip <= values["pullback"] + 10)
        limit = values["pullback"]
        return Setups(
            direction=np.where(worth_showing, sign, 0).astype(np.int8),  # 1 long, -1 short, 0: nothing to judge
            # A condition is met from its first number on; its score grows from 0.8 there to 1.0 at the second.
            tests=(
                graded("trend", away, 0.25, 2.0, lambda v: f"{v:.2f} ATR beyond the EMA, at least 0.25"),
                graded("pullback", dip, limit, limit / 2, lambda v: f"RSI fell to {v:.0f}, at most {limit:g}"),
                graded("turn", turn, 2.0, 10.0, lambda v: f"RSI turned by {v:.1f}, at least 2"),
            ),
            stop=bars.close - sign * values["stop_atr"] * atr,
            target=np.full(len(bars), np.nan),  # none: the ladder's own targets
        )
