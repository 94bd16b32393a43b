"""Builds the frozen views that the console draws from the engine's state; reads only."""

from __future__ import annotations

from decimal import Decimal

from tui_trader.core import oco
from tui_trader.core.events import Candle
from tui_trader.core.oco import Plan, Stage
from tui_trader.core.orders import OwnOrder
from tui_trader.core.portfolio import Position
from tui_trader.core.protection import longest_naked_s, loose_naked_s, naked_s, protection, proven_age_s
from tui_trader.core.risk import open_risk, risk_view, used_margin
from tui_trader.core.state import EngineState, decimals
from tui_trader.core.strategy_views import regime_views, strategy_rows
from tui_trader.core.types import Leg, OrderStatus, VenueBook
from tui_trader.core.universe import SymbolMetrics
from tui_trader.core.views import (
    BookLevel,
    BookView,
    ChannelView,
    ChartLine,
    ChartView,
    HeaderView,
    LadderRow,
    LadderView,
    OrderRow,
    PositionRow,
    Snapshot,
    UniverseRow,
    UniverseView,
)

CHART_CANDLES = 240
BOOK_LEVELS = 20
STOP_LABELS = ("SL", "trail")
"""The rung of a stop that stands, and of one that follows; its progress is how much of 1 R to it is used up."""
REFUSED_SHOWN = 100
"""A real venue lists several hundred contracts; nobody reads the refused ones beyond the largest."""


def build(state: EngineState, now: int, sequence: int, selected: str, timeframe: str) -> Snapshot:
    """One frame for the selected symbol (the first member when empty) and chart timeframe."""
    members = state.universe.members
    symbol = selected or (next(iter(state.plans), "") or (members[0] if members else ""))
    positions = tuple(position_row(state, plan, now) for plan in state.plans.values() if state.open_qty(plan) > 0)
    alarm_fresh = state.alarm and now - state.alarm_ms < state.ms(60)
    return Snapshot(
        ts=now,
        sequence=sequence,
        header=header(state, now),
        universe=universe_view(state, now),
        chart=chart(state, symbol, timeframe),
        book=book(state, symbol),
        positions=positions,
        ladder=ladder_view(state, symbol),
        risk=risk_view(state),
        orders=order_rows(state, now),
        trades=tuple(state.trades),
        signals=tuple(state.signals),
        strategies=strategy_rows(state),
        equity=tuple(state.equity_points),
        log=tuple(reversed(state.log)),
        story=tuple(state.stories.get(symbol, ())),
        protection=protection(state, now),
        alarm=state.alarm if alarm_fresh else "",
    )


