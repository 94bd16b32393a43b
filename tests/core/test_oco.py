"""One step of the executor at a time: desired exits against what rests."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_trader.core.instruments import Instrument
from tui_trader.core.oco import (
    MOST_STOPS,
    Cancel,
    Patience,
    Place,
    Plan,
    PlanTarget,
    Stage,
    converge,
    desired_targets,
    is_over,
    proven_stop,
    stop_sizes,
    stuck_stop,
)
from tui_trader.core.orders import OwnOrder
from tui_trader.core.types import Leg, OrderSide, OrderStatus, OrderType, Origin, Side

BTC = Instrument(symbol="BTCUSDT", base_asset="BTC", tick_size=Decimal(1))
PATIENCE = Patience(stop_retry_ms=1_000, cancel_retry_ms=2_000)
QTY = Decimal("0.046")
STOP = Place(leg=Leg.STOP, type=OrderType.STOP_MARKET, qty=QTY, trigger_price=Decimal(42_850))
TP1 = Place(leg=Leg.TP1, type=OrderType.LIMIT, qty=Decimal("0.023"), price=Decimal(44_475))
TP2 = Place(leg=Leg.TP2, type=OrderType.LIMIT, qty=Decimal("0.013"), price=Decimal(45_125))


def plan(**changes: object) -> Plan:
    base = {
        "plan_id": 1,
        "symbol": "BTCUSDT",
        "side": Side.LONG,
        "origin": Origin.STRATEGY,
        "strategy": "test",
        "opened_ms": 0,
        "entry_qty": QTY,
        "stage": Stage.OPEN,
        "entered": QTY,
        "entry_value": QTY * 43_500,
        "stop_price": Decimal(42_850),
        "initial_stop": Decimal(42_850),
        "targets": [
            PlanTarget(leg=Leg.TP1, price=Decimal(44_475), qty=Decimal("0.023")),
            PlanTarget(leg=Leg.TP2, price=Decimal(45_125), qty=Decimal("0.013")),
        ],
    }
    return Plan(**(base | changes))


def resting(step: Place, number: int = 1, *, sent_ms: int = 0, proven: bool = True, **changes: object) -> OwnOrder:
    base = {
        "client_id": f"tt-e-1-{step.leg.value}-{number}",
        "plan_id": 1,
        "leg": step.leg,
        "symbol": "BTCUSDT",
        "side": OrderSide.SELL,
        "type": step.type,
        "qty": step.qty,
        "price": step.price,
        "trigger_price": step.trigger_price,
        "status": OrderStatus.WORKING if proven else OrderStatus.SENT,
        "sent_ms": sent_ms,
        "proven_ms": 1 if proven else 0,
    }
    return OwnOrder(**(base | changes))


def steps(p: Plan, orders: list[OwnOrder], *, open_qty: Decimal = QTY, now: int = 5_000) -> list[object]:
    return list(converge(p, open_qty, orders, BTC, now, PATIENCE))


def test_i1_the_stop_comes_first_and_alone() -> None:
    assert steps(plan(), []) == [STOP]


def test_targets_rest_only_under_a_proven_stop() -> None:
    unproven = resting(STOP, proven=False, sent_ms=4_900)
    assert steps(plan(), [unproven]) == []
    assert steps(plan(), [resting(STOP)]) == [TP1, TP2]


def test_when_all_rests_nothing_is_to_do() -> None:
    assert steps(plan(), [resting(STOP), resting(TP1), resting(TP2)]) == []


def test_an_unproven_stop_is_doubled_after_its_patience() -> None:
    silent = resting(STOP, proven=False, sent_ms=1_000)
    assert steps(plan(), [silent], now=3_999) == [], "the venue was not heard about it"
    assert steps(plan(), [silent], now=4_000) == [STOP]
    second = resting(STOP, 2, proven=False, sent_ms=4_000)
    assert steps(plan(), [silent, second], now=60_000) == [], "each of the two may have arrived"
    silent.negatives = 1
    assert steps(plan(), [silent], now=1_999) == []
    assert steps(plan(), [silent], now=2_000) == [STOP], "the venue does not know it"


def test_i10_the_old_stop_goes_only_when_the_new_one_is_proven() -> None:
    moved = plan(stop_price=Decimal(43_522))
    new = Place(leg=Leg.STOP, type=OrderType.STOP_MARKET, qty=QTY, trigger_price=Decimal(43_522))
    old, fresh = resting(STOP, 1), resting(new, 2, proven=False, sent_ms=4_990)
    targets = [resting(TP1), resting(TP2)]
    assert steps(moved, [old, *targets]) == [new]
    assert steps(moved, [old, fresh, *targets]) == []
    proven = resting(new, 2)
    assert steps(moved, [old, proven, *targets]) == [Cancel(client_id=old.client_id)]


def test_stop_quantity_follows_a_filled_target() -> None:
    p = plan()
    p.targets[0].done = Decimal("0.023")
    left = Decimal("0.023")
    assert steps(p, [resting(STOP), resting(TP2)], open_qty=left) == [
        Place(leg=Leg.STOP, type=OrderType.STOP_MARKET, qty=left, trigger_price=Decimal(42_850))
    ]


def test_flat_cancels_every_remaining_leg_once_per_patience() -> None:
    orders = [resting(STOP), resting(TP1), resting(TP2, cancel_ms=4_000)]
    closing = plan(stage=Stage.CLOSING)
    assert steps(closing, orders, open_qty=Decimal(0)) == [
        Cancel(client_id=orders[0].client_id),
        Cancel(client_id=orders[1].client_id),
    ]


def test_closing_cancels_targets_then_closes_at_market_and_keeps_the_stop() -> None:
    closing = plan(stage=Stage.CLOSING, closing_ms=4_500)
    stop = resting(STOP)
    assert steps(closing, [stop, resting(TP1)]) == [Cancel(client_id="tt-e-1-t1-1")]
    market = Place(leg=Leg.CLOSE, type=OrderType.MARKET, qty=QTY)
    assert steps(closing, [stop]) == [], "the venue is asked first what is open"
    closing.close_checked = True
    assert steps(closing, [stop]) == [market]
    assert steps(closing, [stop, resting(market, proven=False, sent_ms=4_900)]) == []


def test_closing_waits_for_targets_and_the_venues_word_a_second_at_most() -> None:
    closing = plan(stage=Stage.CLOSING, closing_ms=4_000)
    market = Place(leg=Leg.CLOSE, type=OrderType.MARKET, qty=QTY)
    stop, target = resting(STOP), resting(TP1, cancel_ms=4_500)
    assert steps(closing, [stop, target], now=4_999) == []
    assert steps(closing, [stop, target]) == [market]
    assert steps(closing, [stop]) == [market]


def test_a_bare_position_is_closed_without_waiting_for_a_look() -> None:
    closing = plan(stage=Stage.CLOSING, closing_ms=5_000)
    market = Place(leg=Leg.CLOSE, type=OrderType.MARKET, qty=QTY)
    assert steps(closing, [resting(STOP, proven=False, sent_ms=4_900)]) == [market]


def test_a_market_close_that_the_venue_does_not_know_is_joined_by_another() -> None:
    closing = plan(stage=Stage.CLOSING, close_checked=True)
    market = Place(leg=Leg.CLOSE, type=OrderType.MARKET, qty=QTY)
    silent = resting(market, proven=False, sent_ms=4_000)
    assert steps(closing, [resting(STOP), silent]) == []
    silent.negatives = 1
    assert steps(closing, [resting(STOP), silent]) == [market]


COARSE = msgspec.structs.replace(BTC, market_step_size=Decimal("0.010"), market_max_qty=Decimal("0.020"))


def coarse(p: Plan, orders: list[OwnOrder], open_qty: Decimal = QTY, now: int = 5_000) -> list[object]:
    return list(converge(p, open_qty, orders, COARSE, now, PATIENCE))


def stop_for(qty: str, trigger: str = "42850") -> Place:
    return Place(leg=Leg.STOP, type=OrderType.STOP_MARKET, qty=Decimal(qty), trigger_price=Decimal(trigger))


def test_i18_a_stop_above_the_market_maximum_is_split_and_the_remainder_stays_covered() -> None:
    parts = [stop_for("0.020"), stop_for("0.020"), stop_for("0.010")]
    assert coarse(plan(), []) == parts
    orders = [resting(part, i) for i, part in enumerate(parts)]
    assert coarse(plan(), orders[:2]) == parts[2:], "only what is missing is sent"
    assert proven_stop(plan(), orders[:2], QTY) is None
    assert proven_stop(plan(), orders, QTY) is not None
    assert coarse(plan(targets=[]), orders) == []


def test_a_position_beyond_all_reason_makes_no_more_stops_than_the_venue_takes() -> None:
    assert stop_sizes(Decimal(10) ** 24, COARSE) == [Decimal("0.020")] * MOST_STOPS
    assert stop_sizes(Decimal("0.800"), COARSE) == [Decimal("0.020")] * 40
    assert stop_sizes(Decimal("0.0005"), COARSE) == [Decimal("0.010")]


def test_i10_a_split_stop_is_moved_as_a_whole_before_the_old_ones_go() -> None:
    moved = plan(stop_price=Decimal(43_522), targets=[])
    sizes = ("0.020", "0.020", "0.010")
    old = [resting(stop_for(q), i) for i, q in enumerate(sizes)]
    new = [resting(stop_for(q, "43522"), 10 + i) for i, q in enumerate(sizes)]
    assert coarse(moved, old) == [stop_for(q, "43522") for q in sizes]
    on_the_way = [*new[:2], resting(stop_for("0.010", "43522"), 12, proven=False, sent_ms=4_900)]
    spare = [Cancel(client_id=old[i].client_id) for i in (2, 0)]
    assert coarse(moved, [*old, *on_the_way]) == spare, "two new and one old part cover all of it"
    loosest = proven_stop(moved, [old[1], *on_the_way], QTY)
    assert loosest is old[1], "the cover is only as tight as its loosest needed part"
    assert coarse(moved, [*old, *new]) == [Cancel(client_id=o.client_id) for o in old]


def test_i18_market_closes_keep_to_the_venues_step_and_maximum_until_nothing_is_left() -> None:
    closing = plan(stage=Stage.CLOSING, close_checked=True, targets=[])
    cover = [resting(stop_for(q), i) for i, q in enumerate(("0.020", "0.020", "0.010"))]
    left, sent = QTY, []
    while left > 0:
        (step,) = (s for s in coarse(closing, cover, left) if isinstance(s, Place))
        sent.append(step.qty)
        left -= min(step.qty, left)
    assert sent == [Decimal("0.020"), Decimal("0.020"), Decimal("0.010")]


def test_the_stop_stays_until_the_venue_says_that_nothing_is_open() -> None:
    closing = plan(stage=Stage.CLOSING)
    orders = [resting(STOP), resting(TP1)]
    zero = Decimal(0)
    gone = list(converge(closing, zero, orders, BTC, 5_000, PATIENCE, venue_flat=False))
    assert gone == [Cancel(client_id="tt-e-1-t1-1")]
    assert steps(closing, orders, open_qty=zero) == [Cancel(client_id=o.client_id) for o in orders]


def test_targets_are_off_while_the_venue_refuses_an_exit_beside_them() -> None:
    crowded = plan(targets_off_ms=5_001)
    assert steps(crowded, [resting(STOP), resting(TP1)]) == [Cancel(client_id="tt-e-1-t1-1")]
    assert steps(crowded, [resting(STOP)], now=5_001) == [TP1, TP2]


def test_partial_close_clears_targets_first_and_restores_them_after() -> None:
    p = plan(close_qty=Decimal("0.011"))
    assert steps(p, [resting(STOP), resting(TP1)]) == [Cancel(client_id="tt-e-1-t1-1")]
    assert steps(p, [resting(STOP)]) == [Place(leg=Leg.CLOSE, type=OrderType.MARKET, qty=Decimal("0.011"))]


def test_a_working_entry_is_cancelled_on_request() -> None:
    entry = resting(Place(leg=Leg.ENTRY, type=OrderType.LIMIT, qty=QTY, price=Decimal(43_000)), side=OrderSide.BUY)
    waiting = plan(stage=Stage.ENTERING, entered=Decimal(0), cancel_entry=True, stop_price=Decimal(0))
    assert steps(waiting, [entry], open_qty=Decimal(0)) == [Cancel(client_id=entry.client_id)]
    assert not is_over(waiting, Decimal(0), [entry])
    entry.status = OrderStatus.CANCELED
    assert is_over(waiting, Decimal(0), [entry])


def test_a_stuck_trigger_is_found() -> None:
    stuck = resting(STOP, status=OrderStatus.TRIGGERED, triggered_ms=1_000)
    assert stuck_stop([stuck], 3_000, 2_000) is None
    assert stuck_stop([stuck], 3_001, 2_000) is stuck


def test_a_stop_for_less_than_is_open_proves_nothing() -> None:
    small = resting(STOP, qty=Decimal("0.02"))
    assert proven_stop(plan(), [small], QTY) is None
    assert proven_stop(plan(), [small], Decimal("0.02")) is small


@pytest.mark.parametrize("side", list(Side))
@given(
    open_steps=st.integers(1, 200),
    legs=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 120)), min_size=1, max_size=3),
)
def test_i3_i18_targets_never_exceed_what_is_open(side: Side, open_steps: int, legs: list[tuple[int, int]]) -> None:
    open_qty = Decimal(open_steps) / 1000
    names = [Leg.TP1, Leg.TP2, Leg.TP3]
    p = plan(
        side=side,
        targets=[
            PlanTarget(leg=names[i], price=Decimal(44_000 + i), qty=Decimal(q) / 1000, done=Decimal(min(q, d)) / 1000)
            for i, (q, d) in enumerate(legs)
        ],
    )
    found = desired_targets(p, open_qty, BTC)
    assert sum(t.qty for t in found) <= open_qty
    assert all(t.qty >= BTC.min_qty for t in found)


def test_i13_one_stop_is_in_flight_at_a_time_while_an_entry_fills_in_parts() -> None:
    first = resting(STOP, proven=False, sent_ms=4_900, qty=Decimal("0.010"), negatives=1)
    assert steps(plan(), [first]) == [], "the stop for more waits for the word on the first"
    assert steps(plan(), [first], now=5_900) == [STOP], "but never longer than its patience"
    proven = resting(STOP, qty=Decimal("0.010"))
    assert steps(plan(), [proven]) == [STOP]


def test_a_target_is_not_laid_again_while_the_old_one_may_still_fill() -> None:
    p = plan()
    p.targets[0].qty = Decimal("0.025")
    old = resting(TP1)
    assert steps(p, [resting(STOP), old, resting(TP2)]) == [Cancel(client_id=old.client_id)]
    old.cancel_ms = 4_900
    assert steps(p, [resting(STOP), old, resting(TP2)]) == []
    old.status = OrderStatus.CANCELED
    bigger = Place(leg=Leg.TP1, type=OrderType.LIMIT, qty=Decimal("0.025"), price=TP1.price)
    assert steps(p, [resting(STOP), old, resting(TP2)]) == [bigger]


def test_stops_do_not_pile_up_while_an_entry_fills_in_small_parts() -> None:
    small = [resting(stop_for(f"0.00{n}"), n) for n in range(1, 7)]
    new = resting(stop_for("0.008"), 8, proven=False, sent_ms=4_990)
    found = steps(plan(targets=[]), [*small, new], open_qty=Decimal("0.008"))
    assert found == [Cancel(client_id=f"tt-e-1-sl-{n}") for n in (1, 2, 3, 4)], "0.005 and 0.006 cover what is open"
    bare = steps(plan(), [*small[:2], new], open_qty=Decimal("0.008"))
    assert bare == [], "each part that protects something stays"


def test_i10_a_stop_that_is_replaced_by_a_tighter_one_stays_until_that_is_proven() -> None:
    moved = plan(stop_price=Decimal(43_522), targets=[])
    old, doubled = resting(STOP, 1), resting(STOP, 2)
    new = resting(stop_for("0.046", "43522"), 3, proven=False, sent_ms=4_990)
    assert steps(moved, [old, doubled, new]) == [Cancel(client_id=old.client_id)], "one of the two older ones is enough"
    assert steps(moved, [old, new]) == []


def test_what_is_filled_but_unheard_is_not_sent_again() -> None:
    taken = resting(TP1, status=OrderStatus.FILLED, filled_qty=TP1.qty)
    left = QTY - TP1.qty
    stop = resting(STOP, qty=left)
    assert steps(plan(), [stop, taken, resting(TP2)], open_qty=left) == []
    market = Place(leg=Leg.CLOSE, type=OrderType.MARKET, qty=Decimal("0.011"))
    closed = resting(market, status=OrderStatus.FILLED, filled_qty=market.qty)
    p = plan(close_qty=Decimal("0.011"))
    assert Place(leg=Leg.CLOSE, type=OrderType.MARKET, qty=Decimal("0.011")) not in steps(
        p, [resting(STOP, qty=QTY - market.qty), closed], open_qty=QTY - market.qty
    )
