"""One study: Optuna over the declared parameters of a strategy in one window, in batches told in their order.

A batch of a fixed size is asked for, evaluated anywhere, and told in its order, so the result does not depend on how
many workers there were. A trial is scored on the first half of its window's parts; when that is worse than the median
of the trials before it, the rest is not run (pruned). The study is kept in a journal file and may be gone on with.
"""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tui_trader.core.parameters import Parameter, resolve
from tui_trader.errors import UsageError, missing_extra
from tui_trader.research.overfit import sharpe
from tui_trader.research.tasks import Bench, Pool, Problem
from tui_trader.research.walkforward import NO_SCORE, Results, Span, joined, parts_of, score
from tui_trader.strategies.registry import find_strategy

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.storages import BaseStorage

BATCH = 8
STARTUP = 10
PARTS = 4
"""Parts of a training window; after the first half of them a trial may be pruned."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to search. ``trials`` counts for each study: one in sample, and one for each fold."""

    strategy: str
    timeframe: str
    trials: int = 100
    folds: int = 4
    anchored: bool = True
    seed: int = 7


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A point of the search: the strategy's parameters."""

    values: dict[str, float]


class TrialRow(msgspec.Struct, frozen=True, kw_only=True):
    """One trial of a study. ``daily`` are its returns of each UTC day of the window, empty when it was pruned;
    ``sharpe`` is theirs (not annualised), of a pruned trial that of the days that were run.
    """

    number: int
    candidate: Candidate
    score: float
    pruned: bool
    sharpe: float
    daily: tuple[float, ...] = ()


def evaluate(
    bench: Bench, name: str, timeframe: str, candidate: Candidate, spans: Sequence[Span], end_ms: int
) -> list[Results]:
    """A candidate's trades in each of ``spans``, without those that ended after ``end_ms``."""
    strategy = bench.strategy(name)
    return [bench.trades(strategy, timeframe, candidate.values, span).ending_by(end_ms) for span in spans]


