"""The kill switch's second memory: a file beside the store that latches even when the store cannot, or is replaced.

Either latches: the file or the store. A file made by hand (``touch KILL``) counts as well. Only re-arming removes it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

FILE_NAME = "KILL"
_MOST_BYTES = 4_096


class Latched(msgspec.Struct, frozen=True, kw_only=True):
    """What a latched file says. ``at_ms`` is wall time, 0 when the file does not say."""

    reason: str = ""
    at_ms: int = 0


class KillLatch:
    """The file ``KILL`` of one account's folder. Its methods block for as long as the disk does."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME

    def read(self) -> Latched | None:
        """What latched it; None when it is not latched. A file that cannot be read latches, too."""
        try:
            with self.path.open("rb") as file:
                content = file.read(_MOST_BYTES)
        except FileNotFoundError:
            if not self.path.is_symlink():
                return None
            return Latched(reason=f"the link {self.path} exists and leads nowhere")
        except OSError as error:
            return Latched(reason=f"the file {self.path} exists and cannot be read ({error.strerror})")
        try:
            found = msgspec.json.decode(content, type=Latched)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            found = Latched()
        return found if found.reason else Latched(reason=f"the file {self.path} exists", at_ms=found.at_ms)

    def latch(self, reason: str, at_ms: int) -> None:
        """Make the file, on the disk when this returns; one that exists keeps its words. Raises ``OSError``.

        On a full disk the file may stay empty: that it exists is what counts.
        """
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            return
        try:
            with contextlib.suppress(OSError):
                os.write(descriptor, msgspec.json.encode(Latched(reason=reason[:500], at_ms=at_ms)))
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _sync_folder(self.path.parent)

    def clear(self) -> None:
        """Remove the file, also from the disk. Raises ``OSError`` when it stays: then it goes on latching."""
        try:
            self.path.unlink()
        except FileNotFoundError:
            return
        _sync_folder(self.path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a change of the folder's entries durable, where the file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
