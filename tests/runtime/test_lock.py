from __future__ import annotations

import os
import pwd
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tui_trader.errors import SessionBusyError, TuiTraderError
from tui_trader.runtime import lock as module
from tui_trader.runtime.lock import (
    AccountLock,
    Holder,
    fingerprint,
    is_held,
    lock_path,
    read_holder,
    user_paths,
)

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


# --- one account, several data folders ---


def account(tmp_path: Path, folder: str, key: str = "key", rest_url: str = "") -> AccountLock:
    """The lock of an account as a session of the data folder ``folder`` takes it."""
    users = user_paths("binance", "live", key, rest_url, {"TP_LOCK_DIR": str(tmp_path / "user")})
    data_dir = tmp_path / folder
    data_dir.mkdir(exist_ok=True)
    holder = Holder(pid=os.getpid(), started_ms=1, control=f"/{folder}.sock", folder=str(data_dir))
    return AccountLock(lock_path(data_dir, "binance", "live", key), holder, users)


def test_two_data_folders_with_one_key_see_each_other(tmp_path: Path) -> None:
    """I16."""
    first, second = account(tmp_path, "one").acquire(), account(tmp_path, "two")
    with pytest.raises(SessionBusyError, match=f"process {os.getpid()}, data folder {tmp_path / 'one'}"):
        second.acquire()
    assert not second.held
    assert not is_held(second.path), "what was taken before the refusal is given back"
    assert second.busy is not None
    assert read_holder(second.busy) == first.holder, "a take-over finds the other session's socket"
    first.release()
    second.acquire().release()


def test_other_keys_modes_and_simulated_exchanges_are_other_accounts(tmp_path: Path) -> None:
    held = [
        account(tmp_path, "one").acquire(),
        account(tmp_path, "two", key="other").acquire(),
        account(tmp_path, "three", rest_url="http://127.0.0.1:1000").acquire(),
        account(tmp_path, "four", rest_url="http://127.0.0.1:2000").acquire(),
    ]
    with pytest.raises(SessionBusyError):
        account(tmp_path, "five", rest_url="https://fapi.binance.com").acquire()
    for lock in held:
        lock.release()
    assert user_paths("binance", "demo", "") == ()


def test_the_users_folders_do_not_depend_on_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TP_LOCK_DIR")
    usual = user_paths("binance", "live", "key")
    for name in ("HOME", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, "/somewhere/else")
    assert user_paths("binance", "live", "key") == usual
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    assert [path.is_relative_to(home) for path in usual] == [True, False]
    monkeypatch.setattr(pwd, "getpwuid", lambda number: {}[number])
    assert user_paths("binance", "live", "key") == usual[1:]


def users(tmp_path: Path, *folders: str) -> list[Path]:
    return [tmp_path / folder / "locks" / "a.lock" for folder in folders]


def test_one_shared_folder_of_several_is_enough(tmp_path: Path) -> None:
    """A service without a home and a login with one meet in the temporary folder."""
    (tmp_path / "home").write_text("not a folder")
    first = AccountLock(tmp_path / "1.lock", HOLDER, users(tmp_path, "home", "tmp")).acquire()
    (tmp_path / "home").unlink()
    with pytest.raises(SessionBusyError):
        AccountLock(tmp_path / "2.lock", HOLDER, users(tmp_path, "home", "tmp")).acquire()
    first.release()


