"""A kill -9 at every effect of the canonical scenarios; a seeded sample here, all of them with ``-m crashpoints``."""

from __future__ import annotations

from random import Random

import pytest

from tests.drill.crashing import crash_run
from tui_trader.drill.scenarios import CANONICAL

SEED = 20
SAMPLE = 8
"""Kills of each scenario in the normal suite."""


def test_there_are_enough_scenarios_and_effects() -> None:
    assert len(CANONICAL) >= 20
    effects = crash_run("whole-ladder", None).seen
    kinds = {what.split(" /")[0] for what in effects}
    assert {
        "before a commit",
        "after a commit",
        "before POST",
        "after POST",
        "the venue acted on POST",
        "before the answer to POST",
        "after the answer to POST",
        "the exchange emitted ORDER_TRADE_UPDATE",
        "the exchange emitted ALGO_UPDATE",
    } <= kinds


@pytest.mark.parametrize("name", CANONICAL)
def test_i14_a_kill_at_an_effect_ends_protected_or_flat(name: str) -> None:
    count = len(crash_run(name, None).seen)
    for at in sorted(Random(f"{SEED}/{name}").sample(range(count), min(SAMPLE, count))):
        crash_run(name, at)


@pytest.mark.crashpoints
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("name", CANONICAL)
def test_i14_a_kill_at_every_effect_ends_protected_or_flat(name: str) -> None:
    for at in range(len(crash_run(name, None).seen)):
        crash_run(name, at)
