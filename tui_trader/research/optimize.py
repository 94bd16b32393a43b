"""Search of one strategy's parameters: in sample by Optuna, then out of sample, walk-forward, and by the engine.

The last quarter of the history is held out and looked at once, by what was chosen before. Over the rest the best trial
is chosen, and a walk-forward test shows what the same search would have chosen and earned step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tui_trader.research.overfit import deflated_sharpe, expected_best_sharpe, overfitting_probability, sharpe
from tui_trader.research.study import PARTS, Candidate, Order, Search, evaluate, finished
from tui_trader.research.tasks import Pool, Problem
from tui_trader.research.verify import EngineCheck, engine_check
from tui_trader.research.walkforward import (
    Fold,
    Results,
    Span,
    Worth,
    efficiency,
    joined,
    make_folds,
    parts_of,
    purge_between,
    split,
    worth,
)
from tui_trader.strategies.registry import find_strategy

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

HOLDOUT = 0.25


class FoldRow(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the walk-forward test: searched in ``train``, traded in ``test``."""

    train: Span
    test: Span
    candidate: Candidate
    in_sample: Worth
    out_of_sample: Worth
    default: Worth


class Optimized(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that came of a search; None where it is not defined."""

    strategy: str
    symbol: str
    timeframe: str
    study: str
    trials: int
    pruned: int
    folds_trials: int
    partial: bool
    in_window: Span
    out_window: Span
    purge_hours: float
    default: Candidate
    best: Candidate
    in_sample: Worth
    out_of_sample: Worth
    default_in_sample: Worth
    default_out_of_sample: Worth
    efficiency: float | None
    """Of ``best``; like that of the walk-forward test None where it means nothing, see ``walkforward.efficiency``."""
    folds: tuple[FoldRow, ...]
    walk_forward: Worth
    walk_forward_default: Worth
    walk_forward_efficiency: float | None
    folds_better: int
    spread: dict[str, tuple[float, float]]
    """Least and greatest value of each searched number over the folds' choices: how stable the search is."""
    sharpe_daily: float | None
    expected_best_sharpe: float
    deflated_sharpe: float | None
    overfitting_probability: float | None
    engine: EngineCheck | None
    verdict: str
    data_hash: str
    source: str
    code: str


# --- the whole search ---


class Hooks(msgspec.Struct, frozen=True):
    """What a caller hears of each finished trial, and how it says stop."""

    tick: Callable[[], None]
    stop: Callable[[], bool]


def optimize(
    pool: Pool,
    problem: Problem,
    order: Order,
    storage: BaseStorage,
    study: str,
    *,
    hooks: Hooks,
    code: str = "",
) -> Optimized:
    """Search in sample, look out of sample, walk forward, and have the engine run the best once more."""
    search = Search(problem, order, storage, study)
    windows, folds, purge = _windows(problem, order, search.base)
    found = search.run(pool, windows.train, "in-sample", hooks.stop, hooks.tick)
    rows = search.rows(found)
    best = search.best(found)
    ours = _Asked(pool, order, search.base)
    inside, plain_inside = ours.trained(best, windows.train), ours.trained(search.base, windows.train)
    outside, plain_outside = ours.tested(best, windows.test), ours.tested(search.base, windows.test)
    steps = list(_walk(search, ours, pool, folds, hooks))
    searched = [len(finished(step.study)) for step in steps]
    forward, forward_plain = joined([s.outside for s in steps]), joined([s.plain for s in steps])
    forward_inside = joined([s.inside for s in steps])
    days = np.array([row.daily for row in rows if row.daily], dtype=np.float64).reshape(-1, _days(windows.train)).T
    ratios = np.array([row.sharpe for row in rows])
    chosen = inside.daily(windows.train)
    result = Optimized(
        strategy=order.strategy,
        symbol=problem.history.symbol,
        timeframe=order.timeframe,
        study=study,
        trials=len(rows),
        pruned=sum(row.pruned for row in rows),
        folds_trials=sum(searched),
        partial=len(rows) < order.trials or len(steps) < len(folds) or any(n < order.trials for n in searched),
        in_window=windows.train,
        out_window=windows.test,
        purge_hours=purge / 3_600_000,
        default=search.base,
        best=best,
        in_sample=worth(inside),
        out_of_sample=worth(outside),
        default_in_sample=worth(plain_inside),
        default_out_of_sample=worth(plain_outside),
        efficiency=efficiency(inside, outside),
        folds=tuple(step.row for step in steps),
        walk_forward=worth(forward),
        walk_forward_default=worth(forward_plain),
        walk_forward_efficiency=efficiency(forward_inside, forward),
        folds_better=sum(float(s.outside.r.sum()) > float(s.plain.r.sum()) for s in steps),
        spread=_spread([step.row.candidate for step in steps]),
        sharpe_daily=sharpe(chosen) if len(inside) else None,
        expected_best_sharpe=expected_best_sharpe(ratios),
        deflated_sharpe=deflated_sharpe(chosen, ratios),
        overfitting_probability=overfitting_probability(days) if days.any() else None,
        engine=_by_engine(problem, order, best, hooks),
        verdict="",
        data_hash=problem.history.digest,
        source=problem.history.source,
        code=code,
    )
    return msgspec.structs.replace(result, verdict=verdict(result))


def _by_engine(problem: Problem, order: Order, best: Candidate, hooks: Hooks) -> EngineCheck | None:
    if hooks.stop():
        return None
    return engine_check(problem, order.strategy, order.timeframe, best.values)


class _Step(msgspec.Struct, frozen=True):
    row: FoldRow
    study: Any
    inside: Results
    outside: Results
    plain: Results


class _Asked:
    """Runs of single candidates over one window."""

    def __init__(self, pool: Pool, order: Order, base: Candidate) -> None:
        self._pool = pool
        self._order = order
        self.base = base

    def trained(self, candidate: Candidate, window: Span) -> Results:
        """As a trial is scored: by parts, without trades that ended after the window."""
        return joined(self._run(candidate, parts_of(window, PARTS), window.end_ms))

    def tested(self, candidate: Candidate, window: Span) -> Results:
        """As it would have traded: the window as a whole, each trade to its end."""
        return self._run(candidate, (window,), 2**62)[0]

    def _run(self, candidate: Candidate, spans: tuple[Span, ...], end_ms: int) -> list[Results]:
        calls = [(self._order.strategy, self._order.timeframe, candidate, spans, end_ms)]
        found: list[Results] = self._pool.all(evaluate, calls)[0]
        return found


def _windows(problem: Problem, order: Order, base: Candidate) -> tuple[Fold, tuple[Fold, ...], int]:
    strategy = find_strategy(order.strategy, problem.settings.strategies)
    span = problem.span
    length = span.end_ms - span.start_ms
    purge = purge_between(
        strategy, order.timeframe, base.values, min(int(length * HOLDOUT), int(length * 0.6) // order.folds)
    )
    windows = split(span, HOLDOUT, purge)
    # The walk goes only over what was in sample: the holdout is looked at once, by what was chosen before.
    return windows, make_folds(windows.train, order.folds, anchored=order.anchored, purge_ms=purge), purge


def _walk(search: Search, ours: _Asked, pool: Pool, folds: Sequence[Fold], hooks: Hooks) -> Iterator[_Step]:
    for number, fold in enumerate(folds, 1):
        if hooks.stop():
            return
        study = search.run(pool, fold.train, f"fold-{number}", hooks.stop, hooks.tick)
        pick = search.best(study)
        inside, outside = ours.trained(pick, fold.train), ours.tested(pick, fold.test)
        plain = ours.tested(search.base, fold.test)
        row = FoldRow(
            train=fold.train,
            test=fold.test,
            candidate=pick,
            in_sample=worth(inside),
            out_of_sample=worth(outside),
            default=worth(plain),
        )
        yield _Step(row, study, inside, outside, plain)


def _days(window: Span) -> int:
    return len(joined([]).daily(window))


def _spread(picks: Sequence[Candidate]) -> dict[str, tuple[float, float]]:
    found: dict[str, list[float]] = {}
    for pick in picks:
        for name, value in pick.values.items():
            found.setdefault(name, []).append(value)
    return {name: (min(values), max(values)) for name, values in found.items()}


def verdict(found: Optimized) -> str:
    """One honest sentence."""
    out, plain = found.out_of_sample, found.default_out_of_sample
    if found.best == found.default:
        return "The search found no set with enough trades in sample: the default stays."
    if not out.trades:
        return "The best set in sample made no trade out of sample: nothing can be said about it."
    word = "earns" if out.total_r > 0 else "loses"
    text = f"Out of sample the best set {word} {abs(out.total_r):.1f} R on {out.trades} trades"
    text += f", the default {plain.total_r:+.1f} R on {plain.trades}"
    if found.overfitting_probability is not None and found.overfitting_probability > 0.5:
        text += f"; with a probability of overfitting of {found.overfitting_probability:.0%} the search picks luck"
    elif out.trades < 30:
        text += "; that is too few to tell skill from luck"
    if found.partial:
        text += "; the search was cut short"
    return f"{text}."
