"""Frozen views of strategies: regimes, signals and their conditions, parameters in force, trained sets, results."""

from __future__ import annotations

import msgspec

UNKNOWN = "unknown"
"""The word for a regime before there are enough closed bars."""


class RegimeView(msgspec.Struct, frozen=True, kw_only=True):
    """What a symbol does on a timeframe: bull, bear, sideways, or unknown: ``bars`` closed of the ``needed`` ones."""

    timeframe: str
    regime: str
    bars: int
    needed: int

    @property
    def words(self) -> str:
        """The regime, and what is missing where it is not known."""
        if self.regime != UNKNOWN:
            return f"{self.regime} on {self.timeframe}"
        if self.bars < self.needed:
            return f"unknown on {self.timeframe}: {self.bars} of {self.needed} closed bars"
        return f"unknown on {self.timeframe} until its next bar closes"


class ConditionView(msgspec.Struct, frozen=True, kw_only=True):
    """One condition of a signal: its value against its limit, met or missed, and its part in the confluence.

    ``value`` and ``limit`` are None where the strategy had no number; ``score`` 0–1 counts with ``weight``.
    """

    name: str
    value: float | None
    limit: float | None
    text: str
    met: bool
    score: float = 0.0
    weight: float = 1.0


class SignalRow(msgspec.Struct, frozen=True, kw_only=True):
    """A signal or a refusal. ``action``: opened, refused, hold, manual.

    ``source`` says where the strategy's parameters came from, ``regime`` what the market did on ``timeframe`` then
    ("unknown" before it can be told); "" by hand. ``conviction`` needed ``threshold``; ``stop`` and ``target`` are the
    strategy's suggestions in quote, 0 for none.
    """

    ts: int
    symbol: str
    side: str
    strategy: str
    conviction: float
    action: str
    reasons: tuple[str, ...]
    conditions: tuple[ConditionView, ...]
    source: str = ""
    regime: str = ""
    timeframe: str = ""
    threshold: float = 0.0
    stop: float = 0.0
    target: float = 0.0


class ParameterView(msgspec.Struct, frozen=True, kw_only=True):
    """A declared parameter of a strategy, in words."""

    name: str
    default: float
    low: float
    high: float
    text: str


class UseView(msgspec.Struct, frozen=True, kw_only=True):
    """Members of the universe for which a strategy runs with the same ``values``, in the same regime, and why these.

    ``trained`` is whether they are a trained set; ``values`` are in the order of the strategy's parameters.
    """

    symbols: tuple[str, ...]
    regime: str
    source: str
    trained: bool
    values: tuple[float, ...]


class TrainedView(msgspec.Struct, frozen=True, kw_only=True):
    """A trained set on the strategy's timeframe. ``state``: in use, demoted, not deployed; ``reason`` of the latter.

    Means are in R per trade: ``oos_mean_r`` out of sample over ``oos_trades``, ``mean_r`` over the ``trades`` since
    then; ``low`` is the promise that it is held to.
    """

    symbol: str
    regime: str
    state: str
    reason: str
    values: tuple[float, ...]
    oos_trades: int
    oos_mean_r: float
    low: float
    trades: int
    mean_r: float


class StrategyRow(msgspec.Struct, frozen=True, kw_only=True):
    """One strategy and its results of this store's closed trades; ``problem`` says why it was paused by itself.

    ``unused`` names the deployed sets of other timeframes, and what to set so that it runs with them.
    """

    name: str
    running: bool
    trades: int
    wins: int
    pnl: float
    mean_r: float
    tp1_hits: int
    tp1_attempts: int
    mean_slippage_pct: float
    timeframe: str = ""
    higher: str = ""
    threshold: float = 0.0
    problem: str = ""
    parameters: tuple[ParameterView, ...] = ()
    uses: tuple[UseView, ...] = ()
    sets: tuple[TrainedView, ...] = ()
    unused: tuple[str, ...] = ()
