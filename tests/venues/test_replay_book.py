"""The recordings are the proof of the book: 0 mismatches, and damage is counted, not raised."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tui_trader.errors import UsageError
from tui_trader.venues.replay_book import replay_book

DATA = Path(__file__).parents[1] / "data" / "binance_usdm"


def lines(name: str = "btcusdt.gz") -> list[bytes]:
    with gzip.open(DATA / name) as stream:
        return stream.readlines()


def write(path: Path, content: list[bytes]) -> Path:
    path.write_bytes(gzip.compress(b"".join(content), 1))
    return path


@pytest.mark.parametrize("name", ["btcusdt.gz", "ethusdt.gz"])
def test_every_diff_equals_its_book_ticker(name: str) -> None:
    report = replay_book(DATA / name)
    assert (report.mismatches, report.gaps, report.garbage, report.truncated) == (0, 0, 0, False)
    assert report.snapshots == 1
    assert report.checks >= report.diffs - 10 > 300


def test_a_wrong_quantity_is_found(tmp_path: Path) -> None:
    content = lines()
    every = [line.replace(b'"B":"', b'"B":"9') if b"@bookTicker" in line else line for line in content]
    assert replay_book(write(tmp_path / "b.gz", every)).mismatches > 300


def test_a_gap_is_counted_and_the_book_starts_again(tmp_path: Path) -> None:
    content = lines()
    report = replay_book(write(tmp_path / "gap.gz", content[:900] + content[1_200:]))
    assert (report.gaps, report.mismatches) == (1, 0)
    assert report.seeds > 1
    assert report.checks > 200


def test_a_truncated_file_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "cut.gz"
    path.write_bytes((DATA / "btcusdt.gz").read_bytes()[:60_000])
    report = replay_book(path)
    assert report.truncated
    assert report.mismatches == 0
    assert report.diffs > 50


def test_garbage_lines_are_counted(tmp_path: Path) -> None:
    content = lines()
    odd = [
        b"nonsense\n",
        b'1 {"stream":"btcusdt@depth@0ms","data":{"e":"depth\n',
        b"2 " + b"[" * 5_000 + b"\n",
        b"\xff\xfe\n",
    ]
    report = replay_book(write(tmp_path / "odd.gz", content[:1_000] + odd + content[1_000:]))
    assert (report.garbage, report.mismatches, report.gaps) == (4, 0, 0)


def test_plain_text_empty_and_missing_files(tmp_path: Path) -> None:
    plain = tmp_path / "plain.txt"
    plain.write_bytes(b"".join(lines()[:500]))
    assert replay_book(plain).checks > 50
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    assert replay_book(empty).diffs == 0
    with pytest.raises(UsageError, match="cannot read"):
        replay_book(tmp_path / "none.gz")
