"""The fast path against the engine: the same trades, whatever the settings. Also a command over a folder of recordings:

``python -m tests.research.equality FOLDER [DRAWS] [SEED]`` runs every strategy on every ``*.npz`` of 1 m candles in
FOLDER, once with its defaults and DRAWS times with drawn settings, and prints what it compared.
"""

from __future__ import annotations

import random
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tests.research.build import settings
from tui_trader.core.bars import Bars
from tui_trader.core.instruments import Instrument
from tui_trader.core.parameters import Parameter, defaults
from tui_trader.core.settings import Settings
from tui_trader.core.types import Tier
from tui_trader.research.backtest import Backtest, Trade
from tui_trader.research.history import FIELDS, History, instrument_of, make_history
from tui_trader.research.search import Market
from tui_trader.strategies.base import BarStrategy
from tui_trader.strategies.divergence_capitulation import DivergenceCapitulation
from tui_trader.strategies.htf_sweep import HtfSweep
from tui_trader.strategies.ma_crossover import MaCrossover
from tui_trader.strategies.volume_breakout import VolumeBreakout
from tui_trader.venues.paper import Costs

KINDS: tuple[type[BarStrategy], ...] = (MaCrossover, HtfSweep, VolumeBreakout, DivergenceCapitulation)
LOOSE: dict[type[BarStrategy], dict[str, float]] = {
    DivergenceCapitulation: {"fast": 10.0, "slow": 60.0, "volume_mult": 1.0, "wick_share": 0.2},
    VolumeBreakout: {"max_range_atr": 6.0, "volume_mult": 1.2},
}
"""Values under which a few days give many trades."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One run to be made by both paths."""

    kind: type[BarStrategy]
    timeframe: str
    values: dict[str, float]
    settings: Settings
    costs: Costs = Costs()
    wallet: Decimal = Decimal(10_000)
    min_notional: Decimal | None = None


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
            round(t.atr, 10),
            round(t.conviction, 10),
            tuple((e.bar, e.ts, e.leg, round(e.price, 8), round(e.qty, 8)) for e in t.exits),
            t.ambiguous,
            t.open_at_end,
        )
        for t in trades
    ]


def money(trades: tuple[Trade, ...]) -> list[tuple[float, ...]]:
    """What must be equal to 1e-6 USDT."""
    return [(t.pnl, t.fees, t.funding, *(e.fee for e in t.exits)) for t in trades]


def compare(found: History, case: Case, instrument: Instrument | None = None) -> tuple[Trade, ...]:
    """Run ``case`` by the engine, the compiled kernel and the plain one. ``AssertionError`` where they differ."""
    strategy = case.kind()
    instrument = instrument or instrument_of(found.symbol)
    if case.min_notional is not None:
        instrument = msgspec.structs.replace(instrument, min_notional=case.min_notional)
    engine = Backtest(
        found,
        strategy,
        case.settings,
        instrument,
        wallet=case.wallet,
        costs=case.costs,
        values=case.values,
        timeframe=case.timeframe,
    ).run()
    market = Market(found, instrument, case.settings, case.costs)
    compiled, plain = (
        market.run(strategy, case.timeframe, case.values, wallet=case.wallet, plain=plain) for plain in (False, True)
    )
    np.testing.assert_array_equal(compiled.trades, plain.trades)
    np.testing.assert_array_equal(compiled.exits, plain.exits)
    fast = market.result(compiled, strategy.name, case.wallet)
    for ours, theirs in zip(facts(fast.trades), facts(engine.trades), strict=False):
        assert ours == theirs
    assert len(fast.trades) == len(engine.trades)
    for mine, its in zip(money(fast.trades), money(engine.trades), strict=True):
        np.testing.assert_allclose(mine, its, rtol=0, atol=1e-6)
    np.testing.assert_allclose(fast.equity, engine.equity, rtol=0, atol=1e-6)
    assert fast.killed == engine.killed
    return engine.trades


def draw_values(rng: random.Random, parameters: tuple[Parameter, ...]) -> dict[str, float]:
    """Each parameter somewhere within its bounds, on its grid."""
    found = {}
    for p in parameters:
        value = min(p.low + p.step * rng.randint(0, int((p.high - p.low) / p.step)), p.high)
        found[p.name] = float(round(value)) if p.whole else value
    return found