def test_no_folder_at_all_is_a_refusal(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("not a folder")
    lock = AccountLock(tmp_path / "1.lock", HOLDER, users(tmp_path, "home"))
    with pytest.raises(TuiTraderError, match="No lock of this account can be taken outside the data folder"):
        lock.acquire()
    assert not is_held(lock.path)


def test_a_file_that_may_only_be_read_still_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only home that holds the file from before."""
    [path] = users(tmp_path, "home")
    path.parent.mkdir(parents=True)
    path.parent.chmod(0o700)
    path.touch(0o400)
    real = os.open

    def read_only(name: object, flags: int, mode: int = 0o777) -> int:
        if name == path and flags & os.O_RDWR:
            raise OSError(30, "Read-only file system")
        return real(name, flags, mode)  # type: ignore[arg-type]

    monkeypatch.setattr(module.os, "open", read_only)
    first = AccountLock(tmp_path / "1.lock", HOLDER, [path]).acquire()
    with pytest.raises(SessionBusyError, match="another process"):
        AccountLock(tmp_path / "2.lock", HOLDER, [path]).acquire()
    first.release()


def test_a_folder_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    """Whoever may write there could put another file in its place."""
    open_to_all = tmp_path / "open"
    (open_to_all / "locks").mkdir(parents=True)
    open_to_all.chmod(0o777)
    with pytest.raises(TuiTraderError, match="others may change the folder above it"):
        AccountLock(tmp_path / "1.lock", HOLDER, users(tmp_path, "open")).acquire()
    open_to_all.chmod(0o1777)
    AccountLock(tmp_path / "1.lock", HOLDER, users(tmp_path, "open")).acquire().release()
    (tmp_path / "link").mkdir()
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link" / "locks").symlink_to(tmp_path / "real")
    if os.getuid() == 0:
        os.chown(tmp_path / "link" / "locks", 12345, 12345, follow_symlinks=False)
        with pytest.raises(TuiTraderError, match="belongs to somebody else, or is a link"):
            AccountLock(tmp_path / "1.lock", HOLDER, users(tmp_path, "link")).acquire()


def test_a_file_that_was_removed_while_it_was_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody tidied up between our opening and our locking: a lock on a file without a name locks nothing."""
    path = tmp_path / "a.lock"
    real, removed = module.fcntl.flock, []

    def remove_first(descriptor: int, how: int) -> None:
        if not removed:
            removed.append(path)
            path.unlink()
        real(descriptor, how)

    monkeypatch.setattr(module.fcntl, "flock", remove_first)
    lock = AccountLock(path, HOLDER).acquire()
    monkeypatch.undo()
    with pytest.raises(SessionBusyError):
        AccountLock(path, HOLDER).acquire()
    lock.release()


def test_the_process_id_in_a_stale_file_means_nothing(tmp_path: Path) -> None:
    """Pid 1 lives, but holds nothing: the number was used again."""
    path = tmp_path / "a.lock"
    path.write_text('{"pid":1,"started_ms":1}')
    assert not is_held(path)
    AccountLock(path, HOLDER).acquire().release()


def test_a_wide_file_is_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    path.touch()
    path.chmod(0o666)
    lock = AccountLock(path, HOLDER).acquire()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lock.release()


def test_a_link_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "victim"
    target.write_text("mine")
    (tmp_path / "a.lock").symlink_to(target)
    with pytest.raises(TuiTraderError, match="cannot open the account lock"):
        AccountLock(tmp_path / "a.lock", HOLDER).acquire()
    assert target.read_text() == "mine"


def test_a_child_process_does_not_inherit_the_lock(tmp_path: Path) -> None:
    """The demo's exchange outlives its console; the account must not stay locked by it."""
    path = tmp_path / "a.lock"
    code = (
        "import subprocess, sys, pathlib, time\n"
        "from tui_trader.runtime.lock import AccountLock, Holder\n"
        f"AccountLock(pathlib.Path({str(path)!r}), Holder(pid=1, started_ms=1)).acquire()\n"
        "child = subprocess.Popen([sys.executable, '-c', 'print(5, flush=True); import time; time.sleep(60)'],\n"
        "                         close_fds=False, stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        child = int(holder.stdout.readline())
        assert is_held(path)
        holder.kill()
    assert not is_held(path)
    os.kill(child, signal.SIGKILL)


def test_giving_back_is_at_once_even_while_a_copy_of_the_descriptor_lives(tmp_path: Path) -> None:
    lock = AccountLock(tmp_path / "a.lock", HOLDER).acquire()
    copy = os.dup(lock._held[0])
    lock.release()
    assert not is_held(lock.path)
    os.close(copy)
