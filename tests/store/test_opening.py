"""Stores as they are found at a start, and what becomes of them while one is open."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.store.build import place, record
from tests.unprivileged import modes_count
from tui_trader import clock
from tui_trader.core.types import Leg
from tui_trader.errors import StoreError
from tui_trader.store import emergency, journal, opening, writer
from tui_trader.store.emergency import RESERVED_BYTES, EmergencyLog, spare_path
from tui_trader.store.journal import Store
from tui_trader.store.opening import EpochMark, next_epoch


def ignore(text: str) -> None:
    """A session that does not listen."""


def ask(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite3"


@pytest.fixture
def modes() -> Iterator[None]:
    with modes_count():
        yield


async def filled(path: Path) -> str:
    """A closed store with an open plan, losses and a latched kill switch; returns its epoch."""
    store = await Store.open(path, ignore)
    store.record(record("plans", plan_id=7, symbol="BTCUSDT", body={"plan_id": 7}))
    store.record(record("state", key="losses", value={"day": 3, "daily_reached": True}))
    store.record(record("state", key="kill", value={"reason": "enough", "ts": 1}))
    for number in range(400):
        store.record(record("notices", ts=number, text="x" * 100))
    await store.aclose()
    return store.epoch


def asides(path: Path, why: str) -> list[Path]:
    return sorted(path.parent.glob(f"store-{why}-*.sqlite3"))


# --- refused in words ---


async def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        await Store.open(tmp_path / "absent" / "store.sqlite3", ignore)


async def test_a_store_of_a_newer_version_is_left_alone(path: Path) -> None:
    await filled(path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 999")
        db.commit()
    content = path.read_bytes()
    with pytest.raises(StoreError, match="newer tui-trader"):
        await Store.open(path, ignore)
    assert path.read_bytes() == content


async def test_a_newer_store_that_cannot_be_written_is_refused_too(path: Path, modes: None) -> None:
    await filled(path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 999")
        db.commit()
    path.chmod(0o400)
    path.parent.chmod(0o500)
    try:
        with pytest.raises(StoreError, match="newer tui-trader"):
            await Store.open(path, ignore)
    finally:
        path.parent.chmod(0o700)


# --- damaged ---


def noise(content: bytearray) -> None:
    content[8192:40960] = b"\xa5" * (40960 - 8192)


def no_header(content: bytearray) -> None:
    content[:100] = bytes(100)


def cut(content: bytearray) -> None:
    del content[len(content) // 2 :]


def text(content: bytearray) -> None:
    content[:] = b"this is not a database, but it is long enough to be looked at" * 100


@pytest.mark.parametrize("damage", [noise, no_header, cut, text])
async def test_a_damaged_store_is_put_aside_whole_and_a_new_one_begun(path: Path, damage: object) -> None:
    """The fault matrix's corrupt store: the session goes on protecting, entries wait for a person."""
    before = await filled(path)
    content = bytearray(path.read_bytes())
    damage(content)  # type: ignore[operator]
    path.write_bytes(content)
    store = await Store.open(path, ignore)
    (aside,) = asides(path, "damaged")
    assert aside.read_bytes() == content
    assert aside.name in store.doubt
    assert "resume with p" in store.doubt
    assert store.epoch > before
    known = await store.recovered()
    assert known.plans == ()
    await store.intent(place("stop", leg=Leg.STOP))
    assert ask(path, "SELECT client_id FROM orders") == [("stop",)]
    await store.aclose()
    again = await Store.open(path, ignore)
    assert again.doubt == ""
    await again.aclose()


async def test_limits_and_latch_are_read_from_a_damaged_store_where_they_can_be(path: Path) -> None:
    store = await Store.open(path, ignore)
    store.record(record("state", key="kill", value={"reason": "enough", "ts": 1}))
    store.record(record("state", key="losses", value={"day": 3, "daily_reached": True}))
    await store.flush()
    for number in range(3_000):
        store.record(record("notices", ts=number, text="x" * 200))
    await store.aclose()
    content = bytearray(path.read_bytes())
    content[-200_000:-100_000] = os.urandom(100_000)
    path.write_bytes(content)
    again = await Store.open(path, ignore)
    assert again.doubt
    known = await again.recovered()
    assert known.state["kill"] == {"reason": "enough", "ts": 1}
    assert known.state["losses"] == {"day": 3, "daily_reached": True}
    await again.aclose()


