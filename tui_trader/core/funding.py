"""Funding protection: windows around the stamps and limits on the rate."""

from __future__ import annotations

import math
from decimal import Decimal

from tui_trader.core.settings import FundingSettings
from tui_trader.core.types import HOUR_MS, MINUTE_MS, Refusal, Side, dec
from tui_trader.core.universe import SymbolMetrics

OVERDUE_MIN = 5.0
"""Minutes after a funding time in which the stream may still name it as the next one."""


def funding_refusals(side: Side, m: SymbolMetrics, settings: FundingSettings, now_ms: int) -> tuple[Refusal, ...]:
    """Why funding speaks against an entry; missing or past data refuses hard, the rest may be overridden."""
    if m.next_funding_ms <= 0 or m.mark_ms <= 0:
        return (_unknown("funding time and rate are not known yet"),)
    if not math.isfinite(m.funding_rate):
        return (_unknown("the funding rate is not a number"),)
    overdue = (now_ms - m.next_funding_ms) / MINUTE_MS
    if overdue > max(settings.post_window_min, OVERDUE_MIN):
        return (_unknown(f"the funding time is outdated: it was due {overdue:.0f} min ago"),)
    return _window(m, settings, now_ms) + _rate(side, m.funding_rate, settings)


def _unknown(text: str) -> Refusal:
    return Refusal(code="funding_data", text=text, hard=True)


def _window(m: SymbolMetrics, settings: FundingSettings, now_ms: int) -> tuple[Refusal, ...]:
    interval = max(1, m.funding_interval_hours) * HOUR_MS
    until = (m.next_funding_ms - now_ms) / MINUTE_MS
    since = (now_ms - (m.next_funding_ms - interval)) / MINUTE_MS
    if until < 0:
        until, since = until % (interval / MINUTE_MS), -until
    found = []
    if until <= settings.pre_window_min:
        text = f"funding in {until:.0f} min (< {settings.pre_window_min:g})"
        found.append(Refusal(code="funding_window", text=text, hard=False))
    if 0 <= since < settings.post_window_min:
        text = f"funding was {since:.0f} min ago (< {settings.post_window_min:g})"
        found.append(Refusal(code="funding_window", text=text, hard=False))
    return tuple(found)


def _rate(side: Side, rate: float, settings: FundingSettings) -> tuple[Refusal, ...]:
    found = []
    if side is Side.LONG and rate < settings.min_long_funding:
        text = f"funding rate {rate:+.4%} < {settings.min_long_funding:+.4%} for longs"
        found.append(Refusal(code="funding_rate", text=text, hard=False))
    if side is Side.SHORT and rate > settings.max_short_funding:
        text = f"funding rate {rate:+.4%} > {settings.max_short_funding:+.4%} for shorts"
        found.append(Refusal(code="funding_rate", text=text, hard=False))
    paying = Side.LONG if rate > 0 else Side.SHORT
    if abs(rate) >= settings.max_abs_funding and side is paying:
        text = f"funding rate {rate:+.4%} at or beyond ±{settings.max_abs_funding:.4%}, paid by {side.value}s"
        found.append(Refusal(code="funding_extreme", text=text, hard=False))
    return tuple(found)


def expected_funding(side: Side, notional: Decimal, rate: float) -> Decimal:
    """Cost in USDT of holding ``notional`` through the next stamp; negative when it is received."""
    return notional * dec(rate) * side.sign
