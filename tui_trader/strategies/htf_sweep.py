"""``htf_sweep``: a failed sweep of a higher timeframe's swing, then a shift of market structure (SPEC §7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tui_trader.core.bars import Bars, Window
from tui_trader.core.candles import Indicator
from tui_trader.core.parameters import Parameter, Values
from tui_trader.core.series import swing_highs, swing_lows
from tui_trader.strategies.base import HIGHER, BarStrategy, Setups, graded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

SWING_BARS = 3
ATR_PERIOD = 14
STRUCTURE_BARS = 60
"""How far before the sweep its last swing may lie, in bars."""


class _Sweep(NamedTuple):
    """A level pierced at bar ``first``, above which price closed again at ``back``; ``at`` is the extreme's bar."""

    first: int
    back: int
    at: int
    level: float


class _View(NamedTuple):
    """A long's view of the bars; a short's is the same with prices negated, so that highs become lows."""

    low: Floats
    high: Floats
    close: Floats
    swings: Ints
    """Bars that are swing highs."""


class HtfSweep(BarStrategy):
    """A swing low of the higher timeframe (3 bars each side, of the last 48) is pierced and price closes back above it
    within 3 bars; then, within 24 bars, a close above the last swing high from before the sweep's extreme, its body at
    least 0.5 ATR → long, stop under the extreme by 0.1 ATR. Mirrored → short.

    A sweep begins when a bar trades under a level above which the bar before it closed. It is over when price makes a
    new extreme after it came back. Only the first close beyond the structure is judged.
    """

    name = "htf_sweep"
    timeframe = "5m"
    parameters: tuple[Parameter, ...] = (
        Parameter(
            name="lookback", default=48, low=12, high=120, step=12, whole=True, text="higher bars that hold levels"
        ),
        Parameter(name="reclaim_bars", default=3, low=1, high=12, step=1, whole=True, text="bars to close back"),
        Parameter(name="shift_bars", default=24, low=4, high=96, step=4, whole=True, text="bars to shift structure"),
        Parameter(name="body_atr", default=0.5, low=0.1, high=3.0, step=0.1, text="body of the shift, ATR"),
        Parameter(name="stop_atr", default=0.1, low=0.0, high=2.0, step=0.1, text="stop beyond the extreme, ATR"),
    )

    def higher(self, timeframe: str) -> str | None:
        """1 h for 5 m; the day looks at itself."""
        return HIGHER.get(timeframe, timeframe)

    def history(self, values: Values) -> tuple[int, int]:
        """The shift, the reclaim and the structure before them; the levels with their neighbours."""
        recent = int(values["shift_bars"]) + int(values["reclaim_bars"]) + 2
        own = recent + STRUCTURE_BARS + 2 * SWING_BARS
        return max(own, ATR_PERIOD + 1), int(values["lookback"]) + 2 * SWING_BARS + recent

    def setups(self, window: Window, values: Values) -> Setups:
        """First closes beyond the structure after a failed sweep are judged; a later sweep overrules an earlier one."""
        bars = window.bars
        count = len(bars)
        atr = window.indicator(Indicator.ATR, ATR_PERIOD)
        with np.errstate(divide="ignore", invalid="ignore"):
            body = np.abs(bars.close - bars.open) / atr
        direction = np.zeros(count, dtype=np.int8)
        depth, back, age, extreme = (np.full(count, np.nan) for _ in range(4))
        for sign in (1, -1):
            view = _view(bars, sign)
            for sweep in _sweeps(view, window, sign, values):
                index = _shift(view, sweep, int(values["shift_bars"]))
                if index is None or not np.isfinite(atr[index]):
                    continue
                direction[index] = sign
                depth[index] = (sweep.level - view.low[sweep.at]) / atr[index]
                back[index] = sweep.back - sweep.first + 1
                age[index] = index - sweep.back
                extreme[index] = view.low[sweep.at] * sign
        least, reclaim, shift = values["body_atr"], values["reclaim_bars"], values["shift_bars"]
        return Setups(
            direction=direction,
            tests=(
                graded("sweep", depth, 0.0, 0.5, lambda v: f"the level was pierced by {v:.2f} ATR"),
                graded("reclaim", back, reclaim, 0.0, lambda v: f"closed back in {v:.0f} bars, at most {reclaim:g}"),
                graded("shift", body, least, 2 * least, lambda v: f"body {v:.2f} ATR, at least {least:g}"),
                graded("time", age, shift, 0.0, lambda v: f"structure shifted {v:.0f} bars after, at most {shift:g}"),
            ),
            stop=extreme - direction * values["stop_atr"] * atr,
            target=np.full(count, np.nan),
        )


def _view(bars: Bars, sign: int) -> _View:
    low, high = (bars.low, bars.high) if sign > 0 else (-bars.high, -bars.low)
    return _View(low, high, bars.close * sign, np.flatnonzero(swing_highs(high, SWING_BARS)))


def _sweeps(view: _View, window: Window, sign: int, values: Values) -> list[_Sweep]:
    """Every sweep of a swing low of the higher timeframe that failed in time, in the order in which they began.

    A level counts from the close of the third bar after it, and while its bar is among the last ``lookback`` ones.
    """
    higher = window.higher if window.higher is not None else window
    known = window.higher_closed() if window.higher is not None else np.arange(1, len(view.low) + 1)
    prices = higher.bars.low if sign > 0 else -higher.bars.high
    found: list[_Sweep] = []
    for swing in np.flatnonzero(swing_lows(prices, SWING_BARS)):
        begin = max(1, int(np.searchsorted(known, swing + SWING_BARS + 1)))
        end = max(begin, int(np.searchsorted(known, swing + int(values["lookback"]), side="right")))
        level = float(prices[swing])
        pierced = (view.low[begin:end] < level) & (view.close[begin - 1 : end - 1] >= level)
        for first in np.flatnonzero(pierced) + begin:
            back = _reclaimed(view, int(first), level, int(values["reclaim_bars"]))
            if back is not None:
                at = int(first) + int(np.argmin(view.low[first : back + 1]))
                found.append(_Sweep(int(first), back, at, level))
    return sorted(found)


def _reclaimed(view: _View, first: int, level: float, bars: int) -> int | None:
    above = np.flatnonzero(view.close[first : first + bars] > level)
    return first + int(above[0]) if len(above) else None


def _shift(view: _View, sweep: _Sweep, bars: int) -> int | None:
    """The first bar that closes above the last swing high from before the extreme; None when price makes a new extreme
    first, or time runs out. A swing counts once its third bar after it has closed."""
    last = int(np.searchsorted(view.swings, sweep.at)) - 1
    for index in range(sweep.back, min(sweep.back + bars + 1, len(view.close))):
        if index > sweep.back and view.low[index] < view.low[sweep.at]:
            return None
        known = last
        while known >= 0 and view.swings[known] + SWING_BARS > index:
            known -= 1
        if known < 0 or view.swings[known] < sweep.at - STRUCTURE_BARS:
            continue
        if view.close[index] > view.high[view.swings[known]]:
            return index
    return None
