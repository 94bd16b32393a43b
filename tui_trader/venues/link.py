"""One supervised websocket: connects, measures latency, reads, reconnects with jittered backoff, rotates."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from math import inf
from typing import Any, Protocol

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from tui_trader import clock
from tui_trader.errors import RateLimited, VenueError
from tui_trader.secret import everywhere
from tui_trader.venues.hosts import tls_context
from tui_trader.venues.text import clean

FrameHandler = Callable[[bytes], None]

_BACKOFF_FIRST_S = 0.25
_BACKOFF_MAX_S = 20.0
_SEND_GAP_S = 0.12
_YIELD_EVERY = 64
_SETTLED_S = 5.0
_FIRST_PONG_S = 8.0
_HOLD_MAX_S = 600.0


class Socket(Protocol):
    """The part of a websocket that a link uses."""

    async def recv(self, *, decode: bool) -> bytes:
        """The next frame, as bytes; raises ``WebSocketException`` when the connection is closed."""
        ...

    async def ping(self) -> Awaitable[float]:
        """Send a ping; what it returns is done when the answer has come."""
        ...

    async def send(self, text: str) -> None:
        """Send a text frame."""
        ...

    async def close(self, code: int = 1000) -> None:
        """Close the connection; ``recv`` raises from then on."""
        ...


Dial = Callable[[str, int], AbstractAsyncContextManager[Socket]]
"""Opens a connection to a URL with a largest frame in bytes."""


class _Straight(connect):
    """A connection to exactly the address given: a redirect, followed, would carry the listen key elsewhere. Whatever
    interrupts its goodbye, its socket is closed."""

    async def __aexit__(self, *raised: Any) -> None:
        transport = self.connection.transport
        try:
            await super().__aexit__(*raised)
        finally:
            # The library leaves the socket open when the wait for the other side's goodbye is cancelled.
            transport.abort()

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Never a new address."""
        return exc


def dial(url: str, max_frame: int, proxy: str | None = None) -> AbstractAsyncContextManager[Socket]:
    """A websocket over the network, with pings every 20 s; verified TLS, no redirect, and no proxy but ``proxy``."""
    secure = url.startswith("wss://")
    return _Straight(  # type: ignore[return-value]  # the library's ``recv`` is overloaded by ``decode``
        url,
        ssl=tls_context() if secure else None,
        compression=None,
        max_size=max_frame,
        open_timeout=8,
        ping_interval=20,
        ping_timeout=20,
        close_timeout=1,
        proxy=proxy if secure else None,
    )


def broken_by(error: Exception) -> str:
    """Why a connection ended, in words that need no knowledge of the library."""
    if isinstance(error, VenueError):
        return str(error)
    if not isinstance(error, ConnectionClosed):
        return f"no connection ({type(error).__name__}: {error})"
    if error.sent is not None and not error.rcvd_then_sent:
        return f"closed from here ({error.sent})"
    if error.rcvd is not None:
        return f"the venue closed the connection ({error.rcvd})"
    return "the connection broke off"


