"""The trader carries what the engine decides; its defects halt entries and never swallow a command."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.core.build import settings
from tests.venues.faults import World, error, world
from tui_trader.core.commands import PlaceOrder, Record
from tui_trader.core.engine import Engine
from tui_trader.core.events import Event, KillSwitch, Notice
from tui_trader.core.types import Severity
from tui_trader.errors import StoreError
from tui_trader.runtime import trader as trader_module
from tui_trader.runtime.inbox import Inbox
from tui_trader.runtime.trader import ENGINE_FAILURES_MAX, Trader


class Sheet:
    """Records in memory; ``broken`` refuses them in words."""

    def __init__(self) -> None:
        self.rows: list[Record] = []
        self.broken = ""

    async def intent(self, order: object) -> None:
        assert isinstance(order, PlaceOrder)

    def record(self, record: Record) -> None:
        if self.broken:
            raise StoreError(self.broken)
        self.rows.append(record)


class Desk:
    def __init__(self, here: World) -> None:
        self.said: list[str] = []
        self.hopeless: list[str] = []
        self.beats = 0
        self.sheet = Sheet()
        self.inbox = Inbox()
        self.engine = Engine(settings(), {}, mode="demo", venue="binance", epoch="trader1")
        self.trader = Trader(
            self.engine,
            here.venue,
            self.sheet,
            self.inbox,
            say=lambda severity, text, **facts: self.said.append(f"{severity}: {text}"),
            redact=lambda text: text,
            on_hopeless=self.hopeless.append,
            on_beat=self.beat,
        )

    def beat(self) -> None:
        self.beats += 1

    def break_engine(self, error: Exception) -> Callable[[Event], list[object]]:
        def process(event: Event) -> list[object]:
            raise error

        self.engine.process = process  # type: ignore[method-assign, assignment]
        return process


async def test_the_workers_reconcile_and_beat() -> None:
    async with world() as here:
        desk = Desk(here)
        desk.trader.start()
        try:
            await here.until(lambda: desk.engine.state.reconciled_ms and desk.beats > 2)
            rows = desk.trader.worker_rows()
            work = ["engine", "reconcile", "history", "watch", "timer", "loop lag", "canary", "outbox", "streams"]
            assert [row.name for row in rows] == work
            none = "0 frames unread, 0 values left out, 0 private events unused, 0 requests refused"
            assert rows[-1].detail == f"0 reconnects, {none}"
            assert desk.trader.processed > 2
        finally:
            await desk.trader.aclose()


async def test_a_canary_that_falls_silent_halts_entries_and_leaves_protection() -> None:
    async with world() as here:
        changed = error(400, -1116, "Invalid orderType.")
        here.bend = lambda request: changed if request.path == "/fapi/v1/order/test" else None
        desk = Desk(here)
        desk.trader.start()
        try:
            await here.until(lambda: desk.engine.state.halted)
            assert desk.engine.state.halted.startswith("worker canary failed: the venue has changed")
            assert not desk.engine.state.killed
        finally:
            await desk.trader.aclose()


async def test_a_canary_without_an_answer_is_asked_again_and_then_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trader_module, "CANARY_PAUSES_S", (0.0, 0.0))
    async with world() as here:
        here.bend = lambda request: error(503, 0) if request.path == "/fapi/v1/order/test" else None
        desk = Desk(here)
        desk.trader.start()
        try:
            await here.until(lambda: any("could not be asked" in line for line in desk.said))
            assert desk.engine.state.halted == ""
        finally:
            await desk.trader.aclose()


async def test_a_defect_of_the_engine_is_told_and_in_the_end_hopeless() -> None:
    async with world(started=False) as here:
        desk = Desk(here)
        desk.break_engine(ZeroDivisionError("by night"))
        for _ in range(ENGINE_FAILURES_MAX):
            desk.trader.apply(Notice(ts=1, severity=Severity.INFO, text="x"))
        assert desk.said[0] == "alarm: the engine failed: ZeroDivisionError: by night while processing Notice"
        assert len(desk.hopeless) == 1
        waiting = await desk.inbox.drain()
        assert {type(event).__name__ for event in waiting} == {"WorkerFailed"}


@pytest.mark.parametrize("broken", ["", "the disk is full"])
async def test_what_the_engine_says_reaches_log_and_store(broken: str) -> None:
    async with world(started=False) as here:
        desk = Desk(here)
        desk.sheet.broken = broken
        desk.trader.apply(Notice(ts=1, severity=Severity.WARNING, text="a word of the venue"))
        assert "warning: a word of the venue" in desk.said
        desk.trader.apply(KillSwitch(ts=2, reason="a test"))
        assert ("audit" in [row.kind for row in desk.sheet.rows]) is not bool(broken)
        assert any("was not stored: the disk is full" in line for line in desk.said) is bool(broken)
