"""The real client against an exchange that misbehaves on real sockets: what it makes of each fault about bytes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tests.venues.faults import BTC, World, order, query, resting, world
from tui_trader.core.events import BookTop, Fill, LinkDown, LinkUp, OrderUpdate, WorkerFailed
from tui_trader.core.types import Channel
from tui_trader.errors import OrderNotFound, OutcomeUnknown, RateLimited, VenueError, VenueRefused, VenueUnreachable
from tui_trader.exchange.fault_rules import ACTS, Act, FaultKind, FaultRule
from tui_trader.exchange.faults import PRESETS, Faults

K = FaultKind
PLACE = "POST /fapi/v1/order"


def strike(here: World, kind: FaultKind, path: str = PLACE, **fields: Any) -> None:
    wire = here.exchange.server.wire
    assert wire is not None
    wire.faults.add(FaultRule(kind, path=path, **({"count": 1} | fields)))


@asynccontextmanager
async def hurried(*rules: FaultRule, **options: Any) -> AsyncIterator[World]:
    """A world whose client gives up on an answer after half a second."""
    async with world(faults=Faults(1, rules), **options) as here:
        for exchange in here.venue._rest._exchanges.values():
            exchange.timeout = 500
        yield here


async def up_again(here: World, channel: Channel) -> None:
    """Wait until a link that broke stands again."""
    await here.until(lambda: [type(e) for e in here.links(channel)][-1:] == [LinkUp])


def stands(here: World, client_id: str) -> bool:
    return any(row.client_id == client_id for row in here.exchange.account.history.values())


@pytest.mark.parametrize(
    ("kind", "fields", "acted"),
    [
        (K.drop_request, {}, False),
        (K.drop_response, {}, True),
        (K.half_open, {}, False),
        (K.reset_before, {"share": 0.0}, False),
        (K.reset_before, {"share": 1.0}, True),
        (K.reset_mid, {}, True),
        (K.mangle, {}, True),
        (K.unknown_error, {"share": 0.0}, False),
        (K.unknown_error, {"share": 1.0}, True),
        (K.http, {"status": 502, "share": 1.0}, True),
        (K.http, {"status": 504, "share": 0.0}, False),
    ],
)
async def test_whatever_leaves_the_outcome_open_is_unknown(
    kind: FaultKind, fields: dict[str, Any], acted: bool
) -> None:
    async with hurried() as here:
        strike(here, kind, **fields)
        with pytest.raises(OutcomeUnknown):
            await here.venue.place(resting("a-1-en-0"))
        assert stands(here, "a-1-en-0") is acted
        if acted:
            await here.venue.query(query("a-1-en-0"))
        else:
            with pytest.raises(OrderNotFound):
                await here.venue.query(query("a-1-en-0"))


async def test_whatever_was_not_executed_is_not_unknown() -> None:
    async with hurried() as here:
        for seed in range(6):
            wire = here.exchange.server.wire
            assert wire is not None
            wire.faults.seed = seed
            strike(here, K.overloaded)
            with pytest.raises((VenueUnreachable, RateLimited)):
                await here.venue.place(resting(f"b-{seed}-en-0"))
            assert not stands(here, f"b-{seed}-en-0")
        strike(here, K.http, status=400, code=-4061, text="Order's position side does not match user's setting.")
        with pytest.raises(VenueRefused, match="-4061"):
            await here.venue.place(resting("b-9-en-0"))


async def test_silence_is_kept_after_a_429_and_after_a_418() -> None:
    for kind, seconds in ((K.rate_limited, 7), (K.banned, 77)):
        async with hurried() as here:
            strike(here, kind, retry_after_s=seconds)
            with pytest.raises(RateLimited) as limited:
                await here.venue.place(resting("c-1-en-0"))
            assert limited.value.retry_after_ms == seconds * 1000
            asked = len(here.requests)
            with pytest.raises(RateLimited):
                await here.venue.place(resting("c-2-en-0"))
            assert len(here.requests) == asked, "nothing is sent while the venue wants silence"


async def test_a_connection_reset_after_an_answer_costs_the_next_request_nothing() -> None:
    async with hurried() as here:
        strike(here, K.reset_after)
        await here.venue.place(resting("d-1-en-0"))
        await asyncio.sleep(0.1)
        await here.venue.place(resting("d-2-en-0"))
        assert stands(here, "d-1-en-0")
        assert stands(here, "d-2-en-0")


async def test_events_twice_and_out_of_order_reach_the_client_as_they_are() -> None:
    async with hurried() as here:
        strike(here, K.duplicate, "private ORDER_TRADE_UPDATE", count=0, rate=1.0)
        strike(here, K.reorder, "private TRADE_LITE", ms=150, share=1.0)
        await here.venue.place(order("e-1-en-0"))
        await here.until(lambda: len([e for e in here.of(OrderUpdate) if e.client_id == "e-1-en-0"]) >= 4)
        assert not here.of(WorkerFailed)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (K.disconnect, {}),
        (K.huge_frame, {}),
        (K.mangle, {"count": 3}),
    ],
)
async def test_streams_that_break_or_rave_come_back(kind: FaultKind, fields: dict[str, Any]) -> None:
    async with hurried() as here:
        await here.venue.watch([BTC])
        await here.until(lambda: here.of(BookTop))
        strike(here, kind, "public", **fields)
        wire = here.exchange.server.wire
        assert wire is not None
        await here.until(lambda: wire.faults.counts.get(kind, 0) >= max(len(fields) * 3, 1))
        if kind is not K.mangle:
            await here.until(lambda: [e for e in here.of(LinkDown) if e.channel is Channel.PUBLIC])
        wire.faults.clear()
        here.events.clear()
        here.exchange.engine.states[BTC].market.move_to(50_100)
        await here.until(lambda: any(e.bid > 50_050 for e in here.of(BookTop)))
        assert not here.of(WorkerFailed)


async def test_a_private_stream_that_is_cut_is_told_as_down_and_comes_back() -> None:
    async with hurried() as here:
        strike(here, K.disconnect, "private")
        await here.venue.place(order("f-1-en-0"))
        await here.until(lambda: [e for e in here.of(LinkDown) if e.channel is Channel.PRIVATE])
        here.events.clear()
        await up_again(here, Channel.PRIVATE)
        await here.venue.place(order("f-2-en-0"))
        await here.until(lambda: [e for e in here.of(Fill) if e.client_id == "f-2-en-0"])


async def test_a_restart_of_the_venue_is_survived() -> None:
    async with hurried() as here:
        wire = here.exchange.server.wire
        assert wire is not None
        here.events.clear()
        wire.act(Act(K.restart_keep, ms=500))
        await here.until(lambda: {e.channel for e in here.of(LinkDown)} >= {Channel.PUBLIC, Channel.PRIVATE})
        await up_again(here, Channel.PRIVATE)
        await here.venue.place(order("g-1-en-0"))
        await here.until(lambda: [e for e in here.of(Fill) if e.client_id == "g-1-en-0"])


async def test_the_client_lives_through_everything_at_once_and_trades_afterwards() -> None:
    """Without what silences for longer than a test may last: bans, mute and half-open connections."""
    slow = {K.rate_limited, K.banned, K.mute, K.half_open, K.outage, K.restart_keep, K.restart_lose}
    rules = [
        msgspec.structs.replace(rule, rate=min(rule.rate * 5, 0.5) if rule.kind not in ACTS else 1800.0)
        for rule in PRESETS["hostile"]
        if rule.kind not in slow
    ]
    async with hurried() as here:
        wire = here.exchange.server.wire
        assert wire is not None
        await here.venue.watch([BTC])
        for rule in rules:
            wire.faults.add(rule)
        for number in range(25):
            with suppress(VenueError):
                await here.venue.place(order(f"h-{number}-en-0"))
        assert len(wire.faults.counts) > 15
        wire.heal()
        here.events.clear()
        await here.until(lambda: [type(e) for e in here.links(Channel.PRIVATE)][-1:] != [LinkDown])
        await placed(here, "h-99-en-0")
        assert not here.of(WorkerFailed)


async def placed(here: World, client_id: str) -> None:
    """Place an order and wait until its fill is heard; a connection that broke before is no reason to fail."""
    for number in range(20):
        name = f"{client_id[:-1]}{number % 10}"
        with suppress(VenueError):
            await here.venue.place(order(name, qty=Decimal("0.001")))
            with suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await here.until(lambda name=name: [e for e in here.of(Fill) if e.client_id == name])
                    return
        await asyncio.sleep(0.2)
    pytest.fail("no order was placed and heard of after the faults ended")
