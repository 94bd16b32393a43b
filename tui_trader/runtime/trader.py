"""What trades: engine, inbox, outbox and reconciler as named workers, without a lock, a socket or a log of its own.

The session runs one against a real venue and store, the drill the very same one in virtual time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from tui_trader import clock
from tui_trader.core.commands import (
    Announce,
    CancelOrder,
    Command,
    LoadCandles,
    PlaceOrder,
    QueryOrder,
    Record,
    RequestSnapshot,
    SetLeverage,
    SettingsApplied,
    WatchSymbols,
    WriteTrace,
)
from tui_trader.core.engine import Engine
from tui_trader.core.events import Event, Timer, WorkerFailed
from tui_trader.core.views import WorkerRow
from tui_trader.errors import StoreError, VenueError
from tui_trader.runtime.inbox import Inbox
from tui_trader.runtime.outbox import Journal, Outbox, Sendable
from tui_trader.runtime.reconcile import Reconciler
from tui_trader.runtime.supervise import LagMeter, Supervisor, describe, where_of
from tui_trader.venues.base import Venue

TIMER_S = 0.1
SLICE_NS = 2_000_000
ENGINE_FAILURES_MAX = 100
CANARY_PAUSES_S = (2.0, 10.0, 60.0)

Told = Record | Announce | RequestSnapshot | LoadCandles | WatchSymbols | SettingsApplied | WriteTrace
"""Commands that are carried out here and never reach the venue's order interface."""


class Records(Journal, Protocol):
    """The part of the store that trading needs."""

    def record(self, record: Record) -> None:
        """Queue one row; never blocks. Raises ``StoreError``."""
        ...


class Say(Protocol):
    """Writes one line of the log."""

    def __call__(self, severity: str, text: str, **facts: object) -> None:
        """``facts`` are plain values beside the words."""
        ...


async def _tenth() -> None:
    await asyncio.sleep(TIMER_S)


