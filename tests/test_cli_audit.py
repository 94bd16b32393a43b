"""``tui-trader audit verify``: whose log it looks at, and what it answers."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.store.build import record
from tui_trader import cli
from tui_trader.store.journal import Store

Capture = pytest.CaptureFixture[str]


@pytest.fixture
async def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with an audited store of demo and of live mode."""
    monkeypatch.chdir(tmp_path)
    failures: list[str] = []
    for mode in ("demo", "live"):
        (tmp_path / mode).mkdir(mode=0o700)
        store = await Store.open(tmp_path / mode / "store.sqlite3", failures.append)
        store.record(record("audit", durable=True, ts=1, actor="person", action="KillSwitch", detail={"n": 1}))
        await store.aclose()
    assert not any(failures)
    return tmp_path


def forge(folder: Path, mode: str) -> None:
    with closing(sqlite3.connect(folder / mode / "store.sqlite3")) as db:
        db.execute("UPDATE audit SET actor = 'engine'")
        db.commit()


def ask(capsys: Capture, folder: Path, *words: str) -> tuple[int, str]:
    code = cli.main(["--data-dir", str(folder), *words])
    return code, capsys.readouterr().out


def test_without_a_mode_every_store_that_is_there_is_checked(folder: Path, capsys: Capture) -> None:
    code, out = ask(capsys, folder, "audit", "verify", "--json")
    told = json.loads(out)
    assert (code, told["whole"], told["data_dir"]) == (0, True, str(folder))
    assert [(each["mode"], each["rows"], each["whole"]) for each in told["stores"]] == [
        ("demo", 1, True),
        ("live", 1, True),
    ]
    code, out = ask(capsys, folder, "audit", "verify")
    assert code == 0
    assert [line.split(":")[0] for line in out.splitlines() if line.startswith("✓")] == ["✓ demo", "✓ live"]


def test_one_that_was_changed_is_found_though_another_is_whole(folder: Path, capsys: Capture) -> None:
    forge(folder, "live")
    code, out = ask(capsys, folder, "audit", "verify")
    assert code == 1
    assert "✓ demo: the audit log" in out
    assert "✗ live: the audit log" in out
    assert "NOT the one that was written" in out


def test_a_mode_that_was_given_is_the_only_one(folder: Path, capsys: Capture) -> None:
    forge(folder, "live")
    code, out = ask(capsys, folder, "--mode", "demo", "audit", "verify", "--json")
    assert (code, [each["mode"] for each in json.loads(out)["stores"]]) == (0, ["demo"])


def test_a_store_that_cannot_be_read_does_not_hide_the_others(folder: Path, capsys: Capture) -> None:
    (folder / "demo" / "store.sqlite3").write_bytes(b"no database at all" * 100)
    code, out = ask(capsys, folder, "audit", "verify", "--json")
    told = json.loads(out)
    assert (code, told["whole"]) == (1, False)
    broken, good = told["stores"]
    assert (broken["whole"], good["whole"]) == (False, True)
    assert str(folder / "demo") in broken["error"]
