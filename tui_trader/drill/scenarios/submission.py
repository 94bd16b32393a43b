"""Fault matrix, submission: requests and answers that are lost, late, doubled, or say what nobody can be sure of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal

from tui_trader.core.types import Leg
from tui_trader.drill.scenario import Stage
from tui_trader.drill.scenarios.entries import QTY, entered_long
from tui_trader.drill.scenarios.look import (
    BTC,
    check,
    covered,
    describe,
    entered,
    ever,
    fitted,
    gone,
    heard,
    hold,
    position,
    stops,
    targets,
    trades,
    until_gone,
    until_protected,
    wait,
)
from tui_trader.drill.scenarios.registry import scenario
from tui_trader.drill.scenarios.strike import (
    ORDERS,
    PLACE,
    PLACE_STOP,
    PRIVATE,
    QUERY,
    QUERY_STOP,
    answer,
    late,
    strike,
)
from tui_trader.exchange.fault_rules import FaultKind

UNKNOWN = "Unknown error, please check your request or try again later."
TIMEOUT = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
BUS = "An unexpected response was received from the message bus. Execution status unknown."


async def one_entry_one_stop(stage: Stage) -> None:
    """However the answers were lost: one entry filled once, one stop, and the ladder in place."""
    await until_protected(stage, ms=45_000)
    await wait(stage, lambda: len(targets(stage)) == 2, "both targets rest", 45_000)
    await hold(stage, lambda: fitted(stage), "one stop for exactly what is open", 5_000)
    check(len(ever(stage, Leg.ENTRY)) == 1, f"one entry order, not {len(ever(stage, Leg.ENTRY))}")
    check(position(stage) == QTY == entered(stage), describe(stage))
    ids = [row.client_id for leg in Leg for row in ever(stage, leg)]
    check(len(set(ids)) == len(ids), "every id once")


@scenario("entry-request-lost", "request lost")
async def entry_lost(stage: Stage) -> None:
    """The entry never arrives: asked about, then sent again under its own id or given up; never two."""
    strike(stage, FaultKind.drop_request, PLACE)
    await stage.enter(wait=False)
    await wait(stage, lambda: fitted(stage) or heard(stage, "without a fill"), "entered or given up", 45_000)
    await stage.sleep(10_000)
    check(len(ever(stage, Leg.ENTRY)) <= 1, "never two entries")
    check(gone(stage) or (fitted(stage) and position(stage) == QTY), describe(stage))


@scenario("stop-request-lost", "request lost")
async def stop_lost(stage: Stage) -> None:
    """The stop never arrives: within seconds one rests all the same, and in the end exactly one."""
    strike(stage, FaultKind.drop_request, PLACE_STOP)
    await stage.enter(wait=False)
    await one_entry_one_stop(stage)


@scenario("entry-late-arrival", "query through the window")
async def entry_late(stage: Stage) -> None:
    """The entry is held up on the way, nobody knows of it when asked, and it arrives after all, within its window."""
    late(stage, PLACE, 4_400)
    await stage.enter(wait=False)
    await stage.sleep(12_000)
    await wait(stage, lambda: fitted(stage) or gone(stage), "protected or gone", 45_000)
    check(len(ever(stage, Leg.ENTRY)) <= 1, "never two entries")
    check(entered(stage) in (Decimal(0), QTY) and abs(position(stage)) <= QTY, describe(stage))


_UNSURE: dict[str, tuple[str, Callable[[Stage, str], int]]] = {
    "answer-lost": ("accepted but answer lost", lambda s, p: strike(s, FaultKind.drop_response, p)),
    "timeout": ("timeout", lambda s, p: late(s, p, 9_000, answer=True)),
    "minus-1006": ("-1006", lambda s, p: answer(s, p, 400, -1006, BUS, acted=True)),
    "minus-1007": ("-1007", lambda s, p: answer(s, p, 408, -1007, TIMEOUT, acted=True)),
    "503-unknown": ('503 "Unknown error"', lambda s, p: answer(s, p, 503, -1000, UNKNOWN, acted=True)),
    "reset-after-send": ("reset after send", lambda s, p: strike(s, FaultKind.reset_before, p, share=1.0)),
    "reset-mid-answer": ("reset after send", lambda s, p: strike(s, FaultKind.reset_mid, p)),
    "mangled-answer": ("accepted but answer lost", lambda s, p: strike(s, FaultKind.mangle, p)),
}


def _unsure_entry(bend: Callable[[Stage, str], int]) -> Callable[[Stage], Awaitable[None]]:
    async def script(stage: Stage) -> None:
        """The entry was done, and its answer says nothing sure: queried under the same id, never sent anew."""
        bend(stage, PLACE)
        await stage.enter(wait=False)
        await one_entry_one_stop(stage)

    return script


def _unsure_stop(bend: Callable[[Stage, str], int]) -> Callable[[Stage], Awaitable[None]]:
    async def script(stage: Stage) -> None:
        """The stop was placed, its answer says nothing sure, and its stream event is lost, too."""
        bend(stage, PLACE_STOP)
        strike(stage, FaultKind.mute, "private ALGO_UPDATE", ms=1_500)
        await stage.enter(wait=False)
        await one_entry_one_stop(stage)

    return script


for _name, (_row, _bend) in _UNSURE.items():
    scenario(f"entry-{_name}", _row)(_unsure_entry(_bend))
    scenario(f"stop-{_name}", _row)(_unsure_stop(_bend))


@scenario("entry-503-not-executed", "other 503")
async def entry_overloaded(stage: Stage) -> None:
    """A 503 that means "not executed": the entry failed, or goes out again under its id; never two."""
    answer(stage, PLACE, 503, -1001, "Internal error; unable to process your request. Please try again.")
    await stage.enter(wait=False)
    await wait(stage, lambda: fitted(stage) or heard(stage, "without a fill"), "entered or given up", 45_000)
    check(len(ever(stage, Leg.ENTRY)) <= 1, "never two entries")


@scenario("stop-503-not-executed", "other 503")
async def stop_overloaded(stage: Stage) -> None:
    """A 503 that means "not executed", on the stop, twice: it is tried again until it rests."""
    answer(stage, PLACE_STOP, 503, -1001, "Internal error; unable to process your request. Please try again.", 2)
    await stage.enter(wait=False)
    await one_entry_one_stop(stage)


@scenario("stop-503-for-ever", "other 503")
async def stop_never_taken(stage: Stage) -> None:
    """Each stop meets an overload page while all else answers: that is no outage, so the position goes."""
    answer(stage, PLACE_STOP, 503, 0, "Service Unavailable", 0)
    await stage.enter(wait=False)
    await wait(stage, lambda: bool(ever(stage, Leg.ENTRY)), "the entry arrives")
    await until_gone(stage, ms=15_000)


@scenario("entry-duplicate-id", "duplicate id (-4116")
async def entry_duplicate(stage: Stage) -> None:
    """The network delivers the entry twice and the refusal of the second comes back: the order exists, query it."""
    answer(stage, PLACE, 400, -4116, "ClientOrderId is duplicated.", acted=True)
    await stage.enter(wait=False)
    await one_entry_one_stop(stage)


@scenario("stop-duplicate-id", "duplicate id (-4116")
async def stop_duplicate(stage: Stage) -> None:
    """The same for the stop."""
    answer(stage, PLACE_STOP, 400, -4116, "ClientOrderId is duplicated.", acted=True)
    await stage.enter(wait=False)
    await one_entry_one_stop(stage)


@scenario("requests-doubled", "duplicate id (-4116")
async def doubled(stage: Stage) -> None:
    """Every request arrives twice, and the venue knows an id only while its order rests: the excess is closed."""
    strike(stage, FaultKind.duplicate, "* /fapi/v1/*rder", 0)
    await stage.enter(wait=False)
    await stage.sleep(8_000)
    stage.faults.clear()
    await wait(stage, lambda: fitted(stage) or gone(stage), "one stop, exactly, or flat", 45_000)
    check(0 <= position(stage) <= QTY, f"no more than was approved in the end: {describe(stage)}")


@scenario("event-before-retry", "event arrives before the retry timer")
async def event_first(stage: Stage) -> None:
    """The answers to entry and stop are lost and the stream tells of both at once: nothing is sent again."""
    strike(stage, FaultKind.drop_response, PLACE)
    strike(stage, FaultKind.drop_response, PLACE_STOP)
    await stage.enter(wait=False)
    await one_entry_one_stop(stage)
    check(len(ever(stage, Leg.STOP)) == 1, f"one stop ever, not {len(ever(stage, Leg.STOP))}")


@scenario("events-before-answer", "events before the REST answer")
async def events_before_answer(stage: Stage) -> None:
    """The entry's fill is heard two seconds before its request is answered: protected at once, booked once."""
    late(stage, PLACE, 2_000, answer=True)
    await stage.enter(wait=False)
    await wait(stage, lambda: fitted(stage), "protected before the answer", 5_000)
    await one_entry_one_stop(stage)


