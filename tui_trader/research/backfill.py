"""Backfill: candles and funding rates of one contract into the store, in pages, resumable, with its gaps named.

What the store has is not asked for again. A gap is asked for once more; what is missing then is the exchange's own gap
and is recorded as such. Every page is committed when it came, so an interruption loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec
import numpy as np

from tui_trader.core.candles import TIMEFRAMES, sane
from tui_trader.core.events import Candle
from tui_trader.core.types import HOUR_MS, MINUTE_MS
from tui_trader.research.history import LONGEST_FUNDING_MS
from tui_trader.store.candles import CandleStore

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FUNDING_STEP_MS = 30 * 24 * HOUR_MS
Span = tuple[int, int]
"""From (first open or time), before (exclusive), ms."""
Progress = Callable[[int, int], object]
"""Told how many candles of how many are settled: there, or known not to exist."""


class Source(Protocol):
    """Where history comes from. All methods raise ``VenueError``."""

    page: int
    """Most candles of one answer."""
    has_funding: bool

    async def candles(self, since_ms: int, end_ms: int) -> Sequence[Candle]:
        """Candles that opened from ``since_ms`` on, at most ``page``, oldest first."""
        ...

    async def funding(self, since_ms: int, end_ms: int) -> Sequence[tuple[int, float]]:
        """Funding times (ms) with their rates from ``since_ms`` on, one page, oldest first."""
        ...


class Outcome(msgspec.Struct):
    """What a backfill has done so far; it is kept up to date while it runs."""

    wanted: int = 0
    there_before: int = 0
    added: int = 0
    impossible: int = 0
    funding_added: int = 0
    gaps: tuple[Span, ...] = ()
    complete: bool = False


class Backfill:
    """One contract's candles of one timeframe from ``start_ms`` on and before ``end_ms`` (ms, whole bars)."""

    def __init__(self, source: Source, store: CandleStore, timeframe: str, start_ms: int, end_ms: int) -> None:
        self._source = source
        self._store = store
        self._length = TIMEFRAMES[timeframe]
        self._start = -(-start_ms // self._length) * self._length
        self._end = end_ms // self._length * self._length
        self.outcome = Outcome(wanted=max(0, self._end - self._start) // self._length)

    @property
    def span(self) -> Span:
        """What is fetched, in whole bars."""
        return self._start, self._end

    async def run(self, progress: Progress = lambda done, total: None) -> Outcome:
        """Fetch what is missing. Raises ``VenueError``, ``StoreError``; ``outcome`` and the store keep what came."""
        outcome = self.outcome
        missing = self._missing()
        outcome.there_before = outcome.wanted - sum(self._count(span) for span in missing)
        await self._fetch(missing, progress)
        again = self._missing()
        await self._fetch(again, progress)
        # What is missing at the very end may only not be published yet.
        self._store.add_gaps(span for span in self._missing() if span[1] < self._end)
        outcome.gaps = self._gaps()
        await self._fetch_funding()
        outcome.complete = True
        progress(outcome.wanted, outcome.wanted)
        return outcome

    def _count(self, span: Span) -> int:
        return (span[1] - span[0]) // self._length

    def _missing(self) -> list[Span]:
        """Spans of which nothing is there and which are not known to be the exchange's own gaps."""
        settled = np.zeros(self.outcome.wanted, dtype=np.bool_)
        settled[(self._store.known(self._start, self._end) - self._start) // self._length] = True
        for start, end in self._store.venue_gaps():
            first, last = (start - self._start) // self._length, (end - self._start) // self._length
            settled[max(0, first) : max(0, last)] = True
        return self._spans(~settled)

    def _gaps(self) -> tuple[Span, ...]:
        there = np.zeros(self.outcome.wanted, dtype=np.bool_)
        there[(self._store.known(self._start, self._end) - self._start) // self._length] = True
        return tuple(self._spans(~there))

    def _spans(self, flags: NDArray[np.bool_]) -> list[Span]:
        edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
        times = (self._start + edges * self._length).tolist()
        return list(zip(times[::2], times[1::2], strict=True))

    async def _fetch(self, spans: Iterable[Span], progress: Progress) -> None:
        for start, end in spans:
            since = start
            while since < end:
                until = min(end, since + self._source.page * self._length)
                page = self._usable(await self._source.candles(since, until), since, end)
                self._store.add(page)
                self.outcome.added += len(page)
                # An answer cut short goes on behind its last candle; an empty one means that the window has none.
                since = page[-1].open_ms + self._length if page else until
                progress(min(self.outcome.there_before + self.outcome.added, self.outcome.wanted), self.outcome.wanted)

    def _usable(self, page: Sequence[Candle], since: int, end: int) -> list[Candle]:
        """The candles of the time asked for, in order, each once; what cannot be true counts as missing."""
        inside = {row.open_ms: row for row in page if since <= row.open_ms < end and row.open_ms % self._length == 0}
        good = [inside[key] for key in sorted(inside) if sane(inside[key])]
        self.outcome.impossible += len(inside) - len(good)
        return good

    async def _fetch_funding(self) -> None:
        if not self._source.has_funding or self._funding_whole():
            return
        since = self._start
        while since <= self._end:
            until = min(self._end, since + _FUNDING_STEP_MS)
            page = [row for row in await self._source.funding(since, until) if since <= row[0] <= self._end]
            known = set(self._store.funding_known(self._start, self._end).tolist())
            rounded = [(round(ms / MINUTE_MS) * MINUTE_MS, rate) for ms, rate in page if abs(rate) < 1.0]
            self._store.add_funding(rounded)
            self.outcome.funding_added += len({ms for ms, _ in rounded} - known)
            since = max(page[-1][0], since) + 1 if page else until + 1

    def _funding_whole(self) -> bool:
        """Whether no funding can be missing: the stored stamps leave no more than an interval open anywhere."""
        times = self._store.funding_known(self._start - LONGEST_FUNDING_MS, self._end)
        if not len(times):
            return False
        steps = np.diff(np.concatenate((times, [self._end])))
        begun = int(times[0]) <= self._start + MINUTE_MS or int(times[0]) - self._start < LONGEST_FUNDING_MS
        return bool(begun and (steps <= LONGEST_FUNDING_MS + MINUTE_MS).all())