def whole_log(content: bytearray) -> None:
    content[:] = os.urandom(len(content))


def log_header(content: bytearray) -> None:
    content[:32] = os.urandom(32)


def first_page(content: bytearray) -> None:
    content[100:200] = os.urandom(100)


def nothing(content: bytearray) -> None:
    """As a SIGKILL leaves it."""


def torn_end(content: bytearray) -> None:
    del content[-2_000:]


@pytest.mark.parametrize(
    ("damage", "noticed"),
    [(whole_log, True), (log_header, True), (first_page, True), (nothing, False), (torn_end, False)],
)
async def test_a_damaged_write_ahead_log_is_noticed(path: Path, damage: object, noticed: bool) -> None:
    """SQLite drops what follows a wrong checksum without a word; an unfinished last write is no damage."""
    store = await Store.open(path, ignore)
    for number in range(5):
        await store.intent(place(f"id-{number}"))
    copy = path.with_name("copy.sqlite3")
    for part in ("", "-wal"):
        shutil.copy(path.with_name(path.name + part), path.with_name("copy.sqlite3" + part))
    await store.aclose()
    copy.replace(path)
    log = path.with_name("copy.sqlite3-wal")
    content = bytearray(log.read_bytes())
    damage(content)  # type: ignore[operator]
    log.write_bytes(content)
    log.replace(path.with_name(path.name + "-wal"))
    again = await Store.open(path, ignore)
    assert ("torn" in again.doubt) is noticed
    await again.aclose()


@pytest.mark.parametrize("emptied", [True, False])
async def test_an_emptied_or_deleted_store_is_noticed(path: Path, emptied: bool) -> None:
    before = await filled(path)
    if emptied:
        path.write_bytes(b"")
    else:
        path.unlink()
    store = await Store.open(path, ignore)
    assert "was gone or empty and begun anew" in store.doubt
    assert store.epoch > before
    await store.aclose()


