"""Hard limits: losses by UTC day and in total, surviving restarts; rate, collar, counts."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from tests.core.build import settings
from tui_trader.core.limits import LossLimits, OrderRate, limit_refusals
from tui_trader.core.types import DAY_MS

D = Decimal
LIMITS = settings().limits
DAY = 20_000 * DAY_MS


def test_daily_loss_blocks_until_midnight_utc() -> None:
    losses = LossLimits(LIMITS)
    assert losses.update(DAY, D(10_000)) == ()
    assert losses.update(DAY + 1, D("9500.01")) == ()
    assert losses.update(DAY + 2, D(9_500)) == ("daily",)
    assert losses.update(DAY + 3, D(9_400)) == (), "told once"
    assert [r.code for r in losses.refusals()] == ["daily_loss"]
    assert losses.update(DAY + DAY_MS, D(9_400)) == ()
    assert losses.refusals() == ()
    assert losses.day_pnl(D(9_300)) == -100


def test_total_loss_latches_until_rearmed() -> None:
    losses = LossLimits(LIMITS)
    losses.update(DAY, D(10_000))
    assert "total" in losses.update(DAY + DAY_MS, D(8_000))
    assert "total_loss" in [r.code for r in losses.refusals()]
    losses.rearm(D(8_000), DAY + DAY_MS)
    assert losses.refusals() == ()
    assert losses.total_pnl(D(7_900)) == -100, "counts from the re-arming"


def test_re_arming_after_a_kill_for_another_reason_forgives_no_total_loss() -> None:
    losses = LossLimits(LIMITS)
    losses.update(DAY, D(10_000))
    losses.update(DAY + DAY_MS, D(8_100))
    losses.rearm(D(8_100), DAY + DAY_MS)
    assert losses.total_pnl(D(8_100)) == -1_900, "a try of the kill switch is no second budget"
    assert losses.update(DAY + DAY_MS + 1, D(8_000)) == ("total",)


def test_re_arming_leaves_a_reached_daily_loss_until_the_next_utc_day() -> None:
    losses = LossLimits(LIMITS)
    losses.update(DAY, D(10_000))
    assert losses.update(DAY + 1, D(7_900)) == ("daily", "total")
    losses.rearm(D(7_900), DAY + 1)
    assert [r.code for r in losses.refusals()] == ["daily_loss"]
    assert losses.day_pnl(D(7_900)) == -2_100, "the day's loss is not forgotten"
    assert losses.update(DAY + 2, D(7_900)) == (), "told once"
    losses.update(DAY + DAY_MS, D(7_900))
    assert losses.refusals() == ()


def test_fixed_amounts_of_ultra_conservative_win_over_fractions() -> None:
    losses = LossLimits(LIMITS.model_copy(update={"daily_loss": D(5), "total_loss": D(10)}))
    losses.update(DAY, D(10_000))
    assert losses.amounts(D(10_000)) == (D(5), D(10))
    assert losses.update(DAY + 1, D(9_995)) == ("daily",)
    assert losses.update(DAY + 2, D(9_990)) == ("total",)


def test_limits_survive_a_restart_through_json() -> None:
    losses = LossLimits(LIMITS)
    losses.update(DAY, D(10_000))
    losses.update(DAY + 1, D(9_400))
    again = LossLimits.from_state(LIMITS, json.loads(json.dumps(losses.to_state())))
    assert [r.code for r in again.refusals()] == ["daily_loss"]
    assert again.day_pnl(D(9_400)) == -600
    assert again.update(DAY + 2, D(9_300)) == ()


@pytest.mark.parametrize("bad", [{}, {"day": "x", "day_start": "abc", "baseline": "NaN"}])
def test_unreadable_state_starts_anew(bad: dict[str, object]) -> None:
    again = LossLimits.from_state(LIMITS, bad)
    assert (again.day_start, again.baseline) == (None, None)


def test_a_transfer_is_not_a_loss() -> None:
    losses = LossLimits(LIMITS)
    losses.update(DAY, D(10_000))
    losses.transfer(D(-5_000))
    assert losses.update(DAY + 1, D(5_000)) == ()


def test_order_rate_counts_a_minute() -> None:
    rate = OrderRate()
    for second in range(90):
        rate.record(second * 1_000)
    assert rate.count(89_000) == 61


def refusals(**changes: object) -> list[str]:
    base = {
        "settings": LIMITS,
        "positions": 0,
        "symbol_notional": D(0),
        "added_notional": D(1_000),
        "entry": D(100),
        "mark": D(100),
        "orders_last_minute": 0,
    }
    found = limit_refusals(**(base | changes))
    assert all(r.hard for r in found)
    return [r.code for r in found]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"positions": 8}, ["max_positions"]),
        ({"symbol_notional": D(49_001)}, ["notional"]),
        ({"orders_last_minute": 60}, ["order_rate"]),
        ({"entry": D("102.01")}, ["collar"]),
        ({"entry": D("97.99")}, ["collar"]),
        ({"entry": D(102)}, []),
        ({"mark": D(0)}, ["mark"]),
    ],
)
def test_each_limit_is_hard(change: dict[str, object], expected: list[str]) -> None:
    assert refusals(**change) == expected
