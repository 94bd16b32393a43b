"""The one thread that writes the database: it drains its queue into one transaction, then acknowledges.

Commits are FULL (fsynced) when a batch holds an intent or a durable row, else NORMAL (WAL, safe against a crash of the
process). When the database cannot be written the rows wait in memory in their order and are tried again; intents are
answered at once: an entry with the failure, an exit after its row stands in the emergency log. A file that was deleted
or replaced under the open database is written anew from it before anything is acknowledged.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from tui_trader import clock
from tui_trader.errors import StoreError
from tui_trader.store.audit import TABLE as AUDIT
from tui_trader.store.audit import chained
from tui_trader.store.emergency import FILE_NAME, EmergencyLog
from tui_trader.store.opening import PARTS, connect, finish, put_aside, rescued_path, words_of
from tui_trader.store.schema import Table, read_tables, split, statement, to_json

BATCH_ROWS = 5_000
RETRY_S = 0.5
LOOK_S = 2.0
"""How often an idle writer looks whether its file is still the one it has open."""
MAX_WAITING = 200_000

Done = Callable[[StoreError | None], None]


class Row(msgspec.Struct, eq=False):
    """One row to write, and ``also`` one that stands or falls with it. ``done`` is called from the writer's thread with
    None, or with why it is not durable. ``saved`` once it stands in the emergency log.
    """

    kind: str
    data: dict[str, object]
    durable: bool = False
    intent: bool = False
    exit: bool = False
    done: Done | None = None
    also: Row | None = None
    saved: bool = False


class Barrier(msgspec.Struct):
    """Answered when everything queued before it is written; ``stop`` ends the thread after it."""

    done: Done
    stop: bool = False


class Writer(threading.Thread):
    """Owns the writing connection. ``report`` is told in words when writing fails, and "" when it works again.

    ``notice`` is told what a person should know though writing works. ``epoch`` is this start's; a database that is
    opened without it is brought to it.
    """

    def __init__(
        self,
        path: Path,
        report: Callable[[str], None],
        notice: Callable[[str], None] = lambda text: None,
        *,
        epoch: str = "",
        failure: str = "",
    ) -> None:
        super().__init__(name="store-writer", daemon=True)
        self.inbox: queue.SimpleQueue[Row | Barrier] = queue.SimpleQueue()
        self.emergency = EmergencyLog(path.with_name(FILE_NAME))
        self.commits = 0
        self._path = path
        self._report = report
        self._notice = notice
        self._epoch = epoch
        self._unfinished = bool(failure)
        self._identity: tuple[int, int] | None = None
        self._used_emergency = False
        self._waiting: list[Row] = []
        self._failure = failure
        self._retry_at = 0.0
        self._dropped = 0
        self._synchronous = ""
        self._tables: dict[str, Table] = {}
        self._sql: dict[tuple[str, tuple[str, ...]], str] = {}
        self._db: sqlite3.Connection | None = None

    def take_in(self, rows: Iterable[tuple[str, dict[str, object]]]) -> None:
        """Before the start: rows of the emergency log, to be committed first and then forgotten there."""
        self._waiting = [Row(kind, data, durable=True, saved=True) for kind, data in rows]
        self._used_emergency = bool(self._waiting)

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
            item = self.inbox.get(timeout=RETRY_S if self._failure else LOOK_S)
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
            self._look()
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
        if self._used_emergency and self.inbox.empty():
            self._forget_emergency()
        return True

    def _forget_emergency(self) -> None:
        """All that the emergency log holds is committed by now."""
        with contextlib.suppress(OSError):
            self.emergency.reserve()
            self._used_emergency = False

    def saved_elsewhere(self) -> None:
        """Another thread put rows into the emergency log that wait here; they are forgotten once they are committed."""
        self._used_emergency = True

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
        if _identity(self._path) != self._identity:
            self._rescue(db)

    def _insert(self, db: sqlite3.Connection, row: Row) -> None:
        self._put(db, row)
        if row.also is not None:
            self._put(db, row.also)

    def _put(self, db: sqlite3.Connection, row: Row) -> None:
        table = self._tables.get(row.kind)
        if table is None:
            self._misplace(db, row, "there is no such table")
            return
        columns, values = split(table, row.data)
        if row.kind == AUDIT:
            columns, values = chained(db, columns, values)
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
        words = words_of(error)
        failure = StoreError(failure_words(self._path, words))
        self._retry_at = clock.monotonic() + RETRY_S
        refused = [row for row in self._waiting if row.done is not None and not self._saved(row, failure)]
        self._waiting = [row for row in self._waiting if row not in refused] if refused else self._waiting
        self._shed()
        if self._failure != words:
            self._failure = words
            self._report(str(failure))
        broken = isinstance(error, sqlite3.Error) and not isinstance(error, sqlite3.OperationalError)
        if broken and _identity(self._path) == self._identity:
            self._disconnect()

    def _saved(self, row: Row, failure: StoreError) -> bool:
        """Answer an intent; False when it was refused, so that it is never written as if it had been sent."""
        if not row.exit:
            self._answer(row, failure)
            return False
        try:
            self._save(row)
        except OSError as error:
            self._answer(row, StoreError(f"{failure} The emergency log failed too ({error.strerror})."))
            return True
        self._answer(row, None)
        return True

    def _save(self, row: Row) -> None:
        """Put a row into the emergency log, once. Raises ``OSError``."""
        if row.saved:
            return
        self.emergency.append(row.kind, row.data)
        self._used_emergency = row.saved = True
        if row.also is not None:
            self.emergency.append(row.also.kind, row.also.data)

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
        lost, why = 0, ""
        for row in sorted(self._waiting, key=lambda row: (not row.intent, not row.durable, row.kind == "candles")):
            try:
                self._save(row)
            except OSError as error:
                lost, why = lost + 1, error.strerror or str(error)
        if lost:
            return StoreError(f"{text}, {lost} of them nor to {self.emergency.path} ({why}): those are lost.")
        return StoreError(f"{text}; they stand in {self.emergency.path} and are taken in at the next start.")

    # --- connection ---

    def _connect(self) -> sqlite3.Connection:
        if self._db is None:
            db = connect(self._path)
            try:
                ours = not self._epoch or finish(db, self._path, self._epoch)
                self._tables = read_tables(db)
            except BaseException:
                db.close()
                raise
            if not (ours or self._unfinished):
                self._notice(
                    f"the store {self._path.name} is not the file that was open before; it goes on in this one"
                )
            self._unfinished = False
            self._db, self._synchronous, self._identity = db, "", _identity(self._path)
        return self._db

    def _disconnect(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    # --- a file that changed under the open database ---

    def _look(self) -> None:
        if self._db is None or _identity(self._path) == self._identity:
            return
        try:
            self._rescue(self._db)
        except Exception as error:  # noqa: BLE001 - the writer must outlive any failure: it is said and tried again
            self._on_failure(error)

    def _rescue(self, db: sqlite3.Connection) -> None:
        """Write the open database, whose file was deleted, moved or replaced, anew in its place.

        What stands there now is put aside. Raises ``OSError``, ``sqlite3.Error``: then nothing is acknowledged.
        """
        fresh = rescued_path(self._path)
        fresh.unlink(missing_ok=True)
        os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with contextlib.closing(sqlite3.connect(fresh)) as copy:
            db.backup(copy)
        _sync(fresh)
        replaced = self._path.exists()
        ours = [part for part in PARTS[1:] if _open_here(self._path.with_name(self._path.name + part))]
        parts = tuple(part for part in PARTS if part not in ours)
        name = put_aside(self._path, "foreign", clock.wall_ms(), parts=parts).name if replaced else ""
        self._disconnect()
        for part in PARTS[1:]:
            self._path.with_name(self._path.name + part).unlink(missing_ok=True)
        fresh.rename(self._path)
        _sync(self._path.parent)
        self._connect()
        happened = f"was replaced by another file (put aside as {name})" if replaced else "was deleted"
        self._notice(
            f"the store {self._path.name} {happened} while it was open; it was written anew from memory and disk, "
            "nothing is lost"
        )


def failure_words(path: Path, words: str) -> str:
    """What a store that cannot be written means and what to do."""
    restart = " Restart to put the damaged file aside and begin a new one." if "corrupt" in words else ""
    return (
        f"The store {path.name} cannot be written ({words}): no new entries, exits go on through the emergency log. "
        f"Free or mend the disk; writing is tried again by itself.{restart}"
    )


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file stands at ``path``; None when there is none."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def _open_here(path: Path) -> bool:
    """Whether this process has the file at ``path`` open: a write-ahead log of ours must not go with a foreign file."""
    wanted = _identity(path)
    if wanted is None:
        return False
    for name in os.listdir("/dev/fd"):
        try:
            facts = os.fstat(int(name))
        except (OSError, ValueError):
            continue
        if (facts.st_dev, facts.st_ino) == wanted:
            return True
    return False


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
