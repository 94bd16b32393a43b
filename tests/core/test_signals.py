"""Signals: confluence is the weighted mean of the conditions' scores."""

from __future__ import annotations

import pytest

from tui_trader.core.signals import Condition, confluence
from tui_trader.core.strategy_rows import ConditionView


def condition(score: float, weight: float = 1.0) -> Condition:
    return Condition(name="x", value=0.0, limit=0.0, text="", met=True, score=score, weight=weight)


def test_confluence_is_a_weighted_mean() -> None:
    assert confluence((condition(1.0, 3.0), condition(0.0))) == pytest.approx(0.75)
    shown = ConditionView(name="x", value=None, limit=None, text="", met=True, score=0.8, weight=3.0)
    assert confluence((condition(1.0), shown)) == pytest.approx(0.85)
    assert confluence(()) == 0.0
