"""The store as the session sees it: durable intents, queued records, and what a restart needs to know."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tui_trader import clock
from tui_trader.core.commands import CancelOrder, PlaceOrder, Record
from tui_trader.errors import StoreError
from tui_trader.store.emergency import EmergencyLog
from tui_trader.store.schema import migrate
from tui_trader.store.writer import Barrier, Done, Row, Writer, connect, error_name

if TYPE_CHECKING:
    from tui_trader.core.state import Recovered

_EPOCH_START_MS = 1_767_225_600_000
"""2026-01-01: seven base-36 digits of 10 ms steps reach into the year 2050."""
_T = TypeVar("_T")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_QUICK_CHECK_BYTES = 50_000_000


class Store:
    """One open store. All methods belong to the event loop it was opened in; only ``record`` may not be awaited."""

    def __init__(self, path: Path, epoch: str, writer: Writer, loop: asyncio.AbstractEventLoop) -> None:
        self.path = path
        self.epoch = epoch
        self._writer = writer
        self._loop = loop
        self._closed = False

    @classmethod
    async def open(cls, path: Path, on_failure: Callable[[str], None]) -> Store:
        """Open or make the store at ``path``, migrate it, take in the emergency log, and begin a new epoch.

        ``on_failure`` is called in this loop with words when writing fails, and with "" when it works again. Raises
        ``StoreError`` in words: locked, read-only, corrupt, written by a newer version.
        """
        loop = asyncio.get_running_loop()

        def report(text: str) -> None:
            _in_loop(loop, on_failure, text)

        writer = Writer(path, report)
        epoch = await asyncio.to_thread(_prepare, path, writer.emergency)
        writer.start()
        return cls(path, epoch, writer, loop)

    async def intent(self, order: PlaceOrder | CancelOrder) -> None:
        """Return when the intent is on the disk (synchronous=FULL), so that the first byte may leave (I4).

        While the database cannot be written an exit's intent goes to the emergency log. Raises ``StoreError``.
        """
        answer: asyncio.Future[None] = self._loop.create_future()
        rows = intent_rows(order, self._resolver(answer))
        self._check_open()
        for row in rows:
            self._writer.inbox.put(row)
        await answer

    def record(self, record: Record) -> None:
        """Queue one row; never blocks. Raises ``StoreError`` only after ``aclose``."""
        self._check_open()
        self._writer.inbox.put(Row(record.kind, record.data, record.durable))

    async def recovered(self) -> Recovered:
        """What a restart needs, read after everything queued so far is written."""
        await self.flush()
        from tui_trader.store.recover import recovered  # pulls in the whole engine, which opening a store must not

        return await asyncio.to_thread(recovered, self.path)

    async def flush(self) -> None:
        """Return when everything queued so far is committed. Raises ``StoreError`` when it cannot be."""
        self._check_open()
        await self._barrier(stop=False)

    async def aclose(self) -> None:
        """Write what is queued and close; safe to call twice. Raises ``StoreError`` naming where unwritten rows are."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._barrier(stop=True)
        finally:
            await asyncio.to_thread(self._writer.join)

    async def _barrier(self, *, stop: bool) -> None:
        answer: asyncio.Future[None] = self._loop.create_future()
        self._writer.inbox.put(Barrier(self._resolver(answer), stop))
        await asyncio.shield(answer)

    def _resolver(self, answer: asyncio.Future[None]) -> Callable[[StoreError | None], None]:
        def settle(failure: StoreError | None) -> None:
            if answer.done():
                return
            if failure is None:
                answer.set_result(None)
            else:
                answer.set_exception(failure)

        return lambda failure: _in_loop(self._loop, settle, failure)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("The store is closed: the session is ending; nothing more can be recorded.")


