"""The network between one machine and the venue, in virtual time: latencies, faults, requests and the private stream.

What is under way belongs to the network, not to who sent it: a request that left before a crash arrives all the same.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from random import Random
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec
from websockets.exceptions import ConnectionClosedError

from tui_trader.clock import VenueClock
from tui_trader.drill.loop import VirtualLoop
from tui_trader.errors import OutcomeUnknown, VenueError
from tui_trader.exchange.fault_rules import FaultKind
from tui_trader.exchange.fault_words import mangled
from tui_trader.exchange.faults import Faults, Verdict
from tui_trader.exchange.rest import Reply, Request, RestApi
from tui_trader.exchange.streams import StreamHub
from tui_trader.venues.binance.failures import failure
from tui_trader.venues.link import Socket
from tui_trader.venues.ratelimit import Budget

TIMEOUT_S = 4.5
"""The client's own patience with an answer."""
PING_S = 20.0
_API = {
    "fapiPublic": "/fapi/v1/",
    "fapiPrivate": "/fapi/v1/",
    "fapiPrivateV2": "/fapi/v2/",
    "fapiPrivateV3": "/fapi/v3/",
}
_KEY_ONLY = frozenset({"listenKey"})


class Call(msgspec.Struct, eq=False):
    """One request on its way. ``sent_s`` is virtual time; ``reply`` what the client heard, None when nothing."""

    method: str
    path: str
    params: Mapping[str, object]
    sent_s: float
    signed: bool
    reply: Reply | None = None
    handled: int = 0
    """How often the venue acted on it."""
    honest: Reply | None = None
    """What the venue answered when it acted first."""
    faults: tuple[FaultKind, ...] = ()


def _unheard(what: str, body: str) -> None:
    """Nobody keeps a trace."""


def _nothing(call: Call) -> None:
    """Nobody watches."""


class Network:
    """``on_sent`` hears of each request whose first byte leaves, ``on_handled`` of each that the venue acted on, and
    ``on_heard`` of each end that the client learns of.
    """

    def __init__(
        self, loop: VirtualLoop, api: RestApi, hub: StreamHub, faults: Faults, rng: Random, latency_ms: float
    ) -> None:
        self.loop = loop
        self.api = api
        self.hub = hub
        self.faults = faults
        self.latency_ms = latency_ms
        self.note: Callable[[str, str], None] = _unheard
        self.on_sent: Callable[[Call], None] = _nothing
        self.on_handled: Callable[[Call], None] = _nothing
        self.on_heard: Callable[[Call], None] = _nothing
        self._rng = rng
        self._stale_connection = False
        self._sockets = 0
        self._open: dict[int, MemorySocket] = {}
        self._awaited: set[asyncio.Future[Reply | None]] = set()

    @property
    def awaited(self) -> frozenset[asyncio.Future[Reply | None]]:
        """The answers that the client waits for."""
        return frozenset(self._awaited)

    @property
    def connected(self) -> bool:
        """Whether a private stream stands, as far as the client can know."""
        return bool(self._open)

    @property
    def now_ms(self) -> int:
        """Virtual ms since the beginning."""
        return int(self.loop.monotonic() * 1000)

    def delay_s(self) -> float:
        """How long one way takes: mostly the usual latency, rarely several times as long."""
        return self.latency_ms / 1000 * math.exp(self._rng.gauss(0.0, 0.4))

    # --- requests ---

    def send(self, call: Call, request: Request) -> asyncio.Future[Reply | None]:
        """Send a request; the result is what the client hears, None for a broken connection or no answer in time."""
        answer: asyncio.Future[Reply | None] = self.loop.create_future()
        self._awaited.add(answer)
        answer.add_done_callback(self._awaited.discard)
        self.note("sent", f"{call.method} {call.path} {call.params}")
        self.on_sent(call)
        verdict = self.faults.request(request, self.now_ms)
        call.faults = verdict.kinds
        if self._stale_connection:
            self._stale_connection = False
            self._later(self.delay_s(), self._hear, call, answer, None)
            return answer
        if verdict.lose_request:
            self._later(TIMEOUT_S, self._hear, call, answer, None)
            return answer
        self._later(self.delay_s() + verdict.delay_ms / 1000, self._arrive, call, request, verdict, answer)
        return answer

    def _later(self, seconds: float, what: Callable[..., None], *args: object) -> None:
        self.loop.call_later(seconds, what, *args)

    def _arrive(self, call: Call, request: Request, verdict: Verdict, answer: asyncio.Future[Reply | None]) -> None:
        reply: Reply | None = None
        if verdict.handled:
            for _ in range(max(1, verdict.copies)):
                said = self.api.handle(request)
                reply = reply or said
                call.handled += 1
                call.honest = call.honest or said
                self.note("handled", f"{call.method} {call.path} {said.status} {said.body[:200]}")
                self.on_handled(call)
        reply = verdict.reply or reply
        if reply is not None and verdict.mangle:
            text = mangled(reply.body, verdict.mangle).decode("utf-8", "replace")
            reply = Reply(reply.status, text, reply.headers)
        if verdict.reset == "after":
            self._stale_connection = True
        elif verdict.reset:
            reply = None
        back = self.delay_s() + verdict.answer_delay_ms / 1000
        late = self.loop.monotonic() + back - call.sent_s > TIMEOUT_S
        if verdict.lose_answer or late:
            back, reply = max(0.0, call.sent_s + TIMEOUT_S - self.loop.monotonic()), None
        self._later(back, self._hear, call, answer, reply)

    def _hear(self, call: Call, answer: asyncio.Future[Reply | None], reply: Reply | None) -> None:
        call.reply = reply
        if not answer.done():
            self.on_heard(call)
            answer.set_result(reply)

    # --- the private stream ---

    def dial(self, url: str, max_frame: int) -> AbstractAsyncContextManager[Socket]:
        """See ``venues.link.Dial``. Raises ``OSError`` when there is no venue, or no such stream."""
        return self._dial(url)

    @asynccontextmanager
    async def _dial(self, url: str) -> AsyncIterator[Socket]:
        await asyncio.sleep(2 * self.delay_s())
        if self.faults.is_out(self.now_ms):
            raise ConnectionRefusedError("connection refused")
        self._sockets += 1
        socket = MemorySocket(self, self._sockets)
        parts = urlsplit(url)
        connection = self.hub.open(parts.path, parts.query, socket.deliver)
        if connection is None:
            raise ConnectionResetError("no such stream")
        number = self._sockets
        self.faults.opened("private", number)

        def closed() -> None:
            self._open.pop(number, None)
            self.hub.close(connection)

        socket.on_cut = closed
        self._open[number] = socket
        try:
            yield socket
        finally:
            socket.cut("closed")

    def cut_all(self, reason: str) -> None:
        """The venue restarts: every connection breaks."""
        for socket in list(self._open.values()):
            socket.cut(reason)


