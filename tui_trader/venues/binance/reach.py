"""Whether the venue's REST side answers, and what time it is there."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from tui_trader import clock as system_clock
from tui_trader.clock import VenueClock
from tui_trader.core.events import ClockSkew, LinkDown, LinkUp
from tui_trader.core.types import Channel
from tui_trader.errors import OverBudget, RateLimited, VenueError, VenueRefused, VenueUnreachable
from tui_trader.venues.base import Sink
from tui_trader.venues.binance.answers import ServerTime
from tui_trader.venues.binance.rest import Rest, asked_anew
from tui_trader.venues.text import clean

_CLOCK_EVERY_S = 30.0
_OUTSIDE_WINDOW = -1021
_DOUBTED_MS = 1_000.0
"""The clocks part by milliseconds between two questions; by as much only after a step, or in a wrong answer."""
_NOT_SILENCE = (-1015, -1008)
"""Refusals of one kind of request, which say nothing about the others."""


class Reach:
    """Keeps ``clock`` at the venue's time and tells ``LinkUp`` and ``LinkDown`` of the REST channel.

    After a failure the time is asked again within seconds, or when the silence that the venue asked for is over.
    """

    def __init__(self, sink: Sink, clock: VenueClock, rest: Rest, rng: random.Random) -> None:
        self._sink = sink
        self._clock = clock
        self._rest = rest
        self._rng = rng
        self._up = True
        self._lost = asyncio.Event()

    async def sync(self, *, off: bool = False) -> None:
        """Ask the venue's time. Raises ``VenueError``.

        One wrong word would set every age and deadline wrong: a time far from the clock's, which is not known to be
        ``off``, is asked again, and the nearer word counts.
        """
        told = await asked_anew(self._time, once_more=self._up)
        if self._clock.synced and not off and self._apart(told) > _DOUBTED_MS:
            told = min(told, await asked_anew(self._time, once_more=self._up), key=self._apart)
        answer, sent, received = told
        rate = answer.clock_rate if 0 < answer.clock_rate <= 1000 else 1.0
        skew = self._clock.sync(answer.server_time, sent, received, rate)
        ts = self._clock.now_ms()
        self._sink(ClockSkew(ts=ts, skew_ms=skew))
        self._up = True
        self._sink(LinkUp(ts=ts, channel=Channel.REST, latency_ms=(received - sent) * 1000))

    def _apart(self, told: tuple[ServerTime, float, float]) -> float:
        """How far a told time is from the clock's, real ms."""
        answer, sent, received = told
        return abs(self._clock.off_by(answer.server_time, sent, received))

    async def _time(self) -> tuple[ServerTime, float, float]:
        """The venue's time, and when, in s of the monotonic clock, it was asked for and told."""
        sent = system_clock.monotonic()
        answer: ServerTime = await self._rest.read(ServerTime, "time")
        return answer, sent, system_clock.monotonic()

    async def keep(self) -> None:
        """Ask the time every half minute and soon after each failure, until cancelled."""
        pause = _CLOCK_EVERY_S
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._lost.wait(), pause)
                await asyncio.sleep(max(self._again_s(), self._rest.budget.silent_ms / 1000))
            pause = _CLOCK_EVERY_S
            try:
                await self.sync()
            except OverBudget as error:
                pause = min(_CLOCK_EVERY_S, error.retry_after_ms / 1000)
            except VenueError as error:
                self.lost(error)
                pause = min(_CLOCK_EVERY_S, max(self._again_s(), error.retry_after_ms / 1000))
            self._lost.clear()

    def _again_s(self) -> float:
        return 1.0 + self._rng.random()

    def lost(self, error: VenueError) -> None:
        """A request got no answer, or the venue asked for silence: said when it is news."""
        self._lost.set()
        if self._up or isinstance(error, RateLimited):
            self._up = False
            ts = self._clock.now_ms()
            until = ts + int(error.retry_after_ms * self._clock.rate) if error.retry_after_ms else 0
            self._sink(LinkDown(ts=ts, channel=Channel.REST, reason=clean(error, 200), until_ms=until))

    async def asked(self, request: Callable[[], Awaitable[Any]]) -> Any:
        """The answer to ``request``, whose failures become known here.

        A refused timestamp is refused before the venue looks at the request, so that the same request, with the same
        client id, is sent once more by a repaired clock. Raises what ``request`` raises.
        """
        try:
            return await self._once(request)
        except VenueRefused as error:
            if error.code != _OUTSIDE_WINDOW or not await self._repaired():
                raise
        return await self._once(request)

    async def _once(self, request: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await request()
        except (RateLimited, VenueUnreachable) as error:
            if error.code not in _NOT_SILENCE and not isinstance(error, OverBudget):
                self.lost(error)
            raise

    async def _repaired(self) -> bool:
        try:
            await self.sync(off=True)
        except VenueError as error:
            self.lost(error)
            return False
        return True
