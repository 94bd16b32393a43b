"""Tests of the tests: with a rule of the executor switched off, one of the rule's rows fails."""

from __future__ import annotations

import pytest

from tests.matrix.mutations import MUTATIONS, Mutation
from tui_trader.core.events import Event
from tui_trader.drill.play import play
from tui_trader.drill.scenarios import SCENARIOS
from tui_trader.drill.scenarios.look import ScenarioFailed
from tui_trader.runtime.trader import Trader


def test_there_are_enough_and_each_once() -> None:
    names = [m.name for m in MUTATIONS]
    assert len(set(names)) == len(names) >= 25
    assert not [row for m in MUTATIONS for row in m.rows if row not in SCENARIOS]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_a_row_bites(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[BaseException] = []
    failed = Trader._engine_failed

    def noted(trader: Trader, event: Event, error: BaseException) -> None:
        raised.append(error)
        failed(trader, event, error)

    monkeypatch.setattr(Trader, "_engine_failed", noted)
    mutation.apply(monkeypatch)
    bites = any(_fails(row) for row in mutation.rows)
    assert not raised, f"the mutation itself is broken: {raised[0]!r}"
    assert bites, f"{mutation.name} survives {', '.join(mutation.rows)}: a row is missing"


def _fails(row: str) -> bool:
    try:
        play(row, settle_ms=15_000)
    except ScenarioFailed:
        return True
    return False
