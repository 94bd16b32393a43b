"""Scores: a condition just met is A+, one missed never is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tui_trader.strategies.base import clamp01, met_score, missed_score


@given(st.floats(-1e9, 1e9))
def test_met_is_at_least_a_plus_and_missed_below(x: float) -> None:
    assert 0.8 <= met_score(x) <= 1.0
    assert 0.0 <= missed_score(x) < 0.8
    assert 0.0 <= clamp01(x) <= 1.0
