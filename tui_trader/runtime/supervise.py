"""Named, watched asyncio tasks: an unknown failure is reported, shown, and never swallowed."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path

from tui_trader import clock
from tui_trader.core.plain import plain
from tui_trader.core.views import WorkerRow
from tui_trader.runtime.inbox import Inbox, percentile_ms

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
HEALTHY_AFTER_S = 60.0
_LONGEST = 600


def describe(error: BaseException) -> str:
    """An exception as one line: its kind and its words, which may be the venue's and are made harmless."""
    words = " ".join(plain(str(error)[:_LONGEST]).split())
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def where_of(error: BaseException) -> str:
    """Innermost frames of a failure as ``file:line function``, without values."""
    frames: list[str] = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{Path(code.co_filename).name}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return " < ".join(reversed(frames[-6:]))


async def to_the_end(work: Awaitable[None]) -> None:
    """Wait for ``work`` however often the waiting is cancelled: a signal, or a console that leaves, must not leave open
    what is being closed.
    """
    task = asyncio.ensure_future(work)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(task)


class _Worker:
    def __init__(self, name: str, work: Callable[[], Awaitable[None]], restart: bool) -> None:
        self.name = name
        self.work = work
        self.restart = restart
        self.state = "running"
        self.detail = ""
        self.failures = 0
        self.task: asyncio.Task[None] | None = None


class Supervisor:
    """Starts workers and watches them. ``report(worker, error)`` hears of every unknown failure, in the loop."""

    def __init__(self, report: Callable[[str, BaseException], None]) -> None:
        self._report = report
        self._workers: dict[str, _Worker] = {}

    def start(self, name: str, work: Callable[[], Awaitable[None]], *, restart: bool = False) -> None:
        """Run ``work`` as the task ``name``.

        With ``restart`` it is started again after a failure, with a pause that doubles up to 30 s and is forgotten
        after a minute of good work; only for work that may be begun anew at any time (feeds, reconciliation).
        """
        if name in self._workers and self._workers[name].task is not None:
            raise ValueError(f"worker {name} already runs")
        worker = _Worker(name, work, restart)
        self._workers[name] = worker
        worker.task = asyncio.get_running_loop().create_task(self._watch(worker), name=name)

    def note(self, name: str, detail: str) -> None:
        """Words shown beside a worker."""
        worker = self._workers.get(name)
        if worker is not None:
            worker.detail = detail

    def rows(self) -> tuple[WorkerRow, ...]:
        """One row for each worker, in order of start."""
        return tuple(WorkerRow(name=w.name, state=w.state, detail=w.detail) for w in self._workers.values())

    async def aclose(self) -> None:
        """Cancel all workers and wait until they have ended. The calling task itself is left alone."""
        current = asyncio.current_task()
        pending = {w.task for w in self._workers.values() if w.task is not None and w.task is not current}
        while pending:
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=0.2)

    async def _watch(self, worker: _Worker) -> None:
        pause = FIRST_PAUSE_S
        while True:
            began = clock.monotonic()
            worker.state = "running"
            try:
                await worker.work()
            except asyncio.CancelledError:
                worker.state = "stopped"
                raise
            except Exception as error:  # noqa: BLE001 - the one place where an unknown failure is turned into a report
                worker.failures += 1
                worker.detail = describe(error)
                worker.state = "restarting" if worker.restart else "failed"
                self._report(worker.name, error)
            else:
                worker.state = "done"
                return
            if not worker.restart:
                return
            if clock.monotonic() - began > HEALTHY_AFTER_S:
                pause = FIRST_PAUSE_S
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)


class LagMeter:
    """How late the event loop wakes its tasks: p99 over about the last minute, in ms."""

    def __init__(self, interval_s: float = 0.05, window_s: float = 60.0) -> None:
        self._interval = interval_s
        self._lags: deque[float] = deque(maxlen=max(1, int(window_s / interval_s)))

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            before = clock.monotonic()
            await asyncio.sleep(self._interval)
            self._lags.append(max(0.0, clock.monotonic() - before - self._interval))

    def p99_ms(self) -> float:
        """99th percentile of the lag in ms; 0 before the first measurement."""
        return percentile_ms(self._lags, 0.99)

    def p50_ms(self) -> float:
        """Median of the lag in ms; 0 before the first measurement."""
        return percentile_ms(self._lags, 0.5)


def meters(lag: LagMeter, inbox: Inbox) -> dict[str, float]:
    """How well the session keeps up: loop lag and age of market data when applied in ms, events waiting and taken."""
    return {
        "lag_p50_ms": lag.p50_ms(),
        "lag_p99_ms": lag.p99_ms(),
        "age_p50_ms": inbox.age_p50_ms(),
        "age_p99_ms": inbox.age_p99_ms(),
        "waiting": inbox.depth,
        "received": inbox.received,
        "coalesced": inbox.coalesced,
    }
