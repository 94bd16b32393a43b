"""The whole grid of a symbol: strategies × regimes × timeframes, each searched, tested walk-forward, deployed or not.

For each strategy and timeframe the same parameter sets are tried (a Latin hypercube over the declared bounds, the
default first). Entries count only at bars of the regime, as known at that bar's close. In each fold the set with the
best score in training (``walkforward.score``) is traded in the test after it; all tests together are the result out of
sample, and beside it stands the default over the same tests. The set to deploy is then chosen in the same way from the
most recent training window, which reaches up to the newest bar (Pardo 2008, "The Evaluation and Optimization of Trading
Strategies", walk-forward analysis).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Sequence

import msgspec
import numpy as np

from tui_trader.core.bars import resample
from tui_trader.core.candles import TIMEFRAMES
from tui_trader.core.parameters import Parameter, resolve
from tui_trader.core.regime import EMA_PERIOD, Regime
from tui_trader.core.signals import Strategy
from tui_trader.core.trained import TrainedSet
from tui_trader.core.types import DAY_MS
from tui_trader.research.overfit import deflated_sharpe, overfitting_probability, sharpe
from tui_trader.research.tasks import Bench, Pool, Problem
from tui_trader.research.walkforward import (
    FIRST_TRAIN,
    LEAST_TRADES,
    Fold,
    Results,
    Span,
    efficiency,
    joined,
    make_folds,
    promise_metrics,
    purge_between,
    score,
)
from tui_trader.strategies.registry import find_strategy

STRATEGIES = ("htf_sweep", "volume_breakout", "divergence_capitulation")
LEAST_BARS = 250
"""Bars after the warm-up under which a timeframe is not searched."""
KEPT_RESULTS = 500
"""Results out of sample that are stored with a set, the last ones."""
CHUNK = 5
"""Sets in one piece of work: small enough that all workers end together, and that Ctrl-C is soon obeyed."""

Values = dict[str, float]


class Grid(msgspec.Struct, frozen=True, kw_only=True):
    """What is searched, and how widely."""

    strategies: tuple[str, ...] = STRATEGIES
    timeframes: tuple[str, ...] = tuple(TIMEFRAMES)
    regimes: tuple[Regime, ...] = tuple(Regime)
    sets: int = 50
    folds: int = 4
    anchored: bool = True
    seed: int = 7
    min_trades: int = 20

    @property
    def combinations(self) -> int:
        """How many strategies × regimes × timeframes."""
        return len(self.strategies) * len(self.regimes) * len(self.timeframes)


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """One combination's outcome. ``status``: deployed, kept (searched, not deployed) or too_little_history."""

    strategy: str
    regime: Regime
    timeframe: str
    status: str
    reason: str
    values: Values
    metrics: dict[str, float] = {}
    oos_r: tuple[float, ...] = ()


def search_name(problem: Problem, grid: Grid, code: str) -> str:
    """Names a search: the same history, settings, code and grid give the same name, and the same result."""
    whole = msgspec.json.encode(
        [problem.digest, code, grid.sets, grid.folds, grid.anchored, grid.seed, grid.min_trades]
    )
    return hashlib.sha256(whole).hexdigest()[:16]


def parameter_sets(parameters: Sequence[Parameter], base: Values, count: int, seed: int) -> tuple[Values, ...]:
    """``base`` and up to ``count`` − 1 other sets on the parameters' grids, by a Latin hypercube: over each parameter
    the sets are spread evenly (McKay, Beckman & Conover 1979). Fewer where the grid has no more.
    """
    rng = np.random.default_rng(seed)
    found = {tuple(base.values()): dict(base)}
    for _ in range(20):
        columns = [_column(parameter, count, rng) for parameter in parameters]
        for row in zip(*columns, strict=True):
            values = resolve(parameters, dict(zip((p.name for p in parameters), row, strict=True)))
            found.setdefault(tuple(values.values()), values)
            if len(found) >= count:
                return tuple(found.values())
    return tuple(found.values())


def _column(parameter: Parameter, count: int, rng: np.random.Generator) -> list[float]:
    steps = int(np.floor((parameter.high - parameter.low) / parameter.step + 1e-9)) + 1
    slots = (rng.permutation(count) + rng.random(count)) / count
    return [round(parameter.low + parameter.step * int(slot * steps), 10) for slot in slots]


# --- one strategy on one timeframe ---


class _Set(msgspec.Struct, frozen=True):
    """A set's results in one regime: over each fold's training and test, and over all of the last training window."""

    values: Values
    trained: tuple[Results, ...]
    tested: tuple[Results, ...]
    last: Results


class _Layout(msgspec.Struct, frozen=True):
    """The windows of a strategy on a timeframe, and the sets that are tried in them."""

    sets: tuple[Values, ...]
    folds: tuple[Fold, ...]
    last: Span
    purge_ms: int


