"""Which symbols are worth trading: tiers, liquidity reasons, score, membership with hysteresis."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping

import msgspec

from tui_trader.core.depth import BAND
from tui_trader.core.settings import UniverseSettings
from tui_trader.core.types import MINUTE_MS, NOT_CLASSIFIED, Refusal, Tier

VOLUME_OLD_MS = 10 * MINUTE_MS
"""From this age on a volume of the last 24 h says nothing about now; it is told every few seconds."""


class SymbolMetrics(msgspec.Struct, kw_only=True):
    """What is known of one symbol. Volumes and depths in USDT, rates as fractions, times in venue ms (0 = never)."""

    symbol: str
    base_asset: str
    tier: Tier = Tier.EXCLUDED
    tier_reason: str = ""  # why it is excluded or in this tier
    status: str = "TRADING"  # the venue's word
    quote_volume: float = 0.0  # of the last 24 h
    last: float = 0.0
    change_pct: float = 0.0  # of the last 24 h, in percent
    bid: float = 0.0
    ask: float = 0.0
    bid_qty: float = 0.0
    ask_qty: float = 0.0
    bid_depth: float = 0.0  # within ``depth.BAND`` of mid, as far as the book is seen
    ask_depth: float = 0.0
    bid_reach: float = 0.0  # how far from mid it is seen, as a fraction
    ask_reach: float = 0.0
    depth_known: bool = False  # a book was told at all
    synced: bool = True  # the book is whole; False while the feed builds it anew
    funding_rate: float = 0.0
    next_funding_ms: int = 0
    funding_interval_hours: int = 8
    mark: float = 0.0
    index: float = 0.0
    open_interest: float = 0.0  # in base
    book_ms: int = 0
    depth_ms: int = 0
    mark_ms: int = 0
    ticker_ms: int = 0
    oi_ms: int = 0
    stale_reason: str = ""  # why the feed calls its data stale, until it says that it is live

    @property
    def mid(self) -> float:
        """Middle of bid and ask, 0 while either is missing."""
        return (self.bid + self.ask) / 2 if self.bid > 0 and self.ask > 0 else 0.0

    @property
    def spread_bps(self) -> float:
        """(ask − bid) / mid in basis points, 0 while either is missing."""
        return (self.ask - self.bid) / self.mid * 10_000 if self.mid > 0 else 0.0

    @property
    def depth(self) -> float:
        """USDT resting on both sides within ±0.5 % of mid, as far as the book was seen."""
        return self.bid_depth + self.ask_depth

    @property
    def depth_is_lower_bound(self) -> bool:
        """True where the seen book ends inside ±0.5 % on a side."""
        return min(self.bid_reach, self.ask_reach) < BAND


def _soft(code: str, text: str) -> Refusal:
    return Refusal(code=code, text=text, hard=False)


def _hard(code: str, text: str) -> Refusal:
    return Refusal(code=code, text=text, hard=True)


def liquidity_refusals(
    m: SymbolMetrics, settings: UniverseSettings, now_ms: int, stale_ms: float, slack: float = 0.0
) -> tuple[Refusal, ...]:
    """Every reason why a symbol is not tradeable, each with its value and limit; empty when it is.

    ``slack`` widens the volume, spread and depth limits (0.10 for members: hysteresis). Tier, volume, spread and depth
    are soft; a missing, crossed or stale book and a symbol that is not trading are hard.
    """
    found: list[Refusal] = []
    if m.tier not in settings.allowed_tiers:
        found.append(_soft("tier", f"tier {m.tier.value}" + (f": {m.tier_reason}" if m.tier_reason else "")))
    if m.status != "TRADING":
        found.append(_hard("status", f"status {m.status}, not TRADING"))
    book = _book_refusal(m, now_ms, stale_ms)
    if book is not None:
        return (*found, book)
    # Negated, so that a value which is not a number refuses instead of passing.
    if not m.quote_volume >= settings.min_volume_24h * (1 - slack):
        found.append(_soft("volume", f"volume {m.quote_volume:,.0f} < {settings.min_volume_24h:,.0f}"))
    elif now_ms - m.ticker_ms > VOLUME_OLD_MS:
        found.append(_soft("volume", f"volume told {(now_ms - m.ticker_ms) / MINUTE_MS:,.0f} min ago > 10 min"))
    if not m.spread_bps <= settings.max_spread_bps * (1 + slack):
        found.append(_soft("spread", f"spread {m.spread_bps:.1f} bps > {settings.max_spread_bps:.1f} bps"))
    if not m.depth_known:
        if m.tier not in settings.allowed_tiers:
            return tuple(found)
        found.append(_soft("depth_unknown", "depth not yet known"))
    elif not m.depth >= settings.min_depth * (1 - slack):
        found.append(_soft("depth", f"depth {m.depth:,.0f} < {settings.min_depth:,.0f}"))
    return tuple(found)


def _book_refusal(m: SymbolMetrics, now_ms: int, stale_ms: float) -> Refusal | None:
    if m.bid <= 0 or m.ask <= 0 or not math.isfinite(m.bid + m.ask):
        return _hard("book", "the book is empty")
    if m.ask <= m.bid:
        return _hard("book", f"the book is crossed: bid {m.bid:g} ≥ ask {m.ask:g}")
    if m.stale_reason:
        return _hard("stale", f"data stale: {m.stale_reason}")
    if now_ms - m.book_ms > stale_ms:
        age, limit = (now_ms - m.book_ms) / 1000, stale_ms / 1000
        return _hard("stale", f"book {age:.1f} s old > {limit:.1f} s")
    if not m.synced:
        return _hard("stale", "the book is being resynchronised")
    return None


def liquidity_score(volume: float, depth: float, spread_bps: float, settings: UniverseSettings) -> float:
    """w_v·log10(volume) + w_d·log10(depth) − w_s·spread_bps."""
    return (
        settings.weight_volume * math.log10(max(volume, 1.0))
        + settings.weight_depth * math.log10(max(depth, 1.0))
        - settings.weight_spread * spread_bps
    )


class UniverseChange(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a refresh."""

    members: tuple[str, ...]
    joined: tuple[str, ...]
    left: tuple[str, ...]


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """Means over the members."""

    mean_volume: float = 0.0
    mean_spread_bps: float = 0.0


