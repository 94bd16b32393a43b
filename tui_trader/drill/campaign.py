"""Many seeds, on several processes, and what they brought together."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import active_children, get_context

import msgspec

from tui_trader.core.protection import percentile
from tui_trader.drill.draw import draw
from tui_trader.drill.swarm import Result, live
from tui_trader.exchange.fault_rules import FaultRule
from tui_trader.workers import begin, deaf_to_ctrl_c

_TOLD = 20


class Report(msgspec.Struct, kw_only=True):
    """All seeds together. ``violations`` counts by invariant, ``watched`` what the trader's own watch said."""

    seeds: int = 0
    steps: int = 0
    virtual_hours: float = 0.0
    violations: dict[str, int] = {}
    watched: dict[str, int] = {}
    unprotected_s: dict[str, float] = {}
    positions: int = 0
    crashes: int = 0
    faults: dict[str, int] = {}
    trace_hash: str = ""
    failed_seeds: list[int] = []
    told: list[str] = []
    partial: bool = False


def job(seed: int, steps: int, preset: tuple[FaultRule, ...] | None) -> Result:
    """One seed, without what only a person would read."""
    return msgspec.structs.replace(live(draw(seed, preset), steps), said=())


def summary(results: Iterable[Result], *, partial: bool = False) -> Report:
    """The report of ``results``, the same in whatever order they came."""
    found = sorted(results, key=lambda result: result.seed)
    report = Report(seeds=len(found), partial=partial)
    violations: Counter[str] = Counter()
    watched: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    together = hashlib.blake2b(digest_size=16)
    unprotected: list[float] = []
    for result in found:
        report.steps += result.steps
        report.virtual_hours += result.virtual_hours
        report.crashes += result.crashes
        violations.update(result.counts)
        watched.update(result.watched)
        faults.update(result.faults)
        unprotected += result.unprotected
        together.update(f"{result.seed} {result.trace_hash}\n".encode())
        if result.counts:
            report.failed_seeds.append(result.seed)
            report.told += [f"seed {result.seed}: {v.invariant}: {v.words}" for v in result.violations[:_TOLD]]
    report.virtual_hours = round(report.virtual_hours, 3)
    report.violations, report.watched = dict(sorted(violations.items())), dict(sorted(watched.items()))
    report.faults = dict(sorted(faults.items()))
    report.positions = len(unprotected)
    report.unprotected_s = percentiles(unprotected)
    report.trace_hash = together.hexdigest()
    return report


def percentiles(values: list[float]) -> dict[str, float]:
    """p50, p99 and max; zeros when there are no values."""
    return {"p50": percentile(values, 0.50), "p99": percentile(values, 0.99), "max": max(values, default=0.0)}


def campaign(
    seeds: range,
    steps: int,
    preset: tuple[FaultRule, ...] | None,
    jobs: int,
    progress: Callable[[int, Result], None],
) -> Report:
    """Live through all ``seeds``; an interrupt ends it early with a partial report. ``progress`` hears each result."""
    results: list[Result] = []
    try:
        for result in _results(seeds, steps, preset, jobs):
            results.append(result)
            progress(len(results), result)
    except KeyboardInterrupt:
        return summary(results, partial=True)
    return summary(results)


def _results(seeds: range, steps: int, preset: tuple[FaultRule, ...] | None, jobs: int) -> Iterator[Result]:
    if jobs <= 1:
        for seed in seeds:
            yield job(seed, steps, preset)
        return
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=begin)
    waiting: set[Future[Result]] = set()
    left = iter(seeds)
    try:
        while True:
            while len(waiting) < 2 * jobs and (fresh := next(left, None)) is not None:
                with deaf_to_ctrl_c():
                    waiting.add(pool.submit(job, fresh, steps, preset))
            if not waiting:
                return
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    except BaseException:
        # A seed takes seconds, and whoever interrupts does not wait for those under way.
        for worker in active_children():
            worker.terminate()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
