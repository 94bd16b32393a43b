"""The fast path makes the engine's trades: entry, exits, prices, quantities, P&L; compiled = plain, bit by bit."""

from __future__ import annotations

import random
from decimal import Decimal
from functools import cache

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.research.build import BTC, NO_COSTS, START, WARM, Once, history, settings
from tests.research.equality import KINDS, LOOSE, Case, compare, draw_case
from tui_trader.config import load
from tui_trader.core.parameters import defaults
from tui_trader.core.types import Side
from tui_trader.errors import UsageError
from tui_trader.research.backtest import Backtest
from tui_trader.research.history import FIELDS, History, instrument_of, packaged
from tui_trader.research.search import Job, Market, sweep
from tui_trader.strategies.base import BarStrategy
from tui_trader.strategies.divergence_capitulation import DivergenceCapitulation
from tui_trader.strategies.ma_crossover import MaCrossover
from tui_trader.strategies.volume_breakout import VolumeBreakout
from tui_trader.venues.paper import Costs

BREAKOUT = defaults(VolumeBreakout.parameters) | LOOSE[VolumeBreakout]
WALLET = Decimal(10_000)


@cache
def market_data(symbol: str, bars: int = 8_000) -> History:
    found = packaged(symbol)
    return found.between(0, int(found.bars.open_ms[bars]))


def breakout(**changes: object) -> Case:
    base = Case(kind=VolumeBreakout, timeframe="5m", values=BREAKOUT, settings=settings())
    return msgspec.structs.replace(base, **changes)


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


