"""The exchange behind sockets: an aiohttp server on loopback for REST and websockets, and the loop that moves time."""

import asyncio
import contextlib
import hashlib
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal

from aiohttp import WSCloseCode, WSMsgType, web

from tui_trader import clock
from tui_trader.exchange.contract import SymbolMarket
from tui_trader.exchange.engine import ExchangeEngine
from tui_trader.exchange.fault_admin import PREFIX, FaultAdmin
from tui_trader.exchange.fault_wire import FaultWire, Line, monotonic_ms, reset, respond
from tui_trader.exchange.faults import Faults
from tui_trader.exchange.feeds import TICK_S
from tui_trader.exchange.listen_keys import ListenKeys
from tui_trader.exchange.ratelimits import RateLimits
from tui_trader.exchange.rest import Reply, Request, RestApi
from tui_trader.exchange.streams import Connection, StreamHub
from tui_trader.exchange.venue_clock import ExchangeClock, ManualClock

_PING_S = 180.0
_MAX_QUEUED_FRAMES = 8192
_MAX_QUEUED_CHARS = 16 * 1024 * 1024
_MAX_MESSAGE = 64 * 1024
_STEPS_PER_PUMP = 8
"""Market steps between two looks at the sockets while catching up."""


def demo_keys(seed: int, number: int = 1) -> tuple[str, str]:
    """Return the API key and secret of the numbered demo account, the same for the same seed."""
    pair = [hashlib.sha256(f"tui-trader exchange {seed} {number} {kind}".encode()).hexdigest() for kind in "ks"]
    return pair[0], pair[1]


