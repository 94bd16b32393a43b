"""Which symbols a read of the account must ask about, so that what cannot have changed is not paid for again (I13).

Positions and the wallet are read each time. Both order books are read whole while no private stream stands, after a gap
and every half minute; between, only for symbols with a position, with resting orders or with recent activity. The fills
of a symbol are read until some time after its last sign of change, when no lagging replica can hide one any more, and
once a minute all the same. A sign is anything sent or heard, and any difference between two reads of the account.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from tui_trader.core.events import OpenOrder, VenuePosition

WHOLE_EVERY_S = 30.0
FEW = 12
"""Up to so many symbols their books are asked one by one: a request each, of weight 1 instead of 40."""
_NEAR_S = 120.0
"""For how long after the last sign a symbol's books are asked although nothing is known to rest there."""
_SETTLED_S = 20.0
_FILLS_EVERY_S = 60.0
_FORGOTTEN_S = 900.0

Picture = tuple[VenuePosition | None, frozenset[tuple[object, ...]]]


class Attention:
    """``now`` gives monotonic seconds of real time."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self._sign_at: dict[str, float] = {}
        self._fills_at: dict[str, float] = {}
        self._fills_to: dict[str, int] = {}
        self._pictures: dict[str, Picture] = {}
        self._whole_at: float | None = None
        self.deaf = True
        """No private stream stands: nothing is left out."""

    def sign(self, symbol: str) -> None:
        """Something was sent about ``symbol``, or heard of it."""
        self._sign_at[symbol] = self.now()

    def gap(self) -> None:
        """Events may have been lost: the next read is a whole one, and every known symbol's fills are in doubt."""
        self._whole_at = None
        for symbol in self._known():
            self.sign(symbol)

    def booked(self, symbol: str, at_ms: int) -> None:
        """The venue's ledger shows a booking of ``symbol`` at ``at_ms``, venue time: a sign when it is news."""
        if at_ms >= self._fills_to.get(symbol, 0):
            self.sign(symbol)

    def books(self) -> tuple[str, ...] | None:
        """The symbols whose order books are to be read; None for both books whole."""
        now = self.now()
        if self.deaf or self._whole_at is None or now - self._whole_at >= WHOLE_EVERY_S:
            return None
        near = {symbol for symbol, at in self._sign_at.items() if now - at < _NEAR_S} | self._pictures.keys()
        return tuple(sorted(near)) if len(near) <= FEW else None

    def saw(
        self, asked: Iterable[str] | None, began: float, positions: Sequence[VenuePosition], orders: Sequence[OpenOrder]
    ) -> None:
        """What a read that began at ``began`` found; ``asked`` as ``books`` gave it."""
        if asked is None:
            self._whole_at = began
        held = {row.symbol: row for row in positions}
        resting: dict[str, set[tuple[object, ...]]] = {}
        for row in orders:
            fact = (row.book, row.venue_id, row.status, row.filled_qty, row.qty)
            resting.setdefault(row.symbol, set()).add(fact)
        for symbol in held.keys() | resting.keys() | self._pictures.keys():
            position = held.get(symbol)
            picture = (_still(position), frozenset(resting.get(symbol, ())))
            if picture != self._pictures.get(symbol, (None, frozenset())):
                self.sign(symbol)
            if position is not None or symbol in resting:
                self._pictures[symbol] = picture
            else:
                self._pictures.pop(symbol, None)

    def fills(self) -> list[str]:
        """The symbols whose fills are to be read."""
        now = self.now()
        self._sign_at = {symbol: at for symbol, at in self._sign_at.items() if now - at < _FORGOTTEN_S}
        return sorted(symbol for symbol in self._known() if self._doubtful(symbol, now))

    def filled(self, symbol: str, began: float, until_ms: int) -> None:
        """The fills of ``symbol`` up to ``until_ms``, venue time, are read; the read began at ``began``."""
        self._fills_at[symbol] = began
        self._fills_to[symbol] = until_ms

    def since(self, symbol: str, cursor_ms: int, margin_ms: int) -> int:
        """From when on, venue time, fills of ``symbol`` are read: ``cursor_ms``, or the last time that they were read
        less ``margin_ms`` when that is earlier."""
        return min(cursor_ms, self._fills_to.get(symbol, cursor_ms + margin_ms) - margin_ms)

    def _known(self) -> set[str]:
        return self._sign_at.keys() | self._pictures.keys()

    def _doubtful(self, symbol: str, now: float) -> bool:
        read_at, sign_at = self._fills_at.get(symbol), self._sign_at.get(symbol)
        if self.deaf or read_at is None or now - read_at >= _FILLS_EVERY_S:
            return True
        return sign_at is not None and read_at - sign_at < _SETTLED_S


def _still(position: VenuePosition | None) -> VenuePosition | None:
    """A position without what the market moves."""
    if position is None:
        return None
    return VenuePosition(symbol=position.symbol, qty=position.qty, entry_price=position.entry_price)
