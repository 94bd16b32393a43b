"""Closed positions and what belongs to them: their rows, the verdict on their trained sets, and funding told late."""

from __future__ import annotations

import math
from decimal import Decimal, InvalidOperation

import msgspec

from tui_trader.core.events import FundingPayment
from tui_trader.core.oco import Plan
from tui_trader.core.state import TRADES_KEPT, ClosedTrade, EngineState, LooseFunding, Recovered, decimals
from tui_trader.core.trained import row_of
from tui_trader.core.types import MINUTE_MS, ZERO, Leg, Severity, Side
from tui_trader.core.views import TradeRow

SETTLED_S = 60.0
"""Funding is stamped up to so long after the moment that it was charged for: the position may be closed by then."""


def book_trade(state: EngineState, plan: Plan) -> None:
    """A closed position: a row for the store and the trades pane, a sentence for the log."""
    pnl = plan.realized - plan.fees + plan.funding
    risk = plan.risk_distance * plan.entered
    r = float(pnl / risk) if risk else 0.0
    expected = plan.expected_entry or plan.avg_entry
    slip = (plan.avg_entry - expected) * plan.side.sign / expected * 100 if expected else ZERO
    instrument = state.instruments[plan.symbol]
    tp1 = any(t.leg is Leg.TP1 and t.qty > 0 and t.left == 0 for t in plan.targets)
    _store_trade(state, plan, pnl, r, float(slip), tp1=tp1)
    _keep(
        state,
        plan.plan_id,
        ClosedTrade(
            symbol=plan.symbol,
            opened_ms=plan.first_fill_ms,
            closed_ms=plan.closed_ms,
            pnl=pnl,
            funding=plan.funding,
            risk=risk,
        ),
        TradeRow(
            plan_id=plan.plan_id,
            closed_ms=plan.closed_ms,
            opened_ms=plan.first_fill_ms,
            symbol=plan.symbol,
            side=plan.side,
            strategy=plan.strategy,
            qty=float(plan.entered),
            entry=float(plan.avg_entry),
            exit=float(plan.avg_exit),
            pnl=float(pnl),
            r=r,
            fees=float(plan.fees),
            funding=float(plan.funding),
            reason=plan.close_reason,
            tp1=tp1,
            slippage_pct=float(slip),
            price_decimals=decimals(instrument.tick_size),
            qty_decimals=decimals(instrument.step_size),
        ),
    )
    severity = Severity.GOOD if pnl >= 0 else Severity.WARNING
    bare = f"longest without a proven stop {plan.longest_naked_ms / 1000 / state.rate:.1f} s"
    result = f"{pnl:+.2f} USDT ({r:+.2f} R), fees {plan.fees:.2f}; {bare}"
    state.say(severity, f"{plan.symbol}: closed ({plan.close_reason}): {result}", plan.symbol)
    _judge_set(state, plan, r)


def _store_trade(state: EngineState, plan: Plan, pnl: Decimal, r: float, slip: float, *, tp1: bool) -> None:
    state.store(
        "trades",
        {
            "plan_id": plan.plan_id,
            "symbol": plan.symbol,
            "side": plan.side.value,
            "strategy": plan.strategy,
            "origin": plan.origin.value,
            "opened_ms": plan.first_fill_ms,
            "closed_ms": plan.closed_ms,
            "qty": plan.entered,
            "entry": plan.avg_entry,
            "exit": plan.avg_exit,
            "pnl": pnl,
            "r": r,
            "fees": plan.fees,
            "funding": plan.funding,
            "reason": plan.close_reason,
            "atr": plan.atr,
            "stop": plan.initial_stop,
            "slippage_pct": slip,
            "longest_naked_ms": int(plan.longest_naked_ms / state.rate),
            "conviction": plan.conviction,
            "tp1": tp1,
            "trained": plan.trained,
        },
        durable=True,
    )


def _keep(state: EngineState, plan_id: int, trade: ClosedTrade | None, row: TradeRow) -> None:
    state.trades.appendleft(row)
    if trade is not None:
        state.closed[plan_id] = trade
    while len(state.closed) > TRADES_KEPT:
        del state.closed[next(iter(state.closed))]


def _judge_set(state: EngineState, plan: Plan, r: float) -> None:
    """Compare a trained set with its promise after each of its trades; a demotion is stored, audited and said."""
    if not plan.trained or not plan.risk_distance:
        return
    demoted = state.trained.judge(plan.trained, r, state.settings.training.false_alarm)
    if demoted is None:
        return
    state.store("trained_assets", row_of(demoted), durable=True)
    detail = {"set": demoted.identity, "reason": demoted.demoted, "values": demoted.values}
    state.store(
        "audit",
        {"ts": state.now, "actor": "reliability", "action": "DemoteTrainedSet", "detail": detail},
        durable=True,
    )
    words = f"the trained set for {demoted.strategy} in {demoted.regime.value} on {demoted.timeframe} is demoted"
    state.say(Severity.WARNING, f"{demoted.symbol}: {words}: {demoted.demoted}; the default is back", demoted.symbol)


# --- funding ---


