"""The executor against the exchange itself: a long and a short walked through their whole ladders."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import msgspec
import pytest

from tests.desk import Desk
from tui_trader.core import commands as cmd
from tui_trader.core import events as ev
from tui_trader.core.oco import proven_stop
from tui_trader.core.types import Channel, Leg, OrderSide, OrderStatus, OrderType, Side, VenueBook
from tui_trader.exchange.rest import Reply, Request

QTY = Decimal("0.040")


def opened(side: Side = Side.LONG, **changes: object) -> Desk:
    desk = Desk(**changes).start()
    desk.process(ev.OpenPosition(ts=desk.now, symbol="BTCUSDT", side=side, qty=QTY))
    desk.run(3_000)
    assert desk.position == QTY * side.sign, desk.log[-5:]
    return desk


def prices(desk: Desk, kind: str) -> list[tuple[str, str]]:
    return [(qty, price) for k, _, qty, price in desk.resting() if k == kind]


def refuse_stops(desk: Desk) -> None:
    """The venue refuses every conditional order from now on."""
    real = desk.api.handle

    def without_stops(request: Request) -> Reply:
        if request.method == "POST" and request.path.endswith("algoOrder"):
            return Reply(400, '{"code":-4045,"msg":"Reach max stop order limit."}')
        return real(request)

    desk.api.handle = without_stops


def test_entry_is_protected_and_has_its_targets() -> None:
    desk = opened()
    plan = desk.engine.state.plans["BTCUSDT"]
    entry = plan.avg_entry
    assert desk.resting() == sorted(
        [
            ("STOP_MARKET", "SELL", "0.040", f"{(entry - 650).normalize():f}"),
            ("LIMIT", "SELL", "0.020", f"{(entry + 975).normalize():f}"),
            ("LIMIT", "SELL", "0.012", f"{(entry + 1625).normalize():f}"),
        ]
    )
    assert plan.naked_since_ms == 0
    assert plan.longest_naked_ms <= 1_000


def test_i4_every_send_was_approved_and_ids_differ() -> None:
    desk = opened()
    placed = [c for c in desk.sent if isinstance(c, cmd.PlaceOrder)]
    assert len({c.client_id for c in placed}) == len(placed)
    assert all(c.qty <= c.approval.max_qty for c in placed)
    assert [c.reduce_only for c in placed] == [c.leg is not Leg.ENTRY for c in placed]


@pytest.mark.parametrize("side", list(Side))
def test_whole_ladder(side: Side) -> None:
    desk = opened(side)
    plan = desk.engine.state.plans["BTCUSDT"]
    entry, sign = float(plan.avg_entry), side.sign

    desk.move(entry + sign * 700)
    (_, stop), *rest = prices(desk, "STOP_MARKET")
    assert rest == []
    assert (Decimal(stop) - plan.avg_entry) * sign > 0, "the stop is at break-even"

    desk.move(entry + sign * 1_000)
    assert desk.position == Decimal("0.020") * sign
    assert [qty for qty, _ in prices(desk, "STOP_MARKET")] == ["0.020"]

    desk.move(entry + sign * 1_700)
    assert desk.position == Decimal("0.008") * sign
    assert plan.trailing
    assert [qty for qty, _ in prices(desk, "STOP_MARKET")] == ["0.008"]
    assert prices(desk, "LIMIT") == []

    desk.move(entry + sign * 2_500, ms=4_000)
    trailed = Decimal(prices(desk, "STOP_MARKET")[0][1])
    assert abs(trailed - (plan.best - sign * Decimal(520))) <= Decimal("0.1")
    desk.move(entry + sign * 2_300, ms=4_000)
    assert Decimal(prices(desk, "STOP_MARKET")[0][1]) == trailed, "a trailing stop never loosens"

    desk.move(entry + sign * 1_800, ms=4_000)
    assert desk.position == 0
    assert desk.resting() == []
    assert desk.engine.state.plans == {}
    trade = desk.engine.state.trades[0]
    assert trade.reason == "stop"
    assert trade.pnl > 0
    assert trade.qty == float(QTY)


def test_stop_loses_one_r_and_costs() -> None:
    desk = opened()
    plan = desk.engine.state.plans["BTCUSDT"]
    desk.move(float(plan.avg_entry) - 700)
    assert (desk.position, desk.resting()) == (0, [])
    trade = desk.engine.state.trades[0]
    assert trade.reason == "stop"
    assert -1.3 < trade.r < -1.0


def test_i17_wallet_change_is_realised_minus_fees() -> None:
    desk = opened()
    plan = desk.engine.state.plans["BTCUSDT"]
    desk.move(float(plan.avg_entry) - 700)
    assert desk.engine.state.portfolio.wallet == Decimal(10_000) + plan.realized - plan.fees


def test_limit_entry_times_out_and_leaves_nothing() -> None:
    desk = Desk().start()
    desk.process(
        ev.OpenPosition(ts=desk.now, symbol="BTCUSDT", side=Side.LONG, qty=QTY, limit_price=Decimal("43400.0"))
    )
    desk.run(1_000)
    assert [k for k, *_ in desk.resting()] == ["LIMIT"]
    desk.run(61_000)
    assert desk.resting() == []
    assert desk.engine.state.plans == {}
    assert any("without a fill" in text for text in desk.log)


def test_partly_filled_limit_entry_is_protected_for_what_is_filled() -> None:
    desk = Desk().start()
    desk.market.lots = 10
    desk.run(500)
    best_ask = Decimal(str(round(desk.market.mid + 0.1, 1)))
    desk.process(ev.OpenPosition(ts=desk.now, symbol="BTCUSDT", side=Side.LONG, qty=QTY, limit_price=best_ask))
    desk.run(400)
    held = desk.position
    assert 0 < held <= QTY
    desk.run(2_000)
    stops = [Decimal(qty) for qty, _ in prices(desk, "STOP_MARKET")]
    assert stops == [desk.position]


def test_a_lost_answer_to_the_stop_leaves_one_proven_stop() -> None:
    desk = Desk()
    dropped: list[str] = []

    def lose(method: str, path: str, reply: object) -> object:
        if method == "POST" and path.endswith("algoOrder") and not dropped:
            dropped.append(path)
            return None
        return reply

    desk.faults = lose
    desk.start()
    desk.process(ev.OpenPosition(ts=desk.now, symbol="BTCUSDT", side=Side.LONG, qty=QTY))
    desk.run(8_000)
    assert dropped
    assert len(prices(desk, "STOP_MARKET")) == 1
    assert desk.position == QTY


def test_an_unknown_entry_outcome_is_asked_about_never_resent() -> None:
    desk = Desk()

    def lose(method: str, path: str, reply: object) -> object:
        return None if (method, path) == ("POST", "/fapi/v1/order") else reply

    desk.faults = lose
    desk.start()
    desk.process(ev.OpenPosition(ts=desk.now, symbol="BTCUSDT", side=Side.LONG, qty=QTY))
    desk.run(5_000)
    entries = [c for c in desk.sent if isinstance(c, cmd.PlaceOrder) and c.leg is Leg.ENTRY]
    assert len(entries) == 1
    assert desk.position == QTY
    assert len(prices(desk, "STOP_MARKET")) == 1


def test_an_entry_that_never_arrived_is_given_up_after_evidence() -> None:
    desk = Desk()
    desk.start()
    real = desk.api.handle

    def lose_on_the_way(request: Request) -> Reply:
        placing = (request.method, request.path) == ("POST", "/fapi/v1/order")
        return real(replace(request, path="/fapi/v1/order/test") if placing else request)

    desk.api.handle = lose_on_the_way
    desk.faults = lambda method, path, reply: None if (method, path) == ("POST", "/fapi/v1/order") else reply
    desk.process(ev.OpenPosition(ts=desk.now, symbol="BTCUSDT", side=Side.LONG, qty=QTY))
    desk.run(1_500)
    assert "BTCUSDT" in desk.engine.state.plans, "one negative proves nothing"
    desk.run(15_000)
    assert desk.engine.state.plans == {}
    ended = [o for o in desk.engine.state.ledger if o.leg is Leg.ENTRY]
    assert [o.status for o in ended] == [OrderStatus.REJECTED]


def test_i1_a_stop_cancelled_from_outside_twice_flattens_and_halts() -> None:
    desk = Desk()
    desk.start()

    def refuse(method: str, path: str, reply: object) -> object:
        if method == "POST" and path.endswith("algoOrder"):
            for algo in list(desk.account.open_algos("BTCUSDT")):
                desk.exchange.algos.cancel(algo)
            return None
        return reply

    desk.faults = refuse
    desk.process(ev.OpenPosition(ts=desk.now, symbol="BTCUSDT", side=Side.LONG, qty=QTY))
    desk.run(30_000)
    assert (desk.position, desk.resting()) == (0, [])
    stops = [c for c in desk.sent if isinstance(c, cmd.PlaceOrder) and c.leg is Leg.STOP]
    assert 2 <= len(stops) <= 6, "replaced once; while the flattening runs the stop is still tried"
    assert desk.engine.state.halted


def test_i1_a_stop_that_the_venue_refuses_ends_in_a_flat_position() -> None:
    desk = Desk().start()
    refuse_stops(desk)
    desk.process(ev.OpenPosition(ts=desk.now, symbol="BTCUSDT", side=Side.LONG, qty=QTY))
    desk.run(8_000)
    assert (desk.position, desk.resting()) == (0, [])
    assert desk.engine.state.trades[0].reason == "the venue refuses the stop: -4045 Reach max stop order limit."


def test_flatten_keeps_the_stop_until_nothing_is_open() -> None:
    desk = opened()
    desk.process(ev.FlattenAll(ts=desk.now))
    desk.run(5_000)
    assert (desk.position, desk.resting()) == (0, [])
    kinds = [
        "cancel " + c.client_id.split("-")[3] if isinstance(c, cmd.CancelOrder) else f"place {c.leg.value}"
        for c in desk.sent
    ]
    tail = kinds[kinds.index("place cl") :]
    assert tail[0] == "place cl"
    assert "cancel sl" in tail
    assert "cancel sl" not in kinds[: kinds.index("place cl")]


def test_i18_a_position_above_the_market_maximum_is_covered_moved_and_closed_in_parts() -> None:
    desk = Desk(spec={"market_max_qty": Decimal("0.020"), "market_step_size": Decimal("0.010")})
    fields = {"symbol": "BTCUSDT", "side": "BUY", "timeInForce": "GTC", "price": "43600"}
    desk.run(500)
    desk.request("POST", "/fapi/v1/order", fields | {"type": "LIMIT", "quantity": "0.056"})
    desk.start()
    desk.run(2_000)
    assert desk.position == Decimal("0.056")
    plan = desk.engine.state.plans["BTCUSDT"]
    assert [qty for qty, _ in prices(desk, "STOP_MARKET")] == ["0.020", "0.020", "0.020"]
    assert plan.naked_since_ms == 0
    assert desk.engine.view(desk.now, "BTCUSDT", "1m").positions[0].stop_proven

    moved = plan.avg_entry - 200
    desk.process(ev.MoveStop(ts=desk.now, symbol="BTCUSDT", price=moved))
    desk.run(2_000)
    assert [(qty, Decimal(price)) for qty, price in prices(desk, "STOP_MARKET")] == [("0.020", moved)] * 3
    assert plan.naked_since_ms == 0

    desk.process(ev.FlattenAll(ts=desk.now))
    desk.run(6_000)
    assert (desk.position, desk.resting(), desk.engine.state.plans) == (0, [], {})
    closes = [c.qty for c in desk.sent if isinstance(c, cmd.PlaceOrder) and c.leg is Leg.CLOSE]
    assert closes == [Decimal("0.020"), Decimal("0.020"), Decimal("0.010"), Decimal("0.010")]


def test_i18_split_stops_trigger_together_and_leave_nothing() -> None:
    desk = Desk(spec={"market_max_qty": Decimal("0.020")})
    desk.run(500)
    for _ in range(2):
        fields = {"symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quantity": "0.020"}
        desk.request("POST", "/fapi/v1/order", fields)
    desk.start()
    desk.run(2_000)
    assert [qty for qty, _ in prices(desk, "STOP_MARKET")] == ["0.020", "0.020"]
    desk.move(45_500, ms=5_000)
    assert (desk.position, desk.resting(), desk.engine.state.plans) == (0, [], {})
    assert desk.engine.state.trades[0].reason == "stop"


def test_flatten_goes_in_the_order_of_safety_and_ends_with_a_look_at_both_books() -> None:
    desk = opened()
    commands: list[str] = []
    real = desk.engine.process

    def watched(event: ev.Event) -> list[cmd.Command]:
        found = real(event)
        for command in found:
            if isinstance(command, cmd.PlaceOrder | cmd.CancelOrder):
                leg = command.client_id.split("-")[3]
                commands.append(("cancel " if isinstance(command, cmd.CancelOrder) else "place ") + leg)
            elif isinstance(command, cmd.RequestSnapshot):
                commands.append("look: " + command.reason.removeprefix("BTCUSDT: "))
        return found

    desk.engine.process = watched
    desk.process(ev.FlattenAll(ts=desk.now))
    assert desk.engine.state.paused_all, "entries are blocked in the same call"
    desk.run(4_000)
    assert commands == [
        "cancel t1",
        "cancel t2",
        "look: before closing at market",
        "place cl",
        "cancel sl",
        "look: flat; looking whether anything of ours rests in either book",
    ]
    assert (desk.position, desk.resting()) == (0, [])


def test_i8_a_flat_position_whose_word_is_lost_keeps_its_stop_for_seconds_only() -> None:
    desk = opened()
    desk.stream_faults = lambda event: event.get("e") == "ACCOUNT_UPDATE"
    desk.process(ev.ClosePosition(ts=desk.now, symbol="BTCUSDT", fraction=Decimal(1)))
    desk.run(600)
    assert desk.position == 0
    assert len(prices(desk, "STOP_MARKET")) == 1, "the venue has not said zero"
    desk.run(2_000)
    assert desk.resting() == [], "asked after a second"
    assert desk.engine.state.plans == {}


def test_i8_a_flat_position_that_nobody_confirms_is_cleared_all_the_same() -> None:
    desk = opened()
    desk.stream_faults = lambda event: event.get("e") == "ACCOUNT_UPDATE"
    desk.snapshot = lambda: None
    desk.process(ev.ClosePosition(ts=desk.now, symbol="BTCUSDT", fraction=Decimal(1)))
    desk.run(8_500)
    assert (desk.position, desk.resting(), desk.engine.state.plans) == (0, [], {})


def test_flatten_repeats_until_the_venue_says_zero() -> None:
    """A fill of the entry is never heard: locally the position is smaller than at the venue."""
    desk = opened()
    state = desk.engine.state
    state.portfolio.position("BTCUSDT").qty -= Decimal("0.010")
    desk.process(ev.FlattenAll(ts=desk.now))
    desk.run(12_000)
    assert (desk.position, desk.resting(), state.plans) == (0, [], {})
    closes = [c.qty for c in desk.sent if isinstance(c, cmd.PlaceOrder) and c.leg is Leg.CLOSE]
    assert closes == [Decimal("0.030"), Decimal("0.010")]


def test_a_symbol_that_the_venue_closes_is_left_early() -> None:
    desk = opened()
    state = desk.engine.state
    closing = msgspec.structs.replace(state.instruments["BTCUSDT"], status="SETTLING")
    desk.process(ev.InstrumentsLoaded(ts=desk.now, instruments=(closing,)))
    desk.run(5_000)
    assert (desk.position, desk.resting(), state.plans) == (0, [], {})
    assert state.trades[0].reason == "the venue closes the symbol (SETTLING)"


def test_a_break_in_trading_leaves_the_position_and_its_stop() -> None:
    desk = opened()
    before = desk.resting()
    paused = msgspec.structs.replace(desk.engine.state.instruments["BTCUSDT"], status="BREAK")
    desk.process(ev.InstrumentsLoaded(ts=desk.now, instruments=(paused,)))
    desk.run(3_000)
    assert (desk.position, desk.resting()) == (QTY, before)


@pytest.mark.parametrize("side", list(Side))
def test_a_coarser_tick_moves_the_ladder_onto_it_before_an_order_is_refused_for_it(side: Side) -> None:
    desk = opened(side)
    state = desk.engine.state
    plan = state.plans["BTCUSDT"]
    levels = [plan.stop_price, *(target.price for target in plan.targets)]
    coarse = msgspec.structs.replace(state.instruments["BTCUSDT"], tick_size=Decimal(7))
    assert any(price % 7 for price in levels)
    already = len(desk.sent)
    desk.process(ev.InstrumentsLoaded(ts=desk.now, instruments=(coarse,)))
    desk.run(3_000)
    away = [coarse.round_away_from_risk(price, side) for price in levels]
    assert [plan.stop_price, *(target.price for target in plan.targets)] == away
    assert sorted(price for _, _, _, price in desk.resting()) == sorted(f"{price:f}" for price in away)
    sent = [c for c in desk.sent[already:] if isinstance(c, cmd.PlaceOrder)]
    assert [c.leg for c in sent if (c.price or c.trigger_price or 0) % 7] == []
    assert (plan.naked_since_ms, plan.longest_naked_ms <= 1_000) == (0, True)
    assert any("tick size is now 7: stop" in line for line in desk.log)
    already = len(desk.sent)
    desk.process(ev.InstrumentsLoaded(ts=desk.now, instruments=(coarse,)))
    desk.run(3_000)
    assert [c for c in desk.sent[already:] if isinstance(c, cmd.PlaceOrder)] == []


def test_a_market_order_whose_end_is_not_heard_is_asked_about() -> None:
    desk = Desk().start()
    desk.stream_faults = lambda event: event.get("e") == "TRADE_LITE" or event.get("o", {}).get("x") == "TRADE"
    desk.process(ev.OpenPosition(ts=desk.now, symbol="BTCUSDT", side=Side.LONG, qty=QTY))
    desk.run(3_000)
    plan = desk.engine.state.plans["BTCUSDT"]
    assert [qty for qty, _ in prices(desk, "STOP_MARKET")] == ["0.040"]
    assert plan.longest_naked_ms < 3_000


def test_an_entry_that_is_said_to_be_filled_is_protected_before_its_fills_are_heard() -> None:
    desk = Desk().start()
    desk.stream_faults = lambda event: True
    desk.snapshot = lambda: None
    desk.process(ev.OpenPosition(ts=desk.now, symbol="BTCUSDT", side=Side.LONG, qty=QTY))
    desk.run(1_500)
    plan = desk.engine.state.plans["BTCUSDT"]
    assert plan.entered == 0, "no fill was heard"
    assert prices(desk, "STOP_MARKET") == [("0.040", "42850.1")]
    del desk.snapshot
    desk.stream_faults = None
    desk.run(8_000)
    assert (plan.entered, plan.avg_entry, plan.stop_price) == (QTY, Decimal("43500.1"), Decimal("42850.1"))
    assert prices(desk, "STOP_MARKET") == [("0.040", "42850.1")]
    assert len(prices(desk, "LIMIT")) == 2


def test_a_stop_cancelled_while_the_stream_is_silent_is_missed_within_seconds() -> None:
    desk = opened()
    desk.stream_faults = lambda event: True
    cancelled = desk.now
    for algo in list(desk.account.open_algos("BTCUSDT")):
        desk.exchange.algos.cancel(algo)
    while not prices(desk, "STOP_MARKET"):
        desk.run(100)
    assert desk.now - cancelled <= 2_600
    assert desk.position == QTY


def test_a_stop_that_the_venue_has_forgotten_is_joined_by_another_at_once() -> None:
    """It is not concluded gone before several negatives; what protects does not wait for that."""
    desk = opened()
    desk.run(1_000)
    algo = desk.account.open_algos("BTCUSDT")[0]
    desk.stream_faults = lambda event: True
    desk.exchange.algos.cancel(algo)
    desk.stream_faults = None
    stop = next(o for o in desk.engine.state.ledger if o.leg is Leg.STOP)
    outcome = ev.SendOutcome(
        ts=desk.now,
        action=ev.SendAction.QUERY,
        result=ev.SendResult.NOT_FOUND,
        symbol="BTCUSDT",
        client_id=stop.client_id,
    )
    desk.process(outcome)
    assert not stop.doubted, "a replica may lag behind what was seen a moment ago"
    stop.proven_ms -= 3_000
    desk.process(outcome)
    assert (stop.doubted, stop.status) == (True, OrderStatus.WORKING)
    desk.run(300)
    assert [qty for qty, _ in prices(desk, "STOP_MARKET")] == ["0.040"]
    assert desk.engine.state.plans["BTCUSDT"].longest_naked_ms < 500


def test_a_stop_doubted_wrongly_stands_again_and_its_double_goes() -> None:
    desk = opened()
    stop = next(o for o in desk.engine.state.ledger if o.leg is Leg.STOP)
    stop.proven_ms -= 5_000
    desk.process(
        ev.SendOutcome(
            ts=desk.now,
            action=ev.SendAction.QUERY,
            result=ev.SendResult.NOT_FOUND,
            symbol="BTCUSDT",
            client_id=stop.client_id,
        )
    )
    desk.run(5_000)
    assert [qty for qty, _ in prices(desk, "STOP_MARKET")] == ["0.040"]
    assert desk.position == QTY


def test_a_stop_that_is_partly_filled_and_hangs_protects_nothing_and_is_left() -> None:
    desk = opened()
    state = desk.engine.state
    stop = next(o for o in state.ledger if o.leg is Leg.STOP)
    word = ev.OrderUpdate(
        ts=desk.now,
        symbol="BTCUSDT",
        client_id=stop.client_id,
        venue_id="child",
        book=VenueBook.REGULAR,
        status=OrderStatus.PARTIALLY_FILLED,
        side=stop.side,
        type=OrderType.MARKET,
        qty=QTY,
        filled_qty=Decimal("0.010"),
    )
    handle = desk.api.handle
    desk.api.handle = lambda r: Reply(502, "") if r.method == "GET" else handle(r)
    desk.snapshot = lambda: None
    desk.process(word)
    plan, orders = state.plans["BTCUSDT"], state.ledger.of_plan(stop.plan_id)
    assert proven_stop(plan, orders, Decimal("0.030")) is None
    desk.run(2_300)
    assert plan.close_reason == "the stop triggered and is stuck"
    desk.run(2_000)
    desk.api.handle = handle
    assert desk.position == Decimal("0.010"), "what the word called filled was not closed twice"
    del desk.snapshot
    desk.snapshot()
    desk.run(10_000)
    assert desk.position == 0, "the word was wrong: the venue decides"


def test_a_fill_that_is_heard_late_gets_its_stop_before_it_is_closed_for_lack_of_one() -> None:
    desk = opened()
    desk.process(
        ev.Fill(
            ts=desk.now,
            symbol="BTCUSDT",
            client_id="phone",
            venue_id="999",
            trade_id="999",
            side=OrderSide.BUY,
            qty=Decimal("0.010"),
            price=Decimal(43_500),
            fee=Decimal(0),
            fee_asset="USDT",
            maker=False,
            realized_pnl=Decimal(0),
            venue_ts=desk.now - 500,
        )
    )
    plan = desk.engine.state.plans["BTCUSDT"]
    plan.naked_since_ms = desk.now - 11_000
    desk.run(1_000)
    assert plan.stage == "open"
    assert plan.longest_naked_ms > 11_000, "the time shown is the true one"


def test_a_limit_entry_whose_fill_is_not_heard_is_protected_within_seconds() -> None:
    desk = Desk().start()
    low = Decimal(43_400)
    desk.process(ev.OpenPosition(ts=desk.now, symbol="BTCUSDT", side=Side.LONG, qty=QTY, limit_price=low))
    desk.run(1_000)
    desk.stream_faults = lambda event: True
    desk.market.move_to(43_390.0)
    while not desk.position:
        desk.run(100)
    filled = desk.now
    while not prices(desk, "STOP_MARKET"):
        desk.run(100)
    assert desk.now - filled <= 2_800


def test_an_outage_is_met_with_rarer_cancels_too() -> None:
    desk = Desk().start()
    low = Decimal(43_400)
    desk.process(ev.OpenPosition(ts=desk.now, symbol="BTCUSDT", side=Side.LONG, qty=QTY, limit_price=low))
    desk.run(1_000)
    handle, asked = desk.api.handle, []

    def down(request: Request) -> Reply:
        asked.append(f"{request.method} {request.path}")
        return Reply(503, '{"code":0,"msg":"Service Unavailable."}')

    desk.api.handle = down
    desk.snapshot = lambda: None
    desk.process(ev.CancelEntry(ts=desk.now, symbol="BTCUSDT"))
    desk.run(300_000)
    assert asked.count("DELETE /fapi/v1/order") <= 30
    assert asked.count("GET /fapi/v1/order") <= 30
    desk.api.handle = handle
    desk.process(ev.LinkDown(ts=desk.now, channel=Channel.REST, reason="503"))
    desk.process(ev.LinkUp(ts=desk.now, channel=Channel.REST))
    desk.run(2_000)
    assert (desk.resting(), desk.engine.state.plans) == ([], {})


def test_a_resting_stop_is_asked_about_every_two_seconds_and_nothing_else_is() -> None:
    desk = opened()
    asked: list[str] = []
    real = desk.engine.process

    def watched(event: ev.Event) -> list[cmd.Command]:
        found = real(event)
        asked.extend(c.client_id for c in found if isinstance(c, cmd.QueryOrder))
        return found

    desk.engine.process = watched
    desk.run(10_000)
    assert 4 <= len(asked) <= 5
    assert {i.split("-")[3] for i in asked} == {"sl"}
    age = desk.engine.view(desk.now, "BTCUSDT", "1m").positions[0].proven_age_s
    assert age <= 2.2


def test_an_outage_is_met_with_ever_rarer_questions_and_ends_with_all_at_once() -> None:
    desk = opened()
    handle, asked = desk.api.handle, []

    def down(request: Request) -> Reply:
        asked.append(desk.now)
        return Reply(502, "")

    desk.api.handle = down
    plan = desk.engine.state.plans["BTCUSDT"]
    desk.process(ev.MoveStop(ts=desk.now, symbol="BTCUSDT", price=plan.avg_entry - 100))
    desk.process(ev.LinkDown(ts=desk.now, channel=Channel.REST, reason="502"))
    desk.snapshot = lambda: None
    desk.run(300_000)
    assert len(asked) <= 120, "two orders in doubt, a question each fifteen seconds at last"
    del desk.snapshot
    desk.api.handle = handle
    desk.process(ev.LinkUp(ts=desk.now, channel=Channel.REST))
    desk.run(1_500)
    assert [Decimal(price) for _, price in prices(desk, "STOP_MARKET")] == [plan.avg_entry - 100]


def test_an_acknowledged_order_that_vanishes_is_replaced_under_a_new_id() -> None:
    desk = opened()
    target = next(o for o in desk.engine.state.ledger if o.leg is Leg.TP1)
    order = next(o for o in desk.account.open_orders("BTCUSDT") if o.client_id == target.client_id)
    desk.stream_faults = lambda event: True
    desk.exchange.cancel_order(order)
    desk.account.history.pop(order.id)
    desk.stream_faults = None
    desk.snapshot()
    desk.run(15_000)
    placed = [c for c in desk.sent if isinstance(c, cmd.PlaceOrder) and c.leg is Leg.TP1]
    assert [c.resend for c in placed] == [False, False]
    assert len({c.client_id for c in placed}) == 2
    assert len(prices(desk, "LIMIT")) == 2


def test_a_doubt_about_the_account_is_a_reason_to_look() -> None:
    desk = Desk().start()
    found = desk.engine.process(ev.AccountDoubt(ts=desk.now + 10_000, reason="a frame could not be read"))
    assert [c.reason for c in found if isinstance(c, cmd.RequestSnapshot)] == ["a frame could not be read"]


def test_market_close_type() -> None:
    desk = opened()
    desk.process(ev.ClosePosition(ts=desk.now, symbol="BTCUSDT", fraction=Decimal(1)))
    desk.run(3_000)
    close = [c for c in desk.sent if isinstance(c, cmd.PlaceOrder) and c.leg is Leg.CLOSE]
    assert [(c.type, c.qty, c.reduce_only) for c in close] == [(OrderType.MARKET, QTY, True)]
