"""A set that keeps its promise is rarely demoted, one that breaks it soon is; the formulas by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_trader.core.reliability import (
    Evidence,
    Promise,
    clipped,
    gather,
    observe,
    promise_of,
    reason_to_demote,
    wilson_high,
)

PROMISE = Promise(mean_r=0.3, mean_r_low=0.1, loss_rate=0.5, loss_rate_high=0.6, spread_r=1.1, trades=60)
ALPHA = 0.05


def ladder_results(rng: np.random.Generator, loss_rate: float, count: int) -> np.ndarray:
    """Results like a ladder's: a loss of about 1 R, a small win at break-even or TP1, or a large one."""
    lost = rng.random(count) < loss_rate
    wins = np.where(rng.random(count) < 0.5, 0.4, 1.9)
    return np.where(lost, -1.05 + 0.1 * rng.random(count), wins)


def promise(results: np.ndarray) -> Promise:
    """The promise of very many results: its bounds are the truth."""
    inside = np.clip(results, -3, 3)
    rate = float((results <= 0).mean())
    return Promise(
        mean_r=float(inside.mean()),
        mean_r_low=float(inside.mean()),
        loss_rate=rate,
        loss_rate_high=rate,
        spread_r=float(inside.std()),
        trades=len(results),
    )


def first_alarm(made: Promise, results: np.ndarray) -> int | None:
    evidence = Evidence()
    for count, r in enumerate(results.tolist(), 1):
        evidence = observe(evidence, made, r)
        if reason_to_demote(evidence, made, ALPHA):
            return count
    return None


def test_one_step_by_hand() -> None:
    """Spread 1.1: shift 0.55, wager 0.55 / (1.21 + 0.3025), bounded by 0.9 / 2.9."""
    wager = min(0.55 / (1.21 + 0.3025), 0.9 / 2.9)
    one = observe(Evidence(), PROMISE, -1.0)
    assert one.by_mean == pytest.approx(0.5 * (1 + wager * 1.1))
    assert one.by_losses == pytest.approx(0.5 * (0.75 / 0.6))
    assert one.e_value == pytest.approx((one.by_mean + one.by_losses) / 2 + 0.5)
    two = observe(one, PROMISE, 2.0)
    assert two.by_losses == pytest.approx((one.by_losses + 1 / 6) * 0.25 / 0.4)
    assert (two.trades, two.losses, two.total_r) == (2, 1, 1.0)
    assert Evidence().e_value == 1.0


def test_the_false_alarm_rate_is_bounded_over_a_long_life() -> None:
    """The very edge of the promise, 1,500 lives of 300 trades each: no more alarms than α allows, with its error."""
    rng = np.random.default_rng(7)
    made = promise(ladder_results(rng, 0.52, 400_000))
    lives = 1_500
    alarms = sum(first_alarm(made, ladder_results(rng, 0.52, 300)) is not None for _ in range(lives))
    assert alarms / lives <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / lives)


@pytest.mark.parametrize(("loss_rate", "within"), [(0.95, 30), (0.8, 80)])
def test_a_set_that_breaks_its_promise_is_found(loss_rate: float, within: int) -> None:
    rng = np.random.default_rng(11)
    made = promise(ladder_results(rng, 0.5, 100_000))
    found = [first_alarm(made, ladder_results(rng, loss_rate, within)) for _ in range(200)]
    assert sum(count is not None for count in found) >= 180


def test_a_set_that_was_good_for_long_is_found_when_it_decays() -> None:
    rng = np.random.default_rng(13)
    made = promise(ladder_results(rng, 0.5, 100_000))
    lives = [np.concatenate((ladder_results(rng, 0.4, 150), ladder_results(rng, 0.9, 80))) for _ in range(100)]
    found = [first_alarm(made, life) for life in lives]
    assert sum(count is not None and count > 150 for count in found) >= 90


def test_the_reason_says_both_sides() -> None:
    evidence = gather(PROMISE, [-1.0] * 30)
    reason = reason_to_demote(evidence, PROMISE, ALPHA)
    assert reason.startswith(
        "30 trades gave -1.00 R each and 100% losses; out of sample it was +0.30 R (at least +0.10)"
    )
    assert reason_to_demote(gather(PROMISE, [-1.0, 1.0] * 5), PROMISE, ALPHA) == ""


@given(st.lists(st.floats(-50, 50), max_size=200), st.floats(-2, 2), st.floats(0, 1), st.floats(0, 3))
def test_evidence_stays_a_positive_number(results: list[float], mean: float, rate: float, spread: float) -> None:
    made = Promise(mean_r=mean, mean_r_low=mean, loss_rate=rate, loss_rate_high=rate, spread_r=spread, trades=20)
    evidence = gather(made, results)
    assert math.isfinite(evidence.e_value)
    assert evidence.e_value > 0


@given(st.floats(-2, 2), st.floats(0.1, 3), st.floats(0, 1))
def test_no_bet_gains_on_average_while_the_promise_holds(mean: float, spread: float, rate: float) -> None:
    """Expectations of both bets over two-point results with the promised mean, and the promised loss rate."""
    made = Promise(mean_r=mean, mean_r_low=mean, loss_rate=rate, loss_rate_high=rate, spread_r=spread, trades=20)
    up, down = min(3.0, mean + 0.7), max(-3.0, mean - 0.7)
    share = (mean - down) / (up - down)

    def bets(r: float) -> tuple[float, float]:
        one = observe(Evidence(), made, r)
        return one.by_mean * 2, one.by_losses * 2

    assert share * bets(up)[0] + (1 - share) * bets(down)[0] <= 1 + 1e-9
    assert rate * bets(-1.0)[1] + (1 - rate) * bets(1.0)[1] <= 1 + 1e-9


def test_wilson_and_clipping() -> None:
    z = 1.645
    half = z * math.sqrt(0.025 + z * z / 400)
    assert wilson_high(5, 10) == pytest.approx((0.5 + z * z / 20 + half) / (1 + z * z / 10))
    assert wilson_high(0, 0) == 1.0
    assert (clipped(9.0), clipped(-9.0), clipped(0.5)) == (3.0, -3.0, 0.5)


def test_a_promise_needs_all_its_numbers() -> None:
    metrics = {
        "oos_mean_r": 0.3,
        "oos_mean_r_low": 0.1,
        "oos_loss_rate": 0.5,
        "oos_loss_rate_high": 0.6,
        "oos_spread_r": 1.1,
        "oos_trades": 60.0,
    }
    assert promise_of(metrics) == PROMISE
    assert promise_of({**metrics, "oos_mean_r_low": math.nan}) is None
    assert promise_of({name: value for name, value in metrics.items() if name != "oos_trades"}) is None
