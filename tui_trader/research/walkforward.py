"""Windows of history for walk-forward tests, and what a strategy's trades in a window are worth."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from tui_trader.core.parameters import Values
from tui_trader.core.reliability import R_CLIP, wilson_high
from tui_trader.core.signals import Strategy
from tui_trader.core.types import DAY_MS
from tui_trader.errors import UsageError
from tui_trader.research.book import warm_up_ms

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Times = NDArray[np.int64]

FIRST_TRAIN = 0.4
"""Part of the history before the first test."""
LEAST_TRADES = 8
"""Under so many trades a result in sample counts for nothing: the default is kept."""
MEANT_ERRORS = 2.0
"""A mean in sample that lies fewer standard errors over zero is no measure for what came after."""
NO_SCORE = -10.0
_RESAMPLES = 2_000


class Span(msgspec.Struct, frozen=True):
    """A time: the bars that open from ``start_ms`` on and before ``end_ms``, and the decisions at their closes."""

    start_ms: int
    end_ms: int

    @property
    def days(self) -> float:
        """Length in days."""
        return (self.end_ms - self.start_ms) / DAY_MS


class Fold(msgspec.Struct, frozen=True):
    """Search in ``train``, then trade in ``test``; between them the purge."""

    train: Span
    test: Span


def make_folds(span: Span, count: int, *, anchored: bool, purge_ms: int) -> tuple[Fold, ...]:
    """Tests one after the other over the last 60 % of ``span``; each is preceded by its training, from the beginning on
    (anchored) or of constant length (rolling). Raises ``UsageError`` when the purge leaves nothing to test.
    """
    length = span.end_ms - span.start_ms
    first = int(length * FIRST_TRAIN)
    each = (length - first) // count
    if each <= purge_ms or not first:
        raise UsageError(f"{span.days:.1f} days of history are too short for {count} folds; give more, or fewer folds")
    found = []
    for number in range(count):
        cut = span.start_ms + first + number * each
        begin = span.start_ms if anchored else cut - first
        end = span.end_ms if number == count - 1 else cut + each
        found.append(Fold(Span(begin, cut), Span(cut + purge_ms, end)))
    return tuple(found)


def split(span: Span, holdout: float, purge_ms: int) -> Fold:
    """The history in and out of sample: the last part ``holdout`` is held out."""
    cut = span.start_ms + int((span.end_ms - span.start_ms) * (1 - holdout))
    if span.end_ms - cut <= purge_ms:
        raise UsageError(f"{span.days:.1f} days of history are too short to hold {holdout:.0%} of it out")
    return Fold(Span(span.start_ms, cut), Span(cut + purge_ms, span.end_ms))


def parts_of(span: Span, count: int) -> tuple[Span, ...]:
    """``span`` in ``count`` even parts."""
    cuts = [span.start_ms + (span.end_ms - span.start_ms) * i // count for i in range(count + 1)]
    return tuple(Span(a, b) for a, b in pairwise(cuts))


def purge_between(strategy: Strategy, timeframe: str, values: Values, test_ms: int) -> int:
    """How long after a training nothing is entered, ms: the strategy's warm-up, so that no decision of a test rests on
    bars that were searched; at most a quarter of the test, or long timeframes would leave none of it.
    """
    return min(warm_up_ms(strategy, timeframe, values), test_ms // 4)


class Results(msgspec.Struct, frozen=True):
    """Closed trades, in order: result in R and as a fraction of the wallet, decided and ended at, ms; shape (n,)."""

    r: Floats
    gain: Floats
    decided_ms: Times
    ended_ms: Times

    def __len__(self) -> int:
        return len(self.r)

    def ending_by(self, end_ms: int) -> Results:
        """Purged: without trades that ended later, and so know what came after."""
        keep = self.ended_ms <= end_ms
        return Results(self.r[keep], self.gain[keep], self.decided_ms[keep], self.ended_ms[keep])

    def daily(self, span: Span) -> Floats:
        """Return of each UTC day of ``span`` that a trade ended in, as a fraction of the wallet, shape (days,)."""
        first, last = span.start_ms // DAY_MS, (span.end_ms - 1) // DAY_MS
        day = np.clip(self.ended_ms // DAY_MS - first, 0, last - first)
        return np.bincount(day, weights=self.gain, minlength=int(last - first) + 1).astype(np.float64)


def joined(results: list[Results]) -> Results:
    """All trades one after the other."""
    if not results:
        none, never = np.zeros(0), np.zeros(0, dtype=np.int64)
        return Results(none, none, never, never)
    return Results(*(np.concatenate([getattr(one, name) for one in results]) for name in Results.__struct_fields__))


def efficiency(inside: Results, outside: Results) -> float | None:
    """Mean R out of sample over mean R in sample (Pardo's walk-forward efficiency).

    None without trades on either side, and where the mean in sample is not ``MEANT_ERRORS`` standard errors over zero:
    a quotient by what may as well be nothing is any number.
    """
    if len(inside) < 2 or not len(outside):
        return None
    mean, error = float(inside.r.mean()), float(inside.r.std(ddof=1)) / math.sqrt(len(inside))
    if mean <= 0 or mean < MEANT_ERRORS * error:
        return None
    return float(outside.r.mean()) / mean


def score(r: Floats) -> float:
    """What a search maximises: mean(R) / standard deviation(R) · √n, the t-statistic of the expectancy, so that neither
    a few lucky trades nor many worthless ones win. Under ``LEAST_TRADES`` trades: −10, and a little more for each.
    """
    count = len(r)
    if count < LEAST_TRADES:
        return NO_SCORE + count / 1000
    spread = float(r.std(ddof=1))
    mean = float(r.mean())
    # Results that are all the same are an artefact; a spread of at least 0.05 R keeps them from winning.
    return mean / max(spread, 0.05) * math.sqrt(count)


class Worth(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of a series of trades, R per trade; None where not defined."""

    trades: int
    mean_r: float | None
    total_r: float
    loss_rate: float | None
    spread_r: float | None
    score: float | None
    total_return: float


def worth(results: Results) -> Worth:
    """The figures of ``results``; ``total_return`` is the sum of the gains, as fractions of the wallet."""
    count = len(results)
    return Worth(
        trades=count,
        mean_r=float(results.r.mean()) if count else None,
        total_r=float(results.r.sum()),
        loss_rate=float((results.r <= 0).mean()) if count else None,
        spread_r=float(results.r.std(ddof=1)) if count > 1 else None,
        score=score(results.r) if count >= LEAST_TRADES else None,
        total_return=float(results.gain.sum()),
    )


def promise_metrics(results: Results, seed: int) -> dict[str, float]:
    """What a set promises from its trades out of sample, as ``core.reliability`` reads it.

    The lower bound of the mean is the 5 % quantile of the means of 2,000 resamples with replacement (Efron's percentile
    bootstrap) of R clipped to ±3; that of the loss rate is Wilson's. Empty without two trades.
    """
    count = len(results)
    if count < 2:
        return {}
    inside = np.clip(results.r, -R_CLIP, R_CLIP)
    draws = np.random.default_rng(seed).integers(0, count, size=(_RESAMPLES, count))
    losses = int((results.r <= 0).sum())
    return {
        "oos_mean_r": float(results.r.mean()),
        "oos_mean_r_low": float(np.quantile(inside[draws].mean(axis=1), 0.05)),
        "oos_loss_rate": losses / count,
        "oos_loss_rate_high": wilson_high(losses, count),
        "oos_spread_r": float(inside.std(ddof=1)),
        "oos_total_r": float(results.r.sum()),
    }
