"""The engine's path: entries at the next open, the stop before the target, costs, funding, limits."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from tests.research.build import BTC, NO_COSTS, START, WARM, Row, backtest, history, settings
from tui_trader.core.types import Side
from tui_trader.research.backtest import Backtest
from tui_trader.research.history import instrument_of, packaged
from tui_trader.strategies.registry import SHIPPED
from tui_trader.venues.paper import Costs

FLAT: Row = (100_000.0, 100_000.0, 100_000.0, 100_000.0)
"""ATR is 1,000: a long from 100,000 has its stop at 99,000, TP1 at 101,500, TP2 at 102,500, break-even from 101,000."""


def legs(*rows: Row, side: int = 1) -> list[tuple[int, str, float, float]]:
    """Exits of the one trade: minutes after the entry's, leg, price, quantity."""
    (trade,) = backtest(history([FLAT, *rows]), values={"side": side}).trades
    assert (trade.entry_bar, trade.entry, trade.qty) == (WARM, 100_000.0, 0.022)
    return [(e.bar - WARM, e.leg, e.price, e.qty) for e in trade.exits]


def test_a_signal_is_filled_at_the_next_open() -> None:
    (trade,) = backtest(history([(100_200.0, 100_300.0, 100_100.0, 100_200.0)])).trades
    assert (trade.entry_bar, trade.entry, trade.side) == (WARM, 100_200.0, Side.LONG)
    assert (trade.decided_ms, trade.entry_ms) == (START + WARM * 60_000, START + WARM * 60_000)
    assert trade.open_at_end


def test_a_market_order_pays_half_the_spread_and_slippage_away_from_it() -> None:
    costs = Costs(half_spread_bps=1.0, slippage_bps=2.0)
    for side, price in ((1, 100_030.1), (-1, 99_970.0)):
        (trade,) = backtest(history([FLAT]), values={"side": side}, costs=costs).trades
        assert trade.entry == price


def test_the_stop_fills_at_its_price_on_a_path_and_at_the_open_after_a_gap() -> None:
    assert legs((99_900.0, 99_950.0, 98_000.0, 98_500.0)) == [(1, "STOP", 99_000.0, 0.022)]
    assert legs((98_500.0, 98_600.0, 98_000.0, 98_500.0)) == [(1, "STOP", 98_500.0, 0.022)]
    assert legs((100_100.0, 101_500.0, 100_000.0, 101_000.0), side=-1) == [(1, "STOP", 101_000.0, 0.022)]


def test_a_target_needs_the_market_to_trade_through_it() -> None:
    assert legs((100_000.0, 101_500.0, 100_000.0, 101_500.0)) == []
    assert legs((100_000.0, 101_500.1, 100_000.0, 101_200.0)) == [(1, "TP1", 101_500.0, 0.011)]


def test_the_whole_ladder_within_one_minute() -> None:
    """TP1 and TP2 on the way up; the rest is trailed by 800 from 103,000 and stopped on the way to the close."""
    assert legs((100_000.0, 103_000.0, 100_000.0, 102_000.0)) == [
        (1, "TP1", 101_500.0, 0.011),
        (1, "TP2", 102_500.0, 0.006),
        (1, "STOP", 102_200.0, 0.005),
    ]


def test_break_even_holds_from_its_trigger_on() -> None:
    assert legs((100_000.0, 101_000.0, 100_000.0, 100_900.0), (100_900.0, 100_900.0, 99_500.0, 99_600.0)) == [
        (2, "STOP", 100_050.0, 0.022)
    ]


def test_both_in_one_minute_is_the_stop_and_is_counted() -> None:
    (trade,) = backtest(history([FLAT, (100_000.0, 102_000.0, 98_900.0, 100_000.0)])).trades
    assert [(e.leg, e.price) for e in trade.exits] == [("STOP", 99_000.0)]
    assert trade.ambiguous
    assert trade.pnl == pytest.approx(-22.0 - 0.022 * 199_000 * 0.0005)
    assert trade.r == pytest.approx(trade.pnl / 22.0)


