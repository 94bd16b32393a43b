"""Every figure by a worked example, and against the plain formula on drawn numbers."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.research.build import START
from tui_trader.core.types import DAY_MS, MINUTE_MS, Side
from tui_trader.research.backtest import Exit, Trade
from tui_trader.research.metrics import (
    Drawdown,
    daily_returns,
    day_ends,
    longest_run,
    max_drawdown,
    measure,
    r_histogram,
    sharpe,
    sortino,
    value_at_risk,
)

HOUR = 60 * MINUTE_MS


def trade(pnl: float, *, begin: int = 0, hours: int = 1, at_end: bool = False, ambiguous: bool = False) -> Trade:
    """Long 2 at 100 with the stop at 95, so R is 10 USDT; entered ``begin`` hours after START; fees 1, funding −0.5."""
    entry = START + begin * HOUR
    return Trade(
        symbol="BTCUSDT",
        strategy="x",
        side=Side.LONG,
        decided_ms=entry,
        entry_bar=begin * 60,
        entry_ms=entry,
        entry=100.0,
        qty=2.0,
        stop=95.0,
        atr=5.0,
        conviction=0.9,
        exits=() if at_end else (Exit(begin * 60 + hours * 60, entry + hours * HOUR, "STOP", 95.0, 2.0, 0.5),),
        pnl=pnl,
        fees=1.0,
        funding=-0.5,
        reason="stop",
        ambiguous=ambiguous,
        open_at_end=at_end,
    )


def opens(hours: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Hourly instead of minutely bars, the last minute of each hour."""
    return START + HOUR * np.arange(1, hours + 1, dtype=np.int64) - MINUTE_MS


def test_a_day_ends_at_midnight_utc_and_the_last_where_the_data_does() -> None:
    equity = np.arange(1.0, 31.0)
    assert day_ends(opens(30), equity).tolist() == [24.0, 30.0]
    assert daily_returns(opens(30), equity, 20.0).tolist() == pytest.approx([0.2, 0.25])


def test_sharpe_by_hand() -> None:
    """Mean 1 %, deviations 0, +1 and −1 %: standard deviation 1 %, ratio 1, times √365."""
    assert sharpe(np.array([0.01, 0.02, 0.0])) == pytest.approx(math.sqrt(365))
    assert sharpe(np.array([0.01])) is None
    assert sharpe(np.array([0.0, 0.0])) is None


def test_sortino_by_hand() -> None:
    """Mean 1 %; one losing day of 3 % among four: downside √(9/4) % = 1.5 %."""
    assert sortino(np.array([0.03, -0.03, 0.04, 0.0])) == pytest.approx(0.01 / 0.015 * math.sqrt(365))
    assert sortino(np.array([0.01, 0.02])) is None
    assert sortino(np.array([-0.01])) is None


def test_the_deepest_fall_counts_with_its_dates() -> None:
    equity = np.array([110.0, 99.0, 105.0, 120.0, 90.0, 119.0])
    at = opens(6) + MINUTE_MS
    assert max_drawdown(opens(6), equity, 100.0) == Drawdown(0.25, int(at[3]), int(at[4]), 0)
    back = max_drawdown(opens(7), np.append(equity, 120.0), 100.0)
    assert back == Drawdown(0.25, int(at[3]), int(at[4]), int(opens(7)[6]) + MINUTE_MS)


def test_a_fall_from_the_first_wallet_begins_at_the_first_bar() -> None:
    assert max_drawdown(opens(2), np.array([80.0, 90.0]), 100.0) == Drawdown(
        pytest.approx(0.2), int(opens(1)[0]), int(opens(1)[0]) + MINUTE_MS, 0
    )
    assert max_drawdown(opens(2), np.array([100.0, 101.0]), 100.0) is None


def test_value_at_risk_by_hand() -> None:
    """21 days from −10 % to +10 % in steps of 1 %: the 5 % quantile is the second worst."""
    days = np.arange(-10, 11) / 100
    assert value_at_risk(days) == pytest.approx(0.09)
    assert value_at_risk(days[:19]) is None
    assert value_at_risk(np.full(25, 0.01)) == 0.0


def test_runs_and_histogram_by_hand() -> None:
    assert longest_run([True, False, True, True, True, False, True]) == 3
    assert longest_run([]) == longest_run([False]) == 0
    rows = dict(r_histogram([-2.5, -2.0, -1.0, -0.2, 0.0, 0.7, 2.9, 3.0, 9.0]))
    assert rows == {
        "under −2": 1,
        "−2 to −1": 1,
        "−1 to −0.5": 1,
        "−0.5 to 0": 1,
        "0 to 0.5": 1,
        "0.5 to 1": 1,
        "1 to 2": 0,
        "2 to 3": 1,
        "over 3": 2,
    }
    assert sum(n for _, n in r_histogram([])) == 0