def on_funding(state: EngineState, payment: FundingPayment) -> None:
    """Book a funding payment, once, to the position that was open at its stamp: to its plan, to its trade when it is
    closed by now, else to the account.
    """
    if not state.portfolio.is_new_funding(payment):
        return
    plan = state.plans.get(payment.symbol)
    if plan is not None and payment.tran_id in plan.funding_ids:
        # Counted before a restart: the venue tells of the last hours again.
        return
    held = plan is not None and 0 < plan.first_fill_ms <= payment.venue_ts
    plan_id = plan.plan_id if plan is not None and held else _trade_at(state, payment)
    if plan is not None and held:
        plan.funding += payment.amount
        plan.funding_ids.append(payment.tran_id)
        state.save_plan(plan)
        state.say(Severity.INFO, f"{payment.symbol}: funding {payment.amount:+.4f} USDT", payment.symbol)
    # Before the trade's own row: if only one of them is written, the trade lacks it, and never counts it twice.
    state.store(
        "funding",
        {
            "tran_id": payment.tran_id,
            "symbol": payment.symbol,
            "amount": payment.amount,
            "venue_ts": payment.venue_ts,
            "plan_id": plan_id,
        },
        durable=True,
    )
    if plan_id is None:
        state.loose_funding.amount += payment.amount
        state.loose_funding.payments += 1
    elif not held:
        _to_the_trade(state, plan_id, payment)


def _trade_at(state: EngineState, payment: FundingPayment) -> int | None:
    """The plan id of the closed position of the symbol that was open at the payment's stamp, the latest that fits."""
    at, slack = payment.venue_ts, state.ms(SETTLED_S)
    fits = [
        (min(trade.closed_ms, at), plan_id)
        for plan_id, trade in state.closed.items()
        if trade.symbol == payment.symbol and 0 < trade.opened_ms <= at <= trade.closed_ms + slack
    ]
    return max(fits)[1] if fits else None


def _to_the_trade(state: EngineState, plan_id: int, payment: FundingPayment) -> None:
    trade = state.closed[plan_id]
    trade.pnl += payment.amount
    trade.funding += payment.amount
    r = float(trade.pnl / trade.risk) if trade.risk else 0.0
    changed = {"plan_id": plan_id, "pnl": trade.pnl, "r": r, "funding": trade.funding}
    state.store("trades", changed, durable=True)
    for place, row in enumerate(state.trades):
        if row.plan_id == plan_id:
            state.trades[place] = msgspec.structs.replace(row, pnl=float(trade.pnl), r=r, funding=float(trade.funding))
    told = f"funding {payment.amount:+.4f} USDT of the position that is closed: its result is {trade.pnl:+.2f} USDT"
    state.say(Severity.INFO, f"{payment.symbol}: {told}", payment.symbol)


# --- at start ---


def recover(state: EngineState, recovered: Recovered) -> None:
    """Trades of the store, oldest first, for the console, for funding told late and for the symbols that still cool
    down; damaged rows are left out.
    """
    cooldown_ms = int(state.settings.strategies.cooldown_min * MINUTE_MS)
    for row in recovered.trades:
        shown, plan_id = _trade_row(row), row.get("plan_id")
        if shown is not None:
            _keep(state, shown.plan_id, _closed(row) if isinstance(plan_id, int) else None, shown)
            state.cooldown_until[shown.symbol] = shown.closed_ms + cooldown_ms
    amounts = [amount for text in recovered.loose_funding if (amount := _amount(text)) is not None]
    state.loose_funding = LooseFunding(amount=sum(amounts, ZERO), payments=len(amounts))


def _amount(value: object) -> Decimal | None:
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def _closed(row: dict[str, object]) -> ClosedTrade | None:
    names = ("pnl", "funding", "qty", "entry", "stop")
    pnl, funding, qty, entry, stop = (_amount(row.get(name)) for name in names)
    opened_ms, closed_ms = row.get("opened_ms"), row.get("closed_ms")
    if pnl is None or funding is None or not isinstance(opened_ms, int) or not isinstance(closed_ms, int):
        return None
    risk = abs(entry - stop) * qty if entry is not None and stop and qty is not None else ZERO
    symbol = str(row.get("symbol", ""))
    return ClosedTrade(symbol=symbol, opened_ms=opened_ms, closed_ms=closed_ms, pnl=pnl, funding=funding, risk=risk)


def _trade_row(row: dict[str, object]) -> TradeRow | None:
    known = {k: float(v) if isinstance(v, Decimal) else v for k, v in row.items() if k in TradeRow.__struct_fields__}
    try:
        known.setdefault("price_decimals", decimals(Decimal(str(row.get("entry", "0")))))
        known.setdefault("qty_decimals", decimals(Decimal(str(row.get("qty", "0")))))
        known["side"] = Side(str(row.get("side", "long")))
        found = msgspec.convert(known, TradeRow, strict=False)
    except (msgspec.ValidationError, ValueError, ArithmeticError):
        return None
    figures = (found.qty, found.entry, found.exit, found.pnl, found.r, found.fees, found.funding, found.slippage_pct)
    return found if all(map(math.isfinite, figures)) else None
