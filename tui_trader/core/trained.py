"""Trained assets: parameter sets per symbol, exchange, strategy, regime and timeframe, and which one is in force."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import msgspec

from tui_trader.core.parameters import ParameterError, Values, resolve
from tui_trader.core.regime import Regime
from tui_trader.core.reliability import Evidence, observe, promise_of, reason_to_demote
from tui_trader.core.signals import Strategy

Key = tuple[str, str, str, Regime, str]
"""Symbol, exchange, strategy, regime, timeframe."""


class TrainedSet(msgspec.Struct, frozen=True, kw_only=True):
    """One searched set. ``metrics`` are out of sample; ``demoted`` says why it is not used any more, or "".

    ``window`` is the history it rests on (first ms, end ms), ``code`` the version that made it, ``search`` names the
    search itself (data, code and its size), ``oos_r`` are the last results of its trades out of sample in R.
    """

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
    code: str = ""
    search: str = ""
    oos_r: tuple[float, ...] = ()

    @property
    def identity(self) -> str:
        """A name of this very set, kept with every trade that it made."""
        return f"{self.exchange}:{self.symbol}:{self.strategy}:{self.regime.value}:{self.timeframe}@{self.trained_ms}"

    @property
    def in_use(self) -> bool:
        """Deployed and not demoted."""
        return self.deployed and not self.demoted

    @property
    def key(self) -> Key:
        """What it is for."""
        return self.symbol, self.exchange, self.strategy, self.regime, self.timeframe


def row_of(trained: TrainedSet) -> dict[str, object]:
    """A set as a row of the store's ``trained_assets``; the newest row of a key is the one that counts."""
    return {
        "symbol": trained.symbol,
        "exchange": trained.exchange,
        "strategy": trained.strategy,
        "regime": trained.regime.value,
        "timeframe": trained.timeframe,
        "body": msgspec.to_builtins(trained),
        "deployed": trained.in_use,
    }


def unused_because(one: TrainedSet, timeframe: str, venue: str) -> str:
    """Why a session does not trade with a set that is deployed, and what to set, or "".

    ``timeframe`` is the one on which the strategy runs, "" when it does not run; ``venue`` where the session trades.
    """
    if one.exchange != venue:
        return f"it is for {one.exchange}, the console trades on {venue}"
    if not timeframe:
        return f"{one.strategy} does not run: add it to strategies.enabled"
    if one.timeframe != timeframe:
        return (
            f"{one.strategy} runs on {timeframe}; to run it on {one.timeframe}: "
            f'strategies.timeframes = {{{one.strategy} = "{one.timeframe}"}}'
        )
    return ""


class Resolved(msgspec.Struct, frozen=True):
    """Parameters in force and where they came from, in words."""

    values: Values
    source: str
    trained: TrainedSet | None = None


class TrainedBook:
    """The trained sets that a session knows, one for each key, the last one given; and how those in use fare."""

    def __init__(self, sets: Iterable[TrainedSet] = ()) -> None:
        self._sets: dict[Key, TrainedSet] = {}
        self._evidence: dict[str, Evidence] = {}
        for one in sets:
            self.put(one)

    def put(self, trained: TrainedSet) -> None:
        """Take a set over an earlier one for the same key. A set once demoted is not taken back by giving it again."""
        known = self._sets.get(trained.key)
        if known is not None and known.identity == trained.identity and known.demoted:
            return
        self._sets[trained.key] = trained

    def recover(self, sets: Iterable[TrainedSet], results: Iterable[tuple[str, float]]) -> None:
        """What the store knows at a start: the sets, and the results in R of their trades, oldest first."""
        for one in sets:
            self.put(one)
        known = {one.identity: one for one in self._sets.values()}
        for identity, r in results:
            if identity in known:
                self._observe(known[identity], r)

    def reload(self, sets: Iterable[TrainedSet]) -> tuple[TrainedSet, ...]:
        """Take what the store has now; gives the sets that are new or different."""
        before = dict(self._sets)
        given = {one.key: one for one in sets}
        self._sets = {key: one for key, one in self._sets.items() if key in given}
        for one in given.values():
            self.put(one)
        return tuple(one for key, one in self._sets.items() if before.get(key) != one)

    def judge(self, identity: str, r: float, false_alarm: float) -> TrainedSet | None:
        """Count a trade of a set; gives the set, demoted with its reason, when it has parted from its promise."""
        one = next((s for s in self._sets.values() if s.identity == identity), None)
        if not identity or one is None or one.demoted:
            return None
        promise = promise_of(one.metrics)
        evidence = self._observe(one, r)
        if promise is None or evidence is None:
            return None
        reason = reason_to_demote(evidence, promise, false_alarm)
        if not reason:
            return None
        demoted = msgspec.structs.replace(one, demoted=reason)
        self._sets[one.key] = demoted
        return demoted

    def evidence(self, identity: str) -> Evidence | None:
        """How a set has fared since it was deployed; None before its first trade."""
        return self._evidence.get(identity)

    def _observe(self, one: TrainedSet, r: float) -> Evidence | None:
        promise = promise_of(one.metrics)
        if promise is None or not math.isfinite(r):
            return None
        found = observe(self._evidence.get(one.identity, Evidence()), promise, r)
        self._evidence[one.identity] = found
        return found

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
        """The deployed set, or the configured values over the defaults; and why."""
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
