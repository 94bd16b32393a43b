from __future__ import annotations

import asyncio

import msgspec
import pytest

from tests.runtime.build import Heard, ScriptedVenue, cancel, leverage, place, query, update
from tui_trader.core.commands import CancelOrder, PlaceOrder
from tui_trader.core.events import Notice, OrderUpdate, SendAction, SendOutcome, SendResult, WorkerFailed
from tui_trader.errors import (
    OrderNotFound,
    OutcomeUnknown,
    RateLimited,
    StoreError,
    VenueError,
    VenueRefused,
    VenueUnreachable,
)
from tui_trader.runtime.outbox import Outbox


class Journal:
    """Remembers intents; fails or stalls on demand."""

    def __init__(self, venue: ScriptedVenue) -> None:
        self.rows: list[str] = []
        self.failure: Exception | None = None
        self.stall: asyncio.Event | None = None
        self._venue = venue

    async def intent(self, order: PlaceOrder | CancelOrder) -> None:
        if self.stall is not None:
            await self.stall.wait()
        if self.failure is not None:
            raise self.failure
        self.rows.append(order.client_id)
        self._venue.calls.append(("journal", order.client_id))


class Desk:
    """An outbox with its scripted surroundings."""

    def __init__(self) -> None:
        self.venue = ScriptedVenue()
        self.journal = Journal(self.venue)
        self.heard = Heard()
        self.outbox = Outbox(
            self.venue, self.journal, self.heard, venue_timeout_s=0.05, journal_timeout_s=0.05, entries_at_once=4
        )

    async def outcomes(self, number: int) -> list[SendOutcome]:
        return await self.heard.count(number, SendOutcome)  # type: ignore[return-value]


async def test_an_intent_is_durable_before_the_venue_is_called() -> None:
    """I4."""
    desk = Desk()
    desk.outbox.submit([place("e1"), cancel("x9")])
    await desk.outcomes(2)
    calls = desk.venue.calls
    assert calls.index(("journal", "e1")) < calls.index(("place", "e1"))
    assert calls.index(("journal", "x9")) < calls.index(("cancel", "x9"))


@pytest.mark.parametrize(
    ("error", "result", "code"),
    [
        (VenueRefused("no", -2019), SendResult.REJECTED, -2019),
        (OutcomeUnknown("?", -1007), SendResult.UNKNOWN, -1007),
        (RateLimited("slow", -1003, retry_after_ms=5000), SendResult.REJECTED, -1003),
        (VenueUnreachable("down"), SendResult.REJECTED, 0),
        (OrderNotFound("?", -2013), SendResult.UNKNOWN, -2013),
        (VenueError("odd", -1), SendResult.UNKNOWN, -1),
        (TimeoutError(), SendResult.UNKNOWN, 0),
        (ValueError("a defect"), SendResult.UNKNOWN, 0),
    ],
)
async def test_how_a_place_ends(error: BaseException, result: SendResult, code: int) -> None:
    """I5: only the venue's definite no is a no."""
    desk = Desk()
    desk.venue.answers["place"] = [error]
    desk.outbox.submit([place("e1")])
    (outcome,) = await desk.outcomes(1)
    assert (outcome.action, outcome.result, outcome.code) == (SendAction.PLACE, result, code)
    assert desk.venue.calls.count(("place", "e1")) == 1
    if isinstance(error, RateLimited):
        assert outcome.retry_at >= desk.venue.clock.now_ms() + 4000
    if isinstance(error, ValueError):
        (failed,) = await desk.heard.count(1, WorkerFailed)
        assert isinstance(failed, WorkerFailed)
        assert "a defect" in failed.reason


