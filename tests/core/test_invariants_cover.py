"""Bare positions and orphans are found by the venue's own words; what the executor mends in time is not a breach."""

from __future__ import annotations

from decimal import Decimal

from tests.core.test_executor import QTY, opened
from tests.desk import Desk
from tui_trader.core import commands as cmd
from tui_trader.core import events as ev
from tui_trader.core.invariants_cover import CoverWatch
from tui_trader.core.oco import Stage
from tui_trader.core.types import Channel, OrderSide, OrderStatus, OrderType, VenueBook

SYMBOL = "BTCUSDT"


def watched() -> tuple[Desk, CoverWatch]:
    """0.040 long with a proven stop, and the engine's own watch."""
    desk = opened()
    cover = desk.engine.watch.cover
    assert list(cover.check()) == []
    return desk, cover


def later(desk: Desk, seconds: float) -> None:
    desk.engine.state.now += int(seconds * 1_000)


def stop_id(cover: CoverWatch) -> str:
    (name,) = (n for n, rest in cover.resting.items() if "-sl-" in n)
    return name


def says(desk: Desk, client_id: str, status: OrderStatus, **changes: object) -> ev.OrderUpdate:
    whole: dict[str, object] = {
        "ts": desk.engine.state.now, "symbol": SYMBOL, "client_id": client_id, "venue_id": "", "book": VenueBook.ALGO,
        "status": status, "side": OrderSide.SELL, "type": OrderType.STOP_MARKET, "qty": QTY,
        "venue_ts": desk.engine.state.now,
    }  # fmt: skip
    return ev.OrderUpdate(**(whole | changes))


def nothing(desk: Desk, **changes: object) -> ev.AccountSnapshot:
    """An account in which nothing rests, as of now."""
    now = desk.engine.state.now
    whole: dict[str, object] = {"ts": now, "asked_at": now, "positions": (), "orders": (), "wallet": Decimal(1)}
    return ev.AccountSnapshot(**(whole | changes))


def ended(desk: Desk, client_id: str, result: ev.SendResult) -> ev.SendOutcome:
    """How a cancel ended."""
    now = desk.engine.state.now
    return ev.SendOutcome(ts=now, action=ev.SendAction.CANCEL, result=result, symbol=SYMBOL, client_id=client_id)


def broken(cover: CoverWatch) -> list[tuple[str, str]]:
    return [(b.invariant, b.subject) for b in cover.check()]


def test_i1_the_time_without_a_stop_counts_from_the_venues_fill() -> None:
    desk = opened(latency_ms=400)
    plan = desk.engine.state.plans[SYMBOL]
    (seconds,) = desk.engine.state.unprotected_s
    assert 0.8 <= seconds <= 3.0, "fill told, stop sent, stop told: two latencies at least"
    assert desk.engine.watch.cover.naked == {}
    assert plan.longest_naked_ms > 0


def test_i1_a_bare_position_that_nobody_flattens() -> None:
    desk, cover = watched()
    cover.event(says(desk, stop_id(cover), OrderStatus.CANCELED))
    later(desk, 11.9)
    assert broken(cover) == [], "the executor has its ten seconds, and two to act"
    later(desk, 0.2)
    assert broken(cover) == [("I1", SYMBOL)]


def test_i1_an_acknowledgement_proves_nothing_and_a_small_stop_does_not_cover() -> None:
    desk, cover = watched()
    name = stop_id(cover)
    cover.event(says(desk, name, OrderStatus.CANCELED))
    later(desk, 1)
    fresh = name[:-1] + "9"
    cover.event(says(desk, fresh, OrderStatus.WORKING, from_venue_evidence=False))
    assert SYMBOL in cover.naked
    cover.event(says(desk, fresh, OrderStatus.WORKING, qty=Decimal("0.039")))
    assert SYMBOL in cover.naked
    other = name[:-1] + "8"
    cover.event(says(desk, other, OrderStatus.WORKING, qty=Decimal("0.001")))
    assert SYMBOL not in cover.naked, "two stops cover together"
    cover.event(says(desk, other, OrderStatus.TRIGGERED))
    assert SYMBOL in cover.naked, "a triggered stop protects nothing"