def draw_case(rng: random.Random, kind: type[BarStrategy]) -> Case:
    """Settings from all over what they allow, so that trades still come about."""
    values = defaults(kind.parameters) | LOOSE.get(kind, {})
    if rng.random() < 0.5:
        values |= draw_values(rng, kind.parameters)
    tp1 = rng.uniform(0.1, 3.0)
    part = rng.uniform(0.05, 0.9)
    sections: dict[str, dict[str, Any]] = {
        "ladder": {
            "atr_mult_sl": rng.uniform(0.2, 4.0),
            "atr_mult_tp1": tp1,
            "atr_mult_tp2": tp1 + rng.uniform(0.05, 3.0),
            "atr_mult_be": rng.uniform(0.1, 4.0),
            "trail_dist_mult": rng.uniform(0.05, 3.0),
            "break_even_offset_bps": rng.choice([0.0, 5.0, 60.0]),
            "partial_close_tp1": part,
            "partial_close_tp2": rng.uniform(0.01, 1.0 - part),
            "fixed_sl_pct": rng.choice([0.0, 0.0, rng.uniform(0.1, 3.0)]),
            "fixed_tp_pct": rng.choice([0.0, 0.0, rng.uniform(0.1, 5.0)]),
            "atr_timeframe": rng.choice(["15m", "15m", "5m", "1h"]),
            "max_atr_age_s": 7_200.0,
        },
        "sizing": {
            "model": rng.choice(["margin_fraction", "fixed_risk", "fixed_margin"]),
            "base_risk_frac": rng.uniform(0.001, 0.03),
            "fixed_risk_frac": rng.uniform(0.0005, 0.02),
            "fixed_margin": Decimal(rng.choice(["0.5", "6", "25"])),
            "min_margin": Decimal(rng.choice(["0.1", "10"])),
        },
        "limits": {
            "daily_loss": Decimal(rng.choice([0, 0, 3, 15])),
            "total_loss": Decimal(rng.choice([0, 0, 20, 60])),
            "max_total_risk": rng.choice([0.15, 0.04]),
            "max_notional_per_symbol": Decimal(rng.choice([50_000, 1_500])),
            "price_collar": rng.choice([0.02, 0.0005]),
            "max_slippage": rng.choice([0.003, 0.0001]),
        },
        "strategies": {"cooldown_min": rng.choice([0.0, 15.0, 0.5, 90.0]), "threshold": rng.choice([0.8, 0.8, 0.85])},
        "universe": {
            "max_spread_bps": 100.0,
            "min_volume_24h": rng.choice([1.0, 1.0, 2e7]),
            "allowed_tiers": tuple(Tier),
        },
        "execution": {
            "trail_min_interval_s": rng.choice([1.0, 0.0, 30.0, 61.0, 600.0]),
            "trail_step_ticks": rng.choice([1, 1, 7, 100]),
        },
    }
    if rng.random() < 0.5:
        sections["funding"] = {"pre_window_min": rng.choice([40.0, 5.0]), "post_window_min": rng.choice([20.0, 0.0])}
    tiny = rng.random() < 0.4
    return Case(
        kind=kind,
        timeframe=rng.choice([kind.timeframe, "1m", "5m", "15m"]),
        values=values,
        settings=settings(**sections),
        costs=rng.choice([Costs(), Costs(half_spread_bps=0.0, slippage_bps=0.0), Costs(half_spread_bps=4.0)]),
        wallet=Decimal(rng.choice([60, 150, 400])) if tiny else Decimal(10_000),
        min_notional=Decimal(rng.choice([5, 20])) if tiny else None,
    )


def load(path: Path) -> History:
    """1 m candles and funding of the symbol that the file is named after."""
    with np.load(path, allow_pickle=False) as found:
        columns = {name: found[name].astype(np.float64) for name in FIELDS}
        bars = Bars(timeframe="1m", open_ms=found["open_time_ms"].astype(np.int64), **columns)
        stamps, rates = found["funding_time_ms"].astype(np.int64), found["funding_rate"].astype(np.float64)
    return make_history(path.stem, bars, stamps, rates, str(path))


def run_all(folder: Path, draws: int, seed: int) -> int:
    """Compare everything; returns how many runs differed."""
    different = runs = trades = 0
    for path in sorted(folder.glob("*.npz")):
        found = load(path)
        for kind in KINDS:
            rng = random.Random(f"{seed} {path.stem} {kind.name}")
            cases = [
                Case(kind=kind, timeframe=kind.timeframe, values=defaults(kind.parameters), settings=settings()),
                *(draw_case(rng, kind) for _ in range(draws)),
            ]
            for number, case in enumerate(cases):
                runs += 1
                try:
                    trades += len(compare(found, case))
                except AssertionError as error:
                    different += 1
                    print(f"{path.stem} {kind.name} case {number} differs: {str(error)[:800]}", flush=True)
        print(f"{path.stem}: {runs} runs, {trades} trades compared so far, {different} runs differ", flush=True)
    return different


if __name__ == "__main__":
    words = sys.argv[1:]
    numbers = [int(word) for word in words[1:]] + [3, 1][len(words) - 1 :]
    sys.exit(min(1, run_all(Path(words[0]), *numbers)))
