"""The grid of a symbol: what is searched, what is deployed and why; the same on any number of workers."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.research.problems import bench, problem
from tui_trader.core.parameters import Parameter, defaults
from tui_trader.core.regime import Regime
from tui_trader.core.reliability import promise_of
from tui_trader.core.types import HOUR_MS
from tui_trader.research.tasks import open_pool
from tui_trader.research.train import (
    Grid,
    Tried,
    judge,
    parameter_sets,
    run_sets,
    search_name,
    to_set,
    too_little,
    train,
)
from tui_trader.research.walkforward import FIRST_TRAIN, LEAST_TRADES, Results, make_folds, purge_between, score
from tui_trader.strategies.registry import SHIPPED

SMALL = Grid(timeframes=("1m", "5m", "4h"), sets=10, folds=2, min_trades=5)


def run(grid: Grid, jobs: int, known: set[tuple[str, str]] | None = None) -> list[Tried]:
    found: list[Tried] = []
    with open_pool(problem(8), jobs=jobs) as pool:
        assert train(pool, problem(8), grid, known or set(), found.extend, lambda: False)
    return sorted(found, key=lambda t: (t.strategy, t.timeframe, t.regime))


@pytest.fixture(scope="module")
def tried() -> list[Tried]:
    return run(SMALL, 1)


def test_the_grid_of_the_specification_has_54_combinations() -> None:
    assert Grid().combinations == 54
    assert (Grid().strategies, Grid().sets) == (("htf_sweep", "volume_breakout", "divergence_capitulation"), 50)


def test_every_combination_has_an_outcome_with_its_reason(tried: list[Tried]) -> None:
    assert len(tried) == SMALL.combinations == 27
    assert len({(t.strategy, t.timeframe, t.regime) for t in tried}) == 27
    assert all(t.reason for t in tried)
    short = [t for t in tried if t.timeframe == "4h"]
    assert {t.status for t in short} == {"too_little_history"}
    assert short[0].reason.startswith("48 bars of 4h, 450 are needed (75 days)")
    assert {t.status for t in tried if t.timeframe == "1m"} <= {"deployed", "kept"}


def test_two_processes_find_the_same(tried: list[Tried]) -> None:
    assert run(SMALL, 2) == tried


def test_what_is_known_is_not_tried_again(tried: list[Tried]) -> None:
    pairs = {(t.strategy, t.timeframe) for t in tried}
    left = ("volume_breakout", "5m")
    again = run(SMALL, 1, pairs - {left})
    assert again == [t for t in tried if (t.strategy, t.timeframe) == left]


def test_stopping_keeps_what_is_done() -> None:
    found: list[Tried] = []
    with open_pool(problem(8), jobs=1) as pool:
        assert not train(pool, problem(8), SMALL, set(), found.extend, lambda: len(found) >= 12)
    assert len(found) == 12, "nine that lack history, and the first three"


def test_the_figures_are_those_of_the_walk_forward_test() -> None:
    """One combination worked out anew from single runs: the picks, the tests, the default beside them."""
    grid = msgspec.structs.replace(SMALL, regimes=(Regime.SIDEWAYS,))
    sets_run = run_sets(bench(8), "volume_breakout", "1m", grid, 0, 10)
    (got,) = judge(problem(8), "volume_breakout", "1m", grid, sets_run)
    strategy = bench(8).strategy("volume_breakout")
    base = defaults(strategy.parameters)
    span = problem(8).span
    length = span.end_ms - span.start_ms
    purge = purge_between(strategy, "1m", base, int(length * (1 - FIRST_TRAIN) / 2))
    folds = make_folds(span, 2, anchored=True, purge_ms=purge)
    sets = parameter_sets(strategy.parameters, base, 10, 7)

    def one(values: dict[str, float], window: object) -> Results:
        return bench(8).trades(strategy, "1m", values, window, regime=Regime.SIDEWAYS)  # type: ignore[arg-type]

    tests, plain = [], []
    for fold in folds:
        trained = [one(values, fold.train).ending_by(fold.train.end_ms) for values in sets]
        assert max(len(found) for found in trained) >= LEAST_TRADES
        best = sets[int(np.argmax([score(found.r) for found in trained]))]
        tests.append(one(best, fold.test).r)
        plain.append(one(base, fold.test).r)
    outside = np.concatenate(tests)
    assert got.oos_r == tuple(np.round(outside, 4).tolist())
    assert got.metrics["oos_trades"] == len(outside) > 5
    assert got.metrics["oos_mean_r"] == pytest.approx(outside.mean())
    assert got.metrics["default_oos_total_r"] == pytest.approx(np.concatenate(plain).sum())
    assert got.metrics["purge_hours"] == purge / HOUR_MS
    assert got.values == max(sets, key=lambda v: score(one(v, span).r))
    promise = promise_of(got.metrics)
    assert promise is not None
    assert promise.mean_r_low < promise.mean_r


def test_deployed_only_when_better_on_enough_trades(tried: list[Tried]) -> None:
    searched = [t for t in tried if t.status != "too_little_history"]
    assert searched
    for one in searched:
        m = one.metrics
        better = m.get("oos_mean_r", 0.0) > m["default_oos_mean_r"] and m["oos_total_r"] > m["default_oos_total_r"]
        default = one.values == defaults(bench(8).strategy(one.strategy).parameters)
        assert (one.status == "deployed") == (better and m["oos_trades"] >= 5 and not default), one
    statuses = {t.status for t in searched}
    assert statuses == {"deployed", "kept"}, "the sample holds both, or this test shows nothing"
    strict = run(msgspec.structs.replace(SMALL, timeframes=("1m",), min_trades=10_000), 1)
    assert {t.status for t in strict} == {"kept"}
    assert any("10000 are needed" in t.reason for t in strict)


def test_rolling_windows_give_another_result(tried: list[Tried]) -> None:
    rolling = run(msgspec.structs.replace(SMALL, timeframes=("1m",), anchored=False), 1)
    anchored = [t for t in tried if t.timeframe == "1m"]
    assert [t.oos_r for t in rolling] != [t.oos_r for t in anchored]
    assert rolling[0].metrics["folds"] == 2.0


def test_a_set_to_store_says_what_it_rests_on(tried: list[Tried]) -> None:
    name = search_name(problem(8), SMALL, "1.0")
    one = to_set(tried[0], problem(8), exchange="binance", trained_ms=5, code="1.0", search=name)
    assert (one.symbol, one.data_hash, one.code, one.search) == ("SOLUSDT", problem(8).history.digest, "1.0", name)
    assert one.window == (problem(8).span.start_ms, problem(8).span.end_ms)
    assert name != search_name(problem(8), SMALL, "1.1")
    assert name != search_name(problem(8), msgspec.structs.replace(SMALL, sets=7), "1.0")
    assert name != search_name(problem(3), SMALL, "1.0")


def test_a_short_history_says_how_many_days_it_needs() -> None:
    strategy = bench(8).strategy("htf_sweep")
    values = defaults(strategy.parameters)
    assert too_little(problem(8), strategy, "1m", values) == ""
    words = too_little(problem(8), strategy, "1d", values)
    assert words == "8 bars of 1d, 345 are needed (345 days): 95 to warm up and 250 to judge"


@pytest.mark.parametrize("kind", SHIPPED, ids=lambda k: k.name)
def test_sets_lie_on_the_grid_and_the_default_is_first(kind: type) -> None:
    parameters: tuple[Parameter, ...] = kind.parameters  # type: ignore[attr-defined]
    base = defaults(parameters)
    sets = parameter_sets(parameters, base, 50, 7)
    assert sets[0] == base
    assert len({tuple(s.values()) for s in sets}) == len(sets) == 50
    assert sets == parameter_sets(parameters, base, 50, 7)
    assert sets != parameter_sets(parameters, base, 50, 8)
    for parameter in parameters:
        values = [s[parameter.name] for s in sets[1:]]
        steps = [(v - parameter.low) / parameter.step for v in values]
        assert all(abs(s - round(s)) < 1e-6 for s in steps)
        third = (parameter.high - parameter.low) / 3
        assert min(values) < parameter.low + third
        assert max(values) > parameter.high - third, "spread over the bounds"


@given(st.integers(1, 3), st.integers(2, 30))
def test_a_small_grid_gives_what_it_has(whole: int, count: int) -> None:
    parameters = (Parameter(name="n", default=1, low=1, high=whole, step=1, whole=True, text=""),)
    sets = parameter_sets(parameters, {"n": 1.0}, count, 3)
    assert len(sets) == min(whole, count)
    assert len({s["n"] for s in sets}) == len(sets)
