"""Events: everything that can happen to the engine. Facts, frozen, serialisable, in the venue's time.

The union ``Event`` is what ``Engine.process`` accepts, what a recording stores and what a replay feeds.
``ts`` is the venue time in ms at which the fact became known to this process.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

import msgspec

from tui_trader.core.instruments import Instrument
from tui_trader.core.types import (
    Channel,
    Leg,
    OrderSide,
    OrderStatus,
    OrderType,
    Severity,
    Side,
    Transfer,
    VenueBook,
)


class Fact(msgspec.Struct, frozen=True, tag=True, tag_field="event", kw_only=True):
    """Base of all events."""

    ts: int


# --- market ---


class InstrumentsLoaded(Fact, frozen=True, tag=True, kw_only=True):
    """The venue's filters; replaces what was known of these symbols."""

    instruments: tuple[Instrument, ...]


class BookTop(Fact, frozen=True, tag=True, kw_only=True):
    """Best bid and ask of one symbol."""

    symbol: str
    bid: float
    bid_qty: float
    ask: float
    ask_qty: float


class BookDepth(Fact, frozen=True, tag=True, kw_only=True):
    """A summary of the local book: top levels and the notional resting within ±0.5 % of mid.

    ``bids`` and ``asks`` are (price, quantity), best first. ``bid_reach`` and ``ask_reach`` say how far from mid the
    book goes, as a fraction (0.0025 = 0.25 %); where it is below 0.005 the depth is a lower bound.
    ``synced`` is False between a gap and the next snapshot.
    """

    symbol: str
    bids: tuple[tuple[float, float], ...]
    asks: tuple[tuple[float, float], ...]
    bid_depth: float
    ask_depth: float
    bid_reach: float
    ask_reach: float
    synced: bool = True


class TradePrint(Fact, frozen=True, tag=True, kw_only=True):
    """The newest public trade of one symbol (earlier ones of the same batch are coalesced away)."""

    symbol: str
    price: float
    qty: float
    buyer_is_maker: bool


class MarkPrice(Fact, frozen=True, tag=True, kw_only=True):
    """Mark and index price, predicted funding rate and the next funding time."""

    symbol: str
    mark: float
    index: float
    funding_rate: float
    next_funding_ms: int


class Ticker24h(Fact, frozen=True, tag=True, kw_only=True):
    """Rolling 24 h statistics. ``quote_volume`` in USDT, ``change_pct`` in percent."""

    symbol: str
    last: float
    change_pct: float
    quote_volume: float


class OpenInterest(Fact, frozen=True, tag=True, kw_only=True):
    """Open interest in base units."""

    symbol: str
    open_interest: float


class Candle(msgspec.Struct, frozen=True, array_like=True):
    """One candle; ``volume`` in base units."""

    open_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class KlineUpdate(Fact, frozen=True, tag=True, kw_only=True):
    """A running or closed 1 m candle from the stream."""

    symbol: str
    candle: Candle
    closed: bool


class CandleHistory(Fact, frozen=True, tag=True, kw_only=True):
    """Closed candles, oldest first, from a backfill."""

    symbol: str
    candles: tuple[Candle, ...]
    timeframe: str = "1m"


class FeedStale(Fact, frozen=True, tag=True, kw_only=True):
    """A symbol's stream is silent, gapped or resyncing: its data must not be traded on."""

    symbol: str
    reason: str


class FeedLive(Fact, frozen=True, tag=True, kw_only=True):
    """A symbol's book and streams are current again."""

    symbol: str


# --- links, clock, workers ---


class LinkUp(Fact, frozen=True, tag=True, kw_only=True):
    """A channel works."""

    channel: Channel
    latency_ms: float = 0.0


class LinkDown(Fact, frozen=True, tag=True, kw_only=True):
    """A channel does not work; ``until_ms`` is set when the venue told how long (Retry-After, ban)."""

    channel: Channel
    reason: str
    until_ms: int = 0


class ClockSkew(Fact, frozen=True, tag=True, kw_only=True):
    """Measured difference between the estimated and the venue's clock, in ms."""

    skew_ms: float


class WorkerFailed(Fact, frozen=True, tag=True, kw_only=True):
    """A worker died of an unknown failure: entries halt until a person looks."""

    worker: str
    reason: str


class Timer(Fact, frozen=True, tag=True, kw_only=True):
    """Time passes; sent several times a second."""


class Notice(Fact, frozen=True, tag=True, kw_only=True):
    """A line for the log from outside the core."""

    severity: Severity
    text: str


