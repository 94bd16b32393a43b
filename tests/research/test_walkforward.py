"""Windows never overlap what they must not; scores and promises by hand."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_trader.core.parameters import defaults
from tui_trader.core.reliability import Evidence, observe, promise_of, reason_to_demote
from tui_trader.core.types import DAY_MS, HOUR_MS
from tui_trader.errors import UsageError
from tui_trader.research.walkforward import (
    LEAST_TRADES,
    NO_SCORE,
    Fold,
    Results,
    Span,
    efficiency,
    joined,
    make_folds,
    parts_of,
    promise_metrics,
    purge_between,
    score,
    split,
    worth,
)
from tui_trader.strategies.htf_sweep import HtfSweep
from tui_trader.strategies.volume_breakout import VolumeBreakout

DAY0 = 1_747_440_000_000
MONTH = Span(DAY0, DAY0 + 30 * DAY_MS)


def results(r: list[float], ended_ms: list[int] | None = None) -> Results:
    times = np.array(ended_ms if ended_ms is not None else [DAY0 + HOUR_MS * i for i in range(len(r))], dtype=np.int64)
    return Results(np.array(r), np.array(r) / 100, times - HOUR_MS, times)


def test_anchored_and_rolling_windows() -> None:
    purge = 2 * HOUR_MS
    anchored = make_folds(MONTH, 3, anchored=True, purge_ms=purge)
    at = [DAY0 + d * DAY_MS for d in (12, 18, 24, 30)]
    assert anchored == tuple(Fold(Span(DAY0, at[i]), Span(at[i] + purge, at[i + 1])) for i in range(3))
    rolling = make_folds(MONTH, 3, anchored=False, purge_ms=purge)
    assert [f.train.start_ms for f in rolling] == [DAY0, DAY0 + 6 * DAY_MS, DAY0 + 12 * DAY_MS]
    assert {f.train.days for f in rolling} == {12.0}
    assert [f.test for f in rolling] == [f.test for f in anchored]


@given(st.integers(20, 400), st.integers(1, 8), st.booleans(), st.integers(0, 24))
def test_a_test_begins_after_its_training_and_the_purge(days: int, count: int, anchored: bool, hours: int) -> None:
    span = Span(DAY0, DAY0 + days * DAY_MS)
    folds = make_folds(span, count, anchored=anchored, purge_ms=hours * HOUR_MS)
    for fold in folds:
        assert span.start_ms <= fold.train.start_ms < fold.train.end_ms
        assert fold.test.start_ms == fold.train.end_ms + hours * HOUR_MS < fold.test.end_ms <= span.end_ms
    for one, two in pairwise(folds):
        assert one.test.end_ms == two.train.end_ms, "tests follow each other without overlap"
    assert folds[-1].test.end_ms == span.end_ms


def test_too_short_is_said() -> None:
    with pytest.raises(UsageError, match="too short for 4 folds"):
        make_folds(Span(DAY0, DAY0 + DAY_MS), 4, anchored=True, purge_ms=8 * HOUR_MS)
    with pytest.raises(UsageError, match="too short to hold 25% of it out"):
        split(Span(DAY0, DAY0 + DAY_MS), 0.25, 6 * HOUR_MS)


def test_the_holdout_and_the_parts() -> None:
    fold = split(MONTH, 0.2, HOUR_MS)
    assert (fold.train, fold.test) == (
        Span(DAY0, DAY0 + 24 * DAY_MS),
        Span(DAY0 + 24 * DAY_MS + HOUR_MS, MONTH.end_ms),
    )
    assert parts_of(Span(0, 10), 4) == (Span(0, 2), Span(2, 5), Span(5, 7), Span(7, 10))


def test_the_purge_is_the_warm_up_of_both_timeframes() -> None:
    breakout, sweep = VolumeBreakout(), HtfSweep()
    month = 30 * DAY_MS
    assert purge_between(breakout, "5m", defaults(breakout.parameters), month) == 21 * 5 * 60_000
    own, above = sweep.history(defaults(sweep.parameters))
    assert purge_between(sweep, "5m", defaults(sweep.parameters), month) == max(own * 5 * 60_000, above * HOUR_MS)
    assert purge_between(sweep, "1d", defaults(sweep.parameters), month) == month // 4, "but never more than a quarter"


def test_the_score_is_the_t_statistic() -> None:
    r = [1.0, -1.0, 2.0, -1.0, 0.5, -0.5, 1.5, -1.0]
    array = np.array(r)
    assert score(array) == pytest.approx(array.mean() / array.std(ddof=1) * math.sqrt(8))
    assert score(array[:-1]) == NO_SCORE + 0.007
    assert score(np.zeros(0)) == NO_SCORE
    assert score(np.full(10, 0.1)) == pytest.approx(0.1 / 0.05 * math.sqrt(10)), "no spread is an artefact"
    assert LEAST_TRADES == 8


def test_daily_returns_and_the_purge_of_trades() -> None:
    found = results([1.0, -1.0, 2.0], [DAY0 + HOUR_MS, DAY0 + 2 * HOUR_MS, DAY0 + 2 * DAY_MS])
    assert found.daily(Span(DAY0, DAY0 + 3 * DAY_MS)).tolist() == pytest.approx([0.0, 0.0, 0.02])
    assert found.ending_by(DAY0 + 2 * HOUR_MS).r.tolist() == [1.0, -1.0]
    assert joined([found, found.ending_by(0)]).r.tolist() == [1.0, -1.0, 2.0]
    assert len(joined([])) == 0


def test_worth_by_hand_and_of_nothing() -> None:
    one = worth(results([1.0, -0.5, -0.5, 2.0]))
    assert (one.trades, one.mean_r, one.total_r, one.loss_rate, one.score) == (4, 0.5, 2.0, 0.5, None)
    assert one.total_return == pytest.approx(0.02)
    none = worth(joined([]))
    assert (none.trades, none.mean_r, none.total_r, none.loss_rate, none.spread_r) == (0, None, 0.0, None, None)


def test_a_promise_stays_under_what_was_seen() -> None:
    found = results(np.random.default_rng(1).normal(0.2, 1.0, 60).tolist())
    made = promise_metrics(found, 7)
    assert made == promise_metrics(found, 7), "the same seed, the same promise"
    assert made["oos_mean_r_low"] < made["oos_mean_r"]
    assert made["oos_loss_rate_high"] > made["oos_loss_rate"]
    standard_error = made["oos_spread_r"] / math.sqrt(60)
    assert made["oos_mean_r_low"] == pytest.approx(made["oos_mean_r"] - 1.645 * standard_error, abs=0.06)
    assert promise_metrics(results([1.0]), 7) == {}


def test_a_promise_out_of_few_trades_is_kept_by_the_same_law_and_broken_by_a_worse_one() -> None:
    """The whole chain: 40 trades out of sample give the promise, 150 live trades keep or break it."""
    rng = np.random.default_rng(11)

    def lived(mean: float) -> bool:
        metrics = promise_metrics(results(rng.normal(0.3, 1.0, 40).tolist()), 7) | {"oos_trades": 40.0}
        promise = promise_of(metrics)
        assert promise is not None
        evidence = Evidence()
        for r in rng.normal(mean, 1.0, 150).tolist():
            evidence = observe(evidence, promise, r)
            if reason_to_demote(evidence, promise, 0.05):
                return False
        return True

    assert sum(lived(0.3) for _ in range(150)) >= 140
    assert sum(lived(-0.6) for _ in range(60)) <= 6


def test_efficiency_is_a_number_only_where_its_denominator_is_one() -> None:
    clear, outside = results([1.0, 0.5, 1.0, 0.5]), results([0.5, -0.25])
    assert efficiency(clear, outside) == pytest.approx(0.125 / 0.75)
    assert efficiency(clear, results([-1.5])) == pytest.approx(-2.0), "what fails out of sample is told"
    barely = results([1.0, -1.0, 1.0, -0.96])
    assert barely.r.mean() == pytest.approx(0.01)
    for unfit in (barely, results([-1.0, -1.0]), results([0.0, 0.0]), results([1.0]), results([])):
        assert efficiency(unfit, outside) is None
    assert efficiency(clear, results([])) is None
