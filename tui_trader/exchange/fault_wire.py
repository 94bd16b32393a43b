"""Faults carried out on real sockets: answers that never come, connections that break or fall deaf, frames that are
late, doubled or garbage. Used by the server only when it was given faults."""

import asyncio
import contextlib
import random
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from tui_trader import clock
from tui_trader.exchange.engine import ExchangeEngine
from tui_trader.exchange.fault_acts import heal, perform
from tui_trader.exchange.fault_rules import Act, FaultKind, FrameVerdict, Verdict
from tui_trader.exchange.fault_words import mangled
from tui_trader.exchange.faults import Faults
from tui_trader.exchange.rest import Reply, Request
from tui_trader.exchange.streams import Connection, wrapped

_LINGER_NOT: Final = struct.pack("ii", 1, 0)
_HOUR_MS: Final = 3_600_000
_AFTER_S: Final = 0.02
"""How long an answer has to arrive before its connection is reset after it."""
_LOOK_S: Final = 0.1
_SENTENCES_KEPT: Final = 200


def monotonic_ms() -> int:
    """Real ms of the monotonic clock."""
    return int(clock.monotonic() * 1000)


def reset(transport: asyncio.BaseTransport | None) -> None:
    """Break a connection with a RST, not with a polite end."""
    if transport is None or transport.is_closing():
        return
    raw = transport.get_extra_info("socket")
    if raw is not None:
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    if isinstance(transport, asyncio.Transport):
        transport.abort()
    else:
        transport.close()


class Line:
    """One websocket as faults see it."""

    def __init__(self, request: web.Request, put: Callable[[str | bytes], None], close: Callable[[], None]) -> None:
        self._request = request
        self.put = put
        self.close = close
        """Ends the connection politely once what was put is written."""
        self.deaf = False
        self.open = True
        self._late: deque[tuple[float, str | bytes]] = deque()

    def later(self, delay_s: float, frame: str | bytes) -> None:
        """Write a frame after `delay_s`, whatever was or will be put meanwhile."""
        asyncio.get_running_loop().call_later(delay_s, self._put_late, frame)

    def in_turn(self, delay_s: float, frame: str | bytes) -> None:
        """Write a frame after `delay_s` and after everything that was handed here before."""
        if not (delay_s or self._late):
            self.put(frame)
            return
        self._late.append((clock.monotonic() + delay_s, frame))
        if len(self._late) == 1:
            asyncio.get_running_loop().call_later(delay_s, self._release)

    def _release(self) -> None:
        while self._late and self._late[0][0] <= clock.monotonic():
            self._put_late(self._late.popleft()[1])
        if self._late:
            wait_s = max(self._late[0][0] - clock.monotonic(), 0.001)
            asyncio.get_running_loop().call_later(wait_s, self._release)

    def _put_late(self, frame: str | bytes) -> None:
        if self.open and not self.deaf:
            self.put(frame)

    def cut(self) -> None:
        """Break the connection."""
        reset(self._request.transport)


