"""Each trade once, fills = position = venue, one plan a fill, exact money: breaches are found, daily life is none."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from tests.core.test_executor import QTY, opened
from tests.desk import Desk
from tui_trader.core import events as ev
from tui_trader.core.commands import Record
from tui_trader.core.invariants_money import MoneyWatch
from tui_trader.core.types import Channel, OrderSide

SYMBOL = "BTCUSDT"


def watched() -> tuple[Desk, MoneyWatch]:
    desk = opened()
    return desk, desk.engine.watch.money


def fill(desk: Desk, trade_id: str = "t1", qty: str = "0.010", **changes: object) -> ev.Fill:
    whole: dict[str, object] = {
        "ts": desk.now, "symbol": SYMBOL, "client_id": "", "venue_id": "7", "trade_id": trade_id, "side": OrderSide.BUY,
        "qty": Decimal(qty), "price": Decimal(43_500), "fee": Decimal("0.2"), "fee_asset": "USDT", "maker": False,
        "realized_pnl": Decimal(0), "venue_ts": desk.now,
    }  # fmt: skip
    return ev.Fill(**(whole | changes))


def move(desk: Desk, qty: str) -> None:
    desk.engine.state.portfolio.position(SYMBOL).qty += Decimal(qty)


def heard(money: MoneyWatch, event: ev.Event) -> list[str]:
    return [b.invariant for b in money.event(event)]


def snapshot(desk: Desk, wallet: str = "10000", **changes: object) -> ev.AccountSnapshot:
    held = desk.engine.state.portfolio.position(SYMBOL).qty
    whole: dict[str, object] = {
        "ts": desk.engine.state.now + 50, "asked_at": desk.engine.state.now, "orders": (), "wallet": Decimal(wallet),
        "positions": (ev.VenuePosition(symbol=SYMBOL, qty=held, entry_price=Decimal(43_500)),),
    }  # fmt: skip
    return ev.AccountSnapshot(**(whole | changes))


def test_i6_a_trade_counted_twice() -> None:
    desk, money = watched()
    once = fill(desk)
    move(desk, "0.010")
    assert heard(money, once) == []
    assert heard(money, once) == [], "told twice, counted once"
    move(desk, "0.010")
    assert heard(money, once) == ["I6"]


def test_i7_a_fill_that_moves_the_position_by_something_else() -> None:
    desk, money = watched()
    move(desk, "0.011")
    assert heard(money, fill(desk)) == ["I7"]


def test_i7_the_position_moves_without_a_fill() -> None:
    desk, money = watched()
    assert [b.invariant for b in money.check()] == []
    move(desk, "-0.001")
    assert [b.invariant for b in money.check()] == ["I7"]
    assert [b.invariant for b in money.check()] == [], "told once"


def test_i7_a_snapshot_may_bring_fills_or_the_venues_word_and_nothing_else() -> None:
    desk, money = watched()
    move(desk, "0.030")
    assert heard(money, snapshot(desk, fills=(fill(desk, "a", "0.010"), fill(desk, "b", "0.020")))) == []
    move(desk, "0.005")
    assert heard(money, snapshot(desk)) == [], "the venue's word was taken"
    asked = snapshot(desk)
    move(desk, "0.001")
    assert heard(money, asked) == ["I7"]


def test_i7_a_difference_that_nobody_reconciles() -> None:
    desk, money = watched()
    state = desk.engine.state
    word = ev.PositionUpdate(
        ts=state.now, symbol=SYMBOL, qty=Decimal("0.030"), entry_price=Decimal(1), venue_ts=desk.now
    )
    assert heard(money, word) == []
    assert list(money.check()) == []
    state.reconciling[SYMBOL] = state.now
    state.now += 60_000
    assert list(money.check()) == [], "it takes no entries and is being looked at"
    state.reconciling.clear()
    assert list(money.check()) == []
    state.now += 6_000
    assert [b.invariant for b in money.check()] == ["I7"]


def test_i7_a_word_from_before_the_newest_fill_decides_nothing() -> None:
    desk, money = watched()
    state = desk.engine.state
    old = ev.PositionUpdate(
        ts=state.now, symbol=SYMBOL, qty=Decimal("0.030"), entry_price=Decimal(1), venue_ts=desk.now
    )
    move(desk, "0.010")
    assert heard(money, fill(desk, venue_ts=desk.now + 1)) == []
    assert heard(money, old) == []
    for _ in range(3):
        state.now += 6_000
        assert list(money.check()) == []


def row(desk: Desk, **changes: object) -> Record:
    data: dict[str, object] = {
        "symbol": SYMBOL, "trade_id": "9", "client_id": "", "venue_id": "77", "plan_id": 1, "qty": QTY,
        "price": Decimal(43_500), "fee": Decimal("0.1"), "realized_pnl": Decimal(0), "venue_ts": desk.now,
    }  # fmt: skip
    return Record(ts=desk.now, kind="fills", data=data | changes)


def test_i9_a_fill_from_before_its_plan() -> None:
    desk, money = watched()
    began = desk.now

    def found(**changes: object) -> list[str]:
        return [b.invariant for b in money.records([row(desk, **changes)], {1: began}.get)]

    assert found() == []
    assert found(venue_ts=began - 900) == [], "the venue's clock is only estimated"
    assert found(venue_ts=began - 1_100) == ["I9"]
    assert found(venue_ts=began - 1_100, client_id="tt-desk001-1-en-1") == [], "its own order, whatever the stamps say"
    assert found(venue_ts=began - 1_100, client_id="tt-desk001-2-en-1") == ["I9"]
    assert found(plan_id=2) == ["I9"], "a plan that was never written down"
    assert found(plan_id=None, venue_ts=0) == [], "EXTERNAL"


@pytest.mark.parametrize("value", [0.04, float("nan"), Decimal("NaN"), Decimal("Infinity")])
def test_i17_a_row_with_an_amount_that_is_not_exact(value: object) -> None:
    desk, money = watched()
    assert [b.invariant for b in money.records([row(desk, qty=value)], {1: 0}.get)] == ["I17"]


def test_i17_the_wallet_is_explained_by_fills_fees_and_funding() -> None:
    desk, money = watched()
    state = desk.engine.state
    money.wallet = None
    assert heard(money, snapshot(desk, "1000")) == []
    state.now += 10_000
    sold = fill(desk, "x", side=OrderSide.SELL, realized_pnl=Decimal("5.5"), venue_ts=state.now)
    move(desk, "-0.010")
    assert heard(money, sold) == []
    paid = ev.FundingPayment(ts=state.now, symbol=SYMBOL, amount=Decimal("-0.3"), venue_ts=state.now, tran_id="f")
    assert heard(money, paid) == []
    assert heard(money, paid) == []
    state.now += 10_000
    for _ in range(40):
        state.now += 10_000
        assert heard(money, snapshot(desk, "1005.00000000")) == []
    assert money.wallet is not None
    assert money.wallet.wrong_words == 0


def late(desk: Desk, money: MoneyWatch, wallet: str, words: int) -> list[str]:
    found: list[str] = []
    for _ in range(words):
        desk.engine.state.now += 10_000
        found += heard(money, snapshot(desk, wallet))
    return found


def test_i17_a_wallet_that_nothing_explains_is_found_once_and_only_when_it_lasts() -> None:
    desk, money = watched()
    money.wallet = None
    late(desk, money, "1000", 4)
    assert late(desk, money, "999.9999", 14) == [], "funding may still be told"
    assert late(desk, money, "999.9999", 30) == ["I17"]
    assert late(desk, money, "999.9999", 30) == [], "from there on it is the new sum"


def test_i17_transfers_and_times_without_a_stream_begin_the_sum_anew() -> None:
    desk, money = watched()
    for event in (
        ev.BalanceUpdate(ts=desk.now, wallet=Decimal(5), reason="DEPOSIT"),
        ev.BalanceUpdate(ts=desk.now, wallet=Decimal(5), reason="INSURANCE_CLEAR"),
        ev.LinkDown(ts=desk.now, channel=Channel.PRIVATE, reason="reset"),
    ):
        heard(money, snapshot(desk, "1000"))
        assert heard(money, event) == []
        assert late(desk, money, "5", 40) == []
    late(desk, money, "5", 4)
    assert late(desk, money, "6", 40) == ["I17"]


def test_i17_a_first_word_from_a_lagging_replica_is_held_against_nobody() -> None:
    desk, money = watched()
    money.wallet = None
    assert late(desk, money, "1000", 2) == []
    assert late(desk, money, "990", 60) == []


def test_i17_a_wallet_told_while_something_was_booked_is_no_beginning() -> None:
    desk, money = watched()
    state = desk.engine.state
    state.now += 10_000
    money.wallet = None
    asked = snapshot(desk, "1000")
    move(desk, "0.010")
    assert heard(money, fill(desk, "x", venue_ts=state.now + 20)) == []
    assert heard(money, asked) in ([], ["I7"])
    assert money.wallet is None
    state.now += 10_000
    assert heard(money, snapshot(desk, "999.8")) == []
    assert money.wallet is not None


def test_i17_a_wallet_that_is_no_number() -> None:
    desk, money = watched()
    assert heard(money, ev.BalanceUpdate(ts=desk.now, wallet=Decimal("NaN"))) == ["I17"]


def test_a_snapshot_that_lacks_a_part_concludes_nothing() -> None:
    desk, money = watched()
    money.wallet = None
    assert heard(money, msgspec.structs.replace(snapshot(desk, "3"), complete=False)) == []
    assert money.wallet is None
