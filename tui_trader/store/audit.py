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
HEAD_KEY, CHAIN_KEY = "audit_head", "audit_chain"
_DOMAIN = b"tui-trader audit 1\n"
_HASH = re.compile(r"[0-9a-f]{64}")
_CHAIN = re.compile(r"[0-9a-z]{1,16}")
_COLUMNS = "seq, ts, actor, action, detail, extra, prev_hash, hash"


class Head(msgspec.Struct, frozen=True):
    """The newest row: its place (1, 2, 3 …; 0 for an empty log) and its hash."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


class Anchor(msgspec.Struct, frozen=True):
    """A head as a session log wrote it down at ``at`` (ISO time); ``chain`` names the store that it is of."""

    at: str
    chain: str
    head: Head

    def __str__(self) -> str:
        return f"{self.chain}:{self.head}"


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong: at which row (0: none in particular), of which kind, and in words."""

    row: int
    kind: str
    words: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found: ``anchors`` is how many heads of session logs were compared, ``chain`` names this log,
    ``others`` those that stood here before and are accounted for.
    """

    rows: int
    chain: str
    head: Head
    anchors: int
    others: tuple[str, ...]
    faults: tuple[Fault, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults


def row_hash(seq: int, texts: Iterable[object], prev_hash: str) -> str:
    """The hash of a row: ``texts`` are ts, actor, action, detail and extra exactly as SQLite keeps them."""
    return hashlib.sha256(_DOMAIN + msgspec.json.encode([seq, *texts, prev_hash])).hexdigest()


_CONTENT = ("ts", "actor", "action", "detail", "extra")


def genesis(chain: str) -> str:
    """What the first row of a chain has for the hash before it."""
    return hashlib.sha256(_DOMAIN + chain.encode()).hexdigest()


def chained(db: sqlite3.Connection, columns: list[str], values: list[object]) -> tuple[list[str], list[object]]:
    """A new row with its place in the chain; moves the head. Call within the transaction that inserts the row, so that
    a rollback takes both back.
    """
    given = {name: value for name, value in zip(columns, values, strict=True) if name in _CONTENT}
    head = read_head(db) or _begin(db)
    seq = max(head.seq, _last_place(db)) + 1
    made = row_hash(seq, (given.get(name) for name in _CONTENT), head.hash)
    write_head(db, Head(seq, made))
    placed = {**given, "seq": seq, "prev_hash": head.hash, "hash": made}
    return list(placed), list(placed.values())


def _begin(db: sqlite3.Connection) -> Head:
    """A chain gets its name at its first row: the store's epoch at that time, which no other store ever had."""
    chain = _meta(db, "epoch")
    chain = chain if _CHAIN.fullmatch(chain) else "none"
    db.execute("INSERT OR REPLACE INTO meta(key, value) VALUES(?, ?)", (CHAIN_KEY, chain))
    return Head(0, genesis(chain))


def read_head(db: sqlite3.Connection) -> Head | None:
    """The head by ``meta``, or by the rows where ``meta`` says nothing usable; None before the first row."""
    stored = _stored_head(db)
    if stored is not None:
        return stored
    row = db.execute(
        f"SELECT seq, hash FROM {TABLE} WHERE typeof(seq) = 'integer' ORDER BY seq DESC LIMIT 1"
    ).fetchone()
    return Head(int(row[0]), str(row[1])) if row else None


def read_chain(db: sqlite3.Connection) -> str:
    """The name of the store's chain; "" before its first row."""
    chain = _meta(db, CHAIN_KEY)
    return chain if _CHAIN.fullmatch(chain) else ""


def _meta(db: sqlite3.Connection, key: str) -> str:
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return str(row[0]) if row else ""


def write_head(db: sqlite3.Connection, head: Head) -> None:
    """Keep ``head`` in ``meta``."""
    db.execute("INSERT OR REPLACE INTO meta(key, value) VALUES(?, ?)", (HEAD_KEY, str(head)))


def begin_chain(db: sqlite3.Connection) -> None:
    """The migration: places, hashes and an index for the rows that stand already, in the order they were written."""
    for column in ("seq INTEGER", "prev_hash TEXT", "hash TEXT"):
        db.execute(f"ALTER TABLE {TABLE} ADD COLUMN {column}")
    head: Head | None = None
    for rowid, *texts in db.execute(f"SELECT rowid, {', '.join(_CONTENT)} FROM {TABLE} ORDER BY rowid").fetchall():
        head = head or _begin(db)
        made = row_hash(head.seq + 1, texts, head.hash)
        place = (head.seq + 1, head.hash, made, rowid)
        db.execute(f"UPDATE {TABLE} SET seq = ?, prev_hash = ?, hash = ? WHERE rowid = ?", place)
        head = Head(head.seq + 1, made)
    db.execute(f"CREATE UNIQUE INDEX audit_place ON {TABLE}(seq)")
    if head is not None:
        write_head(db, head)


