"""The local order book of one symbol, kept by the exchange's own algorithm.

Levels live in a dict a side (price → quantity) with a heap of prices for the best one: an update of a known level is
one dict store, a removal one pop, and stale heap entries are dropped when they surface. Measured on recorded diffs
this beats bisect lists (57 µs a frame); the depth query is ``core.depth``'s work.

The book keeps a fixed price window around the mid of its snapshot. What lies outside is never stored, so a level
cannot come back as a hole; ``reach`` says how far from mid the book is complete on each side.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from heapq import heapify, heappop, heappush, nlargest, nsmallest
from itertools import islice
from math import inf, isfinite

import msgspec

from tui_trader.core.depth import BandTotal

Level = tuple[float, float]
"""(price, quantity)."""

WINDOW = 0.015
"""Half width of the kept price window, as a fraction of the snapshot's mid: three times the depth band of SPEC §1."""

BUFFER_LIMIT = 4_000
"""Diffs kept while waiting for a snapshot (more than a minute of the quickest stream); the oldest go first."""

_HEAP_SLACK = 256


class Diff(msgspec.Struct, frozen=True, gc=False):
    """One depth update: ids of its first and last change, the last id of the diff before it, absolute quantities."""

    first_id: int
    last_id: int
    prev_id: int
    bids: Sequence[Level]
    asks: Sequence[Level]


class Depth(msgspec.Struct, frozen=True, gc=False):
    """Notional resting within a band around mid, the top levels, and how far from mid the book is complete.

    Where a reach (a fraction of mid) is below the band, that side's notional is a lower bound.
    """

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    bid_notional: float
    ask_notional: float
    bid_reach: float
    ask_reach: float


