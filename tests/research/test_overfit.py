"""Deflated Sharpe ratio and probability of overfitting: worked examples, and what they say of luck and of skill."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from tui_trader.research.overfit import (
    EULER_GAMMA,
    deflated_sharpe,
    expected_best_sharpe,
    overfitting_probability,
    sharpe,
)


def test_sharpe_by_hand() -> None:
    assert sharpe(np.array([0.01, 0.03])) == pytest.approx(0.02 / math.sqrt(2 * 0.01**2))
    assert sharpe(np.zeros(5)) == 0.0
    assert sharpe(np.array([0.1])) == 0.0


def test_the_best_of_many_worthless_trials_is_as_good_as_the_formula_says() -> None:
    """Bailey & López de Prado's own example: variance 0.5 of yearly ratios and 100 trials give 1.79."""
    normal = NormalDist()
    best = (1 - EULER_GAMMA) * normal.inv_cdf(0.99) + EULER_GAMMA * normal.inv_cdf(1 - 1 / (100 * math.e))
    ratios = np.array([-1.0, 1.0] * 50) * math.sqrt(0.5 * 99 / 100)
    assert expected_best_sharpe(ratios) == pytest.approx(math.sqrt(0.5) * best)
    assert expected_best_sharpe(ratios) == pytest.approx(1.79, abs=0.005)
    draws = np.random.default_rng(3).normal(0, math.sqrt(0.5), size=(20_000, 100)).max(axis=1)
    assert expected_best_sharpe(ratios) == pytest.approx(draws.mean(), abs=0.03)
    assert expected_best_sharpe(np.array([1.0])) == 0.0


def test_the_paper_s_example_of_the_deflated_ratio() -> None:
    """A yearly Sharpe ratio of 2.5 over 1,250 days, skewness −3, kurtosis 10, 100 trials of variance 0.5: 0.9004."""
    rng = np.random.default_rng(1)
    returns = shaped(rng, 1_250, skew=-3.0, kurtosis=10.0, ratio=2.5 / math.sqrt(250))
    ratios = np.array([-1.0, 1.0] * 50) * math.sqrt(0.5 * 99 / 100) / math.sqrt(250)
    found = deflated_sharpe(returns, ratios)
    assert found == pytest.approx(0.9004, abs=0.002)


def shaped(rng: np.random.Generator, count: int, *, skew: float, kurtosis: float, ratio: float) -> np.ndarray:
    """Returns with exactly these moments: three values with the weights that have them."""
    # A three-point law at −a, 0.5 and b, solved for mean 0, variance 1, skewness and kurtosis by Newton's method.
    x = np.array([-4.0, 0.1, 1.0, 0.05, 0.6])

    def error(v: np.ndarray) -> np.ndarray:
        low, middle, high, p, q = v
        weights = np.array([p, q, 1 - p - q])
        points = np.array([low, middle, high])
        moments = [(weights * points**n).sum() for n in (1, 2, 3, 4)]
        return np.array([moments[0], moments[1] - 1, moments[2] - skew, moments[3] - kurtosis, middle - 0.1])

    for _ in range(200):
        base = error(x)
        jacobian = np.stack([(error(x + 1e-6 * np.eye(5)[i]) - base) / 1e-6 for i in range(5)], axis=1)
        x = x - 0.5 * np.linalg.solve(jacobian, base)
    low, middle, high, p, q = x
    counts = [round(count * p), round(count * q)]
    found = np.concatenate((np.full(counts[0], low), np.full(counts[1], middle), np.full(count - sum(counts), high)))
    standard = (found - found.mean()) / found.std(ddof=1)
    return np.asarray(rng.permutation(standard) + ratio)


def test_more_trials_deflate_more_and_little_data_says_nothing() -> None:
    returns = np.random.default_rng(5).normal(0.1, 1.0, 250)
    few, many = (np.random.default_rng(6).normal(0, 0.06, n) for n in (5, 500))
    low, high = deflated_sharpe(returns, many), deflated_sharpe(returns, few)
    assert low is not None
    assert high is not None
    assert low < high
    assert deflated_sharpe(returns[:9], few) is None
    assert deflated_sharpe(np.zeros(50), few) is None


def test_luck_is_called_luck_and_skill_skill() -> None:
    """Without an edge the best in sample is as good as any out of it; with one clear edge it nearly always wins."""
    found = [overfitting_probability(np.random.default_rng(seed).normal(0, 1, (120, 40))) for seed in range(12)]
    assert np.mean([p for p in found if p is not None]) == pytest.approx(0.5, abs=0.12)
    skilled = np.random.default_rng(2).normal(0, 1, (120, 40))
    skilled[:, 7] += 1.0
    assert overfitting_probability(skilled) == pytest.approx(0.0, abs=0.01)


def test_a_search_that_fits_noise_is_found_out() -> None:
    """Trials that shine in one half and fail in the other by construction."""
    rng = np.random.default_rng(4)
    signs = rng.choice([-1.0, 1.0], size=(12, 60))
    signs -= signs.mean(axis=0)
    assert overfitting_probability(np.repeat(signs, 5, axis=0) + rng.normal(0, 0.01, (60, 60))) > 0.9  # type: ignore[operator]


def test_cscv_by_hand_with_four_blocks() -> None:
    """Two trials, twelve days: the first wins in blocks 0 and 1, the other in 2 and 3."""
    first = np.repeat([2.0, 2.0, -2.0, -2.0], 3) + np.tile([-0.1, 0.0, 0.1], 4)
    returns = np.stack((first, -first), axis=1)
    # {0,1} and {2,3} pick the loser of the other half; the mixed four tie at zero in sample, and out of it.
    assert overfitting_probability(returns) == 1.0
    assert overfitting_probability(returns[:, :1]) is None
    assert overfitting_probability(returns[:10]) is None


def test_trials_that_never_traded_are_neither_good_nor_bad() -> None:
    returns = np.zeros((60, 10))
    returns[:, 3] = np.random.default_rng(8).normal(0.5, 1.0, 60)
    found = overfitting_probability(returns)
    assert found is not None
    assert found < 0.2
    assert overfitting_probability(np.zeros((60, 10))) == 1.0
