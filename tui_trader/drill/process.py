"""One life of the trader: from its start on what is durable to its end, which may come between any two awaits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context, ContextVar
from random import Random
from typing import Any

import msgspec

from tui_trader.core.commands import Command
from tui_trader.core.engine import Engine
from tui_trader.core.events import Event, LinkDown, LinkUp, ShutdownRequested
from tui_trader.core.settings import Settings
from tui_trader.core.types import Channel
from tui_trader.drill.journal import Disk, MemoryStore
from tui_trader.drill.venue import SimVenue
from tui_trader.errors import RateLimited, VenueError
from tui_trader.runtime.inbox import Inbox
from tui_trader.runtime.supervise import LagMeter
from tui_trader.runtime.trader import Trader

_ENCODER = msgspec.json.Encoder(enc_hook=str)
_IDLE_METER_S = 86_400.0
_OWNER: ContextVar[Process | None] = ContextVar("owner", default=None)


def owned_tasks(
    loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], context: Context | None = None
) -> asyncio.Task[Any]:
    """A task factory: a task belongs to the process that made it, and dies with it."""
    task = asyncio.Task(coro, loop=loop, context=context)
    owner = _OWNER.get() if context is None else context.get(_OWNER)
    if owner is not None:
        owner.own(task)
    return task


class _TracedEngine(Engine):
    """The engine, whose decisions are written down."""

    note: Callable[[str, str], None]

    def process(self, event: Event) -> list[Command]:
        commands = super().process(event)
        for command in commands:
            self.note("command", _ENCODER.encode(command).decode())
        return commands


class Process:
    """``say`` hears what the trader announces, ``note`` each of the engine's commands."""

    def __init__(
        self,
        *,
        disk: Disk,
        venue: SimVenue,
        settings: Settings,
        rng: Random,
        say: Callable[[str, str], None],
        note: Callable[[str, str], None],
        pause: Callable[[], Awaitable[None]],
    ) -> None:
        self.alive = True
        self.ready = False
        self.venue = venue
        self.inbox = Inbox()
        self.failure: BaseException | None = None
        self._disk = disk
        self._rng = rng
        self._settings = settings
        self._say = say
        self._note = note
        self._pause = pause
        self._trader: Trader | None = None
        self._store: MemoryStore | None = None
        self._tasks: dict[asyncio.Task[Any], None] = {}

    @property
    def trader(self) -> Trader | None:
        """The trader, once the venue is open."""
        return self._trader

    @property
    def compared(self) -> bool:
        """Whether the account has been compared with the venue since the start."""
        return self._trader is not None and bool(self._trader.engine.state.reconciled_ms)

    def own(self, task: asyncio.Task[Any]) -> None:
        """A task of this process begins."""
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
        if not self.alive:
            task.cancel()

    def begin(self) -> asyncio.Task[None]:
        """Start in a task of its own; ``failure`` tells when the start failed."""
        context = asyncio.get_running_loop()
        token = _OWNER.set(self)
        try:
            return context.create_task(self._begin(), name="process")
        finally:
            _OWNER.reset(token)

    async def _begin(self) -> None:
        try:
            await self._start()
        except VenueError as error:
            # As the session: given back, to be started again by whoever supervises the process.
            self.failure = error
            self.tell("warning", f"the session did not start: {error}")
            self.kill()

    async def _start(self) -> None:
        self._store = store = MemoryStore(self._disk, self._rng, self._store_changed)
        recovered = store.recovered()
        await self._open_venue()
        engine = _TracedEngine(
            self._settings,
            {},
            mode="demo",
            venue=self.venue.name,
            epoch=store.epoch,
            capabilities_note="emulated here",
            clock_rate=self.venue.clock.rate,
            armed=True,
            recovered=recovered,
        )
        engine.note = self._note
        self._trader = trader = Trader(
            engine,
            self.venue,
            store,
            self.inbox,
            say=self.tell,
            redact=str,
            on_hopeless=lambda words: self.tell("alarm", words),
            on_beat=lambda: None,
            pause=self._pause,
        )
        trader.lag = LagMeter(_IDLE_METER_S)
        trader.start()
        self.ready = True

    async def _open_venue(self) -> None:
        try:
            await self.venue.open(self.inbox.put)
        except RateLimited as error:
            await asyncio.sleep(max(error.retry_after_ms / 1000, 1.0))
            await self.venue.open(self.inbox.put)

    def _store_changed(self, words: str) -> None:
        ts = self.venue.clock.now_ms()
        if words:
            self.inbox.put(LinkDown(ts=ts, channel=Channel.STORE, reason=words))
        else:
            self.inbox.put(LinkUp(ts=ts, channel=Channel.STORE))

    def tell(self, severity: str, text: str, **facts: object) -> None:
        """A line of the log, while alive."""
        if self.alive:
            self._say(severity, text)

    def send(self, event: Event) -> None:
        """Hand an event to the engine."""
        if self.alive:
            self.inbox.put(event)

    def kill(self) -> None:
        """kill -9: from this moment nothing of this process reaches the disk or the network any more."""
        if not self.alive:
            return
        self.alive = False
        self.venue.transport.alive = False
        if self._store is not None:
            self._store.kill()
        for task in list(self._tasks):
            task.cancel()

    async def ended(self) -> None:
        """Wait until no task of a killed process is left."""
        while self._tasks:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.sleep(0)

    async def stop(self, ms: int = 1_500) -> None:
        """An orderly end: no new entries, entries cancelled, stops untouched, rows written."""
        if self._trader is not None:
            self._trader.outbox.stop_entries("the session is stopping")
            self.send(ShutdownRequested(ts=self.venue.clock.now_ms(), reason="by hand"))
            await asyncio.sleep(ms / 1000)
        if self._store is not None:
            self._store.flush()
        self.kill()
        await self.ended()
