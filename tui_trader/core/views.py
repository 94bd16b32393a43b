"""Frozen views that the console draws. Built by ``core.snapshot``; nothing here can change the engine.

Prices and quantities are ``float`` for drawing unless an exact text matters; then the builder formats it with the
instrument's own decimals. Times are venue ms.
"""

from __future__ import annotations

import msgspec

from tui_trader.core.events import Candle
from tui_trader.core.strategy_rows import RegimeView, SignalRow, StrategyRow
from tui_trader.core.types import Channel, Leg, Refusal, Severity, Side, Tier


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all views."""


class ChannelView(View, frozen=True, kw_only=True):
    """Health of one channel; ``age_ms`` in real ms since it was last heard."""

    channel: Channel
    up: bool
    age_ms: float
    latency_ms: float
    reason: str = ""


class HeaderView(View, frozen=True, kw_only=True):
    """What is at stake. ``equity_spark`` are the last 24 h of equity, oldest first; ratios are fractions of equity.

    Protection is the worst of all open positions, in real seconds: ``protected_age_s`` since a stop was last proven,
    ``naked_s`` how long the barest is without one now, ``longest_naked_s`` how long one has ever been.
    ``halted`` says why entries stopped by themselves until a person resumes them ("" when they did not).
    """

    mode: str
    venue: str
    detail: str
    equity: float
    day_pnl: float
    day_pnl_pct: float
    equity_spark: tuple[float, ...]
    open_risk: float
    margin_used: float
    positions: int
    max_positions: int
    naked: int
    protected_age_s: float
    channels: tuple[ChannelView, ...]
    armed: bool
    entries_paused: bool
    blocks: tuple[str, ...]
    killed: bool
    kill_reason: str
    strategies_running: int
    strategies_total: int
    naked_s: float = 0.0
    longest_naked_s: float = 0.0
    halted: str = ""


class UniverseRow(View, frozen=True, kw_only=True):
    """One symbol of the universe or one refused. ``funding_rate`` a fraction; ``reasons`` empty when tradeable.

    ``regimes`` are those of the enabled strategies' timeframes, shortest first; none for a symbol without candles.
    ``open_interest`` is in the base asset; its age in real seconds, -1 before the venue told it.
    """

    rank: int
    symbol: str
    tier: Tier
    last: float
    change_pct: float
    quote_volume: float
    spread_bps: float
    depth: float
    depth_is_lower_bound: bool
    funding_rate: float
    next_funding_ms: int
    score: float
    price_decimals: int
    open_interest: float = 0.0
    open_interest_age_s: float = -1.0
    regimes: tuple[RegimeView, ...] = ()
    has_position: bool = False
    paused: bool = False
    reasons: tuple[str, ...] = ()


class UniverseView(View, frozen=True, kw_only=True):
    """Members by score, then what was refused and why: the largest by volume of ``refused_total``."""

    members: tuple[UniverseRow, ...]
    refused: tuple[UniverseRow, ...]
    total: int
    next_refresh_ms: int
    mean_spread_bps: float
    mean_volume: float
    rejection_rates: tuple[tuple[str, int], ...] = ()
    refused_total: int = 0


class ChartLine(View, frozen=True, kw_only=True):
    """A horizontal line of the chart. ``kind``: entry, stop, tp, be, trail, order."""

    kind: str
    label: str
    price: float


class ChartView(View, frozen=True, kw_only=True):
    """Candles of the selected symbol (oldest first, the last one running) and its lines."""

    symbol: str
    timeframe: str
    candles: tuple[Candle, ...]
    lines: tuple[ChartLine, ...]
    last: float
    atr: float
    price_decimals: int
    regimes: tuple[RegimeView, ...] = ()
    empty_reason: str = ""


class BookLevel(View, frozen=True, kw_only=True):
    """One price level; ``mine`` names own orders resting there ("TP1"), ``mine_qty`` their quantity."""

    price: float
    qty: float
    mine: str = ""
    mine_qty: float = 0.0


class BookView(View, frozen=True, kw_only=True):
    """The order book of the selected symbol, best level first on each side."""

    symbol: str
    bids: tuple[BookLevel, ...]
    asks: tuple[BookLevel, ...]
    bid_depth: float
    ask_depth: float
    bid_reach: float
    ask_reach: float
    spread_bps: float
    synced: bool
    price_decimals: int
    qty_decimals: int
    empty_reason: str = ""


class PositionRow(View, frozen=True, kw_only=True):
    """One open position. ``r`` is P&L in multiples of the initial risk; ``stage`` of the ladder in plain words.

    ``plan_id`` tells it from an earlier or later position in the same symbol.
    """

    symbol: str
    plan_id: int
    side: Side
    qty: float
    entry: float
    mark: float
    pnl: float
    pnl_pct: float
    r: float
    stop: float
    stop_proven: bool
    proven_age_s: float
    naked_s: float
    longest_naked_s: float
    liquidation: float
    margin: float
    strategy: str
    stage: str
    funding_paid: float
    fees: float
    opened_ms: int
    price_decimals: int
    qty_decimals: int


class LadderRow(View, frozen=True, kw_only=True):
    """One rung. ``state``: planned, sent, resting, proven, filled, moved, trigger. ``progress`` 0–1 from entry."""

    leg: str
    price: float
    fraction: float
    qty: float
    r: float
    distance_pct: float
    progress: float
    state: str
    note: str = ""


class LadderView(View, frozen=True, kw_only=True):
    """The ladder of the selected position, highest price first, with the reasons of its levels."""

    symbol: str
    side: Side | None
    qty: float
    now: float
    now_r: float
    rows: tuple[LadderRow, ...]
    why: tuple[str, ...]
    price_decimals: int
    qty_decimals: int
    trailing: bool
    oco: str
    empty_reason: str = ""


class Meter(View, frozen=True, kw_only=True):
    """A used part of a limit. ``unit``: USDT, %, count, /min. ``level`` is value / limit."""

    name: str
    value: float
    limit: float
    unit: str
    level: float


class RiskView(View, frozen=True, kw_only=True):
    """Meters against every limit, and analytics (a value may be None while there is too little data)."""

    meters: tuple[Meter, ...]
    open_risk_usdt: float
    var95: float | None
    ess: float | None
    systemic: float | None
    correlation: float | None
    heat: float | None
    notes: tuple[str, ...] = ()


class OrderRow(View, frozen=True, kw_only=True):
    """One own order, working or recently ended."""

    ts: int
    symbol: str
    leg: str
    side: str
    type: str
    qty: float
    filled: float
    price: float
    trigger: float
    status: str
    reduce_only: bool
    client_id: str
    proven_age_s: float
    price_decimals: int
    qty_decimals: int
    reason: str = ""


class TradeRow(View, frozen=True, kw_only=True):
    """One closed position. ``tp1``: the first target was filled; ``slippage_pct`` of the entry, positive when worse."""

    closed_ms: int
    opened_ms: int
    symbol: str
    side: Side
    strategy: str
    qty: float
    entry: float
    exit: float
    pnl: float
    r: float
    fees: float
    funding: float
    reason: str
    price_decimals: int
    qty_decimals: int
    tp1: bool = False
    slippage_pct: float = 0.0
    plan_id: int = 0


class LogRow(View, frozen=True, kw_only=True):
    """One sentence of what happened."""

    ts: int
    severity: Severity
    text: str
    symbol: str = ""


class WorkerRow(View, frozen=True, kw_only=True):
    """One worker of the session."""

    name: str
    state: str
    detail: str = ""


class EquityPoint(View, frozen=True, kw_only=True):
    """Equity at a time."""

    ts: int
    equity: float


PROMISE_S = 3.0
"""The promised p99 of the time without a proven stop: up to here it is ordinary, beyond it somebody should look."""


class ProtectionView(View, frozen=True, kw_only=True):
    """Seconds (real) without a proven stop over all positions of this session, from the venue's fill time, and how many
    invariants were found broken. ``count`` stretches ended; ``promise_s`` is the promised p99, ``limit_s`` flattens.
    """

    count: int = 0
    p50_s: float = 0.0
    p99_s: float = 0.0
    max_s: float = 0.0
    promise_s: float = PROMISE_S
    limit_s: float = 10.0
    violations: int = 0


class Snapshot(View, frozen=True, kw_only=True):
    """Everything one frame of the console shows. ``story``: what happened to the selected symbol, oldest first."""

    ts: int
    sequence: int
    header: HeaderView
    universe: UniverseView
    chart: ChartView
    book: BookView
    positions: tuple[PositionRow, ...]
    ladder: LadderView
    risk: RiskView
    orders: tuple[OrderRow, ...]
    trades: tuple[TradeRow, ...]
    signals: tuple[SignalRow, ...]
    strategies: tuple[StrategyRow, ...]
    equity: tuple[EquityPoint, ...]
    log: tuple[LogRow, ...]
    story: tuple[LogRow, ...] = ()
    protection: ProtectionView = ProtectionView()
    workers: tuple[WorkerRow, ...] = ()
    alarm: str = ""


class PreviewLeg(View, frozen=True, kw_only=True):
    """One leg of a previewed ladder, after rounding."""

    leg: Leg
    price: str
    qty: str
    r: float
    pnl: float


class PreviewLimit(View, frozen=True, kw_only=True):
    """A limit as it would stand after the trade."""

    name: str
    before: float
    after: float
    limit: float
    unit: str
    ok: bool


class TicketPreview(View, frozen=True, kw_only=True):
    """The consequences of a manual entry before it is sent. Money in USDT; texts are exact, rounded to the instrument.

    ``hard`` reasons refuse; ``soft`` reasons may be overridden by confirming; ``reasons`` are both with their codes.
    ``error`` is set when nothing could be computed (no price, no ATR, impossible number). ``at_once``: a limit beyond
    the best price of the other side, which fills like a market order; ``entry`` is the worst that it may pay.
    """

    symbol: str
    side: Side
    error: str = ""
    at_once: bool = False
    qty: str = ""
    notional: float = 0.0
    margin: float = 0.0
    leverage: int = 0
    venue_leverage: int = 0
    entry: str = ""
    expected_slippage_pct: float = 0.0
    risk_usdt: float = 0.0
    risk_pct: float = 0.0
    legs: tuple[PreviewLeg, ...] = ()
    break_even: str = ""
    dust: str = ""
    fee_entry: float = 0.0
    fee_exit: float = 0.0
    funding_cost: float = 0.0
    next_funding_ms: int = 0
    liquidation: str = ""
    limits: tuple[PreviewLimit, ...] = ()
    hard: tuple[str, ...] = ()
    soft: tuple[str, ...] = ()
    reasons: tuple[Refusal, ...] = ()
    sizing_note: str = ""
    why: tuple[str, ...] = ()
