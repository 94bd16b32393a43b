"""The file of a recording: gzipped JSON lines in numbered parts, private, bounded, readable after a crash.

The first line is the ``Header``. Each second a ``Sum`` with the CRC-32 of all lines before it in the part makes what
was written readable, whatever happens afterwards, and damage to it visible. ``End`` is the last line of a recording
that was not cut off. ``zcat FILE | jq`` reads it, too.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tui_trader.errors import UsageError
from tui_trader.private import open_private

VERSION = 1
PART_BYTES = 64 << 20
MAX_BYTES = 2 << 30
KEEP_FREE_BYTES = 512 << 20
"""The store lives on the same disk: a recording ends before it takes the last of it."""
_CHUNK = 1 << 16
_BLOCK_MAX = 512 << 20
_GZIP = 31
_LEVEL = 3


class Line(msgspec.Struct, frozen=True, kw_only=True, tag_field="k", omit_defaults=True):
    """Base of all lines."""


class Header(Line, frozen=True, kw_only=True, tag="header"):
    """All that an engine begins with. ``settings`` is their JSON, ``recovered`` that of ``core.state.Recovered``;
    ``code`` names the version, ``strategies`` the SHA-256 of each strategy's file by its name.
    """

    version: int
    code: str
    started_ms: int
    mode: str
    venue: str
    epoch: str
    note: str
    rate: float
    armed: bool
    always: tuple[str, ...]
    settings: str
    settings_hash: str
    strategies: dict[str, str]
    recovered: msgspec.Raw


class Step(Line, frozen=True, kw_only=True, tag="step"):
    """One event that the engine processed, number ``n``, and its commands; ``failed`` is what it raised, or ""."""

    n: int
    event: msgspec.Raw
    commands: msgspec.Raw
    failed: str = ""


class Look(Line, frozen=True, kw_only=True, tag="look"):
    """A frame for the console was built, or an entry previewed (``ticket``): reading that fills the engine's caches."""

    now_ms: int = 0
    selected: str = ""
    timeframe: str = ""
    ticket: msgspec.Raw = msgspec.Raw(b"null")


class Frame(Line, frozen=True, kw_only=True, tag="frame"):
    """A frame as it came; ``text`` is its UTF-8, or ``data`` its bytes where they are none."""

    route: str
    mono: float
    venue_ms: int
    text: str = ""
    data: bytes = b""

    @property
    def raw(self) -> bytes:
        """The bytes that came."""
        return self.data or self.text.encode()


class Call(Line, frozen=True, kw_only=True, tag="call"):
    """A call of the feeds that was no frame."""

    name: str
    mono: float
    venue_ms: int
    arguments: msgspec.Raw


class Answer(Line, frozen=True, kw_only=True, tag="answer"):
    """The venue's answer to a request."""

    path: str
    method: str
    mono: float
    venue_ms: int
    parameters: msgspec.Raw
    answer: msgspec.Raw


class Sum(Line, frozen=True, kw_only=True, tag="sum"):
    """CRC-32 of every line of the part before this one, their line ends included."""

    crc: int


class Part(Line, frozen=True, kw_only=True, tag="part"):
    """First line of every part but the first: which one, of the recording with this epoch."""

    number: int
    epoch: str


class End(Line, frozen=True, kw_only=True, tag="end"):
    """Why the recording ended."""

    steps: int
    reason: str


AnyLine = Header | Step | Look | Frame | Call | Answer | Sum | Part | End


def part_path(path: Path, number: int) -> Path:
    """Where part ``number`` (from 1) of a recording is."""
    return path if number == 1 else path.with_name(f"{path.name}.{number}")


