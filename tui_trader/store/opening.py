"""Opening a store in whatever state it is found: whole, damaged, replaced by a backup, locked, or on a full disk.

A store that cannot be used never keeps a session from protecting what is open. A damaged one is put aside whole, under
a name that is said, and a new one begun; one that cannot be written is read, and written once that is possible again.
What may be missing in what the store remembers stands in ``Opening.doubt``: then a person decides about entries.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import struct
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import msgspec

from tui_trader import clock
from tui_trader.errors import StoreError
from tui_trader.private import open_private, write_private
from tui_trader.store.schema import MIGRATIONS, migrate

BUSY_TIMEOUT_S = 1.0
EPOCH_START_MS = 1_767_225_600_000
"""2026-01-01: seven base-36 digits of 10 ms steps reach into the year 2050."""
PARTS = ("", "-wal", "-shm")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_QUICK_CHECK_BYTES = 50_000_000
_DAMAGE = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB"})
_NO_INDEX = frozenset({"SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_FULL"})
_LOG_HEADER, _FRAME_HEADER = struct.Struct(">8I"), struct.Struct(">6I")
_LOG_MAGIC = (0x377F0682, 0x377F0683)
_RISKY = ("the loss limits, the kill switch and the plans", "resume with p only when you know that trading may go on")


class DamagedError(Exception):
    """The file is no whole database; the text says how that was seen."""


class Opening(msgspec.Struct, kw_only=True):
    """How far the opening of a store has come.

    ``failure`` is why it cannot be written, "" when it can. ``doubt`` is what its memory may lack, in words, "" when
    nothing. ``unread`` is True when nothing could be read of it. ``salvaged`` are values of the table ``state`` that a
    damaged store still held, as JSON text.
    """

    epoch: str
    failure: str = ""
    doubt: str = ""
    unread: bool = False
    salvaged: dict[str, str] = {}


def connect(path: Path) -> sqlite3.Connection:
    """A writing connection in autocommit mode (transactions are begun by hand), for any one thread at a time."""
    db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        db.close()
        raise
    return db


def open_store(path: Path, marks: Sequence[Path] = ()) -> Opening:
    """Bring the store at ``path`` as far as it goes. ``marks`` are further files that know the newest epoch. Blocks.

    Raises ``StoreError`` in words when there is no way: the folder is missing, or a newer version wrote the store.
    """
    mark = EpochMark(path, marks)
    opening = Opening(epoch="")
    try:
        if not path.exists() and rescued_path(path).exists():
            # The process ended while it wrote a deleted store anew; should that be incomplete, its epoch tells.
            rescued_path(path).rename(path)
        _make_private(path)
        try:
            _open_whole(path, mark, opening)
        except DamagedError as damage:
            _begin_anew(path, mark, opening, str(damage))
    except sqlite3.Error as error:
        _open_unwritable(path, mark, opening, words_of(error))
    except OSError as error:
        if not path.exists():
            raise StoreError(
                f"The store {path} cannot be opened ({error.strerror}); give another --data-dir."
            ) from None
        _open_unwritable(path, mark, opening, error.strerror or str(error))
    return opening


def finish(db: sqlite3.Connection, path: Path, epoch: str) -> bool:
    """See that an open database is ours: migrated, and with this start's epoch; False when it held another one.

    Raises ``sqlite3.Error``, ``StoreError``.
    """
    migrate(db)
    if _last_epoch(db) == epoch:
        return True
    begin_epoch(db, epoch, exact=True)
    EpochMark(path).write(epoch)
    return False


def _open_whole(path: Path, mark: EpochMark, opening: Opening) -> None:
    known, written = mark.read(), _commits_in_log(path)
    try:
        with closing(connect(path)) as db:
            _check(db, path)
            heard = int(db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1])
            migrate(db)
            last = _last_epoch(db)
            opening.epoch = begin_epoch(db, known)
    except sqlite3.DatabaseError as error:
        if error_name(error) in _DAMAGE:
            raise DamagedError(words_of(error)) from None
        raise
    opening.doubt = _doubt(path, known, last)
    if not opening.doubt and _torn(written, heard):
        what, then = _RISKY
        opening.doubt = (
            f"the newest rows of the store {path.name} were damaged on the disk (its write-ahead log is torn): {what} "
            f"may be older than they were, fills come from the venue; {then}"
        )
    mark.write(opening.epoch)


def _commits_in_log(path: Path) -> list[int] | None:
    """The numbers of the frames in the write-ahead log that end a commit, by their headers alone; None when even the
    log's own header is unreadable.

    SQLite drops, without a word, all that follows a frame whose checksum is wrong; this tells that something followed.
    Format: https://sqlite.org/fileformat2.html#the_write_ahead_log
    """
    try:
        with path.with_name(path.name + PARTS[1]).open("rb") as file:
            header = file.read(_LOG_HEADER.size)
            if not header.strip(b"\0"):
                return []
            if len(header) < _LOG_HEADER.size:
                return None
            magic, _, page, _, *salt, _, _ = _LOG_HEADER.unpack(header)
            if magic not in _LOG_MAGIC or not 512 <= page <= 65_536:
                return None
            return _commits(file, page, salt)
    except OSError:
        return []


def _commits(file: BinaryIO, page: int, salt: list[int]) -> list[int]:
    found: list[int] = []
    number = 0
    while len(frame := file.read(_FRAME_HEADER.size)) == _FRAME_HEADER.size:
        number += 1
        _, commit, *own, _, _ = _FRAME_HEADER.unpack(frame)
        if own == salt and commit:
            found.append(number)
        file.seek(page, os.SEEK_CUR)
    return found


def _torn(commits: list[int] | None, heard: int) -> bool:
    """Whether whole commits are missing, of which SQLite ``heard`` so many frames. One alone is a write that the end of
    the process cut short: it was never acknowledged.
    """
    return commits is None or sum(1 for number in commits if number > heard) > 1


def _doubt(path: Path, known: str, last: str) -> str:
    what, then = _RISKY
    if not known or last >= known:
        return ""
    if not last:
        return (
            f"the store {path.name} was gone or empty and begun anew, though sessions of this account ran before (with "
            f"another data folder?): {what} of then are not known, positions are adopted from the venue; {then}"
        )
    return (
        f"the store {path.name} is older than the last session of this account (a restored backup?): {what} are those "
        f"of then, fills since then come from the venue; {then}"
    )


def _begin_anew(path: Path, mark: EpochMark, opening: Opening, damage: str) -> None:
    """Put a damaged store aside and begin a new one, keeping what can still be read of its limits and its latch."""
    opening.salvaged = salvage(path)
    known = mark.read()
    aside = put_aside(path, "damaged", clock.wall_ms())
    _make_private(path)
    with closing(connect(path)) as db:
        migrate(db)
        opening.epoch = begin_epoch(db, known)
    what, then = _RISKY
    kept = f"read from it still: {', '.join(sorted(opening.salvaged))}" if opening.salvaged else f"{what} are not known"
    opening.doubt = (
        f"the store was damaged ({damage}); it was put aside whole as {aside.name} and a new one begun; {kept}; "
        f"positions are adopted from the venue; {then}"
    )
    mark.write(opening.epoch)


def _open_unwritable(path: Path, mark: EpochMark, opening: Opening, words: str) -> None:
    """Go on with a store that cannot be written: what it remembers is read where that works."""
    opening.failure = words
    last = ""
    try:
        with closing(read_only(path)) as db:
            version = int(db.execute("PRAGMA user_version").fetchone()[0])
            _refuse_newer(version)
            last = _last_epoch(db)
            opening.unread = version == 0
    except sqlite3.Error:
        opening.unread = True
    known = mark.read()
    opening.epoch = next_epoch(max(known, last))
    mark.write(opening.epoch)
    if opening.unread:
        opening.doubt = unread_words(path, words)
    else:
        opening.doubt = _doubt(path, known, last)


def unread_words(path: Path, words: str) -> str:
    """What it means that nothing of the store could be read."""
    return f"the store {path.name} cannot be read ({words}): {_RISKY[0]} are not known; mend it and start again"


def _refuse_newer(version: int) -> None:
    if version > len(MIGRATIONS):
        raise StoreError(
            f"The store has schema version {version}, written by a newer tui-trader; this one knows up to "
            f"{len(MIGRATIONS)}. Nothing was changed. Update tui-trader, or use another --data-dir."
        )


def _make_private(path: Path) -> None:
    os.close(open_private(path, os.O_RDWR | os.O_CREAT))


def _check(db: sqlite3.Connection, path: Path) -> None:
    if path.stat().st_size > _QUICK_CHECK_BYTES:
        return
    verdict = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise DamagedError(" ".join(str(verdict).split())[:200])


# --- epochs ---


class EpochMark:
    """The newest epoch that began here, in files of its own: a store restored from a backup is older.

    One stands beside the store; ``others`` stand where a backup of the whole folder does not reach.
    """

    def __init__(self, store: Path, others: Sequence[Path] = ()) -> None:
        self.path = store.with_name(f"{store.stem}.epoch")
        self._paths = (self.path, *others)

    def read(self) -> str:
        """The newest epoch of the files; "" when none is known."""
        return max(_marked(path) for path in self._paths)

    def write(self, epoch: str) -> None:
        """Remember ``epoch`` wherever that works: a mark that cannot be written costs a warning, not the start."""
        for path in self._paths:
            with contextlib.suppress(OSError):
                write_private(path, epoch.encode() + b"\n")


def _marked(path: Path) -> str:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return text if len(text) == 7 and all(char in _DIGITS for char in text) else ""


def next_epoch(last: str) -> str:
    """Seven characters after ``last``: the time, made to advance."""
    number = max((clock.wall_ms() - EPOCH_START_MS) // 10, int(last, 36) + 1 if last else 0, 0)
    text = ""
    for _ in range(7):
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text


def begin_epoch(db: sqlite3.Connection, after: str = "", *, exact: bool = False) -> str:
    """Seven characters that no earlier start of this store used, nor of a backup of it, durably recorded.

    They come after ``after``, the newest known elsewhere; with ``exact`` they are that one, already in use.
    """
    db.execute("PRAGMA synchronous = FULL")
    db.execute("BEGIN IMMEDIATE")
    try:
        epoch = after if exact else next_epoch(max(after, _last_epoch(db)))
        db.execute("INSERT OR REPLACE INTO meta(key, value) VALUES('epoch', ?)", (epoch,))
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return epoch


def _last_epoch(db: sqlite3.Connection) -> str:
    try:
        row = db.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
    except sqlite3.OperationalError:
        return ""
    text = str(row[0]) if row else ""
    return text if len(text) == 7 and all(char in _DIGITS for char in text) else ""


# --- files ---


def rescued_path(path: Path) -> Path:
    """Where a store whose file was deleted or replaced is written anew before it takes its place."""
    return path.with_name(f"{path.name}.rescued")


def put_aside(path: Path, why: str, stamp_ms: int, *, parts: tuple[str, ...] = PARTS) -> Path:
    """Rename the database at ``path`` with its companions; returns its new path. Raises ``OSError``."""
    name = "-".join(word for word in (path.stem, why, str(stamp_ms)) if word)
    target = path.with_name(f"{name}{path.suffix}")
    for part in parts:
        source = path.with_name(path.name + part)
        if source.exists():
            source.rename(target.with_name(target.name + part))
    return target


def salvage(path: Path) -> dict[str, str]:
    """What a damaged store still says about the kill switch and the losses (JSON text by key)."""
    try:
        with closing(read_only(path)) as db:
            rows = db.execute("SELECT key, value FROM state WHERE key IN ('kill', 'losses')").fetchall()
    except sqlite3.Error:
        return {}
    return {str(key): value for key, value in rows if isinstance(value, str) and value != "null"}


def read_only(path: Path) -> sqlite3.Connection:
    """A connection that cannot write; it works on a full or read-only disk, too. Raises ``sqlite3.Error``.

    A write-ahead log needs its index file. Where none can be made nobody writes, so what stands there is read in
    memory: the file alone, or with its log from a copy in the temporary folder.
    """
    name = quote(str(path))
    db = sqlite3.connect(f"file:{name}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S)
    try:
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        db.close()
        if error_name(error) not in _NO_INDEX:
            raise
    except BaseException:
        db.close()
        raise
    else:
        return db
    log = path.with_name(path.name + PARTS[1])
    try:
        logged = log.stat().st_size > 0
    except OSError:
        logged = False
    if logged:
        return _copied(path, log)
    return sqlite3.connect(f"file:{name}?mode=ro&immutable=1", uri=True, timeout=BUSY_TIMEOUT_S)


def _copied(path: Path, log: Path) -> sqlite3.Connection:
    memory = sqlite3.connect(":memory:")
    try:
        with tempfile.TemporaryDirectory(prefix="tui-trader-") as folder:
            copy = Path(folder) / path.name
            shutil.copyfile(path, copy)
            shutil.copyfile(log, copy.with_name(log.name))
            with closing(sqlite3.connect(copy)) as db:
                db.backup(memory)
    except OSError as error:
        memory.close()
        raise sqlite3.OperationalError(f"it cannot be copied ({error.strerror})") from None
    except BaseException:
        memory.close()
        raise
    return memory


def words_of(error: BaseException) -> str:
    """Why a database cannot be used, in words."""
    return {
        "SQLITE_FULL": "the disk is full",
        "SQLITE_READONLY": "it is read-only",
        "SQLITE_BUSY": "another program holds it locked",
        "SQLITE_LOCKED": "another program holds it locked",
        "SQLITE_CORRUPT": "it is corrupt",
        "SQLITE_NOTADB": "it is no database",
        "SQLITE_CANTOPEN": "it cannot be opened",
        "SQLITE_IOERR": "the disk fails",
    }.get(error_name(error), f"{type(error).__name__}: {error}")


def error_name(error: BaseException) -> str:
    """SQLite's primary error code by name ("SQLITE_BUSY"), or "" when the error has none."""
    name = getattr(error, "sqlite_errorname", "") or ""
    return "_".join(name.split("_")[:2])
