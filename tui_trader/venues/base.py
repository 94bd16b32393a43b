"""The one interface through which a session reaches any venue, live or simulated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from tui_trader.clock import VenueClock
from tui_trader.core.commands import CancelOrder, PlaceOrder, QueryOrder
from tui_trader.core.events import AccountSnapshot, Candle, Event, OrderUpdate
from tui_trader.core.instruments import Instrument

Sink = Callable[[Event], None]
"""Receives events in the order in which they became known; never blocks and never raises."""


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue can do by itself; what it cannot, the executor emulates and the console says so."""

    oco: bool


class KeyPermissions(msgspec.Struct, frozen=True, kw_only=True):
    """What the API key may do. None means that the venue would not say. ``can_transfer``: move funds to another account
    of the person or of somebody else. ``ip_restricted``: it works from named addresses only.
    """

    can_trade: bool
    can_withdraw: bool | None
    hedge_mode: bool
    can_transfer: bool | None = None
    ip_restricted: bool | None = None


class Venue(Protocol):
    """A venue. Methods that place or change orders raise ``VenueRefused`` for a definite no, ``RateLimited`` when
    nothing was executed, and ``OutcomeUnknown`` when the venue may have acted; they never retry by themselves,
    except that a request refused for its timestamp is sent once more with the same id when the clock was mended.
    """

    name: str
    capabilities: Capabilities
    clock: VenueClock

    async def open(self, sink: Sink) -> None:
        """Sync the clock, load instruments, start the market-wide feeds and the private stream.

        Events go to ``sink`` from then on (``InstrumentsLoaded`` first). Raises ``VenueUnreachable``.
        """
        ...

    async def renew(self, reason: str) -> None:
        """Ask the time and make every stream anew: what still waits in them is old. Raises no ``VenueError``."""
        ...

    def troubles(self) -> str:
        """Links made anew and what could not be used, counted since the start, in words for the workers' pane."""
        ...

    async def aclose(self) -> None:
        """Close all sockets and tasks; leaves every order at the venue untouched."""
        ...

    async def watch(self, symbols: Sequence[str]) -> None:
        """Stream book, trades and 1 m klines of exactly ``symbols`` (the difference is (un)subscribed)."""
        ...

    async def instruments(self) -> tuple[Instrument, ...]:
        """All contracts with their filters."""
        ...

    async def candles(self, symbol: str, count: int, timeframe: str = "1m") -> tuple[Candle, ...]:
        """The last ``count`` closed candles of a timeframe, oldest first; fewer when the venue has fewer."""
        ...

    async def permissions(self) -> KeyPermissions:
        """What the key may do; asked before live trading is armed."""
        ...

    async def probe(self) -> tuple[str, ...]:
        """Ask, without risk, whether the venue still takes each order type that exits are made of.

        Returns what it does not understand any more, in words. Raises ``VenueError`` when it could not be asked.
        """
        ...

    async def set_leverage(self, symbol: str, leverage: int) -> None:
        """Cross margin and leverage of a symbol."""
        ...

    async def place(self, order: PlaceOrder) -> str:
        """Send one order; returns the venue's id. An acknowledgement proves nothing about a stop."""
        ...

    async def cancel(self, order: CancelOrder) -> None:
        """Cancel one order; raises ``OrderNotFound`` when the venue does not have it any more."""
        ...

    async def query(self, order: QueryOrder) -> OrderUpdate:
        """One order's state; raises ``OrderNotFound`` (which alone proves nothing)."""
        ...

    async def snapshot(self, fills_since_ms: int) -> AccountSnapshot:
        """Positions, both order books, wallet, fills and funding since ``fills_since_ms`` (venue time)."""
        ...
