"""Every command of a person: done, refused in words at the wrong moment, refused in words with an impossible value."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from tests.core.build import settings
from tests.core.test_executor import QTY, opened, prices
from tests.core.test_reconcile import remembered
from tests.desk import Desk
from tui_trader.core import commands as cmd
from tui_trader.core import events as ev
from tui_trader.core.types import Leg, Side
from tui_trader.strategies.registry import build_strategies

SYMBOL = "BTCUSDT"
ENTRY = Decimal("43500.1")


def said(desk: Desk, text: str) -> bool:
    return any(text in line for line in desk.log)


@pytest.mark.parametrize(
    "command",
    [
        ev.ClosePosition(ts=0, symbol=SYMBOL, fraction=Decimal(1)),
        ev.MoveStop(ts=0, symbol=SYMBOL, price=Decimal(43_000)),
        ev.StopToBreakEven(ts=0, symbol=SYMBOL),
        ev.SetTarget(ts=0, symbol=SYMBOL, leg=Leg.TP1, price=Decimal(44_000), fraction=Decimal("0.5")),
        ev.RemoveTarget(ts=0, symbol=SYMBOL, leg=Leg.TP1),
        ev.StartTrailing(ts=0, symbol=SYMBOL),
        ev.CancelEntry(ts=0, symbol=SYMBOL),
    ],
    ids=lambda c: type(c).__name__,
)
def test_without_a_position_each_is_refused_in_words_and_audited(command: ev.UserCommand) -> None:
    desk = Desk().start()
    desk.records.clear()
    desk.log.clear()
    desk.process(command)
    assert desk.sent == []
    assert len(desk.log) == 1
    assert SYMBOL in desk.log[0]
    assert [(r.kind, r.data["action"], r.durable) for r in desk.records] == [("audit", type(command).__name__, True)]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "sNaN", "1E+15", "-1E+15", "1E+999999"])
@pytest.mark.parametrize("side", list(Side))
def test_a_number_that_cannot_be_meant_changes_nothing(side: Side, value: str) -> None:
    desk = opened(side)
    before, sent = desk.resting(), len(desk.sent)
    desk.process(ev.MoveStop(ts=desk.now, symbol=SYMBOL, price=Decimal(value)))
    desk.process(ev.ClosePosition(ts=desk.now, symbol=SYMBOL, fraction=Decimal(value)))
    desk.process(ev.SetTarget(ts=desk.now, symbol=SYMBOL, leg=Leg.TP1, price=Decimal(value), fraction=Decimal("0.5")))
    desk.run(1_000)
    assert (desk.resting(), len(desk.sent)) == (before, sent)
    assert sum("not finite" in line for line in desk.log) == 3


@pytest.mark.parametrize(
    "command",
    [
        ev.ClosePosition(ts=0, symbol=SYMBOL, fraction=Decimal(1)),
        ev.MoveStop(ts=0, symbol=SYMBOL, price=Decimal(43_000)),
        ev.StopToBreakEven(ts=0, symbol=SYMBOL),
        ev.SetTarget(ts=0, symbol=SYMBOL, leg=Leg.TP1, price=Decimal(44_000), fraction=Decimal("0.5")),
        ev.RemoveTarget(ts=0, symbol=SYMBOL, leg=Leg.TP1),
        ev.StartTrailing(ts=0, symbol=SYMBOL),
    ],
    ids=lambda c: type(c).__name__,
)
def test_what_was_meant_for_one_position_never_reaches_the_next(command: ev.Override) -> None:
    desk = opened()
    first = desk.engine.state.plans[SYMBOL].plan_id
    desk.process(ev.ClosePosition(ts=desk.now, symbol=SYMBOL, fraction=Decimal(1), plan_id=first))
    desk.run(5_000)
    desk.process(ev.OpenPosition(ts=desk.now, symbol=SYMBOL, side=Side.LONG, qty=Decimal("0.020")))
    desk.run(3_000)
    assert desk.engine.state.plans[SYMBOL].plan_id != first
    before, sent = desk.resting(), len(desk.sent)
    desk.process(msgspec.structs.replace(command, ts=desk.now, plan_id=first))
    assert "the position that was meant is gone" in desk.log[-1]
    desk.run(1_000)
    assert (desk.resting(), len(desk.sent), desk.position) == (before, sent, Decimal("0.020"))


def test_close_all() -> None:
    desk = opened()
    desk.process(ev.ClosePosition(ts=desk.now, symbol=SYMBOL, fraction=Decimal(1)))
    desk.run(3_000)
    assert (desk.position, desk.resting()) == (0, [])
    assert desk.engine.state.trades[0].reason == "closed by hand"


@pytest.mark.parametrize("side", list(Side))
def test_close_a_part_shrinks_the_stop_and_the_targets(side: Side) -> None:
    desk = opened(side)
    desk.process(ev.ClosePosition(ts=desk.now, symbol=SYMBOL, fraction=Decimal("0.5")))
    desk.run(4_000)
    assert desk.position == Decimal("0.020") * side.sign
    assert [qty for qty, _ in prices(desk, "STOP_MARKET")] == ["0.020"]
    assert sorted(qty for qty, _ in prices(desk, "LIMIT")) == ["0.006", "0.010"]
    closes = [c for c in desk.sent if isinstance(c, cmd.PlaceOrder) and c.leg is Leg.CLOSE]
    assert [c.qty for c in closes] == [Decimal("0.020")]


def test_a_part_whose_fill_is_heard_late_is_closed_once() -> None:
    desk = opened()
    desk.stream_delays = lambda event: (3_000,)
    desk.process(ev.ClosePosition(ts=desk.now, symbol=SYMBOL, fraction=Decimal("0.25")))
    desk.run(10_000)
    assert desk.position == Decimal("0.030")


def test_a_part_reported_filled_before_its_fill_is_closed_once() -> None:
    desk = opened()
    desk.process(ev.ClosePosition(ts=desk.now, symbol=SYMBOL, fraction=Decimal("0.25")))
    desk.stream_delays = lambda event: (3_000,) if event.get("e") == "ORDER_TRADE_UPDATE" else (0,)
    desk.run(200)
    close = next((c for c in desk.sent if isinstance(c, cmd.PlaceOrder) and c.leg is Leg.CLOSE), None)
    while close is None:
        desk.run(100)
        close = next((c for c in desk.sent if isinstance(c, cmd.PlaceOrder) and c.leg is Leg.CLOSE), None)
    desk._carry(cmd.QueryOrder(ts=desk.now, client_id=close.client_id, symbol=SYMBOL, book=close.book))
    desk.run(8_000)
    assert desk.position == Decimal("0.030")


@pytest.mark.parametrize("fraction", ["0", "-1"])
def test_no_part_cannot_be_closed(fraction: str) -> None:
    desk = opened()
    desk.process(ev.ClosePosition(ts=desk.now, symbol=SYMBOL, fraction=Decimal(fraction)))
    desk.run(1_000)
    assert desk.position == QTY
    assert said(desk, "cannot be closed")


def test_the_smallest_rest_stays_covered_and_closable() -> None:
    desk = opened()
    desk.process(ev.ClosePosition(ts=desk.now, symbol=SYMBOL, fraction=Decimal("0.999")))
    desk.run(4_000)
    # 0.039 of 0.040 leaves 0.001, which is the minimum and stays covered; more than that closes everything.
    assert desk.position == Decimal("0.001")
    desk.process(ev.ClosePosition(ts=desk.now, symbol=SYMBOL, fraction=Decimal("0.5")))
    desk.run(4_000)
    assert (desk.position, desk.resting()) == (0, [])


@pytest.mark.parametrize("side", list(Side))
def test_move_the_stop(side: Side) -> None:
    desk = opened(side)
    entry = desk.engine.state.plans[SYMBOL].avg_entry
    wanted = entry - side.sign * Decimal("300.04")
    desk.process(ev.MoveStop(ts=desk.now, symbol=SYMBOL, price=wanted))
    desk.run(2_000)
    ((qty, price),) = prices(desk, "STOP_MARKET")
    assert qty == "0.040"
    assert (Decimal(price) - wanted) * side.sign >= 0, "on the tick, away from risk"
    assert abs(Decimal(price) - wanted) < Decimal("0.1")
    desk.move(float(entry) + side.sign * 700)
    assert prices(desk, "STOP_MARKET") == [(qty, price)], "a stop moved by hand stays"


@pytest.mark.parametrize("side", list(Side))
def test_a_stop_beyond_the_price_is_refused_and_the_old_one_stays(side: Side) -> None:
    desk = opened(side)
    before = desk.resting()
    desk.process(ev.MoveStop(ts=desk.now, symbol=SYMBOL, price=ENTRY + side.sign * 500))
    desk.process(ev.MoveStop(ts=desk.now, symbol=SYMBOL, price=Decimal(0)))
    desk.run(1_000)
    assert desk.resting() == before
    assert said(desk, "would trigger at once")


def test_break_even_needs_a_price_beyond_it() -> None:
    desk = opened()
    before = desk.resting()
    desk.process(ev.StopToBreakEven(ts=desk.now, symbol=SYMBOL))
    assert said(desk, "break-even")
    assert desk.resting() == before
    plan = desk.engine.state.plans[SYMBOL]
    desk.move(float(plan.avg_entry) + 300)
    desk.process(ev.StopToBreakEven(ts=desk.now, symbol=SYMBOL))
    desk.run(2_000)
    ((_, price),) = prices(desk, "STOP_MARKET")
    assert Decimal(price) == plan.ladder.be_price > plan.avg_entry
    desk.process(ev.StopToBreakEven(ts=desk.now, symbol=SYMBOL))
    assert said(desk, "already tighter")


def test_trailing_by_hand_follows_and_is_said_twice() -> None:
    desk = opened()
    plan = desk.engine.state.plans[SYMBOL]
    desk.move(float(plan.avg_entry) + 600)
    desk.process(ev.StartTrailing(ts=desk.now, symbol=SYMBOL))
    desk.run(2_000)
    ((_, price),) = prices(desk, "STOP_MARKET")
    assert abs(Decimal(price) - (plan.best - 520)) <= Decimal("0.1")
    desk.process(ev.StartTrailing(ts=desk.now, symbol=SYMBOL))
    assert said(desk, "already runs")


def test_targets_are_moved_removed_and_added() -> None:
    desk = opened()
    desk.process(ev.SetTarget(ts=desk.now, symbol=SYMBOL, leg=Leg.TP1, price=Decimal(44_000), fraction=Decimal("0.25")))
    desk.run(3_000)
    assert ("0.010", "44000") in prices(desk, "LIMIT")
    desk.process(ev.RemoveTarget(ts=desk.now, symbol=SYMBOL, leg=Leg.TP1))
    desk.run(3_000)
    assert [qty for qty, _ in prices(desk, "LIMIT")] == ["0.012"]
    desk.process(ev.SetTarget(ts=desk.now, symbol=SYMBOL, leg=Leg.TP3, price=Decimal(45_500), fraction=Decimal(1)))
    desk.run(3_000)
    assert sum(Decimal(qty) for qty, _ in prices(desk, "LIMIT")) == QTY, "only what is free is given to it"
    assert next(t for t in desk.engine.state.plans[SYMBOL].targets if t.leg is Leg.TP1).left == 0


@pytest.mark.parametrize(
    ("leg", "price", "fraction", "why"),
    [
        (Leg.STOP, 44_000, "0.2", "not a target"),
        (Leg.TP1, 43_000, "0.2", "not beyond the price"),
        (Leg.TP3, 46_000, "0", "is free"),
        (Leg.TP3, 46_000, "-1", "is free"),
    ],
)
def test_an_impossible_target_changes_nothing(leg: Leg, price: int, fraction: str, why: str) -> None:
    desk = opened()
    before = desk.resting()
    desk.process(ev.SetTarget(ts=desk.now, symbol=SYMBOL, leg=leg, price=Decimal(price), fraction=Decimal(fraction)))
    desk.process(ev.RemoveTarget(ts=desk.now, symbol=SYMBOL, leg=Leg.TP3))
    desk.run(1_000)
    assert desk.resting() == before
    assert said(desk, why)
    assert said(desk, "there is no open TP3")


@pytest.mark.parametrize(
    ("fields", "code"),
    [({}, "all entries"), ({"symbol": SYMBOL}, SYMBOL), ({"strategy": "ma_crossover"}, "ma_crossover")],
)
def test_pause_and_resume(fields: dict[str, str], code: str) -> None:
    desk = Desk().start()
    desk.process(ev.PauseEntries(ts=desk.now, paused=True, **fields))
    blocked = bool(desk.engine.state.blocks(SYMBOL))
    assert blocked is ("strategy" not in fields)
    desk.process(ev.PauseEntries(ts=desk.now, paused=False, **fields))
    assert desk.engine.state.blocks(SYMBOL) == ()
    assert desk.log[-2:] == [f"{code}: paused by hand", f"{code}: resumed by hand"]


def test_resuming_all_clears_a_halt() -> None:
    desk = Desk().start()
    desk.process(ev.WorkerFailed(ts=desk.now, worker="feed", reason="boom"))
    assert [r.code for r in desk.engine.state.blocks()] == ["halted"]
    desk.process(ev.PauseEntries(ts=desk.now, paused=False))
    assert desk.engine.state.blocks() == ()


def test_cancel_a_working_entry() -> None:
    desk = Desk().start()
    desk.process(ev.OpenPosition(ts=desk.now, symbol=SYMBOL, side=Side.LONG, qty=QTY, limit_price=Decimal("43400.07")))
    desk.run(1_000)
    assert desk.resting() == [("LIMIT", "BUY", "0.040", "43400")], "a bid goes out on the tick below"
    desk.process(ev.CancelEntry(ts=desk.now, symbol=SYMBOL))
    desk.run(2_000)
    assert (desk.resting(), desk.engine.state.plans) == ([], {})


def test_i15_kill_flattens_latches_and_only_a_person_rearms() -> None:
    desk = opened()
    desk.process(ev.KillSwitch(ts=desk.now, reason="by key"))
    assert [r.code for r in desk.engine.state.blocks()] == ["killed"], "in the same call"
    desk.run(4_000)
    assert (desk.position, desk.resting()) == (0, [])
    assert [r.data["value"]["reason"] for r in desk.records if r.data.get("key") == "kill"] == ["by key"]
    desk.process(ev.PauseEntries(ts=desk.now, paused=False))
    assert [r.code for r in desk.engine.state.blocks()] == ["killed"], "resuming does not re-arm"
    desk.process(ev.Rearm(ts=desk.now))
    assert desk.engine.state.blocks() == ()
    assert [r.data["value"] for r in desk.records if r.data.get("key") == "kill"][-1] is None
    desk.process(ev.Rearm(ts=desk.now))
    assert said(desk, "not latched")


def test_re_arming_does_not_promise_entries_that_are_still_paused() -> None:
    desk = Desk().start()
    desk.process(ev.PauseEntries(ts=desk.now, paused=True))
    desk.process(ev.KillSwitch(ts=desk.now, reason="by key"))
    desk.process(ev.Rearm(ts=desk.now))
    assert said(desk, "re-armed by hand; entries stay refused: entries are paused by hand")
    assert not said(desk, "entries are possible again")


def test_a_fill_that_arrives_after_the_kill_is_flattened_too() -> None:
    desk = Desk().start()
    desk.process(ev.KillSwitch(ts=desk.now, reason="by key"))
    desk.request("POST", "/fapi/v1/order", {"symbol": SYMBOL, "side": "BUY", "type": "MARKET", "quantity": "0.010"})
    desk.run(6_000)
    assert (desk.position, desk.resting()) == (0, [])


def test_arming_names_the_venue() -> None:
    desk = Desk().start()
    desk.engine.state.armed = False
    desk.process(ev.ArmEntries(ts=desk.now, venue="bybit"))
    assert [r.code for r in desk.engine.state.blocks()] == ["not_armed"]
    desk.process(ev.ArmEntries(ts=desk.now, venue="binance"))
    assert desk.engine.state.blocks() == ()


def test_stopping_cancels_entries_and_keeps_protection() -> None:
    desk = opened()
    before = desk.resting()
    desk.process(ev.ShutdownRequested(ts=desk.now, reason="SIGTERM"))
    desk.run(2_000)
    assert desk.resting() == before
    assert [r.code for r in desk.engine.state.blocks()] == ["stopping"]


def test_settings_are_reloaded_and_limits_only_tighten_with_a_position() -> None:
    desk = opened()
    looser = settings(limits={"max_positions": 20, "daily_loss": "5000"}, strategies={"cooldown_min": 1})
    replies = desk.engine.process(ev.SettingsChanged(ts=desk.now, settings_json=looser.model_dump_json().encode()))
    (applied,) = [c for c in replies if isinstance(c, cmd.SettingsApplied)]
    assert set(applied.held_back) == {"limits.max_positions", "limits.daily_loss"}
    assert desk.engine.settings.limits == desk.settings.limits
    assert desk.engine.settings.strategies.cooldown_min == 1
    told = [c for c in replies if isinstance(c, cmd.Record) and c.kind == "audit" and c.durable][-1].data
    assert told["action"] == "SettingsApplied"
    before = desk.settings.strategies.cooldown_min
    assert told["detail"]["changed"] == {"strategies.cooldown_min": [before, 1]}
    assert set(told["detail"]["held_back"]) == set(applied.held_back)


@pytest.mark.parametrize("text", [b"", b"{", b'{"limits": {"max_positions": 0}}', b'{"unknown": 1}'])
def test_unreadable_settings_leave_the_old_ones(text: bytes) -> None:
    desk = Desk().start()
    desk.process(ev.SettingsChanged(ts=desk.now, settings_json=text))
    assert desk.engine.settings == desk.settings
    assert said(desk, "the old ones stay")


def test_a_restored_position_without_filters_is_not_touched() -> None:
    desk = opened()
    desk.engine.state.instruments.clear()
    desk.process(ev.MoveStop(ts=desk.now, symbol=SYMBOL, price=Decimal(43_000)))
    assert said(desk, "filters are not known")


@pytest.mark.parametrize("side", list(Side))
def test_a_stop_that_protects_nothing_is_refused_and_the_position_stays(side: Side) -> None:
    """The venue would refuse it for its price, and a position whose stop is refused is closed."""
    desk = opened(side)
    before = desk.resting()
    far = Decimal("1.5") if side is Side.LONG else Decimal(435_000)
    desk.process(ev.MoveStop(ts=desk.now, symbol=SYMBOL, price=far))
    desk.run(10_000)
    assert desk.position == QTY * side.sign
    assert desk.resting() == before
    assert said(desk, "a typing mistake; the old stop stays")


@pytest.mark.parametrize("side", list(Side))
def test_a_stop_beyond_the_liquidation_price_is_refused(side: Side) -> None:
    desk = opened(side)
    before = desk.resting()
    liquidation = ENTRY - side.sign * Decimal(3_000)
    desk.engine.state.portfolio.position(SYMBOL).liquidation = liquidation
    desk.process(ev.MoveStop(ts=desk.now, symbol=SYMBOL, price=liquidation - side.sign))
    assert desk.resting() == before
    assert said(desk, f"lies beyond the liquidation price {liquidation}; the old stop stays")


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("restart", [False, True])
def test_an_entry_that_rests_keeps_the_stop_distance_it_was_sized_for(side: Side, restart: bool) -> None:
    desk = Desk(settings=settings(execution={"entry_timeout_s": 3_600})).start()
    price = Decimal(43_500) - 100 * side.sign
    ticket = ev.OpenPosition(
        ts=desk.now, symbol="BTCUSDT", side=side, qty=Decimal("0.040"), limit_price=price, override_soft=True
    )
    desk.process(ticket)
    desk.run(2_000)
    wider = settings(execution={"entry_timeout_s": 3_600}, ladder={"atr_mult_sl": 3.0, "atr_mult_tp2": 4.0})
    if restart:
        recovered, desk.settings = remembered(desk), wider
        desk.restart(recovered)
        desk.start()
    else:
        desk.process(ev.SettingsChanged(ts=desk.now, settings_json=wider.model_dump_json().encode()))
    desk.move(43_500 - 110 * side.sign)
    plan = desk.engine.state.plans["BTCUSDT"]
    assert desk.position == Decimal("0.040") * side.sign
    assert abs(plan.avg_entry - plan.stop_price) <= 651, "three times as far would lose three times what was approved"
    assert plan.targets[-1].price == plan.avg_entry + side.sign * 2_600
    assert plan.ladder.why[1] == "SL as far as when its size was approved"


def test_a_strategy_that_the_reloaded_settings_do_not_name_stops_and_a_new_one_is_told_to_need_a_start() -> None:
    running = build_strategies(settings())
    desk = Desk(strategies=running).start()
    assert set(running) == {"ma_crossover", "volume_breakout"}
    chosen = settings(strategies={"enabled": ("ma_crossover", "htf_sweep")}, venue={"recv_window_ms": 4_000})
    desk.process(ev.SettingsChanged(ts=desk.now, settings_json=chosen.model_dump_json().encode()))
    state = desk.engine.state
    assert state.paused_strategies == {"volume_breakout"}
    assert [r.data["value"]["strategies"] for r in desk.records if r.data.get("key") == "pauses"][-1] == [
        "volume_breakout"
    ]
    told = " ".join(desk.log[-4:])
    assert "volume_breakout is paused" in told
    assert "htf_sweep" in told
    assert "venue.recv_window_ms" in told
    assert state.settings.venue.recv_window_ms == 5_000, "requests go on with the one they were opened with"