@scenario("events-out-of-order", "out of order")
async def out_of_order(stage: Stage) -> None:
    """Account events overtake one another all the way down the ladder."""
    strike(stage, FaultKind.reorder, PRIVATE, 0, ms=700)
    ladder = await entered_long(stage)
    await stage.move(BTC, ladder.at(1.6))
    await wait(stage, lambda: fitted(stage) and position(stage) == QTY / 2, "TP1, the stop follows")
    await stage.move(BTC, ladder.at(-1.2))
    await until_gone(stage)


@scenario("events-twice", "twice")
async def twice(stage: Stage) -> None:
    """Every account event comes twice: each fill counts once."""
    strike(stage, FaultKind.duplicate, PRIVATE, 0)
    ladder = await entered_long(stage)
    await stage.move(BTC, ladder.at(1.6))
    await wait(stage, lambda: fitted(stage) and position(stage) == QTY / 2, "TP1, the stop follows")
    await stage.sleep(3_000)
    check(fitted(stage) and len(targets(stage)) == 1, describe(stage))
    await stage.move(BTC, ladder.at(-1.2))
    await until_gone(stage)


@scenario("events-minutes-late", "minutes late")
async def minutes_late(stage: Stage) -> None:
    """The fills of the entry are told two minutes late: the snapshot brought them, the late ones change nothing."""
    strike(stage, FaultKind.reorder, ORDERS, 3, ms=120_000, share=1.0)
    await stage.enter(wait=False)
    await until_protected(stage, ms=45_000)
    await hold(stage, lambda: fitted(stage) and position(stage) == QTY, "unchanged by late news", 125_000)
    check(len([t for t in trades(stage) if t.is_buy]) >= 1 and entered(stage) == QTY, describe(stage))