@pytest.mark.parametrize(("side", "sign"), [(1, -1), (-1, 1)])
def test_funding_is_paid_at_its_stamp_by_who_holds_over_it(side: int, sign: int) -> None:
    stamp = START + (WARM + 1) * 60_000
    held = history([FLAT, FLAT, FLAT], funding=[(stamp, 0.0005), (stamp + 60_000, 0.0)])
    (trade,) = backtest(held, values={"side": side}).trades
    assert trade.funding == pytest.approx(sign * 0.022 * 100_000 * 0.0005)
    late = history([FLAT, FLAT, FLAT], funding=[(stamp + 16, 0.0005), (stamp + 60_000, 0.0)])
    assert backtest(late, values={"side": side}).trades == (trade,), "exchanges stamp it some milliseconds late"
    before = history([FLAT, FLAT], funding=[(START + WARM * 60_000, 0.0002)])
    (trade,) = backtest(before, values={"side": side}).trades
    assert trade.funding == 0.0


def test_equity_follows_cash_and_what_is_open() -> None:
    rows = [FLAT, (100_000.0, 100_800.0, 99_900.0, 100_500.0), (100_500.0, 100_500.0, 98_000.0, 98_000.0)]
    result = backtest(history(rows))
    fee = 0.022 * 100_000 * 0.0005
    assert result.equity[WARM - 1] == 10_000.0
    assert result.equity[WARM] == pytest.approx(10_000 - fee)
    assert result.equity[WARM + 1] == pytest.approx(10_000 - fee + 0.022 * 500)
    assert result.equity[-1] == pytest.approx(10_000 + sum(t.pnl for t in result.trades))


def test_a_reached_total_loss_ends_the_run() -> None:
    chosen = settings(limits={"total_loss": Decimal(5), "daily_loss_frac": 1.0})
    rows = [FLAT, (99_900.0, 99_900.0, 99_600.0, 99_700.0), (99_650.0, 99_700.0, 99_600.0, 99_650.0), FLAT]
    result = backtest(history(rows), chosen=chosen)
    (trade,) = result.trades
    assert [(e.bar - WARM, e.leg, e.price) for e in trade.exits] == [(2, "CLOSE", 99_650.0)]
    assert "total loss" in result.killed
    assert len(result.equity) == len(history(rows).bars), "the account stands beside the market to the end"


def test_liquidation_when_the_wallet_cannot_carry_it() -> None:
    chosen = settings(
        sizing={"model": "fixed_risk", "fixed_risk_frac": 1.0, "max_risk_frac": 1.0, "base_risk_frac": 1.0},
        limits={"total_loss_frac": 1.0, "daily_loss_frac": 1.0, "max_total_risk": 1.0},
    )
    crash = [FLAT, (100_000.0, 100_000.0, 90_400.0, 90_400.0)]
    (trade,) = backtest(history(crash), values={"stop": 90_000.0}, chosen=chosen, wallet="2000").trades
    assert [(e.bar - WARM, e.leg, e.price, e.qty) for e in trade.exits] == [(1, "LIQUIDATION", 90_400.0, 0.199)]
    assert trade.reason == "liquidated by the venue"


def test_the_gate_refuses_and_says_why() -> None:
    result = backtest(history([FLAT]), chosen=settings(universe={"min_volume_24h": 1e15}))
    assert result.trades == ()
    assert result.refused == {"volume": 1}


def test_the_same_input_gives_the_same_output() -> None:
    rows = [FLAT, (100_000.0, 103_000.0, 100_000.0, 102_000.0)]
    first, second = backtest(history(rows)), backtest(history(rows))
    assert first.trades == second.trades
    assert (first.equity == second.equity).all()


@pytest.mark.parametrize("kind", SHIPPED)
def test_passing_over_quiet_bars_changes_nothing(kind: type) -> None:
    found = packaged("ETHUSDT")
    part = found.between(0, int(found.bars.open_ms[3_600]))
    runs = [
        Backtest(
            part, kind(), settings(), instrument_of("ETHUSDT"), wallet=Decimal(10_000), costs=Costs(), step_all=step_all
        ).run()
        for step_all in (False, True)
    ]
    assert runs[0].trades == runs[1].trades
    np.testing.assert_array_equal(runs[0].equity, runs[1].equity)
    assert runs[1].bars_stepped == 3_600
    assert runs[0].bars_stepped < 1_000


def test_stopping_leaves_a_partial_result() -> None:
    told: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> bool:
        told.append((done, total))
        return False

    found = packaged("LTCUSDT")
    run = Backtest(found, SHIPPED[0](), settings(), BTC, wallet=Decimal(10_000), costs=NO_COSTS)
    result = run.run(progress)
    assert result.partial
    assert told == [(result.bars, len(found.bars))]
    assert len(result.equity) == result.bars < len(found.bars)
