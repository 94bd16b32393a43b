"""The engine as a function of its events: pure, total, blind when it must be."""

from __future__ import annotations

import random
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.core.build import NOW, settings
from tests.core.test_executor import QTY, opened, refuse_stops
from tests.core.test_soak import Chaos
from tests.desk import Desk
from tui_trader.core import commands as cmd
from tui_trader.core import events as ev
from tui_trader.core.engine import Engine
from tui_trader.core.types import Channel, Leg, OrderSide, OrderStatus, OrderType, Severity, Side, VenueBook

SYMBOL = "BTCUSDT"


def recorded(seed: int) -> tuple[list[ev.Event], list[list[cmd.Command]]]:
    """A session under faults: every event that went in and the commands that came out of each."""
    desk = Desk()
    events: list[ev.Event] = []
    outs: list[list[cmd.Command]] = []
    real = desk.engine.process

    def process(event: ev.Event) -> list[cmd.Command]:
        events.append(event)
        outs.append(real(event))
        return outs[-1]

    desk.engine.process = process
    desk.start()
    chaos = Chaos(desk, seed)
    rng = random.Random(seed)
    for _ in range(15):
        desk.move(round(desk.market.mid + rng.gauss(0, 300), 1), ms=700)
        chaos.act()
    return events, outs


def fresh() -> Engine:
    return Engine(settings(), {}, mode="demo", venue="binance", epoch="desk001")


def test_i19_i20_the_same_events_give_the_same_commands_even_after_a_round_trip_through_json() -> None:
    events, outs = recorded(5)
    again, decoded = fresh(), fresh()
    decoder = msgspec.json.Decoder(ev.Event)
    assert [again.process(e) for e in events] == outs
    assert [decoded.process(decoder.decode(msgspec.json.encode(e))) for e in events] == outs
    assert any(isinstance(c, cmd.PlaceOrder) for out in outs for c in out)


UNKNOWN: list[ev.Event] = [
    ev.BookTop(ts=NOW, symbol="?", bid=1, bid_qty=1, ask=2, ask_qty=1),
    ev.BookDepth(ts=NOW, symbol="?", bids=(), asks=(), bid_depth=0, ask_depth=0, bid_reach=0, ask_reach=0),
    ev.TradePrint(ts=NOW, symbol="?", price=1, qty=1, buyer_is_maker=True),
    ev.MarkPrice(ts=NOW, symbol="?", mark=1, index=1, funding_rate=0, next_funding_ms=NOW),
    ev.Ticker24h(ts=NOW, symbol="?", last=1, change_pct=0, quote_volume=1),
    ev.OpenInterest(ts=NOW, symbol="?", open_interest=1),
    ev.KlineUpdate(ts=NOW, symbol="?", candle=ev.Candle(NOW - 60_000, 1, 1, 1, 1, 1), closed=True),
    ev.CandleHistory(ts=NOW, symbol="?", candles=()),
    ev.FeedStale(ts=NOW, symbol="?", reason="gap"),
    ev.FeedLive(ts=NOW, symbol="?"),
    ev.PositionUpdate(ts=NOW, symbol="?", qty=Decimal(0), entry_price=Decimal(0)),
    ev.FundingPayment(ts=NOW, symbol="?", amount=Decimal(1), venue_ts=NOW, tran_id="1"),
    ev.OrderUpdate(
        ts=NOW,
        symbol="?",
        client_id="?",
        venue_id="?",
        book=VenueBook.REGULAR,
        status=OrderStatus.WORKING,
        side=OrderSide.BUY,
        type=OrderType.LIMIT,
        qty=Decimal(1),
    ),
]


@pytest.mark.parametrize("event", UNKNOWN, ids=lambda e: type(e).__name__)
def test_an_unknown_symbol_is_harmless(event: ev.Event) -> None:
    made = fresh()
    commands = made.process(event) + made.process(ev.Timer(ts=NOW + 2_000))
    assert [c for c in commands if isinstance(c, cmd.PlaceOrder | cmd.CancelOrder | cmd.Announce)] == []
    made.view(NOW, "?", "1m")


@pytest.mark.parametrize("channel", list(Channel))
def test_i11_a_link_that_is_down_blocks_entries_and_alarms_once(channel: Channel) -> None:
    desk = opened()
    desk.log.clear()
    for _ in range(2):
        desk.process(ev.LinkDown(ts=desk.now, channel=channel, reason="reset"))
    assert desk.log == [
        f"the {channel.shown} link is down: no entries, 1 open, each behind its stop at the venue (reset)"
    ]
    assert "blind" in [r.code for r in desk.engine.state.blocks()]
    desk.process(ev.LinkUp(ts=desk.now, channel=channel))
    desk.run(2_000)
    assert desk.engine.state.blocks() == ()


