"""The one path of an entry, and the ticket's preview that is filled from it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.core.build import NOW, metrics
from tests.core.test_gate import context
from tui_trader.core.entry import EntryRequest, liquidation_price, preview_entry, propose_entry, walk_book
from tui_trader.core.events import BookDepth
from tui_trader.core.types import Leg, Origin, Side

D = Decimal


def book(qty: float = 5.0, step: float = 0.1) -> BookDepth:
    return BookDepth(
        ts=NOW,
        symbol="BTCUSDT",
        bids=tuple((43_497.5 - i * step, qty) for i in range(20)),
        asks=tuple((43_502.5 + i * step, qty) for i in range(20)),
        bid_depth=2.5e6,
        ask_depth=2.5e6,
        bid_reach=0.01,
        ask_reach=0.01,
    )


def request(**changes: object) -> EntryRequest:
    base = {
        "symbol": "BTCUSDT",
        "side": Side.LONG,
        "conviction": 0.85,
        "origin": Origin.STRATEGY,
        "strategy": "test",
    }
    return EntryRequest(**(base | changes))


def test_a_market_entry_is_priced_by_walking_the_book() -> None:
    found = propose_entry(context(), request(), book(qty=0.02))
    assert found.verdict.allowed
    assert found.sized is not None
    assert found.sized.qty == D("0.046")
    expected = (D("0.02") * D("43502.5") + D("0.02") * D("43502.6") + D("0.006") * D("43502.7")) / D("0.046")
    assert found.entry == expected
    assert found.expected_slippage > 0


@pytest.mark.parametrize("side", [Side.LONG, Side.SHORT])
def test_a_book_that_lags_behind_the_best_prices_promises_no_better_price_than_they_are(side: Side) -> None:
    moved = metrics(bid=43_497.5 + 20 * side.sign, ask=43_502.5 + 20 * side.sign)
    found = propose_entry(context(metrics=moved), request(side=side), book())
    assert found.entry == D(str(moved.ask if side is Side.LONG else moved.bid))
    assert found.expected_slippage == 0


def test_a_book_too_thin_is_a_soft_reason() -> None:
    found = propose_entry(context(), request(), book(qty=0.001))
    assert [(r.code, r.hard) for r in found.verdict.refusals] == [("slippage", False)]
    assert propose_entry(context(), request(override_soft=True), book(qty=0.001)).verdict.allowed


def test_slippage_beyond_the_limit_is_told() -> None:
    found = propose_entry(context(), request(), book(qty=0.01, step=100.0))
    assert any("expected slippage" in r.text for r in found.verdict.refusals)


def test_a_limit_entry_is_rounded_to_the_passive_side() -> None:
    found = propose_entry(context(), request(limit_price=D("43450.07")), book())
    assert found.entry == D("43450.0")
    short = propose_entry(context(), request(side=Side.SHORT, limit_price=D("43550.01")), book())
    assert short.entry == D("43550.1")


@pytest.mark.parametrize("missing", ["metrics", "instrument", "equity", "atr"])
def test_what_is_missing_refuses(missing: str) -> None:
    found = propose_entry(context(**{missing: None}), request(), book())
    assert not found.verdict.allowed
    assert found.ladder is None


def test_no_book_at_all_refuses_hard() -> None:
    found = propose_entry(context(), request(override_soft=True), None)
    assert not found.verdict.allowed


def test_a_stop_on_the_wrong_side_refuses() -> None:
    found = propose_entry(context(), request(stop=D(44_000)), book())
    assert [r.code for r in found.verdict.refusals] == ["ladder"]


def test_manual_quantity_is_kept_and_floored() -> None:
    found = propose_entry(context(), request(qty=D("0.0129")), book())
    assert found.sized is not None
    assert found.sized.qty == D("0.012")


def test_preview_is_the_proposal_in_words_and_money() -> None:
    found = preview_entry(context(), request(), book())
    assert (found.error, found.hard, found.soft) == ("", (), ())
    assert (found.qty, found.leverage, found.venue_leverage) == ("0.046", 15, 30)
    assert [leg.leg for leg in found.legs] == [Leg.STOP, Leg.TP1, Leg.TP2]
    assert found.legs[0].r == pytest.approx(-1.0, abs=1e-3)
    assert found.legs[0].pnl == pytest.approx(-29.9, abs=0.01)
    assert found.fee_entry == pytest.approx(found.notional * 0.0005)
    assert found.liquidation == "none: the equity covers the whole position"
    assert [(row.name, row.ok) for row in found.limits] == [
        ("margin", True),
        ("positions", True),
        ("notional", True),
        ("orders", True),
    ]


@pytest.mark.parametrize(
    ("side", "limit", "at_once"),
    [
        (Side.LONG, "43600", True),
        (Side.LONG, "43502.5", True),
        (Side.LONG, "43502.4", False),
        (Side.SHORT, "43400", True),
        (Side.SHORT, "43497.6", False),
    ],
)
def test_a_limit_beyond_the_price_is_told_to_fill_at_once_and_costs_the_taker_fee(
    side: Side, limit: str, at_once: bool
) -> None:
    found = preview_entry(context(), request(side=side, limit_price=D(limit)), book())
    market = preview_entry(context(), request(side=side), book())
    assert found.at_once is at_once
    assert not market.at_once
    taker = market.fee_entry / market.notional
    assert (found.fee_entry / found.notional == pytest.approx(taker)) is at_once


def test_preview_tells_the_first_hard_reason_when_nothing_can_be_computed() -> None:
    found = preview_entry(context(metrics=None), request(), None)
    assert found.error == "no market data for this symbol"


def test_preview_lists_soft_and_hard_apart() -> None:
    found = preview_entry(context(metrics=metrics(quote_volume=1.0), orders_last_minute=60), request(), book())
    assert [(r.code, r.hard) for r in found.reasons] == [("volume", False), ("order_rate", True)]
    assert preview_entry(context(metrics=None), request(), None).reasons[0].code == "data"
    assert len(found.soft) == 1
    assert len(found.hard) == 1


def test_walk_book_tells_what_is_not_there() -> None:
    price, missing = walk_book(book(qty=0.001), Side.SHORT, D("0.03"))
    assert missing == D("0.010")
    assert price is not None
    assert price < D("43497.5")
    assert walk_book(None, Side.LONG, D(1)) == (None, D(1))


def test_liquidation_price_solves_its_equation() -> None:
    rate, qty, entry, equity = D("0.005"), D(2), D(43_500), D(5_000)
    for side in Side:
        price = liquidation_price(side=side, entry=entry, qty=qty, equity=equity, other_maintenance=D(0), rate=rate)
        left = equity + qty * side.sign * (price - entry)
        assert abs(left - qty * price * rate) < D("1e-6")


def test_size_by_risk_counts_from_the_very_stop_of_the_ladder() -> None:
    found = propose_entry(context(), request(risk_fraction=0.001, stop=D("43000.04")), book())
    assert found.sized is not None
    assert found.ladder is not None
    assert found.ladder.stop == D("43000.1")
    assert found.sized.risk_usdt == found.sized.qty * (D("43502.5") - found.ladder.stop)
