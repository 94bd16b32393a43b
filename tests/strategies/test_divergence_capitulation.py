"""divergence_capitulation, written down a second time in loops, on recorded days; long and short."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from tui_trader.core.bars import Bars, resample, window_of
from tui_trader.core.indicators import Ema, WilderAtr, WilderRsi
from tui_trader.core.parameters import Values, resolve
from tui_trader.research.history import packaged
from tui_trader.strategies.divergence_capitulation import DivergenceCapitulation

LOOSE = {"slow": 100, "volume_mult": 1.25, "wick_share": 0.3, "lookback": 120}


def swing(prices: list[float], at: int) -> bool:
    """Under each of the three before it, and not above the three after it."""
    return all(prices[at] < p for p in prices[at - 3 : at]) and all(prices[at] <= p for p in prices[at + 1 : at + 4])


def by_loops(bars: Bars, values: Values) -> dict[int, tuple[int, float]]:
    """Side and stop of each bar with a setup. A short is a long seen with prices negated."""
    fast, slow, rsi, atr = Ema(int(values["fast"])), Ema(int(values["slow"])), WilderRsi(14), WilderAtr(14)
    strengths: list[float] = []
    lows: dict[int, list[float]] = {1: bars.low.tolist(), -1: (-bars.high).tolist()}
    count, found = int(values["volume_bars"]), {}
    for i in range(len(bars)):
        bar = bars.candle(i)
        quick, calm, strength = fast.update(bar.close), slow.update(bar.close), rsi.update(bar.close)
        width = atr.update(bar.high, bar.low, bar.close)
        strengths.append(np.nan if strength is None else strength)
        if quick is None or calm is None or width is None:
            continue
        side = 1 if bar.close < quick < calm else -1 if bar.close > quick > calm else 0
        low, body = lows[side or 1], (bar.open * side, bar.close * side)
        swings = [j for j in range(max(3, i - int(values["lookback"])), i - 2) if swing(low, j)][-2:]
        lower = any(low[b] < low[a] and (strengths[b] - strengths[a]) * side > 0 for a, b in pairwise(swings))
        loud = bar.volume >= values["volume_mult"] * bars.volume[i - count : i].mean()
        wick = min(body) - low[i]
        if side and lower and loud and wick >= values["wick_share"] * (bar.high - bar.low) > 0:
            extreme = min(low[i], low[swings[1]])
            found[i] = (side, (extreme - values["stop_atr"] * width) * side)
    return found


@pytest.mark.parametrize(("values", "least"), [({}, 3), (LOOSE, 20)], ids=["default", "loose"])
def test_arrays_say_what_loops_say(values: dict[str, object], least: int) -> None:
    strategy = DivergenceCapitulation()
    chosen = resolve(strategy.parameters, values)
    sides: list[int] = []
    for symbol in ("BTCUSDT", "XRPUSDT"):
        bars = resample(packaged(symbol).bars, "5m")
        expected = by_loops(bars, chosen)
        scan = strategy.scan(window_of(bars), chosen)
        assert dict(zip(scan.bars.tolist(), scan.side.tolist(), strict=True)) == {
            i: side for i, (side, _) in expected.items()
        }
        assert scan.stop == pytest.approx([stop for _, stop in expected.values()], abs=1e-8)
        assert (scan.conviction >= 0.8).all()
        sides += [side for side, _ in expected.values()]
    assert sides.count(1) >= least
    assert sides.count(-1) >= least


def test_after_a_crash_no_stop_lies_under_zero() -> None:
    """A fall by 99.99 % within hours: twice the ATR is more than what is left of the price for days."""
    bars = packaged("BTCUSDT").bars
    left = np.ones(len(bars) + 1)
    middle = len(bars) // 2
    left[middle : middle + 200], left[middle + 200 :] = np.geomspace(1, 1e-4, 200), 1e-4
    opens, closes = bars.open * left[:-1], bars.close * left[1:]
    crash = Bars(
        timeframe="1m",
        open_ms=bars.open_ms,
        open=opens,
        high=np.maximum(bars.high * left[1:], opens),
        low=np.minimum(bars.low * left[1:], opens),
        close=closes,
        volume=bars.volume,
    )
    strategy = DivergenceCapitulation()
    values = resolve(strategy.parameters, {"stop_atr": 2.0, "volume_mult": 1.0})
    found = strategy.setups(window_of(resample(crash, "1h")), values)
    assert (found.stop[found.direction == 0] <= 0).any(), "there are bars without room for a stop"
    assert not (found.stop[found.direction != 0] <= 0).any()
    assert len(found.scan().bars) > 0
