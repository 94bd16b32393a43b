"""The time since protection was proven, the time without it, and the session's percentiles."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.core.test_executor import opened
from tests.desk import Desk
from tui_trader.core import events as ev
from tui_trader.core.oco import Plan
from tui_trader.core.protection import longest_naked_s, naked_s, percentile, protection, proven_age_s
from tui_trader.core.types import Leg, OrderStatus, Side
from tui_trader.exchange.rest import Reply

SYMBOL = "BTCUSDT"


def plan_of(desk: Desk) -> Plan:
    return desk.engine.state.plans[SYMBOL]


def test_each_snapshot_that_shows_the_stop_proves_it_anew() -> None:
    desk = opened()
    state = desk.engine.state
    before = proven_age_s(state, plan_of(desk), desk.now)
    desk.lose_request = lambda method, path: True
    desk.run(5_000)
    assert proven_age_s(state, plan_of(desk), desk.now) == pytest.approx(before + 5, abs=0.2)
    desk.lose_request = None
    desk.snapshot()
    desk.run(200)
    assert proven_age_s(state, plan_of(desk), desk.now) < 0.3


def test_of_several_stops_the_oldest_proof_counts_and_a_gap_counts_as_none() -> None:
    desk = opened()
    state, plan = desk.engine.state, plan_of(desk)
    (stop,) = [o for o in state.ledger.of_plan(plan.plan_id) if o.leg is Leg.STOP]
    stop.qty = Decimal("0.030")
    assert proven_age_s(state, plan, desk.now) == 0.0, "0.010 is bare"
    other = type(stop)(**{name: getattr(stop, name) for name in stop.__struct_fields__})
    other.client_id, other.qty, other.proven_ms = "tt-desk001-1-sl-9", Decimal("0.010"), desk.now - 70_000
    state.ledger.add(other)
    assert proven_age_s(state, plan, desk.now) == 70.0
    other.status = OrderStatus.TRIGGERED
    assert proven_age_s(state, plan, desk.now) == 0.0


@pytest.mark.parametrize("rate", [1.0, 20.0])
def test_naked_time_counts_real_seconds_and_remembers_the_longest(rate: float) -> None:
    desk = opened()
    state, plan = desk.engine.state, plan_of(desk)
    state.rate = rate
    plan.longest_naked_ms = 4_000
    assert (naked_s(state, plan, desk.now), longest_naked_s(state, plan, desk.now)) == (0.0, 4.0 / rate)
    plan.naked_since_ms = desk.now - 10_000
    assert naked_s(state, plan, desk.now) == 10.0 / rate
    assert longest_naked_s(state, plan, desk.now) == 10.0 / rate


def test_the_percentiles_of_the_session_count_what_goes_on() -> None:
    desk = opened()
    state = desk.engine.state
    state.unprotected_s.clear()
    assert protection(state, desk.now).count == 0
    state.unprotected_s.extend([0.1] * 97 + [2.0, 2.5])
    seen = protection(state, desk.now)
    assert (seen.count, seen.p50_s, seen.p99_s, seen.max_s) == (99, 0.1, 2.5, 2.5)
    plan_of(desk).naked_since_ms = desk.now - 8_000
    seen = protection(state, desk.now)
    assert (seen.count, seen.p99_s, seen.max_s) == (100, 2.5, 8.0)
    assert percentile([], 0.99) == 0.0


def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed() -> None:
    hundred = [float(value) for value in range(100, 0, -1)]
    assert [percentile(hundred, share) for share in (0.0, 0.5, 0.99, 0.991, 1.0)] == [1.0, 50.0, 99.0, 100.0, 100.0]


def test_i1_time_without_a_stop_counts_from_the_venues_fill_and_ends_in_a_flat_position_at_the_limit() -> None:
    """Every stop is lost on its way: ten seconds after the fill the position is gone, and it is said."""
    desk = Desk().start()

    def lost(method: str, path: str, reply: Reply) -> Reply | None:
        return Reply(503, '{"code":-1008,"msg":"overloaded"}') if path.endswith("algoOrder") else reply

    desk.faults = lost
    desk.lose_request = lambda method, path: method == "POST" and path.endswith("algoOrder")
    desk.process(ev.OpenPosition(ts=desk.now, symbol=SYMBOL, side=Side.LONG, qty=Decimal("0.040")))
    desk.run(1_000)
    (fill,) = [r.data for r in desk.records if r.kind == "fills"]
    assert naked_s(desk.engine.state, plan_of(desk), desk.now) == (desk.now - fill["venue_ts"]) / 1000
    desk.run(7_500)
    assert desk.position == Decimal("0.040")
    desk.run(4_500)
    assert desk.position == 0
    assert any("no proven stop for 9." in text for text in desk.log)
    assert not [text for text in desk.log if "INVARIANT" in text]
    assert protection(desk.engine.state, desk.now).max_s == pytest.approx(9.5, abs=0.5)
