"""What reaches stdout: with ``--json`` one document whatever happens, and no traceback when nobody can take it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tui_trader import cli, cli_data

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("TP_DATA_DIR", str(tmp_path / "data"))


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("audit verify --json", 1, "There is no store at"),
        ("--mode live audit verify --json", 1, "There is no store at"),
        ("export trades --json", 1, "There is no store at"),
        ("export --format=json --json --no-such", 2, "See tui-trader export --help."),
        ("--mode paper status --json", 2, "use demo, testnet or live"),
        ("tpsl BTCUSDT long --entry 100 --atr 500 --json", 2, "the stop would be at -400.00"),
        ("symbol --json", 2, "Missing argument 'SYMBOL'. See tui-trader symbol --help."),
        ("replay . --json", 2, "There is no recording at"),
        ("drill --scenario nothing-such --json", 2, "no scenario is called"),
        ("train --symbol NOPE --json", 2, "There are no candles of NOPE"),
    ],
)
def test_a_failure_is_a_document_as_well(capsys: Capture, line: str, code: int, words: str) -> None:
    got = cli.main(line.split())
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert (got, told["exit_code"]) == (code, code)
    assert words in told["error"]
    assert err == told["error"] + "\n"


def test_a_bug_and_an_interruption_are_documents_too(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[BaseException] = [RuntimeError("boom"), KeyboardInterrupt()]

    def broken(*_: object) -> int:
        raise raised[0]

    monkeypatch.setattr(cli_data, "show_settings", broken)
    assert cli.main(["config", "--json"]) == 1
    assert "met a bug (RuntimeError)" in json.loads(capsys.readouterr().out)["error"]
    del raised[0]
    assert cli.main(["config", "--json"]) == 130
    assert json.loads(capsys.readouterr().out) == {"error": "Interrupted.", "exit_code": 130}


def test_a_command_group_alone_shows_its_commands(capsys: Capture) -> None:
    assert cli.main(["audit"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("Usage: tui-trader audit")
    assert err.splitlines()[-1].strip().startswith("verify")


def trader(stdout: int | None, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "tui_trader", *words], stdout=stdout, stderr=subprocess.PIPE, check=False
    )


@pytest.mark.parametrize("words", [("config",), ("config", "--json"), ("tpsl", "--json")])
def test_a_reader_that_has_left_is_no_error(words: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = trader(writing, *words)
    finally:
        os.close(writing)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    assert b"Broken pipe" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
@pytest.mark.parametrize("words", [("config", "--json"), ("config",)])
def test_an_answer_that_cannot_be_written_is_said(words: tuple[str, ...]) -> None:
    """At once or, where the answer is longer than the buffer, in the middle of the command."""
    with Path("/dev/full").open("wb") as full:
        done = trader(full.fileno(), *words)
    assert done.returncode == 1
    assert (
        done.stderr.decode().splitlines()[-1]
        == "The answer could not be written (No space left on device); it is cut off."
    )
    assert b"Traceback" not in done.stderr


def test_closed_streams_do_not_matter() -> None:
    command = f"exec {sys.executable} -m tui_trader config --json >&- 2>&-"
    assert subprocess.run(["sh", "-c", command], check=False).returncode == 0
