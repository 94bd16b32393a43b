"""The emergency log: an fsynced file beside the database for intents of exits while the database cannot be written.

Its space is reserved while the disk still has some, so that it works on a full disk; unused space is newlines. Where
even that file cannot be written (a read-only folder) the rows go to a spare file of this user in the temporary folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tui_trader.private import open_private, private_folder
from tui_trader.store.schema import to_json

RESERVED_BYTES = 65_536
FILE_NAME = "emergency.jsonl"


def spare_path(path: Path) -> Path:
    """Where rows of the emergency log at ``path`` go when it cannot be written."""
    name = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"tui-trader-{os.getuid()}" / f"{name}.{FILE_NAME}"


class EmergencyLog:
    """Appends rows as JSON lines; safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._spare = spare_path(path)
        self._end = 0
        self._spare_end = 0
        self._lock = threading.Lock()

    def reserve(self) -> None:
        """Make the file empty but for its reserved space, and drop the spare one. Raises ``OSError``."""
        with self._lock:
            descriptor = open_private(self.path, os.O_RDWR | os.O_CREAT)
            try:
                os.pwrite(descriptor, b"\n" * RESERVED_BYTES, 0)
                os.ftruncate(descriptor, RESERVED_BYTES)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            with contextlib.suppress(FileNotFoundError):
                self._spare.unlink()
            self._end = self._spare_end = 0

    def go_on(self) -> None:
        """Append after what already stands in the files: rows of an earlier start that could not be taken in yet."""
        with self._lock:
            self._end, self._spare_end = _used(self.path), _used(self._spare)

    def append(self, kind: str, data: dict[str, object]) -> None:
        """One row, on the disk when this returns. Raises ``OSError`` when neither file can be written."""
        line = to_json({"kind": kind, "data": data}).encode() + b"\n"
        with self._lock:
            try:
                _write(self.path, line, self._end)
            except OSError as error:
                self._append_spare(line, error)
            else:
                self._end += len(line)

    def _append_spare(self, line: bytes, error: OSError) -> None:
        try:
            private_folder(self._spare.parent)
            _write(self._spare, line, self._spare_end)
        except OSError:
            raise error from None
        self._spare_end += len(line)

    def rows(self) -> Iterator[tuple[str, dict[str, object]]]:
        """The rows in the files, oldest first; a torn line (the power went) is kept as a misplaced row."""
        for path in (self.path, self._spare):
            with contextlib.suppress(FileNotFoundError):
                yield from _rows(path.read_bytes())


def _write(path: Path, line: bytes, offset: int) -> None:
    descriptor = open_private(path, os.O_WRONLY | os.O_CREAT)
    try:
        written = 0
        while written < len(line):
            written += os.pwrite(descriptor, line[written:], offset + written)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _used(path: Path) -> int:
    try:
        return len(path.read_bytes().rstrip(b"\n")) + 1
    except OSError:
        return 0


def _rows(content: bytes) -> Iterator[tuple[str, dict[str, object]]]:
    for line in content.split(b"\n"):
        if not line.strip():
            continue
        try:
            row = msgspec.json.decode(line, type=_Row)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            torn: dict[str, object] = {
                "kind": "emergency",
                "body": line.decode("utf-8", "replace"),
                "why": "torn line",
            }
            yield "misplaced", torn
            continue
        yield row.kind, row.data


class _Row(msgspec.Struct):
    kind: str
    data: dict[str, object]