class _Outbox:
    """Outgoing frames of one websocket, bounded: a reader that does not keep up is disconnected."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._frames: deque[str | bytes] = deque()
        self._size = 0
        self._ready = asyncio.Event()
        self.overflowed = False
        self.ending = False

    def end(self) -> None:
        """Close the socket politely once everything queued is written."""
        self.ending = True
        self._ready.set()

    def put(self, frame: str | bytes) -> None:
        """Queue a frame: a text, or the raw bytes of what should have been one."""
        if self.overflowed:
            return
        self._size += len(frame) if isinstance(frame, str) else 0
        self._frames.append(frame)
        if len(self._frames) > _MAX_QUEUED_FRAMES or self._size > _MAX_QUEUED_CHARS:
            self.overflowed = True
        self._ready.set()

    async def run(self) -> None:
        """Write frames until the socket closes or the reader falls too far behind."""
        while not self._socket.closed:
            await self._ready.wait()
            self._ready.clear()
            while self._frames and not self.overflowed:
                frame = self._frames.popleft()
                if isinstance(frame, bytes):
                    await self._socket.send_frame(frame, WSMsgType.TEXT)
                    continue
                self._size -= len(frame)
                await self._socket.send_str(frame)
            if self.ending:
                await self._socket.close(code=WSCloseCode.GOING_AWAY)
                return
            if self.overflowed:
                self._frames.clear()
                await self._socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"too slow a reader")
                return


class ExchangeServer:
    """Serves one engine. Requests pass through `handle`, stream frames through `StreamHub.deliver`. With `faults` it
    misbehaves as they say and answers the admin routes; without, it is honest and there are none.
    """

    def __init__(
        self, engine: ExchangeEngine, venue_clock: ExchangeClock, salt: str = "", faults: Faults | None = None
    ) -> None:
        self.engine = engine
        self.clock = venue_clock
        self.keys = ListenKeys(clock.monotonic, salt)
        self.limits = RateLimits(clock.monotonic)
        self.rest = RestApi(engine, venue_clock, self.keys, self.limits)
        self.hub = StreamHub(engine, self.keys)
        self.port = 0
        self._runner: web.AppRunner | None = None
        self._loop_task: asyncio.Task[None] | None = None
        self._sockets: dict[web.WebSocketResponse, Connection] = {}
        self.wire: FaultWire | None = None
        if faults is not None:
            self.wire = FaultWire(engine, faults)
            self._admin = FaultAdmin(self.wire)
            self.hub.bend = self.wire.deliver
            engine.on_restart = self._restart

    @property
    def rest_url(self) -> str:
        """Base URL of REST, without /fapi."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        """Base URL of the websockets, without /public, /market, /private."""
        return f"ws://127.0.0.1:{self.port}"

    @property
    def connections(self) -> list[Connection]:
        """The open websocket connections."""
        return list(self._sockets.values())

    @property
    def clients(self) -> int:
        """How many websockets are open."""
        return len(self._sockets)

    async def start(self, port: int = 0) -> None:
        """Listen on 127.0.0.1 and start the market. Raises OSError when the port is taken."""
        app = web.Application(client_max_size=_MAX_MESSAGE)
        app.router.add_route("*", "/{tail:.*}", self._on_request)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        try:
            await site.start()
        except OSError:
            await self._runner.cleanup()
            raise
        self.port = self._runner.addresses[0][1]
        self._loop_task = asyncio.create_task(self._run(), name="exchange-clock")

    async def wait(self) -> None:
        """Return when the market's loop ends; raises what ended it."""
        if self._loop_task is not None:
            await asyncio.shield(self._loop_task)

    async def close(self) -> None:
        """Close every socket and stop."""
        if self.wire is not None:
            self.wire.closing.set()
        if self._loop_task is not None:
            self._loop_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop_task
            self._loop_task = None
        for socket in list(self._sockets):
            await socket.close(code=WSCloseCode.GOING_AWAY)
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _run(self) -> None:
        due = clock.monotonic()
        while True:
            await self._catch_up()
            if self.wire is not None:
                self.wire.tick()
            self.hub.pump(clock.monotonic())
            due = max(due + TICK_S, clock.monotonic())
            await asyncio.sleep(max(due - clock.monotonic(), 0.001))

    async def _catch_up(self) -> None:
        """Run the steps that are due, in order, letting the sockets breathe in between."""
        done = 0
        while self.engine.next_step_ms <= self.clock.now_ms():
            self.engine.advance_step()
            done += 1
            await asyncio.sleep(0)
            if done % _STEPS_PER_PUMP == 0:
                self.hub.pump(clock.monotonic())
        self.engine.touch(self.clock.now_ms())

    async def handle(self, request: Request) -> Reply:
        """Answer one REST request."""
        return self.rest.handle(request)

    async def _on_request(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._on_socket(request)
        try:
            body = (await request.read()).decode("ascii")
        except UnicodeDecodeError:
            reply = Reply(400, '{"code":-1100,"msg":"Illegal characters found in a parameter."}')
        except web.HTTPRequestEntityTooLarge:
            reply = Reply(413, '{"code":-1101,"msg":"Too much data sent for this endpoint."}')
        else:
            heard = Request(
                method=request.method,
                path=request.path,
                query=request.rel_url.raw_query_string,
                body=body,
                headers={name.lower(): value for name, value in request.headers.items()},
                address=request.remote or "",
            )
            if self.wire is not None:
                if request.path.startswith(PREFIX):
                    return respond(self._admin.handle(heard))
                return await self.wire.answer(request, heard, self.handle)
            reply = await self.handle(heard)
        return respond(reply)

    def _restart(self) -> None:
        """Break every websocket and forget the listen keys."""
        self.keys.forget()
        if self.wire is not None:
            self.wire.cut_all()

    async def _on_socket(self, request: web.Request) -> web.StreamResponse:
        if self.wire is not None and self.wire.faults.is_out(monotonic_ms()):
            reset(request.transport)
            return web.Response()
        # Pings are answered by `_read`: a connection that a fault made deaf must not answer them.
        socket = web.WebSocketResponse(
            heartbeat=_PING_S, max_msg_size=_MAX_MESSAGE, compress=False, autoping=self.wire is None
        )
        if not socket.can_prepare(request).ok:
            return web.Response(status=400, text='{"code":-1000,"msg":"Not a websocket handshake."}')
        await socket.prepare(request)
        outbox = _Outbox(socket)
        connection = self.hub.open(request.path, request.rel_url.raw_query_string, outbox.put)
        if connection is None:
            await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"no such stream address")
            return socket
        self._sockets[socket] = connection
        if self.wire is not None:
            self.wire.opened(connection, Line(request, outbox.put, outbox.end))
        writer = asyncio.create_task(outbox.run(), name="exchange-socket-writer")
        try:
            await self._read(socket, connection)
            if self.wire is not None and self.wire.is_deaf(connection):
                await self.wire.nothing(request)
        finally:
            self.hub.close(connection)
            if self.wire is not None:
                self.wire.closed(connection)
            del self._sockets[socket]
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await writer
        return socket

    async def _read(self, socket: web.WebSocketResponse, connection: Connection) -> None:
        async for message in socket:
            if self.wire is not None and self.wire.is_deaf(connection):
                return
            if message.type is WSMsgType.PING:
                await socket.pong(message.data)
                continue
            if message.type is WSMsgType.PONG:
                continue
            if message.type is not WSMsgType.TEXT:
                await socket.close(code=WSCloseCode.UNSUPPORTED_DATA, message=b"text frames only")
                return
            if connection.is_flooding(clock.monotonic()):
                await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"too many messages")
                return
            self.hub.receive(connection, message.data)


