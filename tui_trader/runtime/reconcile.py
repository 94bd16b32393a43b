"""Reads on the venue that the engine asked for: account snapshots, candle history, subscriptions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from tui_trader import clock
from tui_trader.core.events import CandleHistory, LinkDown, LinkUp, Notice
from tui_trader.core.types import Channel, Severity
from tui_trader.errors import OverBudget, VenueError, VenueRefused
from tui_trader.runtime.supervise import describe
from tui_trader.venues.base import Sink, Venue

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
SNAPSHOT_GAP_S = 0.5
SNAPSHOT_TIMEOUT_S = 15.0
READ_TIMEOUT_S = 30.0
FILLS_MARGIN_S = 60.0
HISTORIES_AT_ONCE = 3


class Backoff:
    """A pause that doubles with each failure up to ``longest`` s, and obeys the venue's own Retry-After."""

    def __init__(self, first: float = FIRST_PAUSE_S, longest: float = LONGEST_PAUSE_S) -> None:
        self._first = first
        self._longest = longest
        self._next = first

    def after(self, error: BaseException) -> float:
        """Seconds to wait after this failure; what the venue asked for is never shortened."""
        pause = self._next
        self._next = min(self._next * 2, self._longest)
        asked = error.retry_after_ms / 1000 if isinstance(error, VenueError) else 0.0
        return max(pause, asked)

    def reset(self) -> None:
        """After a success."""
        self._next = self._first


