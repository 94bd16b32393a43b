"""Some thousand damaged frames at every parser in each run of the suite; ``python -m tests.fuzz`` is the long run."""

from __future__ import annotations

import json
import random

import pytest

from tests.fuzz.__main__ import main
from tests.fuzz.campaign import Campaign
from tests.fuzz.everything import all_targets
from tests.fuzz.mutate import DEEP, HUGE, Seed, mutated
from tests.fuzz.rules import BrokenRuleError
from tests.fuzz.targets import Plain

FRAMES = 8_000


def test_nothing_that_is_damaged_crashes_costs_or_trades() -> None:
    with all_targets() as targets:
        report = Campaign(targets, seed=20).run(FRAMES)
    assert report.first == []
    assert report.frames >= FRAMES - 20
    assert set(report.by_target) == {target.name for target, _ in targets}


def test_every_seed_is_taken_as_it_was_said() -> None:
    with all_targets() as targets:
        for target, _ in targets:
            for seed in target.seeds[:80]:
                target.feed(seed.raw)


class _Picky(Plain):
    """Breaks on one digit, and wastes memory on another."""

    name = "picky"

    def __init__(self, waste: bool = False) -> None:
        self.seeds = [Seed.of(b'{"a":"11","b":2}')]
        self._waste = waste

    def feed(self, raw: bytes) -> None:
        if self._waste and raw != self.seeds[0].raw:
            bytearray(3_000_000)
        elif not self._waste and b"7" in raw:
            raise BrokenRuleError("a seven")


def test_a_parser_that_breaks_or_wastes_is_found() -> None:
    broken = Campaign([(_Picky(), 1.0)], seed=1).run(500)
    assert broken.findings > 0
    assert broken.first[0].what.endswith("a seven")
    wasted = Campaign([(_Picky(waste=True), 1.0)], seed=1).run(500)
    assert "more than right frames" in wasted.first[0].what


def test_the_same_seed_makes_the_same_frames_and_another_does_not() -> None:
    seed, other = Seed.of(b'{"e":"trade","p":"1.5","q":2}'), Seed.of(b'[["1","2"]]')
    first, again, another = ([mutated(rng, seed, other) for _ in range(300)] for rng in map(random.Random, (4, 4, 5)))
    assert first == again
    assert first != another
    assert len(set(first)) > 200


def test_monsters_are_among_them() -> None:
    rng, seed = random.Random(1), Seed.of(b'{"p":"1.5"}')
    sizes = [len(mutated(rng, seed, seed)) for _ in range(60_000)]
    assert max(sizes) >= HUGE
    assert sum(size >= 2 * DEEP for size in sizes) >= 3


@pytest.mark.parametrize("only", ["control"])
def test_the_command_reports_as_json(only: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--frames", "300", "--seed", "3", "--only", only, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["frames"], report["findings"], report["seed"]) == (300, 0, 3)
