"""Who wants to enter, and what became of it: strategy signals and hands, through one gate, every refusal kept."""

from __future__ import annotations

import math
from decimal import Decimal

from tui_trader.core import executor
from tui_trader.core.candles import CandleBook
from tui_trader.core.commands import SetLeverage
from tui_trader.core.entry import EntryProposal, EntryRequest, preview_entry, propose_entry
from tui_trader.core.events import Candle, OpenPosition
from tui_trader.core.gate import GateContext
from tui_trader.core.oco import Plan
from tui_trader.core.regime import regime_at
from tui_trader.core.signals import MarketState, Signal, Strategy
from tui_trader.core.state import EngineState
from tui_trader.core.types import MINUTE_MS, Origin, Refusal, Severity
from tui_trader.core.views import ConditionView, SignalRow, TicketPreview

STALE_BAR_S = 30.0

LARGEST = 10**15
"""No quantity, notional or price of a ticket is as large: beyond it a number is a typing mistake."""


def gate_context(state: EngineState, symbol: str) -> GateContext:
    """All that the gate looks at for one symbol, as of now."""
    series = state.candles.get(symbol)
    ladder = state.settings.ladder
    return GateContext(
        now_ms=state.now,
        settings=state.settings,
        metrics=state.metrics.get(symbol),
        instrument=state.instruments.get(symbol),
        equity=state.equity(),
        atr=series.atr(ladder.atr_timeframe, ladder.atr_period) if series is not None else None,
        blocks=state.blocks(symbol) + _leverage_block(state, symbol),
        exposures=state.exposures(),
        losses=state.losses,
        orders_last_minute=state.order_rate.count(state.now),
        clock_rate=state.rate,
    )


def _leverage_block(state: EngineState, symbol: str) -> tuple[Refusal, ...]:
    if symbol in state.leverage_set or symbol not in state.instruments:
        return ()
    return (Refusal(code="leverage", text="the leverage is not set at the venue yet", hard=True),)


# --- by hand ---


def _request(ticket: OpenPosition) -> EntryRequest:
    return EntryRequest(
        symbol=ticket.symbol,
        side=ticket.side,
        conviction=0.5,
        origin=Origin.MANUAL,
        strategy="manual",
        limit_price=ticket.limit_price,
        qty=ticket.qty,
        notional=ticket.notional,
        risk_fraction=ticket.risk_fraction,
        override_soft=ticket.override_soft,
    )


def _impossible(ticket: OpenPosition) -> str:
    """Why the numbers of a ticket make no sense, or "": they never reach the gate's arithmetic."""
    numbers = {
        "quantity": ticket.qty,
        "notional": ticket.notional,
        "risk": ticket.risk_fraction,
        "limit price": ticket.limit_price,
    }
    for name, value in numbers.items():
        if value is None:
            continue
        finite = value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)
        if not (finite and 0 < value < LARGEST):
            return f"the {name} must be a positive number, got {value}"
    return ""


def preview(state: EngineState, ticket: OpenPosition) -> TicketPreview:
    """What an entry by hand would do and whether the gate lets it."""
    impossible = _impossible(ticket)
    if impossible:
        return TicketPreview(symbol=ticket.symbol, side=ticket.side, error=impossible, hard=(impossible,))
    return preview_entry(gate_context(state, ticket.symbol), _request(ticket), state.depth.get(ticket.symbol))


def enter_by_hand(state: EngineState, ticket: OpenPosition) -> None:
    """A person's entry: the same gate; soft reasons may be overridden, each refusal and override is kept."""
    impossible = _impossible(ticket)
    if impossible:
        state.say(Severity.WARNING, f"{ticket.symbol}: entry refused: {impossible}", ticket.symbol)
        _audit_entry(state, ticket, allowed=False, reasons=[impossible])
        return
    _set_leverage_if_missing(state, ticket.symbol)
    request = _request(ticket)
    proposal = propose_entry(gate_context(state, ticket.symbol), request, state.depth.get(ticket.symbol))
    verdict = proposal.verdict
    reasons = [refusal.text for refusal in verdict.refusals]
    _audit_entry(state, ticket, allowed=verdict.allowed, reasons=reasons, overridden=verdict.overridden)
    _decide(state, request, proposal, (), "manual")


def _audit_entry(
    state: EngineState, ticket: OpenPosition, *, allowed: bool, reasons: list[str], overridden: tuple[str, ...] = ()
) -> None:
    wanted = {
        name: str(value)
        for name in ("qty", "notional", "risk_fraction", "limit_price")
        if (value := getattr(ticket, name)) is not None
    }
    detail = {
        "symbol": ticket.symbol,
        "side": ticket.side.value,
        **wanted,
        "allowed": allowed,
        "reasons": reasons,
        "overridden": list(overridden),
    }
    row: dict[str, object] = {"ts": state.now, "actor": "person", "action": "OpenPosition", "detail": detail}
    state.store("audit", row, durable=True)


def _set_leverage_if_missing(state: EngineState, symbol: str) -> None:
    instrument = state.instruments.get(symbol)
    if instrument is not None and state.armed and symbol not in state.leverage_set:
        leverage = min(state.settings.sizing.default_leverage, instrument.max_leverage)
        state.out.append(SetLeverage(ts=state.now, symbol=symbol, leverage=leverage))


# --- by strategies ---


