"""A stand-in venue that sends many market frames: ``python -m tests.benchmarks.feeder --rest URL --ws URL``.

It stands before a simulated exchange: REST and the private stream go through to it untouched, and so do the market
stream's tickers, marks and candles. On the public and market links it sends by itself, at the rate asked for and in
bursts of 1 ms: for each symbol ten diffs a second of 22 levels a side (the mean of the recordings, chained by ``pu``
from the snapshot that it serves), best bid/ask (70 % of the rest) and trades (30 %). The frames are text frames of the
venue's form, written straight to the socket, so that the feeder stays cheap.

``POST /bench?rate=N`` sets the rate in messages a second; ``GET /bench`` tells what was sent, how many bytes still wait
in this process, and how long the console's link took to answer a ping sent behind them (its backlog in time).
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import sys
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from tui_trader import clock

TICK_S = 0.001
DIFF_EVERY_S = 0.1
SPAN = 10
DEEP = 11
TICKER_SHARE = 0.7


class Market:
    """One symbol's made-up book around the exchange's price: the top moves within ten ticks."""

    def __init__(self, symbol: str, price: float, tick: str, rng: random.Random) -> None:
        self.symbol = symbol
        self.low = symbol.lower()
        self.tick = float(tick)
        self.decimals = len(tick.rstrip("0").partition(".")[2])
        self.base = round(price / self.tick)
        self.rng = rng
        self.offset = SPAN // 2
        self.last_id = 1_000

    def _price(self, ticks: int) -> str:
        return f"{(self.base + ticks) * self.tick:.{self.decimals}f}"

    def _qty(self) -> str:
        return f"{self.rng.random() * 40_000 / (self.base * self.tick) + 0.001:.3f}"

    def snapshot(self) -> dict[str, Any]:
        """The book as REST gives it, 500 levels a side."""
        bids = [[self._price(self.offset - i), self._qty()] for i in range(500)]
        asks = [[self._price(self.offset + 1 + i), self._qty()] for i in range(500)]
        return {"lastUpdateId": self.last_id, "E": 0, "T": 0, "bids": bids, "asks": asks}

    def diff(self) -> bytes:
        """The next diff: the ten ticks around the top whole, and as many levels deeper down."""
        self.offset = min(SPAN, max(0, self.offset + self.rng.choice((-1, 0, 1))))
        near = range(SPAN + 2)
        deep = [self.rng.randrange(SPAN + 2, 400) for _ in range(DEEP)]
        bids = [(self._price(k), self._qty() if k <= self.offset else "0.000") for k in near]
        asks = [(self._price(k), self._qty() if k > self.offset else "0.000") for k in near]
        bids += [(self._price(SPAN - k), self._qty()) for k in deep]
        asks += [(self._price(k), self._qty()) for k in deep]
        before, self.last_id = self.last_id, self.last_id + 20
        now = clock.wall_ms()
        data = {"e": "depthUpdate", "E": now, "T": now, "s": self.symbol, "U": before + 1, "u": self.last_id}
        data |= {"pu": before, "b": bids, "a": asks}
        return framed(msgspec.json.encode({"stream": f"{self.low}@depth@100ms", "data": data}))

    def top(self) -> bytes:
        """A bookTicker."""
        now = clock.wall_ms()
        return framed(
            f'{{"stream":"{self.low}@bookTicker","data":{{"e":"bookTicker","u":{self.last_id},"s":"{self.symbol}",'
            f'"b":"{self._price(self.offset)}","B":"{self._qty()}","a":"{self._price(self.offset + 1)}",'
            f'"A":"{self._qty()}","T":{now},"E":{now}}}}}'.encode()
        )

    def trade(self) -> bytes:
        """An aggTrade."""
        now = clock.wall_ms()
        return framed(
            f'{{"stream":"{self.low}@aggTrade","data":{{"e":"aggTrade","E":{now},"a":{self.last_id},'
            f'"s":"{self.symbol}","p":"{self._price(self.offset)}","q":"{self._qty()}","f":1,"l":1,"T":{now},'
            f'"m":true}}}}'.encode()
        )


def framed(body: bytes) -> bytes:
    """A websocket text frame as a server sends it."""
    if len(body) < 126:
        return bytes((0x81, len(body))) + body
    return bytes((0x81, 126)) + len(body).to_bytes(2, "big") + body


class Link:
    """One console link, with the pings sent behind the frames."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport) -> None:
        self.socket = socket
        self.transport = transport
        self.pinged = 0.0
        self.delays: list[float] = []

    def ping(self) -> None:
        """Send a ping unless one is out."""
        if not self.pinged:
            self.pinged = clock.monotonic()
            self.transport.write(b"\x89\x00")

    def answered(self) -> None:
        """Note how long the answer took."""
        self.delays.append(clock.monotonic() - self.pinged)
        self.pinged = 0.0


