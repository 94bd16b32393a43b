"""Work that may run anywhere: in this process, in others on this machine, or on a Dask cluster; the same results.

A ``Problem`` is sent once to each worker; what is asked of it are plain functions of a ``Bench``.
"""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tui_trader import __version__
from tui_trader.core.bars import window_of
from tui_trader.core.instruments import Instrument
from tui_trader.core.parameters import Values
from tui_trader.core.regime import CODES, Regime, regimes
from tui_trader.core.settings import Settings
from tui_trader.core.signals import Scan, Strategy
from tui_trader.errors import TuiTraderError, UsageError, missing_extra
from tui_trader.research import kernel as k
from tui_trader.research.book import scan_of
from tui_trader.research.history import History
from tui_trader.research.search import Market
from tui_trader.research.walkforward import Results, Span
from tui_trader.strategies.registry import find_strategy
from tui_trader.venues.paper import Costs
from tui_trader.workers import begin, deaf_to_ctrl_c

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Flags = NDArray[np.bool_]

_ADDRESS = re.compile(r"([a-z]+://)?[^\s/]+:[0-9]{1,5}")
POLL_S = 0.2
CONNECT_S = 10.0
TRIES = 3
"""How often a cluster may lose the worker of a task before the task is given up."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One history and everything that a run of it rests on."""

    history: History
    instrument: Instrument
    settings: Settings
    costs: Costs
    wallet: Decimal

    @property
    def digest(self) -> str:
        """SHA-256 of all that can change a result."""
        rest = self.settings.model_dump(mode="json", exclude={"ui", "demo", "venue", "data", "training"})
        found = hashlib.sha256(self.history.digest.encode())
        found.update(msgspec.json.encode([rest, self.instrument, self.costs, self.wallet], order="sorted"))
        return found.hexdigest()

    @property
    def span(self) -> Span:
        """From the first bar to the end of the last."""
        opens = self.history.bars.open_ms
        return Span(int(opens[0]), int(opens[-1]) + 60_000)


class _Scanned:
    """A scan that is already there, in the place of the strategy that made it."""

    timeframe = ""
    parameters = ()

    def __init__(self, name: str, scan: Scan) -> None:
        self.name = name
        self._scan = scan

    def higher(self, timeframe: str) -> str | None:
        return None

    def history(self, values: Values) -> tuple[int, int]:
        return 0, 0

    def on_bar(self, state: object) -> None:
        return None

    def scan(self, window: object, values: Values) -> Scan:
        return self._scan


class Bench:
    """A problem prepared in one worker: the market, and scans that several runs share."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.market = Market(problem.history, problem.instrument, problem.settings, problem.costs)
        self._scans: dict[tuple[str, str, tuple[tuple[str, float], ...]], Scan] = {}
        self._regimes: dict[tuple[str, Regime], Flags] = {}

    def strategy(self, name: str) -> Strategy:
        """A strategy by name. Raises ``ConfigError``."""
        return find_strategy(name, self.problem.settings.strategies)

    def bars(self, timeframe: str) -> int:
        """How many whole bars of a timeframe the history has."""
        return len(self.market.book.frame(timeframe))

    def scan(self, strategy: Strategy, timeframe: str, values: Values) -> Scan:
        """The strategy's scan; the last one is kept, for the next span."""
        key = (strategy.name, timeframe, tuple(sorted(values.items())))
        found = self._scans.get(key)
        if found is None:
            found = scan_of(strategy, self.market.book, timeframe, values)
            self._scans = {key: found}  # one assignment: a worker of a cluster may have several threads
        return found

    def in_regime(self, timeframe: str, regime: Regime) -> Flags:
        """For each 1 m bar whether a bar of ``timeframe`` closes with it in ``regime``, as known at that close."""
        key = (timeframe, regime)
        if key not in self._regimes:
            frame = self.market.book.frame(timeframe)
            here = regimes(window_of(frame)) == CODES[regime]
            flags = np.zeros(len(self.market.close_ms), dtype=np.bool_)
            flags[np.searchsorted(self.market.close_ms, frame.close_ms[here])] = True
            self._regimes[key] = flags
        return self._regimes[key]

    def trades(
        self,
        strategy: Strategy,
        timeframe: str,
        values: Values,
        span: Span,
        *,
        regime: Regime | None = None,
    ) -> Results:
        """Closed trades decided in ``span`` (and ``regime``) with a fresh wallet, also where they end after it."""
        market = self.market
        close = market.close_ms
        allowed = (close > span.start_ms) & (close <= span.end_ms)
        if regime is not None:
            allowed &= self.in_regime(timeframe, regime)
        scanned = _Scanned(strategy.name, self.scan(strategy, timeframe, values))
        found = market.run(scanned, timeframe, values, wallet=self.problem.wallet, allowed=allowed)  # type: ignore[arg-type]
        rows = found.trades[found.trades[:, k.T_OPEN] <= 0]
        risk = np.abs(rows[:, k.T_ENTRY] - rows[:, k.T_STOP]) * rows[:, k.T_QTY]
        return Results(
            np.where(risk > 0, rows[:, k.T_PNL] / np.where(risk > 0, risk, 1.0), 0.0),
            rows[:, k.T_PNL] / float(self.problem.wallet),
            rows[:, k.T_DECIDED].astype(np.int64),
            close[rows[:, k.T_END].astype(np.int64)],
        )


