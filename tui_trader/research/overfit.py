"""How much of a search's best result is luck: deflated Sharpe ratio, and probability of backtest overfitting.

Sharpe ratios in here are per period (day) and not annualised, as the formulas need them.
"""

from __future__ import annotations

import math
from itertools import combinations
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

EULER_GAMMA = 0.5772156649015329
MOST_BLOCKS = 12
"""924 ways to halve them; more blocks change the answer little and cost much."""
LEAST_DAYS = 10
_NORMAL = NormalDist()


def sharpe(returns: Floats) -> float:
    """Mean over standard deviation (n − 1) of the returns of one period; 0 without variation."""
    if len(returns) < 2:
        return 0.0
    spread = float(returns.std(ddof=1))
    return float(returns.mean()) / spread if spread > 0 else 0.0


def expected_best_sharpe(sharpes: Floats) -> float:
    """The Sharpe ratio that the best of N trials shows on average when none has an edge.

    √V·((1 − γ)·Z⁻¹(1 − 1/N) + γ·Z⁻¹(1 − 1/(N·e))), V the variance of the trials' Sharpe ratios, γ Euler's constant
    (Bailey & López de Prado 2014, "The Deflated Sharpe Ratio", eq. 1). 0 for a single trial.
    """
    trials = len(sharpes)
    if trials < 2:
        return 0.0
    spread = float(np.std(sharpes, ddof=1))
    high = _NORMAL.inv_cdf(1 - 1 / trials)
    higher = _NORMAL.inv_cdf(1 - 1 / (trials * math.e))
    return spread * ((1 - EULER_GAMMA) * high + EULER_GAMMA * higher)


def deflated_sharpe(returns: Floats, sharpes: Floats) -> float | None:
    """Probability that the true Sharpe ratio of the chosen trial is above 0, given how many were tried.

    Z((SR − SR₀)·√(T − 1) / √(1 − γ₃·SR + (γ₄ − 1)/4·SR²)), SR₀ from ``expected_best_sharpe``, γ₃ and γ₄ skewness and
    kurtosis of the T returns (Bailey & López de Prado 2014, eq. 2). None with under 10 returns, or without variation.
    """
    count = len(returns)
    spread = float(returns.std()) if count else 0.0
    if count < LEAST_DAYS or spread <= 0:
        return None
    ratio = sharpe(returns)
    standard = (returns - returns.mean()) / spread
    skew, kurtosis = float((standard**3).mean()), float((standard**4).mean())
    below = 1 - skew * ratio + (kurtosis - 1) / 4 * ratio * ratio
    if below <= 0:
        return None
    return _NORMAL.cdf((ratio - expected_best_sharpe(sharpes)) * math.sqrt((count - 1) / below))


def overfitting_probability(returns: Floats) -> float | None:
    """Probability of backtest overfitting by combinatorially symmetric cross-validation; ``returns`` (days, trials).

    The days are cut into S even blocks. For each way to take half of them, the trial with the best Sharpe ratio there
    gets the relative rank ω of its Sharpe ratio in the other half; λ = ln(ω/(1 − ω)); the answer is the share of λ ≤ 0,
    that is, how often the best in sample is no better than the median out of it (Bailey, Borwein, López de Prado & Zhu
    2017, "The Probability of Backtest Overfitting"). None with under two trials or too few days for four blocks.
    """
    days, trials = returns.shape
    blocks = min(MOST_BLOCKS, days // 3) // 2 * 2
    if trials < 2 or blocks < 4:
        return None
    parts = np.array_split(returns, blocks)
    counts = np.array([len(part) for part in parts], dtype=np.float64)
    sums = np.stack([part.sum(axis=0) for part in parts])
    squares = np.stack([(part * part).sum(axis=0) for part in parts])
    halves = list(combinations(range(blocks), blocks // 2))
    chosen = np.zeros((len(halves), blocks))
    for row, half in enumerate(halves):
        chosen[row, list(half)] = 1.0
    inside = _ratios(chosen, counts, sums, squares)
    outside = _ratios(1.0 - chosen, counts, sums, squares)
    best = inside.argmax(axis=1)
    score = outside[np.arange(len(halves)), best][:, None]
    # Ties count half, so that trials without a trade are neither good nor bad.
    rank = (outside < score).sum(axis=1) + ((outside == score).sum(axis=1) + 1) / 2
    relative = rank / (trials + 1)
    return float((relative <= 0.5).mean())


def _ratios(chosen: Floats, counts: Floats, sums: Floats, squares: Floats) -> Floats:
    """Sharpe ratio of each trial over each choice of blocks, shape (choices, trials)."""
    number = (chosen @ counts)[:, None]
    mean = (chosen @ sums) / number
    variance = np.maximum((chosen @ squares) / number - mean * mean, 0.0)
    # Sums of squares lose their last digits: a trial that never traded must not get a ratio out of them.
    still = variance <= 1e-18
    ratios: Floats = np.where(still, 0.0, mean / np.sqrt(np.where(still, 1.0, variance)))
    return ratios
