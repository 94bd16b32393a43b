"""``tui-trader drill --scenario``: names, globs, exit codes."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from tui_trader.cli import main
from tui_trader.drill.scenario import Stage
from tui_trader.drill.scenarios import SCENARIOS
from tui_trader.drill.scenarios.look import ScenarioFailed


def test_a_glob_plays_what_fits(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drill", "--scenario", "stop-4509*", "--json"]) == 0
    ends = msgspec.json.decode(capsys.readouterr().out)
    assert [(end["name"], end["words"]) for end in ends] == [("stop-4509", ""), ("stop-4509-for-ever", "")]


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
