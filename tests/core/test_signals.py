"""Signals: confluence is the weighted mean of the conditions' scores."""

from __future__ import annotations

import pytest

from tui_trader.core.signals import Condition, confluence


def condition(score: float, weight: float = 1.0) -> Condition:
    return Condition(name="x", value=0.0, limit=0.0, text="", met=True, score=score, weight=weight)


def test_confluence_is_a_weighted_mean() -> None:
    assert confluence((condition(1.0, 3.0), condition(0.0))) == pytest.approx(0.75)
    assert confluence(()) == 0.0