def test_i1_does_not_count_while_the_venue_cannot_be_reached() -> None:
    desk, cover = watched()
    cover.event(says(desk, stop_id(cover), OrderStatus.CANCELED))
    rest = desk.engine.state.channels[Channel.REST]
    rest.up = False
    later(desk, 60)
    assert broken(cover) == []
    rest.up, rest.since_ms = True, desk.engine.state.now
    later(desk, 11)
    assert broken(cover) == []
    later(desk, 2)
    assert broken(cover) == [("I1", SYMBOL)]


def test_i1_limits_are_real_seconds_whatever_the_venues_pace() -> None:
    desk, cover = watched()
    cover.event(says(desk, stop_id(cover), OrderStatus.CANCELED))
    desk.engine.state.rate = 20.0
    later(desk, 200)
    assert broken(cover) == [], "10 s of the demo's time"
    later(desk, 60)
    assert broken(cover) == [("I1", SYMBOL)]


def test_i1_being_flattened_is_enough_while_something_is_done() -> None:
    desk, cover = watched()
    cover.event(says(desk, stop_id(cover), OrderStatus.CANCELED))
    desk.engine.state.plans[SYMBOL].stage = Stage.CLOSING
    later(desk, 14)
    cover.commands([cmd.QueryOrder(ts=0, client_id="x", symbol=SYMBOL, book=VenueBook.REGULAR)])
    later(desk, 14)
    assert broken(cover) == []
    later(desk, 2)
    assert broken(cover) == [("I1", SYMBOL)], "nothing was sent for 16 s"


def test_i1_a_position_that_no_plan_owns() -> None:
    desk, cover = watched()
    desk.engine.state.portfolio.position("ETHUSDT").qty = Decimal(1)
    assert broken(cover) == []
    later(desk, 13)
    (breach,) = cover.check()
    assert breach.subject == "ETHUSDT"
    assert "no plan owns it" in breach.words


def test_i8_an_exit_that_still_rests_ten_seconds_after_flat() -> None:
    desk, cover = watched()
    name = stop_id(cover)
    state = desk.engine.state
    state.portfolio.position(SYMBOL).qty = state.portfolio.position(SYMBOL).venue_qty = Decimal(0)
    assert broken(cover) == []
    later(desk, 6)
    cover.event(says(desk, name, OrderStatus.WORKING))
    assert broken(cover) == []
    later(desk, 5)
    assert ("I8", name) in broken(cover)
    cover.event(ended(desk, name, ev.SendResult.ACCEPTED))
    assert name not in cover.resting
    assert ("I8", name) not in broken(cover)


def test_i8_a_cancel_that_failed_is_given_time_to_be_tried_again() -> None:
    desk, cover = watched()
    state = desk.engine.state
    name = stop_id(cover)
    state.portfolio.position(SYMBOL).qty = state.portfolio.position(SYMBOL).venue_qty = Decimal(0)
    broken(cover)
    later(desk, 9)
    cover.event(says(desk, name, OrderStatus.WORKING))
    cover.event(ended(desk, name, ev.SendResult.UNKNOWN))
    later(desk, 10)
    cover.event(says(desk, name, OrderStatus.WORKING))
    assert ("I8", name) not in broken(cover)
    later(desk, 6)
    assert ("I8", name) in broken(cover)


def test_i8_late_and_stale_words_bring_nothing_back() -> None:
    desk, cover = watched()
    name = stop_id(cover)
    old = says(desk, name, OrderStatus.WORKING)
    later(desk, 1)
    cover.event(says(desk, name, OrderStatus.CANCELED))
    cover.event(old)
    assert name not in cover.resting
    cover.event(nothing(desk, complete=False))
    assert cover.resting.keys(), "an incomplete snapshot proves nothing by what it lacks"
    cover.event(nothing(desk))
    assert cover.resting == {}, "what a complete one does not list does not rest"


def test_i8_orders_of_an_ended_plan_are_orphans_and_foreign_ones_are_not() -> None:
    desk, cover = watched()
    for name in ("tt-desk000-9-t1-1", "android_1"):
        cover.event(says(desk, name, OrderStatus.WORKING, book=VenueBook.REGULAR, type=OrderType.LIMIT))
    broken(cover)
    later(desk, 6)
    cover.event(says(desk, "tt-desk000-9-t1-1", OrderStatus.WORKING, book=VenueBook.REGULAR))
    later(desk, 5)
    assert [subject for invariant, subject in broken(cover) if invariant == "I8"] == ["tt-desk000-9-t1-1"]