class RunningExchange:
    """An exchange inside this process, for tests and tools: addresses, keys, the engine and its clock."""

    def __init__(self, server: ExchangeServer, api_key: str, secret: str) -> None:
        self.server = server
        self.engine = server.engine
        self.api_key = api_key
        self.secret = secret
        self.account = self.engine.venue.accounts[api_key]

    @property
    def rest_url(self) -> str:
        """Base URL of REST, without /fapi."""
        return self.server.rest_url

    @property
    def ws_url(self) -> str:
        """Base URL of the websockets."""
        return self.server.ws_url

    def step(self, ms: int) -> None:
        """Move a manual clock forward, run the market to it and send what is due. Raises TypeError otherwise."""
        if not isinstance(self.server.clock, ManualClock):
            raise TypeError("the exchange runs by the real clock: start it with manual_clock=True to step it")
        self.server.clock.advance(ms)
        self.engine.advance_to(self.server.clock.now_ms())
        self.server.hub.pump(clock.monotonic())


def build_server(
    seed: int,
    speed: float,
    start_ms: int,
    wallet: Decimal,
    symbols: Sequence[str] | None = None,
    markets: Mapping[str, SymbolMarket] | None = None,
    manual_clock: bool = False,
    faults: Faults | None = None,
) -> ExchangeServer:
    """Return a server with one demo account, not yet listening.

    Without `markets` it builds the recorded market of `seed`. Raises KeyError for an unknown symbol.
    """
    if markets is None:
        # Loading the recordings takes time and memory that a scripted market does not need.
        from tui_trader.exchange.market_maker import build_markets

        markets = build_markets(seed, start_ms, symbols)
    engine = ExchangeEngine(markets, start_ms)
    key, secret = demo_keys(seed)
    engine.add_account(key, secret, wallet)
    venue_clock = ManualClock(start_ms) if manual_clock else ExchangeClock(start_ms, speed)
    return ExchangeServer(engine, venue_clock, str(seed), faults)


@asynccontextmanager
async def running_exchange(
    seed: int = 1,
    speed: float = 1.0,
    start_ms: int | None = None,
    symbols: Sequence[str] | None = None,
    markets: Mapping[str, SymbolMarket] | None = None,
    manual_clock: bool = False,
    wallet: Decimal = Decimal(10_000),
    faults: Faults | None = None,
) -> AsyncIterator[RunningExchange]:
    """Run an exchange in this loop on a free loopback port for the length of the block."""
    begin = clock.wall_ms() if start_ms is None else start_ms
    server = build_server(seed, speed, begin, wallet, symbols, markets, manual_clock, faults)
    await server.start()
    try:
        yield RunningExchange(server, *demo_keys(seed))
    finally:
        await server.close()
