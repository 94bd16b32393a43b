"""The inbox: where every event waits for the engine, market data coalesced, all else kept whole and in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection

from tui_trader import clock
from tui_trader.core.events import (
    BookDepth,
    BookTop,
    Event,
    InstrumentsLoaded,
    KlineUpdate,
    MarketEvent,
    MarkPrice,
    OpenInterest,
    Ticker24h,
    TradePrint,
)
from tui_trader.core.protection import percentile

_NEWEST_COUNTS = (BookTop, BookDepth, TradePrint, MarkPrice, Ticker24h, OpenInterest)
_AGES_KEPT = 1024


def percentile_ms(seconds: Collection[float], share: float) -> float:
    """A percentile of some durations, in ms; 0 when there are none."""
    return percentile(seconds, share) * 1000.0


class _Slot:
    """One waiting market event; a newer one of the same kind and symbol takes its place."""

    __slots__ = ("event", "heard")

    def __init__(self, event: MarketEvent, heard: float) -> None:
        self.event = event
        self.heard = heard


class Inbox:
    """Holds events of one loop until ``drain`` takes them. Not for use from other threads.

    Account, system and user events are never dropped, never reordered, and leave before the market events of their
    batch. Of quotes, books, prints, marks, tickers and running candles only the newest per symbol waits. Facts about a
    symbol's data (closed candles, history, instruments, stale, live) are never dropped, and what was said before one
    of them is not overwritten by what was said after it.
    """

    def __init__(self, *, batch: int = 64) -> None:
        self._batch = batch
        self._first: deque[Event] = deque()
        self._market: deque[_Slot] = deque()
        self._slots: dict[tuple[type[MarketEvent], str], _Slot] = {}
        self._ready = asyncio.Event()
        self._ages: deque[float] = deque(maxlen=_AGES_KEPT)
        self.received = 0
        self.coalesced = 0

    def put(self, event: Event) -> None:
        """Take ``event``; never blocks, never raises."""
        self.received += 1
        if isinstance(event, MarketEvent):
            self._put_market(event)
        else:
            self._first.append(event)
        self._ready.set()

    async def drain(self) -> list[Event]:
        """The next batch, as soon as there is one: urgent events first, at most ``batch`` plus a quarter.

        A quarter of each batch is open to market data even while account events flood in, so that stops are never
        decided on old prices.
        """
        await self._ready.wait()
        events: list[Event] = []
        while self._first and len(events) < self._batch:
            events.append(self._first.popleft())
        room = max(self._batch - len(events), self._batch // 4)
        now = clock.monotonic()
        events.extend([self._take(now) for _ in range(min(room, len(self._market)))])
        if not self._first and not self._market:
            self._ready.clear()
        return events

    @property
    def depth(self) -> int:
        """How many events wait."""
        return len(self._first) + len(self._market)

    @property
    def urgent(self) -> bool:
        """True while an account, system or user event waits."""
        return bool(self._first)

    def age_p99_ms(self) -> float:
        """99th percentile, in ms, of how old the newest market messages were when they were taken."""
        return percentile_ms(self._ages, 0.99)

    def age_p50_ms(self) -> float:
        """Median, in ms, of how old the newest market messages were when they were taken."""
        return percentile_ms(self._ages, 0.5)

    def _put_market(self, event: MarketEvent) -> None:
        heard = clock.monotonic()
        if isinstance(event, _NEWEST_COUNTS) or (isinstance(event, KlineUpdate) and not event.closed):
            key = (type(event), event.symbol)
            slot = self._slots.get(key)
            if slot is not None:
                slot.event, slot.heard = event, heard
                self.coalesced += 1
                return
            slot = self._slots[key] = _Slot(event, heard)
            self._market.append(slot)
            return
        self._market.append(_Slot(event, heard))
        self._seal(event)

    def _seal(self, fact: MarketEvent) -> None:
        """Keep what waits before ``fact`` from being overwritten by what comes after it."""
        if isinstance(fact, InstrumentsLoaded):
            self._slots.clear()
            return
        for kind in (*_NEWEST_COUNTS, KlineUpdate):
            self._slots.pop((kind, fact.symbol), None)

    def _take(self, now: float) -> MarketEvent:
        slot = self._market.popleft()
        event = slot.event
        if not isinstance(event, InstrumentsLoaded):
            key = (type(event), event.symbol)
            if self._slots.get(key) is slot:
                del self._slots[key]
        self._ages.append(now - slot.heard)
        return event