async def test_a_store_restored_from_a_backup_is_noticed_and_reuses_no_id(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(path)
    backup = path.read_bytes()
    later = await Store.open(path, ignore)
    await later.aclose()
    path.write_bytes(backup)
    monkeypatch.setattr(opening.clock, "wall_ms", lambda: opening.EPOCH_START_MS + 1_000)
    store = await Store.open(path, ignore)
    assert store.epoch == next_epoch(later.epoch), "although the clock stepped back, too"
    assert "restored backup" in store.doubt
    known = await store.recovered()
    assert [plan["plan_id"] for plan in known.plans] == [7]
    await store.aclose()
    again = await Store.open(path, ignore)
    assert again.doubt == ""
    await again.aclose()


async def test_a_backup_of_the_whole_folder_is_noticed_by_the_mark_of_the_account(path: Path, tmp_path: Path) -> None:
    account = tmp_path / "account"
    account.mkdir()
    marks = [account / "absent" / "a.epoch", account / "a.epoch"]
    first = await Store.open(path, ignore, marks=marks)
    await first.aclose()
    backup = {file.name: file.read_bytes() for file in path.parent.glob("store*")}
    later = await Store.open(path, ignore, marks=marks)
    await later.aclose()
    for name, content in backup.items():
        path.with_name(name).write_bytes(content)
    store = await Store.open(path, ignore, marks=marks)
    assert "restored backup" in store.doubt
    assert store.epoch > later.epoch
    await store.aclose()
    elsewhere = tmp_path / "other" / "store.sqlite3"
    elsewhere.parent.mkdir()
    other = await Store.open(elsewhere, ignore, marks=marks)
    assert "another data folder" in other.doubt
    assert other.epoch > store.epoch
    await other.aclose()


@pytest.mark.parametrize("content", [b"", b"\xff\xff", b"../../etc", b"ABCDEFG", b"x" * 10_000])
async def test_an_unreadable_mark_is_none(path: Path, content: bytes) -> None:
    await filled(path)
    EpochMark(path).path.write_bytes(content)
    store = await Store.open(path, ignore)
    assert store.doubt == ""
    assert EpochMark(path).read() == store.epoch
    await store.aclose()


# --- not writable at the start ---


async def test_a_locked_store_is_read_and_written_when_it_is_free(path: Path) -> None:
    before = await filled(path)
    told: list[str] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as blocker:
        blocker.execute("BEGIN IMMEDIATE")
        store = await Store.open(path, told.append)
        assert "another program holds it locked" in told[0]
        known = await store.recovered()
        assert [plan["plan_id"] for plan in known.plans] == [7]
        assert known.state["kill"] == {"reason": "enough", "ts": 1}
        with pytest.raises(StoreError, match="no new entries"):
            await store.intent(place("entry"))
        await store.intent(place("stop", leg=Leg.STOP))
        blocker.execute("ROLLBACK")
    await store.flush()
    await asyncio.sleep(0)
    assert told[-1] == ""
    assert store.epoch > before
    assert ask(path, "SELECT value FROM meta WHERE key = 'epoch'") == [(store.epoch,)]
    assert ask(path, "SELECT client_id FROM orders") == [("stop",)]
    assert ask(path, "SELECT client_id FROM sends") == [("stop",)]
    await store.aclose()


async def test_a_read_only_file_and_folder_are_read_and_exits_go_on(path: Path, modes: None) -> None:
    await filled(path)
    told: list[str] = []
    for file in path.parent.iterdir():
        file.chmod(0o400)
    path.parent.chmod(0o500)
    try:
        store = await Store.open(path, told.append)
        assert "cannot be written" in told[0]
        assert store.doubt == ""
        known = await store.recovered()
        assert [plan["plan_id"] for plan in known.plans] == [7]
        with pytest.raises(StoreError, match="no new entries"):
            await store.intent(place("entry"))
        await store.intent(place("stop", leg=Leg.STOP))
        spare = spare_path(path.with_name(emergency.FILE_NAME))
        assert b'"stop"' in spare.read_bytes()
        with pytest.raises(StoreError, match="taken in at the next start"):
            await store.aclose()
    finally:
        path.parent.chmod(0o700)
        for file in path.parent.iterdir():
            file.chmod(0o600)
    again = await Store.open(path, ignore)
    assert ask(path, "SELECT client_id FROM orders") == [("stop",)]
    assert not spare.exists()
    await again.aclose()


async def test_a_store_that_cannot_be_read_at_all_still_lets_exits_go(path: Path, modes: None) -> None:
    await filled(path)
    path.chmod(0o000)
    path.parent.chmod(0o500)
    try:
        store = await Store.open(path, ignore)
        assert "cannot be read" in store.doubt
        known = await store.recovered()
        assert known.next_plan_id > 10_000_000, "numbers that no plan in there has"
        await store.intent(place("stop", leg=Leg.STOP))
        store.record(record("state", key="losses", value={"day": 9}))
    finally:
        path.parent.chmod(0o700)
        path.chmod(0o600)
    await store.flush()
    assert ask(path, "SELECT value FROM state WHERE key = 'losses'") == [('{"day":3,"daily_reached":true}',)]
    assert ask(path, "SELECT client_id FROM orders") == [("stop",)]
    await store.aclose()


# --- while it is open ---


async def test_a_deleted_store_is_written_anew_before_anything_is_acknowledged(path: Path) -> None:
    notices: list[str] = []
    store = await Store.open(path, ignore, notices.append)
    await store.intent(place("before"))
    for part in ("", "-wal", "-shm"):
        path.with_name(path.name + part).unlink()
    await store.intent(place("after"))
    assert ask(path, "SELECT client_id FROM orders ORDER BY 1") == [("after",), ("before",)]
    await asyncio.sleep(0)
    assert "was deleted while it was open" in notices[0]
    await store.intent(place("later"))
    assert len(notices) == 1
    await store.aclose()
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]
    assert ask(path, "SELECT count(*) FROM orders") == [(3,)]


async def test_only_the_main_file_deleted_does_not_mix_with_the_old_log(path: Path) -> None:
    store = await Store.open(path, ignore)
    await store.intent(place("before"))
    path.unlink()
    await store.intent(place("after"))
    await store.aclose()
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]
    assert ask(path, "SELECT client_id FROM orders ORDER BY 1") == [("after",), ("before",)]


