"""The audit log as a chain: each row carries the hash of the one before, so that nobody changes the past unseen.

A row's hash is SHA-256 over its place, its texts as they are stored, and the hash before it. The newest hash, the head,
stands in ``meta``, too, and in the session log at every start and stop: cutting off the end, or putting an older copy
of the store in its place, shows there. The chain has no secret in it: anybody can check it, and somebody who may write
all of these files can make a new one. Whoever needs more writes the head down elsewhere (``tui-trader audit verify``
prints it).
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

TABLE = "audit"
GENESIS = "0" * 64
HEAD_KEY = "audit_head"
_DOMAIN = b"tui-trader audit 1\n"
_HASH = re.compile(r"[0-9a-f]{64}")
_COLUMNS = "seq, ts, actor, action, detail, extra, prev_hash, hash"


class Head(msgspec.Struct, frozen=True):
    """The newest row: its place (1, 2, 3 …; 0 for an empty log) and its hash."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


EMPTY = Head(0, GENESIS)


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong: at which row (0: none in particular), of which kind, and in words."""

    row: int
    kind: str
    words: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found. ``anchors`` is how many heads of session logs were compared."""

    rows: int
    head: Head
    anchors: int
    faults: tuple[Fault, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults


def row_hash(seq: int, texts: Iterable[object], prev_hash: str) -> str:
    """The hash of a row: ``texts`` are ts, actor, action, detail and extra exactly as SQLite keeps them."""
    return hashlib.sha256(_DOMAIN + msgspec.json.encode([seq, *texts, prev_hash])).hexdigest()


_CONTENT = ("ts", "actor", "action", "detail", "extra")


def chained(db: sqlite3.Connection, columns: list[str], values: list[object]) -> tuple[list[str], list[object]]:
    """A new row with its place in the chain; moves the head. Call within the transaction that inserts the row, so that
    a rollback takes both back.
    """
    given = {name: value for name, value in zip(columns, values, strict=True) if name in _CONTENT}
    head = read_head(db)
    seq = max(head.seq, _last_place(db)) + 1
    made = row_hash(seq, (given.get(name) for name in _CONTENT), head.hash)
    write_head(db, Head(seq, made))
    placed = {**given, "seq": seq, "prev_hash": head.hash, "hash": made}
    return list(placed), list(placed.values())


def read_head(db: sqlite3.Connection) -> Head:
    """The head by ``meta``, or by the rows where ``meta`` says nothing usable."""
    stored = _stored_head(db)
    if stored is not None:
        return stored
    row = db.execute(f"SELECT seq, hash FROM {TABLE} WHERE seq IS NOT NULL ORDER BY seq DESC LIMIT 1").fetchone()
    return Head(int(row[0]), str(row[1])) if row else EMPTY


def write_head(db: sqlite3.Connection, head: Head) -> None:
    """Keep ``head`` in ``meta``."""
    db.execute("INSERT OR REPLACE INTO meta(key, value) VALUES(?, ?)", (HEAD_KEY, str(head)))


def begin_chain(db: sqlite3.Connection) -> None:
    """The migration: places, hashes and an index for the rows that stand already, in the order they were written."""
    for column in ("seq INTEGER", "prev_hash TEXT", "hash TEXT"):
        db.execute(f"ALTER TABLE {TABLE} ADD COLUMN {column}")
    head = EMPTY
    for rowid, *texts in db.execute(f"SELECT rowid, {', '.join(_CONTENT)} FROM {TABLE} ORDER BY rowid").fetchall():
        made = row_hash(head.seq + 1, texts, head.hash)
        place = (head.seq + 1, head.hash, made, rowid)
        db.execute(f"UPDATE {TABLE} SET seq = ?, prev_hash = ?, hash = ? WHERE rowid = ?", place)
        head = Head(head.seq + 1, made)
    db.execute(f"CREATE UNIQUE INDEX audit_place ON {TABLE}(seq)")
    if head.seq:
        write_head(db, head)


def parse_head(text: object) -> Head | None:
    """A head as ``str`` writes it; None for anything else."""
    seq, _, found = str(text).partition(":")
    if not (seq.isascii() and seq.isdigit() and len(seq) < 16 and _HASH.fullmatch(found)):
        return None
    return Head(int(seq), found)


def head_of(path: Path) -> Head | None:
    """The head of the store at ``path``; None when it cannot be read."""
    try:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)
    except sqlite3.Error:
        return None
    try:
        return read_head(db)
    except (sqlite3.Error, ValueError):
        return None
    finally:
        db.close()


