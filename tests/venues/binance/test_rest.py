"""Every way in which a request can fail, at real sockets: what is known afterwards, and what is sent next."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from tests.venues.faults import World, cancel, error, markets, order, query, resting, world
from tui_trader.clock import VenueClock, monotonic
from tui_trader.core.events import ClockSkew, LinkDown, LinkUp, OrderUpdate
from tui_trader.core.types import Channel, OrderStatus, OrderType, VenueBook
from tui_trader.errors import (
    OrderNotFound,
    OutcomeUnknown,
    RateLimited,
    VenueError,
    VenueRefused,
    VenueUnreachable,
)
from tui_trader.exchange.fault_rules import FaultKind, FaultRule
from tui_trader.exchange.faults import Faults
from tui_trader.exchange.rest import Reply, Request
from tui_trader.exchange.server import running_exchange
from tui_trader.venues.binance import rest
from tui_trader.venues.binance.rest import Rest
from tui_trader.venues.ratelimit import Budget

UNKNOWN_503 = "Unknown error, please check your request or try again later."


MEANINGS: list[tuple[Reply, type[VenueError]]] = [
    (error(503, -1000, UNKNOWN_503), OutcomeUnknown),
    (error(503, -1000, "Service Unavailable."), VenueUnreachable),
    (error(500, -1000), OutcomeUnknown),
    (Reply(502, "<html>bad gateway</html>"), OutcomeUnknown),
    (Reply(504, ""), OutcomeUnknown),
    (error(408, -1007), OutcomeUnknown),
    (error(400, -1006), OutcomeUnknown),
    (error(400, -4116), OutcomeUnknown),
    (error(400, -2019), VenueRefused),
    (error(400, -4061), VenueRefused),
    (error(503, -1008), RateLimited),
    (error(429, -1015), RateLimited),
    (Reply(200, ""), OutcomeUnknown),
    (Reply(200, "nonsense"), OutcomeUnknown),
    (Reply(200, "[" * 100_000), OutcomeUnknown),
    (Reply(200, "[]"), OutcomeUnknown),
    (Reply(200, "{}"), OutcomeUnknown),
    (Reply(200, '{"orderId":"x"}'), OutcomeUnknown),
    (Reply(200, '{"orderId":' + "9" * 5_000 + "}"), OutcomeUnknown),
    (Reply(200, '{"orderId":1e999}'), OutcomeUnknown),
]


async def test_what_an_answer_to_an_order_means(here: World) -> None:
    for number, (reply, kind) in enumerate(MEANINGS):
        here.once("POST", "order", reply)
        with pytest.raises(VenueError) as raised:
            await here.venue.place(order(f"f-1{number}-en-0"))
        assert (type(raised.value), reply) == (kind, reply)
    assert len(here.asked("POST", "order")) == len(MEANINGS)


async def test_a_read_without_a_usable_answer_is_unreachable(here: World) -> None:
    for reply in (error(500, -1000), error(503, -1000, UNKNOWN_503), Reply(200, "[" * 100_000), Reply(200, "no")):
        here.once("GET", "order", reply)
        with pytest.raises(VenueUnreachable):
            await here.venue.query(query("f-2-en-0"))


@pytest.mark.parametrize(("status", "header"), [(429, "3"), (418, "120"), (403, "300")])
async def test_asked_for_silence_nothing_is_sent_not_even_exits(here: World, status: int, header: str) -> None:
    here.once("POST", "order", error(status, -1003, **{"Retry-After": header}))
    with pytest.raises(RateLimited) as limited:
        await here.venue.place(order("f-3-en-0"))
    assert limited.value.retry_after_ms == int(header) * 1000
    sent = len(here.requests)
    with pytest.raises(RateLimited, match="not sent"):
        await here.venue.cancel(cancel("f-3-en-0"))
    exit_approval = order("x").approval.__class__(sequence=2, max_qty=Decimal(1), exit=True)
    with pytest.raises(RateLimited, match="not sent") as refused:
        await here.venue.place(order("f-3-sl-0", approval=exit_approval, reduce_only=True))
    assert 0 < refused.value.retry_after_ms <= int(header) * 1000
    assert len(here.requests) == sent
    down = here.links(Channel.REST)[-1]
    assert isinstance(down, LinkDown)
    assert down.until_ms > here.venue.clock.now_ms()


async def test_after_the_silence_the_link_comes_back_by_itself(here: World) -> None:
    here.once("POST", "order", error(429, -1003, **{"Retry-After": "1"}))
    with pytest.raises(RateLimited):
        await here.venue.place(order("f-4-en-0"))
    sent = len(here.requests)
    await here.until(lambda: isinstance(here.links(Channel.REST)[-1], LinkUp))
    assert here.requests[sent].path == "/fapi/v1/time"
    await here.venue.place(order("f-4-en-0"))


async def test_a_refused_timestamp_repairs_the_clock_and_the_same_id_is_sent_again(here: World) -> None:
    here.venue.clock.sync(here.venue.clock.now_ms() + 9_000, monotonic(), monotonic(), 1.0)
    await here.venue.place(resting("f-5-en-0"))
    sent = here.asked("POST", "order")
    assert len(sent) == 2
    assert all("newClientOrderId=f-5-en-0" in row.query + row.body for row in sent)
    assert abs(here.of(ClockSkew)[-1].skew_ms) > 8_000
    assert (await here.venue.query(query("f-5-en-0"))).status is OrderStatus.WORKING
    assert [row.client_id for row in (await here.venue.snapshot(0)).orders] == ["f-5-en-0"]


async def test_the_repair_of_the_clock_survives_lost_answers_about_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "_ANSWERS_S", (0.3, 0.3))
    async with world(faults=Faults(1, ())) as here:
        here.venue.clock.sync(here.venue.clock.now_ms() + 9_000, monotonic(), monotonic(), 1.0)
        wire = here.exchange.server.wire
        assert wire is not None
        wire.faults.add(FaultRule(FaultKind.drop_response, path="GET /fapi/*/time", count=2))
        before = len(here.asked("GET", "time"))
        await here.venue.place(resting("f-5-en-1"))
        assert len(here.asked("GET", "time")) - before == 3
        assert len(here.asked("POST", "order")) == 2
        assert abs(here.venue.clock.now_ms() - here.exchange.server.clock.now_ms()) < 1_000


async def test_a_timestamp_refused_twice_is_refused_honestly(here: World) -> None:
    here.once("POST", "order", error(400, -1021), error(400, -1021))
    with pytest.raises(VenueRefused) as refused:
        await here.venue.place(order("f-6-en-0"))
    assert refused.value.code == -1021
    assert len(here.asked("POST", "order")) == 2


async def test_ids_known_unknown_gone_and_filled(here: World) -> None:
    await here.venue.place(resting("f-7-en-0"))
    with pytest.raises(OutcomeUnknown) as twice:
        await here.venue.place(resting("f-7-en-0"))
    assert twice.value.code == -4116
    await here.venue.place(order("f-8-en-0"))
    await here.until(lambda: any(e.status is OrderStatus.FILLED for e in here.of(OrderUpdate)))
    with pytest.raises(OrderNotFound) as filled:
        await here.venue.cancel(cancel("f-8-en-0"))
    assert filled.value.code == -2011
    for book in VenueBook:
        with pytest.raises(OrderNotFound) as nobody:
            await here.venue.query(query("nobody", book))
        assert nobody.value.code == -2013
        with pytest.raises(OrderNotFound):
            await here.venue.cancel(cancel("nobody", book))


async def test_the_venue_does_not_trail() -> None:
    async with world(started=False) as here:
        with pytest.raises(VenueRefused, match="not sent"):
            await here.venue.place(order("f-9-sl-0", type=OrderType.TRAILING_STOP_MARKET))


@pytest.mark.parametrize("leg", ["place", "cancel"])
async def test_reset_after_the_request_left_is_unknown_and_the_order_may_stand(leg: str) -> None:
    async with world(proxied=True) as here:
        proxy = here.proxy  # type: ignore[attr-defined]
        await here.venue.place(resting("f-10-en-0"))
        word = b"POST /fapi/v1/order" if leg == "place" else b"DELETE /fapi/v1/order"
        proxy.answers = lambda data: not data.startswith(word)
        request = here.venue.place(resting("f-11-en-0")) if leg == "place" else here.venue.cancel(cancel("f-10-en-0"))
        with pytest.raises(OutcomeUnknown):
            await request
        proxy.answers = lambda data: True
        found = {row.client_id for row in (await here.venue.snapshot(0)).orders}
        assert found == ({"f-10-en-0", "f-11-en-0"} if leg == "place" else set())


async def test_a_late_answer_is_unknown_for_a_write_and_unreachable_for_a_read(here: World) -> None:
    async def late(request: Request) -> Reply:
        reply = await honest(request)
        await asyncio.sleep(0.6 if "order" in request.path else 0)
        return reply

    rest = Rest(
        here.exchange.rest_url, here.exchange.api_key, here.exchange.secret, recv_window_ms=5000, clock=VenueClock(),
        budget=Budget(monotonic), timeout_ms=250,
    )  # fmt: skip
    await rest.open()
    honest = here.exchange.server.handle
    here.exchange.server.handle = late  # type: ignore[method-assign]
    params = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010", "newClientOrderId": "f-12"}
    with pytest.raises(OutcomeUnknown):
        await rest.write("order", params, orders=1)
    with pytest.raises(VenueUnreachable):
        await rest.read(dict, "openOrders", api="fapiPrivate")
    await rest.aclose()
    with pytest.raises(VenueUnreachable, match="not open"):
        await rest.read(dict, "time")
    assert here.exchange.account.orders or here.exchange.account.positions


async def test_a_venue_that_is_gone_is_not_sent_to_and_its_return_is_noticed() -> None:
    async with world(proxied=True) as here:
        proxy = here.proxy  # type: ignore[attr-defined]
        proxy.silent = True
        proxy.cut()
        proxy.answers = lambda data: False
        with pytest.raises(VenueError):
            await here.venue.place(resting("f-13-en-0"))
        proxy.silent = False
        proxy.answers = lambda data: True
        await here.until(lambda: isinstance(here.links(Channel.REST)[-1], LinkUp))
        await here.venue.place(resting("f-14-en-0"))


async def test_a_redirect_is_not_followed_so_the_key_stays_with_the_venue(here: World) -> None:
    async with running_exchange(markets=markets("BTCUSDT")) as elsewhere:
        heard: list[Request] = []
        honest = elsewhere.server.handle

        async def listen(request: Request) -> Reply:
            heard.append(request)
            return await honest(request)

        elsewhere.server.handle = listen  # type: ignore[method-assign]
        for status in (301, 302, 307, 308):
            here.once("POST", "order", Reply(status, "", {"Location": f"{elsewhere.rest_url}/fapi/v1/order"}))
            with pytest.raises(OutcomeUnknown):
                await here.venue.place(order(f"f-15-{status}"))
            here.once("GET", "order", Reply(status, "", {"Location": f"{elsewhere.rest_url}/fapi/v1/order"}))
            with pytest.raises(VenueUnreachable):
                await here.venue.query(query("f-15"))
        assert heard == []


@pytest.fixture
async def here():  # type: ignore[no-untyped-def]
    async with world() as found:
        yield found


async def test_a_venue_that_failed_to_open_is_opened_again_with_all_its_links() -> None:
    async with world(started=False) as here:
        here.once("GET", "fundingInfo", error(502, -1000))
        with pytest.raises(VenueUnreachable):
            await here.venue.open(here.events.append)
        await here.venue.aclose()
        here.events.clear()
        await here.venue.open(here.events.append)
        await here.all_up()


@pytest.mark.parametrize("ahead_ms", [3_600_000, -3_600_000, 10**15])
async def test_one_wrong_word_about_the_time_does_not_set_the_clock(here: World, ahead_ms: int) -> None:
    true = here.venue.clock.now_ms()
    here.once("GET", "time", Reply(200, f'{{"serverTime":{true + ahead_ms}}}'))
    await here.venue._reach.sync()
    assert abs(here.of(ClockSkew)[-1].skew_ms) < 1_000
    assert abs(here.venue.clock.now_ms() - here.exchange.server.clock.now_ms()) < 1_000


async def test_a_step_of_the_venues_clock_is_followed_when_it_is_said_twice(here: World) -> None:
    true = here.venue.clock.now_ms()
    here.once("GET", "time", *[Reply(200, f'{{"serverTime":{true + 60_000}}}')] * 2)
    await here.venue._reach.sync()
    assert here.of(ClockSkew)[-1].skew_ms > 59_000
    assert here.venue.clock.now_ms() > true + 59_000


async def test_leverage_and_maintenance_that_are_not_told_once_stay_what_they_were(here: World) -> None:
    brackets = '[{"symbol":"BTCUSDT","brackets":[{"initialLeverage":20,"maintMarginRatio":0.02}]}]'
    here.once("GET", "leverageBracket", Reply(200, brackets), error(400, -1121))
    for _ in range(2):
        (instrument,) = await here.venue.instruments()
        assert (instrument.max_leverage, instrument.maintenance_rate) == (20, Decimal("0.02"))


async def test_a_symbol_that_settles_is_seen_although_the_funding_intervals_are_not_told(here: World) -> None:
    info = (await here.exchange.server.handle(Request("GET", "/fapi/v1/exchangeInfo"))).body
    settling = Reply(200, info.replace('"status":"TRADING"', '"status":"SETTLING"'))
    replies = {"/fapi/v1/exchangeInfo": settling, "/fapi/v1/fundingInfo": error(400, -1000)}
    here.bend = lambda request: replies.get(request.path)
    (instrument,) = await here.venue.instruments()
    assert (instrument.status, instrument.closing) == ("SETTLING", True)