class FaultWire:
    """Carries out verdicts of `faults` on the sockets of one server, and lets acts happen."""

    def __init__(self, engine: ExchangeEngine, faults: Faults) -> None:
        self.engine = engine
        self.faults = faults
        engine.faults = faults
        self.said: deque[str] = deque(maxlen=_SENTENCES_KEPT)
        """What happened in the world, in sentences."""
        self.closing = asyncio.Event()
        self._rng = random.Random(f"{faults.seed}/acts")
        self._lines: dict[Connection, Line] = {}

    # The world

    def tick(self) -> None:
        """Let happen what is due."""
        now = monotonic_ms()
        for act in self.faults.acts(now, self.engine.now_ms / _HOUR_MS):
            try:
                self.act(act)
            except ValueError as error:
                self.said.append(f"Could not happen: {error}")
        if self._lines and self.faults.is_out(now):
            self.cut_all()

    def act(self, act: Act) -> str:
        """Let something happen now and return its sentence. Raises ValueError as `perform` does."""
        sentence = perform(self.engine, act, self._rng)
        self.faults.is_out(monotonic_ms())
        self.said.append(sentence)
        return sentence

    def heal(self) -> None:
        """End everything: no rules, no outage, and what acts left behind put right."""
        self.faults.clear()
        heal(self.engine)

    def cut_all(self) -> None:
        """Break every websocket."""
        for line in list(self._lines.values()):
            line.cut()

    # Requests

    async def answer(
        self, web_request: web.Request, request: Request, handle: Callable[[Request], Awaitable[Reply]]
    ) -> web.StreamResponse:
        """Answer one REST request as the faults have it."""
        verdict = self.faults.request(request, monotonic_ms())
        if verdict.delay_ms:
            await self._pause(verdict.delay_ms)
        if verdict.lose_request:
            return await self.nothing(web_request)
        reply = await self._reply(verdict, request, handle)
        if verdict.answer_delay_ms:
            await self._pause(verdict.answer_delay_ms)
        if verdict.lose_answer:
            return await self.nothing(web_request)
        if verdict.reset == "before":
            reset(web_request.transport)
            return web.Response()
        body = mangled(reply.body, verdict.mangle) if verdict.mangle else reply.body.encode()
        if verdict.reset:
            return await self._broken_answer(web_request, reply, body, whole=verdict.reset == "after")
        return respond(reply, body)

    async def _reply(self, verdict: Verdict, request: Request, handle: Callable[[Request], Awaitable[Reply]]) -> Reply:
        """Let the venue see the request as often as the verdict says, and return what is to be said."""
        honest: Reply | None = None
        if verdict.handled:
            for _ in range(verdict.copies):
                answer = await handle(request)
                honest = honest or answer
        return verdict.reply or honest or Reply(503, "")

    async def _broken_answer(
        self, web_request: web.Request, reply: Reply, body: bytes, whole: bool
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=reply.status, headers=reply.headers)
        response.content_type = "application/json"
        response.content_length = len(body)
        await response.prepare(web_request)
        await response.write(body if whole else body[: len(body) // 2])
        if whole:
            await response.write_eof()
        transport = web_request.transport
        await self._pause(int(_AFTER_S * 1000))
        reset(transport)
        return response

    async def _pause(self, ms: int) -> None:
        """Wait, but not past the server's end."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.closing.wait(), ms / 1000)

    async def nothing(self, web_request: web.Request) -> web.StreamResponse:
        """Say nothing until the client gives up or the server ends."""
        while (
            not self.closing.is_set() and web_request.transport is not None and not web_request.transport.is_closing()
        ):
            await self._pause(int(_LOOK_S * 1000))
        reset(web_request.transport)
        return web.Response()

    # Streams

    def opened(self, connection: Connection, line: Line) -> None:
        """A websocket was opened."""
        self._lines[connection] = line

    def is_deaf(self, connection: Connection) -> bool:
        """Return whether a connection has fallen deaf."""
        line = self._lines.get(connection)
        return line is not None and line.deaf

    def closed(self, connection: Connection) -> None:
        """A websocket is gone."""
        line = self._lines.pop(connection, None)
        if line is not None:
            line.open = False
        self.faults.opened(*self._place(connection, ""))

    def _place(self, connection: Connection, stream: str) -> tuple[str, int]:
        """Return route and number of a connection; whoever hears account events is private, however it connected."""
        private = bool(stream) and "@" not in stream and not stream.startswith("!")
        return "private" if private else connection.route or "public", connection.number

    def deliver(self, connection: Connection, stream: str, payload: str) -> None:
        """Hand one payload to a connection as the faults have it."""
        line = self._lines.get(connection)
        if line is None or line.deaf:
            return
        if not self.faults.bends_frames:
            line.put(wrapped(connection, stream, payload))
            return
        route, number = self._place(connection, stream)
        verdict = self.faults.frame(route, stream, payload, monotonic_ms(), number)
        self._carry_out(verdict, line, connection, stream)

    def _carry_out(self, verdict: FrameVerdict, line: Line, connection: Connection, stream: str) -> None:
        former: str | bytes = b""
        for delay_ms, payload in verdict.frames:
            frame = wrapped(connection, stream, payload) if isinstance(payload, str) else payload
            is_repeat, former = payload is former, payload
            if delay_ms and (is_repeat or FaultKind.reorder in verdict.kinds):
                line.later(delay_ms / 1000, frame)
            else:
                line.in_turn(delay_ms / 1000, frame)
        if verdict.deaf:
            line.deaf = True
        if verdict.disconnect:
            if verdict.frames:
                line.close()
            else:
                line.cut()


def respond(reply: Reply, body: bytes | None = None) -> web.Response:
    """Return a reply as the server sends it."""
    raw = reply.body.encode() if body is None else body
    return web.Response(status=reply.status, body=raw, headers=reply.headers, content_type="application/json")