def _stored_head(db: sqlite3.Connection) -> Head | None:
    row = db.execute("SELECT value FROM meta WHERE key = ?", (HEAD_KEY,)).fetchone()
    return parse_head(row[0]) if row else None


def _last_place(db: sqlite3.Connection) -> int:
    found = db.execute(f"SELECT max(seq) FROM {TABLE} WHERE typeof(seq) = 'integer'").fetchone()[0]
    return int(found or 0)


# --- checking ---


class Anchor(msgspec.Struct, frozen=True):
    """A head that a session log wrote down at ``at`` (ISO time)."""

    at: str
    head: Head


class _Line(msgspec.Struct):
    at: str = ""
    audit_head: str = ""


def anchors_in(lines: Iterable[bytes]) -> Iterator[Anchor]:
    """The heads that lines of a session log hold; lines of another kind, or damaged ones, hold none."""
    for line in lines:
        if b'"audit_head"' not in line:
            continue
        try:
            found = msgspec.json.decode(line, type=_Line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
        head = parse_head(found.audit_head)
        if head is not None:
            yield Anchor(found.at[:40], head)


def verify(db: sqlite3.Connection, anchors: Iterable[Anchor] = ()) -> Report:
    """Check the whole chain, its head and ``anchors``. Raises ``sqlite3.Error`` when the table cannot be read."""
    faults = list(_without_place(db))
    hashes: dict[int, str] = {}
    last = EMPTY
    rows = 0
    for row in db.execute(f"SELECT {_COLUMNS} FROM {TABLE} WHERE typeof(seq) = 'integer' ORDER BY seq"):
        rows += 1
        seq, kept = int(row[0]), str(row[7])
        faults.extend(_row_faults(row, last))
        hashes[seq] = kept
        last = Head(seq, kept)
    faults.extend(_end_faults(_stored_head(db), last))
    compared = 0
    for anchor in anchors:
        compared += 1
        faults.extend(_anchor_faults(anchor, hashes, last))
    return Report(rows=rows, head=last, anchors=compared, faults=tuple(faults))


def _without_place(db: sqlite3.Connection) -> Iterator[Fault]:
    count = db.execute(f"SELECT count(*) FROM {TABLE} WHERE typeof(seq) <> 'integer'").fetchone()[0]
    if count:
        yield Fault(0, "foreign", f"{count} row(s) have no place in the chain: this program did not write them")


def _row_faults(row: tuple[object, ...], last: Head) -> Iterator[Fault]:
    seq, *texts, prev_hash, kept = row
    place = int(str(seq))
    if place <= 0:
        yield Fault(place, "foreign", f"row {place} stands before the first place: this program did not write it")
    elif place > last.seq + 1:
        missing = f"row {last.seq + 1} is" if place == last.seq + 2 else f"rows {last.seq + 1} to {place - 1} are"
        yield Fault(last.seq + 1, "missing", f"{missing} missing")
    elif prev_hash != last.hash:
        yield Fault(place, "broken", f"row {place} does not follow the row before it: one of them was changed")
    if any(isinstance(text, bytes) for text in texts) or row_hash(place, texts, str(prev_hash)) != kept:
        yield Fault(place, "changed", f"row {place} was changed after it was written")


def _end_faults(stored: Head | None, last: Head) -> Iterator[Fault]:
    if stored is None:
        if last.seq:
            yield Fault(0, "head", "the store does not say which row is the newest: its note of it was removed")
        return
    if stored.seq > last.seq:
        cut = stored.seq - last.seq
        yield Fault(last.seq + 1, "truncated", f"the last {cut} row(s), {last.seq + 1} to {stored.seq}, are missing")
    elif stored.seq < last.seq:
        words = f"rows after {stored.seq} were added by something else than this program"
        yield Fault(stored.seq + 1, "foreign", words)
    elif stored.hash != last.hash:
        yield Fault(last.seq, "changed", f"row {last.seq}, the newest, is not the one that was written last")


def _anchor_faults(anchor: Anchor, hashes: dict[int, str], last: Head) -> Iterator[Fault]:
    seq = anchor.head.seq
    if not seq:
        return
    if seq > last.seq:
        words = (
            f"the session log saw row {seq} at {anchor.at}, the store ends at row {last.seq}: its end was cut off, or "
            "an older copy was put in its place"
        )
        yield Fault(last.seq + 1, "truncated", words)
    elif seq not in hashes:
        yield Fault(seq, "missing", f"row {seq}, which the session log saw at {anchor.at}, is missing")
    elif hashes[seq] != anchor.head.hash:
        words = f"row {seq} is not the one that the session log saw at {anchor.at}: the chain was written anew"
        yield Fault(seq, "rewritten", words)
