"""One writer per account: an advisory lock on a file that says who holds it."""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from typing import Self

import msgspec

from tui_trader.errors import SessionBusyError, TuiTraderError


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds an account. ``started_ms`` is wall time; ``control`` the path of its control socket."""

    pid: int
    started_ms: int
    control: str = ""


def fingerprint(key: str) -> str:
    """A short name for an API key that does not give the key away."""
    return hashlib.sha256(b"tui-trader account " + key.encode()).hexdigest()[:12] if key else "none"


def lock_path(data_dir: Path, venue: str, mode: str, key: str) -> Path:
    """The lock file of one account."""
    return data_dir / f"{venue}-{mode}-{fingerprint(key)}.lock"


def read_holder(path: Path) -> Holder | None:
    """What the file says about its holder; None when there is nothing readable. The lock itself is the truth."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Holder)
    except (OSError, msgspec.MsgspecError):
        return None


class AccountLock:
    """Held from ``acquire`` to ``release``. The kernel frees it when the process dies, so a stale file never blocks.

    The file is never removed: removing it would let two processes hold two different files of the same name.
    """

    def __init__(self, path: Path, holder: Holder) -> None:
        self.path = path
        self.holder = holder
        self._fd: int | None = None

    @property
    def held(self) -> bool:
        """True between ``acquire`` and ``release``."""
        return self._fd is not None

    def acquire(self) -> Self:
        """Take the lock. Raises ``SessionBusyError`` naming the holder, ``TuiTraderError`` when it cannot be taken."""
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise TuiTraderError(
                f"cannot open the account lock {self.path}: {error.strerror}. Nothing was sent."
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(fd)
            raise SessionBusyError(busy_words(read_holder(self.path))) from error
        except OSError as error:
            os.close(fd)
            raise TuiTraderError(
                f"cannot lock {self.path}: {error.strerror}. The data folder must be on a disk that supports locks; "
                "choose another with --data-dir. Nothing was sent."
            ) from error
        self._fd = fd
        self._write(msgspec.json.encode(self.holder) + b"\n")
        return self

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._fd is None:
            return
        self._write(b"")
        os.close(self._fd)
        self._fd = None

    def _write(self, content: bytes) -> None:
        if self._fd is None:
            return
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, content, 0)
        except OSError:
            # The lock holds without its words: on a full disk a second start is refused less eloquently.
            return


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock at ``path``."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(fd)


def busy_words(holder: Holder | None) -> str:
    """Why a second session does not start."""
    who = f"process {holder.pid}" if holder is not None else "another process"
    return (
        f"A session of this account already runs ({who}); two would trade against each other. "
        "It goes on and keeps its positions protected. Take it over with --take-over, or leave it."
    )
