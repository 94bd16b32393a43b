"""The emergency log: an fsynced file beside the database for intents of exits while the database cannot be written.

Its space is reserved while the disk still has some, so that it works on a full disk; unused space is newlines.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tui_trader.store.schema import to_json

RESERVED_BYTES = 65_536
FILE_NAME = "emergency.jsonl"


class EmergencyLog:
    """Appends rows as JSON lines; used by one thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._end = 0

    def reserve(self) -> None:
        """Make the file empty but for its reserved space. Raises ``OSError``."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
            os.pwrite(descriptor, b"\n" * RESERVED_BYTES, 0)
            os.ftruncate(descriptor, RESERVED_BYTES)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._end = 0

    def append(self, kind: str, data: dict[str, object]) -> None:
        """One row, on the disk when this returns. Raises ``OSError``."""
        line = to_json({"kind": kind, "data": data}).encode() + b"\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            written = 0
            while written < len(line):
                written += os.pwrite(descriptor, line[written:], self._end + written)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._end += len(line)

    def rows(self) -> Iterator[tuple[str, dict[str, object]]]:
        """The rows in the file, oldest first; a torn line (the power went) is kept as a misplaced row."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return
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
