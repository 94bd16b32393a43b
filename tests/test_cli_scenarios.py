"""``tui-trader drill --scenario``: names, globs, exit codes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from tui_trader import cli_scenarios
from tui_trader.cli import main
from tui_trader.drill.scenario import Scenario, Stage
from tui_trader.drill.scenarios import CANONICAL, SCENARIOS
from tui_trader.drill.scenarios.look import ScenarioFailed


def test_a_glob_plays_what_fits(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drill", "--scenario", "stop-4509*", "--json"]) == 0
    told = msgspec.json.decode(capsys.readouterr().out)
    assert (told["failed"], told["partial"]) == (0, False)
    assert [(end["name"], end["words"]) for end in told["scenarios"]] == [("stop-4509", ""), ("stop-4509-for-ever", "")]


def test_one_that_fails_is_told_and_ends_with_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(stage: Stage) -> None:
        raise ScenarioFailed("the exchange holds something else")

    monkeypatch.setitem(SCENARIOS, "dust", replace(SCENARIOS["dust"], script=fails))
    assert main(["drill", "--scenario", "dust"]) == 1
    assert "failed  dust: the exchange holds something else" in capsys.readouterr().out


def test_an_unknown_name_is_answered_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drill", "--scenario", "nothing-such"]) == 2
    assert "whole-ladder" in capsys.readouterr().err


def test_sockets_alone_play_the_canonical_scenarios_over_sockets(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    played: list[str] = []

    async def play(scenario: Scenario, folder: Path, seed: int) -> str:
        played.append(scenario.name)
        return ""

    monkeypatch.setattr(cli_scenarios, "play_over_sockets", play)
    assert main(["drill", "--sockets", "--json"]) == 0
    told = msgspec.json.decode(capsys.readouterr().out)
    assert tuple(played) == CANONICAL == tuple(end["name"] for end in told["scenarios"])


def test_an_interrupted_play_tells_what_was_played(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def interrupted(stage: Stage) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(SCENARIOS, "stop-4509-for-ever", replace(SCENARIOS["stop-4509-for-ever"], script=interrupted))
    assert main(["drill", "--scenario", "stop-4509*"]) == 130
    assert capsys.readouterr().out.splitlines() == [
        "as it must  stop-4509",
        "1 scenarios, 0 failed (interrupted: 1 of 2 were played)",
    ]


@pytest.mark.parametrize("option", [("--seeds", "3"), ("--steps", "9"), ("--preset", "mild"), ("--minimise", "1")])
@pytest.mark.parametrize("world", [("--sockets",), ("--scenario", "dust")])
def test_an_option_of_drawn_worlds_is_refused_not_ignored(
    capsys: pytest.CaptureFixture[str], world: tuple[str, ...], option: tuple[str, ...]
) -> None:
    assert main(["drill", *world, *option]) == 2
    assert f"{option[0]} is for drawn worlds" in capsys.readouterr().err
