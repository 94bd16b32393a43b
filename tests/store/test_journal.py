"""The store under a session: durable intents, failure and recovery in words, nothing lost, a fresh epoch each start."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from tests.store.build import NOW, cancel, place, record
from tui_trader.core.types import Leg
from tui_trader.errors import StoreError
from tui_trader.store.emergency import RESERVED_BYTES
from tui_trader.store.journal import Store


def ignore(text: str) -> None:
    """A session that does not listen."""


def ask(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite3"


async def test_an_acknowledged_intent_is_on_the_disk(path: Path) -> None:
    store = await Store.open(path, ignore)
    await store.intent(place("a"))
    await store.intent(cancel("a"))
    assert ask(path, "SELECT client_id, status, qty, reduce_only, intent_ts FROM orders") == [
        ("a", "intent", "0.046", 0, NOW)
    ]
    await store.flush()
    assert ask(path, "SELECT client_id, action, result FROM sends") == [
        ("a", "place", "intent"),
        ("a", "cancel", "intent"),
    ]
    await store.aclose()


async def test_an_intent_does_not_undo_what_is_known(path: Path) -> None:
    store = await Store.open(path, ignore)
    await store.intent(place("a"))
    store.record(record("orders", client_id="a", status="working"))
    await store.intent(place("a"))
    assert ask(path, "SELECT status FROM orders") == [("working",)]
    await store.aclose()


async def test_closing_writes_everything_queued(path: Path) -> None:
    store = await Store.open(path, ignore)
    for number in range(12_000):
        store.record(record("notices", ts=number, text=f"n{number}"))
    await store.aclose()
    await store.aclose()
    assert ask(path, "SELECT count(*), max(ts) FROM notices") == [(12_000, 11_999)]
    with pytest.raises(StoreError, match="closed"):
        store.record(record("notices", ts=1))
    with pytest.raises(StoreError, match="closed"):
        await store.intent(place("b"))


async def test_unknown_tables_and_poisonous_rows_are_kept_aside(path: Path) -> None:
    store = await Store.open(path, ignore)
    store.record(record("moods", a=Decimal(1)))
    store.record(record("plans", plan_id="not a number", symbol="BTCUSDT"))
    store.record(record("notices", text="after"))
    await store.aclose()
    assert [row[0] for row in ask(path, "SELECT kind FROM misplaced")] == ["moods", "plans"]
    assert ask(path, "SELECT text FROM notices") == [("after",)]


async def test_each_start_has_its_own_epoch(path: Path) -> None:
    epochs = []
    for _ in range(3):
        store = await Store.open(path, ignore)
        epochs.append(store.epoch)
        assert ask(path, "SELECT value FROM meta WHERE key = 'epoch'") == [(store.epoch,)]
        await store.aclose()
    assert epochs == sorted(set(epochs))
    assert all((len(epoch) == 7 and epoch.isalnum() and epoch.islower()) or epoch.isdigit() for epoch in epochs)


async def test_an_epoch_advances_though_the_clock_stepped_back(path: Path) -> None:
    await (await Store.open(path, ignore)).aclose()
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE meta SET value = 'zz00000' WHERE key = 'epoch'")
        db.commit()
    store = await Store.open(path, ignore)
    assert store.epoch == "zz00001"
    await store.aclose()


async def test_files_are_private(path: Path) -> None:
    store = await Store.open(path, ignore)
    await store.intent(place("a"))
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    await store.aclose()
    assert set(modes.values()) == {0o600}
    assert "emergency.jsonl" in modes


# --- failure ---


async def test_a_locked_store_refuses_entries_saves_exits_and_recovers(path: Path) -> None:
    told: list[str] = []
    store = await Store.open(path, told.append)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="another program holds it locked"):
        await store.intent(place("entry"))
    await store.intent(place("stop", leg=Leg.STOP))
    await store.intent(cancel("old"))
    store.record(record("fills", symbol="BTCUSDT", trade_id="1", qty=Decimal(1)))
    with pytest.raises(StoreError, match="wait in memory"):
        await store.flush()
    assert "no new entries" in told[0]
    assert len(told) == 1, "one failure is told once"
    assert b'"stop"' in path.with_name("emergency.jsonl").read_bytes()
    blocker.execute("ROLLBACK")
    blocker.close()
    await store.flush()
    assert ask(path, "SELECT client_id FROM orders") == [("stop",)]
    assert ask(path, "SELECT trade_id FROM fills") == [("1",)]
    await asyncio.sleep(0)
    assert told[-1] == ""
    await store.intent(place("entry2"))
    await store.aclose()


async def test_what_cannot_be_written_at_the_end_is_taken_in_at_the_next_start(path: Path) -> None:
    store = await Store.open(path, ignore)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    await store.intent(place("stop", leg=Leg.STOP))
    store.record(record("signals", ts=1, symbol="ETHUSDT", reasons=["a", "b"]))
    with pytest.raises(StoreError, match="taken in at the next start"):
        await store.aclose()
    blocker.execute("ROLLBACK")
    blocker.close()
    assert ask(path, "SELECT count(*) FROM orders") == [(0,)]
    again = await Store.open(path, ignore)
    assert ask(path, "SELECT client_id, qty, trigger_price FROM orders") == [("stop", "0.046", "42850")]
    assert ask(path, "SELECT reasons FROM signals") == [('["a","b"]',)]
    assert path.with_name("emergency.jsonl").read_bytes() == b"\n" * RESERVED_BYTES
    await again.aclose()
    third = await Store.open(path, ignore)
    await third.aclose()
    assert ask(path, "SELECT count(*) FROM signals") == [(1,)]


async def test_a_torn_emergency_line_is_kept_aside(path: Path) -> None:
    emergency = path.with_name("emergency.jsonl")
    emergency.write_bytes(b'{"kind":"notices","data":{"text":"whole"}}\n{"kind":"notices","da\n\xff\x00\n')
    store = await Store.open(path, ignore)
    await store.aclose()
    assert ask(path, "SELECT text FROM notices") == [("whole",)]
    assert ask(path, "SELECT count(*) FROM misplaced") == [(2,)]


async def test_a_full_disk_is_told(path: Path) -> None:
    told: list[str] = []
    store = await Store.open(path, told.append)
    await store.flush()
    writer = store._writer  # the limit must be set on the writing connection itself
    assert writer._connect().execute("PRAGMA max_page_count = 1").fetchone()
    for number in range(3_000):
        store.record(record("notices", ts=number, text="x" * 200))
    with pytest.raises(StoreError, match="the disk is full"):
        await store.flush()
    writer._connect().execute("PRAGMA max_page_count = 1000000")
    await store.flush()
    assert ask(path, "SELECT count(*) FROM notices") == [(3_000,)]
    await store.aclose()
    assert "the disk is full" in told[0]


# --- restart ---

VICTIM = """
import asyncio, sys
from pathlib import Path
from tests.store.build import place, record
from tui_trader.core.types import Leg
from tui_trader.store.journal import Store

async def main():
    store = await Store.open(Path(sys.argv[1]), print)
    number = 0
    while True:
        store.record(record("notices", ts=number, text="noise"))
        await store.intent(place(f"id-{number}", leg=Leg.STOP, plan_id=number + 1))
        sys.stdout.write(f"id-{number}\\n")
        sys.stdout.flush()
        number += 1

asyncio.run(main())
"""


async def test_acknowledged_intents_survive_sigkill(path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", VICTIM, str(path)], stdout=subprocess.PIPE, text=True, cwd=root
    ) as victim:
        assert victim.stdout is not None
        acknowledged = [victim.stdout.readline().strip() for _ in range(200)]
        victim.send_signal(signal.SIGKILL)
        acknowledged += [line.strip() for line in victim.stdout if line.endswith("\n")]
    assert all(acknowledged)
    store = await Store.open(path, ignore)
    await store.aclose()
    stored = {row[0] for row in ask(path, "SELECT client_id FROM orders")}
    assert set(acknowledged) <= stored
    assert len(stored) <= len(acknowledged) + 1
