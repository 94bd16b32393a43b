"""A defect shows where it lies and nothing of what was there: no local values, no secret, no foreign control bytes."""

from __future__ import annotations

import io
import stat
from pathlib import Path

import pytest
from rich.console import Console

from tests.ui.sample import FakeSession
from tui_trader import cli, cli_data
from tui_trader.secret import everywhere
from tui_trader.ui.app import ConsoleApp

CANARY = "CANARYsecretInACrash0123"


@pytest.fixture(autouse=True)
def known() -> None:
    everywhere.learn(CANARY)


def broken(*_: object) -> int:
    held = {"key": CANARY, "other": "a local value 4711"}
    raise ZeroDivisionError(f"\x1b]0;owned\x07 signature={CANARY} {len(held)}")


def test_a_crash_file_holds_the_place_and_no_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli_data, "show_settings", broken)
    assert cli.main(["--data-dir", str(tmp_path), "config"]) == 1
    [path] = tmp_path.glob("crash-*.txt")
    text = path.read_text()
    assert "test_crash.py" in text
    assert "ZeroDivisionError" in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    said = capsys.readouterr()
    for shown in (text, said.out, said.err):
        assert CANARY not in shown
        assert "4711" not in shown


def test_without_a_place_for_the_file_the_last_line_is_clean_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli_data, "show_settings", broken)
    (tmp_path / "file").write_text("")
    assert cli.main(["--data-dir", str(tmp_path / "file"), "config"]) == 1
    said = capsys.readouterr().err
    assert "No crash file could be written" in said
    assert CANARY not in said
    assert "\x1b" not in said


async def test_the_console_dies_of_a_defect_without_showing_values() -> None:
    app = ConsoleApp(FakeSession())
    app.error_console = Console(file=io.StringIO(), width=400, force_terminal=True)

    async def die() -> None:
        async with app.run_test() as pilot:
            app.call_later(broken)
            await pilot.pause()

    with pytest.raises(ZeroDivisionError):
        await die()
    assert isinstance(app.error_console.file, io.StringIO)
    shown = app.error_console.file.getvalue()
    assert "ZeroDivisionError" in shown
    assert CANARY not in shown
    assert "4711" not in shown
    assert "\x1b]0;" not in shown
