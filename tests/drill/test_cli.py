"""``tui-trader drill``: what it prints, what it exits with, and that a failing seed tells how to repeat it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from tests.drill.test_swarm import result
from tui_trader import cli_drill
from tui_trader.cli import main
from tui_trader.drill.campaign import Report
from tui_trader.drill.oracle import Violation


def test_the_json_report_has_what_the_issue_asks_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drill", "--seeds", "2", "--steps", "300", "--preset", "calm", "--jobs", "1", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["seeds"] == 2
    assert report["steps"] >= 600
    assert report["virtual_hours"] > 0
    assert report["violations"] == {}
    assert set(report["unprotected_s"]) == {"p50", "p99", "max"}
    assert len(report["trace_hash"]) == 32
    assert report["partial"] is False
    assert msgspec.convert(report, Report).seeds == 2


def test_a_person_reads_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drill", "--seeds", "1", "--steps", "300", "--preset", "mild", "--jobs", "1"]) == 0
    text = capsys.readouterr().out
    assert "1 seeds, " in text
    assert "violations: nothing" in text


def test_a_violation_exits_with_one_and_says_how_to_repeat_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = result(7, counts={"I1": 1}, violations=(Violation("I1", 5, "BTCUSDT: 40 lots without a stop"),))

    def job(seed: int, steps: int, preset: object) -> object:
        return bad if seed == 7 else result(seed)

    monkeypatch.setattr("tui_trader.drill.campaign.job", job)
    assert main(["drill", "--seeds", "3", "--first-seed", "6", "--steps", "300", "--jobs", "1"]) == 1
    captured = capsys.readouterr()
    command = "tui-trader drill --seeds 1 --first-seed 7 --steps 300 --trace trace-7.txt"
    assert f"seed 7 violates I1 1; repeat it with: {command}" in captured.err
    assert "seed 7: I1: BTCUSDT: 40 lots without a stop" in captured.out
    assert "violations: I1 1" in captured.out


def test_the_story_of_one_seed_goes_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "story.txt"
    assert main(["drill", "--seeds", "1", "--first-seed", "2", "--steps", "300", "--trace", str(path)]) == 0
    lines = path.read_text(encoding="utf-8").splitlines()
    assert any(" sent POST " in line for line in lines) or any(" sent GET " in line for line in lines)
    assert f"{len(lines)} lines in {path}" in capsys.readouterr().out


def test_a_seed_that_violates_nothing_needs_no_minimum(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drill", "--steps", "300", "--preset", "calm", "--minimise", "2"]) == 0
    assert "seed 2 violates nothing within 300 steps" in capsys.readouterr().out


def test_every_kind_of_drill_answers_with_one_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "story.txt"
    drawn = ["drill", "--steps", "300", "--preset", "calm", "--json"]
    assert main([*drawn, "--minimise", "2"]) == 0
    assert json.loads(capsys.readouterr().out) == {"seed": 2, "violates": False}
    assert main([*drawn, "--seeds", "1", "--trace", str(path)]) == 0
    told = json.loads(capsys.readouterr().out)
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert (told["file"], told["lines"], told["violations"]) == (str(path), lines, [])
    assert len(told["trace_hash"]) == 32


@pytest.mark.parametrize("arguments", [["--preset", "none"], ["--trace", "x", "--seeds", "2"], ["--seeds", "0"]])
def test_wrong_arguments_are_answered_with_a_sentence(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drill", "--steps", "10", *arguments]) == 2
    assert capsys.readouterr().err.strip()


def test_the_command_that_repeats_a_seed_keeps_the_preset() -> None:
    options = cli_drill.DrillOptions(
        seeds=9, steps=50, first_seed=1, preset="rough", jobs=2, as_json=False, minimise=None, trace=None
    )
    assert cli_drill.again(options, 4).endswith("--first-seed 4 --steps 50 --preset rough --trace trace-4.txt")