def test_after_the_private_stream_was_lost_entries_wait_for_a_snapshot_from_after_it() -> None:
    desk = Desk().start()
    desk.process(ev.LinkDown(ts=desk.now, channel=Channel.PRIVATE, reason="reset"))
    desk.run(1_000)
    old = desk.now
    desk.run(100)
    desk._due.clear()
    replies = desk.engine.process(ev.LinkUp(ts=desk.now, channel=Channel.PRIVATE))
    assert [type(c) for c in replies if isinstance(c, cmd.RequestSnapshot)] == [cmd.RequestSnapshot]
    assert [r.code for r in desk.engine.state.blocks()] == ["reconciling"]
    stale = ev.AccountSnapshot(ts=desk.now, asked_at=old, positions=(), orders=(), wallet=Decimal(10_000))
    desk.process(stale)
    assert [r.code for r in desk.engine.state.blocks()] == ["reconciling"]
    desk.process(msgspec.structs.replace(stale, asked_at=desk.now, complete=False))
    assert [r.code for r in desk.engine.state.blocks()] == ["reconciling"]
    desk.process(msgspec.structs.replace(stale, asked_at=desk.now))
    assert desk.engine.state.blocks() == ()


def test_i11_silence_until_retry_after_keeps_exits_allowed() -> None:
    desk = opened()
    desk.process(ev.LinkDown(ts=desk.now, channel=Channel.REST, reason="429", until_ms=desk.now + 60_000))
    assert not desk.engine.state.reachable()
    desk.process(ev.ClosePosition(ts=desk.now, symbol=SYMBOL, fraction=Decimal(1)))
    desk.run(3_000)
    assert desk.position == 0, "the core does not hold an exit back; the outbox knows when it may leave"


@pytest.mark.parametrize(("skew", "blocked"), [(500.0, False), (500.1, True), (-501.0, True), (0.0, False)])
def test_skew(skew: float, blocked: bool) -> None:
    desk = Desk().start()
    desk.process(ev.ClockSkew(ts=desk.now, skew_ms=skew))
    assert ("skew" in [r.code for r in desk.engine.state.blocks()]) is blocked


def test_a_failed_worker_halts_entries_and_keeps_protection() -> None:
    desk = opened()
    before = desk.resting()
    desk.process(ev.WorkerFailed(ts=desk.now, worker="feed", reason="KeyError"))
    desk.run(2_000)
    assert desk.resting() == before
    assert [r.code for r in desk.engine.state.blocks()] == ["halted"]
    assert desk.engine.state.alarm.startswith("worker feed failed: KeyError")


def test_hedge_mode_halts() -> None:
    made = fresh()
    made.process(ev.AccountSnapshot(ts=NOW, asked_at=NOW, positions=(), orders=(), wallet=Decimal(1), hedge_mode=True))
    assert "hedge_mode" in [r.code for r in made.state.blocks()]
    made.process(ev.AccountSnapshot(ts=NOW + 1, asked_at=NOW + 1, positions=(), orders=(), wallet=Decimal(1)))
    assert "hedge_mode" not in [r.code for r in made.state.blocks()], "it ends with the mode"


def test_time_never_goes_back() -> None:
    made = fresh()
    made.process(ev.Timer(ts=NOW))
    made.process(ev.Timer(ts=NOW - 5_000))
    assert made.state.now == NOW


def test_a_stale_feed_refuses_until_it_lives() -> None:
    desk = Desk().start()
    desk.process(ev.FeedStale(ts=desk.now, symbol=SYMBOL, reason="gap"))
    seen = desk.engine.preview(ev.OpenPosition(ts=desk.now, symbol=SYMBOL, side=Side.LONG, qty=QTY))
    assert any("gap" in text for text in seen.soft + seen.hard)
    desk.process(ev.FeedLive(ts=desk.now, symbol=SYMBOL))
    desk.run(200)
    seen = desk.engine.preview(ev.OpenPosition(ts=desk.now, symbol=SYMBOL, side=Side.LONG, qty=QTY))
    assert seen.soft + seen.hard == ()


