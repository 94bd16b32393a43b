"""The session: a trader with its lock, store, log and control socket, in one asyncio loop. Front ends are guests."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tui_trader import clock
from tui_trader.core.commands import Record
from tui_trader.core.engine import Engine
from tui_trader.core.events import KillSwitch as KillCommand
from tui_trader.core.events import (
    LinkDown,
    LinkUp,
    Notice,
    OpenPosition,
    SettingsChanged,
    ShutdownRequested,
    TrainedLoaded,
    UserCommand,
    WorkerFailed,
)
from tui_trader.core.settings import Settings
from tui_trader.core.types import Channel, Leg, Severity
from tui_trader.core.views import Snapshot, TicketPreview
from tui_trader.errors import ConfigError, RateLimited, StoreError, TuiTraderError, VenueUnreachable
from tui_trader.runtime.control import ControlServer, control_path
from tui_trader.runtime.inbox import Inbox
from tui_trader.runtime.killswitch import KillRecords, KillSwitch
from tui_trader.runtime.lock import AccountLock
from tui_trader.runtime.log import LOG_FILE, Redactor, SessionLog
from tui_trader.runtime.log_writer import LogWatch
from tui_trader.runtime.status import account_facts, trader_facts
from tui_trader.runtime.supervise import describe, to_the_end
from tui_trader.runtime.traces import TraceFolder
from tui_trader.runtime.trader import Trader
from tui_trader.runtime.wake import Wake
from tui_trader.store.audit import anchor_of
from tui_trader.store.journal import Store
from tui_trader.store.trained import load_sets
from tui_trader.venues.base import Venue

if TYPE_CHECKING:
    from tui_trader.config import Loaded
    from tui_trader.runtime.recorder import Recorder

SETTLE_S = 1.5
OUTBOX_S = 0.5
VENUE_S = 2.0
STORE_S = 1.0
STOP_S = 4.8
OPEN_TRIES = 3
OPEN_PAUSE_MAX_S = 130.0
KILL_LATCHED_S = 3.0


class Session:
    """Owns engine, venue, store, inbox and outbox. Implements ``SessionFace`` and what the control socket needs.

    ``checked`` is awaited once the venue is open and before anything may be sent; it raises to refuse the account.
    ``marks`` are files that know the store's newest epoch (see ``Store.open``). ``on_stopped(keep)`` is awaited at the
    very end; ``keep`` is True while a position is open or a successor waits.
    """

    def __init__(
        self,
        *,
        settings_source: Callable[[], Loaded],
        mode: str,
        venue: Venue,
        store_path: Path,
        lock: AccountLock,
        armed: bool,
        redact: Redactor | None = None,
        checked: Callable[[], Awaitable[None]] | None = None,
        on_stopped: Callable[[bool], Awaitable[None]] | None = None,
        marks: Sequence[Path] = (),
        recorder: Recorder | None = None,
    ) -> None:
        self._source = settings_source
        self._loaded = settings_source()
        self._mode = mode
        self._venue = venue
        self._store_path = store_path
        self._lock = lock
        self._armed = armed
        self._checked = checked
        self._on_stopped = on_stopped
        self._marks = marks
        self._recorder = recorder
        self._data_dir = store_path.parent
        self.redact = redact or Redactor()
        self.log = SessionLog(self._data_dir / LOG_FILE, self.redact)
        self._log_watch = LogWatch(self.log.writer, self._warn)
        self._inbox = Inbox()
        self._store: Store | None = None
        self._trader: Trader | None = None
        self._switch = KillSwitch(self._data_dir, self.log.say, self.redact, self._flatten)
        self._control = ControlServer(control_path(self._data_dir, lock.path.stem), self)
        self._view: Snapshot | None = None
        self._view_failure = ""
        self._wake = Wake(self._loaded.settings.data.stale_after_s)
        self._renewal: asyncio.Task[None] | None = None
        self._starting: asyncio.Task[object] | None = None
        self._stop_task: asyncio.Task[None] | None = None
        self._reason = ""
        self._deadline = 0.0
        self._gone = asyncio.Event()
        self._stopped = asyncio.Event()
        self.headless = False

    # --- the face ---

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._trader.engine.settings if self._trader is not None else self._loaded.settings

    @property
    def mode(self) -> str:
        """demo, testnet or live."""
        return self._mode

    @property
    def venue(self) -> str:
        """The venue's name."""
        return self._venue.name

    @property
    def engine(self) -> Engine:
        """The engine, for checks and tests. Raises ``RuntimeError`` before ``start``."""
        if self._trader is None:
            raise RuntimeError("the session has not started")
        return self._trader.engine

    @property
    def started(self) -> bool:
        """Whether it trades, or has traded."""
        return self._trader is not None

    def now_ms(self) -> int:
        """Venue time."""
        return self._venue.clock.now_ms()

    def _stamp(self) -> int:
        """Venue time once it is known: an event of the wall clock's time would put the engine's ahead of the venue."""
        return self.now_ms() if self._trader is not None else 0

    def view(self, selected: str, timeframe: str) -> Snapshot | None:
        """The newest frame; None until the first event was processed. A defect in drawing never reaches trading."""
        trader = self._trader
        if trader is None or not trader.processed:
            return None
        try:
            frame = trader.engine.view(self.now_ms(), selected, timeframe)
            self._view = msgspec.structs.replace(frame, workers=trader.worker_rows())
        except Exception as error:  # noqa: BLE001 - a frame that cannot be built is told once; trading goes on
            words = describe(error)
            if words != self._view_failure:
                self._view_failure = words
                self.log.say("warning", f"the view could not be built: {words}; the last one stays")
        return self._view

    def send(self, command: UserCommand) -> None:
        """Hand a command to the engine."""
        self._inbox.put(command if self._trader is not None else msgspec.structs.replace(command, ts=0))

    def preview(self, ticket: OpenPosition) -> TicketPreview:
        """The consequences of an entry."""
        if self._trader is None:
            return TicketPreview(symbol=ticket.symbol, side=ticket.side, error="still starting: no account yet")
        try:
            return self._trader.engine.preview(ticket)
        except Exception as error:  # noqa: BLE001 - a preview that fails says so; nothing was sent
            self.log.say("warning", f"preview of {ticket.symbol} failed: {describe(error)}")
            return TicketPreview(symbol=ticket.symbol, side=ticket.side, error=f"cannot be computed: {describe(error)}")

    def reload_settings(self) -> str:
        """Read the settings again and hand them to the engine; says what changed or what is wrong."""
        try:
            loaded = self._source()
        except ConfigError as error:
            return f"settings left as they were: {error}"
        before, after = self.settings.model_dump(), loaded.settings.model_dump()
        changed = [f"{s}.{k}" for s, t in after.items() if isinstance(t, dict) for k in t if before[s][k] != t[k]]
        self._loaded = loaded
        self.send(SettingsChanged(ts=self.now_ms(), settings_json=loaded.settings.model_dump_json().encode()))
        self.reload_trained()
        if not changed:
            return "settings read again: nothing changed"
        held_open = self._trader is not None and self._trader.engine.state.plans
        held = "; no limit is loosened while positions are open" if held_open else ""
        return f"settings read again: {', '.join(changed)} differ{held}"

    def reload_trained(self) -> str:
        """Hand the store's trained sets to the engine; says how many there are, or why they stay as they were."""
        try:
            sets = load_sets(self._store_path)
        except StoreError as error:
            return f"trained sets left as they were: {error}"
        self._inbox.put(TrainedLoaded(ts=self.now_ms(), sets_json=msgspec.json.encode(sets)))
        return f"{len(sets)} trained sets read, {sum(one.in_use for one in sets)} in use"

    def detach(self, reason: str) -> None:
        """The front end leaves; trading goes on."""
        if not self.headless:
            self.headless = True
            self.log.say("warning", f"{reason}; trading on headless", pid=os.getpid())

    async def stop(self, reason: str) -> None:
        """No new entries, entries cancelled, stops untouched, venue, store and lock given back; at most 5 s."""
        await asyncio.shield(self._begin_stop(reason, keep=False))

    # --- the control socket ---

    def status(self) -> dict[str, object]:
        """Plain facts of the running session."""
        frame = self.view("", "1m")
        facts: dict[str, object] = {
            "pid": os.getpid(),
            "mode": self._mode,
            "venue": self.venue,
            "headless": self.headless,
            "stopping": self._reason,
        }
        if self._trader is not None:
            facts |= trader_facts(self._trader)
        if frame is not None:
            facts |= account_facts(frame)
        return facts

    def kill(self, reason: str) -> None:
        """Latch the kill switch."""
        self.log.say("alarm", f"kill switch: {reason}")
        self._flatten(reason)

    async def latch_kill(self, reason: str) -> bool:
        """Latch the kill switch; True once the engine has it and its file is on the disk, False when that takes long.

        While the session still starts, the file latches it: it comes up killed.
        """
        self.kill(reason)
        if self._trader is None:
            self._switch.write(reason)
        until = clock.monotonic() + KILL_LATCHED_S
        while clock.monotonic() < until:
            if self._switch.settled and (self._trader is None or self.engine.state.killed):
                return self._switch.latch.path.exists()
            await asyncio.sleep(0.01)
        return False

    def _flatten(self, reason: str) -> None:
        self.send(KillCommand(ts=self.now_ms(), reason=reason))

    async def hand_over(self, reason: str) -> None:
        """Stop for a successor; returns once the account's lock is free."""
        self._begin_stop(reason, keep=True)
        await self._gone.wait()

    # --- life ---

    async def start(self) -> None:
        """Open the store, recover, open the venue, and trade. Raises after giving everything back.

        A ``stop`` meanwhile ends the start with ``TuiTraderError``.
        """
        self._starting = task = asyncio.current_task()
        try:
            await self._start()
        except BaseException as error:
            why = self._reason if isinstance(error, asyncio.CancelledError) and self._reason else describe(error)
            self.log.say("warning", f"the session did not start: {why}")
            await to_the_end(self._close_all())
            if self._on_stopped is not None:
                # Nobody knows whether a position is open, so what holds it is kept.
                await to_the_end(self._on_stopped(True))
            self.log.close()
            self._stopped.set()
            if isinstance(error, asyncio.CancelledError) and self._stop_task is not None and task is not None:
                task.uncancel()
                raise TuiTraderError(f"stopped while starting: {self._reason}") from None
            raise
        finally:
            self._starting = None

    async def run_until_stopped(self) -> str:
        """Wait for the end; returns its reason."""
        await self._stopped.wait()
        return self._reason

    async def _start(self) -> None:
        self._store = store = await Store.open(self._store_path, self._store_changed, self._store_notice, self._marks)
        recovered = self._switch.recovered(store, await store.recovered())
        if store.doubt:
            self._inbox.put(WorkerFailed(ts=self._stamp(), worker="store", reason=store.doubt))
        try:
            await self._control.start()
        except OSError as error:
            words = f"no control socket ({describe(error)}): kill and status reach this session by file"
            self.log.say("warning", words)
        await self._open_venue()
        from tui_trader.strategies.registry import build_strategies

        if self._recorder is not None:
            self._recorder.on_lost = self._warn
        make: Callable[..., Engine] = self._recorder.engine if self._recorder is not None else Engine
        engine = make(
            self._loaded.settings,
            build_strategies(self._loaded.settings),
            mode=self._mode,
            venue=self._venue.name,
            epoch=store.epoch,
            capabilities_note=_oco_note(self._venue),
            clock_rate=self._venue.clock.rate,
            armed=self._armed,
            recovered=recovered,
        )
        traces = TraceFolder(self._data_dir, self.redact, self.log.say)
        self._trader = Trader(
            engine,
            self._venue,
            KillRecords(store, self._switch),
            self._inbox,
            say=self.log.say,
            redact=self.redact,
            on_hopeless=self._give_up,
            on_beat=self._beat,
            before_batch=self._look_awake,
            on_trace=lambda trace: self.log.writer.aside(partial(traces.write, trace)),
        )
        facts: dict[str, object] = {"pid": os.getpid(), "epoch": store.epoch, "armed": self._armed}
        words = f"{self._mode} session on {self.venue} starts"
        self.log.say("info", words, open_plans=len(recovered.plans), audit_head=self._audit_head(), **facts)
        facts |= {"mode": self._mode, "venue": self.venue}
        row: dict[str, object] = {"ts": self.now_ms(), "actor": "session", "action": "start", "detail": facts}
        store.record(Record(ts=self.now_ms(), kind="audit", data=row, durable=True))
        self._wake.stood_still()
        self._trader.start()

    def _beat(self) -> None:
        self._switch.beat(self.engine.state)
        self._log_watch.look()

    def _audit_head(self) -> str:
        """The newest row of the audit log, written down beside the store so that an older copy of it would show."""
        return str(anchor_of(self._store_path) or "")

    async def _open_venue(self) -> None:
        """Open the venue and check the account. A position may be open, so that one lost answer, or a venue that asks
        for silence (many restarts in a minute), does not end the start."""
        await self._patiently(lambda: self._venue.open(self._inbox.put), self._venue.aclose)
        if self._checked is not None:
            await self._patiently(self._checked)

    async def _patiently(
        self, ask: Callable[[], Awaitable[None]], undo: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        for left in reversed(range(OPEN_TRIES)):
            try:
                await ask()
            except (RateLimited, VenueUnreachable) as error:
                if not left:
                    raise
                pause = min(max(error.retry_after_ms / 1000, 1.0), OPEN_PAUSE_MAX_S)
                self.log.say("warning", f"not started yet: {error} Starting again in {pause:.0f} s.")
                if undo is not None:
                    await undo()
                await asyncio.sleep(pause)
            else:
                return

    def _look_awake(self) -> None:
        """After a standstill all that was heard is old, so that nothing is opened on it. Before the engine sees it, the
        streams are down; they are made anew, and entries wait until the account was compared from then on.
        """
        still = self._wake.stood_still()
        trader = self._trader
        if not still or trader is None:
            return
        words = f"the process stood still for {still:.0f} s (stopped, starved, asleep, or the clock was set)"
        for channel in (Channel.PUBLIC, Channel.MARKET, Channel.PRIVATE):
            trader.apply(LinkDown(ts=self.now_ms(), channel=channel, reason=words))
        text = f"{words}; entries wait until the account was compared anew"
        trader.apply(Notice(ts=self.now_ms(), severity=Severity.ALARM, text=text))
        self._renewal = asyncio.get_running_loop().create_task(self._renew(words), name="renewal")

    async def _renew(self, words: str) -> None:
        try:
            await self._venue.renew(words)
        except Exception as error:  # noqa: BLE001 - without new streams entries stay refused; exits go on
            self.log.say("warning", f"the streams could not be made anew: {describe(error)}")

    def _store_changed(self, words: str) -> None:
        """From the store: why it cannot write, or "" when it can again."""
        if words:
            self._inbox.put(LinkDown(ts=self._stamp(), channel=Channel.STORE, reason=words))
        else:
            self._inbox.put(LinkUp(ts=self._stamp(), channel=Channel.STORE))

    def _store_notice(self, words: str) -> None:
        self._inbox.put(Notice(ts=self._stamp(), severity=Severity.ALARM, text=words))

    def _warn(self, words: str) -> None:
        self._inbox.put(Notice(ts=self._stamp(), severity=Severity.WARNING, text=words))

    # --- the end ---

    def _begin_stop(self, reason: str, *, keep: bool) -> asyncio.Task[None]:
        if self._stop_task is None:
            self._reason = reason
            self._stop_task = asyncio.get_running_loop().create_task(self._stop(reason, keep), name="stop")
        return self._stop_task

    def _give_up(self, words: str) -> None:
        self._begin_stop(words, keep=True)

    async def _stop(self, reason: str, keep: bool) -> None:
        if self._starting is not None:
            self._starting.cancel()
            await self._stopped.wait()
        if self._stopped.is_set():
            return
        self._deadline = clock.monotonic() + STOP_S
        self.log.say("warning", f"stopping: {reason}; no new entries, stops stay at the venue")
        if self._trader is not None:
            self._trader.outbox.stop_entries(f"the session is stopping ({reason})")
            self._inbox.put(ShutdownRequested(ts=self.now_ms(), reason=reason))
            await self._settle()
            await self._step("outbox", self._trader.outbox.aclose(OUTBOX_S), OUTBOX_S + 0.1)
            await asyncio.sleep(0)
        held = self._held()
        await self._close_all()
        if self._on_stopped is not None:
            await self._step("end", self._on_stopped(keep or bool(held)), 1.0)
        words = f"stopped: {', '.join(held)} left at the venue" if held else "stopped: no position is open"
        self.log.say("info", words, audit_head=self._audit_head())
        self.log.close()
        self._stopped.set()

    async def _settle(self) -> None:
        """Wait, at most ``SETTLE_S``, until entries are off, nothing is under way and every position is covered."""
        until = clock.monotonic() + SETTLE_S
        while clock.monotonic() < until:
            if self._settled():
                return
            await asyncio.sleep(0.02)
        self.log.say("alarm", "stopping although not all is settled: the next start reconciles before it trades")

    def _settled(self) -> bool:
        if self._trader is None:
            return True
        state = self._trader.engine.state
        entries = any(order.live and order.leg is Leg.ENTRY for order in state.ledger)
        naked = any(plan.naked_since_ms for plan in state.plans.values())
        return bool(state.stopping) and not entries and not naked and not self._trader.outbox.pending

    def _held(self) -> list[str]:
        """Open positions in words, each with its proven stop or the lack of one."""
        if self._trader is None:
            return []
        frame = self.view("", "1m")
        rows = frame.positions if frame is not None else ()
        return [f"{r.symbol} {r.side} {r.qty:g} ({'stop proven' if r.stop_proven else 'NO PROVEN STOP'})" for r in rows]

    async def _close_all(self) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait({self._renewal}, timeout=0.2)
        if self._trader is not None:
            await self._step("workers", self._trader.aclose(), 0.5)
        await self._step("venue", self._venue.aclose(), VENUE_S)
        await self._step("kill latch", self._switch.aclose(), 0.5)
        if self._store is not None:
            await self._step("store", self._store.aclose(), STORE_S)
        if self._recorder is not None:
            await self._step("recording", self._recorder.aclose(self._reason or "the session did not start"), 1.2)
        self._lock.release()
        self._gone.set()
        await self._step("control", self._control.aclose(), 1.2)

    async def _step(self, name: str, work: Awaitable[None], timeout_s: float) -> None:
        """One part of closing; its failure is told and never keeps the next part from closing."""
        if self._deadline:
            timeout_s = min(timeout_s, max(0.2, self._deadline - clock.monotonic()))
        try:
            async with asyncio.timeout(timeout_s):
                await work
        except Exception as error:  # noqa: BLE001 - every other part must still be closed
            self.log.say("warning", f"closing {name}: {describe(error)}")


def _oco_note(venue: Venue) -> str:
    return "at the venue" if venue.capabilities.oco else "emulated here"