@pytest.mark.parametrize("symbol", ["BTCUSDT", "XRPUSDT"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_strategy(kind: type[BarStrategy], symbol: str) -> None:
    values = defaults(kind.parameters) | LOOSE.get(kind, {})
    case = Case(kind=kind, timeframe=kind.timeframe, values=values, settings=settings())
    trades = compare(market_data(symbol), case)
    assert trades or kind is DivergenceCapitulation


@pytest.mark.parametrize("name", VARIANTS)
def test_every_kind_of_setting(name: str) -> None:
    trades = compare(market_data("SOLUSDT"), breakout(settings=settings(**VARIANTS[name])))
    assert len(trades) >= 3


@pytest.mark.parametrize("preset", ["standard", "conservative", "aggressive", "ultra_conservative"])
def test_every_preset(preset: str) -> None:
    chosen = load(None, environ={}, overrides={"preset": preset}).settings
    assert compare(market_data("SOLUSDT"), breakout(settings=chosen, min_notional=Decimal(1)))


@pytest.mark.parametrize("costs", [NO_COSTS, Costs(half_spread_bps=1.4, slippage_bps=9.0)])
def test_every_cost(costs: Costs) -> None:
    assert compare(market_data("SOLUSDT"), breakout(costs=costs))


def test_a_tiny_wallet_leaves_to_the_runner_what_the_venue_would_not_take() -> None:
    chosen = settings(sizing={"min_margin": Decimal("0.1")}, ladder={"atr_mult_tp1": 0.3, "atr_mult_tp2": 0.6})
    trades = compare(market_data("SOLUSDT"), breakout(settings=chosen, wallet=Decimal(100), min_notional=Decimal(7)))
    targets = {e.leg for t in trades for e in t.exits} - {"STOP"}
    assert targets == {"TP1"}


@hypothesis_settings(max_examples=12)
@given(seed=st.integers(0, 10**9), kind=st.sampled_from(KINDS))
def test_drawn_settings_costs_and_parameters(seed: int, kind: type[BarStrategy]) -> None:
    compare(market_data("SOLUSDT", 3_000), draw_case(random.Random(seed), kind))


def test_an_entry_beyond_its_own_stop_gets_an_emergency_one() -> None:
    """The open gaps through the strategy's stop: the ladder cannot be built, the position is closed by a wide stop."""
    rows = [(98_000.0, 98_100.0, 97_900.0, 98_000.0), (98_000.0, 98_000.0, 96_000.0, 96_500.0)]
    (trade,) = compare(history(rows), once(stop=99_500.0), BTC)
    assert (trade.stop, trade.exits[0].price) == (97_000.0, 97_000.0)


def once(*, costs: Costs = NO_COSTS, ladder: dict[str, object] | None = None, **values: float) -> Case:
    return Case(
        kind=Once,
        timeframe="1m",
        values=defaults(Once.parameters) | values,
        settings=settings(ladder=ladder or {}),
        costs=costs,
    )


def test_a_stop_that_price_has_passed_is_refused_and_the_older_one_stays() -> None:
    """Break-even plus 60 bps lies above the trigger: the stop stays at 99,000 until a close above 100,600."""
    ladder: dict[str, object] = {"atr_mult_be": 0.3, "break_even_offset_bps": 60.0}
    falls = [
        (100_000.0, 100_400.0, 99_900.0, 100_200.0),
        (100_200.0, 100_300.0, 99_500.0, 99_600.0),
        (99_600.0, 99_700.0, 98_900.0, 99_000.0),
    ]
    (trade,) = compare(history(falls), once(ladder=ladder), BTC)
    assert [(e.leg, e.price) for e in trade.exits] == [("STOP", 99_000.0)]
    rises = [*falls[:1], (100_200.0, 100_800.0, 100_100.0, 100_700.0), (100_700.0, 100_700.0, 99_900.0, 100_000.0)]
    (trade,) = compare(history(rises), once(ladder=ladder), BTC)
    assert [(e.leg, e.price) for e in trade.exits] == [("STOP", 100_600.0)]


def test_an_entry_that_spread_and_slippage_put_beyond_its_stop_is_closed_at_once() -> None:
    """Bought at 100,300 with a stop at 100,100, the mid at 100,000: no venue takes that stop."""
    rows = [(100_000.0, 100_050.0, 99_900.0, 100_000.0), (100_000.0, 100_000.0, 99_000.0, 99_000.0)]
    costs = Costs(half_spread_bps=1.0, slippage_bps=29.0)
    (trade,) = compare(history(rows), once(costs=costs, ladder={"atr_mult_sl": 0.2}), BTC)
    assert [(e.leg, e.ts - trade.entry_ms) for e in trade.exits] == [("CLOSE", 20_000)]


def test_a_trailing_stop_that_was_put_off_moves_without_a_new_best_price() -> None:
    chosen = settings(execution={"trail_min_interval_s": 90.0})
    rows = [
        (100_000.0, 100_000.0, 100_000.0, 100_000.0),
        (100_000.0, 102_600.0, 100_000.0, 102_550.0),
        (102_550.0, 103_400.0, 102_500.0, 103_000.0),
        (103_000.0, 103_100.0, 102_900.0, 103_000.0),
        (103_000.0, 103_100.0, 102_900.0, 103_000.0),
        (103_000.0, 103_000.0, 101_900.0, 102_000.0),
    ]
    found = history(rows)
    (trade,) = compare(found, msgspec.structs.replace(once(), settings=chosen), BTC)
    assert (trade.exits[-1].leg, trade.exits[-1].price) == ("STOP", 102_600.0)
    stepped = Backtest(
        found, Once(), chosen, BTC, wallet=WALLET, costs=NO_COSTS, values=once().values, step_all=True
    ).run()
    assert stepped.trades == (trade,)


def test_a_universe_that_refuses_gives_no_trades_in_either() -> None:
    for section, values in {
        "universe": {"min_volume_24h": 1e15},
        "limits": {"enabled": False},
        "funding": {"pre_window_min": 240.0, "post_window_min": 240.0},
    }.items():
        assert compare(market_data("SOLUSDT"), breakout(settings=settings(**{section: values}))) == ()
    assert compare(market_data("SOLUSDT"), breakout(settings=settings(universe={"allowed_tiers": ("MAIN",)}))) == ()
    collar = settings(limits={"price_collar": 1e-5})
    assert compare(market_data("SOLUSDT"), breakout(settings=collar)) == ()


def market(costs: Costs = NO_COSTS) -> Market:
    return Market(market_data("SOLUSDT"), instrument_of("SOLUSDT"), settings(), costs)


def test_a_latency_is_refused() -> None:
    with pytest.raises(UsageError, match="knows no latency"):
        market(Costs(latency_ms=100))


def test_entries_may_be_narrowed_to_some_bars() -> None:
    found = market()
    whole = found.run(VolumeBreakout(), "5m", BREAKOUT, wallet=WALLET)
    half = np.arange(len(found.close_ms)) >= 4_000
    part = found.run(VolumeBreakout(), "5m", BREAKOUT, wallet=WALLET, allowed=half)
    assert 0 < len(part.pnl) < len(whole.pnl)
    assert part.trades[:, 0].min() > 4_000


@pytest.mark.parametrize("threads", [1, 2])
def test_a_sweep_gives_each_job_its_result_in_order(threads: int) -> None:
    found = market()
    jobs = [
        Job(strategy=MaCrossover(), timeframe="1m", values=defaults(MaCrossover.parameters) | {"length": float(length)})
        for length in range(5, 105, 5)
    ]
    results = list(sweep(found, iter(jobs), wallet=WALLET, threads=threads))
    assert len(results) == len(jobs)
    for job, result in zip(jobs, results, strict=True):
        alone = found.run(job.strategy, "1m", job.values, wallet=WALLET)
        np.testing.assert_array_equal(result.trades, alone.trades)


def test_a_sweep_draws_its_jobs_as_results_are_taken() -> None:
    found = market()
    drawn = 0

    def jobs() -> object:
        nonlocal drawn
        for _ in range(1_000):
            drawn += 1
            yield Job(strategy=VolumeBreakout(), timeframe="5m", values=BREAKOUT)

    results = sweep(found, jobs(), wallet=WALLET, threads=2)  # type: ignore[arg-type]
    next(results)
    assert drawn <= 8
    results.close()


def test_other_settings_are_other_parameters() -> None:
    found = market()
    before = found.parameters(WALLET)
    assert found.parameters(WALLET) is before
    found.settings = settings(ladder={"atr_mult_sl": 2.0})
    assert (found.parameters(WALLET) != before).sum() == 1
    assert found.parameters(Decimal(5))[0] == 5.0


def test_the_gate_looks_at_each_side_by_itself() -> None:
    """Funding of +0.05 % is received by shorts: the limit for longs does not close both sides."""
    found = market_data("SOLUSDT")
    rates = np.full(len(found.funding_ms), 0.0005)
    chosen = settings(funding={"max_short_funding": 0.0001, "max_abs_funding": 0.01})
    gate = Market(
        msgspec.structs.replace(found, funding_rate=rates), instrument_of("SOLUSDT"), chosen, NO_COSTS
    ).allowed
    later = found.bars.open_ms > found.funding_ms[0]
    assert gate[Side.LONG][later].any()
    assert not gate[Side.SHORT][later].any()


def holed(found: History, first: int, end: int) -> History:
    """The history without the bars from ``first`` on and before ``end``."""
    bars = found.bars
    columns = {name: np.delete(getattr(bars, name), slice(first, end)) for name in ("open_ms", *FIELDS)}
    return msgspec.structs.replace(found, bars=msgspec.structs.replace(bars, **columns))


@pytest.mark.parametrize("costs", [NO_COSTS, Costs()])
@pytest.mark.parametrize("side", [1, -1])
def test_funding_that_falls_due_in_a_gap_is_charged_alike(side: int, costs: Costs) -> None:
    """Two stamps in the gap and one at the minute after it; one before the entry and one beyond the end."""
    stamps = [(START + (WARM + minute) * 60_000, 0.0001 + abs(minute) / 1e6) for minute in (-9, 3, 5, 8, 900)]
    whole = history([(100_000.0, 100_050.0, 99_950.0, 100_030.0)] * 4 + [(99_900.0,) * 4] * 12, funding=stamps)
    gapped = holed(whole, WARM + 3, WARM + 8)
    values = defaults(Once.parameters) | {"side": float(side)}
    market = Market(gapped, BTC, settings(), costs)
    fast = market.result(market.run(Once(), "1m", values, wallet=WALLET), "once", WALLET)
    assert (
        fast.trades == market.result(market.run(Once(), "1m", values, wallet=WALLET, plain=True), "once", WALLET).trades
    )
    (trade,) = fast.trades
    assert trade.open_at_end
    paid = 0.000103 * 100_030 + 0.000105 * 100_030 + 0.000108 * 99_900
    assert trade.funding == pytest.approx(-side * trade.qty * paid, rel=1e-12)
    for step_all in (False, True):
        engine = Backtest(
            gapped, Once(), settings(), BTC, wallet=WALLET, costs=costs, values=values, step_all=step_all
        ).run()
        (slow,) = engine.trades
        assert (slow.entry_bar, slow.qty, slow.entry) == (trade.entry_bar, trade.qty, trade.entry)
        assert (slow.funding, slow.pnl) == pytest.approx((trade.funding, trade.pnl), abs=1e-9)
        assert engine.equity == pytest.approx(fast.equity, abs=1e-6)


def test_a_position_stops_at_fundings_and_at_the_first_close_of_a_day_also_across_a_gap() -> None:
    found = market_data("SOLUSDT")
    inside = Market(holed(found, 1_400, 1_500), instrument_of("SOLUSDT"), settings(), NO_COSTS)
    days = inside.close_ms // 86_400_000
    special = (np.diff(days, prepend=days[0]) > 0) | (inside.funding_at != 0)
    assert inside._marks.tolist() == [*np.flatnonzero(special), len(days)]
    assert inside._rates.tolist() == [*inside.funding_at[special], 0.0]
    assert special.sum() > 5