def test_a_whole_run_by_hand() -> None:
    """Two days, four trades on 1,000 USDT: +30, −10, −5, +1; equity as each closes, price from 100 to 110."""
    trades = [
        trade(30.0, begin=1, hours=2),
        trade(-10.0, begin=5, ambiguous=True),
        trade(-5.0, begin=30, hours=4),
        trade(1.0, begin=40),
    ]
    open_ms = START + MINUTE_MS * np.arange(2 * 1440, dtype=np.int64)
    equity = np.full(len(open_ms), 1_000.0)
    for one in trades:
        equity[one.exit_bar :] += one.pnl
    closes = np.linspace(100.0, 110.0, len(open_ms))
    m = measure(trades, open_ms, closes, equity, 1_000.0, 0.0005)
    assert (m.start_ms, m.end_ms, m.days, m.trades) == (START, START + 2 * DAY_MS, 2.0, 4)
    assert m.total_return == pytest.approx(0.016)
    assert m.annual_return is None
    assert m.calmar is None
    assert m.buy_and_hold == pytest.approx(1.1 * 0.9995 / 1.0005 - 1)
    assert m.win_rate == 0.5
    assert m.profit_factor == pytest.approx(31 / 15)
    assert m.expectancy_r == pytest.approx((3.0 - 1.0 - 0.5 + 0.1) / 4)
    assert (m.average_win, m.average_loss) == (15.5, 7.5)
    assert m.payoff == pytest.approx(15.5 / 7.5)
    days = [0.02, 1_016 / 1_020 - 1]
    assert m.sharpe == pytest.approx(statistics.mean(days) / statistics.stdev(days) * math.sqrt(365))
    assert m.sortino == pytest.approx(statistics.mean(days) / math.sqrt(days[1] ** 2 / 2) * math.sqrt(365))
    assert m.drawdown is not None
    assert m.drawdown.depth == pytest.approx(15 / 1_030)
    assert m.var95 is None
    assert m.exposure == pytest.approx(8 / 48)
    assert (m.trades_per_day, m.longest_losing_run, m.average_hours, m.ambiguous) == (2.0, 2, 2.0, 1)
    assert (m.fees, m.funding, m.net) == (4.0, -2.0, 16.0)
    assert m.gross == 16.0 + 4.0 + 2.0


def test_no_trade_leaves_undefined_what_is_not_defined() -> None:
    open_ms = START + MINUTE_MS * np.arange(60, dtype=np.int64)
    m = measure([], open_ms, np.full(60, 100.0), np.full(60, 1_000.0), 1_000.0, 0.0)
    undefined = ("win_rate", "profit_factor", "expectancy_r", "average_win", "average_loss", "payoff", "sharpe")
    undefined += ("sortino", "calmar", "drawdown", "var95", "average_hours", "annual_return")
    assert [getattr(m, name) for name in undefined] == [None] * len(undefined)
    assert (m.total_return, m.buy_and_hold, m.exposure, m.net) == (0.0, 0.0, 0.0, 0.0)


def test_only_wins_have_no_profit_factor_and_no_payoff() -> None:
    open_ms = START + MINUTE_MS * np.arange(600, dtype=np.int64)
    m = measure([trade(3.0)], open_ms, np.full(600, 100.0), np.full(600, 1_003.0), 1_000.0, 0.0)
    assert (m.profit_factor, m.average_loss, m.payoff, m.win_rate) == (None, None, None, 1.0)


def test_a_year_is_told_from_four_weeks_on() -> None:
    """10 % in 36.5 days is (1.1)^10 a year; with a drawdown of 5 % Calmar is that return by 0.05."""
    open_ms = START + MINUTE_MS * np.arange(int(36.5 * 1440), dtype=np.int64)
    equity = np.full(len(open_ms), 1_000.0)
    equity[100:] = 950.0
    equity[200:] = 1_100.0
    m = measure([], open_ms, np.full(len(open_ms), 1.0), equity, 1_000.0, 0.0)
    assert m.annual_return == pytest.approx(1.1**10 - 1)
    short = 28 * 1440
    assert measure([], open_ms[:short], np.ones(short), equity[:short], 1_000.0, 0.0).annual_return is not None
    assert measure([], open_ms[: short - 1], np.ones(short), equity[: short - 1], 1_000.0, 0.0).annual_return is None
    assert m.calmar == pytest.approx((1.1**10 - 1) / 0.05)
    assert m.var95 == 0.0


def test_a_trade_open_at_the_end_counts_until_the_end() -> None:
    open_ms = START + MINUTE_MS * np.arange(600, dtype=np.int64)
    m = measure([trade(0.0, begin=6, at_end=True)], open_ms, np.full(600, 1.0), np.full(600, 1.0), 1.0, 0.0)
    assert m.exposure == pytest.approx(0.4)


@given(st.lists(st.floats(-0.2, 0.2), min_size=2, max_size=60))
def test_ratios_are_the_plain_formulas(values: list[float]) -> None:
    returns = np.array(values)
    if statistics.stdev(values) > 1e-6:
        plain = statistics.mean(values) / statistics.stdev(values) * math.sqrt(365)
        assert sharpe(returns) == pytest.approx(plain, rel=1e-6, abs=1e-9)
    down = math.sqrt(math.fsum(min(v, 0.0) ** 2 for v in values) / len(values))
    if down > 1e-6:
        assert sortino(returns) == pytest.approx(statistics.mean(values) / down * math.sqrt(365), rel=1e-6, abs=1e-9)


@given(st.lists(st.floats(1.0, 1_000.0), min_size=1, max_size=40))
def test_the_drawdown_is_the_greatest_of_all_pairs(values: list[float]) -> None:
    whole = [500.0, *values]
    deepest = max(1 - low / high for i, high in enumerate(whole) for low in whole[i:])
    found = max_drawdown(opens(len(values)), np.array(values), 500.0)
    assert (found.depth if found else 0.0) == pytest.approx(deepest)
    if found:
        assert found.peak_ms < found.trough_ms
        assert found.recovered_ms == 0 or found.recovered_ms > found.trough_ms