@scenario("not-found-but-live", "-2013 for a live order")
async def not_found_but_live(stage: Stage) -> None:
    """The stop's answer and event are lost and the first queries say "does not exist" (a lagging replica): it stays
    unknown and keeps covering; a second one may bridge the doubt, and in the end exactly one rests."""
    strike(stage, FaultKind.drop_response, PLACE_STOP)
    strike(stage, FaultKind.mute, "private ALGO_UPDATE", ms=4_000)
    answer(stage, QUERY_STOP, 400, -2013, "Order does not exist.", 2)
    await stage.enter(wait=False)
    await wait(stage, lambda: covered(stage) and position(stage) == QTY, "covered by the stop that nobody sees", 5_000)
    await hold(stage, lambda: covered(stage), "covered throughout", 10_000)
    await wait(
        stage, lambda: fitted(stage) and len(targets(stage)) == 2, "in the end one stop, and the targets", 30_000
    )
    check(len(ever(stage, Leg.STOP)) <= 2, f"{len(ever(stage, Leg.STOP))} stops for one lost answer")


@scenario("entry-not-found-but-filled", "-2013 for a live order")
async def entry_not_found(stage: Stage) -> None:
    """The entry filled, its answer and events are lost, and every query says "does not exist": position and fills
    decide. What is open is protected and counted once."""
    strike(stage, FaultKind.drop_response, PLACE)
    strike(stage, FaultKind.mute, PRIVATE, ms=6_000)
    answer(stage, QUERY, 400, -2013, "Order does not exist.", 6)
    await stage.enter(wait=False)
    await until_protected(stage, ms=30_000)
    await stage.sleep(15_000)
    check(len(ever(stage, Leg.ENTRY)) == 1, "never two entries")
    check(fitted(stage) and position(stage) == QTY, describe(stage))
    check(stops(stage)[0].qty == QTY, describe(stage))
