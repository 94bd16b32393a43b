"""One writer per account: advisory locks on files that say who holds them.

An account is a venue, a mode and an API key. Its lock stands in the data folder and, for a real key, also in folders of
the user that do not depend on the data folder, so that two data folders with one key see each other. Two keys of one
account are two accounts here: the venue does not say to whom a key belongs.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import pwd
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import msgspec

from tui_trader.errors import SessionBusyError, TuiTraderError
from tui_trader.private import FILE_MODE, private_folder
from tui_trader.venues.hosts import on_loopback

LOCK_DIR = "TP_LOCK_DIR"
"""Environment variable that names the user's lock folder, for containers that share one; all must name the same."""
_TRIES = 5
_UNWRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds an account: ``started_ms`` is wall time, ``control`` its control socket, ``folder`` its data folder."""

    pid: int
    started_ms: int
    control: str = ""
    folder: str = ""


def fingerprint(key: str) -> str:
    """A short name for an API key that does not give the key away."""
    return hashlib.sha256(b"tui-trader account " + key.encode()).hexdigest()[:12] if key else "none"


def lock_path(data_dir: Path, venue: str, mode: str, key: str) -> Path:
    """The lock file of one account in its data folder."""
    return data_dir / f"{venue}-{mode}-{fingerprint(key)}.lock"


def user_paths(
    venue: str, mode: str, key: str, rest_url: str = "", environ: Mapping[str, str] | None = None
) -> tuple[Path, ...]:
    """The lock files of one account outside its data folder; none without a key (the demo's account is its folder's).

    A simulated exchange on this machine knows the same keys as another one, so its address belongs to the account.
    """
    if not key:
        return ()
    account = f"{key} at {rest_url}" if rest_url and on_loopback(rest_url) else key
    given = (os.environ if environ is None else environ).get(LOCK_DIR, "")
    return tuple(lock_path(folder, venue, mode, account) for folder in ([Path(given)] if given else _user_folders()))


def _user_folders() -> list[Path]:
    """Folders that any process of this user finds, whatever its environment: in the home that the system knows, and,
    because a home may be read-only for a service, in the temporary folder.
    """
    temporary = Path("/tmp") / f"tui-trader-{os.getuid()}" / "locks"
    try:
        home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:  # a user without an entry, as in containers
        return [temporary]
    return [home / ".local" / "state" / "tui-trader" / "locks", temporary]


def held_by_user(environ: Mapping[str, str] | None = None) -> list[Holder]:
    """Whoever holds an account with a real key on this machine as this user, whatever the data folder; once each."""
    given = (os.environ if environ is None else environ).get(LOCK_DIR, "")
    found: dict[tuple[int, str], Holder] = {}
    for folder in [Path(given)] if given else _user_folders():
        for path in sorted(folder.glob("*.lock")):
            holder = read_holder(path) if is_held(path) else None
            if holder is not None:
                found[(holder.pid, holder.folder)] = holder
    return list(found.values())


def read_holder(path: Path) -> Holder | None:
    """What the file says about its holder; None when there is nothing readable. The lock itself is the truth."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Holder)
    except (OSError, msgspec.MsgspecError):
        return None


