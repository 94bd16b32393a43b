"""A broken invariant halts entries, keeps protection, is said, stored and traced; ordinary life breaks none."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from tests.core.test_executor import QTY, opened, prices
from tests.core.test_soak import walk
from tests.desk import Desk
from tui_trader.core import commands as cmd
from tui_trader.core import events as ev
from tui_trader.core import executor
from tui_trader.core.types import Leg, OrderStatus

SYMBOL = "BTCUSDT"


def carried(desk: Desk, event: ev.Event) -> list[cmd.Command]:
    """Process and carry, as the desk does, and give the commands for a look."""
    found: list[cmd.Command] = []
    real = desk._carry

    def keep(command: cmd.Command) -> None:
        found.append(command)
        real(command)

    desk._carry = keep
    desk.process(event)
    desk._carry = real
    return found


def stop_of(desk: Desk) -> object:
    plan = desk.engine.state.plans[SYMBOL]
    return next(o for o in desk.engine.state.ledger.of_plan(plan.plan_id) if o.leg is Leg.STOP)


def moved(desk: Desk) -> list[cmd.Command]:
    """The position is tampered with: it moves without a fill, which the next check must find (I7)."""
    desk.engine.state.portfolio.position(SYMBOL).qty += Decimal("0.001")
    return looked(desk)


def looked(desk: Desk) -> list[cmd.Command]:
    """Time enough for the slowest check."""
    found: list[cmd.Command] = []
    for _ in range(2):
        desk.clock.advance(2_000)
        found += carried(desk, ev.Timer(ts=desk.now))
    return found


def test_a_breach_halts_entries_is_said_stored_and_traced() -> None:
    desk = opened()
    found = moved(desk)
    state = desk.engine.state
    assert state.halted.startswith("I7 is broken: the position of BTCUSDT went from 0.040 to 0.041 without a fill")
    assert [r.code for r in state.blocks()] == ["halted"]
    (said,) = [c.text for c in found if isinstance(c, cmd.Announce) and "INVARIANT" in c.text]
    assert "Entries halt, protection goes on" in said
    assert state.alarm == said, "the banner"
    assert state.violations == 1
    rows = {r.kind: r for r in found if isinstance(r, cmd.Record) and r.durable and r.kind in ("violations", "audit")}
    assert rows["violations"].data["invariant"] == "I7"
    assert rows["violations"].data["traced"] is True
    assert rows["audit"].data["actor"] == "watch"
    (trace,) = [c for c in found if isinstance(c, cmd.WriteTrace)]
    told = [json.loads(line) for line in trace.lines]
    assert any(line["what"].startswith("send STOP BTCUSDT SELL 0.040") for line in told)
    assert told[-1]["what"].startswith("I7 broken: ")
    assert told[-1]["fact"]["plans"][0]["symbol"] == SYMBOL
    assert told[-1]["fact"]["rests_at_the_venue"]


def test_protection_goes_on_and_a_person_resumes() -> None:
    desk = opened()
    moved(desk)
    desk.engine.state.portfolio.position(SYMBOL).qty = QTY
    desk.run(2_000)
    desk.move(float(desk.engine.state.plans[SYMBOL].avg_entry) + 700)
    assert len(prices(desk, "STOP_MARKET")) == 1, "break-even moved the stop while entries halt"
    assert desk.engine.state.plans[SYMBOL].at_break_even
    assert desk.engine.state.halted
    desk.process(ev.PauseEntries(ts=desk.now, paused=False))
    assert desk.engine.state.halted == ""


def test_a_second_breach_of_the_kind_within_a_minute_writes_no_second_trace() -> None:
    desk = opened()
    traces = [c for c in moved(desk) if isinstance(c, cmd.WriteTrace)]
    state = desk.engine.state
    again: list[cmd.Command] = []
    for n in range(3):
        state.portfolio.position(f"X{n}USDT").qty += 1
        again += looked(desk)
    assert len(traces) == 1
    assert [c for c in again if isinstance(c, cmd.WriteTrace) and c.invariant == "I7"] == []
    assert sum(1 for c in again if isinstance(c, cmd.Announce) and "INVARIANT I7" in c.text) == 3, "each is said"
    assert sum(1 for c in again if isinstance(c, cmd.Record) and c.kind == "violations") >= 3, "and stored"


def test_a_breach_that_lasts_is_said_once_a_minute_and_halts_again() -> None:
    desk = opened()
    watch, state = desk.engine.watch, desk.engine.state
    state.portfolio.position("ETHUSDT").qty = Decimal(1)
    watch.money.event(ev.PositionUpdate(ts=0, symbol="ETHUSDT", qty=Decimal(1), entry_price=Decimal(1)))
    said = []
    for _ in range(50):
        desk.clock.advance(2_000)
        state.channels[ev.Channel.REST].since_ms = 1
        said += [
            c for c in desk.engine.process(ev.Timer(ts=desk.now)) if isinstance(c, cmd.Announce) and "I1 " in c.text
        ]
    assert len(said) == 2, "bare for 88 s beyond the limit"
    state.halted = ""
    desk.clock.advance(2_000)
    desk.engine.process(ev.Timer(ts=desk.now))
    assert state.halted.startswith("I1 is broken"), "a person cannot resume while it lasts"


def test_an_entry_that_breaks_a_rule_never_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """I2: the executor is made to send each entry twice under two ids; the second is held back."""
    real = executor.send

    def doubled(state: object, plan: object, **fields: object) -> None:
        real(state, plan, **fields)
        if fields["leg"] is Leg.ENTRY:
            real(state, plan, **fields)

    monkeypatch.setattr(executor, "send", doubled)
    desk = Desk().start()
    desk.process(ev.OpenPosition(ts=desk.now, symbol=SYMBOL, side=ev.Side.LONG, qty=QTY))
    assert [c.leg for c in desk.sent] == [Leg.ENTRY], "one left, one was withheld"
    assert any("INVARIANT I2" in text and "the entry is not sent" in text for text in desk.log)
    desk.run(20_000)
    assert desk.position == QTY
    assert len(prices(desk, "STOP_MARKET")) == 1
    entries = [o for o in desk.engine.state.ledger if o.leg is Leg.ENTRY]
    assert sorted(o.status for o in entries) == [OrderStatus.FILLED, OrderStatus.REJECTED], "no order stays unknown"


def test_exits_that_are_too_large_are_said_but_not_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """I3: a reduce-only stop for more than is open cannot open a position, and a missing stop is worse."""
    real = executor.send

    def doubled(state: object, plan: object, **fields: object) -> None:
        more = fields | {"qty": fields["qty"] * 2} if fields["leg"] is Leg.STOP else fields
        real(state, plan, **more)

    monkeypatch.setattr(executor, "send", doubled)
    desk = Desk().start()
    desk.process(ev.OpenPosition(ts=desk.now, symbol=SYMBOL, side=ev.Side.LONG, qty=QTY))
    desk.run(3_000)
    assert any("INVARIANT I3" in text for text in desk.log)
    assert prices(desk, "STOP_MARKET")[0][0] == "0.080"


def test_a_defect_of_the_watch_itself_takes_no_command_away(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = opened()

    def fail(*_: object) -> None:
        raise KeyError("gone")

    monkeypatch.setattr(desk.engine.watch.money, "event", fail)
    desk.run(1_000)
    desk.move(float(desk.engine.state.plans[SYMBOL].avg_entry) + 1_100)
    assert desk.position == Decimal("0.020"), "TP1 was taken"
    assert [qty for qty, _ in prices(desk, "STOP_MARKET")] == ["0.020"], "and the stop followed"
    assert "the watch itself failed (KeyError" in desk.engine.state.halted
    assert sum("the watch itself failed" in text for text in desk.log) == 1, "no loop, no flood"
    monkeypatch.setattr(desk.engine.watch, "_report", fail)
    desk.run(90_000)
    assert desk.position == Decimal("0.020")


def test_ordinary_life_under_faults_and_crashes_breaks_nothing() -> None:
    for seed, crashes in ((7, 0.0), (19, 0.0), (100, 0.03), (120, 0.03)):
        assert [text for text in walk(seed, crashes=crashes).log if "INVARIANT" in text] == []
