"""Closed trades and the funding that is told when they are closed already: sum over trades and account = the wallet."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from tests.core.test_executor import opened
from tests.core.test_reconcile import remembered, revive
from tests.desk import Desk
from tui_trader.core import events as ev
from tui_trader.core.state import Recovered

SYMBOL = "BTCUSDT"
D = Decimal


def closed(desk: Desk | None = None) -> Desk:
    """A position that was opened and closed by hand."""
    desk = desk or opened()
    desk.process(ev.ClosePosition(ts=desk.now, symbol=SYMBOL, fraction=D(1)))
    desk.run(4_000)
    assert desk.engine.state.plans == {}
    return desk


def funding(desk: Desk, at: int, amount: str = "-1.25", tran_id: str = "f1") -> ev.FundingPayment:
    return ev.FundingPayment(ts=desk.now, symbol=SYMBOL, amount=D(amount), venue_ts=at, tran_id=tran_id)


def rows(desk: Desk, kind: str) -> list[dict[str, object]]:
    return [record.data for record in desk.records if record.kind == kind]


def stored_trades(desk: Desk) -> dict[int, dict[str, object]]:
    """The trades as the store ends up with them: later rows change the columns that they name."""
    found: dict[int, dict[str, object]] = {}
    for row in rows(desk, "trades"):
        found.setdefault(int(str(row["plan_id"])), {}).update(row)
    return found


def test_i17_funding_told_after_the_close_corrects_the_trade_that_was_open_at_its_stamp() -> None:
    desk = closed()
    number, before = next((plan_id, dict(row)) for plan_id, row in stored_trades(desk).items())
    stamp = desk.engine.state.trades[0].opened_ms + 500
    pnl, risk = D(str(before["pnl"])), D(str(before["pnl"])) / D(str(before["r"]))
    desk.process(funding(desk, stamp))
    after = stored_trades(desk)[number]
    assert (after["pnl"], after["funding"]) == (pnl - D("1.25"), D("-1.25"))
    assert after["r"] == pytest.approx(float((pnl - D("1.25")) / risk))
    assert {k: v for k, v in after.items() if k not in ("pnl", "r", "funding")} == {
        k: v for k, v in before.items() if k not in ("pnl", "r", "funding")
    }
    shown = desk.engine.state.trades[0]
    assert (shown.pnl, shown.funding, shown.r) == (float(pnl - D("1.25")), -1.25, after["r"])
    assert [(r["tran_id"], r["plan_id"]) for r in rows(desk, "funding")] == [("f1", number)]
    assert desk.engine.state.loose_funding.payments == 0


def test_funding_of_the_closed_trade_is_not_given_to_the_one_that_is_open_now() -> None:
    desk = closed()
    stamp = desk.engine.state.trades[0].closed_ms - 1
    desk.engine.state.cooldown_until.clear()
    desk.process(ev.OpenPosition(ts=desk.now, symbol=SYMBOL, side=ev.Side.LONG, qty=D("0.040")))
    desk.run(3_000)
    plan = desk.engine.state.plans[SYMBOL]
    desk.process(funding(desk, stamp))
    assert plan.funding == 0
    assert [row["plan_id"] for row in rows(desk, "funding")] == [plan.plan_id - 1]
    assert desk.engine.state.trades[0].funding == -1.25


def test_funding_that_no_trade_explains_is_booked_to_the_account_and_shown() -> None:
    desk = closed()
    desk.process(funding(desk, desk.engine.state.trades[0].opened_ms - 1))
    desk.process(funding(desk, desk.now + 61_000, "-0.50", "f2"))
    assert [row["plan_id"] for row in rows(desk, "funding")] == [None, None]
    assert desk.engine.state.trades[0].funding == 0
    assert desk.engine.view(desk.now, SYMBOL, "15m").risk.notes[-1] == "funding of no trade: -1.75 USDT in 2 payments"


def test_a_stamp_some_seconds_after_the_close_is_still_the_trades() -> None:
    desk = closed()
    desk.process(funding(desk, desk.engine.state.trades[0].closed_ms + 15_000))
    assert desk.engine.state.trades[0].funding == -1.25


def test_i17_a_restart_books_late_funding_to_a_trade_of_the_store_and_none_twice() -> None:
    desk = closed()
    stamp = desk.engine.state.trades[0].opened_ms + 500
    desk.process(funding(desk, stamp))
    trades = tuple(stored_trades(desk).values())
    told = msgspec.json.decode(msgspec.json.encode(trades))
    revive(
        desk,
        msgspec.structs.replace(
            remembered(desk), plans=(), trades=tuple(told), funding_ids=("f1",), loose_funding=("-1.5", "x")
        ),
    )
    for tran_id in ("f1", "f2", "f2"):
        desk.process(funding(desk, stamp, tran_id=tran_id))
    after = next(iter(stored_trades(desk).values()))
    assert (after["funding"], after["pnl"]) == (D("-2.50"), D(str(trades[0]["pnl"])) - D("1.25"))
    assert desk.engine.state.trades[0].funding == -2.5
    assert (desk.engine.state.loose_funding.amount, desk.engine.state.loose_funding.payments) == (D("-1.5"), 1)


def test_trades_of_the_store_stand_newest_first_and_damaged_ones_are_left_out() -> None:
    desk = closed()
    good = msgspec.json.decode(msgspec.json.encode(next(iter(stored_trades(desk).values()))))
    older = good | {"plan_id": 1, "closed_ms": good["closed_ms"] - 9, "opened_ms": good["opened_ms"] - 9}
    newer = good | {"plan_id": 2}
    broken = [good | {"side": "up"}, good | {"plan_id": 3, "pnl": "NaN"}, {}]
    desk.restart(Recovered(trades=(older, *broken, newer)))
    found = desk.engine.state
    assert [row.plan_id for row in found.trades] == [2, 1]
    assert set(found.closed) == {1, 2}