async def test_an_idle_store_notices_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "LOOK_S", 0.02)
    noticed = asyncio.Event()
    store = await Store.open(path, ignore, lambda text: noticed.set())
    await store.intent(place("before"))
    path.unlink()
    await asyncio.wait_for(noticed.wait(), 20)
    assert ask(path, "SELECT client_id FROM orders") == [("before",)]
    await store.aclose()


async def test_a_replaced_store_gives_way_and_is_put_aside_unharmed(path: Path, tmp_path: Path) -> None:
    """A backup copied over the running store: the running one wins, the backup stays as a file."""
    other = tmp_path / "other"
    other.mkdir()
    await filled(other / "store.sqlite3")
    store = await Store.open(path, ignore)
    await store.intent(place("before"))
    (other / "store.sqlite3").replace(path)
    await store.intent(place("after"))
    assert ask(path, "SELECT client_id FROM orders ORDER BY 1") == [("after",), ("before",)]
    (aside,) = asides(path, "foreign")
    assert ask(aside, "PRAGMA integrity_check") == [("ok",)]
    assert ask(aside, "SELECT plan_id FROM plans") == [(7,)]
    await store.aclose()


async def test_a_process_that_ends_while_it_writes_the_store_anew_loses_nothing(path: Path) -> None:
    before = await filled(path)
    path.rename(opening.rescued_path(path))
    store = await Store.open(path, ignore)
    assert store.doubt == ""
    assert store.epoch > before
    assert [plan["plan_id"] for plan in (await store.recovered()).plans] == [7]
    await store.aclose()


async def test_a_backup_copied_into_the_open_file_is_never_taken_for_whole(path: Path) -> None:
    """``cp backup store.sqlite3`` beside the running program: SQLite cannot know; the next start does."""
    await filled(path)
    backup = path.read_bytes()
    store = await Store.open(path, ignore)
    for number in range(200):
        store.record(record("notices", ts=number, text="y" * 300))
    await store.intent(place("before"))
    with path.open("r+b") as file:
        file.write(backup)
        file.truncate()
    with contextlib.suppress(StoreError):
        await store.intent(place("after"))
    with contextlib.suppress(StoreError):
        await store.aclose()
    again = await Store.open(path, ignore)
    whole = {row[0] for row in ask(path, "SELECT client_id FROM orders")} >= {"before", "after"}
    assert whole or again.doubt
    await again.aclose()


async def test_a_folder_that_goes_away_refuses_entries_and_saves_exits(path: Path, tmp_path: Path) -> None:
    told: list[str] = []
    folder = tmp_path / "data"
    folder.mkdir()
    store = await Store.open(folder / "store.sqlite3", told.append)
    await store.intent(place("before"))
    folder.rename(tmp_path / "gone")
    with pytest.raises(StoreError):
        await store.intent(place("entry"))
    await store.intent(place("stop", leg=Leg.STOP))
    folder.mkdir(mode=0o700)
    await store.flush()
    assert ask(folder / "store.sqlite3", "SELECT client_id FROM orders WHERE leg = 'sl'") == [("stop",)]
    assert ("before",) in ask(folder / "store.sqlite3", "SELECT client_id FROM orders")
    assert told[0]
    await asyncio.sleep(0)
    assert told[-1] == ""
    await store.aclose()


class SlowDisk(sqlite3.Connection):
    """A connection whose commits take as long as a test says."""

    go = threading.Event()

    def execute(self, sql: str, *values: object) -> sqlite3.Cursor:  # type: ignore[override]
        if sql == "COMMIT":
            self.go.wait(20)
        return super().execute(sql, *values)  # type: ignore[arg-type]