class RecordingFile:
    """Writes lines. Every method may block on the disk and raises ``OSError``; for one thread."""

    def __init__(
        self,
        path: Path,
        *,
        part_bytes: int = PART_BYTES,
        max_bytes: int = MAX_BYTES,
        keep_free: int = KEEP_FREE_BYTES,
    ) -> None:
        self.path = path
        self.bytes = 0
        self.epoch = ""
        self._part_bytes = part_bytes
        self._max_bytes = max_bytes
        self._keep_free = keep_free
        self._number = 0
        self._fd = -1
        self._size = 0
        self._crc = 0
        self._next_part()

    def write(self, line: bytes) -> None:
        """One line without its end."""
        self._put(line + b"\n")

    def flush(self) -> str:
        """Make everything readable that was written; returns why there must not be more, or ""."""
        self._put(msgspec.json.encode(Sum(crc=self._crc)) + b"\n")
        self._out(self._deflate.flush(zlib.Z_SYNC_FLUSH))
        if self.bytes >= self._max_bytes:
            return f"it has reached {self.bytes / 1e9:.1f} GB"
        free = os.statvfs(self.path.parent)
        if free.f_bavail * free.f_frsize < self._keep_free:
            return f"less than {self._keep_free / 1e9:.1f} GB are free on its disk"
        if self._size >= self._part_bytes:
            self._close_part()
            self._next_part()
        return ""

    def close(self) -> None:
        """End the file; harmless when it has ended."""
        if self._fd >= 0:
            self._close_part()

    def abandon(self) -> None:
        """Close after a failure, writing nothing more."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _next_part(self) -> None:
        self._number += 1
        self._fd = open_private(part_path(self.path, self._number), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        self._deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        self._size = self._crc = 0
        if self._number > 1:
            self.write(msgspec.json.encode(Part(number=self._number, epoch=self.epoch)))

    def _close_part(self) -> None:
        self._put(msgspec.json.encode(Sum(crc=self._crc)) + b"\n")
        self._out(self._deflate.flush(zlib.Z_FINISH))
        os.close(self._fd)
        self._fd = -1

    def _put(self, data: bytes) -> None:
        self._crc = zlib.crc32(data, self._crc)
        self._out(self._deflate.compress(data))

    def _out(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.write(self._fd, view)
            self._size += written
            self.bytes += written
            view = view[written:]


class RecordingReader:
    """Reads lines back. ``trouble`` says in words why reading ended before the recording did, "" while it did not;
    ``damaged`` tells damage from a recording that was merely cut off."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._decoder = msgspec.json.Decoder(AnyLine)
        self._number = 0
        self._epoch = ""
        self.trouble = ""
        self.ended = False
        self.damaged = False

    def header(self) -> Header:
        """The first line. Raises ``UsageError`` when this is no recording, or one that this version cannot read."""
        reader = RecordingReader(self._path)
        first = next(iter(reader), None)
        if not isinstance(first, Header):
            why = reader.trouble or "it does not begin like one"
            raise UsageError(f"{self._path} is no recording of a session: {why}.")
        if first.version != VERSION:
            raise UsageError(f"{self._path} has format {first.version}; this version reads format {VERSION}.")
        return first

    def __iter__(self) -> Iterator[AnyLine]:
        """All lines but the sums, in order, each only once its sum was found right or no sum follows it."""
        while not self.trouble:
            self._number += 1
            path = part_path(self._path, self._number)
            if not path.exists():
                if not self.ended:
                    cut = f"it has no end: {path.name} is missing, or it was cut off, as by a crash"
                    self.trouble = cut if self._number > 1 else f"there is no file {path}"
                return
            yield from self._part(path)
            if self.ended:
                return

    def _part(self, path: Path) -> Iterator[AnyLine]:
        block: list[bytes] = []
        crc = held = 0
        for data in self._lines(path):
            held += len(data)
            if held > _BLOCK_MAX:
                self.damaged = True
                self.trouble = f"{path.name} is damaged: no sum for {_BLOCK_MAX >> 20} MB"
                return
            if not data.startswith(b'{"k":"sum"'):
                block.append(data)
                crc = zlib.crc32(data, crc)
                continue
            if not self._agrees(data, crc):
                self.damaged = True
                self.trouble = f"{path.name} is damaged: the sum over its lines is wrong"
                return
            crc = zlib.crc32(data, crc)
            yield from self._decoded(block, path)
            block.clear()
            held = 0
            if self.ended:
                return
        if not self.damaged:
            yield from self._decoded(block, path)

    def _agrees(self, data: bytes, crc: int) -> bool:
        try:
            found = self._decoder.decode(data)
        except msgspec.MsgspecError:
            return False
        return isinstance(found, Sum) and found.crc == crc

    def _decoded(self, block: list[bytes], path: Path) -> Iterator[AnyLine]:
        for data in block:
            try:
                line = self._decoder.decode(data)
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                self.damaged = True
                self.trouble = f"{path.name} is damaged: a line cannot be read"
                return
            if isinstance(line, Header):
                self._epoch = line.epoch
            elif isinstance(line, Part) and (line.number, line.epoch) != (self._number, self._epoch):
                self.damaged = True
                self.trouble = f"{path.name} belongs to another recording"
                return
            elif isinstance(line, End):
                self.ended = True
            yield line

    def _lines(self, path: Path) -> Iterator[bytes]:
        """Whole lines with their ends; what stands after the last one is left out and told."""
        rest = b""
        for data in self._inflated(path):
            rest += data
            *whole, rest = rest.split(b"\n")
            for line in whole:
                yield line + b"\n"
            if len(rest) > _BLOCK_MAX:
                self.damaged = True
                self.trouble = f"{path.name} is damaged: a line without an end"
                return

    def _inflated(self, path: Path) -> Iterator[bytes]:
        inflate = zlib.decompressobj(_GZIP)
        try:
            with path.open("rb") as file:
                while data := file.read(_CHUNK):
                    while data:
                        yield inflate.decompress(data, _CHUNK * 16)
                        data = inflate.unconsumed_tail
        except zlib.error as error:
            self.damaged = True
            self.trouble = f"{path.name} is damaged ({error})"
        except OSError as error:
            self.trouble = f"{path.name} cannot be read ({error.strerror})"
        else:
            if not inflate.eof:
                self.trouble = f"{path.name} was cut off, as after a crash"
