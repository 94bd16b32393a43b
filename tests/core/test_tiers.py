"""Tiers: lists, prefixes, renames, and promotion of what is as liquid as the L2 list for a day."""

from __future__ import annotations

import pytest

from tests.core.build import NOW, metrics, settings
from tui_trader.core.tiers import PROMOTED, Classifier, DynamicTiers
from tui_trader.core.types import DAY_MS, HOUR_MS, NOT_CLASSIFIED, Tier
from tui_trader.core.universe import SymbolMetrics, Universe


@pytest.mark.parametrize(
    ("asset", "tier", "reason"),
    [
        ("BTC", Tier.MAIN, ""),
        ("SUI", Tier.L1, ""),
        ("1000PEPE", Tier.MEME, ""),
        ("POL", Tier.L2, ""),
        ("S", Tier.L1, ""),
        ("TAO", Tier.EXCLUDED, ""),
        ("ENA", Tier.EXCLUDED, "not classified"),
        ("LTCUSDT", Tier.EXCLUDED, "not classified"),
        ("ETHUSDT", Tier.MAIN, ""),
    ],
)
def test_tiers_resolve_prefixes_and_renames(asset: str, tier: Tier, reason: str) -> None:
    assert Classifier(settings().tiers).tier(asset) == (tier, reason)


def market(**changes: object) -> dict[str, SymbolMetrics]:
    """Five listed L2 symbols of rising liquidity, and one on no list as liquid as their middle."""
    rows = {
        f"L{i}USDT": metrics(
            symbol=f"L{i}USDT",
            tier=Tier.L2,
            quote_volume=i * 1e8,
            bid_depth=i * 5e5,
            ask_depth=i * 5e5,
            bid=100.0,
            ask=100.0 + 0.01 * i,
        )
        for i in range(1, 6)
    }
    base = {
        "symbol": "NEWUSDT",
        "tier": Tier.EXCLUDED,
        "tier_reason": NOT_CLASSIFIED,
        "quote_volume": 3e8,
        "bid_depth": 1.5e6,
        "ask_depth": 1.5e6,
        "bid": 100.0,
        "ask": 100.03,
    }
    return rows | {"NEWUSDT": metrics(**(base | changes))}


def hours(dynamic: DynamicTiers, rows: dict[str, SymbolMetrics], first: int, last: int) -> Tier:
    for hour in range(first, last + 1):
        dynamic.update(NOW + hour * HOUR_MS, rows)
    return rows["NEWUSDT"].tier


def test_promoted_after_24_hours_within_the_quartiles_and_not_before() -> None:
    dynamic, rows = DynamicTiers(), market()
    assert hours(dynamic, rows, 0, 23) is Tier.EXCLUDED
    assert hours(dynamic, rows, 24, 24) is Tier.L2
    assert rows["NEWUSDT"].tier_reason == PROMOTED


@pytest.mark.parametrize("worse", [{"quote_volume": 1.9e8}, {"ask": 100.05}, {"bid_depth": 0.0}])
def test_demoted_at_once_and_the_day_starts_anew(worse: dict[str, float]) -> None:
    dynamic, rows = DynamicTiers(), market()
    hours(dynamic, rows, 0, 24)
    better = {name: getattr(rows["NEWUSDT"], name) for name in worse}
    for name, value in worse.items():
        setattr(rows["NEWUSDT"], name, value)
    assert hours(dynamic, rows, 25, 25) is Tier.EXCLUDED
    assert rows["NEWUSDT"].tier_reason == NOT_CLASSIFIED
    for name, value in better.items():
        setattr(rows["NEWUSDT"], name, value)
    assert hours(dynamic, rows, 26, 49) is Tier.EXCLUDED
    assert hours(dynamic, rows, 50, 50) is Tier.L2


def test_too_few_listed_members_promote_nothing() -> None:
    rows = market()
    for i in (4, 5):
        del rows[f"L{i}USDT"]
    assert hours(DynamicTiers(), rows, 0, 30) is Tier.EXCLUDED


def test_listed_tiers_are_never_touched_and_the_promoted_do_not_move_the_quartiles() -> None:
    dynamic, rows = DynamicTiers(), market()
    rows["MEMEUSDT"] = metrics(symbol="MEMEUSDT", tier=Tier.MEME, quote_volume=9e9)
    hours(dynamic, rows, 0, 24)
    assert rows["MEMEUSDT"].tier is Tier.MEME
    rows["NEWUSDT"].quote_volume = 2e8
    assert hours(dynamic, rows, 25, 25) is Tier.L2


def test_the_day_survives_a_restart() -> None:
    dynamic, rows = DynamicTiers(), market()
    hours(dynamic, rows, 0, 20)
    again = DynamicTiers(dynamic.to_state())
    again.update(NOW + DAY_MS, rows)
    assert rows["NEWUSDT"].tier is Tier.L2


def test_unclassified_symbols_are_streamed_only_when_they_may_be_promoted() -> None:
    universe, rows = Universe(settings().universe), market()
    assert "NEWUSDT" not in universe.candidates(rows, 10)
    assert "NEWUSDT" in universe.candidates(rows, 10, unclassified=True)


def test_a_promotion_survives_a_restart_that_knows_no_book_yet() -> None:
    dynamic, rows = DynamicTiers(), market()
    hours(dynamic, rows, 0, 30)
    again, fresh = DynamicTiers(dynamic.to_state()), market()
    for m in fresh.values():
        m.depth_known = False
    again.update(NOW + 30 * HOUR_MS + 5_000, fresh)
    assert fresh["NEWUSDT"].tier is Tier.EXCLUDED, "not yet judged"
    for m in fresh.values():
        m.depth_known = True
    again.update(NOW + 30 * HOUR_MS + 10_000, fresh)
    assert fresh["NEWUSDT"].tier is Tier.L2


def test_what_cannot_be_judged_for_long_begins_its_day_anew() -> None:
    dynamic, rows = DynamicTiers(), market()
    hours(dynamic, rows, 0, 30)
    rows["NEWUSDT"].depth_known = False
    assert hours(dynamic, rows, 31, 32) is Tier.EXCLUDED
    rows["NEWUSDT"].depth_known = True
    assert hours(dynamic, rows, 33, 56) is Tier.EXCLUDED
    assert hours(dynamic, rows, 57, 57) is Tier.L2
