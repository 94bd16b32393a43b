"""The audit chain: whole when nobody touched it, and every way of touching it shows."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store.build import NOW, record
from tui_trader.cli import main
from tui_trader.cli_audit import check
from tui_trader.runtime.start import _put_aside
from tui_trader.store.audit import (
    Anchor,
    Head,
    Notes,
    anchor_of,
    begin_chain,
    chained,
    genesis,
    parse_anchor,
    parse_head,
    read_chain,
    read_head,
    row_hash,
    verify,
)
from tui_trader.store.journal import Store
from tui_trader.store.schema import MIGRATIONS, migrate

ROWS = 9


def row(number: int) -> dict[str, object]:
    return {
        "ts": NOW + number,
        "actor": "person",
        "action": "ClosePosition",
        "detail": {"symbol": f"S{number}", "n": 1},
    }


async def write(path: Path, first: int = 1, last: int = ROWS) -> Anchor:
    failures: list[str] = []
    store = await Store.open(path, failures.append)
    for number in range(first, last + 1):
        store.record(record("audit", durable=True, **row(number)))
        store.record(record("notices", severity="info", text="between"))
    await store.aclose()
    assert not any(failures)
    anchor = anchor_of(path)
    assert anchor is not None
    return anchor


@pytest.fixture
async def store(tmp_path: Path) -> Path:
    path = tmp_path / "demo" / "store.sqlite3"
    path.parent.mkdir(mode=0o700)
    head = await write(path)
    log = [{"at": "2026-01-01T00:00:00Z", "text": "session starts", "audit_head": ""},
           {"at": "2026-01-01T01:00:00Z", "text": "stopped", "audit_head": str(head)}]  # fmt: skip
    (path.parent / "session.log").write_text("".join(json.dumps(line) + "\n" for line in log))
    return path


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for each in statements:
            db.execute(each)


def kinds(path: Path) -> dict[str, int]:
    return {fault.kind: fault.row for fault in reversed(check(path).faults)}


async def test_what_nobody_touched_is_whole(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = check(store)
    assert (report.rows, report.head.seq, report.anchors, report.faults) == (ROWS, ROWS, 1, ())
    data_dir = ["--data-dir", str(store.parents[1])]
    assert main([*data_dir, "audit", "verify"]) == 0
    assert ": the audit log of" in capsys.readouterr().out
    assert main([*data_dir, "audit", "verify", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["whole"] is True
    (only,) = told["stores"]
    assert only["head"] == {"seq": ROWS, "hash": report.head.hash}


async def test_the_chain_goes_on_over_restarts(store: Path) -> None:
    await write(store, ROWS + 1, ROWS + 4)
    assert check(store).whole
    assert check(store).rows == ROWS + 4
    with closing(sqlite3.connect(store)) as db:
        stored = db.execute("SELECT seq, prev_hash, hash, detail FROM audit ORDER BY seq").fetchall()
    assert [place for place, *_ in stored] == list(range(1, ROWS + 5))
    assert stored[0][1] == genesis(check(store).chain)
    assert all(after[1] == before[2] for before, after in pairwise(stored))


def rehash(path: Path, seq: int) -> None:
    """Give a changed row the hash that belongs to its new content."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        *texts, prev = db.execute(
            "SELECT ts, actor, action, detail, extra, prev_hash FROM audit WHERE seq = ?", (seq,)
        ).fetchone()
        db.execute("UPDATE audit SET hash = ? WHERE seq = ?", (row_hash(seq, texts, prev), seq))


