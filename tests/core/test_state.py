"""The engine's memory: what blocks entries, what equity is, what is exposed, how often a snapshot may be asked."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.core.build import NOW, settings
from tests.core.test_executor import QTY, opened
from tests.core.test_housekeeping import engine, known, market, snapshot
from tests.desk import Desk
from tui_trader.core import commands as cmd
from tui_trader.core import events as ev
from tui_trader.core.engine import Engine
from tui_trader.core.instruments import Instrument
from tui_trader.core.state import EngineState, decimals
from tui_trader.core.types import Channel, OrderSide, OrderStatus, OrderType, Severity, Side, VenueBook

SYMBOL = "BTCUSDT"


def empty(rate: float = 1.0) -> EngineState:
    return EngineState(settings(), {}, mode="demo", venue="binance", epoch="t", rate=rate)


def test_nothing_is_allowed_before_anything_is_known() -> None:
    codes = [r.code for r in empty().blocks()]
    assert codes[:2] == ["not_armed", "reconciling"]
    assert codes.count("blind") == 4, "every channel but the store, which opened before the engine"
    assert all(r.hard for r in empty().blocks(SYMBOL))


def test_a_ready_engine_blocks_nothing() -> None:
    desk = Desk().start()
    assert desk.engine.state.blocks(SYMBOL) == ()


def test_an_open_symbol_and_a_reconciling_one_are_blocked_alone() -> None:
    desk = opened()
    assert [r.code for r in desk.engine.state.blocks(SYMBOL)] == ["open"]
    assert desk.engine.state.blocks("ETHUSDT") == desk.engine.state.blocks() == ()
    desk.engine.state.reconciling["ETHUSDT"] = 1
    assert [r.code for r in desk.engine.state.blocks("ETHUSDT")] == ["reconciling"]


def test_silence_is_named_in_real_seconds() -> None:
    made = Engine(settings(), {}, mode="demo", venue="binance", epoch="t", clock_rate=20.0)
    for channel in Channel:
        made.process(ev.LinkUp(ts=NOW, channel=channel))
    made.state.channels[Channel.REST].until_ms = NOW + 40_000
    texts = [r.text for r in made.state.blocks() if r.code == "silence"]
    assert texts == ["the venue asked for silence for 2 s more"]
    assert not made.state.reachable()


@pytest.mark.parametrize("rate", [1.0, 20.0])
def test_real_seconds_become_venue_ms(rate: float) -> None:
    assert empty(rate).ms(1.5) == 1_500 * rate


def test_equity_is_the_wallet_and_what_is_open_at_mark() -> None:
    made = engine()
    assert made.state.equity() is None
    known(made, "BTC", "ETH")
    long = ev.VenuePosition(symbol="BTCUSDT", qty=Decimal(2), entry_price=Decimal(90))
    short = ev.VenuePosition(symbol="ETHUSDT", qty=Decimal(-3), entry_price=Decimal(95))
    snapshot(made, NOW, "1000", long, short)
    assert made.state.equity() == 1_000 + 2 * (100 - 90) - 3 * (100 - 95)


def test_a_fresh_book_values_a_position_whose_mark_price_is_old() -> None:
    made = engine()
    known(made, "BTC")
    snapshot(made, NOW, "1000", ev.VenuePosition(symbol=SYMBOL, qty=Decimal(1), entry_price=Decimal(100)))
    made.process(ev.BookTop(ts=NOW + 9_000, symbol=SYMBOL, bid=59.0, bid_qty=1, ask=61.0, ask_qty=1))
    assert made.state.equity() == 1_000, "the mark price is what the venue counts by"
    made.process(ev.BookTop(ts=NOW + 60_000, symbol=SYMBOL, bid=59.0, bid_qty=1, ask=61.0, ask_qty=1))
    assert made.state.equity() == 960
    (held,) = made.state.exposures()
    assert held.notional == 60
    (row,) = made.view(NOW + 60_000, SYMBOL, "1m").positions
    assert (row.mark, row.pnl) == (60.0, -40.0)
    made.process(ev.Timer(ts=NOW + 120_000))
    assert made.state.equity() == 1_000, "of two old prices the mark"


def test_a_start_with_a_loss_that_was_made_before_is_no_loss_of_the_day() -> None:
    """The position's price is heard after the account: the first equity must not leave its loss out."""
    made = engine()
    made.process(ev.InstrumentsLoaded(ts=NOW, instruments=(Instrument(symbol=SYMBOL, base_asset="BTC"),)))
    snapshot(made, NOW, "1000", ev.VenuePosition(symbol=SYMBOL, qty=Decimal(4), entry_price=Decimal(200)))
    made.process(ev.Timer(ts=NOW + 1_000))
    assert made.state.equity() is None
    market(made, SYMBOL, NOW + 2_000, 100.0)
    made.process(ev.Timer(ts=NOW + 3_000))
    assert made.state.equity() == 600
    assert (made.state.killed, made.state.losses.refusals()) == ("", ())