def header(state: EngineState, now: int) -> HeaderView:
    """What is at stake, in one line."""
    equity = state.equity()
    value = float(equity) if equity is not None else 0.0
    day = float(state.losses.day_pnl(equity)) if equity is not None else 0.0
    start = value - day
    held = [p for p in state.plans.values() if state.open_qty(p) > 0]
    naked = [p for p in held if p.naked_since_ms]
    loose = loose_naked_s(state, now)
    bare = [*(naked_s(state, p, now) for p in naked), *loose]
    points = [p.equity for p in state.equity_points]
    step = max(1, len(points) // 24)
    enabled = [n for n in state.strategies if n not in state.paused_strategies]
    blocks = tuple(r.text for r in state.no_entries())
    return HeaderView(
        mode=state.mode,
        venue=state.venue,
        detail=f"{state.rate:g}×" if state.rate != 1 else "",
        equity=value,
        day_pnl=day,
        day_pnl_pct=day / start * 100 if start > 0 else 0.0,
        equity_spark=tuple(points[::step][-24:]),
        open_risk=float(open_risk(state) / equity) if equity else 0.0,
        margin_used=float(used_margin(state) / equity) if equity else 0.0,
        positions=len(held) + len(loose),
        max_positions=state.settings.limits.max_positions,
        naked=len(bare),
        protected_age_s=max((proven_age_s(state, p, now) for p in held if not p.naked_since_ms), default=0.0),
        channels=tuple(
            ChannelView(
                channel=name,
                up=c.up,
                age_ms=(now - c.heard_ms) / state.rate if c.heard_ms else 0.0,
                latency_ms=c.latency_ms,
                reason=c.reason,
            )
            for name, c in state.channels.items()
        ),
        armed=state.armed,
        entries_paused=state.paused_all,
        blocks=blocks,
        killed=bool(state.killed),
        kill_reason=state.killed,
        strategies_running=0 if blocks else len(enabled),
        strategies_total=len(state.strategies),
        halted=state.halted,
        naked_s=max(bare, default=0.0),
        longest_naked_s=max([*(longest_naked_s(state, p, now) for p in held), *loose], default=0.0),
    )


def universe_view(state: EngineState, now: int) -> UniverseView:
    """Members by score, then the refused with their reasons."""
    universe = state.universe
    members = tuple(
        _universe_row(state, s, i + 1, (), now) for i, s in enumerate(universe.members) if s in state.metrics
    )
    refused = tuple(
        _universe_row(state, s, 0, tuple(r.text for r in reasons), now)
        for s, reasons in universe.refused[:REFUSED_SHOWN]
        if s in state.metrics
    )
    quality = universe.quality
    return UniverseView(
        members=members,
        refused=refused,
        total=len(state.metrics),
        next_refresh_ms=universe.next_refresh_ms,
        mean_spread_bps=quality.mean_spread_bps,
        mean_volume=quality.mean_volume,
        rejection_rates=universe.rejection_counts(),
        refused_total=len(universe.refused),
    )


def _universe_row(state: EngineState, symbol: str, rank: int, reasons: tuple[str, ...], now: int) -> UniverseRow:
    m = state.metrics[symbol]
    return UniverseRow(
        rank=rank,
        symbol=symbol,
        tier=m.tier,
        last=m.last or m.mid,
        change_pct=m.change_pct,
        quote_volume=m.quote_volume,
        spread_bps=m.spread_bps,
        depth=m.depth,
        depth_is_lower_bound=m.depth_is_lower_bound,
        funding_rate=m.funding_rate,
        next_funding_ms=m.next_funding_ms,
        score=state.universe.score(symbol),
        price_decimals=_price_decimals(state, symbol),
        open_interest=m.open_interest,
        open_interest_age_s=max(now - m.oi_ms, 0) / 1000 / state.rate if m.oi_ms else -1.0,
        regimes=regime_views(state, symbol),
        has_position=symbol in state.plans,
        paused=symbol in state.paused_symbols,
        reasons=reasons,
    )


def _price_decimals(state: EngineState, symbol: str) -> int:
    instrument = state.instruments.get(symbol)
    return decimals(instrument.tick_size) if instrument is not None else 2


def _qty_decimals(state: EngineState, symbol: str) -> int:
    instrument = state.instruments.get(symbol)
    return decimals(instrument.step_size) if instrument is not None else 3


def chart(state: EngineState, symbol: str, timeframe: str) -> ChartView:
    """Candles of the selected symbol and the lines of its plan."""
    candles: tuple[Candle, ...] = ()
    atr = 0.0
    series = state.candles.get(symbol)
    if series is not None:
        running = series.running(timeframe)
        candles = series.closed(timeframe, CHART_CANDLES) + ((running,) if running is not None else ())
        reading = series.atr(state.settings.ladder.atr_timeframe, state.settings.ladder.atr_period)
        atr = reading.value if reading is not None else 0.0
    m = state.metrics.get(symbol)
    return ChartView(
        symbol=symbol,
        timeframe=timeframe,
        candles=candles,
        lines=_chart_lines(state, symbol),
        last=(m.last or m.mid) if m is not None else 0.0,
        atr=atr,
        price_decimals=_price_decimals(state, symbol),
        regimes=regime_views(state, symbol),
        empty_reason="" if candles else _no_candles(state, symbol),
    )


def _no_candles(state: EngineState, symbol: str) -> str:
    if not symbol:
        return "no symbol yet: the universe is being filled"
    if symbol not in state.watching:
        return f"{symbol} is not streamed: it is not in the universe"
    return f"loading candles of {symbol}"


def _chart_lines(state: EngineState, symbol: str) -> tuple[ChartLine, ...]:
    plan = state.plans.get(symbol)
    if plan is None:
        return ()
    lines: list[ChartLine] = []
    if plan.entered:
        lines.append(ChartLine(kind="entry", label="entry", price=float(plan.avg_entry)))
    if plan.stop_price:
        label = STOP_LABELS[plan.trailing]
        lines.append(ChartLine(kind="trail" if plan.trailing else "stop", label=label, price=float(plan.stop_price)))
    lines += [ChartLine(kind="tp", label=t.leg.name, price=float(t.price)) for t in plan.targets if t.left > 0]
    if plan.ladder is not None and not plan.at_break_even:
        lines.append(ChartLine(kind="be", label="BE", price=float(plan.ladder.be_trigger)))
    lines += [
        ChartLine(kind="order", label="entry order", price=float(o.price))
        for o in state.ledger.of_plan(plan.plan_id)
        if o.leg is Leg.ENTRY and o.live and o.price > 0
    ]
    return tuple(lines)


def book(state: EngineState, symbol: str) -> BookView:
    """The order book with own resting orders marked."""
    depth = state.depth.get(symbol)
    m = state.metrics.get(symbol)
    if depth is None or m is None:
        reason = f"no book of {symbol} yet" if symbol else "no symbol selected"
        return BookView(
            symbol=symbol,
            bids=(),
            asks=(),
            bid_depth=0,
            ask_depth=0,
            bid_reach=0,
            ask_reach=0,
            spread_bps=0,
            synced=False,
            price_decimals=2,
            qty_decimals=3,
            empty_reason=reason,
        )
    own = _own_levels(state, symbol)
    return BookView(
        symbol=symbol,
        bids=_levels(depth.bids, own),
        asks=_levels(depth.asks, own),
        bid_depth=depth.bid_depth,
        ask_depth=depth.ask_depth,
        bid_reach=depth.bid_reach,
        ask_reach=depth.ask_reach,
        spread_bps=m.spread_bps,
        synced=depth.synced,
        price_decimals=_price_decimals(state, symbol),
        qty_decimals=_qty_decimals(state, symbol),
    )


def _own_levels(state: EngineState, symbol: str) -> dict[float, tuple[str, float]]:
    plan = state.plans.get(symbol)
    if plan is None:
        return {}
    return {
        float(o.price): (o.leg.name, float(o.remaining))
        for o in state.ledger.of_plan(plan.plan_id)
        if o.live and o.book is VenueBook.REGULAR and o.price > 0
    }


def _levels(levels: tuple[tuple[float, float], ...], own: dict[float, tuple[str, float]]) -> tuple[BookLevel, ...]:
    out = []
    for price, qty in levels[:BOOK_LEVELS]:
        mine, mine_qty = own.get(price, ("", 0.0))
        out.append(BookLevel(price=price, qty=qty, mine=mine, mine_qty=mine_qty))
    return tuple(out)


def position_row(state: EngineState, plan: Plan, now: int) -> PositionRow:
    """One open position."""
    position = state.portfolio.position(plan.symbol)
    m = state.metrics.get(plan.symbol)
    mark = float(state.valued_at(plan.symbol))
    qty = state.open_qty(plan)
    pnl = float(position.unrealized(Decimal(str(mark)))) if mark else 0.0
    total = pnl + float(plan.realized - plan.fees + plan.funding)
    risk = float(plan.risk_distance * plan.entered)
    # Of all that was entered, like the risk: the P&L holds what the closed part brought.
    notional = float(position.entry * max(plan.entered, qty))
    stop = oco.proven_stop(plan, state.ledger.of_plan(plan.plan_id), qty)
    return PositionRow(
        symbol=plan.symbol,
        plan_id=plan.plan_id,
        side=plan.side,
        qty=float(qty),
        entry=float(position.entry),
        mark=mark,
        pnl=total,
        pnl_pct=total / notional * 100 if notional else 0.0,
        r=total / risk if risk else 0.0,
        stop=float(plan.stop_price),
        stop_proven=stop is not None,
        proven_age_s=proven_age_s(state, plan, now),
        naked_s=naked_s(state, plan, now),
        longest_naked_s=longest_naked_s(state, plan, now),
        liquidation=float(position.liquidation),
        margin=_margin(state, position, qty, mark, m),
        strategy=plan.strategy,
        stage=_stage(plan, stop),
        funding_paid=float(plan.funding),
        fees=float(plan.fees),
        opened_ms=plan.first_fill_ms,
        price_decimals=_price_decimals(state, plan.symbol),
        qty_decimals=_qty_decimals(state, plan.symbol),
    )


def _margin(state: EngineState, position: Position, qty: Decimal, mark: float, m: SymbolMetrics | None) -> float:
    leverage = state.leverage_set.get(position.symbol, 0) or state.settings.sizing.default_leverage
    return float(qty) * (mark or float(position.entry)) / leverage if m is not None else 0.0


def _stage(plan: Plan, stop: OwnOrder | None) -> str:
    if plan.stage is Stage.CLOSING:
        return "closing"
    if stop is None:
        return "placing the stop"
    if plan.trailing:
        return "trailing"
    if any(t.leg is Leg.TP1 and t.done > 0 for t in plan.targets):
        return "TP1 taken"
    return "break-even" if plan.at_break_even else "protected"


def ladder_view(state: EngineState, symbol: str) -> LadderView:
    """The rungs of the selected symbol's plan, highest price first."""
    plan = state.plans.get(symbol)
    if plan is None or plan.avg_entry == 0:
        waiting = plan is not None
        text = f"{symbol}: entry order working" if waiting else "no position here: b buys, s sells"
        return LadderView(
            symbol=symbol,
            side=None,
            qty=0,
            now=0,
            now_r=0,
            rows=(),
            why=(),
            price_decimals=2,
            qty_decimals=3,
            trailing=False,
            oco=state.oco_note,
            empty_reason=text,
        )
    now_price = float(state.valued_at(symbol))
    entry, risk = float(plan.avg_entry), float(plan.risk_distance)
    rows = _rungs(state, plan, now_price)
    rows.sort(key=lambda row: -row.price)
    ladder = plan.ladder
    why = ladder.why + ladder.merged if ladder is not None else ("adopted: stop first, targets when ATR is known",)
    return LadderView(
        symbol=symbol,
        side=plan.side,
        qty=float(state.open_qty(plan)),
        now=now_price,
        now_r=(now_price - entry) * plan.side.sign / risk if risk and now_price else 0.0,
        rows=tuple(rows),
        why=why,
        price_decimals=_price_decimals(state, symbol),
        qty_decimals=_qty_decimals(state, symbol),
        trailing=plan.trailing,
        oco=state.oco_note,
    )


def _rungs(state: EngineState, plan: Plan, now_price: float) -> list[LadderRow]:
    orders = state.ledger.of_plan(plan.plan_id)
    open_qty = state.open_qty(plan)
    rows = [
        _rung(
            plan, t.leg.name, t.price, t.left if t.left > 0 else t.qty, now_price, _target_state(t.left, orders, t.leg)
        )
        for t in plan.targets
        if t.qty > 0
    ]
    stop = oco.proven_stop(plan, orders, open_qty)
    exact = stop is not None and stop.trigger_price == plan.stop_price
    pending = any(o.leg is Leg.STOP and o.live for o in orders)
    stop_state = "proven" if exact else ("sent" if pending else "planned")
    label = STOP_LABELS[plan.trailing]
    rows.append(_rung(plan, label, plan.stop_price, open_qty, now_price, stop_state))
    rows.append(_rung(plan, "entry", plan.avg_entry, plan.entered, now_price, "filled"))
    if plan.ladder is not None:
        be = "moved" if plan.at_break_even else "trigger"
        note = f"stop to {plan.ladder.be_price}"
        rows.append(_rung(plan, "BE", plan.ladder.be_trigger, Decimal(0), now_price, be, note))
    return rows


def _target_state(left: Decimal, orders: list[OwnOrder], leg: Leg) -> str:
    if left <= 0:
        return "filled"
    live = [o for o in orders if o.leg is leg and o.live]
    if not live:
        return "planned"
    resting = live[-1].status in (OrderStatus.WORKING, OrderStatus.PARTIALLY_FILLED)
    return "resting" if resting else "sent"


def _rung(
    plan: Plan, leg: str, price: Decimal, qty: Decimal, now_price: float, status: str, note: str = ""
) -> LadderRow:
    entry, risk = float(plan.avg_entry), float(plan.risk_distance)
    level = float(price)
    span = level - entry
    progress = (now_price - entry) / span if span and now_price else 0.0
    if leg in STOP_LABELS:
        # A stop may stand on the profit side of the entry, where the way from the entry says nothing.
        away = (now_price - level) * plan.side.sign
        progress = 1 - away / risk if risk and now_price else 0.0
    return LadderRow(
        leg=leg,
        price=level,
        fraction=float(qty / plan.entered) if plan.entered else 0.0,
        qty=float(qty),
        r=span * plan.side.sign / risk if risk else 0.0,
        distance_pct=(level - now_price) / now_price * 100 if now_price else 0.0,
        progress=min(1.0, max(0.0, progress)),
        state=status,
        note=note,
    )


def order_rows(state: EngineState, now: int) -> tuple[OrderRow, ...]:
    """Own orders: live ones first, then the recently ended, newest first.

    The time is the venue's of the last change. The last word heard comes with every look at the account: it says
    nothing about the order, and the rows would change places all the time.
    """
    rows = sorted(state.ledger, key=lambda o: (o.live, o.venue_ts or o.updated_ms), reverse=True)
    return tuple(
        OrderRow(
            ts=o.venue_ts or o.updated_ms,
            symbol=o.symbol,
            leg=o.leg.name,
            side=o.side.value.lower(),
            type=o.type.value,
            qty=float(o.qty),
            filled=float(o.filled_qty),
            price=float(o.price),
            trigger=float(o.trigger_price),
            status=o.status.value,
            reduce_only=o.reduce_only,
            client_id=o.client_id,
            proven_age_s=(now - o.proven_ms) / 1000 / state.rate if o.proven_ms else -1.0,
            price_decimals=_price_decimals(state, o.symbol),
            qty_decimals=_qty_decimals(state, o.symbol),
            reason=o.reason,
        )
        for o in rows[:100]
    )
