"""The one thread that writes the database: it drains its queue into one transaction, then acknowledges.

Commits are FULL (fsynced) when a batch holds an intent or a durable row, else NORMAL (WAL, safe against a crash of the
process). When the database cannot be written the rows wait in memory in their order and are tried again; intents are
answered at once: an entry with the failure, an exit after its row stands in the emergency log.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from tui_trader import clock
from tui_trader.errors import StoreError
from tui_trader.store.emergency import FILE_NAME, EmergencyLog
from tui_trader.store.schema import Table, read_tables, split, statement, to_json

BUSY_TIMEOUT_S = 1.0
BATCH_ROWS = 5_000
RETRY_S = 0.5
MAX_WAITING = 200_000

Done = Callable[[StoreError | None], None]


class Row(msgspec.Struct, eq=False):
    """One row to write. ``done`` is called from the writer's thread with None, or with why it is not durable."""

    kind: str
    data: dict[str, object]
    durable: bool = False
    intent: bool = False
    exit: bool = False
    done: Done | None = None


class Barrier(msgspec.Struct):
    """Answered when everything queued before it is written; ``stop`` ends the thread after it."""

    done: Done
    stop: bool = False


class Writer(threading.Thread):
    """Owns the writing connection. ``report`` is told in words when writing fails, and "" when it works again."""

    def __init__(self, path: Path, report: Callable[[str], None]) -> None:
        super().__init__(name="store-writer", daemon=True)
        self.inbox: queue.SimpleQueue[Row | Barrier] = queue.SimpleQueue()
        self.emergency = EmergencyLog(path.with_name(FILE_NAME))
        self.commits = 0
        self._path = path
        self._report = report
        self._waiting: list[Row] = []
        self._failure = ""
        self._retry_at = 0.0
        self._dropped = 0
        self._synchronous = ""
        self._tables: dict[str, Table] = {}
        self._sql: dict[tuple[str, tuple[str, ...]], str] = {}
        self._db: sqlite3.Connection | None = None

    def run(self) -> None:
        """Serve the queue until a stopping barrier."""
        try:
            while not self._serve():
                pass
        finally:
            self._disconnect()

    def _serve(self) -> bool:
        batch, barriers = self._drain()
        self._waiting += batch
        due = not self._failure or bool(barriers) or any(row.intent for row in batch)
        written = (due or clock.monotonic() >= self._retry_at) and self._attempt(self._waiting)
        for barrier in barriers:
            barrier.done(None if written else self._unwritten(barrier.stop))
        return any(barrier.stop for barrier in barriers)

    def _drain(self) -> tuple[list[Row], list[Barrier]]:
        rows: list[Row] = []
        try:
            item = self.inbox.get(timeout=RETRY_S if self._failure else None)
        except queue.Empty:
            return [], []
        while True:
            if isinstance(item, Barrier):
                return rows, [item]
            rows.append(item)
            if len(rows) >= BATCH_ROWS:
                return rows, []
            try:
                item = self.inbox.get_nowait()
            except queue.Empty:
                return rows, []

    def _attempt(self, rows: list[Row]) -> bool:
        if not rows and not self._failure:
            return True
        try:
            self._commit(rows)
        except Exception as error:  # noqa: BLE001 - the writer must outlive any failure: rows wait and it is said
            self._on_failure(error)
            return False
        self._waiting = []
        for row in rows:
            self._answer(row, None)
        if self._failure:
            self._failure = ""
            self._report("")
        return True

    def _commit(self, rows: list[Row]) -> None:
        db = self._connect()
        wanted = "FULL" if any(row.durable or row.intent for row in rows) else "NORMAL"
        if wanted != self._synchronous:
            db.execute(f"PRAGMA synchronous = {wanted}")
            self._synchronous = wanted
        db.execute("BEGIN IMMEDIATE")
        try:
            for row in rows:
                self._insert(db, row)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        self.commits += 1

    def _insert(self, db: sqlite3.Connection, row: Row) -> None:
        table = self._tables.get(row.kind)
        if table is None:
            self._misplace(db, row, "there is no such table")
            return
        columns, values = split(table, row.data)
        shape = (row.kind, tuple(columns))
        sql = self._sql.get(shape)
        if sql is None:
            sql = self._sql[shape] = statement(table, shape[1])
        try:
            db.execute(sql, values)
        except (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError, OverflowError) as error:
            self._misplace(db, row, str(error))

    def _misplace(self, db: sqlite3.Connection, row: Row, why: str) -> None:
        values = (row.kind[:100], to_json({key: str(value) for key, value in row.data.items()}), why)
        db.execute("INSERT INTO misplaced(kind, body, why) VALUES(?, ?, ?)", values)

    # --- failure ---

    def _on_failure(self, error: Exception) -> None:
        words = _words(error)
        failure = StoreError(
            f"The store {self._path.name} cannot be written ({words}): no new entries, exits go on through the "
            "emergency log. Free or mend the disk; writing is tried again by itself."
        )
        self._retry_at = clock.monotonic() + RETRY_S
        refused = [row for row in self._waiting if row.done is not None and not self._saved(row, failure)]
        self._waiting = [row for row in self._waiting if row not in refused] if refused else self._waiting
        self._shed()
        if self._failure != words:
            self._failure = words
            self._report(str(failure))
        if not isinstance(error, sqlite3.OperationalError):
            self._disconnect()

    def _saved(self, row: Row, failure: StoreError) -> bool:
        """Answer an intent; False when it was refused, so that it is never written as if it had been sent."""
        if not row.exit:
            self._answer(row, failure)
            return False
        try:
            self.emergency.append(row.kind, row.data)
        except OSError as error:
            self._answer(row, StoreError(f"{failure} The emergency log failed too ({error.strerror})."))
            return True
        self._answer(row, None)
        return True

    def _answer(self, row: Row, failure: StoreError | None) -> None:
        done, row.done = row.done, None
        if done is not None:
            done(failure)

    def _shed(self) -> None:
        """Bound the memory: market candles go first, they can be fetched again; what is dropped is said."""
        if len(self._waiting) <= MAX_WAITING:
            return
        kept = [row for row in self._waiting if row.kind != "candles"]
        kept = kept[-MAX_WAITING:]
        self._dropped += len(self._waiting) - len(kept)
        self._waiting = kept
        self._report(f"The store cannot be written; {self._dropped} rows had to be dropped to bound the memory.")

    def _unwritten(self, stop: bool) -> StoreError:
        count = len(self._waiting)
        text = f"{count} rows could not be written to the store ({self._failure})"
        if not stop:
            return StoreError(f"{text}; they wait in memory and are tried again.")
        try:
            for row in self._waiting:
                self.emergency.append(row.kind, row.data)
        except OSError as error:
            return StoreError(f"{text} nor to {self.emergency.path} ({error.strerror}): they are lost.")
        return StoreError(f"{text}; they stand in {self.emergency.path} and are taken in at the next start.")

    # --- connection ---

    def _connect(self) -> sqlite3.Connection:
        if self._db is None:
            self._db = connect(self._path)
            self._synchronous = ""
            self._tables = read_tables(self._db)
        return self._db

    def _disconnect(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None


def connect(path: Path) -> sqlite3.Connection:
    """A writing connection in autocommit mode (transactions are begun by hand), for any one thread at a time."""
    db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA foreign_keys = ON")
    return db


def _words(error: Exception) -> str:
    return {
        "SQLITE_FULL": "the disk is full",
        "SQLITE_READONLY": "it is read-only",
        "SQLITE_BUSY": "another program holds it locked",
        "SQLITE_CORRUPT": "it is corrupt",
        "SQLITE_NOTADB": "it is no database",
        "SQLITE_CANTOPEN": "it cannot be opened",
    }.get(error_name(error), f"{type(error).__name__}: {error}")


def error_name(error: Exception) -> str:
    """SQLite's primary error code by name ("SQLITE_BUSY"), or "" when the error has none."""
    name = getattr(error, "sqlite_errorname", "") or ""
    return "_".join(name.split("_")[:2])