def test_a_position_that_has_no_price_at_all_does_not_keep_the_limits_from_being_watched() -> None:
    made = engine()
    made.process(ev.InstrumentsLoaded(ts=NOW, instruments=(Instrument(symbol=SYMBOL, base_asset="BTC"),)))
    snapshot(made, NOW, "1000", ev.VenuePosition(symbol=SYMBOL, qty=Decimal(4), entry_price=Decimal(200)))
    made.process(ev.Timer(ts=NOW + 11_000))
    assert made.state.equity() == 1_000
    made.process(ev.LinkDown(ts=NOW + 12_000, channel=Channel.MARKET, reason="reset"))
    assert made.state.equity() is None


def test_exposures_count_positions_and_working_entries() -> None:
    desk = opened()
    mark = Decimal(str(desk.engine.state.metrics[SYMBOL].mark))
    (held,) = desk.engine.state.exposures()
    assert (held.qty, held.side, held.working, held.notional) == (QTY, Side.LONG, False, QTY * mark)
    assert held.margin == held.notional / 15
    waiting = Desk().start()
    waiting.process(
        ev.OpenPosition(ts=waiting.now, symbol=SYMBOL, side=Side.SHORT, qty=QTY, limit_price=Decimal(43_900))
    )
    (working,) = waiting.engine.state.exposures()
    assert (working.qty, working.side, working.working) == (QTY, Side.SHORT, True)
    assert working.notional == QTY * 43_900


def test_the_trigger_price_is_mark_then_mid_then_none() -> None:
    made = engine()
    known(made, "BTC")
    assert made.state.trigger_price(SYMBOL) == 100
    made.process(ev.BookTop(ts=NOW + 60_000, symbol=SYMBOL, bid=109.0, bid_qty=1, ask=111.0, ask_qty=1))
    assert made.state.trigger_price(SYMBOL) == 110
    made.process(ev.Timer(ts=NOW + 120_000))
    assert made.state.trigger_price(SYMBOL) == 0
    assert made.state.trigger_price("NOPE") == 0
    market(made, SYMBOL, NOW + 121_000, 120.0)
    assert made.state.trigger_price(SYMBOL) == 120


@pytest.mark.parametrize(("step", "places"), [("0.10", 1), ("0.001", 3), ("1", 0), ("10", 0), ("1E-7", 7)])
def test_decimals(step: str, places: int) -> None:
    assert decimals(Decimal(step)) == places


def test_an_alarm_raises_the_banner_and_a_line_does_not() -> None:
    state = empty()
    state.now = 5
    state.say(Severity.INFO, "quiet")
    assert state.alarm == ""
    state.say(Severity.ALARM, "loud", SYMBOL)
    assert (state.alarm, state.alarm_ms) == ("loud", 5)
    assert [c.text for c in state.out if isinstance(c, cmd.Announce)] == ["quiet", "loud"]


def test_snapshots_are_asked_in_a_burst_and_then_by_the_budget() -> None:
    state = empty()
    asked = []
    for ms in range(0, 60_000, 500):
        state.now = NOW + ms
        state.out = []
        state.ask_snapshot("x", repeated=True)
        asked += [ms] * len(state.out)
    assert asked[:4] == [0, 1_000, 2_000, 3_000]
    assert 10 <= len(asked) <= 14
    assert state.snapshot_due == ""


def test_what_is_asked_once_too_early_is_asked_later() -> None:
    made = engine()
    made.state.ask_snapshot("first")
    made.state.ask_snapshot("second")
    made.process(ev.Timer(ts=NOW + 500))
    found = made.process(ev.Timer(ts=NOW + 1_000))
    assert [c.reason for c in found if isinstance(c, cmd.RequestSnapshot)] == ["second"]


def conditional(number: int, client_id: str = "") -> ev.OpenOrder:
    return ev.OpenOrder(
        symbol="ETHUSDT",
        client_id=client_id or f"phone-{number}",
        venue_id=str(9_000 + number),
        book=VenueBook.ALGO,
        status=OrderStatus.WORKING,
        side=OrderSide.SELL,
        type=OrderType.STOP_MARKET,
        qty=Decimal(1),
        trigger_price=Decimal(100),
    )


@pytest.mark.parametrize(("foreign", "refused"), [(196, False), (197, True), (200, True)])
def test_an_entry_whose_stop_would_find_no_room_at_the_venue_is_refused(foreign: int, refused: bool) -> None:
    made = engine()
    known(made, "BTC")
    rows = tuple(conditional(i) for i in range(foreign))
    made.process(ev.AccountSnapshot(ts=NOW, asked_at=NOW, positions=(), orders=rows, wallet=Decimal(10_000)))
    assert [r.code for r in made.state.blocks() if r.hard] == (["stop_room"] if refused else [])
    assert made.state.conditionals() == foreign


def test_a_stop_refused_for_room_blocks_entries_until_a_snapshot_counts_anew() -> None:
    made = engine()
    known(made, "BTC")
    snapshot(made, NOW)
    made.state.count_conditionals_full()
    assert [r.code for r in made.state.blocks()] == ["stop_room"]
    snapshot(made, NOW + 1_000)
    assert made.state.blocks() == ()


def test_a_required_snapshot_is_asked_whatever_the_pace_and_paid_for_later() -> None:
    state = empty()
    state.now = NOW
    for _ in range(6):
        state.require_snapshot("now")
    assert len(state.out) == 6
    state.now += 7_000
    state.ask_snapshot("pace")
    assert len(state.out) == 6, "the pace makes up for what was asked above it"
    state.now += 60_000
    state.ask_snapshot("pace")
    assert len(state.out) == 7