class Trader:
    """Feeds events to the engine and carries its commands. Workers begin with ``start`` and end with ``aclose``.

    ``on_hopeless`` is told when the engine keeps failing; ``on_beat`` is called with each timer in the loop; ``pause``
    is awaited between timers (a tenth of a second). ``before_batch`` is called before the engine sees what has come in.
    ``on_trace`` is told what happened before an invariant was found broken.
    """

    def __init__(
        self,
        engine: Engine,
        venue: Venue,
        records: Records,
        inbox: Inbox,
        *,
        say: Say,
        redact: Callable[[str], str],
        on_hopeless: Callable[[str], None],
        on_beat: Callable[[], None],
        on_trace: Callable[[WriteTrace], None] = lambda trace: None,
        pause: Callable[[], Awaitable[None]] = _tenth,
        before_batch: Callable[[], None] = lambda: None,
    ) -> None:
        self.engine = engine
        self.inbox = inbox
        self.outbox = Outbox(venue, records, inbox.put)
        self.reconciler = Reconciler(
            venue,
            inbox.put,
            fills_cursor=lambda: engine.fills_cursor_ms,
            interval_s=lambda: engine.settings.execution.reconcile_s,
        )
        self.lag = LagMeter()
        self.processed = 0
        self._venue = venue
        self._records = records
        self._say = say
        self._redact = redact
        self._on_hopeless = on_hopeless
        self._on_beat = on_beat
        self._on_trace = on_trace
        self._pause = pause
        self._before_batch = before_batch
        self._supervisor = Supervisor(self._worker_failed)
        self._engine_failures = 0

    def start(self) -> None:
        """Start the workers in the running loop."""
        start = self._supervisor.start
        start("engine", self._run_engine)
        start("reconcile", self.reconciler.run_snapshots, restart=True)
        start("history", self.reconciler.run_candles, restart=True)
        start("watch", self.reconciler.run_watch, restart=True)
        start("timer", self._run_timer, restart=True)
        start("loop lag", self.lag.run, restart=True)
        start("canary", self._run_canary)

    async def aclose(self) -> None:
        """End the workers; what is under way in the outbox is not waited for."""
        await self._supervisor.aclose()

    def worker_rows(self) -> tuple[WorkerRow, ...]:
        """One row for each worker, with what it is doing."""
        note = self._supervisor.note
        note("engine", f"{self.inbox.depth} waiting, oldest p99 {self.inbox.age_p99_ms():.1f} ms")
        note("loop lag", f"p99 {self.lag.p99_ms():.1f} ms")
        note("reconcile", f"{self.reconciler.snapshots} snapshots")
        sending = WorkerRow(name="outbox", state="running", detail=f"{self.outbox.pending} under way")
        streams = WorkerRow(name="streams", state="running", detail=self._venue.troubles())
        return (*self._supervisor.rows(), sending, streams)

    async def _run_engine(self) -> None:
        while True:
            batch = await self.inbox.drain()
            self._before_batch()
            began = clock.perf_ns()
            for event in batch:
                self.apply(event)
                if clock.perf_ns() - began > SLICE_NS:
                    await asyncio.sleep(0)
                    began = clock.perf_ns()
            await asyncio.sleep(0)

    async def _run_canary(self) -> None:
        """Once the account is known: does the venue still take the orders that exits are made of?"""
        await self.reconciler.complete.wait()
        for pause in CANARY_PAUSES_S:
            try:
                problems = await self._venue.probe()
            except VenueError as error:
                self._supervisor.note("canary", describe(error))
                await asyncio.sleep(pause)
                continue
            if problems:
                reason = (
                    f"the venue has changed: {'; '.join(problems)}. Positions keep their stops; exits may be refused"
                )
                self.inbox.put(WorkerFailed(ts=self._venue.clock.now_ms(), worker="canary", reason=reason))
            return
        self._say("warning", "the venue could not be asked whether it still takes all order types; trading goes on")

    async def _run_timer(self) -> None:
        while True:
            self.inbox.put(Timer(ts=self._venue.clock.now_ms()))
            self._on_beat()
            await self._pause()

    def apply(self, event: Event) -> None:
        """One event through the engine, and what it wants done, carried."""
        engine = self.engine
        try:
            commands = engine.process(event)
        except Exception as error:  # noqa: BLE001 - the engine's defect halts entries; exits must go on
            # What was decided before the defect stands in the engine's ledger as sent, so it is sent.
            commands = list(engine.state.out)
            self._engine_failed(event, error)
        self.processed += 1
        self._carry(commands)

    def _carry(self, commands: list[Command]) -> None:
        sends: list[Sendable] = []
        for command in commands:
            if isinstance(command, PlaceOrder | CancelOrder | QueryOrder | SetLeverage):
                sends.append(command)
            else:
                self._do(command)
        if sends:
            self.outbox.submit(sends)

    def _do(self, command: Told) -> None:
        if isinstance(command, Record):
            self._record(command)
        elif isinstance(command, Announce):
            self._say(command.severity.value, command.text, symbol=command.symbol, venue_ms=command.ts)
        elif isinstance(command, WriteTrace):
            self._on_trace(command)
        elif isinstance(command, RequestSnapshot):
            self.reconciler.request_snapshot(hurry=command.hurry)
        elif isinstance(command, LoadCandles):
            self.reconciler.request_candles(command.symbol, command.count, command.timeframe)
        elif isinstance(command, WatchSymbols):
            self.reconciler.request_watch(command.symbols)
        else:
            self._say("info", "settings applied", held_back=list(command.held_back))

    def _record(self, record: Record) -> None:
        try:
            self._records.record(record)
        except StoreError as error:
            self._say("warning", f"a row of {record.kind} was not stored: {error}")

    def _engine_failed(self, event: Event, error: BaseException) -> None:
        self._engine_failures += 1
        words = f"{describe(error)} while processing {type(event).__name__}"
        self._say("alarm", f"the engine failed: {words}", where=where_of(error))
        if not isinstance(event, WorkerFailed):
            now = self._venue.clock.now_ms()
            self.inbox.put(WorkerFailed(ts=now, worker="engine", reason=self._redact(words)))
        if self._engine_failures >= ENGINE_FAILURES_MAX:
            self._on_hopeless("the engine keeps failing; positions rely on their stops at the venue")

    def _worker_failed(self, worker: str, error: BaseException) -> None:
        words = self._redact(describe(error))
        self._say("alarm", f"worker {worker} failed: {words}", where=where_of(error))
        self.inbox.put(WorkerFailed(ts=self._venue.clock.now_ms(), worker=worker, reason=words))
