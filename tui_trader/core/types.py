"""The vocabulary of the core: enumerations, identifiers and small exact-number helpers.

Every time in the core is an ``int`` in milliseconds since the Unix epoch, UTC, by the venue's clock.
Order prices, quantities and money are ``Decimal``; market data and analytics are ``float``.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

import msgspec

ZERO = Decimal(0)
ONE = Decimal(1)

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
LATEST_MS = 4_102_444_800_000
"""1 January 2100: a time beyond it is damage."""


class Side(StrEnum):
    """Direction of a position or a signal."""

    LONG = "long"
    SHORT = "short"

    @property
    def sign(self) -> int:
        """+1 for long, -1 for short."""
        return 1 if self is Side.LONG else -1

    @property
    def entry(self) -> OrderSide:
        """The order side that opens this direction."""
        return OrderSide.BUY if self is Side.LONG else OrderSide.SELL

    @property
    def exit(self) -> OrderSide:
        """The order side that closes this direction."""
        return OrderSide.SELL if self is Side.LONG else OrderSide.BUY

    @property
    def opposite(self) -> Side:
        """The other direction."""
        return Side.SHORT if self is Side.LONG else Side.LONG


class OrderSide(StrEnum):
    """Side of an order at the venue."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 for buy, -1 for sell."""
        return 1 if self is OrderSide.BUY else -1


class OrderType(StrEnum):
    """Order types that the executor uses."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP_MARKET = "STOP_MARKET"
    TAKE_PROFIT_MARKET = "TAKE_PROFIT_MARKET"
    TRAILING_STOP_MARKET = "TRAILING_STOP_MARKET"
    STOP = "STOP"
    TAKE_PROFIT = "TAKE_PROFIT"

    @property
    def conditional(self) -> bool:
        """True when the order rests in the venue's conditional (algo) book until its trigger."""
        return self not in (OrderType.MARKET, OrderType.LIMIT)


class TimeInForce(StrEnum):
    """How long a limit order stays in the book."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTX = "GTX"


class WorkingType(StrEnum):
    """The price that triggers a conditional order."""

    CONTRACT = "CONTRACT_PRICE"
    MARK = "MARK_PRICE"


class VenueBook(StrEnum):
    """The venue keeps regular and conditional orders in two separate books."""

    REGULAR = "regular"
    ALGO = "algo"


class OrderStatus(StrEnum):
    """Life cycle of an order; the legal transitions stand in ``core.orders``.

    An order begins as INTENT in the store, before its request may leave, and as SENT in the engine.
    """

    INTENT = "intent"
    SENT = "sent"
    UNKNOWN = "unknown"
    WORKING = "working"
    PARTIALLY_FILLED = "partially_filled"
    TRIGGERED = "triggered"
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"
    EXPIRED = "expired"

    @property
    def terminal(self) -> bool:
        """True when the venue will not act on the order any more (a late fill may still be booked)."""
        return self in TERMINAL


TERMINAL = frozenset({OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.EXPIRED})
"""States in which the venue acts on an order no more."""


class Leg(StrEnum):
    """What an order is for within its plan; the value stands in the client id."""

    ENTRY = "en"
    STOP = "sl"
    TP1 = "t1"
    TP2 = "t2"
    TP3 = "t3"
    CLOSE = "cl"

    @property
    def target(self) -> bool:
        """True for take-profit legs."""
        return self in (Leg.TP1, Leg.TP2, Leg.TP3)

    @property
    def words(self) -> str:
        """As it stands in a sentence."""
        return {Leg.ENTRY: "the entry", Leg.STOP: "the stop", Leg.CLOSE: "the closing order"}.get(self, self.name)


class Origin(StrEnum):
    """Who caused a plan."""

    STRATEGY = "strategy"
    MANUAL = "manual"
    ADOPTED = "adopted"


class Tier(StrEnum):
    """Classification of a base asset."""

    MAIN = "MAIN"
    L1 = "L1"
    L2 = "L2"
    DEFI = "DEFI"
    INFRASTRUCTURE = "INFRASTRUCTURE"
    MEME = "MEME"
    EXCLUDED = "EXCLUDED"


NOT_CLASSIFIED = "not classified"
"""Why an asset on no tier list is EXCLUDED."""


class Channel(StrEnum):
    """Streams and workers whose health the gate and the header depend on."""

    PUBLIC = "public"
    MARKET = "market"
    PRIVATE = "private"
    REST = "rest"
    STORE = "store"

    @property
    def shown(self) -> str:
        """Its name on the screen and in sentences, by what it carries."""
        return {"public": "feed", "market": "marks", "private": "orders"}.get(self.value, self.value)


class Severity(StrEnum):
    """Weight of a notice on the log."""

    INFO = "info"
    GOOD = "good"
    WARNING = "warning"
    ALARM = "alarm"


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """A deposit, withdrawal or swap of assets in the venue's ledger, USDT, negative when taken out of the account."""

    amount: Decimal
    venue_ts: int
    tran_id: str


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """One reason why a trade is not allowed, with the actual value and the limit in its text.

    ``code`` is stable and countable ("spread", "depth", "tier", "funding_window", …). A person may override a soft
    refusal (``hard`` False: liquidity, funding) by confirming it, never a hard one.
    """

    code: str
    text: str
    hard: bool


def dec(value: float | int | str) -> Decimal:
    """Exact decimal of the shortest text of ``value`` (so that 0.1 becomes Decimal('0.1'))."""
    return Decimal(str(value))
