"""Commands: everything that the engine can ask the world to do. Verbs, frozen, serialisable."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from tui_trader.core.types import Leg, OrderSide, OrderType, Severity, TimeInForce, VenueBook, WorkingType


class Order(msgspec.Struct, frozen=True, tag=True, tag_field="command", kw_only=True):
    """Base of all commands; ``ts`` is the venue time of the event that caused it."""

    ts: int


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """The gate's word for one order, made in the same call as the order; the outbox refuses orders without it.

    ``sequence`` counts approvals of this process; ``max_qty`` bounds what may be sent under it.
    """

    sequence: int
    max_qty: Decimal
    exit: bool
    overridden: tuple[str, ...] = ()


class PlaceOrder(Order, frozen=True, tag=True, kw_only=True):
    """Send an order. Journalled durably before the first byte leaves; sent once per call with this client id."""

    client_id: str
    plan_id: int
    leg: Leg
    symbol: str
    side: OrderSide
    type: OrderType
    qty: Decimal
    price: Decimal = Decimal(0)
    trigger_price: Decimal = Decimal(0)
    reduce_only: bool
    tif: TimeInForce = TimeInForce.GTC
    working_type: WorkingType = WorkingType.CONTRACT
    approval: Approval
    resend: bool = False

    @property
    def book(self) -> VenueBook:
        """The venue's book in which the order will rest."""
        return VenueBook.ALGO if self.type.conditional else VenueBook.REGULAR


class CancelOrder(Order, frozen=True, tag=True, kw_only=True):
    """Cancel one own order."""

    client_id: str
    symbol: str
    book: VenueBook
    venue_id: str = ""


class QueryOrder(Order, frozen=True, tag=True, kw_only=True):
    """Ask the venue about one own order whose outcome is unknown."""

    client_id: str
    symbol: str
    book: VenueBook
    venue_id: str = ""


class SetLeverage(Order, frozen=True, tag=True, kw_only=True):
    """Set the venue's leverage (and cross margin) of a symbol before its first entry."""

    symbol: str
    leverage: int


class RequestSnapshot(Order, frozen=True, tag=True, kw_only=True):
    """Fetch an ``AccountSnapshot`` now; several requests while one runs are served by one.

    With ``hurry`` it does not wait out the pause after a failure, but any silence that the venue asked for.
    """

    reason: str
    hurry: bool = False


class WatchSymbols(Order, frozen=True, tag=True, kw_only=True):
    """Subscribe the full streams (book, trades, klines) of exactly these symbols."""

    symbols: tuple[str, ...]


class LoadCandles(Order, frozen=True, tag=True, kw_only=True):
    """Backfill ``count`` closed candles of a symbol."""

    symbol: str
    count: int
    timeframe: str = "1m"


class Record(Order, frozen=True, tag=True, kw_only=True):
    """Store one row of ``kind`` (a table). ``data`` holds plain values: str, int, float, bool, None, Decimal
    (stored as text), or JSON-able lists and dicts (stored as JSON text). ``durable`` rows are fsynced first.
    """

    kind: str
    data: dict[str, object]
    durable: bool = False


class Announce(Order, frozen=True, tag=True, kw_only=True):
    """A line for the log and, when an alarm, for the banner."""

    severity: Severity
    text: str
    symbol: str = ""


class SettingsApplied(Order, frozen=True, tag=True, kw_only=True):
    """The settings in force after a reload, as JSON; with what was held back because positions are open."""

    settings_json: bytes
    held_back: tuple[str, ...] = ()


class WriteTrace(Order, frozen=True, tag=True, kw_only=True):
    """Write what happened before an invariant was found broken to a private file; ``lines`` are JSON objects."""

    invariant: str
    symbol: str
    words: str
    lines: tuple[str, ...]


Command = (
    PlaceOrder
    | CancelOrder
    | QueryOrder
    | SetLeverage
    | RequestSnapshot
    | WatchSymbols
    | LoadCandles
    | Record
    | Announce
    | SettingsApplied
    | WriteTrace
)
