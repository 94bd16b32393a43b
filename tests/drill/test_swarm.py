"""The swarm: a draw is whole, a seed repeats exactly wherever it runs, and a few seeds live without a violation."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from multiprocessing import active_children

import msgspec
import pytest

from tui_trader import clock
from tui_trader.drill.campaign import Report, campaign, percentiles, summary
from tui_trader.drill.draw import draw
from tui_trader.drill.minimise import minimise
from tui_trader.drill.swarm import Result, live
from tui_trader.exchange.fault_presets import PRESETS
from tui_trader.exchange.fault_rules import FaultKind

STEPS = 3_000
HASH = """
from tui_trader.drill.draw import draw
from tui_trader.drill.swarm import live
print(live(draw(7), 1_500).trace_hash)
"""


def test_the_seeds_reach_every_kind_of_fault_and_differ() -> None:
    drawn = [draw(seed) for seed in range(1, 60)]
    assert {kind for one in drawn for kind in one.kinds} == {kind.value for kind in FaultKind}
    assert min(len(one.kinds) for one in drawn) <= 3
    assert len({one.setup.rules for one in drawn}) > 50
    assert draw(3) == draw(3)


def test_a_preset_takes_the_place_of_the_drawn_faults() -> None:
    assert draw(3, PRESETS["calm"]).setup.rules == ()
    hostile = draw(3, PRESETS["hostile"])
    assert hostile.kinds == tuple(sorted({rule.kind.value for rule in PRESETS["hostile"]}))
    assert all(rule.size <= 4_096 for rule in hostile.setup.rules if rule.kind is FaultKind.huge_frame)


@pytest.mark.parametrize("seed", [2, 6, 11])
def test_a_seed_lives_without_a_violation(seed: int) -> None:
    result = live(draw(seed), STEPS)
    assert result.violations == ()
    assert result.steps >= STEPS


def test_a_calm_world_protects_within_a_second() -> None:
    result = live(draw(12, PRESETS["calm"]), STEPS)
    assert result.violations == ()
    assert result.watched == {}
    assert result.unprotected
    assert max(result.unprotected) < 1.0


def test_the_same_seed_has_the_same_hash_in_another_process_and_under_another_hash_seed() -> None:
    here = live(draw(7), 1_500).trace_hash
    assert live(draw(7), 1_500).trace_hash == here
    for number in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": number}
        told = subprocess.run(
            [sys.executable, "-c", HASH], env=environment, capture_output=True, text=True, check=True
        ).stdout
        assert told.strip() == here


def result(seed: int, **changes: object) -> Result:
    blank = Result(
        seed=seed, steps=10, virtual_hours=1.0, violations=(), counts={}, unprotected=(float(seed),), crashes=0,
        faults={"http": 1}, watched={}, trace_hash=f"{seed}",
    )  # fmt: skip
    return msgspec.structs.replace(blank, **changes)


def test_the_report_does_not_depend_on_the_order_of_the_results() -> None:
    several = [result(1), result(2, counts={"I1": 2}), result(3)]
    report = summary(several)
    assert report == summary(reversed(several))
    assert (report.seeds, report.steps, report.violations, report.failed_seeds) == (3, 30, {"I1": 2}, [2])
    assert report.unprotected_s == {"p50": 2.0, "p99": 3.0, "max": 3.0}
    assert report.trace_hash != summary([result(1), result(2), result(4)]).trace_hash


def test_percentiles_of_nothing_are_zero() -> None:
    assert percentiles([]) == {"p50": 0.0, "p99": 0.0, "max": 0.0}


def test_a_campaign_on_two_processes_gives_the_report_of_one() -> None:
    heard: list[int] = []
    one = campaign(range(1, 4), 800, None, 1, lambda done, result: heard.append(done))
    two = campaign(range(1, 4), 800, None, 2, lambda done, result: None)
    assert heard == [1, 2, 3]
    assert one == two
    assert isinstance(one, Report)
    assert one.seeds == 3


def test_an_interrupt_gives_what_there_is_marked_partial() -> None:
    def stop(done: int, result: Result) -> None:
        raise KeyboardInterrupt

    report = campaign(range(1, 4), 400, None, 1, stop)
    assert report.partial
    assert report.seeds == 1


def test_an_interrupt_ends_the_workers_with_what_they_were_at() -> None:
    def stop(done: int, result: Result) -> None:
        raise KeyboardInterrupt

    assert campaign(range(1, 9), 400, None, 2, stop).partial
    until = clock.monotonic() + 10
    while active_children() and clock.monotonic() < until:
        time.sleep(0.02)
    assert active_children() == []


def test_a_seed_that_violates_nothing_is_not_made_smaller() -> None:
    assert minimise(2, 400, PRESETS["calm"], lambda words: None) is None
