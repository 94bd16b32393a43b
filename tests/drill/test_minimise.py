"""A rule of the executor is switched off: the drill finds it, prints the seed, and makes it small."""

from __future__ import annotations

import pytest

from tests.matrix.mutations import MUTATIONS
from tui_trader.cli import main
from tui_trader.drill.draw import draw
from tui_trader.drill.swarm import live

SEED, STEPS = 4, 400
STRIPPED = next(m for m in MUTATIONS if m.name == "the_stop_goes_first_when_flattening")


def test_a_broken_rule_is_found_and_made_small(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    STRIPPED.apply(monkeypatch)
    assert main(["drill", "--steps", f"{STEPS}", "--seeds", "1", "--first-seed", f"{SEED}", "--jobs", "1"]) == 1
    found = capsys.readouterr()
    assert f"seed {SEED} violates I10" in found.err
    smaller = f"tui-trader drill --minimise {SEED} --steps {STEPS}"
    assert f"make it small: {smaller}" in found.out
    assert main(smaller.split()[1:]) == 1
    small = capsys.readouterr()
    assert f"seed {SEED} violates I10 at " in small.err
    lines = small.out.splitlines()
    assert lines[0].startswith(f"seed {SEED} still fails after ")
    assert lines[1] == "faults: none"
    assert len(draw(SEED).kinds) > 3
    left_out = set(lines[2].removeprefix("left out: ").split(", "))
    assert {"crash", "reload", "trail"} <= left_out
    assert "open" not in left_out, "without a position nothing can be stripped"
    assert "left the position without a stop" in lines[3]


def test_without_the_broken_rule_the_same_seed_lives() -> None:
    assert live(draw(SEED), STEPS).violations == ()