class MemorySocket:
    """A websocket without a network: frames in order, pings answered, cut or deaf when a fault says so."""

    def __init__(self, network: Network, number: int) -> None:
        self._network = network
        self._number = number
        self._frames: deque[bytes] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._last = 0.0
        self._deaf = False
        self._closed = ""
        self.on_cut: Callable[[], None] = lambda: None

    def deliver(self, frame: str) -> None:
        """The venue sends a frame."""
        network = self._network
        if self._deaf or self._closed:
            return
        verdict = network.faults.frame("private", "private", frame, network.now_ms, self._number)
        loop = network.loop
        arrival = max(self._last, loop.monotonic() + network.delay_s())
        if FaultKind.huge_frame in verdict.kinds:
            loop.call_at(arrival, self.cut, "a frame is larger than allowed")
            return
        for delay_ms, payload in verdict.frames:
            raw = payload if isinstance(payload, bytes) else payload.encode()
            if not delay_ms:
                self._last = arrival
            loop.call_at(arrival + delay_ms / 1000, self._take, raw)
        if verdict.deaf:
            self._go_deaf()
        if verdict.disconnect:
            loop.call_at(arrival, self.cut, "connection reset")

    def _go_deaf(self) -> None:
        """Only an unanswered ping of the library tells: between one and two of its periods later."""
        self._deaf = True
        self._network.loop.call_later(PING_S * 1.5, self.cut, "keepalive ping timeout")

    def _take(self, raw: bytes) -> None:
        if not self._closed:
            self._frames.append(raw)
            self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def cut(self, reason: str) -> None:
        """The connection ends."""
        if not self._closed:
            self._closed = reason
            self.on_cut()
            self._wake()

    async def recv(self, *, decode: bool) -> bytes:
        """See ``Socket.recv``."""
        while not self._frames:
            if self._closed:
                raise ConnectionClosedError(None, None) from ConnectionResetError(self._closed)
            self._reader = self._network.loop.create_future()
            await self._reader
        return self._frames.popleft()

    async def ping(self) -> Awaitable[float]:
        """See ``Socket.ping``."""
        answer: asyncio.Future[float] = self._network.loop.create_future()
        trip = 2 * self._network.delay_s()

        def pong() -> None:
            if not (answer.done() or self._deaf or self._closed):
                answer.set_result(trip)

        self._network.loop.call_later(trip, pong)
        return answer

    async def send(self, text: str) -> None:
        """See ``Socket.send``: nothing is subscribed on the private stream."""

    async def close(self, code: int = 1000) -> None:
        """See ``Socket.close``."""
        self.cut("closed here")


class MemoryTransport:
    """One process's way to REST: signs as ccxt does, and means by an answer what the guarded exchange means."""

    def __init__(self, network: Network, key: str, secret: str, recv_window_ms: int) -> None:
        self._network = network
        self._key = key
        self._secret = secret.encode()
        self._window = recv_window_ms
        self.clock: VenueClock
        self.budget: Budget
        self.alive = True

    async def request(self, path: str, api: list[str], method: str, params: dict[str, object]) -> Any:
        """See ``Transport``. In a process that was killed it never returns and sends nothing."""
        if not self.alive:
            await asyncio.Event().wait()
        call, request = self._made(path, api[0], method, params)
        reply = await self._network.send(call, request)
        if reply is None:
            raise OutcomeUnknown(f"no usable answer to {path}; the request may have had its effect: query.")
        return self._meaning(reply)

    def _made(self, path: str, api: str, method: str, params: dict[str, object]) -> tuple[Call, Request]:
        private = api != "fapiPublic"
        signed = private and path not in _KEY_ONLY
        fields = {"timestamp": self.clock.now_ms(), "recvWindow": self._window, **params} if signed else params
        query = urlencode(fields)
        if signed:
            query += "&signature=" + hmac.new(self._secret, query.encode(), hashlib.sha256).hexdigest()
        headers = {"x-mbx-apikey": self._key} if private else {}
        call = Call(method, f"{_API[api]}{path}", params, self._network.loop.monotonic(), signed)
        return call, Request(method, call.path, query=query, headers=headers)

    def _meaning(self, reply: Reply) -> object:
        self.budget.heard(reply.headers)
        error: VenueError | None = failure(reply.status, reply.body, reply.headers)
        if error is not None:
            raise error
        try:
            answer: object = msgspec.json.decode(reply.body)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return reply.body
        return answer

    async def close(self) -> None:
        """See ``Transport``."""
