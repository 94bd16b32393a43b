"""A search: the same on any number of workers and after an interruption; honest about what it found."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.core.build import settings
from tests.research.problems import bench, problem
from tui_trader.core.parameters import resolve
from tui_trader.errors import UsageError
from tui_trader.research.optimize import Hooks, Optimized, optimize, verdict
from tui_trader.research.overfit import sharpe
from tui_trader.research.study import NO_SCORE, Candidate, Order, Search, evaluate, open_journal
from tui_trader.research.tasks import open_pool
from tui_trader.research.walkforward import Span, Worth, joined, parts_of, score

ORDER = Order(strategy="volume_breakout", timeframe="1m", trials=24, folds=2)
QUIET = Hooks(lambda: None, lambda: False)


def search(path: Path, order: Order = ORDER, jobs: int = 1, hooks: Hooks = QUIET) -> Optimized:
    with open_pool(problem(), jobs=jobs) as pool:
        return optimize(pool, problem(), order, open_journal(path), "study", hooks=hooks, code="1.0")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Optimized:
    return search(tmp_path_factory.mktemp("study") / "a.journal")


def test_two_processes_find_the_same(found: Optimized, tmp_path: Path) -> None:
    assert search(tmp_path / "b.journal", jobs=2) == found


def test_an_interrupted_search_goes_on_to_the_same_end(found: Optimized, tmp_path: Path) -> None:
    ticks: list[int] = []
    stopping = Hooks(lambda: ticks.append(1), lambda: len(ticks) >= 16)
    partial = search(tmp_path / "c.journal", hooks=stopping)
    assert partial.partial
    assert (partial.trials, len(partial.folds), partial.engine) == (16, 0, None)
    assert partial.verdict.endswith("the search was cut short.")
    assert search(tmp_path / "c.journal") == found


def test_more_trials_may_follow_and_other_things_may_not(found: Optimized, tmp_path: Path) -> None:
    path = tmp_path / "d.journal"
    small = msgspec.structs.replace(ORDER, trials=8)
    assert search(path, small).trials == 8
    assert search(path) == found
    with pytest.raises(UsageError, match="made with other data, settings, bounds or rules"):
        search(path, msgspec.structs.replace(ORDER, seed=8))


def test_the_result_is_what_the_best_candidate_does(found: Optimized) -> None:
    assert found.best != found.default
    run = evaluate(bench(), "volume_breakout", "1m", found.best, parts_of(found.in_window, 4), found.in_window.end_ms)
    inside = joined(run)
    assert found.in_sample.score == pytest.approx(score(inside.r))
    assert found.in_sample.trades == len(inside) >= 8
    (outside,) = evaluate(bench(), "volume_breakout", "1m", found.best, [found.out_window], 2**62)
    assert found.out_of_sample.total_r == pytest.approx(float(outside.r.sum()))
    assert found.out_window.start_ms > found.in_window.end_ms
    assert found.engine is not None
    assert found.engine.same
    assert found.engine.trades > 0
    assert found.trials == 24
    assert found.folds_trials == 48
    assert 0 < found.pruned < 24, "some are pruned after the first half, not all"
    assert found.overfitting_probability is None or 0 <= found.overfitting_probability <= 1


def test_the_walk_stays_in_sample_and_steps_forward(found: Optimized) -> None:
    assert len(found.folds) == 2
    for fold in found.folds:
        assert fold.train.end_ms < fold.test.start_ms < fold.test.end_ms <= found.in_window.end_ms
        assert fold.in_sample.trades > 0
    assert found.walk_forward.trades == sum(f.out_of_sample.trades for f in found.folds)
    assert found.walk_forward_default.trades == sum(f.default.trades for f in found.folds)
    assert set(found.spread) == set(found.best.values)
    for name, (low, high) in found.spread.items():
        assert low <= high
        assert {f.candidate.values[name] for f in found.folds} >= {low, high}


def test_a_trial_is_scored_by_its_trades(tmp_path: Path) -> None:
    order = msgspec.structs.replace(ORDER, trials=16)
    with open_pool(problem(), jobs=1) as pool:
        one = Search(problem(), order, open_journal(tmp_path / "e.journal"), "x")
        window = problem().span
        study = one.run(pool, window, "in-sample", lambda: False, lambda: None)
        rows = one.rows(study)
    assert [row.number for row in rows] == list(range(16))
    for row in [r for r in rows if not r.pruned][:3]:
        got = joined(evaluate(bench(), "volume_breakout", "1m", row.candidate, parts_of(window, 4), window.end_ms))
        assert row.score == pytest.approx(score(got.r))
        assert row.daily == pytest.approx(got.daily(window).tolist(), abs=1e-9)
        assert row.sharpe == pytest.approx(sharpe(got.daily(window)))
        resolve(bench().strategy("volume_breakout").parameters, row.candidate.values)
    best = one.best(study)
    assert best in [r.candidate for r in rows]


def test_a_pruned_trial_counts_with_what_it_earned_until_then(tmp_path: Path) -> None:
    with open_pool(problem(), jobs=1) as pool:
        one = Search(problem(), ORDER, open_journal(tmp_path / "g.journal"), "study")
        window = problem().span
        rows = one.rows(one.run(pool, window, "in-sample", lambda: False, lambda: None))
    parts = parts_of(window, 4)[:2]
    pruned = [row for row in rows if row.pruned]
    for row in pruned:
        begun = joined(evaluate(bench(), "volume_breakout", "1m", row.candidate, parts, window.end_ms))
        assert row.sharpe == pytest.approx(sharpe(begun.daily(Span(window.start_ms, parts[-1].end_ms))))
    assert any(row.sharpe != 0 for row in pruned)


def test_without_enough_trades_the_default_stays(tmp_path: Path) -> None:
    nothing = msgspec.structs.replace(problem(2), settings=settings(universe={"min_volume_24h": 1e15}))
    order = msgspec.structs.replace(ORDER, trials=8, folds=1)
    with open_pool(nothing, jobs=1) as pool:
        got = optimize(pool, nothing, order, open_journal(tmp_path / "f.journal"), "x", hooks=QUIET)
    assert got.best == got.default
    assert got.verdict == "The search found no set with enough trades in sample: the default stays."
    assert (got.in_sample.trades, got.efficiency, got.deflated_sharpe) == (0, None, None)
    assert NO_SCORE < 0


def worth_of(trades: int, total_r: float) -> Worth:
    return Worth(trades=trades, mean_r=None, total_r=total_r, loss_rate=None, spread_r=None, score=None, total_return=0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"out_of_sample": worth_of(40, 3.0), "default_out_of_sample": worth_of(50, -2.0)}, "earns 3.0 R on 40 trades"),
        ({"out_of_sample": worth_of(5, -3.0)}, "loses 3.0 R on 5 trades"),
        ({"out_of_sample": worth_of(5, -3.0), "overfitting_probability": None}, "too few to tell skill from luck"),
        ({"out_of_sample": worth_of(40, 9.0), "overfitting_probability": 0.8}, "of 80% the search picks luck"),
        ({"out_of_sample": worth_of(0, 0.0)}, "made no trade out of sample"),
        ({"best": None}, "the default stays"),
    ],
)
def test_the_verdict_is_honest(found: Optimized, changes: dict[str, object], words: str) -> None:
    if "best" in changes:
        changes = {"best": Candidate(values=found.default.values)}
    assert words in verdict(msgspec.structs.replace(found, **changes))
