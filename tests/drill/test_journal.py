"""The store in memory: what was committed survives a crash, what was not is lost, a full disk refuses entries."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from random import Random

import pytest

from tests.drill.test_loop import START_MS
from tui_trader.core.commands import Approval, PlaceOrder, Record
from tui_trader.core.types import Leg, OrderSide, OrderType
from tui_trader.drill.journal import Disk, MemoryStore
from tui_trader.drill.loop import VirtualLoop, run_virtual
from tui_trader.errors import StoreError


def order(*, exit_order: bool = False, number: int = 1) -> PlaceOrder:
    return PlaceOrder(
        ts=1,
        client_id=f"tt-0000001-1-{'sl' if exit_order else 'en'}-{number}",
        plan_id=1,
        leg=Leg.STOP if exit_order else Leg.ENTRY,
        symbol="BTCUSDT",
        side=OrderSide.BUY,
        type=OrderType.MARKET,
        qty=Decimal(1),
        reduce_only=exit_order,
        approval=Approval(sequence=number, max_qty=Decimal(1), exit=exit_order),
    )


def notice(text: str) -> Record:
    return Record(ts=1, kind="notices", data={"ts": 1, "severity": "info", "symbol": "", "text": text})


def store(disk: Disk, told: list[str]) -> MemoryStore:
    return MemoryStore(disk, Random(1), told.append)


def test_an_intent_is_durable_when_it_returns_and_survives_the_process() -> None:
    async def main(loop: VirtualLoop) -> None:
        disk = Disk()
        first = store(disk, [])
        await first.intent(order())
        assert disk.rows("SELECT client_id, status FROM orders") == [("tt-0000001-1-en-1", "intent")]
        assert disk.intents == {"tt-0000001-1-en-1"}
        first.kill()
        second = store(disk, [])
        assert second.epoch > first.epoch
        assert [row["client_id"] for row in second.recovered().orders] == ["tt-0000001-1-en-1"]
        disk.close()

    run_virtual(START_MS, main)


def test_a_row_that_was_not_committed_is_lost_with_the_process() -> None:
    async def main(loop: VirtualLoop) -> None:
        disk = Disk()
        first = store(disk, [])
        first.record(notice("kept"))
        await asyncio.sleep(1)
        first.record(notice("lost"))
        first.kill()
        await asyncio.sleep(1)
        assert disk.rows("SELECT text FROM notices") == [("kept",)]
        disk.close()

    run_virtual(START_MS, main)


def test_on_a_full_disk_entries_are_refused_and_exits_go_through_the_emergency_log() -> None:
    async def main(loop: VirtualLoop) -> None:
        told: list[str] = []
        disk = Disk()
        disk.full = True
        first = store(disk, told)
        with pytest.raises(StoreError):
            await first.intent(order())
        await first.intent(order(exit_order=True, number=2))
        assert disk.rows("SELECT client_id FROM orders") == []
        assert disk.intents == {"tt-0000001-1-sl-2"}
        first.kill()
        disk.full = False
        store(disk, told)
        assert disk.rows("SELECT client_id FROM orders") == [("tt-0000001-1-sl-2",)]
        assert any("full" in words for words in told)
        disk.close()

    run_virtual(START_MS, main)


def test_rows_that_waited_for_the_disk_are_written_when_it_has_room_again() -> None:
    async def main(loop: VirtualLoop) -> None:
        told: list[str] = []
        disk = Disk()
        first = store(disk, told)
        disk.full = True
        first.record(notice("late"))
        await asyncio.sleep(1)
        assert disk.rows("SELECT text FROM notices") == []
        disk.full = False
        await asyncio.sleep(2)
        assert disk.rows("SELECT text FROM notices") == [("late",)]
        assert told[-1] == ""
        disk.close()

    run_virtual(START_MS, main)