class Feeder:
    """The server and its sending loop."""

    def __init__(self, rest: str, ws: str) -> None:
        self.rest, self.ws = rest, ws
        self.rate = 0
        self.sent = 0
        self.links: dict[str, set[Link]] = {"public": set(), "market": set()}
        self.markets: dict[str, Market] = {}
        self.rng = random.Random(7)
        self.watched: set[str] = set()

    async def load(self) -> None:
        """Take symbols, ticks and prices from the exchange."""
        self.session = aiohttp.ClientSession()
        async with self.session.get(f"{self.rest}/fapi/v1/exchangeInfo") as answer:
            info = await answer.json()
        async with self.session.get(f"{self.rest}/fapi/v1/ticker/bookTicker") as answer:
            tops = {row["symbol"]: float(row["bidPrice"]) for row in await answer.json()}
        for row in info["symbols"]:
            tick = next(f["tickSize"] for f in row["filters"] if f["filterType"] == "PRICE_FILTER")
            if len(self.markets) < 20 and tops.get(row["symbol"]):
                self.markets[row["symbol"]] = Market(row["symbol"], tops[row["symbol"]], tick, self.rng)

    async def proxy(self, request: web.Request) -> web.StreamResponse:
        """REST, passed through; the books are our own."""
        symbol = request.query.get("symbol", "")
        if request.path == "/fapi/v1/depth" and symbol in self.markets:
            return web.json_response(self.markets[symbol].snapshot())
        headers = {k: v for k, v in request.headers.items() if k.upper() in ("X-MBX-APIKEY", "CONTENT-TYPE")}
        body = await request.read()
        async with self.session.request(
            request.method, f"{self.rest}{request.raw_path}", headers=headers, data=body or None
        ) as answer:
            return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """A console's websocket, tied to one of the exchange."""
        channel = request.path.split("/")[1]
        socket = web.WebSocketResponse(autoping=False, compress=False)
        await socket.prepare(request)
        assert request.transport is not None
        link = Link(socket, request.transport)
        async with self.session.ws_connect(f"{self.ws}{request.raw_path}", max_msg_size=0) as upstream:
            down = asyncio.create_task(self._down(channel, upstream, socket))
            if channel in self.links:
                self.links[channel].add(link)
            try:
                async for message in socket:
                    if message.type is aiohttp.WSMsgType.PONG and link.pinged:
                        link.answered()
                    elif message.type is aiohttp.WSMsgType.PING:
                        await socket.pong(message.data)
                    elif message.type is aiohttp.WSMsgType.TEXT:
                        self.watched.update(re.findall(r"(\w+)@aggTrade", message.data))
                        await upstream.send_str(message.data)
            finally:
                self.links.get(channel, set()).discard(link)
                down.cancel()
        return socket

    async def _down(
        self, channel: str, upstream: aiohttp.ClientWebSocketResponse, socket: web.WebSocketResponse
    ) -> None:
        async for message in upstream:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            if channel != "private" and ("@depth" in message.data[:60] or "ookTicker" in message.data[:60]):
                continue
            if not socket.closed:
                await socket.send_str(message.data)

    async def run(self) -> None:
        """Send, paced: what is due each millisecond, in one write a link."""
        due = 0.0
        next_diff = clock.monotonic()
        before = clock.monotonic()
        markets = list(self.markets.values())
        while True:
            await asyncio.sleep(TICK_S)
            now = clock.monotonic()
            elapsed, before = now - before, now
            if not self.rate or not self.links["public"]:
                next_diff = now
                continue
            public: list[bytes] = []
            step = DIFF_EVERY_S / len(markets)
            while next_diff <= now:
                public.append(markets[round(next_diff / step) % len(markets)].diff())
                next_diff += step
            due += max(self.rate - len(markets) / DIFF_EVERY_S, 0) * elapsed
            count, due = int(due), due - int(due)
            market: list[bytes] = []
            for _ in range(count):
                row = self.rng.choice(markets)
                if self.rng.random() < TICKER_SHARE:
                    public.append(row.top())
                else:
                    market.append(row.trade())
            self._write("public", public)
            self._write("market", market)

    def _write(self, channel: str, frames: list[bytes]) -> None:
        self.sent += len(frames)
        body = b"".join(frames)
        for link in self.links[channel]:
            if body:
                link.transport.write(body)
            link.ping()

    async def bench(self, request: web.Request) -> web.Response:
        """Set the rate, or report since it was set."""
        links = [link for found in self.links.values() for link in found]
        if request.method == "POST":
            self.rate = int(request.query["rate"])
            self.sent = 0
            for link in links:
                link.delays.clear()
        delays = sorted(delay for link in links for delay in link.delays)
        return web.json_response(
            {
                "sent": self.sent,
                "links": len(links),
                "symbols": len(self.markets),
                "watched": len(self.watched),
                "unsent_bytes": sum(link.transport.get_write_buffer_size() for link in links),
                "ping_p50_ms": delays[len(delays) // 2] * 1000 if delays else 0.0,
                "ping_p99_ms": delays[int(0.99 * (len(delays) - 1))] * 1000 if delays else 0.0,
                "ping_last_ms": max((link.delays[-1] * 1000 for link in links if link.delays), default=0.0),
                "ping_waiting_ms": max(((clock.monotonic() - k.pinged) * 1000 for k in links if k.pinged), default=0.0),
            }
        )


async def main() -> None:
    """Serve until standard input closes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rest", required=True)
    parser.add_argument("--ws", required=True)
    options = parser.parse_args()
    feeder = Feeder(options.rest, options.ws)
    await feeder.load()
    app = web.Application()
    app.router.add_route("*", "/bench", feeder.bench)
    for channel in ("public", "market", "private"):
        app.router.add_get(f"/{channel}{{rest:.*}}", feeder.stream)
    app.router.add_route("*", "/{path:.*}", feeder.proxy)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    sender = asyncio.create_task(feeder.run())
    await asyncio.to_thread(sys.stdin.read)
    sender.cancel()
    await runner.cleanup()
    await feeder.session.close()


if __name__ == "__main__":
    asyncio.run(main())
