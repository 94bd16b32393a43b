"""Keeps the latch's file and the engine's kill switch together: whichever knows first tells the other (I15)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec

from tui_trader import clock
from tui_trader.core.commands import CancelOrder, PlaceOrder, Record
from tui_trader.core.state import EngineState, Recovered
from tui_trader.runtime.latch import KillLatch
from tui_trader.runtime.trader import Records, Say

FILE_BEATS = 10
"""Beats of the trader between two looks for the latch's file: a second."""


class KillSwitch:
    """One session's kill switch. ``flatten(reason)`` hands the engine a kill; the file is written off the loop, because
    a disk that hangs must not hold trading.
    """

    def __init__(self, folder: Path, say: Say, redact: Callable[[str], str], flatten: Callable[[str], None]) -> None:
        self.latch = KillLatch(folder)
        self._say = say
        self._redact = redact
        self._flatten = flatten
        self._task: asyncio.Task[None] | None = None
        self._look: asyncio.Task[None] | None = None
        self._compared = False
        self._beat = 0

    @property
    def settled(self) -> bool:
        """True when nothing is being done with the file."""
        return self._task is None

    def recovered(self, records: Records, recovered: Recovered) -> Recovered:
        """What the store remembers, killed when the file says so, too.

        Positions found although it is latched are flattened once the account was compared with the venue (``beat``): a
        kill that was cut short goes on, one latched while nothing ran begins.
        """
        stored, latched = recovered.state.get("kill"), self.latch.read()
        if isinstance(stored, dict):
            if latched is None:
                self.write(str(stored.get("reason", "latched before the restart")))
            return recovered
        if latched is None:
            return recovered
        now = clock.wall_ms()
        value = {"reason": latched.reason, "ts": latched.at_ms or now}
        records.record(Record(ts=now, kind="state", data={"key": "kill", "value": value}, durable=True))
        self._say("alarm", f"the kill switch is latched: {latched.reason}; no entries until a person re-arms")
        return msgspec.structs.replace(recovered, state={**recovered.state, "kill": value})

    def hear(self, record: Record) -> None:
        """A row for the store; what it says about the kill switch is said by the file, too."""
        if record.kind != "state" or record.data.get("key") != "kill":
            return
        value = record.data.get("value")
        if isinstance(value, dict):
            self.write(str(value.get("reason", "")))
        else:
            self._then(self.latch.clear, "the kill switch was re-armed, but its file stays and latches it again")

    def write(self, reason: str) -> None:
        """Make the file, soon."""
        words = self._redact(reason)
        failure = "the kill switch is latched here and in the store, but its file cannot be written"
        self._then(lambda: self.latch.latch(words, clock.wall_ms()), failure)

    def beat(self, state: EngineState) -> None:
        """Ten times a second: flatten what a killed start found, and look for a file made by others."""
        self._beat += 1
        if not self._compared and state.reconciled_ms:
            # A kill from before the first comparison could not know of what the venue holds.
            self._compared = True
            if state.killed:
                self._flatten(state.killed)
        if not (self._beat % FILE_BEATS or state.killed or self._task is not None or self._look is not None):
            self._look = asyncio.get_running_loop().create_task(self._read(), name="kill file")

    async def _read(self) -> None:
        try:
            latched = await asyncio.to_thread(self.latch.read)
            if latched is not None and self._task is None:
                self._flatten(latched.reason)
        finally:
            self._look = None

    async def aclose(self) -> None:
        """Wait for what is being done with the file."""
        busy = {task for task in (self._task, self._look) if task is not None}
        if busy:
            await asyncio.wait(busy)

    def _then(self, work: Callable[[], None], failure: str) -> None:
        before = self._task

        async def run() -> None:
            if before is not None:
                await asyncio.wait({before})
            try:
                await asyncio.to_thread(work)
            except OSError as error:
                self._say("alarm", f"{failure} ({error.strerror}: {self.latch.path})")
            finally:
                if self._task is asyncio.current_task():
                    self._task = None

        self._task = asyncio.get_running_loop().create_task(run(), name="kill latch")


class KillRecords:
    """The store as the trader sees it, with the kill switch listening."""

    def __init__(self, store: Records, switch: KillSwitch) -> None:
        self._store = store
        self._switch = switch

    async def intent(self, order: PlaceOrder | CancelOrder) -> None:
        """See ``Store.intent``."""
        await self._store.intent(order)

    def record(self, record: Record) -> None:
        """See ``Store.record``."""
        self._switch.hear(record)
        self._store.record(record)
