"""The Binance venue with a tap: every frame, every call of its feeds and every answer is told before it is used.

What is told is all that frames become events by: a ``FrameReader`` that is given it again says the same events.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, Protocol
from urllib.parse import urlsplit

from tui_trader import clock as system_clock
from tui_trader.core.types import Channel
from tui_trader.venues.binance.client import BinanceVenue
from tui_trader.venues.link import Dial, Link, Socket
from tui_trader.venues.link import dial as network

PRIVATE = "private"
CALLS = ("flush", "tick", "know", "watch", "link_down", "book_snapshot", "book_failed")
"""Methods of ``Feeds`` by which it hears anything but frames."""
SILENT_PATHS = frozenset({"listenKey", "depth"})
"""Answers that are not told: a key, and books, which the feeds are told of anyway."""


class Tap(Protocol):
    """Hears what came in. ``mono`` is in seconds of the monotonic clock, ``venue_ms`` the venue's time then; no method
    blocks or raises."""

    def frame(self, route: str, raw: bytes, mono: float, venue_ms: int) -> None:
        """A frame of the public, market or private stream."""
        ...

    def call(self, name: str, arguments: Sequence[object], mono: float, venue_ms: int) -> None:
        """One of ``CALLS``."""
        ...

    def answer(
        self, path: str, method: str, parameters: Mapping[str, object], answer: object, mono: float, venue_ms: int
    ) -> None:
        """The decoded answer of a request that succeeded; the parameters are without signature and key."""
        ...


class _TapedSocket:
    """A socket whose frames are told."""

    def __init__(self, inner: Socket, heard: Callable[[bytes], None]) -> None:
        self._inner = inner
        self._heard = heard

    async def recv(self, *, decode: bool) -> bytes:
        frame = await self._inner.recv(decode=decode)
        self._heard(frame)
        return frame

    async def ping(self) -> Awaitable[float]:
        return await self._inner.ping()

    async def send(self, text: str) -> None:
        await self._inner.send(text)

    async def close(self, code: int = 1000) -> None:
        await self._inner.close(code)


def _at(mono: float, method: Callable[..., Any], *arguments: object) -> Any:
    """Call ``method`` at the very moment that was told: a pause that ends in between would end another time in the
    replay, and show another book."""
    with system_clock.held_at(mono):
        return method(*arguments)


class TapedBinance(BinanceVenue):
    """``BinanceVenue``, told to ``tap``; everything else is the same."""

    def __init__(self, tap: Tap, *, dial: Dial | None = None, **options: Any) -> None:
        proxy = options["settings"].proxy or None
        self._tap = tap
        self._inner_dial = dial or partial(network, proxy=proxy)
        super().__init__(dial=self._taped_dial, **options)
        for name in CALLS:
            setattr(self.feeds, name, self._taped(name, getattr(self.feeds, name)))
        self._rest.on_answer = self._answered

    def _link(
        self,
        channel: Channel,
        path: str,
        on_frame: Callable[[bytes], None],
        on_up: Callable[[float], Coroutine[Any, Any, None]],
    ) -> Link:
        def heard(raw: bytes) -> None:
            mono = system_clock.monotonic()
            self._tap.frame(channel.value, raw, mono, self.clock.now_ms())
            _at(mono, on_frame, raw)

        return super()._link(channel, path, heard, on_up)

    def _taped_dial(self, url: str, max_frame: int) -> AbstractAsyncContextManager[Socket]:
        route = urlsplit(url).path.strip("/").split("/")[-2]
        if route != PRIVATE:
            return self._inner_dial(url, max_frame)

        def heard(frame: bytes) -> None:
            self._tap.frame(route, frame, system_clock.monotonic(), self.clock.now_ms())

        @asynccontextmanager
        async def connection() -> AsyncIterator[Socket]:
            async with self._inner_dial(url, max_frame) as socket:
                yield _TapedSocket(socket, heard)

        return connection()

    def _taped(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: object) -> Any:
            given = [tuple(a) if isinstance(a, Iterator) else a for a in arguments]
            mono = system_clock.monotonic()
            self._tap.call(name, given, mono, self.clock.now_ms())
            return _at(mono, method, *given)

        return call

    def _answered(self, path: str, method: str, parameters: Mapping[str, object], answer: object) -> None:
        if path not in SILENT_PATHS:
            self._tap.answer(path, method, parameters, answer, system_clock.monotonic(), self.clock.now_ms())
