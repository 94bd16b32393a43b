"""Files and folders that only their owner reads: made so, and made so again where they are found otherwise."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

FILE_MODE = 0o600
FOLDER_MODE = 0o700


class NotPrivateError(OSError):
    """A file or folder belongs to somebody else, or is not what its name says; ``strerror`` says it in words."""

    def __init__(self, words: str) -> None:
        super().__init__(None, words)


def private_folder(path: Path) -> Path:
    """``path`` as a folder of this user alone (0700), made with its parents if need be; every folder that is made here
    is 0700, whatever the umask. Raises ``OSError`` (``NotPrivateError`` when it belongs to somebody else).
    """
    for folder in (*reversed(path.parents), path):
        if not folder.exists():
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=FOLDER_MODE)
    facts = path.stat()
    if not stat.S_ISDIR(facts.st_mode):
        raise NotPrivateError(f"{path} is not a folder")
    if stat.S_IMODE(facts.st_mode) & 0o077:
        _own(facts, path)
        path.chmod(FOLDER_MODE)
    return path


def tighten(path: Path) -> None:
    """Make an existing file 0600; nothing when there is none. Raises ``OSError`` when it cannot be made so."""
    try:
        facts = path.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISREG(facts.st_mode) and stat.S_IMODE(facts.st_mode) & 0o077:
        _own(facts, path)
        path.chmod(FILE_MODE)


def tighten_all(folder: Path) -> list[str]:
    """Make every file right in ``folder`` 0600; returns, in words, those that cannot be."""
    odd: list[str] = []
    for path in sorted(folder.iterdir()):
        try:
            tighten(path)
        except OSError as error:
            odd.append(f"{path.name}: {error.strerror}")
    return odd


def open_private(path: Path, flags: int) -> int:
    """A descriptor of ``path`` as a regular file with mode 0600, whatever the umask and whatever it was before.

    A symbolic link is not followed, so that nobody makes us write elsewhere. Raises ``OSError``.
    """
    descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, FILE_MODE)
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise NotPrivateError(f"{path} is not a regular file")
        if stat.S_IMODE(facts.st_mode) != FILE_MODE:
            os.fchmod(descriptor, FILE_MODE)
        os.set_blocking(descriptor, True)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def write_private(path: Path, data: bytes) -> None:
    """``data`` as the whole of ``path`` (0600), replaced in one step: a reader sees the old or the new, never a part.

    Raises ``OSError``.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()
    descriptor = open_private(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    fresh.replace(path)


def _own(facts: os.stat_result, path: Path) -> None:
    if facts.st_uid not in (os.getuid(), 0) and os.getuid() != 0:
        raise NotPrivateError(f"{path} belongs to somebody else and can be read by others")
