"""Positions that no plan owns: protected first, targets once ATR is known, and never forgotten."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.core.build import NOW
from tests.core.test_executor import prices, refuse_stops
from tests.core.test_housekeeping import engine, market, of, snapshot, timer
from tests.core.test_reconcile import by_hand
from tests.desk import Desk, candles, instrument
from tui_trader.core import commands as cmd
from tui_trader.core import events as ev
from tui_trader.core.instruments import Instrument
from tui_trader.core.state import Recovered
from tui_trader.core.types import Channel, Leg, Origin, Side

SYMBOL = "BTCUSDT"


def bare(side: Side, qty: str = "0.050", price: float = 43_500.0) -> Desk:
    """A desk whose account holds a position before the engine first looks."""
    desk = Desk(price=price)
    by_hand(desk, side.entry.value, qty)
    return desk


@pytest.mark.parametrize("side", list(Side))
def test_adopted_with_history_gets_stop_and_targets(side: Side) -> None:
    desk = bare(side).start()
    desk.run(3_000)
    plan = desk.engine.state.plans[SYMBOL]
    assert (plan.origin, plan.side, plan.entered) == (Origin.ADOPTED, side, Decimal("0.050"))
    ((qty, price),) = prices(desk, "STOP_MARKET")
    assert qty == "0.050"
    assert (Decimal(price) - plan.avg_entry) * side.sign < 0
    assert sorted(qty for qty, _ in prices(desk, "LIMIT")) == ["0.015", "0.025"]


@pytest.mark.parametrize("side", list(Side))
def test_without_history_the_stop_comes_at_once_and_the_targets_with_atr(side: Side) -> None:
    desk = bare(side)
    info = desk._get("/fapi/v1/exchangeInfo", {}, signed=False)
    desk.process(ev.InstrumentsLoaded(ts=desk.now, instruments=tuple(instrument(s) for s in info["symbols"])))
    for channel in Channel:
        desk.process(ev.LinkUp(ts=desk.now, channel=channel))
    desk.run(3_000)
    ((qty, price),) = prices(desk, "STOP_MARKET")
    assert qty == "0.050"
    assert abs(Decimal(price) / 43_500 - 1 + side.sign * Decimal("0.02")) < Decimal("0.0005"), "2 % of price"
    assert prices(desk, "LIMIT") == []
    desk.process(ev.CandleHistory(ts=desk.now, symbol=SYMBOL, candles=candles(43_500.0, 650.0, end_ms=desk.now)))
    desk.run(3_000)
    assert len(prices(desk, "LIMIT")) == 2
    ((_, after),) = prices(desk, "STOP_MARKET")
    assert (Decimal(after) - Decimal(price)) * side.sign >= 0, "the ladder never loosens an adopted stop"


@pytest.mark.parametrize("side", list(Side))
def test_adopted_under_water_is_protected_from_the_price_of_now(side: Side) -> None:
    desk = bare(side)
    desk.move(43_500.0 - side.sign * 2_000)
    desk.start()
    desk.run(4_000)
    assert desk.position == Decimal("0.050") * side.sign, "adopting does not sell"
    ((_, price),) = prices(desk, "STOP_MARKET")
    assert (Decimal(str(desk.market.mid)) - Decimal(price)) * side.sign > 0


def test_a_position_is_adopted_when_the_filters_come_after_the_snapshot() -> None:
    desk = bare(Side.LONG)
    for channel in Channel:
        desk.process(ev.LinkUp(ts=desk.now, channel=channel))
    desk.run(2_000)
    assert desk.engine.state.plans == {}
    assert [r.code for r in desk.engine.state.blocks(SYMBOL)] == ["open"]
    desk.start()
    desk.run(3_000)
    assert [qty for qty, _ in prices(desk, "STOP_MARKET")] == ["0.050"]


def test_adopting_while_running_needs_no_restart() -> None:
    desk = Desk().start()
    by_hand(desk, "SELL", "0.020")
    desk.run(4_000)
    assert [qty for qty, _ in prices(desk, "STOP_MARKET")] == ["0.020"]
    assert desk.engine.state.plans[SYMBOL].side is Side.SHORT


def test_flipped_by_somebody_else_is_adopted_in_the_new_direction() -> None:
    desk = bare(Side.LONG).start()
    desk.run(2_000)
    by_hand(desk, "SELL", "0.080")
    desk.run(8_000)
    plan = desk.engine.state.plans[SYMBOL]
    assert (desk.position, plan.side, plan.entered) == (Decimal("-0.030"), Side.SHORT, Decimal("0.030"))
    assert [row[1:3] for row in desk.resting() if row[0] == "STOP_MARKET"] == [("BUY", "0.030")]
    assert [t.reason for t in desk.engine.state.trades] != []
    assert any("nothing stays open of it, 0.030 went beyond it" in text for text in desk.log)


def test_a_position_that_is_flipped_while_it_is_bare_tells_how_long_it_was() -> None:
    desk = Desk().start()
    refuse_stops(desk)
    desk.process(ev.OpenPosition(ts=desk.now, symbol=SYMBOL, side=Side.LONG, qty=Decimal("0.040")))
    desk.run(1_000)
    by_hand(desk, "SELL", "0.080")
    desk.run(1_000)
    assert next(text for text in desk.log if "closed elsewhere" in text).endswith("longest without a proven stop 1.0 s")


def test_a_latched_kill_after_a_restart_protects_and_does_not_sell() -> None:
    desk = bare(Side.LONG)
    desk.restart(Recovered(state={"kill": {"reason": "yesterday"}}))
    desk.start()
    desk.run(4_000)
    assert desk.position == Decimal("0.050")
    assert len(prices(desk, "STOP_MARKET")) == 1
    assert "killed" in [r.code for r in desk.engine.state.blocks()]


def test_an_unreadable_stored_plan_is_adopted_instead() -> None:
    desk = bare(Side.LONG)
    desk.restart(Recovered(plans=({"plan_id": "x", "symbol": SYMBOL},), orders=({"client_id": 1},)))
    desk.start()
    desk.run(3_000)
    assert desk.engine.state.plans[SYMBOL].origin is Origin.ADOPTED
    assert any("cannot be read" in row.text for row in desk.engine.state.log)


def test_without_any_price_a_position_gets_no_stop_that_protects_nothing() -> None:
    made = engine()
    btc = Instrument(symbol="BTCUSDT", base_asset="BTC", tick_size=Decimal("0.10"))
    made.process(ev.InstrumentsLoaded(ts=NOW, instruments=(btc,)))
    held = ev.VenuePosition(symbol="BTCUSDT", qty=Decimal("0.040"), entry_price=Decimal(0))
    found = snapshot(made, NOW, "10000", held)
    assert of(cmd.PlaceOrder, found) == []
    assert made.state.equity() == 10_000, "an unknown entry is no profit"
    market(made, "BTCUSDT", NOW + 1_000, price=43_500.0)
    (stop,) = of(cmd.PlaceOrder, timer(made, NOW + 1_100))
    assert (stop.leg, stop.qty, stop.trigger_price) == (Leg.STOP, Decimal("0.040"), Decimal(42_630))
    assert made.state.plans["BTCUSDT"].avg_entry == 43_500


def test_without_any_price_for_too_long_a_position_is_closed() -> None:
    made = engine()
    btc = Instrument(symbol="BTCUSDT", base_asset="BTC", tick_size=Decimal("0.10"))
    made.process(ev.InstrumentsLoaded(ts=NOW, instruments=(btc,)))
    held = ev.VenuePosition(symbol="BTCUSDT", qty=Decimal("0.040"), entry_price=Decimal(0))
    snapshot(made, NOW, "10000", held)
    sent = [c for ms in range(0, 12_000, 500) for c in of(cmd.PlaceOrder, timer(made, NOW + ms))]
    assert [(c.leg, c.qty) for c in sent] == [(Leg.CLOSE, Decimal("0.040"))]