def _in_loop(loop: asyncio.AbstractEventLoop, call: Callable[[_T], None], value: _T) -> None:
    """Call in the loop from the writer's thread; a loop that is gone needs no answer any more."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(call, value)


def intent_rows(order: PlaceOrder | CancelOrder, done: Done) -> list[Row]:
    """The rows that must be durable before the first byte of ``order`` leaves; ``done`` hears when they are."""
    if isinstance(order, PlaceOrder):
        rows = [_placed(order), _sent(order, "place")]
        leaves = order.approval.exit
    else:
        rows = [_sent(order, "cancel")]
        leaves = True
    rows[0].intent, rows[0].exit, rows[0].done = True, leaves, done
    return rows


def _placed(order: PlaceOrder) -> Row:
    data: dict[str, object] = {
        "client_id": order.client_id,
        "plan_id": order.plan_id,
        "leg": order.leg.value,
        "symbol": order.symbol,
        "side": order.side.value,
        "type": order.type.value,
        "qty": order.qty,
        "price": order.price,
        "trigger_price": order.trigger_price,
        "reduce_only": order.reduce_only,
        "status": "intent",
        "intent_ts": order.ts,
    }
    return Row("orders", data, durable=True)


def _sent(order: PlaceOrder | CancelOrder, action: str) -> Row:
    data: dict[str, object] = {"ts": order.ts, "client_id": order.client_id, "action": action, "result": "intent"}
    return Row("sends", data, durable=True)


def _prepare(path: Path, emergency: EmergencyLog) -> str:
    """Open once by hand: permissions, integrity, migrations, emergency rows, the new epoch. Runs in a thread."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.fchmod(descriptor, 0o600)
        size = os.fstat(descriptor).st_size
        os.close(descriptor)
        db = connect(path)
        try:
            _check(db, path, size)
            migrate(db)
            rows = list(emergency.rows())
            epoch = begin_epoch(db)
        finally:
            db.close()
        _take_in(path, rows)
        emergency.reserve()
    except sqlite3.Error as error:
        raise StoreError(_refusal(path, error)) from None
    except OSError as error:
        raise StoreError(f"The store {path} cannot be opened ({error.strerror}); give another --data-dir.") from None
    return epoch


def _take_in(path: Path, rows: list[tuple[str, dict[str, object]]]) -> None:
    if not rows:
        return
    failures: list[StoreError | None] = []
    writer = Writer(path, lambda text: None)
    for kind, data in rows:
        writer.inbox.put(Row(kind, data, durable=True))
    writer.inbox.put(Barrier(failures.append, stop=True))
    writer.run()
    if failures[-1] is not None:
        raise failures[-1]


def _check(db: sqlite3.Connection, path: Path, size: int) -> None:
    if size > _QUICK_CHECK_BYTES:
        return
    verdict = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise StoreError(
            f"The store {path} is corrupt ({verdict}). Nothing was changed. Move it away, or restore a backup; "
            "positions at the venue are adopted and protected at the next start."
        )


def begin_epoch(db: sqlite3.Connection) -> str:
    """Seven characters that no earlier start of this store used, nor of a backup of it: the time, made to advance."""
    db.execute("PRAGMA synchronous = FULL")
    db.execute("BEGIN IMMEDIATE")
    last = db.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
    number = max((clock.wall_ms() - _EPOCH_START_MS) // 10, int(last[0], 36) + 1 if last else 0, 0)
    text = ""
    for _ in range(7):
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    db.execute("INSERT OR REPLACE INTO meta(key, value) VALUES('epoch', ?)", (text,))
    db.execute("COMMIT")
    return text


def _refusal(path: Path, error: sqlite3.Error) -> str:
    after = "Positions at the venue keep their resting stops."
    return {
        "SQLITE_BUSY": f"The store {path} is locked by another program. End it, or use another --data-dir. {after}",
        "SQLITE_LOCKED": f"The store {path} is locked by another program. End it, or use another --data-dir. {after}",
        "SQLITE_READONLY": f"The store {path} is read-only. Make it and its folder writable. {after}",
        "SQLITE_NOTADB": f"{path} is no tui-trader store (not a database). Move it away. {after}",
        "SQLITE_CORRUPT": f"The store {path} is corrupt. Move it away, or restore a backup. {after}",
        "SQLITE_FULL": f"The disk of the store {path} is full. Free some space. {after}",
    }.get(error_name(error), f"The store {path} cannot be opened ({error}). {after}")
