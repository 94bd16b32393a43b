"""Putting a store aside: whole, by time, the oldest dropped."""

from __future__ import annotations

from pathlib import Path

import pytest

from tui_trader.errors import StoreError
from tui_trader.store.archive import archive_store


def make(folder: Path, text: str) -> Path:
    path = folder / "store.sqlite3"
    for file in (path, folder / "store.sqlite3-wal", folder / "emergency.jsonl"):
        file.write_text(text)
    return path


def test_all_parts_move_together(tmp_path: Path) -> None:
    found = archive_store(make(tmp_path, "one"), 17)
    assert found == tmp_path / "store-17.sqlite3"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "store-17.emergency.jsonl",
        "store-17.sqlite3",
        "store-17.sqlite3-wal",
    ]


def test_nothing_to_put_aside(tmp_path: Path) -> None:
    assert archive_store(tmp_path / "store.sqlite3", 1) is None


def test_only_the_newest_archives_are_kept(tmp_path: Path) -> None:
    for stamp in range(8, 12):
        archive_store(make(tmp_path, str(stamp)), stamp, keep=2)
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix == ".sqlite3") == [
        "store-10.sqlite3",
        "store-11.sqlite3",
    ]
    assert not (tmp_path / "store-8.emergency.jsonl").exists()


def test_a_folder_that_refuses_is_told_in_words(tmp_path: Path) -> None:
    path = make(tmp_path, "x")
    (tmp_path / "store-3.sqlite3").mkdir()
    (tmp_path / "store-3.sqlite3" / "full").write_text("x")
    with pytest.raises(StoreError, match="cannot be put aside"):
        archive_store(path, 3)