def on_bars(state: EngineState, symbol: str, bars: tuple[tuple[str, Candle], ...]) -> None:
    """Bars have closed: let every running strategy look at a member of the universe."""
    series = state.candles.get(symbol)
    wanted = symbol in state.always or symbol in state.universe.members
    if series is None or not wanted or _too_late(state, bars[0][1]):
        return
    closed = {timeframe for timeframe, _ in bars}
    for name, strategy in state.strategies.items():
        timeframe = state.settings.strategies.timeframes.get(name, strategy.timeframe)
        if timeframe in closed and name not in state.paused_strategies:
            _evaluate(state, strategy, series, timeframe)


def _too_late(state: EngineState, bar: Candle) -> bool:
    """A bar heard of long after its close (sleep, reconnect) must not be traded on."""
    return state.now - (bar.open_ms + MINUTE_MS) > state.ms(STALE_BAR_S)


def _evaluate(state: EngineState, strategy: Strategy, series: CandleBook, timeframe: str) -> None:
    regime = regime_at(series, timeframe)
    resolved = state.optimized_parameters(series.symbol, strategy, regime, timeframe)
    signal = strategy.on_bar(
        MarketState(
            symbol=series.symbol,
            candles=series,
            timeframe=timeframe,
            values=resolved.values,
            source=resolved.source,
        )
    )
    if signal is None:
        return
    origin = (resolved.source, regime.value if regime is not None else "")
    if signal.side is None:
        _note(state, signal, "hold", (signal.note,) if signal.note else (), origin)
        return
    threshold = state.settings.strategies.threshold
    if signal.conviction < threshold:
        _note(state, signal, "refused", (f"conviction {signal.conviction:.2f} < {threshold:.2f}",), origin)
        return
    wait = state.cooldown_until.get(signal.symbol, 0) - state.now
    if wait > 0:
        _note(
            state, signal, "refused", (f"cooling down for {wait / 60_000:.0f} min more after the last trade",), origin
        )
        return
    request = EntryRequest(
        symbol=signal.symbol,
        side=signal.side,
        conviction=signal.conviction,
        origin=Origin.STRATEGY,
        strategy=signal.strategy,
        stop=signal.stop,
        target=signal.target,
        trained=resolved.trained.identity if resolved.trained is not None else "",
    )
    proposal = propose_entry(gate_context(state, signal.symbol), request, state.depth.get(signal.symbol))
    _decide(state, request, proposal, _conditions(signal), "opened", origin)


def _decide(
    state: EngineState,
    request: EntryRequest,
    proposal: EntryProposal,
    conditions: tuple[ConditionView, ...],
    action: str,
    origin: tuple[str, str] = ("", ""),
) -> None:
    """Enter, or keep the refusal. ``origin`` is where the parameters came from, and the regime."""
    reasons = tuple(r.text for r in proposal.verdict.refusals)
    row = SignalRow(
        ts=state.now,
        symbol=request.symbol,
        side=request.side.value,
        strategy=request.strategy,
        conviction=request.conviction,
        action=action if proposal.verdict.allowed else "refused",
        reasons=reasons,
        conditions=conditions,
        source=origin[0],
        regime=origin[1],
    )
    _keep(state, row)
    if proposal.verdict.refusals:
        _store_rejection(state, request, proposal)
    if not proposal.verdict.allowed:
        if request.origin is Origin.MANUAL:
            state.say(Severity.WARNING, f"{request.symbol}: entry refused: " + "; ".join(reasons), request.symbol)
        return
    plan = executor.open_plan(state, request, proposal)
    if plan is not None:
        state.say(
            Severity.INFO,
            f"{plan.symbol}: {plan.side.value} {plan.entry_qty} decided {_who(plan)}; the entry order goes out",
            plan.symbol,
        )


def _who(plan: Plan) -> str:
    if plan.origin is Origin.MANUAL:
        return "by hand"
    return f"by {plan.strategy}, conviction {plan.conviction:.2f}"


def _store_rejection(state: EngineState, request: EntryRequest, proposal: EntryProposal) -> None:
    refusals = proposal.verdict.refusals
    state.store(
        "rejections",
        {
            "ts": state.now,
            "symbol": request.symbol,
            "side": request.side.value,
            "origin": request.origin.value,
            "codes": [r.code for r in refusals],
            "reasons": [r.text for r in refusals],
            "overridden": bool(proposal.verdict.overridden),
        },
    )


def _conditions(signal: Signal) -> tuple[ConditionView, ...]:
    return tuple(
        ConditionView(name=c.name, value=c.value, limit=c.limit, text=c.text, met=c.met) for c in signal.conditions
    )


def _note(state: EngineState, signal: Signal, action: str, reasons: tuple[str, ...], origin: tuple[str, str]) -> None:
    _keep(
        state,
        SignalRow(
            ts=state.now,
            symbol=signal.symbol,
            side=signal.side.value if signal.side is not None else "hold",
            strategy=signal.strategy,
            conviction=signal.conviction,
            action=action,
            reasons=reasons,
            conditions=_conditions(signal),
            source=origin[0],
            regime=origin[1],
        ),
    )


def _keep(state: EngineState, row: SignalRow) -> None:
    state.signals.appendleft(row)
    state.store(
        "signals",
        {
            "ts": row.ts,
            "symbol": row.symbol,
            "side": row.side,
            "strategy": row.strategy,
            "conviction": row.conviction,
            "action": row.action,
            "reasons": list(row.reasons),
            "conditions": [c.text for c in row.conditions],
            "source": row.source,
            "regime": row.regime,
        },
    )
