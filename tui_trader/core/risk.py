"""Open risk, margin and the meters against every limit."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from tui_trader.core.state import EngineState
from tui_trader.core.types import ZERO
from tui_trader.core.views import Meter, RiskView


def open_risk(state: EngineState) -> Decimal:
    """USDT lost if every stop filled at its price now, measured from mark; profit locked in counts as zero."""
    return sum(_at_risk(state), ZERO)


def _at_risk(state: EngineState) -> Iterator[Decimal]:
    for plan in state.plans.values():
        qty = state.open_qty(plan)
        if qty > 0 and plan.symbol in state.metrics:
            mark = state.valued_at(plan.symbol) or plan.avg_entry
            yield max(ZERO, (mark - plan.stop_price) * plan.side.sign * qty)


def used_margin(state: EngineState) -> Decimal:
    """Margin of all positions and working entries, at each symbol's effective leverage, USDT."""
    return sum((e.margin for e in state.exposures()), ZERO)


def risk_view(state: EngineState) -> RiskView:
    """Meters against the limits; analytics that need more history than there is are None."""
    equity = state.equity()
    limits = state.settings.limits
    value = float(equity) if equity else 0.0
    losses = state.losses
    daily, total = (float(x) for x in losses.amounts(equity))
    day_loss = max(0.0, -float(losses.day_pnl(equity))) if equity is not None else 0.0
    total_loss = max(0.0, -float(losses.total_pnl(equity))) if equity is not None else 0.0
    risk = open_risk(state)
    held = sum(1 for p in state.plans.values() if state.open_qty(p) > 0)
    margin = float(used_margin(state))
    meters = (
        _meter("day loss", day_loss, daily, "USDT"),
        _meter("total loss", total_loss, total, "USDT"),
        _meter("margin", margin / value * 100 if value else 0.0, limits.max_total_risk * 100, "%"),
        _meter("positions", float(held), float(limits.max_positions), "count"),
        _meter("orders", float(state.order_rate.count(state.now)), float(limits.max_orders_per_minute), "/min"),
        _meter("largest", _largest(state), float(limits.max_notional_per_symbol), "USDT"),
    )
    return RiskView(
        meters=meters,
        open_risk_usdt=float(risk),
        var95=None,
        ess=None,
        systemic=None,
        correlation=None,
        heat=heat(state),
        notes=("ESS, systemic risk, correlation and VaR are not there yet", *_loose_funding(state)),
    )


def _loose_funding(state: EngineState) -> tuple[str, ...]:
    """What the sum of the trades lacks to explain the wallet."""
    loose = state.loose_funding
    count = f"{loose.payments} payment{'s' if loose.payments > 1 else ''}"
    return (f"funding of no trade: {loose.amount:+.2f} USDT in {count}",) if loose.payments else ()


def heat(state: EngineState) -> float | None:
    """Portfolio heat 0–1: Herfindahl concentration of open risk to stops; None with nothing at risk."""
    risks = [float(risk) for risk in _at_risk(state)]
    total = sum(risks)
    return sum((r / total) ** 2 for r in risks) if total > 0 else None


def _largest(state: EngineState) -> float:
    by_symbol: dict[str, Decimal] = {}
    for exposure in state.exposures():
        by_symbol[exposure.symbol] = by_symbol.get(exposure.symbol, ZERO) + exposure.notional
    return float(max(by_symbol.values(), default=ZERO))


def _meter(name: str, value: float, limit: float, unit: str) -> Meter:
    return Meter(name=name, value=value, limit=limit, unit=unit, level=value / limit if limit > 0 else 0.0)
