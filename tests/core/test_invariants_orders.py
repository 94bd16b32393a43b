"""Each forbidden order and each invented ending is found, and what the real executor does is not."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from tests.core.test_executor import QTY, opened
from tests.desk import Desk
from tui_trader.core import commands as cmd
from tui_trader.core import events as ev
from tui_trader.core.commands import Approval, PlaceOrder
from tui_trader.core.invariants_orders import OrderWatch
from tui_trader.core.types import Channel, Leg, OrderSide, OrderStatus, OrderType, VenueBook

SYMBOL = "BTCUSDT"


def flat() -> tuple[Desk, OrderWatch]:
    """A session that could enter, and a watch that has seen nothing yet."""
    desk = Desk().start()
    return desk, OrderWatch(desk.engine.state)


def holding() -> tuple[Desk, OrderWatch]:
    """0.040 long with its stop and targets, and the engine's own watch, which saw it all."""
    desk = opened()
    return desk, desk.engine.watch.orders


def order(desk: Desk, leg: Leg = Leg.ENTRY, plan_id: int = 90, revision: int = 1, **changes: object) -> PlaceOrder:
    """A faultless order of a plan; ``changes`` break it."""
    entry = leg is Leg.ENTRY
    desk.engine.state.approvals += 1
    qty = changes.pop("qty", QTY)
    whole: dict[str, object] = {
        "ts": desk.now,
        "client_id": f"tt-{desk.engine.state.epoch}-{plan_id:x}-{leg.value}-{revision}",
        "plan_id": plan_id,
        "leg": leg,
        "symbol": SYMBOL,
        "side": OrderSide.BUY if entry else OrderSide.SELL,
        "type": OrderType.MARKET,
        "qty": qty,
        "reduce_only": not entry,
        "approval": Approval(sequence=desk.engine.state.approvals, max_qty=Decimal("0.040"), exit=not entry),
    }
    return PlaceOrder(**(whole | changes))


def plan_row(desk: Desk, plan_id: int = 90) -> cmd.Record:
    return cmd.Record(ts=desk.now, kind="plans", data={"plan_id": plan_id}, durable=True)


def broken(watch: OrderWatch, *commands: cmd.Command) -> list[str]:
    return sorted({b.invariant for b in watch.commands(list(commands))})


def test_a_faultless_entry_is_no_breach() -> None:
    desk, watch = flat()
    desk.engine.state.approvals = 0
    sent = order(desk, plan_id=10)
    sent = msgspec.structs.replace(sent, client_id=sent.client_id.replace("-10-", "-a-"))
    assert broken(watch, plan_row(desk, 10), sent) == []


ENTRY_FAULTS: list[tuple[str, dict[str, object], str]] = [
    ("above the approval", {"qty": Decimal("0.041")}, "I12"),
    ("not a decimal", {"qty": 0.04}, "I17"),
    ("not a number", {"price": Decimal("NaN")}, "I17"),
    ("infinite trigger", {"trigger_price": Decimal("Infinity")}, "I17"),
    ("of another start", {"client_id": "tt-other-1-en-1"}, "I4"),
    ("of another leg", {"client_id": "tt-desk001-1-sl-1"}, "I4"),
    ("an approval of before", {"approval": Approval(sequence=0, max_qty=Decimal(1), exit=False)}, "I12"),
    ("approved as an exit", {"approval": Approval(sequence=99, max_qty=Decimal(1), exit=True)}, "I12"),
    ("said to be a repeat", {"resend": True}, "I4"),
    ("over the notional limit", {"qty": Decimal(2), "approval": Approval(sequence=9, max_qty=Decimal(2), exit=False)},
     "I12"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "invariant"), ENTRY_FAULTS, ids=[f[0] for f in ENTRY_FAULTS])
def test_a_wrong_entry_is_found_and_withheld(name: str, changes: dict[str, object], invariant: str) -> None:
    desk, watch = flat()
    sent = order(desk, plan_id=1, **changes)
    found = list(watch.commands([plan_row(desk, 1), sent]))
    assert invariant in {b.invariant for b in found}
    assert {b.withhold for b in found} == {sent.client_id}


def test_i4_an_entry_whose_plan_was_never_written_down() -> None:
    desk, watch = flat()
    assert broken(watch, order(desk, plan_id=1)) == ["I4"]


BLOCKS = {
    "killed": ("killed", "by hand", "I15"),
    "halted": ("halted", "why", "I12"),
    "stopping": ("stopping", "quit", "I12"),
    "not armed": ("armed", False, "I24"),
    "paused": ("paused_all", True, "I12"),
    "not compared": ("reconciled_ms", 0, "I11"),
    "compared anew": ("resync_ms", 5, "I11"),
    "clock": ("skew_ms", 900.0, "I11"),
}