def parse_head(text: object) -> Head | None:
    """A head as ``str`` writes it; None for anything else."""
    seq, _, found = str(text).partition(":")
    if not (seq.isascii() and seq.isdigit() and len(seq) < 16 and _HASH.fullmatch(found)):
        return None
    return Head(int(seq), found)


def parse_anchor(text: str, at: str = "") -> Anchor | None:
    """An anchor as ``str`` writes it; None for anything else."""
    chain, _, rest = text.partition(":")
    head = parse_head(rest)
    return Anchor(at[:40], chain, head) if head is not None and _CHAIN.fullmatch(chain) else None


def anchor_of(path: Path) -> Anchor | None:
    """The head of the store at ``path``; None when it has none yet or cannot be read."""
    try:
        # A relative path has no place once the folder that the process works in was deleted.
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)
    except (OSError, sqlite3.Error):
        return None
    try:
        head, chain = read_head(db), read_chain(db)
        return Anchor("", chain, head) if head is not None and chain else None
    except (sqlite3.Error, ValueError):
        return None
    finally:
        db.close()


def _stored_head(db: sqlite3.Connection) -> Head | None:
    return parse_head(_meta(db, HEAD_KEY))


def _last_place(db: sqlite3.Connection) -> int:
    found = db.execute(f"SELECT max(seq) FROM {TABLE} WHERE typeof(seq) = 'integer'").fetchone()[0]
    return int(found or 0)


# --- checking ---


class Notes(msgspec.Struct):
    """What session logs say about audit logs: heads, and the chains that the program itself put aside."""

    anchors: list[Anchor] = []
    closed: set[str] = set()

    def read(self, lines: Iterable[bytes]) -> None:
        """Take the notes of a session log; lines of another kind, or damaged ones, hold none."""
        for line in lines:
            if b'"audit_' not in line:
                continue
            try:
                found = msgspec.json.decode(line, type=_Line)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                continue
            anchor = parse_anchor(found.audit_head, found.at)
            if anchor is not None:
                self.anchors.append(anchor)
            if _CHAIN.fullmatch(found.audit_closed):
                self.closed.add(found.audit_closed)


class _Line(msgspec.Struct):
    at: str = ""
    audit_head: str = ""
    audit_closed: str = ""


def verify(db: sqlite3.Connection, notes: Notes | None = None) -> Report:
    """Check the whole chain, its head, and what session logs noted of it.

    A chain that the logs know and that is neither this one nor ``closed`` is a fault: its store was replaced. Raises
    ``sqlite3.Error`` when the table cannot be read.
    """
    notes = notes or Notes()
    chain = read_chain(db)
    faults = list(_without_place(db))
    hashes: dict[int, str] = {}
    begin = last = Head(0, genesis(chain))
    rows = 0
    for row in db.execute(f"SELECT {_COLUMNS} FROM {TABLE} WHERE typeof(seq) = 'integer' ORDER BY seq"):
        rows += 1
        seq, kept = int(row[0]), str(row[7])
        faults.extend(_row_faults(row, last))
        hashes[seq] = kept
        last = Head(seq, kept)
    if last is not begin and not chain:
        faults.append(Fault(0, "head", "the store does not say which log this is: its note of it was removed"))
    faults.extend(_end_faults(_stored_head(db), last))
    own = [anchor for anchor in notes.anchors if anchor.chain == chain]
    for anchor in own:
        faults.extend(_anchor_faults(anchor, hashes, last))
    strangers = {anchor.chain: anchor for anchor in notes.anchors if anchor.chain not in {chain, *notes.closed}}
    faults.extend(_replaced(anchor) for anchor in strangers.values())
    others = tuple(sorted({anchor.chain for anchor in notes.anchors} & notes.closed - {chain}))
    return Report(rows=rows, chain=chain, head=last, anchors=len(own), others=others, faults=tuple(faults))


def _replaced(anchor: Anchor) -> Fault:
    words = (
        f"the session log saw another audit log ({anchor.chain}, up to row {anchor.head.seq}) at {anchor.at}, and no "
        "store with it was put aside here: the store was replaced"
    )
    return Fault(0, "replaced", words)


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
