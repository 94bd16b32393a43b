"""Exact money: every change of the wallet is a ledger row."""

from hypothesis import given
from hypothesis import strategies as st

from tests.exchange.exchange_kit import D, Desk
from tui_trader.exchange.accounts import Position
from tui_trader.exchange.scripted import scripted_spec


def test_round_trip_costs_both_fees_and_the_spread() -> None:
    desk = Desk()
    desk.order("BUY", "0.1")
    desk.order("SELL", "0.1")
    fees = D("0.1") * D("50000.1") * D("0.0005") + D("0.1") * D("49999.9") * D("0.0005")
    assert desk.lots == 0
    assert desk.account.wallet == D(10000) - D("0.02") - fees
    assert sum(row.amount for row in desk.account.income) == desk.account.wallet


def test_maker_pays_the_maker_fee() -> None:
    desk = Desk()
    order = desk.order("BUY", "0.1", "49950")
    desk.move(49900)
    assert order.status == "FILLED"
    trade = desk.account.trades[-1]
    assert (trade.is_maker, trade.commission) == (True, D("0.1") * D(49950) * D("0.0002"))


def test_a_larger_opposite_order_flips_the_position_at_its_own_price() -> None:
    position = Position(scripted_spec())
    position.apply(True, 100, D(50000))
    assert position.apply(False, 150, D(51000)) == D(100)
    assert (position.lots, position.entry_price) == (-50, D(51000))
    assert position.unrealized(D(50000)) == D(50)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 500), st.integers(1, 1_000_000)), max_size=40))
def test_realised_profit_equals_cash_flow_once_flat(fills: list[tuple[bool, int, int]]) -> None:
    spec = scripted_spec()
    position, cash = Position(spec), D(0)
    for is_buy, lots, ticks in fills:
        price = spec.tick_size * ticks
        position.apply(is_buy, lots, price)
        cash += (-1 if is_buy else 1) * price * spec.step_size * lots
    if position.lots:
        price = D("12345.6")
        cash += price * position.quantity
        position.apply(position.lots < 0, abs(position.lots), price)
    assert position.lots == 0
    assert position.realized == cash


def test_funding_is_paid_by_longs_at_a_positive_rate() -> None:
    desk = Desk()
    desk.order("BUY", "0.1")
    before = desk.account.wallet
    desk.events.clear()
    due = desk.state.next_funding_ms
    desk.engine.advance_to(due)
    assert desk.account.wallet - before == -D("0.1") * D(50000) * D("0.0001")
    (event,) = [event for event in desk.events if event["a"]["m"] == "FUNDING_FEE"]
    assert event["a"]["P"] == []
    assert event["a"]["B"][0]["bc"] == "-0.50000000"
    assert desk.account.income[-1].kind == "FUNDING_FEE"
    assert desk.state.next_funding_ms == due + 8 * 3_600_000


def test_liquidation_closes_the_position_and_says_so() -> None:
    desk = Desk(wallet="500")
    desk.order("BUY", "0.19")
    stop = desk.algo("SELL", "STOP_MARKET", "0.19", "46000", reduce_only=True, working_type="MARK_PRICE")
    desk.events.clear()
    desk.move(47550)
    assert desk.lots == 0
    assert stop.status == "EXPIRED"
    orders = [event["o"] for event in desk.events if event["e"] == "ORDER_TRADE_UPDATE"]
    assert orders[0]["c"].startswith("autoclose-")
    assert [(row["x"], row["X"]) for row in orders] == [("NEW", "NEW"), ("CALCULATED", "FILLED")]
    kinds = {row.kind for row in desk.account.income}
    assert "INSURANCE_CLEAR" in kinds
    assert desk.account.wallet == sum(row.amount for row in desk.account.income)
    assert desk.account.wallet >= 0


def test_break_even_price_pays_the_fees() -> None:
    desk = Desk()
    desk.order("BUY", "0.1")
    position = desk.account.position(desk.market.spec)
    assert position.break_even_price == D("50000.1") * D("1.0005")
