"""Paper fills: by the documented rules, with spread, slippage, fees and funding; nothing is made or lost otherwise."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.research.build import BTC
from tui_trader.core.commands import Approval, CancelOrder, PlaceOrder, QueryOrder
from tui_trader.core.events import (
    Event,
    Fill,
    FundingPayment,
    OrderUpdate,
    PositionUpdate,
    SendOutcome,
    SendResult,
)
from tui_trader.core.types import Leg, OrderSide, OrderStatus, OrderType, VenueBook
from tui_trader.venues.paper import FREE, REDUCE_ONLY_REFUSED, WOULD_TRIGGER, Costs, PaperAccount

COSTS = Costs(half_spread_bps=1.0, slippage_bps=2.0)
BUY, SELL = OrderSide.BUY, OrderSide.SELL
D = Decimal


def account(costs: Costs = FREE, wallet: str = "10000") -> PaperAccount:
    return PaperAccount((BTC,), D(wallet), costs)


def order(
    name: str,
    side: OrderSide,
    qty: str,
    *,
    price: str = "0",
    trigger: str = "0",
    reduce_only: bool = False,
) -> PlaceOrder:
    kind = OrderType.STOP_MARKET if trigger != "0" else OrderType.LIMIT if price != "0" else OrderType.MARKET
    return PlaceOrder(
        ts=0,
        client_id=name,
        plan_id=1,
        leg=Leg.ENTRY,
        symbol="BTCUSDT",
        side=side,
        type=kind,
        qty=D(qty),
        price=D(price),
        trigger_price=D(trigger),
        reduce_only=reduce_only,
        approval=Approval(sequence=0, max_qty=D(qty), exit=reduce_only),
    )


def fills(events: list[Event]) -> list[tuple[str, Decimal, Decimal, bool]]:
    return [(e.client_id, e.price, e.qty, e.maker) for e in events if isinstance(e, Fill)]


def opened(side: OrderSide = BUY, qty: str = "1", costs: Costs = FREE, wallet: str = "10000") -> PaperAccount:
    """A position from 10,000."""
    paper = account(costs, wallet)
    paper.place(order("entry", side, qty), 0)
    paper.move("BTCUSDT", 10_000.0, 1, gap=True)
    return paper


def test_a_market_order_fills_at_the_next_price_on_its_side_slipped_to_the_tick() -> None:
    paper = account(COSTS)
    taken = paper.place(order("a", BUY, "0.5"), 5)
    assert [type(e) for e in taken] == [SendOutcome, OrderUpdate]
    assert paper.waiting
    events = paper.move("BTCUSDT", 10_000.0, 6, gap=True)
    assert fills(events) == [("a", D("10003.1"), D("0.5"), False)]
    assert not paper.waiting
    assert fills(_sell(paper)) == [("b", D("9997.0"), D("0.5"), False)]


def _sell(paper: PaperAccount) -> list[Event]:
    paper.place(order("b", SELL, "0.5"), 7)
    return paper.move("BTCUSDT", 10_000.0, 8, gap=True)


def test_latency_holds_a_market_order_back() -> None:
    paper = account(Costs(latency_ms=100))
    paper.place(order("a", BUY, "1"), 1_000)
    assert fills(paper.move("BTCUSDT", 10_000.0, 1_099, gap=True)) == []
    assert len(fills(paper.move("BTCUSDT", 10_010.0, 1_100, gap=True))) == 1


@pytest.mark.parametrize(("side", "touch", "through"), [(SELL, 10_100.0, 10_100.1), (BUY, 9_900.0, 9_899.9)])
def test_a_limit_fills_only_when_traded_through_and_at_its_price(side: OrderSide, touch: float, through: float) -> None:
    paper = account(COSTS)
    paper.place(order("limit", side, "1", price=str(touch)), 0)
    assert fills(paper.move("BTCUSDT", touch, 1, gap=False)) == []
    events = paper.move("BTCUSDT", through, 2, gap=False)
    assert fills(events) == [("limit", D(str(touch)), D(1), True)]
    (fill,) = (e for e in events if isinstance(e, Fill))
    assert fill.fee == D(1) * D(str(touch)) * BTC.maker_fee


@pytest.mark.parametrize(("gap", "price"), [(False, "9500"), (True, "9300")])
def test_a_stop_fills_at_its_trigger_on_a_path_and_where_the_market_is_after_a_gap(gap: bool, price: str) -> None:
    paper = opened()
    paper.place(order("stop", SELL, "1", trigger="9500", reduce_only=True), 2)
    assert paper.move("BTCUSDT", 9_500.1, 3, gap=False) == []
    events = paper.move("BTCUSDT", 9_300.0, 4, gap=gap)
    assert fills(events) == [("stop", D(price), D(1), False)]
    states = [e.status for e in events if isinstance(e, OrderUpdate)]
    assert states == [OrderStatus.TRIGGERED, OrderStatus.FILLED]
    assert paper.wallet == D(10_000) - 5 + (D(price) - 10_000) - D(price) * BTC.taker_fee


def test_a_stop_that_price_has_passed_is_refused() -> None:
    paper = opened()
    (refused,) = paper.place(order("stop", SELL, "1", trigger="10000", reduce_only=True), 2)
    assert isinstance(refused, SendOutcome)
    assert (refused.result, refused.code) == (SendResult.REJECTED, WOULD_TRIGGER)
    assert not paper.has_stop("BTCUSDT", D(10_000))
    paper.place(order("stop", SELL, "1", trigger="9999.9", reduce_only=True), 2)
    assert paper.has_stop("BTCUSDT", D("9999.9"))
    assert not paper.has_stop("BTCUSDT", D(9_000))
    assert not paper.has_stop("ETHUSDT", D("9999.9"))


def test_reduce_only_never_opens_or_turns_a_position() -> None:
    (refused,) = account().place(order("exit", SELL, "1", reduce_only=True), 0)
    assert isinstance(refused, SendOutcome)
    assert refused.code == REDUCE_ONLY_REFUSED
    paper = opened(qty="1")
    paper.place(order("exit", SELL, "3", reduce_only=True), 2)
    assert fills(paper.move("BTCUSDT", 10_000.0, 3, gap=True)) == [("exit", D(10_000), D(1), False)]
    assert paper.position("BTCUSDT") == 0
    paper = opened(qty="1")
    paper.place(order("one", SELL, "1", reduce_only=True), 2)
    paper.place(order("two", SELL, "1", reduce_only=True), 2)
    events = paper.move("BTCUSDT", 10_000.0, 3, gap=True)
    assert len(fills(events)) == 1
    assert [e.status for e in events if isinstance(e, OrderUpdate)] == [OrderStatus.FILLED, OrderStatus.EXPIRED]


def test_stops_come_before_targets_and_targets_nearest_first() -> None:
    paper = opened(qty="1")
    paper.place(order("far", SELL, "0.3", price="10200", reduce_only=True), 2)
    paper.place(order("near", SELL, "0.5", price="10100", reduce_only=True), 2)
    assert [f[0] for f in fills(paper.move("BTCUSDT", 10_300.0, 3, gap=False))] == ["near", "far"]
    short = opened(SELL)
    short.place(order("far", BUY, "0.3", price="9800", reduce_only=True), 2)
    short.place(order("near", BUY, "0.5", price="9900", reduce_only=True), 2)
    assert [f[0] for f in fills(short.move("BTCUSDT", 9_700.0, 3, gap=False))] == ["near", "far"]


def test_orders_can_be_cancelled_and_asked_about() -> None:
    paper = opened()
    paper.place(order("t", SELL, "1", price="11000", reduce_only=True), 2)
    ask = QueryOrder(ts=3, symbol="BTCUSDT", client_id="t", book=VenueBook.REGULAR)
    (working,) = paper.query(ask, 3)
    assert isinstance(working, OrderUpdate)
    assert working.status is OrderStatus.WORKING
    cancel = CancelOrder(ts=4, symbol="BTCUSDT", client_id="t", book=VenueBook.REGULAR)
    assert [getattr(e, "status", None) for e in paper.cancel(cancel, 4)] == [None, OrderStatus.CANCELED]
    for (answer,) in (paper.cancel(cancel, 5), paper.query(ask, 5)):
        assert isinstance(answer, SendOutcome)
        assert answer.result is SendResult.NOT_FOUND
    assert paper.snapshot(6).orders == ()


def test_a_snapshot_tells_the_whole_account() -> None:
    paper = opened()
    paper.place(order("t", SELL, "1", price="11000", reduce_only=True), 2)
    told = paper.snapshot(9)
    assert (told.ts, told.wallet) == (9, D(9_995))
    assert [(p.symbol, p.qty, p.entry_price) for p in told.positions] == [("BTCUSDT", D(1), D(10_000))]
    assert [(o.client_id, o.price, o.reduce_only) for o in told.orders] == [("t", D(11_000), True)]


@pytest.mark.parametrize(("side", "paid"), [(BUY, "-1"), (SELL, "1")])
def test_longs_pay_a_positive_rate(side: OrderSide, paid: str) -> None:
    paper = opened(side)
    before = paper.wallet
    events = paper.settle_funding("BTCUSDT", 0.0001, 10_000.0, 5)
    assert isinstance(events[0], FundingPayment)
    assert (events[0].amount, paper.wallet - before, paper.funding) == (D(paid), D(paid), D(paid))
    assert account().settle_funding("BTCUSDT", 0.0001, 10_000.0, 5) == []


def test_an_average_entry_and_a_turn() -> None:
    paper = opened(qty="1")
    paper.place(order("more", BUY, "1"), 2)
    events = paper.move("BTCUSDT", 11_000.0, 3, gap=True)
    (position,) = (e for e in events if isinstance(e, PositionUpdate))
    assert (position.qty, position.entry_price) == (D(2), D(10_500))
    paper.place(order("turn", SELL, "3"), 4)
    events = paper.move("BTCUSDT", 12_000.0, 5, gap=True)
    (position,) = (e for e in events if isinstance(e, PositionUpdate))
    assert (position.qty, position.entry_price) == (D(-1), D(12_000))
    (fill,) = (e for e in events if isinstance(e, Fill))
    assert fill.realized_pnl == D(3_000)


@pytest.mark.parametrize("side", [BUY, SELL])
def test_liquidation_at_the_price_that_was_told(side: OrderSide) -> None:
    paper = opened(side, wallet="1000")
    price = paper.liquidation_price("BTCUSDT")
    sign = 1 if side is BUY else -1
    before = float(price) + sign * 1.0
    assert paper.move("BTCUSDT", before, 2, gap=False) == []
    events = paper.move("BTCUSDT", float(price) - sign * 1.0, 3, gap=False)
    ((name, _, qty, _),) = fills(events)
    assert (name.startswith("autoclose-"), qty, paper.position("BTCUSDT")) == (True, D(1), D(0))
    assert paper.liquidation_price("BTCUSDT") == 0


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["buy", "sell", "limit", "stop", "fund"]), st.integers(1, 40), st.integers(9_500, 10_500)
        ),
        max_size=30,
    )
)
def test_the_wallet_changes_only_by_results_fees_and_funding(steps: list[tuple[str, int, int]]) -> None:
    paper = account(COSTS, "1000000")
    heard: list[Event] = []
    for number, (what, size, price) in enumerate(steps):
        qty = str(D(size) / 1000)
        if what == "fund":
            heard += paper.settle_funding("BTCUSDT", (price - 10_000) / 1e6, float(price), number)
        elif what == "limit":
            heard += paper.place(order(f"{number}", BUY, qty, price=str(price)), number)
        elif what == "stop":
            heard += paper.place(order(f"{number}", SELL, qty, trigger=str(price)), number)
        else:
            heard += paper.place(order(f"{number}", BUY if what == "buy" else SELL, qty), number)
        heard += paper.move("BTCUSDT", float(price), number, gap=bool(number % 2))
    done = [e for e in heard if isinstance(e, Fill)]
    funding = sum((e.amount for e in heard if isinstance(e, FundingPayment)), D(0))
    fees = sum((f.fee for f in done), D(0))
    realized = sum((f.realized_pnl for f in done), D(0))
    assert float(paper.wallet) == pytest.approx(float(1_000_000 + realized - fees + funding), abs=1e-9)
    assert (paper.fees, paper.funding) == (fees, funding)
    cash = sum((f.price * f.qty * (-1 if f.side is BUY else 1) for f in done), D(0))
    held = sum((f.qty * (1 if f.side is BUY else -1) for f in done), D(0))
    assert paper.position("BTCUSDT") == held
    last = D(steps[-1][2]) if steps else D(0)
    assert float(paper.equity) == pytest.approx(float(1_000_000 + cash + held * last - fees + funding), abs=1e-6)


def test_what_is_not_paid_is_still_quoted() -> None:
    unpaid = Costs(half_spread_bps=2.0, slippage_bps=3.0, latency_ms=50).unpaid
    assert (unpaid.bid(100.0), unpaid.ask(100.0), unpaid.slippage_bps, unpaid.latency_ms) == (100.0, 100.0, 0.0, 0)
    assert unpaid.quoted.half_spread_bps == 2.0
    assert unpaid.unpaid == unpaid
    assert Costs().quoted == Costs()
    held = opened(costs=unpaid)
    assert held.settle_funding("BTCUSDT", 0.01, 100.0, 5) == []
    assert held.funding == 0
