"""The market side against bent streams: silence, gaps, resets, garbage, many symbols, a large venue, an early end."""

from __future__ import annotations

import asyncio
import gc
import json
import math
import re

import msgspec
import pytest

from tests.venues.faults import BTC, CHANNELS, World, markets, order, world
from tui_trader.clock import monotonic
from tui_trader.core.events import (
    BookDepth,
    BookTop,
    FeedStale,
    InstrumentsLoaded,
    LinkDown,
    LinkUp,
    MarkPrice,
    Notice,
    Ticker24h,
    WorkerFailed,
)
from tui_trader.core.settings import DataSettings
from tui_trader.core.types import Channel
from tui_trader.errors import VenueError
from tui_trader.exchange.rest import Reply, Request
from tui_trader.exchange.server import running_exchange
from tui_trader.exchange.streams import Connection
from tui_trader.venues.binance import feeds as feeds_module

ETH = "ETHUSDT"


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds_module, "_SNAPSHOT_GAP_S", 0.2)
    monkeypatch.setattr(feeds_module, "_FIRST_SNAPSHOT_S", 0.3)


async def live(here: World, times: int = 1) -> None:
    await here.until(lambda: here.feeds().count("FeedLive") >= times)


def equals_the_exchange(here: World) -> bool:
    book = here.venue.feeds.book_of(BTC)
    depth = book.depth(5) if book is not None and book.synced else None
    return depth is not None and (depth.bids[0][0], depth.asks[0][0]) == (49_999.9, 50_000.1)


async def test_a_frame_lost_from_the_chain_is_never_traded_on() -> None:
    async with world() as here:
        await here.venue.watch([BTC])
        await live(here)
        lost = 0

        def lose(connection: Connection, stream: str, payload: str) -> list[str]:
            nonlocal lost
            if "@depth" not in stream or here.feeds().count("FeedStale") > 1:
                return [payload]
            lost += 1
            return [payload] if lost % 2 else []

        here.twist = lose
        await live(here, 2)
        assert here.feeds() == ["FeedStale", "FeedLive", "FeedStale", "FeedLive"]
        assert len([row for row in here.requests if row.path == "/fapi/v1/depth"]) >= 2
        assert equals_the_exchange(here)
        assert [type(event) for event in here.links(Channel.PUBLIC)] == [LinkUp]


async def test_repeated_and_old_frames_do_not_move_the_book() -> None:
    async with world() as here:
        await here.venue.watch([BTC])
        await live(here)
        older: list[str] = []

        def repeat(connection: Connection, stream: str, payload: str) -> list[str]:
            if "@depth" not in stream:
                return [payload]
            older.append(payload)
            return [payload, payload, older[0]]

        here.twist = repeat
        await here.until(lambda: len(older) > 5)
        assert equals_the_exchange(here) or here.feeds()[-1] == "FeedStale"
        here.twist = lambda connection, stream, payload: [payload]
        await here.until(lambda: here.feeds()[-1] == "FeedLive" and equals_the_exchange(here))


async def test_an_open_socket_that_says_nothing_makes_blind_and_then_is_left() -> None:
    async with world(data=DataSettings(stale_after_s=1.0)) as here:
        here.venue._public._silence_s = 2.0
        await here.venue.watch([BTC])
        await live(here)
        here.twist = lambda connection, stream, payload: [] if connection.route == "public" else [payload]
        await here.until(lambda: here.feeds()[-1] == "FeedStale")
        assert "silent" in here.of(FeedStale)[-1].reason
        assert not here.of(LinkDown)
        await here.until(lambda: here.of(LinkDown))
        assert "although the socket is open" in here.of(LinkDown)[0].reason
        here.twist = lambda connection, stream, payload: [payload]
        await here.until(lambda: here.feeds()[-1] == "FeedLive")
        assert equals_the_exchange(here)


def behind(here: World, route: str, late_ms: int) -> None:
    """From now on what comes on the route is dated ``late_ms`` ago, as on a wire whose buffers are full."""

    def date(connection: Connection, stream: str, payload: str) -> list[str]:
        if connection.route != route:
            return [payload]
        return [re.sub(r'"E":(\d+)', lambda found: f'"E":{int(found[1]) - late_ms}', payload)]

    here.twist = date


async def test_a_stream_that_is_behind_is_stale_although_it_never_stops() -> None:
    async with world(data=DataSettings(stale_after_s=2.0)) as here:
        await here.venue.watch([BTC])
        await live(here)
        behind(here, "public", 10_000)
        await here.until(lambda: here.feeds()[-1] == "FeedStale")
        assert here.of(FeedStale)[-1].reason == "what comes of it is old for more than 2 s"
        assert monotonic() - here.venue.feeds._watched[BTC].heard < 1.0
        behind(here, "public", 0)
        await here.until(lambda: here.feeds()[-1] == "FeedLive" and equals_the_exchange(here))
        assert not here.of(LinkDown)


async def test_a_mark_price_and_a_volume_are_as_old_as_the_venue_says() -> None:
    async with world() as here:
        await here.until(lambda: here.of(MarkPrice) and here.of(Ticker24h))
        behind(here, "market", 20_000)
        for kind in (MarkPrice, Ticker24h):
            await here.until(lambda kind=kind: here.venue.clock.now_ms() - here.of(kind)[-1].ts > 19_000)


