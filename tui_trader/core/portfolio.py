"""Positions, wallet and costs, counted from fills (I6, I7, I17): each trade id once, exact decimals."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from tui_trader.core.events import Fill, FundingPayment
from tui_trader.core.types import ZERO, Side

MOST_RECENT = 64
"""Fills of a symbol that are remembered to tell an old word on its position from a wrong one."""


class Position(msgspec.Struct, kw_only=True):
    """One symbol's position as counted here, beside the venue's word on it. Times in venue ms, 0 for never."""

    symbol: str
    qty: Decimal = ZERO  # signed, base: by the fills booked, or taken over from the venue
    entry: Decimal = ZERO  # average price of what is open, 0 when flat
    venue_qty: Decimal = ZERO  # signed, base: the venue's newest word, by stream or snapshot
    venue_ts: int = 0  # the date of that word: its event's, or when the snapshot was asked for
    liquidation: Decimal = ZERO  # by the last snapshot; 0 for none
    stop_too_far: bool = False  # its stop lies beyond that price, and that was told
    mark: Decimal = ZERO  # by the last snapshot; 0 for unknown
    mark_ms: int = 0  # when that was asked for
    last_fill_ms: int = 0
    recent: list[tuple[int, Decimal]] = []  # its last fills: time and signed quantity
    mismatches: int = 0  # 1 after one whole snapshot that differed: the next one that does is taken over
    checked: bool = True  # False from a word of the stream until it, or a snapshot, agreed with ``qty``
    taken_ms: int = 0  # the venue's figure was taken over as of then and contains every fill from before

    @property
    def side(self) -> Side | None:
        """Direction, None when flat."""
        if self.qty == 0:
            return None
        return Side.LONG if self.qty > 0 else Side.SHORT

    def held_before(self, since_ms: int) -> list[Decimal]:
        """What was held before the last fill, the last two, … as long as they are not older than ``since_ms``."""
        held, out = self.qty, []
        for _, qty in sorted((fill for fill in self.recent if fill[0] >= since_ms), reverse=True):
            held -= qty
            out.append(held)
        return out

    def unrealized(self, mark: Decimal) -> Decimal:
        """Open P&L in USDT at ``mark``."""
        return (mark - self.entry) * self.qty


class Portfolio:
    """The account as counted from fills, checked against the venue by ``core.reconcile``."""

    def __init__(self, seen: tuple[str, ...] = (), paid: tuple[str, ...] = ()) -> None:
        self.wallet: Decimal | None = None  # USDT; None before the venue has told it
        self.wallet_ms = 0  # when the stream told it last: a snapshot from before does not replace it
        self.wallet_ts = 0  # the venue's time of that word: an older one that comes late does not replace it
        self.positions: dict[str, Position] = {}
        self.fills_cursor_ms = 0  # the newest fill booked, stored ones included
        self.restored_ms = 0  # the newest fill of the store at start
        self._seen: dict[str, None] = dict.fromkeys(seen)
        self._funding: dict[str, None] = dict.fromkeys(paid)

    def position(self, symbol: str) -> Position:
        """The (possibly flat) position of a symbol."""
        found = self.positions.get(symbol)
        if found is None:
            found = self.positions[symbol] = Position(symbol=symbol)
        return found

    def is_new(self, fill: Fill) -> bool:
        """Whether this trade id has not been counted yet."""
        return f"{fill.symbol}:{fill.trade_id}" not in self._seen

    def contained(self, fill: Fill) -> bool:
        """Whether a figure taken over from the venue contains this fill already: counting it again would be wrong."""
        return fill.venue_ts < self.position(fill.symbol).taken_ms

    def mark_seen(self, fill: Fill) -> None:
        """Remember a fill that the position contains already, without counting it."""
        _remember(self._seen, f"{fill.symbol}:{fill.trade_id}")
        self.fills_cursor_ms = max(self.fills_cursor_ms, fill.venue_ts)

    def book_fill(self, fill: Fill) -> Decimal:
        """Count one fill; returns the realised P&L in USDT (before fees) of what it closed.

        The caller has checked ``is_new``. A fill through zero closes the old side and opens the other at its price.
        """
        _remember(self._seen, f"{fill.symbol}:{fill.trade_id}")
        self.fills_cursor_ms = max(self.fills_cursor_ms, fill.venue_ts)
        position = self.position(fill.symbol)
        position.last_fill_ms = max(position.last_fill_ms, fill.venue_ts)
        position.recent = [*position.recent[1 - MOST_RECENT :], (fill.venue_ts, fill.qty * fill.side.sign)]
        return _change(position, fill.qty * fill.side.sign, fill.price)

    def is_new_funding(self, payment: FundingPayment) -> bool:
        """Remember a funding payment; False when it was counted before."""
        if payment.tran_id in self._funding:
            return False
        _remember(self._funding, payment.tran_id)
        return True

    def adopt(self, symbol: str, qty: Decimal, entry: Decimal) -> None:
        """Take over the venue's word about a position (start, or a change that no fill explains)."""
        position = self.position(symbol)
        position.qty, position.entry, position.mismatches, position.recent = qty, entry if qty else ZERO, 0, []

    def open_positions(self) -> list[Position]:
        """Positions that are not flat."""
        return [p for p in self.positions.values() if p.qty != 0]


def _remember(seen: dict[str, None], key: str, most: int = 20_000) -> None:
    seen[key] = None
    if len(seen) > most:
        del seen[next(iter(seen))]


def _change(position: Position, delta: Decimal, price: Decimal) -> Decimal:
    old = position.qty
    new = old + delta
    realized = ZERO
    if old == 0 or (old > 0) == (delta > 0):
        position.entry = (position.entry * abs(old) + price * abs(delta)) / abs(new)
    else:
        closed = min(abs(old), abs(delta))
        realized = (price - position.entry) * closed * (1 if old > 0 else -1)
        if new == 0:
            position.entry = ZERO
        elif (new > 0) != (old > 0):
            position.entry = price
    position.qty = new
    return realized
