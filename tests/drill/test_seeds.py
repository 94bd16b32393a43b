"""Seeds that once failed, each with what it found; they must never fail again."""

from __future__ import annotations

import pytest

from tui_trader.drill.draw import draw
from tui_trader.drill.swarm import live
from tui_trader.exchange.fault_presets import PRESETS

SEEDS: list[tuple[int, int, str, str]] = [
    (9, 2_500, "", "leftover exits rested after flat: their cancels were held back with the reads"),
    (115, 2_500, "", "an entry filled by a query's word waited for its fills without a stop"),
    (148, 1_500, "", "a stop rested over a flat position while snapshots failed as a whole"),
    (171, 2_500, "", "the first snapshot after a start took back a newer fill"),
    (237, 2_500, "", "the fill of a limit entry was heard of only by the periodic snapshot"),
    (48, 1_500, "rough", "hedge mode was remembered for minutes after it had ended"),
    (530_149, 6_000, "", "a small remainder waited for minutes after its symbol had opened again"),
    (10_488, 8_000, "rough", "a ban was on its way when the faults ended; the drill did not wait for its end"),
]


@pytest.mark.parametrize(("seed", "steps", "preset", "why"), SEEDS, ids=[f"{row[0]}{row[2]}" for row in SEEDS])
def test_a_seed_that_failed_once_does_not_fail_again(seed: int, steps: int, preset: str, why: str) -> None:
    result = live(draw(seed, PRESETS[preset] if preset else None), steps)
    assert result.violations == (), why