class Reconciler:
    """Serves the engine's read requests and takes a snapshot of the account at least every ``interval_s()`` s."""

    def __init__(
        self, venue: Venue, sink: Sink, *, fills_cursor: Callable[[], int], interval_s: Callable[[], float]
    ) -> None:
        self._venue = venue
        self._sink = sink
        self._fills_cursor = fills_cursor
        self._interval_s = interval_s
        self._snapshot_wanted = asyncio.Event()
        self._snapshot_wanted.set()
        self._hurry = asyncio.Event()
        self._silent_until = 0.0
        self._snapshot_backoff = Backoff()
        self._rest_up: bool | None = None
        self._since_ms = 0
        self._histories: dict[tuple[str, str], int] = {}
        self._history_wanted = asyncio.Event()
        self._watch: tuple[str, ...] | None = None
        self._watch_wanted = asyncio.Event()
        self.snapshots = 0
        self.complete = asyncio.Event()

    def request_snapshot(self, *, hurry: bool = False) -> None:
        """Ask for a snapshot that begins after now; requests made while one runs are served by one more.

        With ``hurry`` the pause after a failure ends, but not the silence that the venue asked for.
        """
        self._snapshot_wanted.set()
        if hurry:
            self._hurry.set()

    def request_candles(self, symbol: str, count: int, timeframe: str = "1m") -> None:
        """Ask for the last ``count`` closed candles of ``symbol``."""
        key = (symbol, timeframe)
        self._histories[key] = max(count, self._histories.get(key, 0))
        self._history_wanted.set()

    def request_watch(self, symbols: tuple[str, ...]) -> None:
        """Ask for the streams of exactly ``symbols``; only the newest request counts."""
        self._watch = symbols
        self._watch_wanted.set()

    async def run_snapshots(self) -> None:
        """Worker: the first snapshot at once, then on request and by interval, with backoff after failures."""
        while True:
            try:
                async with asyncio.timeout(self._interval_s()):
                    await self._snapshot_wanted.wait()
            except TimeoutError:
                self._snapshot_wanted.set()
            self._snapshot_wanted.clear()
            self._hurry.clear()
            pause = await self._snapshot()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._hurry.wait()
            await asyncio.sleep(max(0.0, self._silent_until - clock.monotonic()))

    async def run_candles(self) -> None:
        """Worker: backfills, a few at a time, minutes before other timeframes; one that failed waits its turn again."""
        backoff = Backoff()
        while True:
            await self._history_wanted.wait()
            keys = sorted(self._histories, key=lambda key: key[1] != "1m")[:HISTORIES_AT_ONCE]
            asked = [(*key, self._histories.pop(key)) for key in keys]
            if not self._histories:
                self._history_wanted.clear()
            results = await asyncio.gather(*(self._history(*one) for one in asked))
            failures = [error for error in results if error is not None]
            if failures:
                await asyncio.sleep(backoff.after(failures[0]))
            else:
                backoff.reset()

    async def run_watch(self) -> None:
        """Worker: keeps the subscriptions at the newest set asked for."""
        backoff = Backoff()
        while True:
            await self._watch_wanted.wait()
            self._watch_wanted.clear()
            symbols = self._watch or ()
            try:
                async with asyncio.timeout(READ_TIMEOUT_S):
                    await self._venue.watch(symbols)
            except (VenueError, TimeoutError) as error:
                self._say(f"cannot subscribe {len(symbols)} symbols: {describe(error)}; trying again")
                self._watch_wanted.set()
                await asyncio.sleep(backoff.after(error))
            else:
                backoff.reset()

    async def _snapshot(self) -> float:
        """Fetch one snapshot; returns how long to wait before the next may begin, in s."""
        began = clock.monotonic()
        try:
            async with asyncio.timeout(SNAPSHOT_TIMEOUT_S):
                snapshot = await self._venue.snapshot(self._fills_since())
        except (VenueError, TimeoutError) as error:
            self._failed(error)
            self._snapshot_wanted.set()
            return self._snapshot_backoff.after(error)
        except Exception as error:
            # Told as a link that is down, then raised: the supervisor reports it, halts entries and starts anew.
            self._failed(error)
            self._snapshot_wanted.set()
            raise
        self._snapshot_backoff.reset()
        if self._rest_up is not True:
            latency_ms = (clock.monotonic() - began) * 1000
            self._sink(LinkUp(ts=self._now(), channel=Channel.REST, latency_ms=latency_ms))
            self._rest_up = True
        self.snapshots += 1
        self._sink(snapshot)
        if snapshot.complete:
            self.complete.set()
        return SNAPSHOT_GAP_S

    def _failed(self, error: BaseException) -> None:
        asked_ms = error.retry_after_ms if isinstance(error, VenueError) else 0
        self._silent_until = clock.monotonic() + asked_ms / 1000
        if self._rest_up is False or isinstance(error, OverBudget):
            return
        self._rest_up = False
        until = self._now() + int(asked_ms * self._venue.clock.rate) if asked_ms else 0
        reason = f"the account cannot be read: {describe(error)}"
        self._sink(LinkDown(ts=self._now(), channel=Channel.REST, reason=reason, until_ms=until))

    def _fills_since(self) -> int:
        """Venue time from which fills are fetched: the newest known one, less a margin for late ones.

        A store without fills begins at its first snapshot: what was traded before it is part of the adopted position.
        """
        margin = int(FILLS_MARGIN_S * 1000 * max(1.0, self._venue.clock.rate))
        if not self._since_ms:
            self._since_ms = self._now()
        return max(0, (self._fills_cursor() or self._since_ms) - margin)

    async def _history(self, symbol: str, timeframe: str, count: int) -> BaseException | None:
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                candles = await self._venue.candles(symbol, count, timeframe)
        except VenueRefused as error:
            self._say(f"{symbol}: the venue gives no {timeframe} candles: {describe(error)}")
            return None
        except (VenueError, TimeoutError) as error:
            self.request_candles(symbol, count, timeframe)
            return error
        self._sink(CandleHistory(ts=self._now(), symbol=symbol, candles=candles, timeframe=timeframe))
        return None

    def _say(self, text: str) -> None:
        self._sink(Notice(ts=self._now(), severity=Severity.WARNING, text=text))

    def _now(self) -> int:
        return self._venue.clock.now_ms()