def write_anew(path: Path, *, head: bool) -> None:
    """What somebody does who knows the rules: every row hashed again, and the head with it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        last = genesis(read_chain(db))
        found = db.execute("SELECT rowid, ts, actor, action, detail, extra FROM audit ORDER BY seq").fetchall()
        db.execute("UPDATE audit SET seq = -seq")
        for seq, (rowid, *texts) in enumerate(found, start=1):
            made = row_hash(seq, texts, last)
            db.execute("UPDATE audit SET seq = ?, prev_hash = ?, hash = ? WHERE rowid = ?", (seq, last, made, rowid))
            last = made
        if head:
            db.execute("UPDATE meta SET value = ? WHERE key = 'audit_head'", (f"{len(found)}:{last}",))


SWAP = (
    "CREATE TEMP TABLE t AS SELECT * FROM audit WHERE seq IN (3, 4)",
    "DELETE FROM audit WHERE seq IN (3, 4)",
    "UPDATE t SET seq = 7 - seq",
    "INSERT INTO audit SELECT * FROM t",
)
INSERT_LAST = f"INSERT INTO audit(seq, ts, action, prev_hash, hash) VALUES({ROWS + 1}, 1, 'a', 'b', 'c')"
TAMPERING: dict[str, tuple[Callable[[Path], None], dict[str, int]]] = {
    **{
        f"edit {column}": (
            lambda path, column=column, value=value: change(path, f"UPDATE audit SET {column} = {value} WHERE seq = 4"),
            {"changed": 4},
        )
        for column, value in (
            ("ts", "ts + 1"), ("actor", "'nobody'"), ("action", "'KillSwitch'"), ("detail", "'{}'"), ("extra", "'x'"),
            ("detail", "NULL"), ("ts", "CAST(ts AS TEXT)"), ("ts", "ts + 0.5"), ("actor", "CAST('person' AS BLOB)"),
        )
    },
    "edit, hash made to fit": (
        lambda path: (change(path, "UPDATE audit SET actor = 'x' WHERE seq = 4"), rehash(path, 4)),
        {"broken": 5},
    ),
    "edit the newest, hash made to fit": (
        lambda path: (change(path, f"UPDATE audit SET actor = 'x' WHERE seq = {ROWS}"), rehash(path, ROWS)),
        {"changed": ROWS, "rewritten": ROWS},
    ),
    "delete one": (lambda path: change(path, "DELETE FROM audit WHERE seq = 4"), {"missing": 4}),
    "delete some": (lambda path: change(path, "DELETE FROM audit WHERE seq BETWEEN 2 AND 6"), {"missing": 2}),
    "delete the first": (lambda path: change(path, "DELETE FROM audit WHERE seq = 1"), {"missing": 1}),
    "delete all": (lambda path: change(path, "DELETE FROM audit"), {"truncated": 1}),
    "insert without a place": (
        lambda path: change(path, "INSERT INTO audit(ts, actor, action) VALUES(1, 'person', 'Rearm')"),
        {"foreign": 0},
    ),
    "insert with a text as place": (
        lambda path: change(path, "INSERT INTO audit(seq, ts, action) VALUES('x', 1, 'Rearm')"),
        {"foreign": 0},
    ),
    "insert before the first": (
        lambda path: change(path, "INSERT INTO audit(seq, ts, action, hash) VALUES(-3, 1, 'Rearm', 'x')"),
        {"foreign": -3},
    ),
    "insert after the last": (
        lambda path: change(path, INSERT_LAST),
        {"foreign": ROWS + 1, "broken": ROWS + 1},
    ),
    "insert in the middle": (
        lambda path: change(
            path,
            "UPDATE audit SET seq = -seq - 1 WHERE seq > 4",
            "INSERT INTO audit(seq, ts, action, prev_hash, hash) VALUES(5, 1, 'a', 'b', 'c')",
            "UPDATE audit SET seq = -seq WHERE seq < 0",
        ),
        {"broken": 5},
    ),
    "remove the name of the log": (
        lambda path: change(path, "DELETE FROM meta WHERE key = 'audit_chain'"),
        {"broken": 1, "head": 0, "replaced": 0},
    ),
    "reorder": (lambda path: change(path, *SWAP), {"broken": 3}),
    "cut the end": (lambda path: change(path, "DELETE FROM audit WHERE seq > 6"), {"truncated": 7}),
    "cut the end and the note of it": (
        lambda path: change(path, "DELETE FROM audit WHERE seq > 6", "DELETE FROM meta WHERE key = 'audit_head'"),
        {"truncated": 7, "head": 0},
    ),
    "remove the note of the head": (
        lambda path: change(path, "DELETE FROM meta WHERE key = 'audit_head'"),
        {"head": 0},
    ),
    "spoil the note of the head": (
        lambda path: change(path, "UPDATE meta SET value = '\u0663:x' WHERE key = 'audit_head'"),
        {"head": 0},
    ),
    "write the chain anew after an edit": (
        lambda path: (change(path, "UPDATE audit SET actor = 'x' WHERE seq = 2"), write_anew(path, head=True)),
        {"rewritten": ROWS},
    ),
    "write the chain anew after a removal": (
        lambda path: (change(path, "DELETE FROM audit WHERE seq = 2"), write_anew(path, head=True)),
        {"truncated": ROWS},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERING)
async def test_every_tampering_shows(store: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    act, expected = TAMPERING[name]
    act(store)
    found = kinds(store)
    assert {kind: found.get(kind) for kind in expected} == expected
    assert main(["--data-dir", str(store.parents[1]), "audit", "verify", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["whole"] is False
    assert told["stores"][0]["faults"]
    assert main(["--data-dir", str(store.parents[1]), "audit", "verify"]) == 1
    assert "NOT the one that was written" in capsys.readouterr().out


async def test_a_backup_put_in_its_place_shows(store: Path) -> None:
    backup = store.with_name("backup")
    shutil.copy(store, backup)
    head = await write(store, ROWS + 1, ROWS + 3)
    with (store.parent / "session.log").open("a") as log:
        log.write(json.dumps({"at": "2026-01-02T00:00:00Z", "text": "stopped", "audit_head": str(head)}) + "\n")
    assert check(store).whole
    for part in ("", "-wal", "-shm"):
        store.with_name(store.name + part).unlink(missing_ok=True)
    shutil.copy(backup, store)
    assert kinds(store) == {"truncated": ROWS + 1}
    await write(store, 50, 54)
    assert kinds(store) == {"rewritten": ROWS + 3}, "going on after it does not hide it"


def note(store: Path, **facts: str) -> None:
    with (store.parent / "session.log").open("a") as log:
        log.write(json.dumps({"at": "2026-01-03T00:00:00Z", "text": "x", **facts}) + "\n")


def set_aside(store: Path, name: str) -> None:
    for part in ("", "-wal", "-shm"):
        source = store.with_name(store.name + part)
        if source.exists():
            source.rename(store.with_name(name + part))


async def test_another_store_in_its_place_shows_unless_the_first_was_put_aside(store: Path) -> None:
    first = check(store).chain
    set_aside(store, "elsewhere")
    note(store, audit_head=str(await write(store, 1, 2)))
    report = check(store)
    assert report.chain != first
    assert [fault.kind for fault in report.faults] == ["replaced"]
    assert first in report.faults[0].words
    set_aside(store, "third")
    set_aside(store.with_name("elsewhere"), f"{store.stem}-damaged-17{store.suffix}")
    set_aside(store.with_name("third"), store.name)
    assert (check(store).whole, check(store).others) == (True, (first,)), "it stands aside in the same folder"
    store.with_name(f"{store.stem}-damaged-17{store.suffix}").unlink()
    assert not check(store).whole
    note(store, audit_closed=first)
    assert (check(store).whole, check(store).others) == (True, (first,)), "the program said that it put it aside"


async def test_a_chain_written_anew_under_another_name_shows(store: Path) -> None:
    change(
        store, "UPDATE audit SET actor = 'x' WHERE seq = 2", "UPDATE meta SET value = 'zzz' WHERE key = 'audit_chain'"
    )
    write_anew(store, head=True)
    assert kinds(store) == {"replaced": 0}


async def test_a_cut_end_stays_visible_when_the_program_goes_on(store: Path) -> None:
    change(store, "DELETE FROM audit WHERE seq > 6")
    await write(store, 20, 22)
    assert kinds(store) == {"missing": 7}


async def test_a_row_put_behind_the_last_does_not_stop_the_log(store: Path) -> None:
    change(store, INSERT_LAST)
    await write(store, 20, 21)
    assert check(store).rows == ROWS + 3
    assert kinds(store)["broken"] == ROWS + 1


async def test_rows_of_a_transaction_that_failed_leave_no_hole(tmp_path: Path) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        migrate(db)
        for number, kept in ((1, True), (2, False), (3, True)):
            db.execute("BEGIN")
            columns, values = chained(db, ["ts", "action"], [number, "x"])
            db.execute(f"INSERT INTO audit({', '.join(columns)}) VALUES({', '.join('?' * len(values))})", values)
            db.execute("COMMIT" if kept else "ROLLBACK")
        assert verify(db).whole
        assert [seq for (seq,) in db.execute("SELECT ts FROM audit ORDER BY seq")] == [1, 3]


async def test_rows_of_an_older_schema_get_their_places(tmp_path: Path) -> None:
    steps = MIGRATIONS[: MIGRATIONS.index(begin_chain)]
    path = tmp_path / "store.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        migrate(db, steps)
        for number in range(5):
            db.execute("INSERT INTO audit(ts, actor, action, detail) VALUES(?, 'person', 'x', '{}')", (number,))
    await write(path, 1, 2)
    assert check(path).whole
    assert check(path).rows == 7


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.none() | st.integers(-(2**62), 2**62), st.none() | st.text(max_size=20)), max_size=12),
    st.integers(0, 10**6),
)
def test_any_single_change_of_any_rows_shows(content: list[tuple[int | None, str | None]], seed: int) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        migrate(db)
        for ts, action in content:
            columns, values = chained(
                db, ["ts", "action"], [ts, (action or "").encode("utf-8", "replace").decode() if action else action]
            )
            db.execute(f"INSERT INTO audit({', '.join(columns)}) VALUES({', '.join('?' * len(values))})", values)
        head = read_head(db)
        if head is None:
            assert not content
            return
        assert verify(db, Notes(anchors=[Anchor("now", read_chain(db), head)])).whole
        rng = random.Random(seed)
        seq = rng.randint(1, len(content))
        column = rng.choice(["ts", "actor", "action", "detail", "extra", "prev_hash", "hash"])
        db.execute(f"UPDATE audit SET {column} = coalesce({column}, '') || 'x' WHERE seq = ?", (seq,))
        assert not verify(db).whole


def test_notes_are_read_from_any_lines() -> None:
    good = f"1acar65:7:{'a' * 64}"
    lines = [b"", b"\xff\"audit_head\"", b'{"audit_head": 5}', b'{"audit_head": "x"}', b'{"audit_head": "-1:a"}',
             b'{"audit_closed": "../x"}', b'{"audit_closed": "1acar64"}', b'{"audit_head": ""}',
             f'{{"at": "t", "text": "x", "audit_head": "{good}", "more": 1}}'.encode()]  # fmt: skip
    notes = Notes()
    notes.read(lines)
    assert notes == Notes(anchors=[Anchor("t", "1acar65", Head(7, "a" * 64))], closed={"1acar64"})
    assert str(notes.anchors[0]) == good
    for text in ("", ":", "1:", f"1:{'A' * 64}", f"1:{'a' * 63}", f"٣:{'a' * 64}", None, 5):
        assert parse_head(text) is None
        assert parse_anchor(f"chain:{text}") is None
    assert parse_head(good.partition(":")[2]) == Head(7, "a" * 64)
    assert parse_anchor(f"CHAIN:7:{'a' * 64}") is None


async def test_what_cannot_be_checked_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data_dir = ["--data-dir", str(tmp_path)]
    assert main([*data_dir, "audit", "verify"]) == 1
    assert "no store" in capsys.readouterr().err
    path = tmp_path / "demo" / "store.sqlite3"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"not a database at all" * 100)
    assert main([*data_dir, "audit", "verify"]) == 1
    assert "cannot be" in capsys.readouterr().out
    path.unlink()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        migrate(db, MIGRATIONS[:1])
    assert main([*data_dir, "audit", "verify"]) == 1
    assert "gets its chain at the next start" in capsys.readouterr().out
    assert anchor_of(tmp_path / "none") is None


def test_an_empty_log_is_whole() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        migrate(db)
        assert read_head(db) is None
        assert verify(db).whole


async def test_a_new_demo_account_does_not_look_like_tampering(store: Path) -> None:
    """Each demo account has a store of its own; the one before is put aside, at last deleted."""
    first = check(store).chain
    _put_aside(store.parent)
    assert not store.exists()
    for aside in store.parent.glob("store-*"):
        aside.unlink()
    note(store, audit_head=str(await write(store, 1, 3)))
    report = check(store)
    assert (report.whole, report.rows, report.others) == (True, 3, (first,))
