from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tui_trader.errors import SessionBusyError, TuiTraderError
from tui_trader.runtime.lock import AccountLock, Holder, fingerprint, is_held, lock_path, read_holder

HOLDER = Holder(pid=4711, started_ms=1, control="/x.sock")


def test_a_second_holder_is_refused_and_told_who_holds(tmp_path: Path) -> None:
    """I16."""
    path = lock_path(tmp_path, "binance", "live", "key")
    first = AccountLock(path, HOLDER).acquire()
    with pytest.raises(SessionBusyError, match="4711"):
        AccountLock(path, Holder(pid=2, started_ms=2)).acquire()
    assert is_held(path)
    assert read_holder(path) == HOLDER
    first.release()
    first.release()
    assert not is_held(path)
    assert read_holder(path) is None
    AccountLock(path, HOLDER).acquire().release()


def test_two_accounts_do_not_share_a_lock(tmp_path: Path) -> None:
    one, two = (lock_path(tmp_path, "binance", "live", key) for key in ("a", "b"))
    first, second = AccountLock(one, HOLDER).acquire(), AccountLock(two, HOLDER).acquire()
    assert one != two
    first.release()
    second.release()


def test_the_key_does_not_stand_in_the_name(tmp_path: Path) -> None:
    """I22."""
    assert "verysecretkey" not in str(lock_path(tmp_path, "binance", "live", "verysecretkey"))
    assert len(fingerprint("verysecretkey")) == 12


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    code = (
        "import sys, pathlib, time\n"
        "from tui_trader.runtime.lock import AccountLock, Holder\n"
        f"AccountLock(pathlib.Path({str(path)!r}), Holder(pid=1, started_ms=1)).acquire()\n"
        "print('held', flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        assert is_held(path)
        child.kill()
    assert not is_held(path)
    assert read_holder(path) == Holder(pid=1, started_ms=1)
    AccountLock(path, HOLDER).acquire().release()


def test_the_file_is_private(tmp_path: Path) -> None:
    lock = AccountLock(tmp_path / "a.lock", HOLDER).acquire()
    assert stat.S_IMODE(lock.path.stat().st_mode) == 0o600
    lock.release()


def test_a_folder_that_is_not_there_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(TuiTraderError, match="cannot open the account lock"):
        AccountLock(tmp_path / "no" / "a.lock", HOLDER).acquire()


def test_garbage_in_the_file_is_nobody(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    path.write_bytes(b"\xff{]")
    assert read_holder(path) is None
