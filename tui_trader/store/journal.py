"""The store as the session sees it: durable intents, queued records, and what a restart needs to know."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from tui_trader import clock
from tui_trader.core.commands import CancelOrder, PlaceOrder, Record
from tui_trader.errors import StoreError
from tui_trader.store.opening import EPOCH_START_MS, Opening, begin_epoch, open_store, unread_words, words_of
from tui_trader.store.writer import Barrier, Done, Row, Writer, failure_words

if TYPE_CHECKING:
    from tui_trader.core.state import Recovered

__all__ = ["Store", "begin_epoch", "intent_rows"]
_T = TypeVar("_T")
SLOW_S = 1.2
"""An intent that waits longer: exits go to the emergency log, entries are refused, and the disk is called slow."""


class Store:
    """One open store. All methods belong to the event loop it was opened in; only ``record`` may not be awaited.

    ``doubt`` is what its memory may lack, in words; "" when it is whole. Then a person decides about entries.
    """

    def __init__(
        self, path: Path, opening: Opening, writer: Writer, told: _Told, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.path = path
        self.epoch = opening.epoch
        self.doubt = opening.doubt
        self._opening = opening
        self._writer = writer
        self._told = told
        self._loop = loop
        self._slow: set[asyncio.Future[None]] = set()
        self._closed = False

    @classmethod
    async def open(
        cls,
        path: Path,
        on_failure: Callable[[str], None],
        on_notice: Callable[[str], None] = lambda text: None,
        marks: Sequence[Path] = (),
    ) -> Store:
        """Open or make the store at ``path``, migrate it, take in the emergency log, and begin a new epoch.

        ``on_failure`` is called in this loop with words when writing fails, and with "" when it works again;
        ``on_notice`` with what a person should know. ``marks`` are files beside other things of the account that know
        the newest epoch, so that a backup of the whole folder is noticed. A damaged store is put aside and a new one
        begun; one that cannot be written is read, and written once it can be. Raises ``StoreError`` in words when the
        folder is missing or a newer version wrote the store.
        """
        loop = asyncio.get_running_loop()
        told = _Told(on_failure)

        def report(text: str) -> None:
            _in_loop(loop, told.writing, text)

        def notice(text: str) -> None:
            _in_loop(loop, on_notice, text)

        opening = await asyncio.to_thread(open_store, path, marks)
        writer = Writer(path, report, notice, epoch=opening.epoch, failure=opening.failure)
        rows, unreserved = await asyncio.to_thread(_emergency_rows, writer, opening)
        writer.take_in(rows)
        store = cls(path, opening, writer, told, loop)
        if opening.failure:
            told.writing(failure_words(path, opening.failure))
        if unreserved:
            on_notice(unreserved)
        writer.start()
        for key, value in opening.salvaged.items():
            data: dict[str, object] = {"key": key, "value": msgspec.Raw(value.encode())}
            store.record(Record(ts=clock.wall_ms(), kind="state", data=data, durable=True))
        if not opening.failure:
            with contextlib.suppress(StoreError):
                await store.flush()
        return store

    async def intent(self, order: PlaceOrder | CancelOrder) -> None:
        """Return when the intent is on the disk (synchronous=FULL), so that the first byte may leave (I4).

        While the database cannot be written, or a slow disk keeps it from answering, an exit's intent goes to the
        emergency log. Raises ``StoreError``.
        """
        answer: asyncio.Future[None] = self._loop.create_future()
        self._check_open()
        rows = intent_rows(order, self._resolver(answer))
        for row in rows:
            self._writer.inbox.put(row)
        try:
            async with asyncio.timeout(SLOW_S):
                await asyncio.shield(answer)
        except TimeoutError:
            self._watch_slow(answer)
            if not rows[0].exit:
                raise StoreError(
                    f"the disk did not confirm the order within {SLOW_S:g} s: it is slow or hangs"
                ) from None
            await asyncio.to_thread(self._save_slow, rows[0])

    def _save_slow(self, row: Row) -> None:
        """Put an exit's rows into the emergency log beside the writer, which hangs. Runs in a thread."""
        self._writer.saved_elsewhere()
        try:
            self._writer.emergency.append(row.kind, row.data)
            if row.also is not None:
                self._writer.emergency.append(row.also.kind, row.also.data)
        except OSError as error:
            raise StoreError(f"the disk is slow and the emergency log failed ({error.strerror})") from None

    def _watch_slow(self, answer: asyncio.Future[None]) -> None:
        if answer.done():
            return
        self._slow.add(answer)
        self._told.slow(f"The store {self.path.name} answers slowly: no new entries until the disk is quick again.")

        def answered(done: asyncio.Future[None]) -> None:
            if not done.cancelled():
                done.exception()
            self._slow.discard(done)
            if not self._slow:
                self._told.slow("")

        answer.add_done_callback(answered)

    def record(self, record: Record) -> None:
        """Queue one row; never blocks. Raises ``StoreError`` only after ``aclose``."""
        self._check_open()
        if self._opening.unread and record.kind == "state" and record.data.get("key") == "losses":
            return  # the limits that stand in a store which could not be read are not overwritten by fresh ones
        self._writer.inbox.put(Row(record.kind, record.data, record.durable))

    async def recovered(self) -> Recovered:
        """What a restart needs, read after everything queued so far is written, or as far as it can be read."""
        from tui_trader.core.state import Recovered
        from tui_trader.store.recover import recovered  # pulls in the whole engine, which opening a store must not

        if not self._opening.failure:
            with contextlib.suppress(StoreError):
                await self.flush()
        if not self._opening.unread:
            try:
                return await asyncio.to_thread(recovered, self.path)
            except (sqlite3.Error, StoreError, KeyError) as error:
                self._opening.unread = True
                self.doubt = unread_words(self.path, words_of(error))
        # Numbers that no plan of the unread store has.
        return Recovered(next_plan_id=max(1, (clock.wall_ms() - EPOCH_START_MS) // 1000))

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


class _Told:
    """Joins what the writer and the clock say about the disk: told to ``on_failure`` once for each change."""

    def __init__(self, on_failure: Callable[[str], None]) -> None:
        self._on_failure = on_failure
        self._writing = self._slow = self._last = ""

    def writing(self, text: str) -> None:
        """Writing fails, in words, or works ("")."""
        self._writing = text
        self._tell()

    def slow(self, text: str) -> None:
        """Writing takes too long, in words, or is quick again ("")."""
        self._slow = text
        self._tell()

    def _tell(self) -> None:
        text = self._writing or self._slow
        if text != self._last:
            self._last = text
            self._on_failure(text)


def _emergency_rows(writer: Writer, opening: Opening) -> tuple[list[tuple[str, dict[str, object]]], str]:
    """What waits in the emergency log, and in words when no space could be reserved for it. Blocks."""
    try:
        rows = list(writer.emergency.rows())
        if rows or opening.failure:
            writer.emergency.go_on()
        else:
            writer.emergency.reserve()
    except OSError as error:
        return [], (
            f"no space could be reserved for the emergency log {writer.emergency.path} ({error.strerror}): should the "
            "store fail, exits may have to go without their rows"
        )
    return rows, ""


def intent_rows(order: PlaceOrder | CancelOrder, done: Done) -> list[Row]:
    """The rows that must be durable before the first byte of ``order`` leaves; ``done`` hears when they are."""
    if isinstance(order, PlaceOrder):
        row, row.also = _placed(order), _sent(order, "place")
        leaves = order.approval.exit
    else:
        row, leaves = _sent(order, "cancel"), True
    row.intent, row.exit, row.done = True, leaves, done
    return [row]


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
