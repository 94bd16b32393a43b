"""Who wants to enter, and what became of it: strategy signals and hands, through one gate, every refusal kept."""

from __future__ import annotations

import math
from collections.abc import Collection
from decimal import Decimal

import msgspec

from tui_trader.core import executor, leverage
from tui_trader.core.candles import CandleBook
from tui_trader.core.entry import EntryProposal, EntryRequest, preview_entry, propose_entry
from tui_trader.core.events import Candle, OpenPosition
from tui_trader.core.gate import GateContext
from tui_trader.core.oco import Plan
from tui_trader.core.plain import plain
from tui_trader.core.regime import regime_at
from tui_trader.core.signals import MarketState, Signal, Strategy
from tui_trader.core.soundness import Failure, listen
from tui_trader.core.state import EngineState
from tui_trader.core.strategy_rows import UNKNOWN, ConditionView, SignalRow
from tui_trader.core.types import MINUTE_MS, Origin, Refusal, Severity
from tui_trader.core.views import TicketPreview

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
        blocks=state.blocks(symbol) + leverage.refusals(state, symbol) + _holes(series),
        exposures=state.exposures(),
        losses=state.losses,
        orders_last_minute=state.order_rate.count(state.now),
        clock_rate=state.rate,
    )


def _holes(series: CandleBook | None) -> tuple[Refusal, ...]:
    """While minutes are missing, ATR takes the bars beside the hole for neighbours and is as current as ever (I11)."""
    if series is None or not series.missing:
        return ()
    text = f"{series.missing} of its minutes were not heard and are being loaded"
    return (Refusal(code="candles", text=text, hard=True),)


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
    leverage.ask(state, ticket.symbol)
    request = _request(ticket)
    proposal = propose_entry(gate_context(state, ticket.symbol), request, state.depth.get(ticket.symbol))
    verdict = proposal.verdict
    reasons = [refusal.text for refusal in verdict.refusals]
    _audit_entry(state, ticket, allowed=verdict.allowed, reasons=reasons, overridden=verdict.overridden)
    _decide(state, request, proposal, Basis(), "manual")


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


# --- by strategies ---


def on_bars(state: EngineState, symbol: str, bars: tuple[tuple[str, Candle], ...]) -> None:
    """Bars have closed: let every running strategy look at a member of the universe."""
    series = state.candles.get(symbol)
    if series is None:
        return
    closed = {timeframe for timeframe, _ in bars}
    note_regimes(state, series, closed)
    wanted = symbol in state.always or symbol in state.universe.members
    if not wanted or series.missing or _too_late(state, bars[0][1]):
        return
    for name, strategy in state.strategies.items():
        timeframe = state.timeframe_of(strategy)
        if timeframe in closed and name not in state.paused_strategies:
            _evaluate(state, strategy, series, timeframe)


def note_regimes(state: EngineState, series: CandleBook, closed: Collection[str]) -> None:
    """Bars of the timeframes ``closed`` are new: what the market does on those that strategies run on."""
    for strategy in state.strategies.values():
        timeframe = state.timeframe_of(strategy)
        if timeframe in closed:
            state.regimes[series.symbol, timeframe] = regime_at(series, timeframe)


def _too_late(state: EngineState, bar: Candle) -> bool:
    """A bar heard of long after its close (sleep, reconnect) must not be traded on."""
    return state.now - (bar.open_ms + MINUTE_MS) > state.ms(STALE_BAR_S)


class Basis(msgspec.Struct, frozen=True, kw_only=True):
    """What a strategy's word rests on, for the console and the store; empty for entries by hand."""

    conditions: tuple[ConditionView, ...] = ()
    source: str = ""
    regime: str = ""
    timeframe: str = ""
    threshold: float = 0.0
    stop: float = 0.0
    target: float = 0.0


def _evaluate(state: EngineState, strategy: Strategy, series: CandleBook, timeframe: str) -> None:
    regime = state.regimes.get((series.symbol, timeframe))
    resolved = state.optimized_parameters(series.symbol, strategy, regime, timeframe)
    signal = listen(
        strategy,
        MarketState(
            symbol=series.symbol,
            candles=series,
            timeframe=timeframe,
            values=resolved.values,
            source=resolved.source,
        ),
    )
    if signal is None:
        return
    if isinstance(signal, Failure):
        _pause_failed(state, strategy.name, series.symbol, signal.words)
        return
    basis = Basis(
        conditions=_conditions(signal),
        source=resolved.source,
        regime=regime.value if regime is not None else UNKNOWN,
        timeframe=timeframe,
        threshold=state.settings.strategies.threshold,
        stop=float(signal.stop or 0),
        target=float(signal.target or 0),
    )
    kept_back = _kept_back(state, signal, basis.threshold)
    if signal.side is None or kept_back:
        _note(state, signal, basis, kept_back)
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
    _decide(state, request, proposal, basis, "opened")


def _kept_back(state: EngineState, signal: Signal, threshold: float) -> str:
    """Why a strategy's signal does not even come to the gate, or ""."""
    if signal.side is None:
        return plain(signal.note)
    if signal.conviction < threshold:
        return f"conviction {signal.conviction:.2f} < {threshold:.2f}"
    wait = state.cooldown_until.get(signal.symbol, 0) - state.now
    cooling = 0 < wait <= state.settings.strategies.cooldown_min * MINUTE_MS
    return f"cooling down for {wait / MINUTE_MS:.0f} min more after the last trade" if cooling else ""


def _pause_failed(state: EngineState, name: str, symbol: str, words: str) -> None:
    """A strategy that fails is paused: what it would say next is worth nothing; everything else goes on."""
    problem = f"{name} failed on {symbol}: {words}"
    state.paused_strategies.add(name)
    state.failed_strategies[name] = problem
    detail = {"strategy": name, "symbol": symbol, "reason": words}
    state.store(
        "audit", {"ts": state.now, "actor": "engine", "action": "PauseStrategy", "detail": detail}, durable=True
    )
    text = f"{problem}; it is paused, open positions stay managed; mend it and start anew, or resume it with p"
    state.say(Severity.WARNING, text, symbol)


def _decide(
    state: EngineState,
    request: EntryRequest,
    proposal: EntryProposal,
    basis: Basis,
    action: str,
) -> None:
    """Enter, or keep the refusal."""
    reasons = tuple(r.text for r in proposal.verdict.refusals)
    row = SignalRow(
        ts=state.now,
        symbol=request.symbol,
        side=request.side.value,
        strategy=request.strategy,
        conviction=request.conviction,
        action=action if proposal.verdict.allowed else "refused",
        reasons=reasons,
        **msgspec.structs.asdict(basis),
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
        ConditionView(
            name=plain(c.name),
            value=_finite(c.value),
            limit=_finite(c.limit),
            text=plain(c.text),
            met=bool(c.met),
            score=float(c.score),
            weight=float(c.weight),
        )
        for c in signal.conditions
    )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _note(state: EngineState, signal: Signal, basis: Basis, reason: str) -> None:
    """A signal that does not come to the gate."""
    _keep(
        state,
        SignalRow(
            ts=state.now,
            symbol=signal.symbol,
            side=signal.side.value if signal.side is not None else "hold",
            strategy=signal.strategy,
            conviction=float(signal.conviction),
            action="refused" if signal.side is not None else "hold",
            reasons=(reason,) if reason else (),
            **msgspec.structs.asdict(basis),
        ),
    )


def _keep(state: EngineState, row: SignalRow) -> None:
    state.signals.appendleft(row)
    state.store("signals", msgspec.to_builtins(row))
