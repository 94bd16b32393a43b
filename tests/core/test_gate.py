"""The gate: every reason at once, soft and hard, total when something is missing."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.core.build import BTC, NOW, metrics, settings
from tui_trader.core.gate import Exposure, GateContext, can_trade_symbol, filter_symbols, validate_trade
from tui_trader.core.indicators import AtrReading
from tui_trader.core.sizing import SizedTrade
from tui_trader.core.types import Refusal, Side, Tier

D = Decimal
SIZED = SizedTrade(
    qty=D("0.046"), notional=D(2_001), margin=D("133.4"), leverage=15, risk_usdt=D("29.9"), note="", refusals=()
)


def context(**changes: object) -> GateContext:
    base = {
        "now_ms": NOW,
        "settings": settings(),
        "metrics": metrics(),
        "instrument": BTC,
        "equity": D(10_000),
        "atr": AtrReading(value=650.0, as_of_ms=NOW, bars=100),
    }
    return GateContext(**(base | changes))


def codes(ctx: GateContext, **changes: object) -> list[str]:
    base = {"side": Side.LONG, "sized": SIZED, "entry": D(43_500)}
    return [r.code for r in validate_trade(ctx, **(base | changes)).refusals]


def test_a_good_trade_is_allowed() -> None:
    verdict = validate_trade(context(), Side.LONG, SIZED, D(43_500))
    assert (verdict.allowed, verdict.refusals, verdict.overridden) == (True, (), ())


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"metrics": None}, "data"),
        ({"instrument": None}, "instrument"),
        ({"equity": None}, "equity"),
        ({"atr": None}, "atr"),
        ({"atr": AtrReading(value=650.0, as_of_ms=NOW - 1_800_001, bars=100)}, "atr"),
        ({"settings": settings(limits={"enabled": False})}, "disabled"),
        ({"blocks": (Refusal(code="killed", text="killed", hard=True),)}, "killed"),
        ({"orders_last_minute": 60}, "order_rate"),
        ({"metrics": metrics(funding_rate=0.002)}, "funding_extreme"),
        ({"metrics": metrics(mark=0.0)}, "mark"),
        ({"metrics": metrics(mark=float("nan"))}, "mark"),
        ({"metrics": metrics(mark_ms=NOW - 10_001)}, "mark_stale"),
        ({"metrics": metrics(funding_rate=float("nan"))}, "funding_data"),
        ({"metrics": metrics(quote_volume=float("nan"))}, "volume"),
        ({"metrics": metrics(bid_depth=float("nan"))}, "depth"),
    ],
)
def test_i12_what_is_missing_or_wrong_refuses(changes: dict[str, object], code: str) -> None:
    assert code in codes(context(**changes))


def test_without_a_size_nothing_is_allowed() -> None:
    assert codes(context(), sized=None) == ["size"]


def test_soft_reasons_can_be_overridden_and_are_named() -> None:
    ctx = context(metrics=metrics(quote_volume=1.0))
    assert not validate_trade(ctx, Side.LONG, SIZED, D(43_500)).allowed
    verdict = validate_trade(ctx, Side.LONG, SIZED, D(43_500), override_soft=True)
    assert (verdict.allowed, verdict.overridden) == (True, ("volume",))


def test_hard_reasons_cannot_be_overridden() -> None:
    ctx = context(metrics=metrics(quote_volume=1.0), orders_last_minute=60)
    verdict = validate_trade(ctx, Side.LONG, SIZED, D(43_500), override_soft=True)
    assert (verdict.allowed, verdict.overridden) == (False, ())


def test_positions_and_working_orders_count_towards_the_limits() -> None:
    held = tuple(
        Exposure(symbol=f"S{i}", side=Side.LONG, qty=D(1), notional=D(1), margin=D(1), working=i % 2 == 0)
        for i in range(8)
    )
    assert codes(context(exposures=held)) == ["max_positions"]
    same = (Exposure(symbol="BTCUSDT", side=Side.LONG, qty=D(1), notional=D(49_000), margin=D(1), working=True),)
    assert codes(context(exposures=same)) == ["notional"]


def test_staleness_is_measured_in_real_time_whatever_the_clock_rate() -> None:
    old = metrics(book_ms=NOW - 20_000)
    assert "stale" in [r.code for r in can_trade_symbol(context(metrics=old))]
    assert can_trade_symbol(context(metrics=old, clock_rate=20.0)) == ()


def test_i11_an_old_depth_refuses_however_fresh_the_best_prices_are() -> None:
    seen = metrics(depth_ms=NOW - 5_001)
    (refusal,) = can_trade_symbol(context(metrics=seen))
    assert (refusal.code, refusal.hard, refusal.text) == ("stale", True, "depth 5.0 s old > 5.0 s")
    assert can_trade_symbol(context(metrics=metrics(depth_ms=NOW - 5_000))) == ()
    assert can_trade_symbol(context(metrics=seen, clock_rate=20.0)) == ()


@pytest.mark.parametrize("tier", [Tier.MAIN, Tier.EXCLUDED])
def test_i11_an_unknown_depth_is_a_reason_in_every_tier(tier: Tier) -> None:
    found = can_trade_symbol(context(metrics=metrics(depth_known=False, tier=tier)))
    assert [(r.code, r.hard) for r in found if r.code != "tier"] == [("depth_unknown", False)]


def test_filter_symbols_is_the_same_gate_for_many() -> None:
    contexts = {"A": context(), "B": context(metrics=metrics(status="SETTLING")), "C": context()}
    assert filter_symbols(contexts) == ("A", "C")


def test_a_mark_price_ages_in_real_time_whatever_the_clock_rate() -> None:
    quiet = metrics(mark_ms=NOW - 150_000)
    assert codes(context(metrics=quiet, clock_rate=20.0)) == []
    assert codes(context(metrics=quiet, clock_rate=10.0)) == ["mark_stale"]
