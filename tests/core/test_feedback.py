"""What the venue says back: lost answers, refusals by code, words out of order, fills that are not ours."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest

from tests.core.test_executor import QTY, opened, prices
from tests.desk import Desk
from tui_trader.core import commands as cmd
from tui_trader.core import events as ev
from tui_trader.core.types import Leg, OrderSide, OrderStatus, OrderType, Side, VenueBook
from tui_trader.core.universe import SymbolMetrics
from tui_trader.exchange.rest import Reply, Request

SYMBOL = "BTCUSDT"


def refuse_stops(desk: Desk, code: int, *, times: int) -> list[int]:
    """Answer the next stop placements with an error, before they reach the exchange; returns when they were tried."""
    real, tried = desk.api.handle, []

    def handle(request: Request) -> Reply:
        if request.method == "POST" and request.path.endswith("algoOrder") and len(tried) < times:
            tried.append(desk.now)
            return Reply(400, f'{{"code":{code},"msg":"refused"}}')
        return real(request)

    desk.api.handle = handle
    return tried


def enter(desk: Desk, ms: int = 5_000) -> Desk:
    desk.process(ev.OpenPosition(ts=desk.now, symbol=SYMBOL, side=Side.LONG, qty=QTY))
    desk.run(ms)
    return desk


def placed(desk: Desk, leg: Leg) -> list[cmd.PlaceOrder]:
    return [c for c in desk.sent if isinstance(c, cmd.PlaceOrder) and c.leg is leg]


@pytest.mark.parametrize("code", [-2021, -4142])
def test_a_stop_that_would_trigger_at_once_flattens_now(code: int) -> None:
    desk = Desk().start()
    refuse_stops(desk, code, times=100)
    enter(desk)
    assert (desk.position, desk.resting(), desk.engine.state.plans) == (0, [], {})
    assert desk.engine.state.trades[0].reason == "price is already beyond the stop"


def test_a_moved_stop_that_would_trigger_keeps_the_older_one_and_is_tried_again() -> None:
    desk = opened()
    before = prices(desk, "STOP_MARKET")
    tried = refuse_stops(desk, -2021, times=3)
    plan = desk.engine.state.plans[SYMBOL]
    wanted = plan.avg_entry - 100
    desk.process(ev.MoveStop(ts=desk.now, symbol=SYMBOL, price=wanted))
    desk.run(2_500)
    assert prices(desk, "STOP_MARKET") == before, "the older stop stands"
    assert desk.position == QTY
    assert any("the older one at 42850.10 stays" in text for text in desk.log)
    desk.run(6_000)
    assert len(tried) == 3
    assert [Decimal(price) for _, price in prices(desk, "STOP_MARKET")] == [wanted]
    assert plan.longest_naked_ms < 1_000


def test_a_stop_beyond_the_price_waits_for_it_while_an_older_one_stands() -> None:
    desk = opened()
    plan = desk.engine.state.plans[SYMBOL]
    before, sent = prices(desk, "STOP_MARKET"), len(placed(desk, Leg.STOP))
    plan.stop_price = wanted = plan.avg_entry + 300
    desk.run(5_000)
    assert (prices(desk, "STOP_MARKET"), len(placed(desk, Leg.STOP))) == (before, sent), "not even tried"
    desk.move(float(plan.avg_entry) + 400)
    assert [Decimal(price) for _, price in prices(desk, "STOP_MARKET")] == [wanted]


def test_a_stop_that_would_trigger_flattens_when_price_is_beyond_the_older_one_too() -> None:
    desk = opened()
    refuse_stops(desk, -2021, times=100)
    plan = desk.engine.state.plans[SYMBOL]
    stop = next(o for o in desk.engine.state.ledger if o.leg is Leg.STOP)
    stop.trigger_price = plan.avg_entry + 50
    desk.process(ev.MoveStop(ts=desk.now, symbol=SYMBOL, price=plan.avg_entry - 100))
    desk.run(5_000)
    assert (desk.position, desk.resting()) == (0, [])
    assert desk.engine.state.trades[0].reason == "price is already beyond the stop"


def test_a_position_that_the_venue_does_not_see_is_asked_for_within_a_second_or_so_then_closed() -> None:
    desk = Desk().start()
    tried = refuse_stops(desk, -4509, times=100)
    enter(desk, ms=1_900)
    assert len(tried) >= 3
    desk.run(2_000)
    assert (desk.position, desk.resting()) == (0, [])
    assert "refuses the stop" in desk.engine.state.trades[0].reason


def test_an_unknown_refusal_of_a_first_stop_flattens_at_once_and_halts_entries() -> None:
    desk = Desk().start()
    tried = refuse_stops(desk, -9999, times=100)
    enter(desk)
    assert len(tried) <= 3
    assert (desk.position, desk.resting()) == (0, [])
    assert [r.code for r in desk.engine.state.blocks()] == ["halted"]
    assert "unknown reason" in desk.engine.state.halted


def test_i13_stop_and_close_refused_for_good_are_tried_a_few_times_in_ten_seconds() -> None:
    desk = opened()
    plan = desk.engine.state.plans[SYMBOL]
    real, tried = desk.api.handle, []

    def handle(request: Request) -> Reply:
        if request.method == "POST" and "rder" in request.path:
            tried.append(request.path)
            return Reply(400, '{"code":-4140,"msg":"Invalid symbol status for opening position."}')
        return real(request)

    desk.api.handle = handle
    for algo in list(desk.account.open_algos(SYMBOL)):
        desk.exchange.algos.cancel(algo)
    desk.run(20_000)
    assert plan.stage == "closing"
    assert 4 <= tried.count("/fapi/v1/algoOrder") <= 8
    assert 4 <= tried.count("/fapi/v1/order") <= 8
    desk.api.handle = real
    desk.run(6_000)
    assert (desk.position, desk.resting()) == (0, [])


def test_hedge_mode_refuses_entries_with_words() -> None:
    desk = Desk().start()
    real = desk.api.handle

    def handle(request: Request) -> Reply:
        if request.method == "POST" and request.path == "/fapi/v1/order":
            return Reply(400, '{"code":-4061,"msg":"Order\'s position side does not match user\'s setting."}')
        return real(request)

    desk.api.handle = handle
    desk.snapshot = lambda: None
    enter(desk, ms=500)
    assert desk.engine.state.plans == {}
    assert [r.code for r in desk.engine.state.blocks()] == ["hedge_mode"]
    assert any("-4061" in text for text in desk.log)
    assert "switch the position mode to one-way" in desk.engine.state.alarm
    asked = desk.now - 1_000
    desk.process(ev.AccountSnapshot(ts=desk.now, asked_at=asked, positions=(), orders=(), wallet=Decimal(1)))
    assert [r.code for r in desk.engine.state.blocks()] == ["hedge_mode"], "an older answer ends nothing"
    del desk.snapshot
    desk.snapshot()
    desk.run(200)
    assert desk.engine.state.blocks() == (), "the account itself says that it is in one-way mode"


def test_an_exit_refused_beside_resting_targets_clears_them_and_is_tried_again() -> None:
    desk = opened()
    plan = desk.engine.state.plans[SYMBOL]
    real, refused = desk.api.handle, []

    def handle(request: Request) -> Reply:
        crowded = bool(desk.account.open_orders(SYMBOL))
        if request.method == "POST" and request.path.endswith("algoOrder") and crowded:
            refused.append(desk.now)
            return Reply(400, '{"code":-4118,"msg":"ReduceOnly Order Failed."}')
        return real(request)

    desk.api.handle = handle
    wanted = plan.avg_entry - 200
    desk.process(ev.MoveStop(ts=desk.now, symbol=SYMBOL, price=wanted))
    desk.run(5_000)
    assert len(refused) == 1
    assert [Decimal(price) for _, price in prices(desk, "STOP_MARKET")] == [wanted]
    assert len(prices(desk, "LIMIT")) == 2, "the targets are back"


def test_i4_an_exit_that_never_reached_the_venue_goes_out_again_under_its_own_id() -> None:
    desk = Desk().start()
    real, down = desk.api.handle, [3]

    def handle(request: Request) -> Reply:
        if request.method == "POST" and request.path.endswith("algoOrder") and down[0]:
            down[0] -= 1
            return Reply(503, '{"code":0,"msg":"Service Unavailable."}')
        return real(request)

    desk.api.handle = handle
    enter(desk)
    stops = placed(desk, Leg.STOP)
    assert len(stops) == 4
    assert len({c.client_id for c in stops}) == 1
    assert [c.resend for c in stops] == [False, True, True, True]
    assert len({c.approval.sequence for c in stops}) == 4
    assert [qty for qty, _ in prices(desk, "STOP_MARKET")] == ["0.040"]
    assert desk.position == QTY, "what never arrived is no refusal"


def test_i2_what_the_venue_fills_beyond_the_order_is_closed_again() -> None:
    desk = opened()
    entry = next(o for o in desk.engine.state.ledger if o.leg is Leg.ENTRY)
    fields = {"symbol": SYMBOL, "side": "BUY", "type": "MARKET", "quantity": "0.010"}
    desk.request("POST", "/fapi/v1/order", fields | {"newClientOrderId": entry.client_id})
    desk.run(4_000)
    assert any("filled 0.010 more than was ordered" in text for text in desk.log)
    assert desk.position == QTY
    assert [c.qty for c in placed(desk, Leg.CLOSE)] == [Decimal("0.010")]
    assert [qty for qty, _ in prices(desk, "STOP_MARKET")] == ["0.040"]
    assert len(prices(desk, "LIMIT")) == 2


def test_i5_an_order_late_on_its_way_is_not_concluded_lost_before_its_window_has_passed() -> None:
    desk = Desk().start()
    late: list[Request] = []
    real = desk.api.handle

    def handle(request: Request) -> Reply:
        if (request.method, request.path) == ("POST", "/fapi/v1/order") and not late:
            late.append(request)
            return Reply(502, "")
        return real(request)

    desk.api.handle = handle
    enter(desk, ms=4_500)
    assert SYMBOL in desk.engine.state.plans, "three negatives within the window prove nothing"
    real(late[0])
    desk.run(2_000)
    assert desk.position == QTY
    assert [qty for qty, _ in prices(desk, "STOP_MARKET")] == ["0.040"]
    assert desk.engine.state.plans[SYMBOL].longest_naked_ms < 1_500


def test_a_stop_refused_once_is_tried_again_within_a_second() -> None:
    desk = Desk().start()
    tried = refuse_stops(desk, -4509, times=1)
    enter(desk)
    assert len(tried) == 1
    assert [qty for qty, _ in prices(desk, "STOP_MARKET")] == ["0.040"]
    assert desk.engine.state.plans[SYMBOL].longest_naked_ms < 3_000


def test_rate_limited_stops_wait_and_do_not_count_as_refused() -> None:
    desk = opened()
    refused: list[int] = []

    real = desk.api.handle

    def handle(request: Request) -> Reply:
        if request.method == "POST" and request.path.endswith("algoOrder") and len(refused) < 4:
            refused.append(desk.now)
            return Reply(429, '{"code":-1003,"msg":"Too many requests"}', headers={"Retry-After": "2"})
        return real(request)

    desk.api.handle = handle
    plan = desk.engine.state.plans[SYMBOL]
    wanted = plan.avg_entry - 200
    desk.process(ev.MoveStop(ts=desk.now, symbol=SYMBOL, price=wanted))
    desk.run(12_000)
    assert len(refused) == 4
    assert all(b - a >= 2_000 for a, b in pairwise(refused)), "silence until Retry-After"
    assert [Decimal(price) for _, price in prices(desk, "STOP_MARKET")] == [wanted]
    assert desk.position == QTY


def test_a_target_outside_the_price_band_is_tried_ever_more_rarely() -> None:
    desk = Desk().start()
    real = desk.api.handle

    def handle(request: Request) -> Reply:
        if request.method == "POST" and request.path == "/fapi/v1/order" and "type=LIMIT" in request.query:
            return Reply(400, '{"code":-4016,"msg":"Limit price can\'t be higher than 40926.06."}')
        return real(request)

    desk.api.handle = handle
    enter(desk, ms=60_000)
    assert 4 <= len(placed(desk, Leg.TP1)) <= 7
    assert desk.position == QTY
    assert len(prices(desk, "STOP_MARKET")) == 1
    desk.api.handle = real
    desk.run(70_000)
    assert len(prices(desk, "LIMIT")) == 2


def test_close_is_never_slowed_down() -> None:
    desk = opened()
    real, refused = desk.api.handle, []

    def handle(request: Request) -> Reply:
        if request.method == "POST" and request.path == "/fapi/v1/order" and len(refused) < 5:
            refused.append(desk.now)
            return Reply(400, '{"code":-2022,"msg":"ReduceOnly Order is rejected."}')
        return real(request)

    desk.api.handle = handle
    desk.process(ev.FlattenAll(ts=desk.now))
    desk.run(10_000)
    assert (desk.position, desk.resting()) == (0, [])
    assert all(b - a <= 1_200 for a, b in pairwise(refused))


def test_i6_the_whole_stream_twice_changes_nothing() -> None:
    once, twice = Desk().start(), Desk()
    twice.stream_delays = lambda event: (0, 700)
    enter(once)
    enter(twice.start())
    for desk in (once, twice):
        desk.move(44_600, ms=4_000)
    assert once.resting() == twice.resting()
    assert once.position == twice.position == twice.engine.state.portfolio.position(SYMBOL).qty
    plans = [d.engine.state.plans[SYMBOL] for d in (once, twice)]
    assert plans[0].entered == plans[1].entered
    assert plans[0].exited == plans[1].exited
    assert len([r for r in twice.records if r.kind == "fills"]) == len([r for r in once.records if r.kind == "fills"])


def test_a_filled_order_is_stored_with_the_price_it_was_filled_at() -> None:
    desk = opened()
    ids = [c.client_id for c in placed(desk, Leg.ENTRY)]
    rows = [r.data for r in desk.records if r.kind == "orders" and r.data["client_id"] in ids]
    (plan,) = desk.engine.state.plans.values()
    assert (rows[-1]["status"], rows[-1]["filled_qty"], rows[-1]["avg_price"]) == ("filled", QTY, plan.avg_entry)


def test_filled_is_heard_before_its_fill_and_the_target_is_not_sent_again() -> None:
    desk = opened()
    plan = desk.engine.state.plans[SYMBOL]
    target = next(o for o in desk.engine.state.ledger if o.leg is Leg.TP1)
    desk.process(
        ev.OrderUpdate(
            ts=desk.now,
            symbol=SYMBOL,
            client_id=target.client_id,
            venue_id=target.venue_id,
            book=VenueBook.REGULAR,
            status=OrderStatus.FILLED,
            side=OrderSide.SELL,
            type=OrderType.LIMIT,
            qty=target.qty,
            filled_qty=target.qty,
        )
    )
    again = [c for c in desk.sent if isinstance(c, cmd.PlaceOrder) and c.leg is Leg.TP1]
    assert len(again) == 1
    assert [c.qty for c in placed(desk, Leg.STOP)] == [QTY], "the stop follows only when the fill is heard"
    assert plan.entered == QTY


def test_a_fill_that_the_taken_over_position_contains_is_not_counted_again() -> None:
    desk = Desk().start()
    desk.stream_faults = lambda event: True
    desk.request("POST", "/fapi/v1/order", {"symbol": SYMBOL, "side": "BUY", "type": "MARKET", "quantity": "0.010"})
    before = desk.now
    state = desk.engine.state
    for _ in range(2):
        snapshot = ev.AccountSnapshot(
            ts=desk.now,
            asked_at=desk.now,
            positions=(ev.VenuePosition(symbol=SYMBOL, qty=Decimal("0.010"), entry_price=Decimal(43_500)),),
            orders=(),
            wallet=Decimal(10_000),
        )
        desk.process(snapshot)
        desk.clock.advance(50)
    assert state.portfolio.position(SYMBOL).qty == Decimal("0.010")
    late = ev.Fill(
        ts=desk.now,
        symbol=SYMBOL,
        client_id="phone",
        venue_id="99",
        trade_id="77",
        side=OrderSide.BUY,
        qty=Decimal("0.010"),
        price=Decimal(43_500),
        fee=Decimal("0.2"),
        fee_asset="USDT",
        maker=False,
        realized_pnl=Decimal(0),
        venue_ts=before - 100,
    )
    desk.process(late)
    assert state.portfolio.position(SYMBOL).qty == Decimal("0.010")
    assert state.plans[SYMBOL].fees == 0, "I9: the plan was journalled after it"
    assert [r.data["plan_id"] for r in desk.records if r.kind == "fills"] == [None]
    assert not state.portfolio.is_new(late)
    newer = msgspec.structs.replace(late, trade_id="78", venue_ts=desk.now + 1)
    desk.process(newer)
    assert state.portfolio.position(SYMBOL).qty == Decimal("0.020")


def test_i9_a_foreign_sell_while_entering_is_external_and_takes_the_entry_back() -> None:
    desk = Desk().start()
    desk.process(ev.OpenPosition(ts=desk.now, symbol=SYMBOL, side=Side.LONG, qty=QTY, limit_price=Decimal("43000")))
    desk.run(500)
    plan = desk.engine.state.plans[SYMBOL]
    desk.request("POST", "/fapi/v1/order", {"symbol": SYMBOL, "side": "SELL", "type": "MARKET", "quantity": "0.010"})
    desk.run(300)
    assert (plan.exited, plan.exit_value, plan.fees, plan.realized) == (0, 0, 0, 0)
    assert [(r.data["plan_id"], r.data["leg"]) for r in desk.records if r.kind == "fills"] == [(None, "external")]
    desk.run(5_000)
    assert desk.position == Decimal("-0.010")
    adopted = desk.engine.state.plans[SYMBOL]
    assert (adopted.origin, adopted.side, adopted.naked_since_ms) == ("adopted", Side.SHORT, 0)
    assert [(kind, side, qty) for kind, side, qty, _ in desk.resting()][-1:] == [("STOP_MARKET", "BUY", "0.010")]


def test_a_foreign_buy_while_entering_is_owned_and_protected_with_the_plan() -> None:
    desk = Desk().start()
    desk.process(ev.OpenPosition(ts=desk.now, symbol=SYMBOL, side=Side.LONG, qty=QTY, limit_price=Decimal("43000")))
    desk.run(500)
    desk.request("POST", "/fapi/v1/order", {"symbol": SYMBOL, "side": "BUY", "type": "MARKET", "quantity": "0.010"})
    desk.run(2_000)
    plan = desk.engine.state.plans[SYMBOL]
    assert (plan.origin, plan.entered) == ("manual", Decimal("0.010"))
    assert [qty for qty, _ in prices(desk, "STOP_MARKET")] == ["0.010"]


def test_a_foreign_sell_through_zero_ends_the_plan_with_what_it_held() -> None:
    desk = opened()
    desk.request("POST", "/fapi/v1/order", {"symbol": SYMBOL, "side": "SELL", "type": "MARKET", "quantity": "0.050"})
    desk.run(5_000)
    assert desk.position == Decimal("-0.010")
    assert desk.engine.state.trades[0].qty == float(QTY)
    assert desk.engine.state.plans[SYMBOL].side is Side.SHORT
    assert [(qty) for qty, _ in prices(desk, "STOP_MARKET")] == ["0.010"]


def test_i6_the_same_snapshot_again_changes_nothing() -> None:
    desk = opened()
    state = desk.engine.state
    differing = ev.AccountSnapshot(
        ts=desk.now, asked_at=desk.now, positions=(), orders=(), wallet=Decimal(10_000), complete=True
    )
    for _ in range(3):
        desk.process(differing)
    assert state.portfolio.position(SYMBOL).qty == QTY, "one snapshot, however often heard, is one witness"
    assert state.reconciling
    desk.run(3_000)
    assert not state.reconciling
    assert state.portfolio.position(SYMBOL).qty == QTY == desk.position


@pytest.mark.parametrize(
    ("client_id", "what"),
    [("autoclose-1", "liquidated by the venue"), ("adl_autoclose", "auto-deleveraging")],
)
def test_liquidation_is_booked_to_the_venue_and_pauses_the_symbol(client_id: str, what: str) -> None:
    desk = opened()
    fields = {"symbol": SYMBOL, "side": "SELL", "type": "MARKET", "quantity": "0.040", "reduceOnly": "true"}
    desk.request("POST", "/fapi/v1/order", fields | {"newClientOrderId": client_id})
    desk.run(4_000)
    assert (desk.position, desk.resting(), desk.engine.state.plans) == (0, [], {})
    assert what in desk.engine.state.trades[0].reason
    blocks = [(r.code, r.text) for r in desk.engine.state.blocks(SYMBOL)]
    assert blocks == [("paused", f"{SYMBOL} is paused until resumed by hand (p)")]


@pytest.mark.parametrize(
    ("asset", "price", "fee"), [("BTC", 0.0, "0.43"), ("BNB", 600.0, "0.006"), ("BNB", 0.0, "0"), ("XYZ", 0.0, "0")]
)
def test_a_fee_in_another_coin_is_counted_at_that_coins_price(asset: str, price: float, fee: str) -> None:
    desk = Desk().start()
    enter(desk)
    desk.engine.state.metrics["BNBUSDT"] = SymbolMetrics(symbol="BNBUSDT", base_asset="BNB", mark=price)
    plan = desk.engine.state.plans[SYMBOL]
    fees = plan.fees
    desk.process(
        ev.Fill(
            ts=desk.now,
            symbol=SYMBOL,
            client_id="",
            venue_id="",
            trade_id="x1",
            side=OrderSide.BUY,
            qty=Decimal("0.001"),
            price=Decimal(43_000),
            fee=Decimal("0.00001"),
            fee_asset=asset,
            maker=True,
            realized_pnl=Decimal(0),
            venue_ts=desk.now,
        )
    )
    assert plan.fees - fees == Decimal(fee)
    assert any("is not counted" in line for line in desk.log) is (fee == "0")


def test_the_leverage_in_force_is_at_most_the_instruments() -> None:
    desk = Desk().start()
    state = desk.engine.state
    state.instruments[SYMBOL] = msgspec.structs.replace(state.instruments[SYMBOL], max_leverage=20)
    accepted = ev.SendOutcome(
        ts=desk.now, action=ev.SendAction.LEVERAGE, result=ev.SendResult.ACCEPTED, symbol=SYMBOL, client_id=""
    )
    desk.process(accepted)
    assert state.leverage_set == {SYMBOL: 20}


def test_words_about_unknown_orders_are_harmless() -> None:
    desk = Desk().start()
    for action in ev.SendAction:
        if action is not ev.SendAction.LEVERAGE:
            for result in ev.SendResult:
                desk.process(
                    ev.SendOutcome(ts=desk.now, action=action, result=result, symbol=SYMBOL, client_id="tt-x-1-sl-1")
                )
    desk.process(
        ev.OrderUpdate(
            ts=desk.now,
            symbol="NOPE",
            client_id="phone",
            venue_id="1",
            book=VenueBook.ALGO,
            status=OrderStatus.FILLED,
            side=OrderSide.BUY,
            type=OrderType.STOP_MARKET,
            qty=Decimal(1),
        )
    )
    assert desk.sent == []
    assert desk.engine.state.plans == {}


def test_i17_an_exit_heard_before_its_entrys_fills_is_booked_after_them() -> None:
    """Every word on the entry's fill is lost on the stream, and its stop fills before the account is read."""
    desk = Desk().start()
    state, before, read = desk.engine.state, desk.engine.state.portfolio.wallet, desk.snapshot

    def entrys(event: dict[str, object]) -> bool:
        body = event.get("o")
        name = event if event.get("e") == "TRADE_LITE" else body if isinstance(body, dict) else {}
        return "-en-" in str(name.get("c"))

    desk.stream_faults, desk.snapshot = entrys, lambda: None
    desk.process(ev.OpenPosition(ts=desk.now, symbol=SYMBOL, side=Side.LONG, qty=QTY))
    desk.run(1_500)
    assert (desk.position, state.portfolio.position(SYMBOL).qty) == (QTY, 0)
    desk.move(float(desk.market.mid) - 2_000, ms=1_000)
    assert desk.position == 0
    desk.snapshot = read
    desk.snapshot()
    desk.run(20_000)
    desk.snapshot()
    desk.run(1_000)
    assert (desk.position, desk.resting(), state.plans) == (0, [], {})
    told = sum((r.data["pnl"] for r in desk.records if r.kind == "trades"), Decimal(0))
    assert before is not None
    assert state.portfolio.wallet is not None
    assert told == state.portfolio.wallet - before
    assert state.trades[0].reason == "stop"