@pytest.mark.parametrize("name", list(BLOCKS))
def test_i11_i12_an_entry_although_entries_are_blocked(name: str) -> None:
    field, value, invariant = BLOCKS[name]
    desk, watch = flat()
    setattr(desk.engine.state, field, value)
    assert broken(watch, plan_row(desk, 1), order(desk, plan_id=1)) == [invariant]


def test_i11_an_entry_while_a_channel_is_down_and_i7_while_reconciling() -> None:
    desk, watch = flat()
    desk.engine.state.channels[Channel.PRIVATE].up = False
    desk.engine.state.reconciling[SYMBOL] = desk.now
    assert broken(watch, plan_row(desk, 1), order(desk, plan_id=1)) == ["I11", "I7"]


def test_i2_the_same_id_twice_a_second_entry_and_more_than_approved() -> None:
    desk, watch = flat()
    first = order(desk, plan_id=1)
    assert broken(watch, plan_row(desk, 1), first) == []
    assert broken(watch, first) == ["I2"], "the same order leaves again"
    assert broken(watch, msgspec.structs.replace(first, resend=True)) == [], "a repeat of the same id is allowed"
    changed = msgspec.structs.replace(first, resend=True, qty=Decimal("0.020"))
    assert broken(watch, changed) == ["I4"], "the id was used for another order"
    more = order(desk, plan_id=1, revision=2, qty=Decimal("0.001"))
    assert broken(watch, more) == ["I2"], "0.041 of 0.040"
    assert broken(watch, plan_row(desk, 2), order(desk, plan_id=2)) == ["I2"], "another plan may still enter"


def test_i2_a_position_is_open_already() -> None:
    desk, watch = holding()
    assert "I2" in broken(watch, plan_row(desk, 2), order(desk, plan_id=2))


def test_i12_more_positions_or_orders_than_the_limits_allow() -> None:
    desk, watch = flat()
    limits = desk.engine.state.settings.limits
    object.__setattr__(limits, "max_positions", 1)
    desk.engine.state.portfolio.position("ETHUSDT").qty = Decimal(1)
    assert broken(watch, plan_row(desk, 1), order(desk, plan_id=1)) == ["I12"]
    desk.engine.state.portfolio.position("ETHUSDT").qty = Decimal(0)
    object.__setattr__(limits, "max_orders_per_minute", 1)
    assert broken(watch, plan_row(desk, 2), order(desk, plan_id=2, symbol="ETHUSDT")) == ["I12"]


def test_i3_exits_that_could_open_a_position() -> None:
    desk, watch = holding()
    number = desk.engine.state.plans[SYMBOL].plan_id
    revisions = iter(range(50, 60))

    def exit_(**changes: object) -> list[str]:
        return broken(watch, order(desk, Leg.CLOSE, number, next(revisions), **changes))

    assert exit_() == []
    assert exit_(reduce_only=False) == ["I3"]
    assert exit_(side=OrderSide.BUY) == ["I3"]
    assert exit_(qty=Decimal("0.041"), approval=Approval(sequence=10**6, max_qty=Decimal(1), exit=True)) == ["I3"]
    desk, watch = flat()
    assert broken(watch, plan_row(desk, 1), order(desk, Leg.CLOSE, 1)) == ["I3"], "nothing is open"


def test_i8_a_cancel_of_what_is_not_ours() -> None:
    _, watch = flat()
    mine = cmd.CancelOrder(ts=1, client_id="tt-old-1-sl-1", symbol=SYMBOL, book=VenueBook.ALGO)
    assert broken(watch, mine) == []
    assert broken(watch, msgspec.structs.replace(mine, client_id="android_x")) == ["I8"]


# --- what the venue says ---


def word(desk: Desk, client_id: str, status: OrderStatus = OrderStatus.WORKING) -> ev.OrderUpdate:
    return ev.OrderUpdate(
        ts=desk.now, symbol=SYMBOL, client_id=client_id, venue_id="", book=VenueBook.REGULAR, status=status,
        side=OrderSide.BUY, type=OrderType.LIMIT, qty=QTY,
    )  # fmt: skip


def outcome(desk: Desk, client_id: str, action: ev.SendAction, result: ev.SendResult) -> ev.SendOutcome:
    return ev.SendOutcome(ts=desk.now, action=action, result=result, symbol=SYMBOL, client_id=client_id)


def heard(watch: OrderWatch, event: ev.Event) -> list[str]:
    return sorted({b.invariant for b in watch.event(event)})


