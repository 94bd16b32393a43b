"""How well open positions are protected, for the console and ``status``: proofs, naked times, percentiles."""

from __future__ import annotations

import math
from collections.abc import Iterable

from tui_trader.core.oco import Plan
from tui_trader.core.state import EngineState
from tui_trader.core.types import Leg
from tui_trader.core.views import ProtectionView


def proven_age_s(state: EngineState, plan: Plan, now: int) -> float:
    """Real seconds since the venue last showed the stop, or the oldest proof of the stops that cover together.

    0 when nothing covers the position: then its naked time counts.
    """
    left = state.open_qty(plan)
    oldest = now
    orders = (o for o in state.ledger.of_plan(plan.plan_id) if o.leg is Leg.STOP and o.proven)
    for order in sorted(orders, key=lambda o: -o.trigger_price * plan.side.sign):
        if left > 0 and order.side is plan.side.exit:
            left -= order.qty - order.filled_qty
            oldest = min(oldest, order.proven_ms)
    return _seconds(state, now - oldest) if left <= 0 else 0.0


def naked_s(state: EngineState, plan: Plan, now: int) -> float:
    """Real seconds, from the venue's fill time on, for which an open position has been without a proven stop; 0 when
    it has one.
    """
    return _seconds(state, now - plan.naked_since_ms) if plan.naked_since_ms else 0.0


def loose_naked_s(state: EngineState, now: int) -> list[float]:
    """For each position that no plan owns yet, the real seconds since its last fill: nothing protects it until the
    account was read and a plan adopts it.
    """
    found = (p for p in state.portfolio.positions.values() if p.qty != 0 and p.symbol not in state.plans)
    return [_seconds(state, now - p.last_fill_ms) if p.last_fill_ms else 0.0 for p in found]


def longest_naked_s(state: EngineState, plan: Plan, now: int) -> float:
    """The longest such time of the position's life, the present one included."""
    return max(_seconds(state, plan.longest_naked_ms), naked_s(state, plan, now))


def protection(state: EngineState, now: int) -> ProtectionView:
    """The session's stretches without a proven stop, those that go on included."""
    running = [naked_s(state, plan, now) for plan in state.plans.values() if plan.naked_since_ms]
    spans = [*state.unprotected_s, *running]
    return ProtectionView(
        count=len(spans),
        p50_s=percentile(spans, 0.50),
        p99_s=percentile(spans, 0.99),
        max_s=max(spans, default=0.0),
        limit_s=state.settings.execution.naked_limit_s,
        violations=state.violations,
    )


def percentile(values: Iterable[float], share: float) -> float:
    """The value at ``share`` (0–1) of them by nearest rank: the least that so many do not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def _seconds(state: EngineState, venue_ms: int) -> float:
    return max(0, venue_ms) / 1000 / state.rate
