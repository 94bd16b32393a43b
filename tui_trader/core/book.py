"""The local order book of one symbol, kept by the exchange's own algorithm.

Each side is a dict (price → quantity) that takes a whole diff in one ``dict.update``, and a sorted list of its prices
with the best one last. Only prices that are new to the dict are looked at one by one: they stand at its end. A removed
level stays as a zero until it surfaces at the top or the side is tidied. Measured on recorded diffs, decode included:
11 µs a frame; a heap with a loop over the levels took 16.

The book keeps a fixed price window around the mid of its snapshot. What lies outside never counts, so a level cannot
come back as a hole; ``reach`` says how far from mid the book is complete on each side.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Sequence
from itertools import islice
from math import inf, isfinite

import msgspec

from tui_trader.core.depth import BandTotal

Level = tuple[float, float]
"""(price, quantity)."""

WINDOW = 0.015
"""Half width of the kept price window, as a fraction of the snapshot's mid: three times the band of ``core.depth``."""

BUFFER_LIMIT = 4_000
"""Diffs kept while waiting for a snapshot (more than a minute of the quickest stream); the oldest go first."""

MOST_OLDER = 30
"""Updates in a row that are older than the book, after which its own id is doubted: three seconds of the stream."""

_SLACK = 512


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


class _Side:
    """One side's levels. ``keys`` are price·sign of the levels within the window (``key ≥ limit``), the best last."""

    __slots__ = ("band", "keys", "levels", "limit", "sign", "tidy_at")

    def __init__(self, sign: int, limit: float = -inf) -> None:
        self.sign = sign
        self.limit = limit
        self.levels: dict[float, float] = {}
        self.keys: list[float] = []
        self.band = BandTotal(self.levels, self.keys, sign, limit)
        self.tidy_at = _SLACK

    def __len__(self) -> int:
        return sum(1 for key in self.keys if self.levels[key * self.sign])

    def admit(self, count: int) -> bool:
        """Sort in the ``count`` newest prices of the dict; False when one of them is impossible."""
        levels, keys, sign, limit = self.levels, self.keys, self.sign, self.limit
        for price in list(islice(reversed(levels), count)):
            if not 0 < price < inf:
                return False
            key = price * sign
            if key < limit:
                continue
            if levels[price]:
                insort(keys, key)
            else:
                del levels[price]
        if len(levels) > self.tidy_at:
            self._tidy()
        return True

    def _tidy(self) -> None:
        levels, sign = self.levels, self.sign
        self.keys[:] = [key for key in self.keys if levels[key * sign]]
        kept = {key * sign: levels[key * sign] for key in self.keys}
        levels.clear()
        levels.update(kept)
        self.tidy_at = 2 * len(kept) + _SLACK

    def best(self, count: int) -> tuple[Level, ...]:
        """The best ``count`` levels, best first."""
        levels, sign = self.levels, self.sign
        found = ((key * sign, levels[key * sign]) for key in reversed(self.keys))
        return tuple(islice((level for level in found if level[1]), count))


class LocalBook:
    """Snapshot plus diffs; ``synced`` is True only while the book is known to equal the venue's.

    ``bid``, ``bid_qty``, ``ask``, ``ask_qty`` are the best levels while synced. ``reason`` says why it is not synced;
    ``resyncs`` counts how often it lost its footing.
    """

    __slots__ = (
        "_asks",
        "_bids",
        "_buffer",
        "_fresh",
        "_known_high",
        "_known_low",
        "_older",
        "_older_at",
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
        self._bids = _Side(1)
        self._asks = _Side(-1)
        self._known_low = 0.0
        self._known_high = inf
        self._fresh = False
        self._older = self._older_at = 0

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
        floor, ceiling = mid * (1 - self.window), mid * (1 + self.window)
        self._bids, self._asks = _Side(1, floor), _Side(-1, -ceiling)
        whole_bids, whole_asks = len(bids) < limit, len(asks) < limit
        self._known_low = floor if whole_bids else max(floor, min(price for price, _ in bids))
        self._known_high = ceiling if whole_asks else min(ceiling, max(price for price, _ in asks))
        self.last_id = last_id
        self.synced = True
        self._fresh = True
        self._buffer.clear()
        if self._merge(bids, asks):
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
                return self._is_older(Diff(first_id, last_id, prev_id, bids, asks))
            # Ids are shared by all symbols: nothing of this book happened between the previous diff and the first id,
            # so the snapshot fits anywhere from the previous diff's last id on (U ≤ id ≤ u is the narrower wording).
            if not (self._fresh and prev_id <= self.last_id):
                return self._broken(
                    f"gap: the update follows {prev_id}, the book stands at {self.last_id}",
                    Diff(first_id, last_id, prev_id, bids, asks),
                )
            self._fresh = False
        self.last_id = last_id
        return self._merge(bids, asks)

    def _is_older(self, diff: Diff) -> bool:
        """An update from before the book's state changes nothing; many of them with nothing newer in between say that
        the book's own id was damaged, and that it would stand still for ever."""
        self._older = self._older + 1 if self._older_at == self.last_id else 1
        self._older_at = self.last_id
        if self._older < MOST_OLDER:
            return True
        return self._broken(f"only older updates come: the book stands at {self.last_id}", diff)

    def _merge(self, new_bids: Sequence[Level], new_asks: Sequence[Level]) -> bool:
        side = self._bids
        bids, bid_keys, known = side.levels, side.keys, len(side.levels)
        bids.update(new_bids)
        if len(bids) != known and not side.admit(len(bids) - known):
            return self._broken("an update has an impossible level", None)
        side.band.note(new_bids)
        side = self._asks
        asks, ask_keys, known = side.levels, side.keys, len(side.levels)
        asks.update(new_asks)
        if len(asks) != known and not side.admit(len(asks) - known):
            return self._broken("an update has an impossible level", None)
        side.band.note(new_asks)
        try:
            while not (bid_qty := bids[bid_keys[-1]]):
                del bids[bid_keys.pop()]
            while not (ask_qty := asks[-ask_keys[-1]]):
                del asks[-ask_keys.pop()]
        except IndexError:
            return self._broken("a side of the book is empty", None)
        bid, ask = bid_keys[-1], -ask_keys[-1]
        if not (self._known_low <= bid < ask <= self._known_high and 0 < bid_qty < inf and 0 < ask_qty < inf):
            return self._broken(self._doubt(bid, ask), None)
        self.bid, self.bid_qty, self.ask, self.ask_qty = bid, bid_qty, ask, ask_qty
        return True

    def _doubt(self, bid: float, ask: float) -> str:
        if bid >= ask:
            return f"crossed: bid {bid} is not under ask {ask}"
        if bid < self._known_low or ask > self._known_high:
            return "the market left the range that the snapshot covered"
        return "an update has an impossible level"

    def _broken(self, reason: str, keep: Diff | None) -> bool:
        self.lose(reason)
        if keep is not None:
            self._buffer.append(keep)
        return False

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
        return self._bids.band.notional(mid), self._asks.band.notional(mid)

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
            bids=self._bids.best(levels),
            asks=self._asks.best(levels),
            bid_notional=bid_notional,
            ask_notional=ask_notional,
            bid_reach=bid_reach,
            ask_reach=ask_reach,
        )