class Universe:
    """Membership: the tradeable symbols by score, refreshed on schedule and when a member breaks a limit too long."""

    def __init__(self, settings: UniverseSettings) -> None:
        self.settings = settings
        self.members: tuple[str, ...] = ()
        self.refused: tuple[tuple[str, tuple[Refusal, ...]], ...] = ()
        self.next_refresh_ms = 0
        self.quality = Quality()
        self.gone_stale: frozenset[str] = frozenset()
        """Members that left only because their data were stale and that were not judged anew since."""
        self._broken_since: dict[str, int] = {}
        self._by_reason: Counter[str] = Counter()
        self._by_symbol: Counter[str] = Counter()
        self._scores: dict[str, float] = {}

    def refresh(
        self,
        now_ms: int,
        metrics: Mapping[str, SymbolMetrics],
        pinned: Collection[str],
        stale_ms: float,
        grace_ms: float = 0.0,
    ) -> UniverseChange:
        """Choose the members anew. A member leaves only when it fails by more than the hysteresis, or when the universe
        is full and another's score beats its own by more than that; one whose data is only stale has ``grace_ms``;
        ``pinned`` stay.
        """
        before = self.members
        good: list[str] = []
        refused: list[tuple[str, tuple[Refusal, ...]]] = []
        for symbol, m in metrics.items():
            slack = self.settings.hysteresis if symbol in before else 0.0
            reasons = liquidity_refusals(m, self.settings, now_ms, stale_ms, slack)
            self._scores[symbol] = liquidity_score(m.quote_volume, m.depth, m.spread_bps, self.settings)
            if reasons and not (symbol in before and self._blinks(symbol, reasons, now_ms, grace_ms)):
                refused.append((symbol, reasons))
                self._by_reason.update(r.code for r in reasons)
                self._by_symbol[symbol] += 1
            else:
                good.append(symbol)
        chosen = self._best(good)
        kept = [s for s in sorted(pinned) if s in metrics and s not in chosen and s in before]
        self.members = (*chosen, *kept)
        self.refused = tuple(sorted(refused, key=lambda row: -metrics[row[0]].quote_volume))
        self.next_refresh_ms = now_ms + int(self.settings.refresh_s * 1000)
        self._broken_since = {s: t for s, t in self._broken_since.items() if s in self.members}
        self._measure(metrics)
        joined = tuple(s for s in self.members if s not in before)
        left = tuple(s for s in before if s not in self.members)
        only_stale = {s for s, reasons in refused if all(r.code == "stale" for r in reasons)}
        self.gone_stale = frozenset(only_stale & (self.gone_stale | set(left)))
        return UniverseChange(members=self.members, joined=joined, left=left)

    def _blinks(self, symbol: str, reasons: tuple[Refusal, ...], now_ms: int, grace_ms: float) -> bool:
        since = self._broken_since.setdefault(symbol, now_ms)
        return now_ms - since < grace_ms and all(r.code == "stale" for r in reasons)

    def _best(self, good: list[str]) -> list[str]:
        """The best of the tradeable by score, best first; members defend their place with the hysteresis."""
        members = set(self.members)

        def standing(symbol: str) -> tuple[float, str]:
            score = self._scores[symbol]
            return -(score + abs(score) * self.settings.hysteresis if symbol in members else score), symbol

        chosen = sorted(good, key=standing)[: self.settings.max_size]
        return sorted(chosen, key=lambda s: (-self._scores[s], s))

    def _measure(self, metrics: Mapping[str, SymbolMetrics]) -> None:
        rows = [metrics[s] for s in self.members]
        if rows:
            volume = sum(m.quote_volume for m in rows) / len(rows)
            spread = sum(m.spread_bps for m in rows) / len(rows)
            self.quality = Quality(mean_volume=volume, mean_spread_bps=spread)

    def check(self, now_ms: int, metrics: Mapping[str, SymbolMetrics], grace_ms: float, stale_ms: float) -> bool:
        """Whether a member has broken a limit (beyond hysteresis) for longer than the grace period."""
        for symbol in self.members:
            m = metrics.get(symbol)
            slack = self.settings.hysteresis
            if m is None or liquidity_refusals(m, self.settings, now_ms, stale_ms, slack):
                if now_ms - self._broken_since.setdefault(symbol, now_ms) > grace_ms:
                    return True
            else:
                self._broken_since.pop(symbol, None)
        return False

    def candidates(
        self, metrics: Mapping[str, SymbolMetrics], limit: int, *, unclassified: bool = False
    ) -> tuple[str, ...]:
        """Symbols to stream before they can be judged: allowed tier, by volume, at most ``limit``.

        With ``unclassified`` also those on no tier list: their depth decides whether they are promoted.
        """
        allowed = self.settings.allowed_tiers
        rows = [
            m
            for m in metrics.values()
            if m.status == "TRADING" and (m.tier in allowed or (unclassified and m.tier_reason == NOT_CLASSIFIED))
        ]
        rows.sort(key=lambda m: (-m.quote_volume, m.symbol))
        return tuple(m.symbol for m in rows[:limit])

    def score(self, symbol: str) -> float:
        """The score of the last refresh, 0 when never judged."""
        return self._scores.get(symbol, 0.0)

    def rejection_counts(self) -> tuple[tuple[str, int], ...]:
        """How often each reason refused a symbol, most often first."""
        return tuple(self._by_reason.most_common())

    def rejections_of(self, symbol: str) -> int:
        """How many refreshes refused this symbol."""
        return self._by_symbol[symbol]
