"""The lazy total equals a full scan, whatever was noted in between."""

from __future__ import annotations

import random
from bisect import insort
from math import inf

import pytest

from tui_trader.core.depth import BAND, BandTotal


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("every", [1, 5, 100])
def test_equals_a_full_scan(sign: int, every: int) -> None:
    rng = random.Random(every * sign)
    levels: dict[float, float] = {}
    keys: list[float] = []
    total = BandTotal(levels, keys, sign, -inf)
    mid = 1_000.0
    for step in range(2_000):
        changes = [
            (round(mid - sign * rng.random() * 12, 1), rng.choice([0.0, rng.random() * 5]))
            for _ in range(rng.randrange(9))
        ]
        for price, qty in changes:
            if price not in levels:
                insort(keys, price * sign)
            levels[price] = qty
        total.note(changes)
        mid += rng.uniform(-0.2, 0.2)
        if step % every == 0:
            expected = sum(p * q for p, q in levels.items() if p * sign >= mid * (sign - BAND))
            assert total.notional(mid) == pytest.approx(expected, rel=1e-9, abs=1e-6)


def test_nothing_noted_nothing_changed() -> None:
    levels = {999.0: 1.0, 990.0: 5.0}
    total = BandTotal(levels, sorted(levels), 1, -inf)
    assert total.notional(1_000.0) == total.notional(1_000.0) == 999.0


def test_levels_under_the_limit_never_count() -> None:
    levels = {999.0: 1.0, 996.0: 5.0}
    total = BandTotal(levels, [999.0], 1, 998.0)
    assert total.notional(1_000.0) == 999.0
    levels[996.0] = 7.0
    total.note([(996.0, 7.0)])
    assert total.notional(1_000.0) == 999.0
