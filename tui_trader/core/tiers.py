"""Tiers of base assets: the configured lists, and promotion of unlisted symbols by their own liquidity."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from tui_trader.core.settings import TierSettings
from tui_trader.core.types import DAY_MS, MINUTE_MS, NOT_CLASSIFIED, Tier
from tui_trader.core.universe import SymbolMetrics

_PREFIXES = ("1000000", "1000", "1M")
PROMOTED = "promoted: as liquid as the L2 list for 24 h"
MIN_MEMBERS = 4
"""Fewer listed L2 symbols than this give no quartiles worth the name; nothing is promoted then."""

UNKNOWN_MS = 15 * MINUTE_MS
"""A symbol that cannot be judged for longer begins its 24 h anew."""


class Classifier:
    """Tier of a base asset from the configured lists; venue prefixes and renames resolve first."""

    def __init__(self, settings: TierSettings) -> None:
        self._renames = settings.renames
        self._tiers: dict[str, Tier] = {}
        for tier in Tier:
            for asset in getattr(settings, tier.value.lower()):
                self._tiers[asset] = tier

    def resolve(self, asset: str) -> str:
        """The plain asset behind a venue's name: 1000PEPE → PEPE, POL → MATIC."""
        name = asset.removesuffix("USDT") if asset.endswith("USDT") and len(asset) > 4 else asset
        for prefix in _PREFIXES:
            if name.startswith(prefix) and len(name) > len(prefix) and name not in self._tiers:
                name = name.removeprefix(prefix)
                break
        return self._renames.get(name, name)

    def tier(self, asset: str) -> tuple[Tier, str]:
        """Tier and, for an asset on no list, the reason ``NOT_CLASSIFIED``."""
        found = self._tiers.get(self.resolve(asset))
        return (Tier.EXCLUDED, NOT_CLASSIFIED) if found is None else (found, "")


class _Quartiles(msgspec.Struct, frozen=True):
    volume: float
    depth: float
    spread_bps: float


class DynamicTiers:
    """Promotes an unlisted symbol to L2 once its volume, spread and depth stayed within the L2 members' own quartiles
    for 24 h, and demotes it as soon as they do not: volume and depth at least the lower, spread at most the upper.
    """

    def __init__(self, since: Mapping[str, int] | None = None) -> None:
        self._since: dict[str, int] = dict(since or {})
        self._unknown: dict[str, int] = {}

    def update(self, now_ms: int, metrics: Mapping[str, SymbolMetrics]) -> None:
        """Judge every unlisted symbol and set its tier and reason in place. Called at each universe refresh."""
        bounds = _quartiles([m for m in metrics.values() if m.tier is Tier.L2 and m.tier_reason != PROMOTED])
        for m in metrics.values():
            if m.tier_reason not in (NOT_CLASSIFIED, PROMOTED):
                continue
            since = self._judge(m, bounds, now_ms)
            promoted = now_ms - since >= DAY_MS
            m.tier = Tier.L2 if promoted else Tier.EXCLUDED
            m.tier_reason = PROMOTED if promoted else NOT_CLASSIFIED

    def _judge(self, m: SymbolMetrics, bounds: _Quartiles | None, now_ms: int) -> int:
        """Since when the symbol qualifies, ``now_ms`` while it does not or cannot be judged.

        What is not known, as after a restart, is no failure for a while.
        """
        if bounds is None or not _judgeable(m):
            if now_ms - self._unknown.setdefault(m.symbol, now_ms) > UNKNOWN_MS:
                self._since.pop(m.symbol, None)
            return now_ms
        self._unknown.pop(m.symbol, None)
        if _within(m, bounds):
            return self._since.setdefault(m.symbol, now_ms)
        self._since.pop(m.symbol, None)
        return now_ms

    def to_state(self) -> dict[str, int]:
        """Since when each symbol qualifies (venue ms), for the store."""
        return dict(self._since)


def _judgeable(m: SymbolMetrics) -> bool:
    return m.depth_known and m.mid > 0 and m.quote_volume > 0 and m.status == "TRADING"


def _within(m: SymbolMetrics, bounds: _Quartiles) -> bool:
    return m.quote_volume >= bounds.volume and m.depth >= bounds.depth and m.spread_bps <= bounds.spread_bps


def _quartiles(members: list[SymbolMetrics]) -> _Quartiles | None:
    rows = [m for m in members if _judgeable(m)]
    if len(rows) < MIN_MEMBERS:
        return None

    return _Quartiles(
        volume=_quantile([m.quote_volume for m in rows], 0.25),
        depth=_quantile([m.depth for m in rows], 0.25),
        spread_bps=_quantile([m.spread_bps for m in rows], 0.75),
    )


def _quantile(values: list[float], part: float) -> float:
    """Quantile of at least one value, interpolated between its neighbours, both ends included."""
    ordered = sorted(values)
    at = part * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)