# --- account ---


class AccountDoubt(Fact, frozen=True, tag=True, kw_only=True):
    """A word about the account was heard that cannot be used: only a snapshot can tell what it said."""

    reason: str


class OrderUpdate(Fact, frozen=True, tag=True, kw_only=True):
    """The venue's word on one order, from a stream, an answer or a query.

    ``filled_qty`` is cumulative; ``avg_price`` is 0 when nothing is filled or the source does not say.
    ``actual_id`` names the regular order a triggered conditional order became ("" before the trigger).
    ``from_venue_evidence`` is False for a bare acknowledgement, which proves nothing about a stop.
    """

    symbol: str
    client_id: str
    venue_id: str
    book: VenueBook
    status: OrderStatus
    side: OrderSide
    type: OrderType
    qty: Decimal
    filled_qty: Decimal = Decimal(0)
    avg_price: Decimal = Decimal(0)
    price: Decimal = Decimal(0)
    trigger_price: Decimal = Decimal(0)
    reduce_only: bool = False
    close_position: bool = False
    actual_id: str = ""
    reason: str = ""
    from_venue_evidence: bool = True
    venue_ts: int = 0


class Fill(Fact, frozen=True, tag=True, kw_only=True):
    """One execution on the account. ``fee`` is positive when paid, in ``fee_asset``."""

    symbol: str
    client_id: str
    venue_id: str
    trade_id: str
    side: OrderSide
    qty: Decimal
    price: Decimal
    fee: Decimal
    fee_asset: str
    maker: bool
    realized_pnl: Decimal
    venue_ts: int


class PositionUpdate(Fact, frozen=True, tag=True, kw_only=True):
    """The venue's position: signed quantity in base, entry price in quote."""

    symbol: str
    qty: Decimal
    entry_price: Decimal
    venue_ts: int = 0
    liquidation_price: Decimal = Decimal(0)


class BalanceUpdate(Fact, frozen=True, tag=True, kw_only=True):
    """Wallet balance in USDT (without unrealised P&L); ``change`` is the part that no fill or fee explains."""

    wallet: Decimal
    reason: str = ""
    change: Decimal = Decimal(0)
    venue_ts: int = 0


class FundingPayment(Fact, frozen=True, tag=True, kw_only=True):
    """Funding booked on the account for one symbol, USDT, negative when paid."""

    symbol: str
    amount: Decimal
    venue_ts: int
    tran_id: str


class OpenOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One row of an open-orders snapshot, from either book."""

    symbol: str
    client_id: str
    venue_id: str
    book: VenueBook
    status: OrderStatus
    side: OrderSide
    type: OrderType
    qty: Decimal
    filled_qty: Decimal = Decimal(0)
    price: Decimal = Decimal(0)
    trigger_price: Decimal = Decimal(0)
    reduce_only: bool = False
    close_position: bool = False


class VenuePosition(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a position snapshot."""

    symbol: str
    qty: Decimal
    entry_price: Decimal
    leverage: int = 0
    liquidation_price: Decimal = Decimal(0)
    mark: Decimal = Decimal(0)  # the mark price at which the venue values it, 0 when it does not say


