"""Faults over real sockets: what arrives, what does not, and how connections end."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.exchange.exchange_kit import D
from tui_trader.exchange.fault_rules import Act, FaultKind, FaultRule
from tui_trader.exchange.fault_wire import FaultWire, monotonic_ms
from tui_trader.exchange.faults import Faults
from tui_trader.exchange.orders import OrderRequest
from tui_trader.exchange.rest import Reply, Request
from tui_trader.exchange.scripted import ScriptedMarket
from tui_trader.exchange.server import RunningExchange, running_exchange

K = FaultKind
PING = "/fapi/v1/ping"


class Site:
    """An exchange with faults, and what its REST face was asked."""

    def __init__(self, exchange: RunningExchange, session: aiohttp.ClientSession) -> None:
        self.exchange = exchange
        self.session = session
        self.asked: list[str] = []
        self.honest = exchange.server.handle
        exchange.server.handle = self.handle  # type: ignore[method-assign]
        wire = exchange.server.wire
        assert wire is not None
        self.wire: FaultWire = wire

    async def handle(self, request: Request) -> Reply:
        self.asked.append(request.path.rpartition("/")[2])
        return await self.honest(request)

    async def get(self, path: str = PING, patience_s: float = 5.0) -> tuple[int, str]:
        timeout = aiohttp.ClientTimeout(total=patience_s)
        async with self.session.get(self.exchange.rest_url + path, timeout=timeout) as reply:
            return reply.status, await reply.text()

    async def raw(self, path: str = PING) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.exchange.server.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        return reader, writer

    def add(self, kind: FaultKind, **fields: Any) -> None:
        self.wire.faults.add(FaultRule(kind, **({"count": 1} | fields)))

    async def key(self) -> str:
        headers = {"X-MBX-APIKEY": self.exchange.api_key}
        async with self.session.post(self.exchange.rest_url + "/fapi/v1/listenKey", headers=headers) as reply:
            return str((await reply.json())["listenKey"])

    def buy(self) -> None:
        self.exchange.engine.place_order(self.exchange.account, OrderRequest("BTCUSDT", True, "MARKET", D("0.01")))


@asynccontextmanager
async def site(*rules: FaultRule) -> AsyncIterator[Site]:
    markets = {"BTCUSDT": ScriptedMarket()}
    async with (
        running_exchange(markets=markets, faults=Faults(1, rules)) as exchange,
        aiohttp.ClientSession() as session,
    ):
        yield Site(exchange, session)


@asynccontextmanager
async def socket(here: Site, path: str) -> AsyncIterator[ClientConnection]:
    async with connect(here.exchange.ws_url + path, max_size=None, ping_interval=None, close_timeout=0.2) as one:
        yield one


async def heard(one: ClientConnection) -> list[str | bytes]:
    """Return everything until the connection ends."""
    frames: list[str | bytes] = []
    try:
        async with asyncio.timeout(10):
            while True:
                frames.append(await one.recv(decode=False))
    except ConnectionClosed:
        return frames


@pytest.mark.parametrize(("kind", "reaches"), [(K.drop_request, []), (K.half_open, []), (K.drop_response, ["ping"])])
async def test_no_answer_comes(kind: FaultKind, reaches: list[str]) -> None:
    async with site(FaultRule(kind, count=1)) as here:
        with pytest.raises(TimeoutError):
            await here.get(patience_s=0.3)
        assert here.asked == reaches
        assert await here.get() == (200, "{}")


async def test_resets_are_resets() -> None:
    async with site() as here:
        here.add(K.reset_before, share=0.0)
        reader, writer = await here.raw()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        assert here.asked == []
        here.add(K.reset_before, share=1.0)
        reader, writer = await here.raw()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        assert here.asked == ["ping"]
        here.add(K.reset_mid)
        with pytest.raises(aiohttp.ClientError):
            await here.get("/fapi/v1/exchangeInfo")
        here.add(K.reset_after)
        reader, writer = await here.raw("/fapi/v1/time")
        answer = await reader.readuntil(b"}")
        assert b"serverTime" in answer
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        assert here.asked == ["ping", "exchangeInfo", "time"]


async def test_the_venue_sees_a_doubled_request_twice_and_the_client_hears_the_first_answer() -> None:
    async with site(FaultRule(K.duplicate, count=1)) as here:
        assert await here.get() == (200, "{}")
        assert here.asked == ["ping", "ping"]


async def test_a_delayed_request_is_overtaken() -> None:
    async with site(FaultRule(K.delay, count=1, ms=150, text="request", share=1.0)) as here:
        first = asyncio.create_task(here.get("/fapi/v1/time"))
        await asyncio.sleep(0.05)
        await here.get()
        await first
        assert here.asked == ["ping", "time"]
        here.add(K.delay, ms=150, text="answer", share=1.0)
        first = asyncio.create_task(here.get("/fapi/v1/time"))
        await asyncio.sleep(0.05)
        await here.get()
        assert not first.done()
        await first
        assert here.asked[2:] == ["time", "ping"]


async def test_other_words_than_the_venue_s() -> None:
    async with site() as here:
        here.add(K.http, status=502)
        status, body = await here.get()
        assert (status, "<html>" in body) == (502, True)
        here.add(K.http, status=400, code=-4061, text="Order's position side does not match user's setting.")
        assert await here.get() == (
            400,
            '{"code":-4061,"msg":"Order\'s position side does not match user\'s setting."}',
        )
        here.add(K.rate_limited, retry_after_s=1)
        async with here.session.get(here.exchange.rest_url + PING) as reply:
            assert (reply.status, reply.headers["Retry-After"]) == (429, "1")
        here.wire.faults.clear()
        here.add(K.mangle, path="GET *time")
        async with here.session.get(here.exchange.rest_url + "/fapi/v1/time") as reply:
            assert reply.status == 200
            with pytest.raises(ValueError, match=r"."):
                json.loads(await reply.read())


async def test_frames_twice_and_swollen_and_garbled() -> None:
    async with site() as here, socket(here, f"/private/ws/{await here.key()}") as private:
        here.add(K.duplicate, path="private ACCOUNT_UPDATE")
        here.add(K.huge_frame, path="private ACCOUNT_UPDATE", size=3_000_000)
        here.add(K.disconnect, rate=1.0, path="private ACCOUNT_UPDATE", after_ms=0)
        here.buy()
        frames = await heard(private)
        names = [json.loads(frame)["e"] for frame in frames]
        assert names[:3] == ["ORDER_TRADE_UPDATE", "TRADE_LITE", "ORDER_TRADE_UPDATE"]
        assert names[3:] in (["noise", "ACCOUNT_UPDATE", "ACCOUNT_UPDATE"], ["noise", "ACCOUNT_UPDATE"])
        assert len(frames[3]) == 3_000_000
    async with site(FaultRule(K.mangle, rate=1.0)) as here, socket(here, "/market/ws/!markPrice@arr") as market:
        while True:
            try:
                assert not isinstance(json.loads(await market.recv(decode=False)), list), "an honest array of marks"
            except (ValueError, RecursionError):
                break


async def test_late_frames_hold_up_those_behind_them_and_reordered_ones_do_not() -> None:
    for kind, last in ((K.delay, "ACCOUNT_UPDATE"), (K.reorder, "TRADE_LITE")):
        rule = FaultRule(kind, count=1, ms=200, share=1.0, path="private TRADE_LITE")
        async with site(rule) as here, socket(here, f"/ws/{await here.key()}") as private:
            here.buy()
            names = [json.loads(await private.recv())["e"] for _ in range(4)]
            assert names[0] == "ORDER_TRADE_UPDATE"
            assert names[-1] == last


async def test_a_mute_stream_answers_pings_and_a_deaf_one_does_not() -> None:
    for kind in (K.mute, K.half_open):
        async with site(FaultRule(kind, count=1)) as here, socket(here, "/market/ws/!markPrice@arr") as market:
            while not here.wire.faults.counts:
                await asyncio.sleep(0.02)
            pong = await market.ping()
            if kind is K.mute:
                await asyncio.wait_for(pong, 5)
            else:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(pong), 0.3)
                await market.send('{"method":"LIST_SUBSCRIPTIONS","id":1}')
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(market.recv(), 1.3)
            async with socket(here, "/market/ws/!markPrice@arr") as other:
                assert json.loads(await asyncio.wait_for(other.recv(), 5))[0]["e"] == "markPriceUpdate"


async def test_a_deaf_connection_does_not_outlive_the_server() -> None:
    async with site(FaultRule(K.half_open, count=1)) as here:
        one = await connect(here.exchange.ws_url + "/market/ws/!markPrice@arr", ping_interval=None, close_timeout=0.2)
        while not here.wire.faults.counts:
            await asyncio.sleep(0.02)
        pending = await one.ping()
        waiting = asyncio.create_task(here.get(patience_s=20))
        here.add(K.drop_request)
        await asyncio.sleep(0.05)
        async with asyncio.timeout(5):
            await here.exchange.server.close()
        await asyncio.gather(waiting, pending, return_exceptions=True)
        await heard(one)
        await one.close()


async def test_an_outage_cuts_streams_and_refuses_requests_until_it_ends() -> None:
    async with site() as here, socket(here, "/market/ws/!markPrice@arr") as market:
        assert here.wire.act(Act(K.outage, ms=1_500)) == "The venue is down for 1.5 s."
        await heard(market)
        with pytest.raises((InvalidHandshake, ConnectionError, EOFError)):
            async with socket(here, "/market/ws/!markPrice@arr"):
                pass
        with suppress(aiohttp.ClientError):
            assert (await here.get())[0] >= 500
        assert here.asked == []
        while here.wire.faults.is_out(monotonic_ms()):
            await asyncio.sleep(0.05)
        assert await here.get() == (200, "{}")


async def test_a_restart_forgets_listen_keys() -> None:
    async with site() as here:
        key = await here.key()
        async with socket(here, f"/private/ws/{key}") as private:
            here.wire.act(Act(K.restart_keep, ms=1))
            assert await heard(private) == []
        await asyncio.sleep(0.05)
        async with here.session.put(
            here.exchange.rest_url + "/fapi/v1/listenKey", headers={"X-MBX-APIKEY": here.exchange.api_key}
        ) as reply:
            assert (await reply.json())["code"] == -1125
        assert await here.key() != key


async def test_acts_happen_by_themselves_when_due() -> None:
    async with site(FaultRule(K.clock_step, count=1, ms=2_500)) as here:
        while not here.wire.said:
            await asyncio.sleep(0.02)
        assert list(here.wire.said) == ["The venue's clock jumped to +2500 ms."]


async def test_an_act_that_cannot_happen_does_not_stop_the_exchange() -> None:
    async with site(FaultRule(K.adl, count=1, symbol="NOPEUSDT")) as here:
        while not here.wire.said:
            await asyncio.sleep(0.02)
        assert here.wire.said[0].startswith("Could not happen: there is no symbol NOPEUSDT")
        assert await here.get() == (200, "{}")


async def test_an_honest_exchange_has_no_wire_and_no_admin_routes() -> None:
    async with (
        running_exchange(markets={"BTCUSDT": ScriptedMarket()}) as exchange,
        aiohttp.ClientSession() as session,
    ):
        assert exchange.server.wire is None
        assert exchange.engine.faults is None
        for path in ("/admin/faults", "/admin/act"):
            async with session.post(exchange.rest_url + path, data='{"preset":"rough"}') as reply:
                assert (reply.status, (await reply.json())["code"]) == (404, -5000)


async def admin(here: Site, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
    data = None if body is None else body if isinstance(body, str) else json.dumps(body)
    url = f"{here.exchange.rest_url}/admin/{path}"
    async with here.session.request(method, url, data=data, headers=headers) as reply:
        return reply.status, await reply.json()


async def test_rules_and_acts_by_hand() -> None:
    async with site(FaultRule(K.duplicate, rate=0.5)) as here:
        status, shown = await admin(here, "GET", "faults")
        assert status == 200
        assert shown == {"seed": 1, "rules": {"1": {"kind": "duplicate", "rate": 0.5}}, "struck": {}, "said": []}
        assert await admin(here, "POST", "faults", {"kind": "drop_request", "count": 1}) == (200, {"numbers": [2]})
        assert await admin(here, "POST", "faults", [{"kind": "delay", "rate": 1}]) == (200, {"numbers": [3]})
        status, added = await admin(here, "POST", "faults", {"preset": "mild"})
        assert (status, len(added["numbers"])) == (200, 36)
        assert await admin(here, "DELETE", "faults?number=3") == (200, {"removed": 3})
        assert 3 not in here.wire.faults.rules
        said = {"said": "Nobody cancelled anything: there is no such order."}
        assert await admin(here, "POST", "act", {"kind": "cancel_elsewhere"}) == (200, said)
        await admin(here, "POST", "act", {"kind": "symbol_status", "text": "BREAK", "symbol": "BTCUSDT"})
        assert not here.exchange.engine.states["BTCUSDT"].is_trading
        assert await admin(here, "DELETE", "faults") == (200, {"rules": {}})
        assert here.exchange.engine.states["BTCUSDT"].is_trading
        assert (await admin(here, "GET", "faults"))[1]["said"][0] == said["said"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("POST", "faults", {"kind": "drop"}, 400, "unknown kind 'drop'"),
        ("POST", "faults", "{", 400, "truncated"),
        ("POST", "faults", "[" * 30_000, 400, "depth"),
        ("POST", "faults", {"preset": "wild"}, 400, "unknown preset 'wild'"),
        ("POST", "act", {"kind": "drop_request"}, 400, "is no act"),
        ("POST", "act", {"kind": "adl", "symbol": "NOPE"}, 400, "there is no symbol NOPE"),
        ("POST", "faults", {"kind": "adl", "count": 1, "symbol": "BTCUSDC"}, 400, "did you mean 'BTCUSDT'?"),
        ("DELETE", "faults?number=77", None, 400, "there is no rule 77"),
        ("DELETE", "faults?number=x", None, 400, "there is no rule x"),
        ("PUT", "faults", {}, 404, "Use GET, POST or DELETE"),
        ("GET", "secrets", None, 404, "Use GET, POST or DELETE"),
    ],
)
async def test_wrong_orders_to_the_admin_routes(method: str, path: str, body: object, status: int, words: str) -> None:
    async with site() as here:
        code, answer = await admin(here, method, path, body)
        assert code == status
        assert words in answer["error"]


async def test_the_admin_routes_answer_no_web_page_and_no_foreign_name() -> None:
    async with site() as here:
        for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
            status, answer = await admin(here, "POST", "faults", {"preset": "rough"}, **headers)
            assert (status, answer["error"]) == (403, "The admin routes answer programs on this machine only.")
        assert here.wire.faults.rules == {}
        assert (await admin(here, "GET", "faults", Host="localhost"))[0] == 200