async def test_cut_sockets_come_back_subscribed_and_resynced() -> None:
    async with world(BTC, ETH, proxied=True) as here:
        await here.venue.watch([BTC, ETH])
        await live(here, 2)
        before = len(here.of(BookDepth))
        here.proxy.cut()  # type: ignore[attr-defined]
        await live(here, 4)
        await here.until(lambda: all(isinstance(here.links(one)[-1], LinkUp) for one in CHANNELS))
        for one in (Channel.PUBLIC, Channel.MARKET, Channel.PRIVATE):
            kinds = [type(event) for event in here.links(one)]
            assert kinds.count(LinkDown) >= 1
        streams = set(here.sockets("public")[-1].streams)
        assert {"btcusdt@depth@100ms", "ethusdt@bookTicker", "!bookTicker"} <= streams
        await here.until(lambda: len(here.of(BookDepth)) > before)
        assert equals_the_exchange(here)


DIFF = '{"e":"depthUpdate","E":1,"T":1,"s":"BTCUSDT","U":5,"u":6,"pu":4,"b":[],"a":[["64346.70","589.8041"]]}'
TOP = '{"e":"bookTicker","u":99999999999999999,"s":"BTCUSDT","b":"1","B":"1","a":"2","A":"1"}'
GARBAGE = [
    "", "\x00\x01", DIFF[:60], "[" * 100_000, '{"stream":"' * 10_000, "NaN", "true", '"text"', '{"stream":5,"data":5}',
    '{"stream":"btcusdt@depth@100ms","data":' + DIFF[:50], '{"stream":"btcusdt@depth@100ms","data":[]}',
    '{"stream":"btcusdt@bookTicker","data":' + TOP.replace('"b":"1"', '"b":"x"') + "}",
    '{"stream":"btcusdt@kline_1m","data":{"e":"kline","s":"BTCUSDT","k":null}}', "x" * 300_000,
    '{"stream":"' + "a" * 500 + '","data":null}',
]  # fmt: skip
USELESS = [
    '{"stream":"币安人生usdt@bookTicker","data":' + TOP.replace("BTCUSDT", "币安人生USDT") + "}",
    '{"stream":"!forceOrder@arr","data":{"e":"forceOrder","o":{}}}', '{"result":null,"id":5}',
    '{"error":{"code":2,"msg":"\\u001b[2J"},"id":6}', '{"e":"serverShutdown","E":1}',
]  # fmt: skip


async def test_garbage_is_counted_and_the_feed_goes_on() -> None:
    async with world() as here:
        await here.venue.watch([BTC])
        await live(here)
        decoder = here.venue.feeds.decoder
        public = here.sockets("public")[0]
        for text in GARBAGE + USELESS:
            public.send(text)
        await here.until(lambda: decoder.garbage >= len(GARBAGE))
        public.send('{"stream":"btcusdt@bookTicker","data":' + TOP + "}")
        await here.until(lambda: here.of(BookTop)[-1].bid == 1.0)
        assert decoder.garbage == len(GARBAGE)
        assert not here.of(WorkerFailed)
        assert not here.of(LinkDown)
        await here.until(lambda: [row for row in here.of(Notice) if "refused to stream" in row.text])
        assert all("\x1b" not in row.text for row in here.of(Notice))
        assert all(event.symbol.isascii() for event in here.of(BookTop))


@pytest.mark.parametrize("level", ['["NaN","1"]', '["50000.0","-1"]', '["1e400","1"]', '["-5","1"]', '["50000.0"]'])
async def test_an_impossible_level_costs_the_book_never_its_truth(level: str) -> None:
    async with world() as here:
        await here.venue.watch([BTC])
        await live(here)
        bent = 0

        def bend(connection: Connection, stream: str, payload: str) -> list[str]:
            nonlocal bent
            if "@depth" not in stream or here.feeds().count("FeedStale") > 1:
                return [payload]
            bent += 1
            if bent % 2:
                return [payload]
            row = json.loads(payload)
            row["b"] = [json.loads(level)]
            return [json.dumps(row)]

        here.twist = bend
        await live(here, 2)
        assert here.feeds() == ["FeedStale", "FeedLive", "FeedStale", "FeedLive"]
        assert all(math.isfinite(value) for e in here.of(BookDepth) for pair in e.bids + e.asks for value in pair)
        assert equals_the_exchange(here)


@pytest.mark.parametrize("body", ["[" * 100_000, "{}", '{"lastUpdateId":1,"bids":[["NaN","1"]],"asks":[]}', ""])
async def test_a_book_snapshot_that_cannot_be_read_is_asked_again(body: str) -> None:
    async with world() as here:
        here.once("GET", "depth", Reply(200, body))
        await here.venue.watch([BTC])
        await live(here)
        assert len(here.asked("GET", "depth")) >= 2
        assert not here.of(WorkerFailed)
        assert equals_the_exchange(here)