def test_i4_the_venue_speaks_of_an_order_that_was_never_sent() -> None:
    desk, watch = flat()
    assert heard(watch, word(desk, "tt-desk001-1-en-1")) == ["I4"]
    assert heard(watch, word(desk, "tt-earlier-1-en-1")) == [], "orders of an earlier start are known by the store"
    assert heard(watch, word(desk, "web_xyz")) == [], "other people's orders are theirs"


def test_i4_an_order_is_at_the_venue_although_it_could_not_be_written_down() -> None:
    desk, watch = flat()
    sent = order(desk, plan_id=1)
    assert broken(watch, plan_row(desk, 1), sent) == []
    refused = outcome(desk, sent.client_id, ev.SendAction.JOURNAL, ev.SendResult.REJECTED)
    assert heard(watch, refused) == []
    assert heard(watch, word(desk, sent.client_id)) == ["I4"]


def ledger_order(desk: Desk, leg: Leg) -> object:
    plan = desk.engine.state.plans[SYMBOL]
    return next(o for o in desk.engine.state.ledger.of_plan(plan.plan_id) if o.leg is leg)


def test_i5_an_ending_without_the_venues_word() -> None:
    desk, watch = holding()
    stop = ledger_order(desk, Leg.STOP)
    stop.status = OrderStatus.CANCELED
    assert heard(watch, ev.Timer(ts=desk.now)) == ["I5"]


def test_i5_not_found_counts_only_after_several_times_over_the_replica_lag() -> None:
    for wait_ms, times, expected in ((6_000, 3, []), (100, 3, ["I5"]), (4_000, 2, ["I5"])):
        desk, watch = holding()
        stop = ledger_order(desk, Leg.STOP)
        missing = outcome(desk, stop.client_id, ev.SendAction.QUERY, ev.SendResult.NOT_FOUND)
        for _ in range(times):
            desk.engine.state.now += wait_ms // times
            assert heard(watch, missing) == []
        stop.status = OrderStatus.CANCELED
        assert heard(watch, ev.Timer(ts=desk.now)) == expected, (wait_ms, times)


def test_i5_a_word_in_between_starts_the_count_anew() -> None:
    desk, watch = holding()
    stop = ledger_order(desk, Leg.STOP)
    missing = outcome(desk, stop.client_id, ev.SendAction.QUERY, ev.SendResult.NOT_FOUND)
    for _ in range(2):
        heard(watch, missing)
        desk.engine.state.now += 4_000
    heard(watch, word(desk, stop.client_id))
    heard(watch, missing)
    stop.status = OrderStatus.CANCELED
    assert heard(watch, ev.Timer(ts=desk.now)) == ["I5"]


def test_i6_statuses_and_fills_never_go_back() -> None:
    desk, watch = holding()
    entry, target = ledger_order(desk, Leg.ENTRY), ledger_order(desk, Leg.TP1)
    entry.status = OrderStatus.WORKING
    assert heard(watch, ev.Timer(ts=desk.now)) == ["I6"], "filled is final"
    target.status = OrderStatus.SENT
    assert heard(watch, ev.Timer(ts=desk.now)) == ["I6"], "a resting order is not merely sent"
    entry.booked = Decimal("0.039")
    assert heard(watch, ev.Timer(ts=desk.now)) == ["I6"]


def test_an_order_that_was_refused_may_leave_again_under_its_id_and_only_as_a_repeat() -> None:
    for resend, expected in ((True, []), (False, ["I6"])):
        desk, watch = holding()
        target = ledger_order(desk, Leg.TP1)
        sent = msgspec.structs.replace(watch.sent[target.client_id].order, resend=resend)
        target.status = OrderStatus.REJECTED
        heard(watch, outcome(desk, target.client_id, ev.SendAction.PLACE, ev.SendResult.REJECTED))
        target.status = OrderStatus.SENT
        watch.repeats([sent])
        assert heard(watch, ev.Timer(ts=desk.now)) == expected


def test_i2_the_venue_fills_more_than_was_ordered() -> None:
    desk, watch = holding()
    ledger_order(desk, Leg.ENTRY).booked = Decimal("0.041")
    assert heard(watch, ev.Timer(ts=desk.now)) == ["I2"]


def test_what_it_remembers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui_trader.core.invariants_orders.SENT_KEPT", 20)
    monkeypatch.setattr("tui_trader.core.invariants_orders.PLANS_KEPT", 10)
    desk, watch = holding()
    number = desk.engine.state.plans[SYMBOL].plan_id
    for revision in range(100, 160):
        list(watch.commands([order(desk, Leg.CLOSE, number + revision, 1)]))
    assert len(watch.sent) == 20
    assert heard(watch, word(desk, f"tt-desk001-{number}-en-9")) == [], "what is long over is not judged any more"