async def test_silence_of_the_venue_is_unknown() -> None:
    desk = Desk()
    desk.venue.answers["place"] = [asyncio.Event()]
    desk.outbox.submit([place("e1")])
    (outcome,) = await desk.outcomes(1)
    assert outcome.result is SendResult.UNKNOWN
    assert desk.outbox.pending <= 1


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (OrderNotFound("?", -2011), SendResult.NOT_FOUND),
        (VenueRefused("no", -1), SendResult.REJECTED),
        (OutcomeUnknown("?"), SendResult.UNKNOWN),
        (VenueUnreachable("down"), SendResult.REJECTED),
    ],
)
async def test_how_a_cancel_ends(error: BaseException, result: SendResult) -> None:
    desk = Desk()
    desk.venue.answers["cancel"] = [error]
    desk.outbox.submit([cancel("x1")])
    (outcome,) = await desk.outcomes(1)
    assert (outcome.action, outcome.result) == (SendAction.CANCEL, result)


async def test_a_query_brings_the_order_or_says_not_found() -> None:
    desk = Desk()
    desk.outbox.submit([query("q1")])
    assert await desk.heard.count(1) == [update("q1")]
    desk.venue.answers["query"] = [OrderNotFound("?", -2013)]
    desk.outbox.submit([query("q1")])
    (outcome,) = await desk.outcomes(1)
    assert (outcome.action, outcome.result) == (SendAction.QUERY, SendResult.NOT_FOUND)
    desk.venue.answers["query"] = [VenueUnreachable("down")]
    desk.outbox.submit([query("q1")])
    assert (await desk.outcomes(2))[1].result is SendResult.UNKNOWN


@pytest.mark.parametrize(
    ("order", "word"),
    [
        (place(qty="2", max_qty="1"), "exceeds"),
        (place(qty="0"), "not positive"),
        (place(qty="NaN"), "not positive"),
        (place(exit=True, reduce_only=False), "reduce-only"),
    ],
)
async def test_an_order_beyond_its_approval_is_refused_and_halts_entries(order: PlaceOrder, word: str) -> None:
    """I12."""
    desk = Desk()
    desk.outbox.submit([order])
    outcome, failed = desk.heard.events
    assert isinstance(outcome, SendOutcome)
    assert outcome.result is SendResult.REJECTED
    assert isinstance(failed, WorkerFailed)
    assert word in failed.reason
    assert desk.venue.calls == []


async def test_an_order_without_approval_is_refused() -> None:
    desk = Desk()
    bare = place()
    desk.outbox.submit([msgspec.structs.replace(bare, approval=None)])
    assert isinstance(desk.heard.events[1], WorkerFailed)
    assert desk.venue.calls == []


async def test_a_client_id_and_an_approval_serve_once() -> None:
    """I2."""
    desk = Desk()
    desk.outbox.submit([place("e1", sequence=1)])
    await desk.outcomes(1)
    desk.outbox.submit([place("e1", sequence=2), place("e2", sequence=1)])
    assert len(await desk.heard.count(2, WorkerFailed)) == 2
    desk.outbox.submit([place("e1", sequence=1, resend=True)])
    await desk.outcomes(4)
    assert [c for c in desk.venue.calls if c[0] == "place"] == [("place", "e1")] * 2


async def test_exits_leave_before_entries() -> None:
    desk = Desk()
    desk.outbox.submit([place("e1", sequence=1), place("s1", sequence=2, exit=True, symbol="ETHUSDT")])
    await desk.outcomes(2)
    assert [c[1] for c in desk.venue.calls if c[0] == "place"] == ["s1", "e1"]


async def test_commands_of_one_id_go_one_after_the_other() -> None:
    desk = Desk()
    gate = asyncio.Event()
    desk.venue.answers["place"] = [gate]
    desk.outbox.submit([place("s1", exit=True)])
    for _ in range(10):
        await asyncio.sleep(0)
    desk.outbox.submit([cancel("s1"), query("s1")])
    for _ in range(10):
        await asyncio.sleep(0)
    assert ("cancel", "s1") not in desk.venue.calls
    gate.set()
    await desk.heard.count(1, OrderUpdate)
    assert [c for c in desk.venue.calls if c[0] != "journal"] == [("place", "s1"), ("cancel", "s1"), ("query", "s1")]