async def test_books_that_cannot_be_fetched_for_a_while_are_fetched_once_each_when_they_can() -> None:
    names = [f"C{number}USDT" for number in range(8)]
    async with world(*names) as here:
        held = asyncio.Event()
        honest = here.venue._rest.read

        async def slow(kind: object, path: str, *rest: object, **more: object) -> object:
            if path == "depth" and not held.is_set():
                await held.wait()
            return await honest(kind, path, *rest, **more)

        here.venue._rest.read = slow  # type: ignore[method-assign,assignment]
        await here.venue.watch(names)
        await asyncio.sleep(2.0)
        held.set()
        await live(here, 8)
        await here.until(lambda: here.venue._books_wanted.empty())
        assert len(here.asked("GET", "depth")) < 16


async def test_many_symbols_come_and_go_within_the_venues_message_limit() -> None:
    names = [f"C{number}USDT" for number in range(120)]
    async with world(*names) as here:
        times: list[tuple[int, float]] = []
        honest = here.exchange.server.hub.receive

        def note(connection: Connection, text: str) -> None:
            times.append((id(connection), monotonic()))
            honest(connection, text)

        here.exchange.server.hub.receive = note  # type: ignore[method-assign]
        here.bend = lambda request: Reply(503, "") if request.path == "/fapi/v1/depth" else None
        for wanted in (names[:100], names[20:], names[:5], names, []):
            await here.venue.watch(wanted)
            await here.until(lambda wanted=wanted: len(here.sockets("public")[0].streams) - 1 == 2 * len(wanted))
        await here.until(lambda: len(here.sockets("market")[0].streams) == 2)
        for one, start in times:
            assert sum(1 for other, at in times if other == one and start <= at < start + 1.0) <= 10
        assert not here.of(LinkDown)


async def test_a_venue_with_900_contracts_starts_within_its_budget() -> None:
    async with world(started=False) as here:
        info = msgspec.json.decode((await here.exchange.server.handle(Request("GET", "/fapi/v1/exchangeInfo"))).body)
        template = info["symbols"][0]
        for number in range(900):
            row = {**template, "symbol": f"X{number}USDT", "baseAsset": f"X{number}", "padding": "x" * 400}
            info["symbols"].append(row)
        info["symbols"].append({"symbol": "币安人生USDT", "quoteAsset": "USDT"})
        large = Reply(200, msgspec.json.encode(info).decode())
        assert len(large.body) > 1_000_000
        here.requests.clear()
        here.bend = lambda request: large if request.path.endswith("exchangeInfo") else None
        await here.venue.open(here.events.append)
        await here.all_up()
        assert len(here.of(InstrumentsLoaded)[0].instruments) == 901
        assert here.venue.budget.used < 0.1
        assert "币安" in here.of(Notice)[0].text
        await here.venue.watch([BTC])
        await live(here)


async def test_limits_out_of_reason_are_not_believed_and_said_once() -> None:
    async with world(started=False) as here:
        info = msgspec.json.decode((await here.exchange.server.handle(Request("GET", "/fapi/v1/exchangeInfo"))).body)
        for row in info["rateLimits"]:
            row["limit"] = 10**12
        bent = Reply(200, msgspec.json.encode(info).decode())
        here.bend = lambda request: bent if request.path.endswith("exchangeInfo") else None
        await here.venue.open(here.events.append)
        await here.venue.instruments()
        assert (here.venue.budget._weight.limit, here.venue.budget._orders_10s.limit) == (2_400, 300)
        assert ["limits are not believed" in row.text for row in here.of(Notice)] == [True]


async def test_aclose_at_any_moment_leaves_no_task_and_no_socket() -> None:
    async with running_exchange(markets=markets(BTC)) as exchange:
        before = asyncio.all_tasks()
        for delay in (0.0, 0.01, 0.03, 0.06, 0.1, 0.2, 0.4):
            here = World(exchange, exchange.rest_url, exchange.ws_url)
            opening = asyncio.create_task(here.venue.open(here.events.append))
            await asyncio.sleep(delay)
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            await here.venue.aclose()
            await here.venue.aclose()
        here = World(exchange, exchange.rest_url, exchange.ws_url)
        await here.venue.open(here.events.append)
        watching = asyncio.create_task(here.venue.watch([BTC]))
        placing = asyncio.create_task(here.venue.place(order("z-1-en-0")))
        await asyncio.sleep(0.02)
        here.venue._listen_key_gone()
        await here.venue.aclose()
        for one in await asyncio.gather(watching, placing, return_exceptions=True):
            assert one is None or isinstance(one, str | VenueError)
        here.venue._listen_key_gone()
        assert not here.venue._tasks
        async with asyncio.timeout(5):
            while exchange.server.clients:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        ours = {task.get_name() for task in asyncio.all_tasks() - before}
        assert not [name for name in ours if "binance" in name or "link" in name]
        gc.collect()


async def test_aclose_against_a_peer_that_never_answers() -> None:
    async with world(proxied=True) as here:
        await here.venue.watch([BTC])
        here.proxy.silent = True  # type: ignore[attr-defined]
        async with asyncio.timeout(5):
            await here.venue.aclose()
        gc.collect()