async def test_a_slow_disk_refuses_entries_and_sends_exits_by_the_emergency_log(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = sqlite3.connect
    monkeypatch.setattr(
        opening.sqlite3,
        "connect",
        lambda *a, **k: plain(*a, **({"factory": SlowDisk} | k)),  # type: ignore[misc]
    )
    monkeypatch.setattr(journal, "SLOW_S", 0.05)
    SlowDisk.go.set()
    told: list[str] = []
    store = await Store.open(path, told.append)
    SlowDisk.go.clear()
    with pytest.raises(StoreError, match="slow"):
        await store.intent(place("entry"))
    await store.intent(place("stop", leg=Leg.STOP))
    assert b'"stop"' in path.with_name(emergency.FILE_NAME).read_bytes()
    assert "answers slowly" in told[0]
    SlowDisk.go.set()
    await store.flush()
    await asyncio.sleep(0)
    assert told[-1] == ""
    await store.intent(place("entry-2"))
    await store.aclose()
    assert set(ask(path, "SELECT client_id FROM orders")) == {("entry",), ("stop",), ("entry-2",)}
    assert path.with_name(emergency.FILE_NAME).read_bytes() == b"\n" * RESERVED_BYTES


# --- full disks, for real ---


@contextmanager
def small_disk(folder: Path, size: str = "2m") -> Iterator[None]:
    """A file system of its own that can be filled."""
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, check=False
    )
    if made.returncode != 0:
        pytest.skip("mounting needs root; a full disk is also simulated by max_page_count")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def fill(folder: Path) -> Path:
    """Use up every byte."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4_096)
        except OSError:
            return ballast


async def test_a_disk_that_fills_up_and_is_mended(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    with small_disk(folder):
        path = folder / "store.sqlite3"
        told: list[str] = []
        store = await Store.open(path, told.append)
        await store.intent(place("before"))
        ballast = fill(folder)
        failed = 0
        for number in range(2_000):
            store.record(record("notices", ts=number, text="x" * 500))
        with pytest.raises(StoreError):
            await store.flush()
        for number in range(20):
            await store.intent(place(f"stop-{number}", leg=Leg.STOP))
            try:
                await store.intent(place(f"entry-{number}"))
            except StoreError:
                failed += 1
        assert failed == 20
        assert "the disk is full" in told[0]
        assert path.with_name(emergency.FILE_NAME).read_bytes().count(b'"orders"') == 20
        ballast.unlink()
        await store.flush()
        await store.intent(place("after"))
        found = {row[0] for row in ask(path, "SELECT client_id FROM orders")}
        assert found == {"before", "after", *(f"stop-{n}" for n in range(20))}
        assert ask(path, "SELECT count(*) FROM notices") == [(2_000,)]
        await store.aclose()
        assert told[-1] == ""


async def test_a_disk_that_is_full_at_the_start_and_in_the_emergency_log(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    with small_disk(folder, "520k"):
        path = folder / "store.sqlite3"
        await filled(path)
        path.with_name(emergency.FILE_NAME).unlink()
        ballast = fill(folder)
        told: list[str] = []
        store = await Store.open(path, told.append)
        assert "cannot be written" in told[0]
        known = await store.recovered()
        assert [plan["plan_id"] for plan in known.plans] == [7]
        with pytest.raises(StoreError, match="no new entries"):
            await store.intent(place("entry"))
        await store.intent(place("stop", leg=Leg.STOP))
        spare = spare_path(path.with_name(emergency.FILE_NAME))
        assert b'"stop"' in spare.read_bytes()
        ballast.unlink()
        await store.flush()
        assert ask(path, "SELECT client_id FROM orders") == [("stop",)]
        await store.aclose()
        assert not spare.exists()


def test_both_emergency_logs_failing_is_an_error_and_nothing_is_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, modes: None
) -> None:
    folder, spare = tmp_path / "a", tmp_path / "b"
    folder.mkdir()
    spare.mkdir()
    monkeypatch.setattr(emergency.tempfile, "gettempdir", lambda: str(spare))
    log = EmergencyLog(folder / emergency.FILE_NAME)
    folder.chmod(0o500)
    spare.chmod(0o500)
    try:
        with pytest.raises(OSError, match="denied"):
            log.append("orders", {"client_id": "x"})
        assert list(log.rows()) == []
    finally:
        folder.chmod(0o700)
        spare.chmod(0o700)


def test_epochs_advance_with_the_time_and_past_any_known_one() -> None:
    early = next_epoch("")
    assert len(early) == 7
    assert next_epoch("zz00000") == "zz00001"
    assert early <= next_epoch(early)
    assert int(early, 36) <= (clock.wall_ms() - opening.EPOCH_START_MS) // 10
