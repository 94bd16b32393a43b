"""Trained assets: parameter sets per symbol, exchange, strategy, regime and timeframe, and which one is in force."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from tui_trader.core.parameters import ParameterError, Values, resolve
from tui_trader.core.regime import Regime
from tui_trader.core.signals import Strategy

Key = tuple[str, str, str, Regime, str]
"""Symbol, exchange, strategy, regime, timeframe."""


class TrainedSet(msgspec.Struct, frozen=True, kw_only=True):
    """One searched set. ``metrics`` are out of sample; ``demoted`` says why it is not used any more, or ""."""

    symbol: str
    exchange: str
    strategy: str
    regime: Regime
    timeframe: str
    values: dict[str, float]
    trained_ms: int
    deployed: bool
    metrics: dict[str, float] = {}
    data_hash: str = ""
    window: tuple[int, int] = (0, 0)
    reason: str = ""
    demoted: str = ""

    @property
    def key(self) -> Key:
        """What it is for."""
        return self.symbol, self.exchange, self.strategy, self.regime, self.timeframe


class Resolved(msgspec.Struct, frozen=True):
    """Parameters in force and where they came from, in words."""

    values: Values
    source: str
    trained: TrainedSet | None = None


class TrainedBook:
    """The trained sets that a session knows; one for each key, the last one given."""

    def __init__(self, sets: Iterable[TrainedSet] = ()) -> None:
        self._sets: dict[Key, TrainedSet] = {}
        for one in sets:
            self.put(one)

    def put(self, trained: TrainedSet) -> None:
        """Take a set over an earlier one for the same key."""
        self._sets[trained.key] = trained

    def all(self) -> tuple[TrainedSet, ...]:
        """Every set, by key."""
        return tuple(self._sets[key] for key in sorted(self._sets))

    def optimized_parameters(
        self,
        symbol: str,
        exchange: str,
        strategy: Strategy,
        regime: Regime | None,
        timeframe: str,
        configured: Mapping[str, object],
    ) -> Resolved:
        """The deployed set, or the configured values over the defaults; and why (SPEC §7)."""
        base = resolve(strategy.parameters, configured)
        default = "config" if configured else "default"
        if regime is None:
            return Resolved(base, f"{default}: the regime is not known yet")
        found = self._sets.get((symbol, exchange, strategy.name, regime, timeframe))
        if found is None:
            return Resolved(base, f"{default}: nothing trained for {regime.value} on {timeframe}")
        if found.demoted:
            return Resolved(base, f"{default}: the trained set was demoted, {found.demoted}")
        if not found.deployed:
            return Resolved(base, f"{default}: the trained set was not deployed, {found.reason}")
        try:
            values = resolve(strategy.parameters, configured, found.values)
        except ParameterError as error:
            return Resolved(base, f"{default}: the trained set does not fit this version, {error}")
        return Resolved(values, f"trained for {regime.value} on {timeframe}", found)