class AccountSnapshot(Fact, frozen=True, tag=True, kw_only=True):
    """The whole account at the venue: positions, both books, wallet; fills, funding and transfers since the cursor.

    ``asked_at`` is the venue time at which the first of its requests was sent: facts that the stream told with a later
    venue time are newer than the snapshot. ``complete`` is False when a part could not be fetched; then nothing may be
    concluded from an absence.
    """

    asked_at: int
    positions: tuple[VenuePosition, ...]
    orders: tuple[OpenOrder, ...]
    wallet: Decimal
    fills: tuple[Fill, ...] = ()
    funding: tuple[FundingPayment, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    complete: bool = True
    hedge_mode: bool = False


class SendAction(StrEnum):
    """What was sent."""

    PLACE = "place"
    CANCEL = "cancel"
    QUERY = "query"
    LEVERAGE = "leverage"
    JOURNAL = "journal"


class SendResult(StrEnum):
    """How a send ended. ``UNKNOWN`` means that the venue may or may not have acted."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    NOT_FOUND = "not_found"
    UNKNOWN = "unknown"


class SendOutcome(Fact, frozen=True, tag=True, kw_only=True):
    """The end of one request that the outbox made for ``client_id``; ``code`` is the venue's error code or 0."""

    action: SendAction
    result: SendResult
    symbol: str
    client_id: str
    venue_id: str = ""
    code: int = 0
    reason: str = ""
    retry_at: int = 0


class TrainedLoaded(Fact, frozen=True, tag=True, kw_only=True):
    """The trained sets as the store has them now: the JSON of a list of ``core.trained.TrainedSet``."""

    sets_json: bytes


# --- the person ---


class OpenPosition(Fact, frozen=True, tag=True, kw_only=True):
    """Enter by hand. At most one of ``qty``, ``notional``, ``risk_fraction`` is set; none: the configured model.

    ``limit_price`` None means a market order. ``override_soft`` confirms soft refusals (liquidity, funding).
    """

    symbol: str
    side: Side
    qty: Decimal | None = None
    notional: Decimal | None = None
    risk_fraction: float | None = None
    limit_price: Decimal | None = None
    override_soft: bool = False


class PositionCommand(Fact, frozen=True, tag=True, kw_only=True):
    """About the position of ``symbol`` that the plan ``plan_id`` owns, never a later one; 0: whichever is there."""

    symbol: str
    plan_id: int = 0


class ClosePosition(PositionCommand, frozen=True, tag=True, kw_only=True):
    """Close a fraction (0 < fraction ≤ 1) of a position at market."""

    fraction: Decimal


class MoveStop(PositionCommand, frozen=True, tag=True, kw_only=True):
    """Move the protective stop to ``price``."""

    price: Decimal


class StopToBreakEven(PositionCommand, frozen=True, tag=True, kw_only=True):
    """Move the protective stop to the break-even price now."""


class SetTarget(PositionCommand, frozen=True, tag=True, kw_only=True):
    """Add a target or move it: ``leg`` TP1..TP3 at ``price`` for ``fraction`` of the initial quantity."""

    leg: Leg
    price: Decimal
    fraction: Decimal


class RemoveTarget(PositionCommand, frozen=True, tag=True, kw_only=True):
    """Remove a target."""

    leg: Leg


class StartTrailing(PositionCommand, frozen=True, tag=True, kw_only=True):
    """Start trailing the stop now."""


class PauseEntries(Fact, frozen=True, tag=True, kw_only=True):
    """Pause or resume entries of one strategy, one symbol, or (both empty) all."""

    paused: bool
    strategy: str = ""
    symbol: str = ""


class CancelEntry(Fact, frozen=True, tag=True, kw_only=True):
    """Cancel the working entry order of a symbol."""

    symbol: str


class FlattenAll(Fact, frozen=True, tag=True, kw_only=True):
    """Close everything, keep running."""

    reason: str = "by hand"


class KillSwitch(Fact, frozen=True, tag=True, kw_only=True):
    """Latch: flatten everything, refuse entries until a person re-arms."""

    reason: str


class Rearm(Fact, frozen=True, tag=True, kw_only=True):
    """A person clears the kill switch."""


class ArmEntries(Fact, frozen=True, tag=True, kw_only=True):
    """A person armed this process for entries on ``venue`` (demo arms itself)."""

    venue: str


class SettingsChanged(Fact, frozen=True, tag=True, kw_only=True):
    """New settings, as the JSON of ``core.settings.Settings``; limits only tighten while positions are open."""

    settings_json: bytes


class ShutdownRequested(Fact, frozen=True, tag=True, kw_only=True):
    """The process is about to leave: no new entries, entries cancelled, protection stays."""

    reason: str


Override = ClosePosition | MoveStop | StopToBreakEven | SetTarget | RemoveTarget | StartTrailing

UserCommand = (
    OpenPosition
    | Override
    | PauseEntries
    | CancelEntry
    | FlattenAll
    | KillSwitch
    | Rearm
    | ArmEntries
    | SettingsChanged
    | ShutdownRequested
)

MarketEvent = (
    InstrumentsLoaded
    | BookTop
    | BookDepth
    | TradePrint
    | MarkPrice
    | Ticker24h
    | OpenInterest
    | KlineUpdate
    | CandleHistory
    | FeedStale
    | FeedLive
)

AccountEvent = (
    AccountDoubt | OrderUpdate | Fill | PositionUpdate | BalanceUpdate | FundingPayment | AccountSnapshot | SendOutcome
)

SystemEvent = LinkUp | LinkDown | ClockSkew | WorkerFailed | Timer | Notice | TrainedLoaded

Event = MarketEvent | AccountEvent | SystemEvent | UserCommand
