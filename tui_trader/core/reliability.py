"""Does a trained set keep its promise? Its trades against what it did out of sample, with a bounded false alarm rate.

Two questions are asked after every trade: do the results still have the promised mean, and do losses still come as
rarely as promised? Each answer is a betting process whose expectation never rises above 1 while the promise holds
(Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by betting"; for the loss rate the bet is
Wald's likelihood ratio). By Ville's inequality (1939) such a process ever reaches 1/α with probability at most α,
however long one looks. The mean of the two is such a process again, so demoting when it reaches 1/α keeps the false
alarm rate over the whole life of a set at α.

So that a set that was good for long and then decays is still found, bets are begun anew at every trade t with weight
1/(t(t+1)), which sum to 1 (as the mixtures of Shin, Ramdas & Rinaldo 2022, "E-detectors"):
M(t) = (M(t−1) + 1/(t(t+1)))·L(t), and the process is M(t) + 1/(t+1).

What is promised is not the out-of-sample mean itself, which is an estimate, but its lower bound, and the upper bound of
the loss rate: the test asks whether a set is worse than what it could have promised.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

R_CLIP = 3.0
"""Results count as at most ±3 R, in the promise as in its check: a bet needs bounds."""
BOLDNESS = 0.9
"""Part of the largest bet that cannot lose everything on one trade."""
_MOST = 1e12


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """What a set showed out of sample, R per trade clipped to ±3: bounds at 95 % one-sided, and the spread of R."""

    mean_r: float
    mean_r_low: float
    loss_rate: float
    loss_rate_high: float
    spread_r: float
    trades: int


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a set since it was deployed; ``by_mean`` and ``by_losses`` are the bets under way."""

    trades: int = 0
    losses: int = 0
    total_r: float = 0.0
    by_mean: float = 0.0
    by_losses: float = 0.0

    @property
    def e_value(self) -> float:
        """Evidence against the promise: at least x with probability at most 1/x while the promise holds."""
        return (self.by_mean + self.by_losses) / 2 + 1.0 / (self.trades + 1)


def clipped(r: float) -> float:
    """A result as it counts here."""
    return max(-R_CLIP, min(R_CLIP, r))


def wilson_high(losses: int, trades: int, z: float = 1.645) -> float:
    """Upper end of the one-sided Wilson (1927) interval of a rate; 1 without trades."""
    if not trades:
        return 1.0
    rate, square = losses / trades, z * z
    half = z * math.sqrt(rate * (1 - rate) / trades + square / (4 * trades * trades))
    return min(1.0, (rate + square / (2 * trades) + half) / (1 + square / trades))


def promise_of(metrics: dict[str, float]) -> Promise | None:
    """The promise in a trained set's metrics; None when it has none."""
    names = ("oos_mean_r", "oos_mean_r_low", "oos_loss_rate", "oos_loss_rate_high", "oos_spread_r", "oos_trades")
    if not all(math.isfinite(metrics.get(name, math.nan)) for name in names) or metrics["oos_trades"] < 1:
        return None
    mean, low, rate, high, spread, trades = (metrics[name] for name in names)
    return Promise(
        mean_r=mean, mean_r_low=low, loss_rate=rate, loss_rate_high=high, spread_r=spread, trades=int(trades)
    )


def observe(evidence: Evidence, promise: Promise, r: float) -> Evidence:
    """The evidence after one more trade of ``r``."""
    t = evidence.trades + 1
    weight = 1.0 / (t * (t + 1))
    return Evidence(
        trades=t,
        losses=evidence.losses + (r <= 0),
        total_r=evidence.total_r + r,
        by_mean=min(_MOST, (evidence.by_mean + weight) * _mean_bet(promise, clipped(r))),
        by_losses=min(_MOST, (evidence.by_losses + weight) * _loss_bet(promise, r <= 0)),
    )


def _mean_bet(promise: Promise, r: float) -> float:
    """1 + λ(m − r) for a promised mean m: at most 1 on average while the mean is m or more.

    λ = Δ/(σ² + Δ²) grows the bet fastest when the mean has fallen by Δ = σ/2, and is kept under 1/(3 − m), so that it
    stays positive.
    """
    m = promise.mean_r_low
    shift = max(promise.spread_r, 0.1) / 2
    wager = shift / (max(promise.spread_r, 0.1) ** 2 + shift**2)
    return 1.0 + min(wager, BOLDNESS / (R_CLIP - min(m, R_CLIP - 0.1))) * (m - r)


def _loss_bet(promise: Promise, lost: bool) -> float:
    """Wald's ratio q/p or (1 − q)/(1 − p) for a promised loss rate p and q = 2p/(1 + p), twice its odds."""
    return (2.0 if lost else 1.0) / (1 + max(promise.loss_rate_high, 0.05))


def reason_to_demote(evidence: Evidence, promise: Promise, false_alarm: float) -> str:
    """Why the set must not be used any more, or ""."""
    if evidence.e_value < 1.0 / false_alarm:
        return ""
    mean, rate = evidence.total_r / evidence.trades, evidence.losses / evidence.trades
    return (
        f"{evidence.trades} trades gave {mean:+.2f} R each and {rate:.0%} losses; out of sample it was "
        f"{promise.mean_r:+.2f} R (at least {promise.mean_r_low:+.2f}) and {promise.loss_rate:.0%} (at most "
        f"{promise.loss_rate_high:.0%}); by chance that happens once in {evidence.e_value:.0f} times or less"
    )


def gather(promise: Promise, results: Sequence[float]) -> Evidence:
    """The evidence of a series of results, oldest first."""
    evidence = Evidence()
    for r in results:
        evidence = observe(evidence, promise, r)
    return evidence