class Search:
    """One study of an order over one window."""

    def __init__(self, problem: Problem, order: Order, storage: BaseStorage, study: str) -> None:
        self._order = order
        self._strategy = find_strategy(order.strategy, problem.settings.strategies)
        self.base = Candidate(
            values=resolve(self._strategy.parameters, problem.settings.strategies.parameters_of(order.strategy))
        )
        self._storage = storage
        self._name = study
        self._identity = identity(problem, order)

    def run(self, pool: Pool, window: Span, part: str, stop: Callable[[], bool], tick: Callable[[], None]) -> Study:
        """Trials up to the ordered number; ``tick`` is called after each. Raises ``UsageError`` when the study that is
        there was made of something else.
        """
        import optuna

        study = optuna.create_study(
            storage=self._storage,
            study_name=f"{self._name}/{part}",
            load_if_exists=True,
            direction="maximize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=0),
        )
        made_of = study.user_attrs.get("identity", self._identity)
        if made_of != self._identity:
            raise UsageError(
                f"The study {self._name} was made with other data, settings, bounds or rules; give another --resume "
                "name."
            )
        study.set_user_attr("identity", self._identity)
        running = optuna.trial.TrialState.RUNNING
        for left in study.get_trials(deepcopy=False, states=(running,)):
            study.tell(left.number, state=optuna.trial.TrialState.FAIL)
        parts = parts_of(window, PARTS)
        while (done := len(finished(study))) < self._order.trials and not stop():
            size = min(BATCH - done % BATCH, self._order.trials - done)
            study.sampler = optuna.samplers.TPESampler(
                seed=_seed(self._order.seed, part, done), n_startup_trials=STARTUP, constant_liar=True
            )
            self._batch(study, pool, window, parts, size)
            for _ in range(size):
                tick()
        return study

    def _batch(self, study: Study, pool: Pool, window: Span, parts: tuple[Span, ...], size: int) -> None:
        """Ask, evaluate in two stages, tell in order."""
        import optuna

        order = self._order
        trials = [study.ask() for _ in range(size)]
        candidates = [self.candidate(trial) for trial in trials]
        half = len(parts) // 2

        def run(which: Sequence[int], spans: Sequence[Span]) -> dict[int, list[Results]]:
            calls: list[tuple[object, ...]] = [
                (order.strategy, order.timeframe, candidates[i], tuple(spans), window.end_ms) for i in which
            ]
            return dict(zip(which, pool.all(evaluate, calls), strict=True))

        first = run(range(size), parts[:half])
        going_on = []
        for i, trial in enumerate(trials):
            trial.report(score(joined(first[i]).r), step=1)
            if not trial.should_prune():
                going_on.append(i)
        rest = run(going_on, parts[half:])
        for i, trial in enumerate(trials):
            if i not in rest:
                begun = Span(window.start_ms, parts[half - 1].end_ms)
                trial.set_user_attr("sharpe", sharpe(joined(first[i]).daily(begun)))
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                continue
            whole = joined([*first[i], *rest[i]])
            daily = whole.daily(window)
            trial.set_user_attr("daily", [round(x, 10) for x in daily.tolist()])
            trial.set_user_attr("sharpe", sharpe(daily))
            study.tell(trial, score(whole.r))

    def candidate(self, trial: Trial) -> Candidate:
        """The next point to try."""
        return Candidate(values={p.name: _suggest(trial, p) for p in self._strategy.parameters})

    def rows(self, study: Study) -> list[TrialRow]:
        """The finished trials in their order."""
        from optuna.trial import TrialState

        return [
            TrialRow(
                number=trial.number,
                candidate=self._of_params(trial.params),
                score=trial.value if trial.value is not None else NO_SCORE,
                pruned=trial.state is TrialState.PRUNED,
                sharpe=trial.user_attrs.get("sharpe", 0.0),
                daily=tuple(trial.user_attrs.get("daily", ())),
            )
            for trial in finished(study)
        ]

    def _of_params(self, params: Mapping[str, Any]) -> Candidate:
        return Candidate(values={p.name: _told(params[p.name]) for p in self._strategy.parameters})

    def best(self, study: Study) -> Candidate:
        """The trial with the highest score (the first of equals); the default when none has enough trades."""
        rows = [row for row in self.rows(study) if not row.pruned and row.score > NO_SCORE / 2]
        return max(rows, key=lambda row: row.score).candidate if rows else self.base


def identity(problem: Problem, order: Order) -> str:
    """Names what a study is made of, the rules in the strategy's own file too; the number of trials may grow."""
    same = msgspec.structs.replace(order, trials=0)
    strategy = find_strategy(order.strategy, problem.settings.strategies)
    rules = hashlib.sha256(Path(inspect.getfile(type(strategy))).read_bytes()).hexdigest()
    return hashlib.sha256(msgspec.json.encode([problem.digest, same, strategy.parameters, rules])).hexdigest()[:16]


def finished(study: Study) -> list[Any]:
    """The trials that count, pruned ones included."""
    from optuna.trial import TrialState

    found: list[Any] = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return found


def _seed(seed: int, part: str, done: int) -> int:
    """A seed for each batch, so that a study that was gone on with suggests what an uninterrupted one would have."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{part}/{done // BATCH}".encode()).digest()[:4], "big")


def _suggest(trial: Trial, parameter: Parameter) -> float:
    # The grid may not end at the upper bound, and Optuna wants it to.
    steps = math.floor((parameter.high - parameter.low) / parameter.step + 1e-9)
    high = parameter.low + steps * parameter.step
    name = parameter.name
    if parameter.whole:
        return float(trial.suggest_int(name, int(parameter.low), int(high), step=int(parameter.step)))
    return _told(trial.suggest_float(name, parameter.low, round(high, 10), step=parameter.step))


def _told(value: float) -> float:
    """A suggested number without the binary dust of low + n · step."""
    return round(float(value), 10)


def open_journal(path: Path) -> BaseStorage:
    """The journal file of studies. Raises ``UsageError`` when Optuna is missing or the file cannot be written."""
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
    except ImportError as error:
        raise missing_extra("optimize needs Optuna and numba", "research", error) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path))))
    except OSError as error:
        raise UsageError(f"The study {path} cannot be written ({error.strerror}); give another --data-dir.") from None