def _layout(problem: Problem, strategy: Strategy, timeframe: str, grid: Grid) -> _Layout:
    base = resolve(strategy.parameters, problem.settings.strategies.parameters_of(strategy.name))
    span = problem.span
    test_ms = int((span.end_ms - span.start_ms) * (1 - FIRST_TRAIN) / grid.folds)
    purge = purge_between(strategy, timeframe, base, test_ms)
    folds = make_folds(span, grid.folds, anchored=grid.anchored, purge_ms=purge)
    rolling = Span(span.end_ms - (folds[0].train.end_ms - folds[0].train.start_ms), span.end_ms)
    sets = parameter_sets(strategy.parameters, base, grid.sets, grid.seed)
    return _Layout(sets, folds, span if grid.anchored else rolling, purge)


def run_sets(bench: Bench, name: str, timeframe: str, grid: Grid, first: int, end: int) -> list[list[_Set]]:
    """In a worker: the sets number ``first`` to ``end`` (exclusive), each in every regime."""
    strategy = bench.strategy(name)
    layout = _layout(bench.problem, strategy, timeframe, grid)
    return [
        [_run_set(bench, strategy, timeframe, values, regime, layout) for regime in grid.regimes]
        for values in layout.sets[first:end]
    ]


def _run_set(bench: Bench, strategy: Strategy, timeframe: str, values: Values, regime: Regime, layout: _Layout) -> _Set:
    def run(span: Span) -> Results:
        return bench.trades(strategy, timeframe, values, span, regime=regime)

    return _Set(
        values,
        tuple(run(fold.train).ending_by(fold.train.end_ms) for fold in layout.folds),
        tuple(run(fold.test) for fold in layout.folds),
        run(layout.last),
    )


def judge(problem: Problem, name: str, timeframe: str, grid: Grid, sets: Sequence[Sequence[_Set]]) -> tuple[Tried, ...]:
    """All regimes of a strategy on a timeframe, from what ``run_sets`` gave for every set."""
    strategy = find_strategy(name, problem.settings.strategies)
    layout = _layout(problem, strategy, timeframe, grid)
    return tuple(
        _judge(strategy, timeframe, regime, [one[n] for one in sets], layout, grid)
        for n, regime in enumerate(grid.regimes)
    )


