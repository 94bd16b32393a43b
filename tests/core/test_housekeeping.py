"""What time brings: universe, history, leverage, losses, equity; and what survives a restart."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from tests.core.build import NOW, minutes, settings
from tests.core.test_executor import QTY, opened
from tests.core.test_reconcile import remembered
from tests.desk import Desk
from tui_trader.core import commands as cmd
from tui_trader.core import events as ev
from tui_trader.core.engine import Engine
from tui_trader.core.instruments import Instrument
from tui_trader.core.state import Recovered
from tui_trader.core.tiers import PROMOTED
from tui_trader.core.types import Channel, OrderSide, Side, Tier

SYMBOL = "BTCUSDT"
DAY = 86_400_000


def engine(recovered: Recovered | None = None, **sections: dict[str, object]) -> Engine:
    made = Engine(settings(**sections), {}, mode="demo", venue="binance", epoch="t", recovered=recovered)
    for channel in Channel:
        made.process(ev.LinkUp(ts=NOW, channel=channel))
    return made


def known(made: Engine, *bases: str, ts: int = NOW) -> None:
    """Instruments and a liquid market for each."""
    found = tuple(Instrument(symbol=f"{b}USDT", base_asset=b) for b in bases)
    made.process(ev.InstrumentsLoaded(ts=ts, instruments=found))
    for instrument in found:
        market(made, instrument.symbol, ts)


def market(made: Engine, symbol: str, ts: int, price: float = 100.0) -> None:
    level = ((price - 0.005, 1e4),), ((price + 0.005, 1e4),)
    made.process(ev.Ticker24h(ts=ts, symbol=symbol, last=price, change_pct=0.0, quote_volume=1e9))
    made.process(
        ev.MarkPrice(ts=ts, symbol=symbol, mark=price, index=price, funding_rate=0.0, next_funding_ms=NOW + DAY)
    )
    made.process(
        ev.BookDepth(
            ts=ts,
            symbol=symbol,
            bids=level[0],
            asks=level[1],
            bid_depth=5e6,
            ask_depth=5e6,
            bid_reach=0.01,
            ask_reach=0.01,
        )
    )


def snapshot(made: Engine, ts: int, wallet: str = "10000", *positions: ev.VenuePosition) -> list[cmd.Command]:
    return made.process(ev.AccountSnapshot(ts=ts, asked_at=ts, positions=positions, orders=(), wallet=Decimal(wallet)))


def timer(made: Engine, ts: int) -> list[cmd.Command]:
    return made.process(ev.Timer(ts=ts))


def of(kind: type, commands: list[cmd.Command]) -> list[cmd.Command]:
    return [c for c in commands if isinstance(c, kind)]


def test_a_symbol_that_is_known_a_moment_later_does_not_wait_for_a_whole_turn() -> None:
    made = engine()
    snapshot(made, NOW)
    known(made, "BTC")
    made.process(ev.Timer(ts=NOW + 1_000))
    assert made.state.universe.members == (SYMBOL,)
    known(made, "ETH", ts=NOW + 2_000)
    market(made, SYMBOL, NOW + 6_000)
    market(made, "ETHUSDT", NOW + 6_000)
    made.process(ev.Timer(ts=NOW + 6_000))
    assert set(made.state.universe.members) == {SYMBOL, "ETHUSDT"}


def test_a_symbol_that_an_outage_took_out_of_the_universe_is_back_with_its_data() -> None:
    made = engine()
    snapshot(made, NOW)
    known(made, "BTC", "ETH")
    made.process(ev.Timer(ts=NOW + 1_000))
    at = NOW + 100_000  # long after the start
    for second in range(0, 40, 2):
        market(made, SYMBOL, at + second * 1_000)
        made.process(ev.Timer(ts=at + second * 1_000))
    assert made.state.universe.members == (SYMBOL,)
    for second in range(40, 46, 2):
        market(made, SYMBOL, at + second * 1_000)
        market(made, "ETHUSDT", at + second * 1_000)
        made.process(ev.Timer(ts=at + second * 1_000))
    assert set(made.state.universe.members) == {SYMBOL, "ETHUSDT"}
    assert not made.state.universe.gone_stale


def test_the_rules_that_are_read_every_few_minutes_do_not_take_a_promotion_back() -> None:
    made = engine(tiers={"dynamic": True})
    known(made, "BTC", "NEW")
    m = made.state.metrics["NEWUSDT"]
    m.tier, m.tier_reason = Tier.L2, PROMOTED
    known(made, "BTC", "NEW", ts=NOW + 300_000)
    assert (m.tier, m.tier_reason) == (Tier.L2, PROMOTED)


def test_the_universe_is_watched_and_history_and_leverage_asked_once() -> None:
    made = engine()
    known(made, "BTC", "ETH", "DOGE")
    first = timer(made, NOW + 1_000)
    assert of(cmd.WatchSymbols, first) == [cmd.WatchSymbols(ts=NOW + 1_000, symbols=("BTCUSDT", "ETHUSDT"))]
    assert {(c.symbol, c.count) for c in of(cmd.LoadCandles, first)} == {("BTCUSDT", 1_500), ("ETHUSDT", 1_500)}
    assert {(c.symbol, c.leverage) for c in of(cmd.SetLeverage, first)} == {("BTCUSDT", 30), ("ETHUSDT", 30)}
    again = timer(made, NOW + 2_500)
    assert [c for c in again if isinstance(c, cmd.WatchSymbols | cmd.LoadCandles | cmd.SetLeverage)] == []
    later = timer(made, NOW + 12_000)
    assert len(of(cmd.LoadCandles, later)) == 2, "asked again while it has not come"
    made.process(ev.CandleHistory(ts=NOW, symbol="BTCUSDT", candles=tuple(minutes([100.0] * 5))))
    assert [c.symbol for c in of(cmd.LoadCandles, timer(made, NOW + 30_000))] == ["ETHUSDT"]


def test_a_lost_minute_is_asked_for_once_the_venue_tells_it_for_closed() -> None:
    made = engine()
    known(made, "BTC")
    made.process(ev.CandleHistory(ts=NOW, symbol=SYMBOL, candles=tuple(minutes([100.0] * 50))))
    open_ms = NOW + 60_000
    running = ev.Candle(open_ms, 100.0, 100.0, 100.0, 100.0, 1.0)

    def heard(after_ms: int) -> list[cmd.Command]:
        event = ev.KlineUpdate(ts=open_ms + after_ms, symbol=SYMBOL, candle=running, closed=False)
        return of(cmd.LoadCandles, made.process(event))

    assert [len(heard(ms)) for ms in (200, 1_500, 1_700, 3_000, 7_000)] == [0, 0, 1, 0, 1]


def test_a_symbol_with_a_position_is_never_unsubscribed() -> None:
    made = engine()
    known(made, "BTC", "DOGE")
    snapshot(made, NOW, "10000", ev.VenuePosition(symbol="DOGEUSDT", qty=Decimal(5), entry_price=Decimal(100)))
    watched = of(cmd.WatchSymbols, timer(made, NOW + 1_000))
    assert [c.symbols for c in watched] == [("BTCUSDT", "DOGEUSDT")]


def test_no_leverage_is_set_before_a_person_armed() -> None:
    made = engine()
    made.state.armed = False
    known(made, "BTC")
    assert of(cmd.SetLeverage, timer(made, NOW + 1_000)) == []
    made.process(ev.ArmEntries(ts=NOW, venue="binance"))
    assert len(of(cmd.SetLeverage, timer(made, NOW + 2_500))) == 1


def test_daily_loss_blocks_until_midnight_utc() -> None:
    made = engine(limits={"daily_loss_frac": 0.05})
    known(made, "BTC")
    snapshot(made, NOW, "10000")
    timer(made, NOW + 1_000)
    made.process(ev.BalanceUpdate(ts=NOW + 1_500, wallet=Decimal(9_500)))
    found = timer(made, NOW + 2_500)
    assert any("daily loss limit" in c.text for c in of(cmd.Announce, found))
    assert [r.code for r in made.state.losses.refusals()] == ["daily_loss"]
    assert of(cmd.Announce, timer(made, NOW + 4_000)) == [], "said once"
    midnight = NOW // DAY * DAY + DAY
    timer(made, midnight - 1)
    assert made.state.losses.refusals() != ()
    timer(made, midnight + 1_000)
    assert made.state.losses.refusals() == ()


def test_total_loss_kills_and_survives_a_restart() -> None:
    desk = Desk(settings=settings(limits={"total_loss": "50", "daily_loss": "10000"}))
    desk.start()
    desk.process(ev.OpenPosition(ts=desk.now, symbol=SYMBOL, side=Side.LONG, qty=Decimal("0.080")))
    desk.run(3_000)
    desk.process(ev.MoveStop(ts=desk.now, symbol=SYMBOL, price=Decimal(41_000)))
    desk.run(1_000)
    desk.move(42_700, ms=6_000)
    assert (desk.position, desk.resting()) == (0, [])
    assert desk.engine.state.killed == "the total loss limit is reached"
    kept: dict[str, object] = {}
    for record in desk.records:
        if record.kind == "state":
            kept[record.data["key"]] = record.data["value"]
    desk.restart(Recovered(state=kept))
    desk.start()
    assert "killed" in [r.code for r in desk.engine.state.blocks()]
    desk.process(ev.OpenPosition(ts=desk.now, symbol=SYMBOL, side=Side.LONG, qty=QTY, override_soft=True))
    desk.run(1_000)
    assert desk.position == 0


def test_a_withdrawal_is_no_loss() -> None:
    made = engine(limits={"daily_loss_frac": 0.05})
    snapshot(made, NOW, "10000")
    timer(made, NOW + 1_000)
    made.process(ev.BalanceUpdate(ts=NOW + 1_500, wallet=Decimal(5_000), reason="WITHDRAW"))
    timer(made, NOW + 2_500)
    assert made.state.losses.refusals() == ()
    assert made.state.losses.day_pnl(made.state.equity()) == 0


def test_a_booked_profit_that_the_wallet_lacks_for_a_moment_is_no_loss() -> None:
    made = engine(limits={"daily_loss_frac": 0.05})
    known(made, "BTC", "ETH")
    up = ev.VenuePosition(symbol="BTCUSDT", qty=Decimal(60), entry_price=Decimal(90))
    down = ev.VenuePosition(symbol="ETHUSDT", qty=Decimal(60), entry_price=Decimal(110))
    snapshot(made, NOW, "10000", up, down)
    timer(made, NOW + 1_000)
    fill = ev.Fill(
        ts=NOW + 1_100,
        symbol="BTCUSDT",
        client_id="phone",
        venue_id="1",
        trade_id="1",
        side=OrderSide.SELL,
        qty=Decimal(60),
        price=Decimal(100),
        fee=Decimal(0),
        fee_asset="USDT",
        maker=False,
        realized_pnl=Decimal(600),
        venue_ts=NOW + 1_100,
    )
    made.process(fill)
    timer(made, NOW + 2_200)
    assert made.state.losses.refusals() == ()
    made.process(ev.BalanceUpdate(ts=NOW + 2_300, wallet=Decimal(10_600), reason="ORDER"))
    timer(made, NOW + 4_000)
    assert made.state.losses.refusals() == ()


def test_a_minute_of_equity_is_stored_with_its_positions() -> None:
    desk = opened()
    desk.records.clear()
    desk.run(60_000)
    (row,) = [r.data for r in desk.records if r.kind == "equity"]
    assert row["wallet"] == desk.engine.state.portfolio.wallet
    (position,) = [r.data for r in desk.records if r.kind == "positions"]
    assert (position["symbol"], position["qty"]) == (SYMBOL, QTY)
    assert row["equity"] == row["wallet"] + position["pnl"]


def test_a_late_position_event_of_a_flat_symbol_ends_in_agreement_and_within_the_request_budget() -> None:
    desk = Desk().start()
    desk.process(
        ev.PositionUpdate(
            ts=desk.now, symbol=SYMBOL, qty=Decimal("0.029"), entry_price=Decimal(43_500), venue_ts=desk.now
        )
    )
    asked: list[int] = []
    real = desk.snapshot
    desk.snapshot = lambda: (asked.append(desk.now), real())[1]
    desk.run(30_000)
    assert len(asked) == 1
    assert desk.engine.state.blocks(SYMBOL) == ()


def test_i13_snapshots_that_never_agree_keep_to_the_budget() -> None:
    made = engine()
    known(made, "BTC")
    snapshot(made, NOW)
    made.process(ev.PositionUpdate(ts=NOW, symbol=SYMBOL, qty=Decimal(1), entry_price=Decimal(100), venue_ts=NOW))
    asked = sum(len(of(cmd.RequestSnapshot, timer(made, NOW + i * 100))) for i in range(1, 601))
    assert 10 <= asked <= 15, "a burst of four, then one in six seconds"


def test_what_the_store_knows_comes_back() -> None:
    desk = opened()
    desk.process(ev.ClosePosition(ts=desk.now, symbol=SYMBOL, fraction=Decimal(1)))
    desk.run(60_000)
    trades = tuple(r.data for r in desk.records if r.kind == "trades")
    equity = tuple((r.data["ts"], float(r.data["equity"])) for r in desk.records if r.kind == "equity")
    base = remembered(desk)
    made = engine(Recovered(next_plan_id=base.next_plan_id, trades=trades, equity=equity, trade_ids=base.trade_ids))
    (row,) = made.state.trades
    before = desk.engine.state.trades[0]
    assert (row.symbol, row.qty, row.reason, row.side) == (SYMBOL, before.qty, before.reason, before.side)
    assert row.pnl == pytest.approx(before.pnl)
    assert [(p.ts, p.equity) for p in made.state.equity_points] == list(equity)
    assert made.state.next_plan_id == base.next_plan_id > 1


@pytest.mark.parametrize(
    "row", [{}, {"side": "sideways"}, {"side": "long", "entry": "x"}, {"side": "long", "qty": None, "pnl": "y"}]
)
def test_a_trade_that_cannot_be_read_is_left_out(row: dict[str, object]) -> None:
    assert list(engine(Recovered(trades=(row,))).state.trades) == []


@pytest.mark.parametrize(
    "state", [{"kill": "x", "losses": 3}, {"losses": {"day": "x", "day_start": "NaN", "baseline": []}}]
)
def test_a_state_that_cannot_be_read_starts_anew(state: dict[str, object]) -> None:
    made = engine(Recovered(state=state))
    assert made.state.losses.day_start is None


def test_pauses_survive_a_restart_and_damaged_ones_are_none() -> None:
    desk = Desk().start()
    for where in ({"symbol": "BTCUSDT"}, {"strategy": "ma_crossover"}):
        desk.process(ev.PauseEntries(ts=desk.now, paused=True, **where))
    desk.process(ev.FlattenAll(ts=desk.now))
    kept = {r.data["key"]: r.data["value"] for r in desk.records if r.kind == "state"}
    desk.restart(Recovered(state=kept))
    state = desk.engine.state
    assert (state.paused_all, state.paused_symbols, state.paused_strategies) == (True, {"BTCUSDT"}, {"ma_crossover"})
    desk.process(ev.PauseEntries(ts=desk.now, paused=False))
    kept = {r.data["key"]: r.data["value"] for r in desk.records if r.kind == "state"}
    desk.restart(Recovered(state=kept))
    assert (desk.engine.state.paused_all, desk.engine.state.paused_symbols) == (False, {"BTCUSDT"})
    for damaged in (7, {"all": "yes", "halted": 7, "symbols": "BTCUSDT", "strategies": [1, None]}):
        desk.restart(Recovered(state={"pauses": damaged}))
        state = desk.engine.state
        assert (state.paused_all, state.paused_symbols, state.paused_strategies) == (False, set(), set())
        assert state.halted == ""


def test_a_halt_survives_a_restart_until_a_person_resumes() -> None:
    desk = Desk().start()
    desk.process(ev.WorkerFailed(ts=desk.now, worker="feeds", reason="boom"))
    desk.run(1_100)
    for halted in ("worker feeds failed: boom", ""):
        kept = {r.data["key"]: r.data["value"] for r in desk.records if r.kind == "state"}
        desk.restart(Recovered(state=kept))
        assert desk.engine.state.halted == halted
        desk.process(ev.PauseEntries(ts=desk.now, paused=False))


def test_after_a_restart_the_top_bar_says_why_entries_are_halted_and_a_person_resumes_them() -> None:
    desk = Desk().start()
    desk.process(ev.WorkerFailed(ts=desk.now, worker="feeds", reason="boom"))
    desk.run(1_500)
    stored = [record.data for record in desk.records if record.kind == "state" and record.data["key"] == "pauses"]
    desk.log.clear()
    desk.restart(Recovered(state={"pauses": stored[-1]["value"]}))
    desk.start()
    header = desk.engine.view(desk.now, SYMBOL, "15m").header
    assert header.halted == "worker feeds failed: boom"
    assert header.blocks == ("entries halted: worker feeds failed: boom",)
    assert [text for text in desk.log if text.startswith("entries stay halted: worker feeds failed: boom")]
    ticket = ev.OpenPosition(ts=desk.now, symbol=SYMBOL, side=Side.LONG, qty=QTY)
    desk.process(ticket)
    assert desk.engine.state.plans == {}
    desk.process(ev.PauseEntries(ts=desk.now, paused=False))
    desk.run(100)
    assert desk.engine.view(desk.now, SYMBOL, "15m").header.blocks == ()
    desk.process(msgspec.structs.replace(ticket, ts=desk.now))
    desk.run(3_000)
    assert desk.position == QTY


def held_at_start(entry: int, **losses: object) -> Engine:
    """A start beside a position that is worth 100 a unit, before any word of the market."""
    made = engine(Recovered(state={"losses": losses} if losses else {}))
    made.process(ev.InstrumentsLoaded(ts=NOW, instruments=(Instrument(symbol=SYMBOL, base_asset="BTC"),)))
    held = ev.VenuePosition(symbol=SYMBOL, qty=Decimal(100), entry_price=Decimal(entry), mark=Decimal(100))
    snapshot(made, NOW, "10000", held)
    timer(made, NOW + 1_000)
    return made


def test_an_open_profit_is_no_loss_at_a_start_before_the_market_is_heard() -> None:
    made = held_at_start(75, day=NOW // DAY, day_start="12500", baseline="12500")
    assert made.state.losses.refusals() == ()
    assert not made.state.killed
    market(made, SYMBOL, NOW + 1_500)
    timer(made, NOW + 2_500)
    assert made.state.losses.refusals() == ()
    assert made.state.losses.day_pnl(made.state.equity()) == 0


def test_the_day_and_the_total_begin_with_what_is_open_before_the_market_is_heard() -> None:
    made = held_at_start(125)
    assert (made.state.losses.day_start, made.state.losses.baseline) == (7_500, 7_500)
    market(made, SYMBOL, NOW + 1_500)
    timer(made, NOW + 2_500)
    assert not made.state.killed, "what was lost before the first start is no loss of today"


def limit_entry(desk: Desk) -> None:
    ticket = ev.OpenPosition(
        ts=desk.now, symbol=SYMBOL, side=Side.LONG, qty=QTY, limit_price=Decimal(43_300), override_soft=True
    )
    desk.process(ticket)
    desk.run(2_000)
    assert [row[0] for row in desk.resting()] == ["LIMIT"]


def test_no_entry_rests_on_after_the_daily_loss_limit_is_reached() -> None:
    desk = Desk(settings=settings(limits={"daily_loss": "50"}, execution={"entry_timeout_s": 3_600})).start()
    limit_entry(desk)
    desk.exchange.venue.income(desk.account, "", "COMMISSION", Decimal(-60))
    desk.process(ev.BalanceUpdate(ts=desk.now, wallet=Decimal(9_940), reason="ORDER"))
    desk.run(3_000)
    assert [r.code for r in desk.engine.state.losses.refusals()] == ["daily_loss"]
    assert desk.resting() == []
    desk.move(43_000)
    assert desk.position == 0


def test_an_entry_that_rests_at_a_start_goes_when_the_daily_loss_limit_was_reached_before_it() -> None:
    desk = Desk(settings=settings(limits={"daily_loss": "50"}, execution={"entry_timeout_s": 3_600})).start()
    limit_entry(desk)
    kept = {"losses": {"day": desk.now // DAY, "day_start": "10050", "baseline": "10050", "daily_reached": True}}
    desk.restart(msgspec.structs.replace(remembered(desk), state=kept))
    desk.start()
    desk.run(3_000)
    assert desk.resting() == []


def test_a_symbol_goes_on_cooling_down_after_a_restart() -> None:
    desk = opened()
    desk.process(ev.ClosePosition(ts=desk.now, symbol=SYMBOL, fraction=Decimal(1)))
    desk.run(10_000)
    until = desk.engine.state.cooldown_until
    assert until[SYMBOL] > desk.now
    trades = tuple(r.data for r in desk.records if r.kind == "trades")
    assert engine(Recovered(trades=trades)).state.cooldown_until == until


def marked(mark: int) -> ev.VenuePosition:
    return ev.VenuePosition(symbol=SYMBOL, qty=Decimal(100), entry_price=Decimal(100), mark=Decimal(mark))


def test_the_loss_limits_see_a_loss_that_only_the_account_shows_while_the_market_is_silent() -> None:
    made = engine()
    known(made, "BTC")
    snapshot(made, NOW, "10000", marked(100))
    timer(made, NOW + 1_000)
    snapshot(made, NOW + 7_000, "10000", marked(70))
    timer(made, NOW + 8_000)
    assert not made.state.killed, "the stream is fresh: its word counts"
    snapshot(made, NOW + 60_000, "10000", marked(70))
    timer(made, NOW + 61_000)
    assert made.state.equity() == 7_000
    assert made.state.killed == "the total loss limit is reached"


def test_the_newest_word_on_a_price_counts_when_all_are_old() -> None:
    made = engine()
    known(made, "BTC")
    snapshot(made, NOW, "10000", marked(70))
    market(made, SYMBOL, NOW + 20_000, price=98.0)
    timer(made, NOW + 300_000)
    assert made.state.equity() == 9_800


@pytest.mark.parametrize(
    ("symbol", "equity"), [("BTCUSDT_260327", 9_000), ("DELISTEDUSDT", 9_000), ("BTCUSDC", 10_000)]
)
def test_a_position_without_rules_counts_in_the_equity_when_it_is_settled_in_usdt(symbol: str, equity: int) -> None:
    made = engine()
    known(made, "BTC")
    held = ev.VenuePosition(symbol=symbol, qty=Decimal(100), entry_price=Decimal(100), mark=Decimal(90))
    snapshot(made, NOW, "10000", held)
    assert made.state.equity() == equity


def test_settings_are_reloaded_while_a_position_without_rules_is_closed() -> None:
    made = engine()
    known(made, "BTC")
    held = ev.VenuePosition(symbol="DELISTEDUSDT", qty=Decimal(100), entry_price=Decimal(100), mark=Decimal(90))
    snapshot(made, NOW, "10000", held)
    made.process(ev.KillSwitch(ts=NOW + 500, reason="by hand"))
    snapshot(made, NOW + 1_000, "10000", held)
    assert made.state.plans.keys() == {"DELISTEDUSDT"}
    wanted = settings(strategies={"cooldown_min": 1})
    told = made.process(ev.SettingsChanged(ts=NOW + 2_000, settings_json=wanted.model_dump_json().encode()))
    assert of(cmd.SettingsApplied, told)
    assert made.settings.strategies.cooldown_min == 1
    assert made.view(NOW + 2_000, "DELISTEDUSDT", "1m").positions
