"""Whole sessions whose store fails: no entries, exits go on, clear words, nothing acknowledged lost, then as before.

Each fault strikes while a position is open, and each is mended. (The process row of the fault matrix; I4, I11, I14.)
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from tests.runtime.test_session import enter, held, options, resting_stops, simulated, trading, until
from tests.store.test_opening import SlowDisk
from tests.unprivileged import modes_count
from tui_trader.core.events import ClosePosition, KillSwitch, OpenPosition, PauseEntries
from tui_trader.core.types import Channel, Side
from tui_trader.exchange.server import RunningExchange
from tui_trader.runtime.latch import KillLatch
from tui_trader.runtime.session import Session
from tui_trader.runtime.start import STORE_FILE
from tui_trader.store import opening
from tui_trader.store.emergency import FILE_NAME, EmergencyLog, spare_path
from tui_trader.store.schema import MIGRATIONS


def ticket(session: Session) -> OpenPosition:
    return OpenPosition(ts=session.now_ms(), symbol="ETHUSDT", side=Side.LONG, qty=Decimal("0.1"), override_soft=True)


def refused(session: Session) -> str:
    """Why an entry is refused by rules that nobody can override; "" when it is not."""
    preview = session.preview(ticket(session))
    return preview.error or "; ".join(preview.hard)


def ask(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(opening.read_only(path)) as db:
        return db.execute(sql).fetchall()


def ours(exchange: RunningExchange) -> set[str]:
    """Ids of our regular orders at the exchange."""
    return {o.client_id for o in exchange.account.history.values() if o.client_id.startswith("tt-")}


def journalled(path: Path) -> set[object]:
    """Ids whose intent is durable now: in the store, in the emergency log, or in its spare."""
    found = {row[0] for row in ask(path, "SELECT client_id FROM orders")}
    return found | {data.get("client_id") for _, data in EmergencyLog(path.with_name(FILE_NAME)).rows()}


def text(session: Session) -> str:
    session.log.flush()
    return session.log.path.read_text()


def store_down(session: Session) -> bool:
    return not session.engine.state.channels[Channel.STORE].up


async def close(session: Session, exchange: RunningExchange) -> None:
    """An exit goes on whatever the store does: the exchange says flat, both books empty."""
    session.send(ClosePosition(ts=session.now_ms(), symbol="BTCUSDT", fraction=Decimal(1)))
    await until(lambda: not held(exchange))
    await until(lambda: not exchange.account.algos and not exchange.account.orders)


@pytest.fixture
def modes() -> Iterator[None]:
    with modes_count():
        yield


# --- while the session runs ---


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as blocker:
        blocker.execute("BEGIN IMMEDIATE")
        yield
        blocker.execute("ROLLBACK")


@contextmanager
def folder_moved(path: Path) -> Iterator[None]:
    """The data folder is gone: store, log and emergency log alike."""
    away = path.parent.with_name("away")
    path.parent.rename(away)
    yield
    away.rename(path.parent)


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    """The disk turned read-only: SQLite sees it at the next write, as it does after an error of the file system."""
    session_writer = [p for p in path.parent.iterdir() if p.name.startswith(path.name)]
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        # A write lock held elsewhere stands for the refused write; the modes keep the emergency log off this folder.
        other.execute("BEGIN IMMEDIATE")
        for file in session_writer:
            file.chmod(0o400)
        (path.parent / FILE_NAME).chmod(0o400)
        path.parent.chmod(0o500)
        try:
            yield
        finally:
            path.parent.chmod(0o700)
            for file in path.parent.iterdir():
                file.chmod(0o600)
            other.execute("ROLLBACK")


@pytest.mark.parametrize("fault", [locked, folder_moved, read_only])
async def test_a_store_that_fails_refuses_entries_lets_exits_go_and_recovers(
    tmp_path: Path, modes: None, fault: Callable[[Path], contextlib.AbstractContextManager[None]]
) -> None:
    path = tmp_path / "live" / STORE_FILE
    async with simulated() as exchange:
        async with trading(options(exchange, tmp_path)) as session:
            await enter(session)
            await until(lambda: not refused(session))
            with fault(path):
                await until(lambda: store_down(session))
                assert "no new entries, exits go on" in refused(session)
                session.send(ticket(session))
                await close(session, exchange)
                assert "ETHUSDT" not in held(exchange)
            await until(lambda: not store_down(session))
            await until(lambda: not refused(session))
            await until(lambda: ask(path, "SELECT symbol, reason FROM trades") == [("BTCUSDT", "closed by hand")])
            assert ours(exchange) <= {row[0] for row in ask(path, "SELECT client_id FROM orders")}
        assert ask(path, "PRAGMA integrity_check") == [("ok",)]


def _deleted(path: Path) -> None:
    for part in opening.PARTS:
        path.with_name(path.name + part).unlink(missing_ok=True)


def _replaced(path: Path) -> None:
    """An hour-old backup copied over the running store."""
    other = path.with_name("backup.sqlite3")
    with closing(sqlite3.connect(path)) as now, closing(sqlite3.connect(other)) as copy:
        now.backup(copy)
        copy.execute("DELETE FROM orders")
        copy.commit()
    other.replace(path)


@pytest.mark.parametrize("fault", [_deleted, _replaced])
async def test_a_store_deleted_or_replaced_while_running_loses_nothing(
    tmp_path: Path, fault: Callable[[Path], None]
) -> None:
    path = tmp_path / "live" / STORE_FILE
    async with simulated() as exchange:
        async with trading(options(exchange, tmp_path)) as session:
            await enter(session)
            before = {row[0] for row in ask(path, "SELECT client_id FROM orders")}
            assert before
            fault(path)
            await close(session, exchange)
            await until(lambda: "written anew" in text(session))
            after = {row[0] for row in ask(path, "SELECT client_id FROM orders")}
            assert before < after
        async with trading(options(exchange, tmp_path)) as again:
            await until(lambda: not refused(again))


async def test_a_disk_that_answers_slowly_refuses_entries_and_lets_exits_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = sqlite3.connect
    monkeypatch.setattr(
        opening.sqlite3,
        "connect",
        lambda *a, **k: plain(*a, **({"factory": SlowDisk} | k)),  # type: ignore[misc]
    )
    SlowDisk.go.set()
    path = tmp_path / "live" / STORE_FILE
    async with simulated() as exchange, trading(options(exchange, tmp_path)) as session:
        await enter(session)
        await until(lambda: not refused(session))
        SlowDisk.go.clear()
        try:
            await close(session, exchange)
            await until(lambda: store_down(session))
            assert "answers slowly" in refused(session)
            assert ours(exchange) <= journalled(path)
        finally:
            SlowDisk.go.set()
        await until(lambda: not store_down(session))
        await until(lambda: not refused(session))
        await until(lambda: ours(exchange) <= {row[0] for row in ask(path, "SELECT client_id FROM orders")})


async def test_a_kill_while_the_store_fails_is_latched_for_the_next_start(tmp_path: Path) -> None:
    """I15: and also when the store that comes back is a backup that knows nothing of it."""
    path = tmp_path / "live" / STORE_FILE
    async with simulated() as exchange:
        async with trading(options(exchange, tmp_path)) as session:
            await enter(session)
            with closing(sqlite3.connect(path)) as now, closing(sqlite3.connect(tmp_path / "backup")) as copy:
                now.backup(copy)
            with locked(path):
                session.send(KillSwitch(ts=session.now_ms(), reason="by key"))
                await until(lambda: not held(exchange) and not exchange.account.algos)
                await until(lambda: KillLatch(path.parent).read())
        _deleted(path)
        shutil.copy(tmp_path / "backup", path)
        async with trading(options(exchange, tmp_path)) as again:
            await until(lambda: again.status().get("killed"))
            assert again.status()["kill_reason"] == "by key"
            again.send(PauseEntries(ts=again.now_ms(), paused=False))
            await until(lambda: not again.engine.state.halted)
            assert "kill switch latched" in refused(again), "resuming does not re-arm"


# --- full disks ---


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir(mode=0o700)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", folder], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("mounting needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path) -> None:
    with (folder / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4_096)


async def test_a_full_disk_while_a_position_is_open_and_at_the_next_start(tmp_path: Path) -> None:
    """Also with the emergency log's reserved space gone: then its spare takes the rows."""
    folder = tmp_path / "live"
    path = folder / STORE_FILE
    with small_disk(folder, "8m"):
        async with simulated() as exchange:
            async with trading(options(exchange, tmp_path)) as session:
                await enter(session)
                fill(folder)
                await until(lambda: store_down(session), 60.0)
                assert "the disk is full" in refused(session)
            assert resting_stops(exchange)
            (folder / FILE_NAME).unlink()
            fill(folder)
            async with trading(options(exchange, tmp_path)) as again:
                await until(lambda: store_down(again))
                await until(lambda: again.status().get("positions") == 1 and again.status().get("naked") == 0)
                assert refused(again)
                await close(again, exchange)
                assert ours(exchange) <= journalled(path)
                (folder / "ballast").unlink()
                await until(lambda: not store_down(again))
            assert ours(exchange) <= {row[0] for row in ask(path, "SELECT client_id FROM orders")}
            assert not spare_path(folder / FILE_NAME).exists()