class LocalBook:
    """Snapshot plus diffs; ``synced`` is True only while the book is known to equal the venue's.

    ``bid``, ``bid_qty``, ``ask``, ``ask_qty`` are the best levels while synced. ``reason`` says why it is not synced;
    ``resyncs`` counts how often it lost its footing.
    """

    __slots__ = (
        "_ask_heap",
        "_ask_total",
        "_asks",
        "_bid_heap",
        "_bid_total",
        "_bids",
        "_buffer",
        "_ceiling",
        "_floor",
        "_fresh",
        "_known_high",
        "_known_low",
        "ask",
        "ask_qty",
        "bid",
        "bid_qty",
        "last_id",
        "reason",
        "resyncs",
        "synced",
        "window",
    )

    def __init__(self, window: float = WINDOW) -> None:
        self.window = window
        self.synced = False
        self.reason = "no snapshot yet"
        self.resyncs = 0
        self.last_id = 0
        self._buffer: deque[Diff] = deque(maxlen=BUFFER_LIMIT)
        self._clear()

    def _clear(self) -> None:
        self.bid = self.bid_qty = self.ask = self.ask_qty = 0.0
        self._bids: dict[float, float] = {}
        self._asks: dict[float, float] = {}
        self._bid_heap: list[float] = []
        self._ask_heap: list[float] = []
        self._floor = 0.0
        self._ceiling = inf
        self._known_low = 0.0
        self._known_high = inf
        self._fresh = False
        self._bid_total = BandTotal(self._bids, 1)
        self._ask_total = BandTotal(self._asks, -1)

    def __len__(self) -> int:
        return len(self._bids) + len(self._asks)

    def lose(self, reason: str) -> None:
        """Discard everything and wait for a snapshot; diffs are buffered from here on."""
        if self.synced:
            self.resyncs += 1
        self.synced = False
        self.reason = reason
        self._buffer.clear()
        self._clear()

    def snapshot(self, last_id: int, bids: Sequence[Level], asks: Sequence[Level], limit: int = 1000) -> bool:
        """Start from a snapshot of at most ``limit`` levels a side, then apply what was buffered.

        A side with fewer levels than ``limit`` is complete. Returns whether the book is synced; when it is not, the
        snapshot was older than the buffered diffs or damaged, and a newer one is needed.
        """
        buffered = tuple(self._buffer)
        self._clear()
        if not bids or not asks:
            self.synced = False
            self.reason = "the snapshot has an empty side"
            return False
        mid = (bids[0][0] + asks[0][0]) / 2
        self._floor = mid * (1 - self.window)
        self._ceiling = mid * (1 + self.window)
        whole_bids, whole_asks = len(bids) < limit, len(asks) < limit
        self._known_low = self._floor if whole_bids else max(self._floor, min(price for price, _ in bids))
        self._known_high = self._ceiling if whole_asks else min(self._ceiling, max(price for price, _ in asks))
        self.last_id = last_id
        self.synced = True
        self._fresh = True
        self._buffer.clear()
        if not (self._merge_bids(bids) and self._merge_asks(asks)):
            self._broken("the snapshot has an impossible level", None)
        elif self._refresh_top(None):
            self._replay(buffered, last_id)
        return self.synced

    def _replay(self, buffered: tuple[Diff, ...], last_id: int) -> None:
        for index, diff in enumerate(buffered):
            if diff.last_id < last_id:
                continue
            if not self.apply(diff.first_id, diff.last_id, diff.prev_id, diff.bids, diff.asks):
                self._buffer.extend(islice(buffered, index + 1, None))
                return

    def apply(self, first_id: int, last_id: int, prev_id: int, bids: Sequence[Level], asks: Sequence[Level]) -> bool:
        """Apply one diff; returns whether the book is synced afterwards. Unsynced diffs are buffered."""
        if not self.synced:
            self._buffer.append(Diff(first_id, last_id, prev_id, bids, asks))
            return False
        if prev_id != self.last_id or self._fresh:
            if last_id < self.last_id or (last_id == self.last_id and not self._fresh):
                return True
            # Ids are shared by all symbols: nothing of this book happened between the previous diff and the first id,
            # so the snapshot fits anywhere from the previous diff's last id on (U ≤ id ≤ u is the narrower wording).
            if not (self._fresh and prev_id <= self.last_id):
                self._broken(
                    f"gap: the update follows {prev_id}, the book stands at {self.last_id}",
                    Diff(first_id, last_id, prev_id, bids, asks),
                )
                return False
            self._fresh = False
        self.last_id = last_id
        if self._merge_bids(bids) and self._merge_asks(asks):
            self._bid_total.note(bids)
            self._ask_total.note(asks)
            return self._refresh_top(None)
        self._broken("an update has an impossible level", None)
        return False

    def _broken(self, reason: str, keep: Diff | None) -> None:
        self.lose(reason)
        if keep is not None:
            self._buffer.append(keep)

    def _merge_bids(self, levels: Sequence[Level]) -> bool:
        book, floor = self._bids, self._floor
        for price, qty in levels:
            if price < floor:
                if not (price > 0 and qty >= 0):
                    return False
            elif qty > 0:
                if price not in book:
                    if not 0 < price < inf:
                        return False
                    heappush(self._bid_heap, -price)
                book[price] = qty
            elif qty == 0:
                book.pop(price, None)
            else:
                return False
        return True

    def _merge_asks(self, levels: Sequence[Level]) -> bool:
        book, ceiling = self._asks, self._ceiling
        for price, qty in levels:
            if price > ceiling:
                if not (price < inf and qty >= 0):
                    return False
            elif qty > 0:
                if price not in book:
                    if not 0 < price < inf:
                        return False
                    heappush(self._ask_heap, price)
                book[price] = qty
            elif qty == 0:
                book.pop(price, None)
            else:
                return False
        return True

    def _refresh_top(self, keep: Diff | None) -> bool:
        bids, asks, bid_heap, ask_heap = self._bids, self._asks, self._bid_heap, self._ask_heap
        while bid_heap and -bid_heap[0] not in bids:
            heappop(bid_heap)
        while ask_heap and ask_heap[0] not in asks:
            heappop(ask_heap)
        if not bid_heap or not ask_heap:
            self._broken("a side of the book is empty", keep)
            return False
        bid, ask = -bid_heap[0], ask_heap[0]
        if bid >= ask:
            self._broken(f"crossed: bid {bid} is not under ask {ask}", keep)
            return False
        if bid < self._known_low or ask > self._known_high:
            self._broken("the market left the range that the snapshot covered", keep)
            return False
        bid_qty, ask_qty = bids[bid], asks[ask]
        if bid_qty == inf or ask_qty == inf:
            self._broken("a quantity is infinite", keep)
            return False
        self.bid, self.bid_qty, self.ask, self.ask_qty = bid, bid_qty, ask, ask_qty
        if len(bid_heap) > 2 * len(bids) + _HEAP_SLACK:
            self._bid_heap = [-price for price in bids]
            heapify(self._bid_heap)
        if len(ask_heap) > 2 * len(asks) + _HEAP_SLACK:
            self._ask_heap = list(asks)
            heapify(self._ask_heap)
        return True

    @property
    def mid(self) -> float:
        """Middle of best bid and ask; 0 while not synced."""
        return (self.bid + self.ask) / 2

    @property
    def reach(self) -> tuple[float, float]:
        """How far below and above mid the book is complete, as fractions of mid; (0, 0) while not synced."""
        mid = self.mid
        if not self.synced or mid <= 0:
            return 0.0, 0.0
        return 1 - self._known_low / mid, self._known_high / mid - 1

    def notional(self) -> tuple[float, float]:
        """Notional resting within ±0.5 % of mid, (bids, asks), in quote units; (0, 0) while not synced."""
        if not self.synced:
            return 0.0, 0.0
        mid = self.mid
        return self._bid_total.notional(mid), self._ask_total.notional(mid)

    def depth(self, levels: int = 20) -> Depth | None:
        """Notional within ±0.5 % of mid and the best ``levels`` of each side; None while not synced."""
        if not self.synced:
            return None
        bid_notional, ask_notional = self.notional()
        if not (isfinite(bid_notional) and isfinite(ask_notional)):
            self._broken("the quantities in the book overflow", None)
            return None
        bid_reach, ask_reach = self.reach
        return Depth(
            bids=tuple((price, self._bids[price]) for price in nlargest(levels, self._bids)),
            asks=tuple((price, self._asks[price]) for price in nsmallest(levels, self._asks)),
            bid_notional=bid_notional,
            ask_notional=ask_notional,
            bid_reach=bid_reach,
            ask_reach=ask_reach,
        )
