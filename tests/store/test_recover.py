"""What a restart is told by the store."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from tests.store.build import NOW, place, record
from tui_trader.core.types import DAY_MS, Leg
from tui_trader.store.journal import Store


def ignore(text: str) -> None:
    """A session that does not listen."""


async def test_a_new_store_knows_nothing(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "s.sqlite3", ignore)
    known = await store.recovered()
    assert (known.next_plan_id, known.plans, known.orders, known.state, known.fills_cursor_ms) == (1, (), (), {}, 0)
    await store.aclose()


async def test_open_plans_live_orders_and_recent_facts_come_back(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "s.sqlite3", ignore)
    for plan_id, closed in ((1, NOW), (2, None)):
        store.record(record("plans", plan_id=plan_id, symbol="BTCUSDT", closed_ms=closed, body={"plan_id": plan_id}))
    await store.intent(place("tt-e-1-en-0", plan_id=1))
    await store.intent(place("tt-e-1-sl-0", leg=Leg.STOP, plan_id=1))
    await store.intent(place("tt-e-2-sl-0", leg=Leg.STOP, plan_id=2))
    store.record(record("orders", client_id="tt-e-1-en-0", status="filled"))
    store.record(record("orders", client_id="tt-e-2-sl-0", status="canceled"))
    for trade_id, age in (("1", 3 * DAY_MS), ("2", 0)):
        store.record(record("fills", symbol="BTCUSDT", trade_id=trade_id, venue_ts=NOW - age))
    for tran_id, age, plan_id in (("p1", 3 * DAY_MS, 1), ("p2", 1, 2), ("p3", 0, None)):
        paid = {"amount": Decimal("-0.5"), "venue_ts": NOW - age, "plan_id": plan_id}
        store.record(record("funding", tran_id=tran_id, symbol="BTCUSDT", **paid))
    store.record(record("state", key="kill", value={"reason": "by hand"}))
    store.record(record("state", key="kill", value=None))
    store.record(record("state", key="losses", value={"day": "1.5"}))
    for age, equity in ((2 * DAY_MS, "1"), (61_000, "9"), (60_500, "10"), (0, "11.5")):
        store.record(record("equity", ts=NOW - age, equity=Decimal(equity)))
    for plan_id in range(300, 0, -1):
        store.record(record("trades", plan_id=plan_id, closed_ms=NOW + plan_id, pnl=Decimal("0.10")))
    for n in range(250):
        store.record(record("signals", ts=NOW + n // 2, symbol="X", reasons=[str(n)], conditions=[], regime="bull"))
    known = await store.recovered()
    await store.aclose()
    assert [row["reasons"] for row in known.signals] == [[str(n)] for n in range(249, 49, -1)]
    assert known.signals[0]["extra"] == {"regime": "bull"}
    assert known.plans == ({"plan_id": 2},)
    assert [row["client_id"] for row in known.orders] == ["tt-e-1-sl-0", "tt-e-2-sl-0"]
    assert known.orders[0]["reduce_only"] is True
    assert known.orders[0]["qty"] == "0.046"
    assert known.trade_ids == ("BTCUSDT:2",)
    assert known.fills_cursor_ms == NOW
    assert (known.funding_ids, known.loose_funding) == (("p2", "p3"), ("-0.5",))
    assert known.state == {"kill": None, "losses": {"day": "1.5"}}
    assert [value for _, value in known.equity][-1] == 11.5
    assert 1.0 not in [value for _, value in known.equity]
    assert len({ts // 60_000 for ts, _ in known.equity}) == len(known.equity)
    assert [row["plan_id"] for row in known.trades] == list(range(101, 301))
    assert known.next_plan_id == 3


async def test_what_is_booked_of_an_order_is_the_sum_of_its_stored_fills(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "s.sqlite3", ignore)
    store.record(record("plans", plan_id=2, symbol="BTCUSDT", closed_ms=None, body={"plan_id": 2}))
    for client_id in ("tt-e-2-en-0", "tt-e-2-sl-0"):
        await store.intent(place(client_id, plan_id=2))
    store.record(record("orders", client_id="tt-e-2-sl-0", status="filled", filled_qty=Decimal("0.046")))
    for trade_id, qty in enumerate(("0.010", "0.020", "NaN", "x")):
        own = {"client_id": "tt-e-2-en-0", "plan_id": 2, "qty": qty}
        store.record(record("fills", symbol="BTCUSDT", trade_id=str(trade_id), venue_ts=NOW, **own))
    known = await store.recovered()
    await store.aclose()
    assert {row["client_id"]: row["booked"] for row in known.orders} == {
        "tt-e-2-en-0": Decimal("0.030"),
        "tt-e-2-sl-0": 0,
    }