async def test_a_query_does_not_wait_for_the_answer_to_what_it_asks_about() -> None:
    desk = Desk()
    answer = asyncio.Event()
    desk.venue.answers["place"] = [answer]
    desk.outbox.submit([place("s1", exit=True)])
    for _ in range(10):
        await asyncio.sleep(0)
    desk.outbox.submit([query("s1")])
    desk.outbox.submit([cancel("s1")])
    await desk.heard.count(1, OrderUpdate)
    assert [c for c in desk.venue.calls if c[0] != "journal"] == [("place", "s1"), ("query", "s1")]
    answer.set()
    await desk.outcomes(2)
    assert desk.venue.calls[-1] == ("cancel", "s1"), "a cancel still waits for the answer"


async def test_an_entry_cancelled_before_it_left_never_leaves() -> None:
    desk = Desk()
    desk.journal.stall = asyncio.Event()
    desk.outbox.submit([place("e1")])
    await asyncio.sleep(0)
    desk.outbox.submit([cancel("e1")])
    desk.journal.stall.set()
    placed, cancelled = await desk.outcomes(2)
    assert (placed.result, placed.action) == (SendResult.REJECTED, SendAction.PLACE)
    assert cancelled.action is SendAction.CANCEL
    assert ("place", "e1") not in desk.venue.calls


async def test_an_entry_waits_for_its_leverage_and_stays_when_that_failed() -> None:
    desk = Desk()
    desk.outbox.submit([place("e1", sequence=1), leverage()])
    await desk.outcomes(2)
    assert [c[0] for c in desk.venue.calls if c[0] != "journal"] == ["set_leverage", "place"]
    desk.venue.answers["set_leverage"] = [VenueRefused("no", -4028)]
    desk.outbox.submit([leverage(), place("e2", sequence=2)])
    refused = (await desk.outcomes(4))[3]
    assert (refused.client_id, refused.result) == ("e2", SendResult.REJECTED)
    assert ("place", "e2") not in desk.venue.calls


@pytest.mark.parametrize("failure", [StoreError("disk full"), OSError("gone"), None])
async def test_when_the_store_is_broken_entries_stay_and_exits_go(failure: Exception | None) -> None:
    """I4, I11; ``None`` stalls the store instead."""
    desk = Desk()
    desk.journal.failure = failure
    if failure is None:
        desk.journal.stall = asyncio.Event()
    desk.outbox.submit([place("e1", sequence=1), place("s1", sequence=2, exit=True), cancel("x1")])
    by_id = {o.client_id: o for o in await desk.outcomes(3)}
    assert (by_id["e1"].action, by_id["e1"].result) == (SendAction.JOURNAL, SendResult.REJECTED)
    assert by_id["s1"].result is SendResult.ACCEPTED
    assert by_id["x1"].result is SendResult.ACCEPTED
    assert len(await desk.heard.count(2, Notice)) == 2


async def test_stopping_keeps_entries_here_and_abandons_what_hangs_as_unknown() -> None:
    desk = Desk()
    desk.outbox = Outbox(desk.venue, desk.journal, desk.heard, venue_timeout_s=60)
    desk.venue.answers["place"] = [asyncio.Event()]
    desk.outbox.submit([place("s1", sequence=1, exit=True)])
    for _ in range(10):
        await asyncio.sleep(0)
    desk.outbox.stop_entries("stopping")
    desk.outbox.submit([place("e1", sequence=2), place("e2", sequence=3, resend=True)])
    await desk.outcomes(2)
    await desk.outbox.aclose(0.01)
    by_id = {o.client_id: o.result for o in await desk.outcomes(3)}
    assert by_id == {"e1": SendResult.REJECTED, "e2": SendResult.UNKNOWN, "s1": SendResult.UNKNOWN}
    assert desk.outbox.pending == 0


async def test_symbols_do_not_wait_for_each_other() -> None:
    desk = Desk()
    gate = asyncio.Event()
    desk.venue.answers["place"] = [gate, "v2"]
    desk.outbox.submit([place("s1", sequence=1, exit=True), place("s2", sequence=2, exit=True, symbol="ETHUSDT")])
    (first,) = await desk.outcomes(1)
    assert first.client_id == "s2"
    gate.set()
    await desk.outcomes(2)
