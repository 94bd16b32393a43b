"""Start, restart and what happens elsewhere: the venue's word is taken, bare positions are protected, orphans go."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from tests.core.test_executor import QTY, opened, prices
from tests.desk import Desk, instrument
from tui_trader.core import commands as cmd
from tui_trader.core import events as ev
from tui_trader.core.state import Recovered
from tui_trader.core.types import Channel, Leg, OrderSide, Origin, Side


def by_hand(desk: Desk, side: str, qty: str, **fields: str) -> None:
    """Trade on the account from elsewhere, as a phone would."""
    params = {"symbol": "BTCUSDT", "side": side, "type": "MARKET", "quantity": qty} | fields
    reply = desk.request("POST", "/fapi/v1/order", params)
    assert reply is not None
    assert reply.status == 200, reply.body


def remembered(desk: Desk) -> Recovered:
    """What a store would give back: JSON round trips included."""
    plans = {}
    orders: dict[str, dict[str, object]] = {}
    for record in desk.records:
        data = msgspec.json.decode(msgspec.json.encode(record.data))
        if record.kind == "plans":
            plans[data["plan_id"]] = data
        elif record.kind == "orders":
            orders.setdefault(data["client_id"], {}).update(data)
    for order in desk.sent:
        if hasattr(order, "leg") and order.client_id not in orders:
            orders[order.client_id] = {
                "client_id": order.client_id,
                "plan_id": order.plan_id,
                "leg": order.leg.value,
                "symbol": order.symbol,
                "side": order.side.value,
                "type": order.type.value,
                "qty": str(order.qty),
                "price": str(order.price),
                "trigger_price": str(order.trigger_price),
                "status": "intent",
            }
    for order in desk.sent:
        if hasattr(order, "leg"):
            orders[order.client_id] |= {
                "side": order.side.value,
                "type": order.type.value,
                "qty": str(order.qty),
                "price": str(order.price),
                "trigger_price": str(order.trigger_price),
            }
    for row in orders.values():
        own = (r.data["qty"] for r in desk.records if r.kind == "fills" and r.data["client_id"] == row["client_id"])
        row["booked"] = sum(own, Decimal(0))
    live = [p["body"] for p in plans.values() if not p["closed_ms"]]
    fills = tuple(f"{r.data['symbol']}:{r.data['trade_id']}" for r in desk.records if r.kind == "fills")
    return Recovered(
        next_plan_id=max(plans, default=0) + 1,
        plans=tuple(live),
        orders=tuple(orders.values()),
        trade_ids=fills,
        fills_cursor_ms=desk.engine.fills_cursor_ms,
    )


def revive(desk: Desk, recovered: Recovered) -> None:
    desk.restart(recovered)
    desk.start()
    desk.run(2_000)


def test_i14_restart_with_the_store_goes_on_where_it_was() -> None:
    desk = opened()
    before, plan = desk.resting(), desk.engine.state.plans["BTCUSDT"]
    sent = len(desk.sent)
    revive(desk, remembered(desk))
    assert desk.sent[sent:] == [], "what rests at the venue is not doubled"
    again = desk.engine.state.plans["BTCUSDT"]
    assert desk.resting() == before
    assert (again.plan_id, again.entered, again.avg_entry, again.stop_price) == (
        plan.plan_id,
        plan.entered,
        plan.avg_entry,
        plan.stop_price,
    )
    assert again.naked_since_ms == 0


@pytest.mark.parametrize("side", list(Side))
def test_i14_a_first_target_that_filled_while_no_process_ran_takes_the_stop_to_break_even(side: Side) -> None:
    desk = opened(side)
    recovered, told = remembered(desk), desk.exchange.on_user_event
    desk.exchange.on_user_event = lambda account, event: None
    for distance in (1_000, 300):
        desk.market.move_to(43_500 + side.sign * distance)
        desk.clock.advance(60_000)
        desk.exchange.advance_to(desk.now)
    desk.exchange.on_user_event = told
    revive(desk, recovered)
    plan = desk.engine.state.plans["BTCUSDT"]
    assert plan.at_break_even
    assert prices(desk, "STOP_MARKET") == [("0.020", f"{plan.ladder.be_price.normalize():f}")]


def test_restart_without_a_store_adopts_the_position_and_its_stop() -> None:
    desk = opened()
    stop = prices(desk, "STOP_MARKET")
    revive(desk, Recovered())
    plan = desk.engine.state.plans["BTCUSDT"]
    assert plan.origin is Origin.ADOPTED
    assert plan.entered == QTY
    assert prices(desk, "STOP_MARKET") == stop
    assert plan.naked_since_ms == 0


def test_a_bare_position_is_protected_at_start() -> None:
    desk = Desk()
    by_hand(desk, "SELL", "0.050")
    desk.start()
    desk.run(3_000)
    assert [qty for qty, _ in prices(desk, "STOP_MARKET")] == ["0.050"]
    assert desk.position == Decimal("-0.050")


def test_i8_orphans_of_ours_are_cancelled_and_foreign_orders_stay() -> None:
    desk = Desk()
    by_hand(desk, "BUY", "0.010", type="LIMIT", price="40000", timeInForce="GTC", newClientOrderId="tt-old1234-9-en-1")
    by_hand(desk, "BUY", "0.020", type="LIMIT", price="40000", timeInForce="GTC", newClientOrderId="phone-1")
    desk.start()
    desk.run(2_000)
    assert desk.resting() == [("LIMIT", "BUY", "0.020", "40000")]


def test_closed_elsewhere_clears_the_legs_and_books_the_trade() -> None:
    desk = opened()
    by_hand(desk, "SELL", "0.040", reduceOnly="true")
    desk.run(4_000)
    assert (desk.position, desk.resting()) == (0, [])
    assert desk.engine.state.plans == {}
    assert desk.engine.state.trades[0].qty == float(QTY)


def test_reduced_elsewhere_shrinks_the_stop() -> None:
    desk = opened()
    by_hand(desk, "SELL", "0.030", reduceOnly="true")
    desk.run(5_000)
    assert desk.position == Decimal("0.010")
    assert [qty for qty, _ in prices(desk, "STOP_MARKET")] == ["0.010"]
    total = sum(Decimal(qty) for qty, _ in prices(desk, "LIMIT"))
    assert total <= Decimal("0.010")


def test_a_stop_cancelled_from_outside_is_replaced() -> None:
    desk = opened()
    for algo in list(desk.account.open_algos("BTCUSDT")):
        desk.exchange.algos.cancel(algo)
    desk.run(3_000)
    assert [qty for qty, _ in prices(desk, "STOP_MARKET")] == ["0.040"]


def test_i7_fills_lost_on_the_stream_are_found_by_the_snapshot() -> None:
    desk = Desk().start()
    desk.stream_faults = lambda event: event.get("e") in ("ORDER_TRADE_UPDATE", "TRADE_LITE")
    desk.process(ev.OpenPosition(ts=desk.now, symbol="BTCUSDT", side=Side.LONG, qty=QTY))
    desk.run(6_000)
    desk.stream_faults = None
    desk.run(3_000)
    assert desk.engine.state.portfolio.position("BTCUSDT").qty == QTY
    assert len(prices(desk, "STOP_MARKET")) == 1


def test_liquidation_by_the_venue_is_booked_and_cleared() -> None:
    desk = opened()
    by_hand(desk, "SELL", "0.040", reduceOnly="true", newClientOrderId="autoclose-1")
    desk.run(4_000)
    assert desk.engine.state.plans == {}
    assert desk.resting() == []


def test_a_restored_order_whose_fill_was_stored_before_it_does_not_keep_the_plan_open() -> None:
    desk = opened()
    desk.move(44_600.0, ms=4_000)
    recovered = remembered(desk)
    orders = tuple(
        row | ({"status": "working", "filled_qty": "0"} if row["leg"] == "t1" else {}) for row in recovered.orders
    )
    desk.restart(msgspec.structs.replace(recovered, orders=orders))
    desk.start()
    desk.run(3_000)
    desk.snapshot()
    desk.run(3_000)
    assert [qty for qty, _ in prices(desk, "STOP_MARKET")] == ["0.020"], "the stop covers all that is open"
    assert [o.client_id for o in desk.engine.state.ledger if o.unbooked] == []
    desk.move(43_000.0, ms=4_000)
    assert (desk.position, desk.resting(), desk.engine.state.plans) == (0, [], {})


def test_i2_a_fill_whose_word_was_stored_without_it_is_no_excess_after_a_restart() -> None:
    desk = Desk().start()
    snapshot, desk._snapshot = desk._snapshot, lambda: None
    desk.stream_faults = lambda event: True
    desk.process(ev.OpenPosition(ts=desk.now, symbol="BTCUSDT", side=Side.LONG, qty=QTY))
    desk.run(1_500)
    (entry,) = (o for o in desk.engine.state.ledger if o.leg is Leg.ENTRY)
    assert (entry.filled_qty, entry.booked) == (QTY, 0)
    desk._snapshot, desk.stream_faults = snapshot, None
    revive(desk, remembered(desk))
    desk.run(5_000)
    assert desk.position == QTY, desk.log[-3:]
    assert [qty for qty, _ in prices(desk, "STOP_MARKET")] == ["0.040"]
    assert desk.engine.state.plans["BTCUSDT"].entered == QTY


def test_a_plan_accounts_for_what_the_agreed_position_holds() -> None:
    desk = opened()
    desk.engine.state.plans["BTCUSDT"].entered += Decimal("0.007")
    desk.snapshot()
    desk.run(1_000)
    plan = desk.engine.state.plans["BTCUSDT"]
    assert plan.entered - plan.exited == desk.position == QTY


def test_a_stop_that_filled_while_no_process_ran_is_booked_as_the_stop() -> None:
    desk = opened()
    recovered = remembered(desk)
    desk.stream_faults = lambda event: True
    handle = desk.engine.process
    desk.engine.process = lambda event: []
    desk.move(42_500.0)
    desk.engine.process = handle
    desk.stream_faults = None
    assert desk.position == 0
    desk.records.clear()
    revive(desk, recovered)
    state = desk.engine.state
    assert (state.plans, desk.resting()) == ({}, [])
    fills = [r.data for r in desk.records if r.kind == "fills"]
    assert [(f["leg"], f["side"], f["qty"]) for f in fills] == [("sl", "SELL", QTY)]
    assert state.trades[0].reason == "stop"
    (trade,) = (r.data for r in desk.records if r.kind == "trades")
    assert trade["exit"] == fills[0]["price"]
    assert trade["pnl"] == (fills[0]["price"] - trade["entry"]) * QTY - trade["fees"]


def test_i7_a_fill_newer_than_the_first_snapshot_is_not_overwritten_by_it() -> None:
    desk = Desk()
    by_hand(desk, "SELL", "0.020")
    asked = desk.now
    real = desk._later
    held = []
    desk._later = lambda action, delay=None: held.append(action) if not held else real(action, delay)
    desk.snapshot()
    desk._later = real
    desk.run(200)
    by_hand(desk, "SELL", "0.010")
    desk.run(100)
    for channel in Channel:
        desk.process(ev.LinkUp(ts=desk.now, channel=channel))
    row = {"symbol": "BTCUSDT"}
    info = desk._get("/fapi/v1/exchangeInfo", row, signed=False)
    desk.process(ev.InstrumentsLoaded(ts=desk.now, instruments=tuple(instrument(s) for s in info["symbols"])))
    held[0]()
    state = desk.engine.state
    assert asked < state.portfolio.position("BTCUSDT").last_fill_ms
    assert [r.code for r in state.blocks("BTCUSDT") if r.code == "reconciling"] == ["reconciling"]
    desk.run(1_000)
    assert state.portfolio.position("BTCUSDT").qty == Decimal("-0.030") == desk.position
    assert [qty for qty, _ in prices(desk, "STOP_MARKET")] == ["0.030"]
    assert not state.reconciling


def test_i17_funding_told_again_after_a_restart_is_counted_once() -> None:
    desk = opened()
    paid = ev.FundingPayment(ts=desk.now, symbol="BTCUSDT", amount=Decimal("-1.25"), venue_ts=desk.now, tran_id="f1")
    for _ in range(2):
        desk.process(paid)
    assert desk.engine.state.plans["BTCUSDT"].funding == Decimal("-1.25")
    revive(desk, remembered(desk))
    desk.process(paid)
    assert desk.engine.state.plans["BTCUSDT"].funding == Decimal("-1.25")
    assert len([r for r in desk.records if r.kind == "funding"]) == 1


def test_funding_charged_is_looked_up_at_once_and_never_given_to_a_plan_without_fills() -> None:
    desk = Desk().start()
    asked = desk.engine.process(ev.BalanceUpdate(ts=desk.now, wallet=Decimal(9_999), reason="FUNDING_FEE"))
    assert [c.reason.split(":")[0] for c in asked if isinstance(c, cmd.RequestSnapshot)] == ["funding was charged"]
    low = Decimal(43_000)
    desk.process(ev.OpenPosition(ts=desk.now, symbol="BTCUSDT", side=Side.LONG, qty=QTY, limit_price=low))
    desk.process(ev.FundingPayment(ts=desk.now, symbol="BTCUSDT", amount=Decimal(-1), venue_ts=desk.now, tran_id="f9"))
    assert desk.engine.state.plans["BTCUSDT"].funding == 0


def test_i6_the_fills_cursor_is_the_last_complete_look_never_a_fill_heard() -> None:
    desk = opened()
    looked = desk.now
    desk.snapshot()
    desk.run(500)
    assert desk.engine.fills_cursor_ms == looked
    desk.run(5_000)
    by_hand(desk, "BUY", "0.002")
    desk.run(100)
    assert desk.engine.fills_cursor_ms == looked
    order = next(o for o in desk.engine.state.ledger if o.leg is Leg.ENTRY)
    order.booked -= Decimal("0.010")
    assert desk.engine.fills_cursor_ms == order.sent_ms, "what was not heard of an order holds it back"
    cursors = [r.data["value"] for r in desk.records if r.data.get("key") == "fills_cursor"]
    assert cursors[-1] == looked
    state = {"fills_cursor": cursors[-1]}
    desk.restart(msgspec.structs.replace(remembered(desk), state=state))
    assert desk.engine.fills_cursor_ms == looked


def snapshot_without(desk: Desk) -> ev.AccountSnapshot:
    """What a replica that is behind the entry answers: no position, our orders resting."""
    return ev.AccountSnapshot(ts=desk.now, asked_at=desk.now, positions=(), orders=(), wallet=Decimal(10_000))


def test_i5_a_lagging_first_snapshot_does_not_take_the_stop_away() -> None:
    desk = opened()
    recovered = remembered(desk)
    recovered = msgspec.structs.replace(recovered, fills_cursor_ms=desk.now - 500)
    desk.restart(recovered)
    stop = prices(desk, "STOP_MARKET")
    info = desk._get("/fapi/v1/exchangeInfo", {}, signed=False)
    desk.process(ev.InstrumentsLoaded(ts=desk.now, instruments=tuple(instrument(s) for s in info["symbols"])))
    for channel in Channel:
        desk.process(ev.LinkUp(ts=desk.now, channel=channel))
    desk.process(snapshot_without(desk))
    assert "BTCUSDT" in desk.engine.state.reconciling
    desk.run(200)
    assert stop[0] in prices(desk, "STOP_MARKET")
    desk.run(6_000)
    assert (desk.position, prices(desk, "STOP_MARKET")) == (QTY, stop)
    assert not desk.engine.state.reconciling


def test_a_plan_that_the_venues_word_changed_is_stored() -> None:
    desk = opened()
    desk.run(4_000)
    desk.stream_faults = lambda event: True
    by_hand(desk, "SELL", "0.020", reduceOnly="true")
    desk.stream_faults = None
    desk.run(9_000)
    desk.snapshot()
    desk.run(3_000)
    body = [r.data["body"] for r in desk.records if r.kind == "plans"][-1]
    assert Decimal(body["entered"]) - Decimal(body["exited"]) == Decimal("0.020") == desk.position


def test_a_position_turned_by_somebody_is_protected_without_waiting_for_the_old_plan() -> None:
    desk = opened()
    desk.faults = lambda method, path, reply: None if method == "DELETE" else reply
    by_hand(desk, "SELL", "0.065")
    desk.run(1_500)
    assert desk.position == Decimal("-0.025")
    assert ("STOP_MARKET", "BUY", "0.025") in [row[:3] for row in desk.resting()]
    assert desk.engine.state.plans["BTCUSDT"].side is Side.SHORT


def test_what_was_traded_elsewhere_before_the_first_start_is_kept_as_external_and_not_counted_twice() -> None:
    desk = Desk()
    by_hand(desk, "BUY", "0.030")
    desk.start()
    assert [(r.data["leg"], r.data["plan_id"]) for r in desk.records if r.kind == "fills"] == [("external", None)]
    assert desk.engine.state.portfolio.position("BTCUSDT").qty == Decimal("0.030") == desk.position


def test_an_order_that_rests_again_under_an_ended_id_is_taken_off() -> None:
    """A request that was late on its way: the venue allows an id again once its order has ended."""
    desk = opened()
    target = next(o for o in desk.engine.state.ledger if o.leg is Leg.TP1)
    desk.process(ev.RemoveTarget(ts=desk.now, symbol="BTCUSDT", leg=Leg.TP1))
    desk.run(2_000)
    fields = {"symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.020"}
    late = fields | {"price": f"{target.price:f}", "newClientOrderId": target.client_id, "reduceOnly": "true"}
    desk.stream_faults = lambda event: True
    desk.request("POST", "/fapi/v1/order", late)
    desk.stream_faults = None
    before = len(prices(desk, "LIMIT"))
    desk.snapshot()
    desk.run(2_000)
    assert len(prices(desk, "LIMIT")) == before - 1


def test_an_account_that_is_read_in_part_again_and_again_is_said_once() -> None:
    desk = opened()
    desk.log.clear()
    whole = ev.AccountSnapshot(ts=desk.now, asked_at=desk.now, positions=(), orders=(), wallet=Decimal(10_000))
    for turn in range(3):
        desk.process(msgspec.structs.replace(whole, asked_at=desk.now + turn, complete=False))
    words = "the venue's account could not be read completely; it is read again, stops and exits stay as they are"
    assert desk.log == [words]


def test_i1_what_was_opened_elsewhere_counts_as_bare_from_its_fill_on() -> None:
    desk = Desk().start()
    by_hand(desk, "BUY", "0.010")
    filled = desk.now
    desk.run(15_000)
    plan = desk.engine.state.plans.get("BTCUSDT")
    assert plan is not None
    assert plan.longest_naked_ms >= plan.opened_ms - filled > 0


def test_flatten_all_closes_what_was_opened_elsewhere_a_moment_ago() -> None:
    desk = Desk().start()
    by_hand(desk, "BUY", "0.010")
    assert desk.engine.state.plans == {}
    desk.process(ev.FlattenAll(ts=desk.now))
    desk.run(15_000)
    assert (desk.position, desk.resting(), desk.engine.state.plans) == (0, [], {})
    assert desk.engine.state.flatten_ms == 0
    by_hand(desk, "BUY", "0.010")
    desk.run(20_000)
    assert desk.position == Decimal("0.010")


def test_resuming_ends_a_flatten_that_still_waits_for_the_account() -> None:
    desk = Desk().start()
    by_hand(desk, "BUY", "0.010")
    desk.process(ev.FlattenAll(ts=desk.now))
    desk.process(ev.PauseEntries(ts=desk.now, paused=False))
    desk.run(15_000)
    assert desk.position == Decimal("0.010")
    assert [qty for qty, _ in prices(desk, "STOP_MARKET")] == ["0.010"]


def test_i10_a_stop_taken_over_from_a_lost_store_is_not_taken_away_by_the_next_restart() -> None:
    desk = opened()
    desk.records.clear()
    revive(desk, Recovered(next_plan_id=9))
    stop = prices(desk, "STOP_MARKET")
    recovered = msgspec.structs.replace(remembered(desk), orders=())
    sent = len(desk.sent)
    revive(desk, recovered)
    assert desk.engine.state.plans["BTCUSDT"].plan_id == 9
    assert prices(desk, "STOP_MARKET") == stop
    assert [c for c in desk.sent[sent:] if isinstance(c, cmd.CancelOrder)] == []


def bare_ms(desk: Desk) -> int:
    """Trade from a phone, and wait for the proven stop: how long the position was bare, ms."""
    by_hand(desk, "BUY", "0.010")
    filled = desk.now
    while not desk.engine.state.plans.get("BTCUSDT") or desk.engine.state.plans["BTCUSDT"].naked_since_ms:
        desk.run(100)
        assert desk.now - filled < 30_000, "no stop"
    assert [qty for qty, _ in prices(desk, "STOP_MARKET")] == ["0.010"]
    return desk.now - filled


def spend_the_pace(desk: Desk) -> None:
    """As many snapshots were asked as the request budget bears for half a minute."""
    desk.run(10_000)
    for _ in range(8):
        desk.engine.state.require_snapshot("test")


def test_i1_what_was_opened_elsewhere_is_adopted_by_the_streams_two_words_without_a_snapshot() -> None:
    desk = Desk().start()
    spend_the_pace(desk)
    assert bare_ms(desk) <= 400


@pytest.mark.parametrize("unheard", ["ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE"])
def test_i1_one_word_of_the_stream_about_a_position_of_nobody_asks_for_the_account_at_once(unheard: str) -> None:
    desk = Desk().start()
    spend_the_pace(desk)
    desk.stream_faults = lambda event: event["e"] == unheard
    assert bare_ms(desk) <= 1_000


def test_i1_a_position_flipped_elsewhere_has_its_stop_without_waiting_for_a_snapshot() -> None:
    desk = opened()
    spend_the_pace(desk)
    by_hand(desk, "SELL", "0.050")
    desk.run(400)
    plan = desk.engine.state.plans["BTCUSDT"]
    assert (plan.origin, plan.side, plan.naked_since_ms) == (Origin.ADOPTED, Side.SHORT, 0)


def test_what_is_opened_elsewhere_after_the_kill_switch_is_closed_at_once() -> None:
    desk = Desk().start()
    desk.process(ev.KillSwitch(ts=desk.now, reason="test"))
    desk.run(2_000)
    by_hand(desk, "BUY", "0.010")
    desk.run(2_500)
    assert (desk.position, desk.resting()) == (0, [])


def test_a_position_told_while_the_private_stream_is_compared_anew_waits_for_the_snapshot() -> None:
    desk = Desk().start()
    desk.process(ev.LinkDown(ts=desk.now, channel=Channel.PRIVATE, reason="test"))
    desk.process(ev.LinkUp(ts=desk.now, channel=Channel.PRIVATE))
    desk.engine.state.resync_ms = desk.now
    by_hand(desk, "BUY", "0.010")
    desk.process(ev.PositionUpdate(ts=desk.now, symbol="BTCUSDT", qty=Decimal("0.010"), entry_price=Decimal(43_500)))
    assert desk.engine.state.plans == {}
    desk.run(1_000)
    assert [qty for qty, _ in prices(desk, "STOP_MARKET")] == ["0.010"]


def test_a_snapshot_asked_before_the_streams_word_does_not_take_the_wallet_back() -> None:
    desk = Desk().start()
    portfolio, before = desk.engine.state.portfolio, snapshot_without(desk)
    known = portfolio.wallet
    assert known is not None
    desk.run(1_000)
    told = known + 153
    desk.process(ev.BalanceUpdate(ts=desk.now, wallet=told, reason="ORDER"))
    desk.process(msgspec.structs.replace(before, ts=desk.now))
    assert portfolio.wallet == told
    desk.process(msgspec.structs.replace(before, ts=desk.now, asked_at=desk.now + 1_000))
    assert portfolio.wallet == told, "a lagging replica may have answered"
    desk.run(10_000)
    desk.snapshot()
    desk.run(1_000)
    assert portfolio.wallet == known


def partly_closed() -> tuple[Desk, ev.AccountSnapshot]:
    """A quarter is closed; the account as a lagging replica still shows it."""
    desk = opened()
    old = ev.VenuePosition(symbol="BTCUSDT", qty=QTY, entry_price=Decimal(43_500))
    known = msgspec.structs.replace(snapshot_without(desk), positions=(old,))
    desk.process(ev.ClosePosition(ts=desk.now, symbol="BTCUSDT", fraction=Decimal("0.25")))
    desk.run(1_000)
    assert desk.position == QTY * 3 / 4
    return desk, known


def test_i7_a_lagging_word_does_not_undo_a_part_that_was_just_closed() -> None:
    desk, old = partly_closed()
    for _ in range(2):
        desk.process(msgspec.structs.replace(old, ts=desk.now, asked_at=desk.now))
        assert desk.engine.state.portfolio.position("BTCUSDT").qty == QTY * 3 / 4
        desk.run(100)
    desk.run(10_000)
    desk.snapshot()
    desk.run(1_000)
    assert desk.engine.state.portfolio.position("BTCUSDT").qty == QTY * 3 / 4
    assert not [line for line in desk.log if "word is taken" in line]


def test_i7_what_closed_just_before_a_restart_is_not_adopted_again_from_a_lagging_word() -> None:
    desk, old = partly_closed()
    desk.process(ev.ClosePosition(ts=desk.now, symbol="BTCUSDT", fraction=Decimal(1)))
    desk.run(1_000)
    assert desk.position == 0
    desk.restart(msgspec.structs.replace(remembered(desk), fills_cursor_ms=desk.now - 800))
    read, desk.snapshot = desk.snapshot, lambda: None
    desk.start()
    sent = len(desk.sent)
    desk.process(msgspec.structs.replace(old, ts=desk.now, asked_at=desk.now - 1_900))
    assert desk.engine.state.plans == {}
    desk.snapshot = read
    desk.run(10_000)
    desk.snapshot()
    desk.run(1_000)
    assert (desk.engine.state.plans, desk.sent[sent:]) == ({}, [])


def test_i14_what_a_lost_store_leaves_open_is_adopted_at_once_however_young_it_is() -> None:
    desk = opened()
    desk.restart(Recovered())
    desk.start()
    assert desk.engine.state.plans["BTCUSDT"].origin is Origin.ADOPTED


def test_i17_fills_are_booked_in_the_order_of_their_numbers_when_the_venues_clock_was_set_back() -> None:
    desk = Desk().start()
    sides = ((OrderSide.BUY, "99", 5_000, "43500"), (OrderSide.SELL, "100", 1_000, "43510"))
    fills = tuple(
        ev.Fill(
            ts=desk.now,
            symbol="BTCUSDT",
            client_id="",
            venue_id="",
            trade_id=number,
            side=side,
            qty=QTY,
            price=Decimal(price),
            fee=Decimal(0),
            fee_asset="USDT",
            maker=False,
            realized_pnl=Decimal(0),
            venue_ts=desk.now + later,
        )
        for side, number, later, price in sides
    )
    desk.process(msgspec.structs.replace(snapshot_without(desk), fills=fills[::-1]))
    kept = [r.data["trade_id"] for r in desk.records if r.kind == "fills"]
    assert kept == ["99", "100"]
    assert desk.engine.state.portfolio.position("BTCUSDT").qty == 0


def test_i10_a_replica_that_lags_behind_a_fill_nobody_heard_takes_no_stop_away() -> None:
    """The entry is said to be filled, its events were lost, and the account is read where that is not known yet."""
    desk = Desk().start()
    desk.stream_faults = lambda event: True
    desk.snapshot = lambda: None  # type: ignore[method-assign]
    desk.process(ev.OpenPosition(ts=desk.now, symbol="BTCUSDT", side=Side.LONG, qty=QTY))
    desk.run(1_500)
    assert [kind for kind, *_ in desk.resting()] == ["STOP_MARKET"]
    asked = desk.now
    desk.run(50)
    desk.process(ev.AccountSnapshot(ts=desk.now, asked_at=asked, positions=(), orders=(), wallet=Decimal(10_000)))
    desk.run(500)
    assert [kind for kind, *_ in desk.resting()] == ["STOP_MARKET"]
    assert "BTCUSDT" in desk.engine.state.plans
    del desk.snapshot
    desk.stream_faults = None
    desk.snapshot()
    desk.run(1_000)
    assert desk.engine.state.portfolio.position("BTCUSDT").qty == QTY
    assert [kind for kind, *_ in desk.resting()] == ["LIMIT", "LIMIT", "STOP_MARKET"]


@pytest.mark.parametrize("side", list(Side))
def test_a_stop_that_the_liquidation_price_comes_before_is_told_once_as_long_as_it_is_so(side: Side) -> None:
    desk = opened(side)
    plan = desk.engine.state.plans["BTCUSDT"]

    def hear(liquidation: Decimal) -> None:
        desk.run(8_000)
        held = ev.VenuePosition(
            symbol="BTCUSDT", qty=QTY * side.sign, entry_price=plan.avg_entry, liquidation_price=liquidation
        )
        state = desk.engine.state
        desk.snapshot = lambda: None
        stop = next(o for o in state.ledger.of_plan(plan.plan_id) if o.leg is Leg.STOP and o.live)
        row = ev.OpenOrder(
            symbol="BTCUSDT",
            client_id=stop.client_id,
            venue_id=stop.venue_id,
            book=stop.book,
            status=stop.status,
            side=stop.side,
            type=stop.type,
            qty=stop.qty,
            trigger_price=stop.trigger_price,
            reduce_only=True,
        )
        desk.process(
            ev.AccountSnapshot(ts=desk.now, asked_at=desk.now, positions=(held,), orders=(row,), wallet=Decimal(10_000))
        )

    def told() -> int:
        return sum("liquidat" in text for text in desk.log)

    hear(plan.stop_price - 500 * side.sign)
    assert told() == 0
    for _ in range(3):
        hear(plan.stop_price + 50 * side.sign)
    assert told() == 1
    hear(plan.stop_price - 500 * side.sign)
    hear(plan.stop_price + 50 * side.sign)
    assert told() == 2
    assert "would be liquidated" in desk.engine.state.alarm
