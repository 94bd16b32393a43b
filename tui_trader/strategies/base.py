"""What every strategy shares: the signal types and small helpers."""

from __future__ import annotations

from tui_trader.core.signals import Condition, MarketState, Signal, Strategy, confluence

__all__ = ["Condition", "MarketState", "Signal", "Strategy", "clamp01", "confluence"]


def clamp01(value: float) -> float:
    """``value`` kept within 0–1."""
    return min(1.0, max(0.0, value))