class Link:
    """Keeps one connection alive. ``url`` is asked anew before each attempt (it may hold a listen key).

    ``on_frame`` gets every frame and must not raise. ``on_up`` runs once the first ping is answered, with the round
    trip in ms, ``on_down`` with the reason. ``silence_s`` closes a connection on which nothing arrives for that long
    (0: never); ``rotate_s`` renews it before the venue's 24 h end. What was received before a renewal is still read.
    """

    def __init__(
        self,
        *,
        url: Callable[[], Awaitable[str]],
        on_frame: FrameHandler,
        on_up: Callable[[float], Awaitable[None]],
        on_down: Callable[[str], None],
        rng: random.Random,
        max_frame: int,
        silence_s: float = 0.0,
        rotate_s: float = 23.5 * 3600,
        dial: Dial = dial,
    ) -> None:
        self._url = url
        self._on_frame = on_frame
        self._on_up = on_up
        self._on_down = on_down
        self._rng = rng
        self._max_frame = max_frame
        self._silence_s = silence_s
        self._rotate_s = rotate_s
        self._dial = dial
        self._socket: Socket | None = None
        self._next_send = 0.0
        self._send_lock = asyncio.Lock()
        self._heard = 0.0
        self._hold_s = 0.0
        self._stood_since = inf
        self._close_reason = ""
        self.reconnects = 0

    @property
    def up(self) -> bool:
        """Whether a connection stands."""
        return self._socket is not None

    async def run(self) -> None:
        """Connect and read until cancelled. Only a connection that stood for a while resets the backoff: a server that
        accepts and drops at once must not be asked faster and faster."""
        attempt = 0
        while True:
            self._stood_since = inf
            reason = await self._connected_once()
            attempt = 0 if clock.monotonic() - self._stood_since > _SETTLED_S else attempt + 1
            self._on_down(reason)
            await asyncio.sleep(max(self._hold_s, self._pause(attempt)))
            self.reconnects += 1

    def _pause(self, attempt: int) -> float:
        ceiling = min(_BACKOFF_MAX_S, _BACKOFF_FIRST_S * 2.0 ** min(attempt, 10))
        return ceiling * (0.5 + self._rng.random() / 2)

    async def _connected_once(self) -> str:
        self._heard = 0.0
        self._close_reason = ""
        self._hold_s = 0.0
        try:
            async with self._dial(await self._url(), self._max_frame) as socket:
                await self._serve(socket)
        except RateLimited as error:
            self._hold_s = min(error.retry_after_ms / 1000, _HOLD_MAX_S)
            return clean(error, 160)
        except (OSError, TimeoutError, WebSocketException, VenueError) as error:
            return self._close_reason or clean(everywhere(broken_by(error)), 160)
        return self._close_reason or "the venue closed the connection"

    async def _serve(self, socket: Socket) -> None:
        """Read at once: the library stops reading while frames wait, so a busy stream would hide the first pong."""
        self._heard = self._stood_since = clock.monotonic()
        self._socket = socket
        tasks = (
            asyncio.create_task(self._read(socket), name="link reader"),
            asyncio.create_task(self._greet(socket), name="link greeter"),
            asyncio.create_task(self._watch(socket), name="link watcher"),
        )
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            self._socket = None
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    async def _greet(self, socket: Socket) -> None:
        sent = clock.monotonic()
        try:
            await asyncio.wait_for(await socket.ping(), _FIRST_PONG_S)
            await self._on_up((clock.monotonic() - sent) * 1000)
        except TimeoutError:
            self._close_reason = f"the first ping was not answered in {_FIRST_PONG_S:.0f} s"
            await socket.close(1000)
        except WebSocketException:
            return

    async def _read(self, socket: Socket) -> None:
        count = 0
        while True:
            frame = await socket.recv(decode=False)
            self._heard = clock.monotonic()
            self._on_frame(frame)
            count += 1
            if count % _YIELD_EVERY == 0:
                await asyncio.sleep(0)

    async def _watch(self, socket: Socket) -> None:
        rotate_at = clock.monotonic() + self._rotate_s * (0.98 + 0.02 * self._rng.random())
        while True:
            silent_at = self._heard + self._silence_s if self._silence_s else inf
            await asyncio.sleep(max(0.25, min(silent_at, rotate_at) - clock.monotonic()))
            now = clock.monotonic()
            if self._silence_s and now - self._heard > self._silence_s:
                self._close_reason = f"nothing arrived for {self._silence_s:.0f} s although the socket is open"
            elif now > rotate_at:
                self._close_reason = "renewed before the venue's 24 h end"
            if self._close_reason:
                await socket.close(1000)
                return

    async def renew(self, reason: str) -> None:
        """Close the connection so that it is made anew."""
        self._close_reason = reason
        if self._socket is not None:
            await self._socket.close(1000)

    async def send(self, text: str) -> bool:
        """Send one control message, at most eight a second (the venue allows ten). False when there is no connection
        (any more): what was to be sent is part of the next connection's start."""
        async with self._send_lock:
            now = clock.monotonic()
            if now < self._next_send:
                await asyncio.sleep(self._next_send - now)
            self._next_send = clock.monotonic() + _SEND_GAP_S
            if self._socket is None:
                return False
            try:
                await self._socket.send(text)
            except WebSocketException:
                return False
            return True
