"""The fast path makes the engine's trades: entry, exits, prices, quantities, P&L; compiled = plain, bit by bit."""

from __future__ import annotations

from decimal import Decimal
from functools import cache

import numpy as np
import pytest

from tests.research.build import BTC as TEST_BTC
from tests.research.build import NO_COSTS, Once, history, settings
from tui_trader.core.parameters import defaults
from tui_trader.core.settings import Settings
from tui_trader.research.backtest import Backtest, Trade
from tui_trader.research.history import History, instrument_of, packaged
from tui_trader.research.search import Market
from tui_trader.strategies.base import BarStrategy
from tui_trader.strategies.divergence_capitulation import DivergenceCapitulation
from tui_trader.strategies.htf_sweep import HtfSweep
from tui_trader.strategies.ma_crossover import MaCrossover
from tui_trader.strategies.volume_breakout import VolumeBreakout
from tui_trader.venues.paper import Costs

VARIANTS: dict[str, dict[str, dict[str, object]]] = {
    "standard": {},
    "fixed percentages": {"ladder": {"fixed_sl_pct": 0.4, "fixed_tp_pct": 0.6}},
    "by risk": {"sizing": {"model": "fixed_risk", "fixed_risk_frac": 0.005}},
    "fixed margin": {"sizing": {"model": "fixed_margin", "fixed_margin": Decimal(6)}},
    "no cooldown": {"strategies": {"cooldown_min": 0.0}},
    "a tight day": {"limits": {"daily_loss": Decimal(12)}},
    "a tight total": {"limits": {"total_loss": Decimal(25)}},
    "near targets": {"ladder": {"atr_mult_tp1": 0.3, "atr_mult_tp2": 0.6, "atr_mult_be": 0.2, "trail_dist_mult": 0.2}},
}
LOOSE = {
    DivergenceCapitulation: {"fast": 10.0, "slow": 60.0, "volume_mult": 1.0, "wick_share": 0.2},
    VolumeBreakout: {"max_range_atr": 6.0, "volume_mult": 1.2},
}


@cache
def market_data(symbol: str) -> History:
    found = packaged(symbol)
    return found.between(0, int(found.bars.open_ms[8_000]))


def facts(trades: tuple[Trade, ...]) -> list[tuple[object, ...]]:
    """What must be equal exactly."""
    return [
        (
            t.entry_bar,
            t.entry_ms,
            t.decided_ms,
            t.side,
            round(t.entry, 8),
            round(t.qty, 8),
            round(t.stop, 8),
            tuple((e.bar, e.ts, e.leg, round(e.price, 8), round(e.qty, 8)) for e in t.exits),
            t.ambiguous,
            t.open_at_end,
        )
        for t in trades
    ]


def compare(
    found: History, strategy: BarStrategy, timeframe: str, chosen: Settings, costs: Costs, values: dict[str, float]
) -> tuple[Trade, ...]:
    instrument = TEST_BTC if found.source == "a test" else instrument_of(found.symbol)
    wallet = Decimal(10_000)
    engine = Backtest(
        found, strategy, chosen, instrument, wallet=wallet, costs=costs, values=values, timeframe=timeframe
    ).run()
    market = Market(found, instrument, chosen, costs)
    runs = [market.run(strategy, timeframe, values, wallet=wallet, plain=plain) for plain in (False, True)]
    for compiled, plain in zip((runs[0].trades, runs[0].exits), (runs[1].trades, runs[1].exits), strict=True):
        np.testing.assert_array_equal(compiled, plain)
    fast = market.result(runs[0], strategy.name, wallet)
    assert facts(fast.trades) == facts(engine.trades)
    for ours, theirs in zip(fast.trades, engine.trades, strict=True):
        assert (ours.pnl, ours.fees, ours.funding) == pytest.approx((theirs.pnl, theirs.fees, theirs.funding), abs=1e-6)
    np.testing.assert_allclose(fast.equity[: len(engine.equity)], engine.equity, atol=1e-6)
    return engine.trades


@pytest.mark.parametrize("symbol", ["BTCUSDT", "XRPUSDT"])
@pytest.mark.parametrize("kind", [MaCrossover, HtfSweep, VolumeBreakout, DivergenceCapitulation])
def test_every_strategy(kind: type[BarStrategy], symbol: str) -> None:
    strategy = kind()
    values = {**defaults(strategy.parameters), **LOOSE.get(kind, {})}
    trades = compare(market_data(symbol), strategy, strategy.timeframe, settings(), Costs(), values)
    assert trades or kind is DivergenceCapitulation


@pytest.mark.parametrize("name", VARIANTS)
def test_every_kind_of_setting(name: str) -> None:
    strategy = VolumeBreakout()
    values = {**defaults(strategy.parameters), **LOOSE[VolumeBreakout]}
    trades = compare(market_data("SOLUSDT"), strategy, "5m", settings(**VARIANTS[name]), Costs(), values)
    assert len(trades) >= 3


@pytest.mark.parametrize("costs", [NO_COSTS, Costs(half_spread_bps=1.4, slippage_bps=9.0)])
def test_every_cost(costs: Costs) -> None:
    values = {**defaults(VolumeBreakout().parameters), **LOOSE[VolumeBreakout]}
    assert compare(market_data("SOLUSDT"), VolumeBreakout(), "5m", settings(), costs, values)


def test_an_entry_beyond_its_own_stop_gets_an_emergency_one() -> None:
    """The open gaps through the strategy's stop: the ladder cannot be built, the position is closed by a wide stop."""
    rows = [(98_000.0, 98_100.0, 97_900.0, 98_000.0), (98_000.0, 98_000.0, 96_000.0, 96_500.0)]
    values = {**defaults(Once().parameters), "stop": 99_500.0}
    (trade,) = compare(history(rows), Once(), "1m", settings(), NO_COSTS, values)
    assert (trade.stop, trade.exits[0].price) == (97_000.0, 97_000.0)


def test_a_universe_that_refuses_gives_no_trades_in_either() -> None:
    chosen = settings(universe={"min_volume_24h": 1e15})
    values = defaults(VolumeBreakout().parameters)
    assert compare(market_data("SOLUSDT"), VolumeBreakout(), "5m", chosen, Costs(), values) == ()
    tiers = settings(universe={"allowed_tiers": ("MAIN",)})
    assert compare(market_data("SOLUSDT"), VolumeBreakout(), "5m", tiers, Costs(), values) == ()
