"""The story before a broken invariant lands in a private file, without secrets, and only the newest files stay."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from tui_trader.core.commands import WriteTrace
from tui_trader.runtime.log import Redactor
from tui_trader.runtime.traces import FOLDER, KEPT, TraceFolder


def trace(invariant: str = "I2", lines: tuple[str, ...] = ('{"what":"filled"}',)) -> WriteTrace:
    return WriteTrace(ts=1, invariant=invariant, symbol="BTCUSDT", words="two orders", lines=lines)


def folder(path: Path, said: list[str]) -> TraceFolder:
    return TraceFolder(path, Redactor(("SECRET6789",)), lambda severity, text: said.append(f"{severity}: {text}"))


def test_a_trace_is_private_and_without_secrets(tmp_path: Path) -> None:
    """I22."""
    said: list[str] = []
    folder(tmp_path, said).write(trace(lines=('{"what":"SECRET6789 and \\u001b[2J"}', '{"what":"broken"}')))
    (path,) = (tmp_path / FOLDER).iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / FOLDER).stat().st_mode) == 0o700
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["what"] for line in lines] == ["… and \x1b[2J", "broken"]
    assert path.name.endswith("-I2.jsonl")
    assert said == [f"warning: what happened before I2 was broken stands in {path}"]


def test_two_traces_of_one_second_do_not_overwrite_each_other(tmp_path: Path) -> None:
    traces = folder(tmp_path, [])
    for _ in range(3):
        traces.write(trace("I7"))
    assert len(list((tmp_path / FOLDER).iterdir())) == 3


def test_only_the_newest_stay_and_foreign_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    mine = tmp_path / FOLDER / "notes.txt"
    mine.write_text("mine")
    for number in range(KEPT):
        (tmp_path / FOLDER / f"20200101T0000{number:02d}Z-I8.jsonl").write_text("old")
    folder(tmp_path, []).write(trace("../../evil I1"))
    names = sorted(p.name for p in (tmp_path / FOLDER).iterdir())
    assert len(names) == KEPT + 1
    assert mine.read_text() == "mine"
    assert "20200101T000000Z-I8.jsonl" not in names
    assert any(name.endswith("-evilI1.jsonl") for name in names)


def test_a_folder_that_cannot_be_made_is_said_and_not_raised(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("a file where the folder should be")
    said: list[str] = []
    folder(tmp_path, said).write(trace())
    assert len(said) == 1
    assert "could not be written" in said[0]
