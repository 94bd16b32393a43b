"""The store in memory: its schema, its writer and its recovery, with the durability of the real one.

``Disk`` survives a crash of the process, a ``MemoryStore`` does not: rows that the writer had not committed are lost.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from tui_trader import clock
from tui_trader.core.commands import CancelOrder, PlaceOrder, Record
from tui_trader.core.state import Recovered
from tui_trader.errors import StoreError
from tui_trader.store.journal import begin_epoch, intent_rows
from tui_trader.store.recover import recovered_from
from tui_trader.store.schema import migrate, read_tables
from tui_trader.store.writer import RETRY_S, Barrier, Row, Writer

_NOWHERE = Path("memory.sqlite3")


class _FullError(sqlite3.OperationalError):
    """What SQLite raises on a full disk."""

    sqlite_errorname = "SQLITE_FULL"


class _MemoryLog:
    """The emergency log, in memory: it works while the database cannot be written."""

    path = _NOWHERE

    def __init__(self) -> None:
        self._rows: list[tuple[str, dict[str, object]]] = []

    def append(self, kind: str, data: dict[str, object]) -> None:
        self._rows.append((kind, dict(data)))

    def rows(self) -> Iterator[tuple[str, dict[str, object]]]:
        return iter(self._rows)

    def reserve(self) -> None:
        self._rows.clear()


class Disk:
    """What survives: the database and the emergency log. While ``full`` nothing can be committed."""

    def __init__(self) -> None:
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        migrate(self.db)
        self.emergency = _MemoryLog()
        self.full = False
        self.intents: set[str] = set()
        """Client ids whose intent stands in the database or in the emergency log."""

    def close(self) -> None:
        """Forget everything."""
        self.db.close()

    def recovered(self) -> Recovered:
        """What a start reads, by the store's own code."""
        return recovered_from(self.db)

    def rows(self, sql: str, *values: object) -> list[tuple[object, ...]]:
        """The rows of a question to the durable database."""
        return self.db.execute(sql, values).fetchall()


class _MemoryWriter(Writer):
    """The store's writer without its thread: ``serve`` does what one round of the thread does."""

    def __init__(self, disk: Disk, report: Callable[[str], None]) -> None:
        super().__init__(_NOWHERE, report)
        self.emergency = disk.emergency  # type: ignore[assignment]  # the same three methods, in memory
        self._disk = disk
        self._tables = read_tables(disk.db)
        self._synchronous = "FULL"

    def serve(self) -> None:
        """Commit what waits, or fail to."""
        self._serve()

    @property
    def failing(self) -> bool:
        """Whether rows wait because the database cannot be written."""
        return bool(self._failure)

    def _drain(self) -> tuple[list[Row], list[Barrier]]:
        rows: list[Row] = []
        while True:
            try:
                item = self.inbox.get_nowait()
            except queue.Empty:
                return rows, []
            if isinstance(item, Barrier):
                return rows, [item]
            rows.append(item)

    def _connect(self) -> sqlite3.Connection:
        return self._disk.db

    def _disconnect(self) -> None:
        """The database is the disk's."""

    def _commit(self, rows: list[Row]) -> None:
        if self._disk.full:
            raise _FullError("database or disk is full")
        db = self._disk.db
        db.execute("BEGIN")
        for row in rows:
            self._insert(db, row)
        db.execute("COMMIT")
        self.commits += 1


class MemoryStore:
    """One process's store on a disk. ``rng`` draws how long a commit takes; ``on_failure`` as in ``Store.open``."""

    def __init__(self, disk: Disk, rng: Random, on_failure: Callable[[str], None]) -> None:
        self._disk = disk
        self._rng = rng
        self._loop = asyncio.get_running_loop()
        self._writer = _MemoryWriter(disk, on_failure)
        self._due: asyncio.TimerHandle | None = None
        self._alive = True
        self._take_in()
        self.epoch = begin_epoch(disk.db)

    def _take_in(self) -> None:
        rows = [Row(kind, data, durable=True) for kind, data in self._disk.emergency.rows()]
        if not rows:
            return
        for row in rows:
            self._writer.inbox.put(row)
        self._writer.serve()
        if not self._writer.failing:
            self._disk.emergency.reserve()

    def recovered(self) -> Recovered:
        """What the engine must know at its start."""
        return self._disk.recovered()

    async def intent(self, order: PlaceOrder | CancelOrder) -> None:
        """See ``Store.intent``. In a process that was killed it never returns."""
        answer: asyncio.Future[None] = self._loop.create_future()

        def settle(failure: StoreError | None) -> None:
            if failure is None and isinstance(order, PlaceOrder):
                self._disk.intents.add(order.client_id)
            if answer.done():
                return
            if failure is None:
                answer.set_result(None)
            else:
                answer.set_exception(failure)

        for row in intent_rows(order, settle):
            self._writer.inbox.put(row)
        self._soon(0.0005 + self._rng.random() * 0.004)
        await answer

    def record(self, record: Record) -> None:
        """See ``Store.record``."""
        self._writer.inbox.put(Row(record.kind, record.data, record.durable))
        self._soon(0.001 + self._rng.random() * 0.01)

    def _soon(self, seconds: float) -> None:
        if not self._alive or (self._due is not None and self._due.when() <= clock.monotonic() + seconds):
            return
        if self._due is not None:
            self._due.cancel()
        self._due = self._loop.call_later(seconds, self._serve)

    def _serve(self) -> None:
        self._due = None
        self._writer.serve()
        if self._writer.failing:
            self._soon(RETRY_S)

    def flush(self) -> None:
        """Commit what waits, as an orderly end does."""
        if self._alive:
            self._writer.serve()

    def kill(self) -> None:
        """The process died: what waits is lost."""
        self._alive = False
        if self._due is not None:
            self._due.cancel()