def too_little(problem: Problem, strategy: Strategy, timeframe: str, values: Values) -> str:
    """Why a timeframe cannot be searched, or ""."""
    own, above = strategy.history(values)
    higher = strategy.higher(timeframe)
    length = TIMEFRAMES[timeframe]
    warm = max(own, EMA_PERIOD, -(-above * TIMEFRAMES[higher] // length) if higher is not None else 0)
    have, need = len(resample(problem.history.bars, timeframe)), warm + LEAST_BARS
    if have >= need:
        return ""
    return (
        f"{have} bars of {timeframe}, {need} are needed ({need * length / DAY_MS:.0f} days): {warm} to warm up and "
        f"{LEAST_BARS} to judge"
    )


def _best(results: Sequence[Results]) -> int:
    """The number of the best set in training; the first one (the default) where none has enough trades."""
    scores = [score(found.r) for found in results]
    if max(len(found) for found in results) < LEAST_TRADES:
        return 0
    return int(np.argmax(scores))


def _judge(
    strategy: Strategy, timeframe: str, regime: Regime, sets: Sequence[_Set], layout: _Layout, grid: Grid
) -> Tried:
    folds = layout.folds
    picks = [_best([one.trained[n] for one in sets]) for n in range(len(folds))]
    chosen = _best([one.last for one in sets])
    tested = joined([sets[pick].tested[n] for n, pick in enumerate(picks)])
    plain = joined([sets[0].tested[n] for n in range(len(folds))])
    trained = joined([sets[pick].trained[n] for n, pick in enumerate(picks)])
    metrics = promise_metrics(tested, grid.seed)
    metrics |= {
        "oos_trades": float(len(tested)),
        "oos_total_r": float(tested.r.sum()),
        "default_oos_trades": float(len(plain)),
        "default_oos_total_r": float(plain.r.sum()),
        "default_oos_mean_r": _mean(plain),
        "in_sample_trades": float(len(sets[chosen].last)),
        "in_sample_mean_r": _mean(sets[chosen].last),
        "folds": float(len(folds)),
        "folds_better": float(sum(sets[p].tested[n].r.sum() > sets[0].tested[n].r.sum() for n, p in enumerate(picks))),
        "sets": float(len(sets)),
        "purge_hours": layout.purge_ms / 3_600_000,
    }
    kept = efficiency(trained, tested)
    if kept is not None:
        metrics["efficiency"] = kept
    metrics |= _luck(sets, chosen, layout.last)
    default = chosen == 0
    reason = _refusal(tested, plain, grid.min_trades, default=default)
    return Tried(
        strategy=strategy.name,
        regime=regime,
        timeframe=timeframe,
        status="kept" if reason else "deployed",
        reason=reason or _praise(tested, plain),
        values=sets[chosen].values,
        metrics=metrics,
        oos_r=tuple(np.round(tested.r, 4).tolist()),
    )


def _mean(results: Results) -> float:
    return float(results.r.mean()) if len(results) else 0.0


def _luck(sets: Sequence[_Set], chosen: int, last: Span) -> dict[str, float]:
    """Deflated Sharpe ratio of the chosen set and the probability of overfitting, where they are defined."""
    days = np.stack([one.last.daily(last) for one in sets], axis=1)
    found = {
        "deflated_sharpe": deflated_sharpe(days[:, chosen], np.array([sharpe(column) for column in days.T])),
        "overfitting_probability": overfitting_probability(days) if days.any() else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _refusal(tested: Results, plain: Results, least: int, *, default: bool) -> str:
    """Why the set is not deployed, or ""."""
    if default:
        return "no other set was better than the default in training on enough trades"
    if len(tested) < least:
        return f"{len(tested)} trades out of sample, {least} are needed ({_beside(tested, plain)})"
    worse = _mean(plain) - _mean(tested)
    if worse >= 0:
        return f"out of sample worse than the default by {worse:.2f} R a trade ({_beside(tested, plain)})"
    lost = float(plain.r.sum() - tested.r.sum())
    if lost >= 0:
        return f"out of sample worse than the default by {lost:.1f} R in all ({_beside(tested, plain)})"
    return ""


def _beside(tested: Results, plain: Results) -> str:
    def words(results: Results) -> str:
        return f"{_mean(results):+.2f} R a trade on {len(results)}" if len(results) else "no trades"

    return f"{words(tested)}, the default {words(plain)}"


def _praise(tested: Results, plain: Results) -> str:
    still = "; it still loses" if _mean(tested) <= 0 else ""
    return f"out of sample {_words(tested)}, the default {_words(plain)}{still}"


def _words(results: Results) -> str:
    if not len(results):
        return "no trades"
    return f"{_mean(results):+.2f} R a trade on {len(results)} trades ({float(results.r.sum()):+.1f} R)"


# --- the whole grid ---


def train(
    pool: Pool,
    problem: Problem,
    grid: Grid,
    known: Container[tuple[str, str]],
    done: Callable[[Sequence[Tried]], None],
    stop: Callable[[], bool],
    tick: Callable[[int, int], object] = lambda done, total: None,
) -> bool:
    """Try what is not ``known`` (strategy, timeframe) yet; ``done`` hears all regimes of one as they come, ``tick`` the
    pieces of work done and their total. True when all was tried.
    """
    wanted = [
        (strategy, timeframe)
        for timeframe in sorted(grid.timeframes, key=lambda name: TIMEFRAMES[name])
        for strategy in grid.strategies
        if (strategy, timeframe) not in known
    ]
    searched = []
    for name, timeframe in wanted:
        lacking = _lacking(problem, name, timeframe, grid)
        if lacking:
            done(lacking)
        else:
            searched.append((name, timeframe))
    cuts = list(range(0, grid.sets, CHUNK))
    calls = [(name, timeframe, grid, cut, min(cut + CHUNK, grid.sets)) for name, timeframe in searched for cut in cuts]
    parts: dict[tuple[str, str], dict[int, list[list[_Set]]]] = {one: {} for one in searched}
    for count, (number, found) in enumerate(pool.each(run_sets, calls, stop), 1):
        name, timeframe, _, cut, _ = calls[number]
        mine = parts[name, timeframe]
        mine[cut] = found
        if len(mine) == len(cuts):
            done(judge(problem, name, timeframe, grid, [one for cut in cuts for one in mine[cut]]))
            del parts[name, timeframe]
        tick(count, len(calls))
    return not parts


def _lacking(problem: Problem, name: str, timeframe: str, grid: Grid) -> tuple[Tried, ...]:
    strategy = find_strategy(name, problem.settings.strategies)
    base = resolve(strategy.parameters, problem.settings.strategies.parameters_of(name))
    why = too_little(problem, strategy, timeframe, base)
    return tuple(
        Tried(strategy=name, regime=r, timeframe=timeframe, status="too_little_history", reason=why, values=base)
        for r in grid.regimes
        if why
    )


def to_set(tried: Tried, problem: Problem, *, exchange: str, trained_ms: int, code: str, search: str) -> TrainedSet:
    """An outcome as it is stored."""
    span = problem.span
    return TrainedSet(
        symbol=problem.history.symbol,
        exchange=exchange,
        strategy=tried.strategy,
        regime=tried.regime,
        timeframe=tried.timeframe,
        values=tried.values,
        trained_ms=trained_ms,
        deployed=tried.status == "deployed",
        metrics=tried.metrics,
        data_hash=problem.history.digest,
        window=(span.start_ms, span.end_ms),
        reason=tried.reason,
        code=code,
        search=search,
        oos_r=tried.oos_r[-KEPT_RESULTS:],
    )