def test_a_gap_in_the_candles_asks_for_history() -> None:
    desk = Desk().start()
    price = desk.market.mid
    desk.run(6_000)
    later = (desk.now // 60_000 + 10) * 60_000
    candle = ev.Candle(later, price, price, price, price, 1.0)
    replies = desk.engine.process(ev.KlineUpdate(ts=desk.now, symbol=SYMBOL, candle=candle, closed=True))
    assert [c.symbol for c in replies if isinstance(c, cmd.LoadCandles)] == [SYMBOL]


def test_a_notice_from_outside_reaches_the_log() -> None:
    made = fresh()
    made.process(ev.Notice(ts=NOW, severity=Severity.ALARM, text="disk full"))
    assert (made.state.alarm, made.state.log[-1].text) == ("disk full", "disk full")


amounts = st.decimals(min_value=-1, max_value=1, places=3, allow_nan=False)


@hypothesis_settings(max_examples=40)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from(["fill", "position", "balance", "timer"]), amounts, st.integers(0, 5)), max_size=20
    )
)
def test_any_account_words_leave_the_engine_standing(rows: list[tuple[str, Decimal, int]]) -> None:
    made = fresh()
    for i, (kind, amount, number) in enumerate(rows):
        ts = NOW + i * 700
        if kind == "fill" and amount:
            made.process(
                ev.Fill(
                    ts=ts,
                    symbol=SYMBOL,
                    client_id=f"tt-e-1-sl-{number}",
                    venue_id="",
                    trade_id=str(number),
                    side=OrderSide.BUY if amount > 0 else OrderSide.SELL,
                    qty=abs(amount),
                    price=Decimal(100),
                    fee=Decimal(0),
                    fee_asset="USDT",
                    maker=True,
                    realized_pnl=Decimal(0),
                    venue_ts=ts,
                )
            )
        elif kind == "position":
            made.process(ev.PositionUpdate(ts=ts, symbol=SYMBOL, qty=amount, entry_price=Decimal(100), venue_ts=ts))
        elif kind == "balance":
            made.process(ev.BalanceUpdate(ts=ts, wallet=amount))
        else:
            made.process(ev.Timer(ts=ts))
    made.view(NOW, SYMBOL, "1m")


@pytest.mark.parametrize(("change", "flow"), [("-18.68463038", "took 18.68"), ("3.5", "gave 3.50")])
def test_i17_what_the_insurance_fund_moves_is_told_since_no_trade_contains_it(change: str, flow: str) -> None:
    desk = Desk().start()
    at = desk.now
    said = desk.engine.process(
        ev.BalanceUpdate(ts=at, wallet=Decimal(9_980), reason="INSURANCE_CLEAR", change=Decimal(change))
    )
    words = f"the venue's insurance fund {flow} USDT after a liquidation"
    words += ": it stands in the wallet and the day's result, in no trade"
    assert [c for c in said if isinstance(c, cmd.Announce)] == [
        cmd.Announce(ts=desk.engine.state.now, severity=Severity.ALARM, text=words)
    ]
    assert desk.engine.state.portfolio.wallet == Decimal(9_980)


def test_i1_a_link_lost_for_a_blip_does_not_begin_the_reachable_time_anew() -> None:
    desk = Desk().start()
    state = desk.engine.state
    since = state.reachable_since()

    def lost_for(ms: int, until_ms: int = 0) -> None:
        desk.process(ev.LinkDown(ts=desk.now, channel=Channel.REST, reason="HTTP 503", until_ms=until_ms))
        desk.run(ms)
        desk.process(ev.LinkUp(ts=desk.now, channel=Channel.REST))

    lost_for(2_000)
    assert state.reachable_since() == since
    lost_for(4_000)
    assert state.reachable_since() == desk.now
    lost_for(1_000, until_ms=desk.now + 1_000)
    assert state.reachable_since() == desk.now, "the silence that the venue asked for does not count either"


@pytest.mark.parametrize("ahead_ms", [60_000, 3_600_000])
def test_i1_after_the_venues_clock_was_set_back_a_bare_position_is_still_flattened(ahead_ms: int) -> None:
    desk = opened()
    desk.process(ev.Timer(ts=desk.now + ahead_ms))
    desk.run(1_000)
    refuse_stops(desk)
    (stop,) = (order for order in desk.engine.state.ledger.live() if order.leg is Leg.STOP)
    desk.request("DELETE", "/fapi/v1/algoOrder", {"symbol": SYMBOL, "clientAlgoId": stop.client_id})
    desk.run(20_000)
    assert desk.position == 0, desk.log[-5:]


def test_the_engines_time_never_goes_back_and_goes_on_at_half_its_pace_behind_a_clock_that_was_set_back() -> None:
    made = fresh()
    for ts, now in ((NOW, NOW), (NOW + 60_000, NOW + 60_000), (NOW, NOW + 60_000), (NOW + 1_000, NOW + 60_500)):
        made.process(ev.Timer(ts=ts))
        assert made.state.now == now
    made.process(ev.FeedLive(ts=NOW + 30_000, symbol=SYMBOL))
    assert made.state.now == NOW + 60_500
    for ts in (NOW + 119_000, NOW + 118_000):
        made.process(ev.Timer(ts=ts))
        assert made.state.now == NOW + 119_000, "the clock has caught up; a moment is only waited for"
