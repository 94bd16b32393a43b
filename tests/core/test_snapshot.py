"""One frame: whole with a position, whole without anything, and reading changes nothing."""

from __future__ import annotations

import math
from decimal import Decimal

import msgspec
import pytest

from tests.core.build import settings
from tests.core.test_executor import QTY, opened
from tests.desk import Desk
from tui_trader.core import events as ev
from tui_trader.core.engine import Engine
from tui_trader.core.types import Leg, Severity, Side
from tui_trader.core.views import Snapshot

SYMBOL = "BTCUSDT"


def frame(desk: Desk, selected: str = "", timeframe: str = "1m") -> Snapshot:
    return desk.engine.view(desk.now, selected, timeframe)


def finite(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(finite(v) for v in value.values())
    return all(finite(v) for v in value) if isinstance(value, list | tuple) else True


def test_an_empty_engine_has_a_frame_that_says_why_it_is_empty() -> None:
    made = Engine(settings(), {}, mode="demo", venue="binance", epoch="t", armed=False)
    seen = made.view(0, "", "1m")
    assert (seen.positions, seen.orders, seen.trades, seen.universe.members) == ((), (), (), ())
    assert seen.chart.empty_reason == "no symbol yet: the universe is being filled"
    assert seen.book.empty_reason == "no symbol selected"
    assert seen.ladder.empty_reason == "no position here: b buys, s sells"
    assert (seen.header.equity, seen.header.armed) == (0.0, False)
    assert "entries are not armed for this account" in seen.header.blocks
    assert finite(msgspec.to_builtins(seen))


def test_the_header_shows_the_worst_protection_of_all_positions_and_why_entries_halt() -> None:
    desk = opened()
    seen = frame(desk)
    (row,) = seen.positions
    assert (seen.header.naked, seen.header.naked_s) == (0, 0.0)
    assert seen.header.protected_age_s == row.proven_age_s
    assert seen.header.longest_naked_s == row.longest_naked_s > 0
    assert seen.protection.count == 1
    assert seen.protection.max_s == pytest.approx(row.longest_naked_s, abs=0.3)
    plan = desk.engine.state.plans[SYMBOL]
    plan.naked_since_ms = desk.now - 4_000
    desk.engine.state.halted = "I7 is broken"
    seen = frame(desk)
    assert (seen.header.naked, seen.header.naked_s, seen.header.longest_naked_s) == (1, 4.0, 4.0)
    assert seen.header.halted == "I7 is broken"
    assert seen.positions[0].naked_s == 4.0


def test_the_header_does_not_call_entries_possible_once_the_day_is_lost_or_trading_is_disabled() -> None:
    desk = Desk().start()
    assert frame(desk).header.blocks == ()
    desk.engine.state.losses.daily_reached = True
    seen = frame(desk).header
    assert seen.blocks == ("the daily loss limit is reached: no new entries until 00:00 UTC",)
    assert seen.strategies_running == 0
    off = Engine(settings(limits={"enabled": False}), {}, mode="demo", venue="binance", epoch="t", armed=True)
    assert "trading is disabled (TP_ENABLED)" in off.view(0, "", "1m").header.blocks


def test_open_interest_stands_with_its_age() -> None:
    desk = opened()

    def told(later_ms: int = 0) -> tuple[float, float]:
        view = desk.engine.view(desk.now + later_ms, "", "1m").universe
        (row,) = [one for one in (*view.members, *view.refused) if one.symbol == SYMBOL]
        return row.open_interest, row.open_interest_age_s

    assert told() == (0.0, -1.0)
    desk.engine.process(ev.OpenInterest(ts=desk.now, symbol=SYMBOL, open_interest=81_234.5))
    assert told(7_000) == (81_234.5, 7.0)


def test_the_story_of_a_symbol_is_in_order_and_outlives_the_log() -> None:
    desk = opened()
    for n in range(600):
        desk.engine.state.say(Severity.INFO, f"joined the universe: {n}")
    seen = frame(desk, SYMBOL)
    assert not any(row.symbol == SYMBOL for row in seen.log)
    told = [row.text.removeprefix(f"{SYMBOL}: ").split(" ")[0] for row in seen.story]
    assert told[:3] == ["long", "entry", "levels:"]
    assert [row.ts for row in seen.story] == sorted(row.ts for row in seen.story)
    assert frame(desk, "ETHUSDT").story == ()


@pytest.mark.parametrize("side", list(Side))
def test_a_frame_with_a_position(side: Side) -> None:
    desk = opened(side)
    seen = frame(desk)
    plan = desk.engine.state.plans[SYMBOL]
    (row,) = seen.positions
    assert (row.symbol, row.side, row.qty, row.stage, row.stop_proven) == (SYMBOL, side, float(QTY), "protected", True)
    assert (row.entry, row.stop) == (float(plan.avg_entry), float(plan.stop_price))
    assert row.naked_s == 0
    assert 0 < row.longest_naked_s < 1
    assert row.fees > 0
    assert row.pnl < 0
    assert row.r == pytest.approx(row.pnl / float(plan.risk_distance * QTY))
    legs = [r.leg for r in seen.ladder.rows]
    assert set(legs) == {"TP1", "TP2", "SL", "entry", "BE"}
    assert [r.price for r in seen.ladder.rows] == sorted((r.price for r in seen.ladder.rows), reverse=True)
    states = {r.leg: r.state for r in seen.ladder.rows}
    assert states == {"TP1": "resting", "TP2": "resting", "SL": "proven", "entry": "filled", "BE": "trigger"}
    ratios = {r.leg: round(r.r, 1) for r in seen.ladder.rows}
    assert (ratios["TP1"], ratios["TP2"], ratios["SL"], ratios["entry"]) == (1.5, 2.5, -1.0, 0.0)
    assert {line.kind for line in seen.chart.lines} == {"entry", "stop", "tp", "be"}
    assert sorted(o.leg for o in seen.orders) == ["ENTRY", "STOP", "TP1", "TP2"]
    assert (seen.header.positions, seen.header.naked) == (1, 0)
    assert seen.header.protected_age_s >= 0
    assert [m.symbol for m in seen.universe.members if m.has_position] == [SYMBOL]
    assert finite(msgspec.to_builtins(seen))


def test_the_stage_follows_the_ladder() -> None:
    desk = opened()
    entry = float(desk.engine.state.plans[SYMBOL].avg_entry)
    stages = []
    for distance in (700, 1_000, 1_700):
        desk.move(entry + distance)
        stages.append(frame(desk).positions[0].stage)
    assert stages == ["break-even", "TP1 taken", "trailing"]
    assert {line.kind for line in frame(desk).chart.lines} == {"entry", "trail"}
    assert {r.leg: r.state for r in frame(desk).ladder.rows}["TP1"] == "filled"
    assert frame(desk).ladder.trailing


def test_after_a_part_is_closed_percent_and_r_still_speak_of_the_same_whole() -> None:
    desk = opened()
    before = frame(desk).positions[0]
    desk.process(ev.ClosePosition(ts=desk.now, symbol=SYMBOL, fraction=Decimal("0.75")))
    desk.run(2_000)
    seen = frame(desk).positions[0]
    assert seen.qty == pytest.approx(before.qty / 4)
    assert seen.pnl_pct == pytest.approx(seen.pnl / (before.entry * before.qty) * 100)
    assert seen.pnl_pct / seen.r == pytest.approx(before.pnl_pct / before.r)


def test_a_bare_position_shows_that_it_is_bare() -> None:
    desk = Desk().start()
    desk.lose_request = lambda method, path: path.endswith("algoOrder")
    desk.process(ev.OpenPosition(ts=desk.now, symbol=SYMBOL, side=Side.LONG, qty=QTY))
    desk.run(2_000)
    seen = frame(desk)
    assert seen.header.naked == 1
    (row,) = seen.positions
    assert (row.stop_proven, row.stage) == (False, "placing the stop")
    assert 1 < row.naked_s <= 2
    assert {r.leg: r.state for r in seen.ladder.rows}["SL"] == "sent"


def test_own_orders_are_marked_in_the_book_and_a_working_entry_in_the_chart() -> None:
    desk = Desk().start()
    price = Decimal(str(round(desk.market.mid - 1, 1)))
    desk.process(ev.OpenPosition(ts=desk.now, symbol=SYMBOL, side=Side.LONG, qty=QTY, limit_price=price))
    desk.run(1_000)
    seen = frame(desk)
    assert [(level.mine, level.mine_qty) for level in seen.book.bids if level.mine] == [("ENTRY", float(QTY))]
    assert [line.kind for line in seen.chart.lines] == ["order"]
    assert seen.ladder.empty_reason == f"{SYMBOL}: entry order working"
    assert [o.status for o in seen.orders] == ["working"]


def test_an_orders_time_is_that_of_its_last_change_and_not_of_the_last_look_at_the_account() -> None:
    desk = opened()
    before = [(o.leg, o.ts) for o in frame(desk).orders]
    desk.run(120_000)
    seen = frame(desk).orders
    assert [(o.leg, o.ts) for o in seen] == before
    assert [o.proven_age_s < 60 for o in seen if o.leg == "STOP"] == [True], "and it was looked at meanwhile"


def test_after_a_trade_the_frame_tells_it() -> None:
    desk = opened()
    desk.process(ev.ClosePosition(ts=desk.now, symbol=SYMBOL, fraction=Decimal(1)))
    desk.run(3_000)
    seen = frame(desk)
    (trade,) = seen.trades
    assert (trade.reason, trade.qty, trade.strategy) == ("closed by hand", float(QTY), "manual")
    (row,) = [s for s in seen.strategies if s.name == "manual"]
    assert (row.trades, row.pnl) == (1, trade.pnl)
    assert seen.positions == ()
    assert all(o.status in ("filled", "canceled", "expired") for o in seen.orders)


def test_an_alarm_stays_a_minute() -> None:
    desk = Desk().start()
    desk.process(ev.WorkerFailed(ts=desk.now, worker="feed", reason="x"))
    assert frame(desk).alarm.startswith("worker feed failed")
    desk.run(61_000)
    assert frame(desk).alarm == ""


def test_looking_changes_no_decision() -> None:
    looked, blind = Desk().start(), Desk().start()
    for desk in (looked, blind):
        for price in (43_900.0, 44_700.0, 43_000.0):
            desk.process(ev.OpenPosition(ts=desk.now, symbol=SYMBOL, side=Side.LONG, qty=QTY))
            desk.move(price)
            if desk is looked:
                frame(desk, SYMBOL, "5m")
                frame(desk, "NOPE", "1d")
    assert looked.sent == blind.sent
    assert {c.leg for c in looked.sent if hasattr(c, "leg")} >= {Leg.ENTRY, Leg.STOP}


@pytest.mark.parametrize("side", list(Side))
def test_a_stop_in_profit_is_not_shown_as_nearly_hit(side: Side) -> None:
    desk = opened(side)
    plan = desk.engine.state.plans[SYMBOL]
    mark = Decimal(str(desk.engine.state.metrics[SYMBOL].mark))

    def progress() -> float:
        return next(row.progress for row in frame(desk).ladder.rows if row.leg in ("SL", "trail"))

    plan.stop_price = mark - plan.risk_distance / 4 * side.sign
    assert progress() == pytest.approx(0.75)
    plan.stop_price = mark - plan.risk_distance * 2 * side.sign
    assert progress() == 0
    plan.stop_price = plan.avg_entry + plan.risk_distance * 3 * side.sign
    desk.engine.state.metrics[SYMBOL].mark = float(plan.stop_price + plan.risk_distance * 2 * side.sign)
    assert progress() == 0


def test_the_newest_sentence_of_the_log_comes_first() -> None:
    desk = opened()
    desk.engine.state.say(Severity.INFO, "the newest")
    assert frame(desk).log[0].text == "the newest"


def test_a_position_that_no_plan_owns_yet_is_shown_as_bare_from_its_fill_on() -> None:
    desk = Desk().start()
    position = desk.engine.state.portfolio.position(SYMBOL)
    position.qty, position.last_fill_ms = Decimal("0.5"), desk.now - 4_000
    header = frame(desk).header
    assert (header.positions, header.naked, header.naked_s, header.longest_naked_s) == (1, 1, 4.0, 4.0)