class AccountLock:
    """Held from ``acquire`` to ``release``: the file at ``path`` and those ``elsewhere``.

    The kernel frees a lock when the process dies, so a stale file never blocks, and a process id in it that somebody
    else has now means nothing. The files are never removed: removing one would let two processes hold two different
    files of the same name. ``busy`` is the file that another process held when ``acquire`` failed.
    """

    def __init__(self, path: Path, holder: Holder, elsewhere: Sequence[Path] = ()) -> None:
        self.path = path
        self.holder = holder
        self.busy: Path | None = None
        self._elsewhere = tuple(elsewhere)
        self._held: list[int] = []

    @property
    def held(self) -> bool:
        """True between ``acquire`` and ``release``."""
        return bool(self._held)

    def acquire(self) -> Self:
        """Take the lock. Raises ``SessionBusyError`` naming the holder, ``TuiTraderError`` when it cannot be taken."""
        self.busy = None
        try:
            self._held.append(self._take(self.path, read_only=False))
            self._take_elsewhere()
        except OSError as error:
            self.release()
            raise TuiTraderError(
                f"cannot open the account lock {self.path}: {error.strerror}. The data folder must be on a disk that "
                "can be written and supports locks; choose another with --data-dir. Nothing was sent."
            ) from error
        except BaseException:
            self.release()
            raise
        for descriptor in self._held:
            _write(descriptor, msgspec.json.encode(self.holder) + b"\n")
        return self

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        while self._held:
            descriptor = self._held.pop()
            _write(descriptor, b"")
            # Said, not left to closing: a child that is being started may still hold a copy of the descriptor.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def _take_elsewhere(self) -> None:
        """Take the user's locks; one that cannot be made is passed over, all of them are a refusal."""
        problems: list[str] = []
        for path in self._elsewhere:
            try:
                _user_folder(path.parent)
            except OSError as error:
                problems.append(f"{path.parent}: {error.strerror}")
                if not path.exists():
                    continue
            try:
                self._held.append(self._take(path, read_only=True))
            except OSError as error:
                problems.append(f"{path}: {error.strerror}")
        if self._elsewhere and len(self._held) == 1:
            raise TuiTraderError(
                f"No lock of this account can be taken outside the data folder ({'; '.join(problems)}), so another "
                "data folder with the same key would not be seen. Make one of them writable, or set "
                f"{LOCK_DIR} to a folder of yours. Nothing was sent."
            )

    def _take(self, path: Path, *, read_only: bool) -> int:
        """A locked descriptor of the file that stands at ``path``. Raises ``SessionBusyError``, ``OSError``."""
        for _ in range(_TRIES):
            descriptor = _open(path, read_only)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(descriptor)
                self.busy = path
                raise SessionBusyError(busy_words(read_holder(path))) from error
            except OSError:
                os.close(descriptor)
                raise
            if _same(descriptor, path):
                return descriptor
            os.close(descriptor)
        raise OSError(errno.EAGAIN, "the file is replaced again and again")


def _open(path: Path, read_only: bool) -> int:
    flags = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | flags, FILE_MODE)
    except OSError as error:
        if not read_only or error.errno not in _UNWRITABLE:
            raise
        return os.open(path, os.O_RDONLY | flags)
    facts = os.fstat(descriptor)
    if stat.S_IMODE(facts.st_mode) & 0o077 and facts.st_uid == os.getuid():
        os.fchmod(descriptor, FILE_MODE)
    return descriptor


def _same(descriptor: int, path: Path) -> bool:
    """Whether ``descriptor`` is what stands at ``path``: a lock on a file that was removed meanwhile locks nothing."""
    try:
        there = os.stat(path)
    except OSError:
        return False
    return os.path.samestat(os.fstat(descriptor), there)


def _user_folder(folder: Path) -> None:
    """Make the folder; raises ``OSError`` when it belongs to somebody else, or somebody else could put one in its
    place.
    """
    private_folder(folder)
    if folder.lstat().st_uid != os.getuid():
        raise OSError(errno.EPERM, "it belongs to somebody else, or is a link")
    above = folder.parent.stat()
    others_write = above.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not above.st_mode & stat.S_ISVTX
    if above.st_uid not in (os.getuid(), 0) or others_write:
        raise OSError(errno.EPERM, "others may change the folder above it")


def _write(descriptor: int, content: bytes) -> None:
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, content, 0)
    except OSError:
        # The lock holds without its words: on a full disk a second start is refused less eloquently.
        return


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock at ``path``."""
    try:
        descriptor = _open_existing(path)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def _open_existing(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except PermissionError:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def busy_words(holder: Holder | None) -> str:
    """Why a second session does not start."""
    who = f"process {holder.pid}" if holder is not None else "another process"
    where = f", data folder {holder.folder}" if holder is not None and holder.folder else ""
    return (
        f"A session of this account already runs ({who}{where}); two would trade against each other. "
        "It goes on and keeps its positions protected. Take it over with --take-over before the command, or leave it."
    )
