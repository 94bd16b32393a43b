"""What every strategy shares: the signal types and small helpers."""

from __future__ import annotations

from tui_trader.core.signals import Condition, MarketState, Signal, Strategy, confluence

__all__ = ["Condition", "MarketState", "Signal", "Strategy", "clamp01", "confluence", "met_score", "missed_score"]

A_PLUS = 0.8
"""Score of a condition that is just met: a setup with every condition met is A+ (SPEC §7)."""


def clamp01(value: float) -> float:
    """``value`` kept within 0–1."""
    return min(1.0, max(0.0, value))


def met_score(margin: float) -> float:
    """Score of a met condition: 0.8 at its limit, 1.0 with a ``margin`` (0–1) of 1 beyond it."""
    return A_PLUS + (1 - A_PLUS) * clamp01(margin)


def missed_score(nearness: float) -> float:
    """Score of a missed condition: 0 far from its limit, just under 0.8 at a ``nearness`` (0–1) of 1."""
    return (A_PLUS - 0.01) * clamp01(nearness)
