"""What every strategy shares: conditions over all bars at once, and from them one bar's signal or a whole scan.

A strategy writes down its conditions once, as arrays over a window. A live bar is the last element of a short window, a
backtest the whole of a long one: what is searched and tested is what trades.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from tui_trader.core.bars import Window, window_of_book
from tui_trader.core.parameters import Parameter, Values
from tui_trader.core.signals import Condition, MarketState, Scan, Signal, Strategy, confluence
from tui_trader.core.types import Side, dec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]
    Ints = NDArray[np.int64]
    Signs = NDArray[np.int8]

__all__ = ["Condition", "MarketState", "Signal", "Strategy", "confluence"]

A_PLUS = 0.8
"""Score of a condition that is just met: a setup with every condition met is A+."""

HIGHER = {"1m": "15m", "5m": "1h", "15m": "4h", "1h": "1d", "4h": "1d"}
"""The higher timeframe that gives a timeframe its levels; the day has none."""


def met_score(margin: Floats) -> Floats:
    """Scores of met conditions: 0.8 at the limit, 1.0 with a ``margin`` of 1 beyond it."""
    return A_PLUS + (1 - A_PLUS) * np.clip(np.nan_to_num(margin), 0.0, 1.0)


def missed_score(nearness: Floats) -> Floats:
    """Scores of missed conditions: 0 far from the limit, just under 0.8 at a ``nearness`` of 1."""
    return (A_PLUS - 0.01) * np.clip(np.nan_to_num(nearness), 0.0, 1.0)


def before(values: Floats) -> Floats:
    """Each bar's value as it stood one bar earlier; NaN at the first."""
    result: Floats = np.full(len(values), np.nan)
    result[1:] = values[:-1]
    return result


def last_two(swings: Flags, side_bars: int) -> tuple[Ints, Ints]:
    """For each bar the last but one and the last swing that was known at its close, as indexes; −1 for none."""
    known = np.zeros(len(swings), dtype=np.bool_)
    known[side_bars:] = swings[: len(swings) - side_bars] if side_bars < len(swings) else False
    where = np.flatnonzero(swings)
    rank = np.cumsum(known)
    padded = np.concatenate((np.array([-1, -1], dtype=np.int64), where))
    return padded[rank], padded[rank + 1]


class Test(msgspec.Struct, frozen=True, kw_only=True):
    """One condition at every bar: its values and whether they are met; ``words(value)`` is shown.

    Its score is 0.8 at ``limit`` and 1.0 at ``full``.
    """

    name: str
    values: Floats
    limit: float
    full: float
    met: Flags
    words: Callable[[float], str]
    weight: float = 1.0

    @property
    def score(self) -> Floats:
        """Scores 0–1 of all bars."""
        return self.scores(np.arange(len(self.values)))

    def scores(self, bars: Ints) -> Floats:
        """Scores 0–1 of some bars, by their indexes."""
        values, limit, full = self.values[bars], self.limit, self.full
        with np.errstate(divide="ignore", invalid="ignore"):
            near = values / limit if full > limit else limit / values
        margin = (values - limit) / (full - limit)
        return np.where(self.met[bars], met_score(margin), missed_score(near))

    def at(self, index: int) -> Condition:
        """The condition at one bar."""
        value = float(self.values[index])
        return Condition(
            name=self.name,
            value=value,
            limit=self.limit,
            text=self.words(value),
            met=bool(self.met[index]),
            score=float(self.scores(np.array([index]))[0]),
            weight=self.weight,
        )


def graded(
    name: str,
    values: Floats,
    limit: float,
    full: float,
    words: Callable[[float], str],
    *,
    met: Flags | None = None,
    weight: float = 1.0,
) -> Test:
    """A test that is met from ``limit`` on towards ``full``, where its score is 1.0; ``full`` may lie under ``limit``.

    ``met`` replaces the comparison where the rule is written otherwise.
    """
    if met is None:
        met = values >= limit if full > limit else values <= limit
    met = met & np.isfinite(values)
    return Test(name=name, values=values, limit=limit, full=full, met=met, words=words, weight=weight)


DECIMALS = 8
"""Suggested prices are rounded to this many decimals, so that no binary fraction lies just beyond a tick."""


class Setups(msgspec.Struct, frozen=True, kw_only=True):
    """What a strategy finds at every bar, shape (n,): the direction judged (1, −1, 0 none), its tests, its prices.

    A strategy that judges few bars may give their ascending indexes as ``bars``, and all else beside those alone.
    """

    direction: Signs
    tests: tuple[Test, ...]
    stop: Floats
    target: Floats
    bars: Ints | None = None

    def scan(self) -> Scan:
        """Sides and convictions: a setup stands where every test is met."""
        met = self.direction != 0
        for test in self.tests:
            met &= test.met
        there = np.flatnonzero(met)
        total = np.zeros(len(there))
        for test in self.tests:
            total += test.scores(there) * test.weight
        return Scan(
            bars=there if self.bars is None else self.bars[there],
            side=self.direction[there],
            conviction=total / sum(test.weight for test in self.tests),
            stop=_prices(self.stop[there]),
            target=_prices(self.target[there]),
        )

    def judges(self, bar: int) -> bool:
        """Whether the last thing found stands at ``bar``, the window's last one, and has a direction."""
        if self.bars is not None and (not len(self.bars) or self.bars[-1] != bar):
            return False
        return bool(self.direction[-1])


class BarStrategy:
    """Base of the shipped strategies: ``setups`` is all that one has to write."""

    name = ""
    timeframe = "5m"
    parameters: tuple[Parameter, ...] = ()

    def higher(self, timeframe: str) -> str | None:
        """None: most strategies look at one timeframe."""
        return None

    def history(self, values: Values) -> tuple[int, int]:
        """Closed bars needed of the timeframe and of the higher one."""
        raise NotImplementedError

    def setups(self, window: Window, values: Values) -> Setups:
        """Every condition at every bar of the window."""
        raise NotImplementedError

    def scan(self, window: Window, values: Values) -> Scan:
        """Decisions for every bar of the window."""
        return self.setups(window, values).scan()

    def on_bar(self, state: MarketState) -> Signal | None:
        """The newest bar's signal; None without a setup to judge, or before there is enough history."""
        count, above = self.history(state.values)
        higher = self.higher(state.timeframe)
        window = window_of_book(state.candles, state.timeframe, count, higher, above)
        if len(window.bars) < count or (window.higher is not None and len(window.higher.bars) < above):
            return None
        found = self.setups(window, state.values)
        if not found.judges(len(window.bars) - 1):
            return None
        conditions = tuple(test.at(-1) for test in found.tests)
        met = all(condition.met for condition in conditions)
        return Signal(
            strategy=self.name,
            symbol=state.symbol,
            side=(Side.LONG if found.direction[-1] > 0 else Side.SHORT) if met else None,
            conviction=confluence(conditions) if met else 0.0,
            conditions=conditions,
            bar_close_ms=state.candles.last_closed_ms(state.timeframe),
            stop=_price(found.stop[-1]) if met else None,
            target=_price(found.target[-1]) if met else None,
            note="" if met else "; ".join(c.text for c in conditions if not c.met),
        )


def _prices(values: Floats) -> Floats:
    """As ``_price`` has each: what is not finite is none."""
    finite: Floats = np.where(np.isfinite(values), values, np.nan)
    return np.round(finite, DECIMALS)


def _price(value: float) -> Decimal | None:
    return dec(float(np.round(value, DECIMALS))) if np.isfinite(value) else None