# --- as the next start finds it ---


def _corrupt(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4_096:-4_096] = os.urandom(len(content) - 8_192)
    path.write_bytes(content)


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20_000])


def _no_header(path: Path) -> None:
    path.write_bytes(bytes(100) + path.read_bytes()[100:])


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [_corrupt, _truncated, _no_header, _emptied, _deleted])
async def test_a_damaged_store_at_the_start_still_protects_and_waits_for_a_person(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    path = tmp_path / "live" / STORE_FILE
    async with simulated() as exchange:
        async with trading(options(exchange, tmp_path)) as session:
            await enter(session)
        exchange.engine.cancel_all_algos(exchange.account, "BTCUSDT")
        assert not resting_stops(exchange), "bare, so that protecting is shown"
        damage(path)
        async with trading(options(exchange, tmp_path)) as again:
            await until(lambda: len(resting_stops(exchange)) == 1)
            await until(lambda: again.status().get("positions") == 1 and again.status().get("naked") == 0)
            assert "resume with p" in refused(again)
            if damage not in (_emptied, _deleted):
                (aside,) = path.parent.glob("store-damaged-*.sqlite3")
                assert aside.name in refused(again)
            again.send(PauseEntries(ts=again.now_ms(), paused=False))
            await until(lambda: not refused(again))
            await close(again, exchange)


async def test_a_backup_of_an_hour_ago_reuses_no_id_and_learns_of_what_happened_since(tmp_path: Path) -> None:
    path = tmp_path / "live" / STORE_FILE
    backup = tmp_path / "backup"
    async with simulated() as exchange:
        async with trading(options(exchange, tmp_path)) as session:
            await until(lambda: not refused(session))
        shutil.copytree(path.parent, backup)
        async with trading(options(exchange, tmp_path)) as session:
            await enter(session)
        ids = {o.client_id for o in exchange.account.history.values()}
        for part in opening.PARTS:
            path.with_name(path.name + part).unlink(missing_ok=True)
        shutil.copy(backup / STORE_FILE, path)
        async with trading(options(exchange, tmp_path)) as again:
            await until(lambda: again.status().get("positions") == 1 and again.status().get("naked") == 0)
            assert "restored backup" in refused(again)
            assert held(exchange) == {"BTCUSDT": Decimal("0.010")}
            assert len(resting_stops(exchange)) == 1
            again.send(PauseEntries(ts=again.now_ms(), paused=False))
            await until(lambda: not refused(again))
            await close(again, exchange)
            everything = [o.client_id for o in exchange.account.history.values() if o.algo is None]
            everything += [a.client_id for a in exchange.account.algo_history.values()]
            assert len(everything) == len(set(everything)), "no id was used twice"
            assert ids


async def test_a_store_of_an_older_version_is_brought_up_and_goes_on(tmp_path: Path) -> None:
    """A store with a position from the first version of the schema."""
    path = tmp_path / "live" / STORE_FILE
    async with simulated() as exchange:
        async with trading(options(exchange, tmp_path)) as session:
            await enter(session)
        older = path.with_name("older.sqlite3")
        with closing(sqlite3.connect(older, isolation_level=None)) as db:
            MIGRATIONS[0](db)
            db.execute("PRAGMA user_version = 1")
            db.execute("ATTACH ? AS newer", (str(path),))
            for table in ("plans", "orders", "fills", "state", "meta"):
                columns = ", ".join(f'"{row[1]}"' for row in db.execute(f"PRAGMA main.table_info({table})"))
                db.execute(f"INSERT OR REPLACE INTO main.{table}({columns}) SELECT {columns} FROM newer.{table}")
        for part in opening.PARTS:
            path.with_name(path.name + part).unlink(missing_ok=True)
        older.replace(path)
        async with trading(options(exchange, tmp_path)) as again:
            await until(lambda: again.status().get("positions") == 1 and again.status().get("naked") == 0)
            await until(lambda: not refused(again))
            assert len(resting_stops(exchange)) == 1
            await close(again, exchange)
        assert ask(path, "PRAGMA user_version") == [(len(MIGRATIONS),)]
