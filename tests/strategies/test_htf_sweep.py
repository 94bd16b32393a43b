"""A failed sweep and the shift after it, by hand; and the arrays against plain loops on recorded candles."""

from __future__ import annotations

import numpy as np
import pytest

from tests.strategies.sweeps_by_hand import setups
from tui_trader.core.bars import Bars, resample, window_of
from tui_trader.core.candles import Indicator
from tui_trader.core.parameters import defaults
from tui_trader.research.history import packaged
from tui_trader.strategies.htf_sweep import ATR_PERIOD, HtfSweep


@pytest.mark.parametrize(
    ("symbol", "timeframe", "higher", "values"),
    [
        ("BTCUSDT", "5m", "1h", {}),
        ("XLMUSDT", "5m", "1h", {"reclaim_bars": 6.0, "shift_bars": 60.0, "lookback": 96.0}),
        ("SOLUSDT", "1m", "15m", {"reclaim_bars": 1.0, "shift_bars": 4.0, "lookback": 12.0}),
        ("ETHUSDT", "5m", None, {"lookback": 24.0}),
    ],
)
def test_arrays_say_what_loops_say(symbol: str, timeframe: str, higher: str | None, values: dict[str, float]) -> None:
    minutes = packaged(symbol).bars.slice(0, 7_200 if timeframe == "5m" else 1_800)
    chosen = defaults(HtfSweep.parameters) | values
    above = resample(minutes, higher) if higher else None
    window = window_of(resample(minutes, timeframe), above)
    wanted = setups(window, int(chosen["lookback"]), int(chosen["reclaim_bars"]), int(chosen["shift_bars"]))
    atr = window.indicator(Indicator.ATR, ATR_PERIOD)
    wanted = {bar: setup for bar, setup in wanted.items() if np.isfinite(atr[bar])}
    found = HtfSweep().setups(window, chosen)
    depth, back, _, age = (test.values for test in found.tests)
    assert len(wanted) >= 3
    assert np.flatnonzero(found.direction).tolist() == sorted(wanted)
    for bar, (_, sign, first, closed_back, at, level) in wanted.items():
        extreme = window.bars.low[at] if sign > 0 else window.bars.high[at]
        assert found.direction[bar] == sign
        assert depth[bar] == (level - extreme * sign) / atr[bar]
        assert (back[bar], age[bar]) == (closed_back - first + 1, bar - closed_back)
        assert found.stop[bar] == pytest.approx(extreme - sign * chosen["stop_atr"] * atr[bar], rel=1e-12)


def bars_of(rows: list[tuple[float, float, float, float]]) -> Bars:
    table = np.array(rows)
    return Bars(
        timeframe="1d",
        open_ms=86_400_000 * np.arange(len(rows), dtype=np.int64),
        open=table[:, 0],
        high=table[:, 1],
        low=table[:, 2],
        close=table[:, 3],
        volume=np.ones(len(rows)),
    )


def test_a_sweep_by_hand() -> None:
    """On the day, which looks at itself: a low of 90 and a high of 104, then 89 swept, closed back, 104 broken."""
    quiet = (100.0, 101.0, 99.0, 100.0)
    rows = [quiet] * 20
    rows += [(100.0, 100.0, 90.0, 99.0), quiet, quiet, quiet, (100.0, 104.0, 99.0, 103.0), quiet, quiet, quiet]
    sweep = len(rows)
    rows += [(100.0, 100.0, 89.0, 95.0), (95.0, 101.0, 94.0, 100.0), (100.0, 106.0, 99.0, 105.0), quiet]
    found = HtfSweep().setups(window_of(bars_of(rows)), defaults(HtfSweep.parameters))
    assert np.flatnonzero(found.direction).tolist() == [sweep + 2]
    at = sweep + 2
    atr = window_of(bars_of(rows)).indicator(Indicator.ATR, ATR_PERIOD)[at]
    assert found.direction[at] == 1
    assert [test.values[at] for test in found.tests] == pytest.approx([1.0 / atr, 1.0, 5.0 / atr, 2.0])
    assert found.stop[at] == pytest.approx(89.0 - 0.1 * atr)
    again = [*rows[: sweep + 1], (95.0, 101.0, 88.0, 100.0), *rows[sweep + 2 :]]
    window = window_of(bars_of(again))
    found = HtfSweep().setups(window, defaults(HtfSweep.parameters))
    assert found.tests[3].values[at] == 1.0, "a new extreme after the way back ends one sweep and begins another"
    assert found.stop[at] == pytest.approx(88.0 - 0.1 * window.indicator(Indicator.ATR, ATR_PERIOD)[at])


def test_too_few_bars_say_nothing() -> None:
    for count in range(8):
        window = window_of(bars_of([(100.0, 101.0, 99.0, 100.0)] * max(count, 1)).slice(0, count))
        assert not HtfSweep().setups(window, defaults(HtfSweep.parameters)).direction.any()
