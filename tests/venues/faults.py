"""What the unhappy paths share: a venue at a scripted exchange whose answers and frames can be bent, and a bad wire."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from typing import Any, TypeVar

from tui_trader.core.commands import Approval, CancelOrder, PlaceOrder, QueryOrder
from tui_trader.core.events import Event, FeedLive, FeedStale, LinkDown, LinkUp
from tui_trader.core.settings import DataSettings, VenueSettings
from tui_trader.core.types import Channel, Leg, OrderSide, OrderType, VenueBook
from tui_trader.exchange.rest import Reply, Request
from tui_trader.exchange.scripted import ScriptedMarket, scripted_spec
from tui_trader.exchange.server import RunningExchange, running_exchange
from tui_trader.exchange.streams import Connection
from tui_trader.venues.binance.client import BinanceVenue

E = TypeVar("E", bound=Event)
Bend = Callable[[Request], Reply | None]
BTC = "BTCUSDT"
CHANNELS = {Channel.REST, Channel.PUBLIC, Channel.MARKET, Channel.PRIVATE}


class World:
    """An exchange, a venue client and everything the client told. ``bend`` answers instead of the exchange when it
    returns a reply; ``twist`` gets each stream frame and returns the payloads to send instead."""

    def __init__(self, exchange: RunningExchange, rest_url: str, ws_url: str, **options: Any) -> None:
        self.exchange = exchange
        self.events: list[Event] = []
        self.requests: list[Request] = []
        self.bend: Bend = lambda request: None
        self.twist: Callable[[Connection, str, str], list[str]] = lambda connection, stream, payload: [payload]
        self._honest_answer = exchange.server.handle
        self._honest_frame = exchange.server.hub.deliver
        exchange.server.handle = self._handle  # type: ignore[method-assign]
        exchange.server.hub.deliver = self._deliver  # type: ignore[method-assign]
        self.venue = BinanceVenue(
            rest_url=rest_url,
            ws_url=ws_url,
            key=exchange.api_key,
            secret=exchange.secret,
            settings=VenueSettings(),
            data=options.pop("data", DataSettings()),
            rng=random.Random(1),
            **options,
        )

    async def _handle(self, request: Request) -> Reply:
        self.requests.append(request)
        return self.bend(request) or await self._honest_answer(request)

    def _deliver(self, connection: Connection, stream: str, payload: str) -> None:
        for text in self.twist(connection, stream, payload):
            self._honest_frame(connection, stream, text)

    def once(self, method: str, path: str, *replies: Reply) -> None:
        """Answer the next requests of an endpoint with ``replies``, then honestly again."""
        waiting = list(replies)

        def bend(request: Request) -> Reply | None:
            if waiting and (request.method, request.path) == (method, f"/fapi/v1/{path}"):
                return waiting.pop(0)
            return None

        self.bend = bend

    def asked(self, method: str, path: str) -> list[Request]:
        return [row for row in self.requests if (row.method, row.path) == (method, f"/fapi/v1/{path}")]

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def links(self, channel: Channel) -> list[Event]:
        return [e for e in self.events if isinstance(e, LinkUp | LinkDown) and e.channel is channel]

    def feeds(self) -> list[str]:
        return [type(e).__name__ for e in self.events if isinstance(e, FeedStale | FeedLive)]

    def sockets(self, route: str) -> list[Connection]:
        return [row for row in self.exchange.server.connections if row.route == route]

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(15):
            while not condition():
                await asyncio.sleep(0.01)

    async def all_up(self) -> None:
        await self.until(lambda: {e.channel for e in self.of(LinkUp)} >= CHANNELS)


def markets(*symbols: str) -> dict[str, ScriptedMarket]:
    return {symbol: ScriptedMarket(scripted_spec(symbol)) for symbol in symbols}


@asynccontextmanager
async def world(*symbols: str, started: bool = True, **options: Any) -> AsyncIterator[World]:
    """A venue that is open at an exchange, honest unless ``faults`` are given; ``proxied`` puts a ``Proxy`` between the
    two."""
    proxied, faults = options.pop("proxied", False), options.pop("faults", None)
    async with running_exchange(markets=markets(*(symbols or (BTC,))), faults=faults) as exchange:
        proxy = Proxy(exchange.server.port) if proxied else None
        port = await proxy.start() if proxy else exchange.server.port
        here = World(exchange, f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}", **options)
        here.proxy = proxy  # type: ignore[attr-defined]
        try:
            if started:
                await here.venue.open(here.events.append)
                await here.all_up()
            yield here
        finally:
            await here.venue.aclose()
            if proxy:
                await proxy.aclose()


def error(status: int, code: int, text: str = "words", **headers: str) -> Reply:
    return Reply(status, f'{{"code":{code},"msg":"{text}"}}', dict(headers))


def order(client_id: str, **changes: object) -> PlaceOrder:
    fields: dict[str, object] = {
        "ts": 1, "client_id": client_id, "plan_id": 1, "leg": Leg.ENTRY, "symbol": BTC, "side": OrderSide.BUY,
        "type": OrderType.MARKET, "qty": Decimal("0.010"), "reduce_only": False,
        "approval": Approval(sequence=1, max_qty=Decimal(1), exit=False),
    }  # fmt: skip
    return PlaceOrder(**{**fields, **changes})  # type: ignore[arg-type]


def resting(client_id: str) -> PlaceOrder:
    return order(client_id, type=OrderType.LIMIT, price=Decimal("49000.0"))


def cancel(client_id: str, book: VenueBook = VenueBook.REGULAR) -> CancelOrder:
    return CancelOrder(ts=1, client_id=client_id, symbol=BTC, book=book)


def query(client_id: str, book: VenueBook = VenueBook.REGULAR) -> QueryOrder:
    return QueryOrder(ts=1, client_id=client_id, symbol=BTC, book=book)


class Proxy:
    """A TCP wire between client and exchange that can go silent, be cut, or lose answers after the request went."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.silent = False
        self.answers: Callable[[bytes], bool] = lambda data: True
        """Called with what the client sends; False loses the answer and cuts the wire after the request arrived."""

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        """How many sockets are open, both sides counted."""
        return len(self._writers)

    async def aclose(self) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Reset every connection: the peers see ECONNRESET, not a close."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        lost = asyncio.Event()
        ends = [writer]
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
            ends.append(far_writer)
            self._writers.add(far_writer)
            await asyncio.gather(
                self._pump(reader, far_writer, writer, lost, outgoing=True),
                self._pump(far_reader, writer, writer, lost, outgoing=False),
            )
        except OSError:
            pass
        finally:
            for one in ends:
                self._writers.discard(one)
                one.transport.abort()
                with suppress(OSError):
                    await one.wait_closed()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        client: asyncio.StreamWriter,
        lost: asyncio.Event,
        *,
        outgoing: bool,
    ) -> None:
        while data := await reader.read(65_536):
            if outgoing and not self.answers(data):
                lost.set()
            if not outgoing and lost.is_set():
                client.transport.abort()
                return
            if not self.silent:
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
