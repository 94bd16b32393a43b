"""``htf_sweep``: a failed sweep of a higher timeframe's swing, then a shift of market structure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tui_trader.core.bars import Window
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


MANY = 64_000
"""How many bars of levels, or after sweeps, are looked at at once: few enough for the processor's cache."""


class _Sweeps(NamedTuple):
    """Levels pierced at bar ``first``, above which price closed again at ``back``; ``at`` is the extreme's bar.

    Arrays of one shape, in the order in which the sweeps began.
    """

    first: Ints
    back: Ints
    at: Ints
    level: Floats


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
        known = window.higher_closed() if window.higher is not None else np.arange(1, count + 1)
        for sign in (1, -1):
            view = _view(window, sign)
            found = _sweeps(view, window, known, sign, values)
            index = _shifts(view, found, int(values["shift_bars"]))
            there = np.flatnonzero(index >= 0)
            there = there[np.isfinite(atr[index[there]])]
            # Of several sweeps that one bar ends, the one that began last stays.
            bar, low = index[there], view.low[found.at[there]]
            direction[bar] = sign
            depth[bar] = (found.level[there] - low) / atr[bar]
            back[bar] = found.back[there] - found.first[there] + 1
            age[bar] = bar - found.back[there]
            extreme[bar] = low * sign
        stop = extreme - direction * values["stop_atr"] * atr
        # After a crash the ATR may be worth more than what is left of the price: no stop, no setup.
        direction[stop <= 0] = 0
        least, reclaim, shift = values["body_atr"], values["reclaim_bars"], values["shift_bars"]
        return Setups(
            direction=direction,
            tests=(
                graded("sweep", depth, 0.0, 0.5, lambda v: f"the level was pierced by {v:.2f} ATR"),
                graded("reclaim", back, reclaim, 0.0, lambda v: f"closed back in {v:.0f} bars, at most {reclaim:g}"),
                graded("shift", body, least, 2 * least, lambda v: f"body {v:.2f} ATR, at least {least:g}"),
                graded("time", age, shift, 0.0, lambda v: f"structure shifted {v:.0f} bars after, at most {shift:g}"),
            ),
            stop=stop,
            target=np.full(count, np.nan),
        )


def _view(window: Window, sign: int) -> _View:
    bars = window.bars
    low, high = (bars.low, bars.high) if sign > 0 else (-bars.high, -bars.low)
    swings = window.shared(("swing highs", sign), lambda: np.flatnonzero(swing_highs(high, SWING_BARS)))
    return _View(low, high, bars.close * sign, swings)


def _sweeps(view: _View, window: Window, known: Ints, sign: int, values: Values) -> _Sweeps:
    """Every sweep of a swing low of the higher timeframe that failed in time; ``known`` bars of it were closed at each.

    A level counts from the close of the third bar after it, and while its bar is among the last ``lookback`` ones.
    """
    higher = window.higher if window.higher is not None else window
    prices = higher.bars.low if sign > 0 else -higher.bars.high
    swings = higher.shared(("swing lows", sign), lambda: np.flatnonzero(swing_lows(prices, SWING_BARS)))
    begin = np.maximum(1, np.searchsorted(known, swings + SWING_BARS + 1))
    end = np.maximum(begin, np.searchsorted(known, swings + int(values["lookback"]), side="right"))
    wide = int((end - begin).max(initial=0))
    first, levels = [np.zeros(0, dtype=np.int64)], [np.zeros(0)]
    if wide:
        rows = MANY // wide + 1
        for part in (slice(start, start + rows) for start in range(0, len(swings), rows)):
            row, bar = _pierced(view, prices[swings[part]], begin[part], end[part], wide)
            first.append(bar)
            levels.append(prices[swings[part]][row])
    return _failed(view, np.concatenate(first), np.concatenate(levels), int(values["reclaim_bars"]))


def _pierced(view: _View, level: Floats, begin: Ints, end: Ints, wide: int) -> tuple[Ints, Ints]:
    """(row of the level, bar) wherever a bar from ``begin`` to ``end`` (exclusive, at most ``wide`` bars) trades under
    the level and the bar before it closed above; as a table of levels by bars."""
    first = np.minimum(begin, len(view.close) - wide)
    lows = sliding_window_view(view.low, wide)[first]
    before = sliding_window_view(view.close, wide)[first - 1]
    row, column = np.divmod(np.flatnonzero((lows < level[:, None]) & (before >= level[:, None])), wide)
    bar = first[row] + column
    inside = (bar >= begin[row]) & (bar < end[row])
    return row[inside], bar[inside]


def _failed(view: _View, first: Ints, level: Floats, bars: int) -> _Sweeps:
    """Of these sweeps those that closed back within ``bars``, in order."""
    count = len(view.close)
    back = np.full(len(first), -1)
    for step in range(bars):
        here = np.minimum(first + step, count - 1)
        closed = (back < 0) & (first + step < count) & (view.close[here] > level)
        back[closed] = here[closed]
    failed = back >= 0
    first, back, level = first[failed], back[failed], level[failed]
    at = first.copy()
    for step in range(1, bars):
        here = np.minimum(first + step, back)
        lower = view.low[here] < view.low[at]
        at[lower] = here[lower]
    order = np.lexsort((level, at, back, first))
    return _Sweeps(first[order], back[order], at[order], level[order])


def _shifts(view: _View, found: _Sweeps, bars: int) -> Ints:
    """For each sweep the first bar that closes above the last swing high from before the extreme; −1 when price makes a
    new extreme first, or time runs out. A swing counts once its third bar after it has closed."""
    result = np.full(len(found.at), -1)
    if not len(view.swings):
        return result
    past = np.zeros(len(view.close) + 1, dtype=np.int64)
    past[view.swings + 1] = 1
    past = np.cumsum(past)
    # A first place for "no swing yet", too far back to count.
    swings = np.concatenate((np.array([-STRUCTURE_BARS - 1]), view.swings))[past]
    tops = np.concatenate((np.array([np.inf]), view.high[view.swings]))[past]
    rows = max(1, MANY // (bars + 1))
    for start in range(0, len(result), rows):
        part = slice(start, start + rows)
        result[part] = _first_shift(view, found.back[part], found.at[part], bars, swings, tops)
    return result


def _first_shift(view: _View, back: Ints, at: Ints, bars: int, swings: Ints, tops: Floats) -> Ints:
    """``_shifts`` for some sweeps at once, as a table of sweeps by bars. ``swings`` and ``tops``: the last swing high
    before each bar, and its price.
    """
    count = len(view.close)
    after = back[:, None] + np.arange(bars + 1)
    index = np.minimum(after, count - 1)
    broken = view.low[index] < view.low[at][:, None]
    broken[:, 0] = False
    broken |= after >= count
    known = np.maximum(np.minimum(at[:, None], index - SWING_BARS + 1), 0)
    shifted = (view.close[index] > tops[known]) & (swings[known] >= at[:, None] - STRUCTURE_BARS)
    over = np.argmax(broken | shifted, axis=1)
    row = np.arange(len(back))
    return np.where(shifted[row, over] & ~broken[row, over], index[row, over], -1)
