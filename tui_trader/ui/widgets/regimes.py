"""Regimes in words and in signs."""

from __future__ import annotations

from collections.abc import Sequence

from tui_trader.core.strategy_rows import RegimeView
from tui_trader.ui import format as f

SIGNS = {"bull": "▲", "bear": "▼", "sideways": "─"}
"""The sign of each regime; one that is not known is "?"."""


def regime_words(regimes: Sequence[RegimeView]) -> list[str]:
    """Each regime with its timeframes: "bull 1m 5m", "unknown 1h"."""
    frames: dict[str, list[str]] = {}
    for one in regimes:
        frames.setdefault(f.clean(one.regime), []).append(f.clean(one.timeframe))
    return [f"{regime} {' '.join(names)}" for regime, names in frames.items()]


def regime_signs(regimes: Sequence[RegimeView]) -> str:
    """A sign under each timeframe of a heading that ``regime_heading`` gives."""
    return " ".join(f.fit(SIGNS.get(one.regime, "?"), len(one.timeframe), ">") for one in regimes)


def regime_heading(regimes: Sequence[RegimeView]) -> str:
    """The timeframes, for a column of signs."""
    return " ".join(f.clean(one.timeframe) for one in regimes)
