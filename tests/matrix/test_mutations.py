"""Tests of the tests: with a rule of the executor switched off, one of the rule's rows fails."""

from __future__ import annotations

import pytest

from tests.matrix.mutations import MUTATIONS, Mutation
from tui_trader.drill.play import play
from tui_trader.drill.scenarios import SCENARIOS


def test_there_are_enough_and_each_once() -> None:
    names = [m.name for m in MUTATIONS]
    assert len(set(names)) == len(names) >= 25
    assert not [row for m in MUTATIONS for row in m.rows if row not in SCENARIOS]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_a_row_bites(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    mutation.apply(monkeypatch)
    for row in mutation.rows:
        try:
            play(row, settle_ms=15_000)
        except AssertionError:
            return
    pytest.fail(f"{mutation.name} survives {', '.join(mutation.rows)}: a row is missing")