# --- where it runs ---

_PROBLEMS: dict[str, Problem] = {}
_BENCHES: dict[str, Bench] = {}
_MAKING = threading.Lock()


def work(handle: str | Problem, function: Callable[..., Any], *arguments: object) -> Any:
    """What a worker runs: ``function(bench, *arguments)``, with the bench of the problem that it was given."""
    digest = handle if isinstance(handle, str) else handle.digest
    with _MAKING:
        bench = _BENCHES.get(digest)
        if bench is None:
            _BENCHES.clear()
            bench = _BENCHES[digest] = Bench(_PROBLEMS[handle] if isinstance(handle, str) else handle)
    return function(bench, *arguments)


def _begin(problem: Problem) -> None:
    """A worker process begins."""
    begin()
    _PROBLEMS[problem.digest] = problem


def _version() -> str:
    """The package's version and a hash of the sources that decide results."""
    found = hashlib.sha256()
    root = Path(__file__).parents[1]
    for folder in ("core", "strategies", "research"):
        for path in sorted((root / folder).glob("*.py")):
            found.update(path.name.encode() + path.read_bytes())
    found.update((root / "venues" / "paper.py").read_bytes())
    return f"{__version__} ({found.hexdigest()[:12]})"


class Pool:
    """Runs functions of a bench; ``executor`` None: here and now."""

    def __init__(self, executor: Executor | None, handle: Any) -> None:
        self._executor = executor
        self._handle = handle

    def each(
        self,
        function: Callable[..., Any],
        calls: Sequence[tuple[object, ...]],
        stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[tuple[int, Any]]:
        """The number and result of each call as they are done. When ``stop()`` turns true, what runs is finished and
        the rest left out. Raises ``TuiTraderError`` when workers are lost.
        """
        if self._executor is None:
            for number, arguments in enumerate(calls):
                if stop():
                    return
                yield number, work(self._handle, function, *arguments)
            return
        executor = self._executor
        with deaf_to_ctrl_c():
            waiting: dict[Future[Any], int] = {
                executor.submit(work, self._handle, function, *arguments): n for n, arguments in enumerate(calls)
            }
        try:
            while waiting:
                if stop():
                    waiting = {future: n for future, n in waiting.items() if not future.cancel()}
                done, _ = wait(waiting, timeout=POLL_S, return_when=FIRST_COMPLETED)
                for future in done:
                    number = waiting.pop(future)
                    with contextlib.suppress(CancelledError):
                        yield number, future.result()
        except BrokenProcessPool:
            raise TuiTraderError(
                "A worker process was ended from outside, perhaps for lack of memory. What was finished is kept; run "
                "the same command again with fewer --jobs to go on."
            ) from None
        finally:
            for future in waiting:
                future.cancel()

    def all(self, function: Callable[..., Any], calls: Sequence[tuple[object, ...]]) -> list[Any]:
        """The results of all calls, in order."""
        found = dict(self.each(function, calls))
        return [found[number] for number in range(len(calls))]


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def open_pool(problem: Problem, *, jobs: int = 0, scheduler: str = "") -> Iterator[Pool]:
    """Workers for ``problem``: ``jobs`` processes (0: one for each core, 1: this one), or the cluster at ``scheduler``.

    Raises ``UsageError`` when the cluster cannot be reached or runs another version.
    """
    if scheduler:
        with _cluster(problem, scheduler) as pool:
            yield pool
        return
    count = jobs or usable_cores()
    if count == 1:
        yield Pool(None, problem)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=(problem,)) as executor:
        yield Pool(executor, problem.digest)


@contextlib.contextmanager
def _cluster(problem: Problem, scheduler: str) -> Iterator[Pool]:
    try:
        from distributed import Client
    except ImportError as error:
        raise missing_extra("--scheduler needs Dask", "cluster", error) from None
    if not _ADDRESS.fullmatch(scheduler):
        raise UsageError(f"--scheduler {scheduler[:100]!r} is no address; write it like tcp://host:8786.")
    try:
        client: Any = Client(scheduler, timeout=CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise UsageError(f"The Dask scheduler at {scheduler} cannot be reached ({error}).") from None
    with client:
        _check_workers(client, scheduler)
        # Every worker gets the problem at once, so that one which dies takes nothing with it.
        handle = client.scatter(problem, broadcast=True, hash=False)
        with client.get_executor(pure=False, retries=TRIES) as executor:
            yield Pool(executor, handle)


def _check_workers(client: Any, scheduler: str) -> None:
    """Every worker must run this very version, or its results would be another program's."""
    try:
        versions = client.run(_version)
    except Exception as error:  # noqa: BLE001 - whatever a worker without the package raises
        raise UsageError(
            f"The workers of {scheduler} cannot import tui-trader ({type(error).__name__}); install "
            f"tui-trader[research] {__version__} there."
        ) from None
    if not versions:
        raise UsageError(f"The Dask scheduler at {scheduler} has no worker; start one with `dask worker {scheduler}`.")
    mine = _version()
    other = sorted({version for version in versions.values() if version != mine})
    if other:
        raise UsageError(f"Workers of {scheduler} run tui-trader {', '.join(other)}; this is {mine}.")
