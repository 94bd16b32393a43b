"""``htf_sweep``'s rules written as loops over single bars, slowly and plainly: what the arrays must agree with."""

from __future__ import annotations

from tui_trader.core.bars import Window

Setup = tuple[int, int, int, int, int, float]
"""Bar of the shift, sign, first bar of the sweep, bar that closed back, bar of the extreme, level."""


def setups(window: Window, lookback: int, reclaim_bars: int, shift_bars: int) -> dict[int, Setup]:
    """The setup judged at each bar that has one."""
    found: dict[int, Setup] = {}
    for sign in (1, -1):
        for setup in sorted(_of_sign(window, sign, lookback, reclaim_bars, shift_bars), key=lambda s: s[2:]):
            found[setup[0]] = setup
    return found


def _lows(low: list[float], bar: int) -> bool:
    if bar < 3 or bar + 3 >= len(low):
        return False
    return low[bar] < min(low[bar - 3 : bar]) and low[bar] <= min(low[bar + 1 : bar + 4])


def _of_sign(window: Window, sign: int, lookback: int, reclaim_bars: int, shift_bars: int) -> list[Setup]:
    bars, above = window.bars, window.higher.bars if window.higher is not None else window.bars
    low, high = (bars.low, bars.high) if sign > 0 else (-bars.high, -bars.low)
    low, high, close = low.tolist(), high.tolist(), (bars.close * sign).tolist()
    levels = (above.low if sign > 0 else -above.high).tolist()
    closed = window.higher_closed().tolist() if window.higher is not None else list(range(1, len(low) + 1))
    tops = [bar for bar in range(len(high)) if _lows([-h for h in high[max(0, bar - 3) : bar + 4]], min(bar, 3))]
    found = []
    for swing in range(len(levels)):
        if not _lows(levels, swing):
            continue
        for first in range(1, len(low)):
            known = swing + 3 < closed[first] <= swing + lookback
            if known and low[first] < levels[swing] <= close[first - 1]:
                found += _after(low, high, close, tops, sign, first, levels[swing], reclaim_bars, shift_bars)
    return found


def _after(
    low: list[float],
    high: list[float],
    close: list[float],
    tops: list[int],
    sign: int,
    first: int,
    level: float,
    reclaim_bars: int,
    shift_bars: int,
) -> list[Setup]:
    back = next((i for i in range(first, min(first + reclaim_bars, len(low))) if close[i] > level), None)
    if back is None:
        return []
    at = min(range(first, back + 1), key=lambda i: low[i])
    for bar in range(back, min(back + shift_bars + 1, len(low))):
        if bar > back and low[bar] < low[at]:
            return []
        known = [top for top in tops if top < at and top + 3 <= bar]
        if known and known[-1] >= at - 60 and close[bar] > high[known[-1]]:
            return [(bar, sign, first, back, at, level)]
    return []
