"""Universe and liquidity: reasons with numbers, score, tiers, membership that does not flap."""

from __future__ import annotations

import pytest

from tests.core.build import NOW, metrics, settings
from tui_trader.core.types import Tier
from tui_trader.core.universe import Universe, liquidity_refusals, liquidity_score

UNIVERSE = settings().universe
STALE = 5_000.0


def around(mid: float, spread_bps: float) -> dict[str, float]:
    half = mid * spread_bps / 20_000
    return {"bid": mid - half, "ask": mid + half}


def reasons(slack: float = 0.0, now: int = NOW, **changes: object) -> list[tuple[str, str, bool]]:
    found = liquidity_refusals(metrics(**changes), UNIVERSE, now, STALE, slack)
    return [(r.code, r.text, r.hard) for r in found]


def test_spec_1_spread_examples() -> None:
    assert reasons(**around(43_500, 1.15)) == []
    assert reasons(**around(43_500, 99.0)) == [("spread", "spread 99.0 bps > 3.0 bps", False)]


def test_spec_1_score_example() -> None:
    assert round(liquidity_score(1e9, 5e6, 1.15, UNIVERSE), 1) == 15.3


@pytest.mark.parametrize(
    ("changes", "code", "hard"),
    [
        ({"quote_volume": 4_999_999.0}, "volume", False),
        ({"ticker_ms": NOW - 600_001}, "volume", False),
        ({"bid_depth": 1e5, "ask_depth": 99_999.0}, "depth", False),
        ({"depth_known": False}, "depth_unknown", False),
        ({"tier": Tier.MEME}, "tier", False),
        ({"status": "SETTLING"}, "status", True),
        ({"bid": 0.0}, "book", True),
        ({"bid": 43_600.0}, "book", True),
        ({"book_ms": NOW - 5_001}, "stale", True),
        ({"stale_reason": "no update"}, "stale", True),
        ({"synced": False}, "stale", True),
    ],
)
def test_each_limit_gives_its_own_reason(changes: dict[str, object], code: str, hard: bool) -> None:
    found = reasons(**changes)
    assert [(c, h) for c, _, h in found] == [(code, hard)]


def test_several_reasons_are_all_told() -> None:
    found = reasons(tier=Tier.EXCLUDED, tier_reason="not classified", quote_volume=1.0, bid_depth=0.0, ask_depth=1.0)
    assert [c for c, *_ in found] == ["tier", "volume", "depth"]
    assert found[0][1] == "tier EXCLUDED: not classified"


def three() -> dict[str, object]:
    return {s: metrics(symbol=s, quote_volume=v) for s, v in (("BTCUSDT", 1e10), ("ETHUSDT", 5e9), ("SOLUSDT", 1e9))}


def test_members_by_score_and_at_most_max_size() -> None:
    universe = Universe(UNIVERSE.model_copy(update={"max_size": 2}))
    change = universe.refresh(NOW, three(), (), STALE)
    assert change.members == ("BTCUSDT", "ETHUSDT")
    assert change.joined == ("BTCUSDT", "ETHUSDT")
    assert universe.quality.mean_volume == 7.5e9


def test_hysteresis_keeps_a_member_within_ten_percent() -> None:
    universe, rows = Universe(UNIVERSE), three()
    universe.refresh(NOW, rows, (), STALE)
    rows["SOLUSDT"].quote_volume = 4_600_000.0
    assert universe.refresh(NOW, rows, (), STALE).left == ()
    rows["SOLUSDT"].quote_volume = 4_400_000.0
    assert universe.refresh(NOW, rows, (), STALE).left == ("SOLUSDT",)
    rows["SOLUSDT"].quote_volume = 4_600_000.0
    assert universe.refresh(NOW, rows, (), STALE).joined == (), "to come back it must pass the plain limit"


def test_a_member_that_breaks_a_limit_longer_than_the_grace_period_forces_a_refresh() -> None:
    universe, rows = Universe(UNIVERSE), three()
    universe.refresh(NOW, rows, (), STALE)
    assert not universe.check(NOW, rows, 30_000, STALE)
    for row in rows.values():
        row.book_ms = NOW + 40_000
    rows["SOLUSDT"].quote_volume = 1.0
    assert not universe.check(NOW + 1_000, rows, 30_000, STALE + 40_000)
    assert not universe.check(NOW + 30_000, rows, 30_000, STALE + 40_000)
    assert universe.check(NOW + 31_001, rows, 30_000, STALE + 40_000)


def test_a_symbol_with_a_position_is_never_dropped() -> None:
    universe, rows = Universe(UNIVERSE), three()
    universe.refresh(NOW, rows, (), STALE)
    rows["SOLUSDT"].quote_volume = 1.0
    assert "SOLUSDT" in universe.refresh(NOW, rows, ("SOLUSDT",), STALE).members


def test_a_member_that_is_stale_only_for_a_moment_stays() -> None:
    universe, rows = Universe(UNIVERSE), three()
    universe.refresh(NOW, rows, (), STALE)
    rows["SOLUSDT"].stale_reason = "no update"
    assert universe.refresh(NOW + 1, rows, (), STALE, 30_000).left == ()
    for row in rows.values():
        row.book_ms = NOW + 31_000
    assert universe.refresh(NOW + 31_000, rows, (), STALE, 30_000).left == ("SOLUSDT",)


def test_rejections_are_counted_by_reason_and_symbol() -> None:
    universe, rows = Universe(UNIVERSE), three()
    rows["SOLUSDT"].quote_volume = 1.0
    universe.refresh(NOW, rows, (), STALE)
    universe.refresh(NOW, rows, (), STALE)
    assert universe.rejection_counts() == (("volume", 2),)
    assert universe.rejections_of("SOLUSDT") == 2
    assert universe.refused[0][0] == "SOLUSDT"


def test_candidates_are_allowed_tiers_by_volume() -> None:
    rows = three() | {"DOGEUSDT": metrics(symbol="DOGEUSDT", tier=Tier.MEME, quote_volume=9e10)}
    assert Universe(UNIVERSE).candidates(rows, 2) == ("BTCUSDT", "ETHUSDT")


def test_depth_says_when_it_is_a_lower_bound() -> None:
    assert metrics(bid_reach=0.0024).depth_is_lower_bound
    assert not metrics(bid_reach=0.005, ask_reach=0.006).depth_is_lower_bound


def test_a_full_universe_changes_a_member_only_for_a_clearly_better_one() -> None:
    universe = Universe(UNIVERSE.model_copy(update={"max_size": 1}))
    rows = {s: metrics(symbol=s, quote_volume=1e9) for s in ("AAA", "BBB")}
    assert universe.refresh(NOW, rows, (), STALE).members == ("AAA",)
    rows["BBB"].quote_volume = 1.2e9
    assert universe.refresh(NOW, rows, (), STALE).members == ("AAA",)
    rows["BBB"].quote_volume = 1e11
    assert universe.refresh(NOW, rows, (), STALE).members == ("BBB",)
