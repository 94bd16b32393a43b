"""The venue against the simulated exchange: feeds, books, orders, snapshot, lost connections."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest

from tests.core.build import settings as default_settings
from tui_trader.core.commands import Approval, CancelOrder, LoadCandles, PlaceOrder, QueryOrder
from tui_trader.core.engine import Engine
from tui_trader.core.events import (
    AccountSnapshot,
    BookDepth,
    BookTop,
    CandleHistory,
    Event,
    FeedLive,
    FeedStale,
    Fill,
    InstrumentsLoaded,
    KlineUpdate,
    LinkDown,
    LinkUp,
    MarkPrice,
    OpenInterest,
    OrderUpdate,
    PositionUpdate,
    Ticker24h,
)
from tui_trader.core.settings import DataSettings, VenueSettings
from tui_trader.core.types import Channel, Leg, OrderSide, OrderStatus, OrderType, VenueBook
from tui_trader.errors import OrderNotFound, OutcomeUnknown, VenueRefused, VenueUnreachable
from tui_trader.exchange.server import RunningExchange, running_exchange
from tui_trader.runtime.reconcile import Reconciler
from tui_trader.strategies.htf_sweep import HtfSweep
from tui_trader.venues.binance.client import BinanceVenue

SYMBOLS = ("BTCUSDT", "ETHUSDT")


class World:
    def __init__(self, exchange: RunningExchange, venue: BinanceVenue) -> None:
        self.exchange = exchange
        self.venue = venue
        self.events: list[Event] = []

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.02)

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    async with running_exchange(seed=3, speed=2.0, symbols=SYMBOLS) as exchange:
        venue = BinanceVenue(
            rest_url=exchange.rest_url,
            ws_url=exchange.ws_url,
            key=exchange.api_key,
            secret=exchange.secret,
            settings=VenueSettings(),
            data=DataSettings(),
            rng=random.Random(1),
        )
        here = World(exchange, venue)
        await venue.open(here.events.append)
        try:
            yield here
        finally:
            await venue.aclose()


def place(client_id: str, **changes: object) -> PlaceOrder:
    fields: dict[str, object] = {
        "ts": 1, "client_id": client_id, "plan_id": 1, "leg": Leg.ENTRY, "symbol": "BTCUSDT", "side": OrderSide.BUY,
        "type": OrderType.MARKET, "qty": Decimal("0.010"), "reduce_only": False,
        "approval": Approval(sequence=1, max_qty=Decimal(1), exit=False),
    }  # fmt: skip
    return PlaceOrder(**{**fields, **changes})  # type: ignore[arg-type]


async def test_feeds_become_events_and_the_book_equals_the_exchanges() -> None:
    async with world() as here:
        await here.venue.watch(["BTCUSDT"])
        for kind in (FeedLive, BookDepth, BookTop, MarkPrice, Ticker24h, KlineUpdate):
            await here.until(lambda kind=kind: bool(here.of(kind)))
        assert isinstance(here.events[0], InstrumentsLoaded | LinkUp) or here.of(InstrumentsLoaded)
        assert here.venue.clock.rate == 2.0
        ups = {event.channel for event in here.events if isinstance(event, LinkUp)}
        assert ups == {Channel.REST, Channel.PUBLIC, Channel.MARKET, Channel.PRIVATE}
        assert here.venue.feeds.decoder.garbage == here.venue.feeds.impossible == 0
        assert {event.symbol for event in here.of(BookDepth) if isinstance(event, BookDepth)} == {"BTCUSDT"}
        await here.venue.watch([])
        assert not here.venue.feeds.watched


async def test_open_interest_is_asked_soon_after_a_symbol_is_watched_the_first_of_them_first() -> None:
    """A look at one symbol lasts a few seconds."""
    async with world() as here:
        await here.venue.watch(["ETHUSDT", "BTCUSDT"])
        async with asyncio.timeout(10):
            await here.until(lambda: len(here.of(OpenInterest)) == 2)
        told = [event for event in here.of(OpenInterest) if isinstance(event, OpenInterest)]
        assert [event.symbol for event in told] == ["ETHUSDT", "BTCUSDT"]
        assert all(event.open_interest > 0 for event in told)


async def test_a_broken_public_stream_is_blind_until_the_book_is_rebuilt() -> None:
    async with world() as here:
        await here.venue.watch(["BTCUSDT"])
        await here.until(lambda: bool(here.of(FeedLive)))
        await here.venue._public.renew("test")
        await here.until(lambda: any(e.channel is Channel.PUBLIC for e in here.events if isinstance(e, LinkDown)))
        assert isinstance([e for e in here.events if isinstance(e, FeedStale | FeedLive)][-1], FeedStale)
        await here.until(lambda: len(here.of(FeedLive)) == 2)


async def test_an_order_its_stop_and_the_snapshot() -> None:
    async with world() as here:
        venue = here.venue
        await venue.watch(["BTCUSDT"])
        await here.until(lambda: bool(here.of(BookDepth)))
        await venue.set_leverage("BTCUSDT", 20)
        await venue.set_leverage("BTCUSDT", 20)
        entry_id = await venue.place(place("e-1-en-0"))
        await here.until(lambda: bool(here.of(Fill)) and bool(here.of(PositionUpdate)))
        fill = here.of(Fill)[0]
        assert isinstance(fill, Fill)
        assert (fill.client_id, fill.venue_id) == ("e-1-en-0", entry_id)
        trigger = (fill.price * Decimal("0.95")).quantize(Decimal("0.1"))
        stop = place(
            "e-1-sl-0", leg=Leg.STOP, side=OrderSide.SELL, type=OrderType.STOP_MARKET, trigger_price=trigger,
            reduce_only=True,
        )  # fmt: skip
        await venue.place(stop)
        asked = QueryOrder(ts=1, client_id="e-1-sl-0", symbol="BTCUSDT", book=VenueBook.ALGO)
        update = await venue.query(asked)
        assert (update.status, update.trigger_price, update.reduce_only) == (OrderStatus.WORKING, trigger, True)
        entry = await venue.query(QueryOrder(ts=1, client_id="e-1-en-0", symbol="BTCUSDT", book=VenueBook.REGULAR))
        assert entry.status is OrderStatus.FILLED
        snapshot = await venue.snapshot(fill.venue_ts - 1)
        assert isinstance(snapshot, AccountSnapshot)
        assert snapshot.complete
        assert [(row.symbol, row.qty) for row in snapshot.positions] == [("BTCUSDT", Decimal("0.01"))]
        assert [(row.client_id, row.book) for row in snapshot.orders] == [("e-1-sl-0", VenueBook.ALGO)]
        assert [(row.trade_id, row.client_id) for row in snapshot.fills] == [
            (row.trade_id, "e-1-en-0") for row in here.of(Fill) if isinstance(row, Fill)
        ]
        assert snapshot.wallet < Decimal(10_000)
        cancel = CancelOrder(ts=1, client_id="e-1-sl-0", symbol="BTCUSDT", book=VenueBook.ALGO)
        await venue.cancel(cancel)
        with pytest.raises(OrderNotFound):
            await venue.cancel(cancel)
        await here.until(
            lambda: any(isinstance(e, OrderUpdate) and e.status is OrderStatus.CANCELED for e in here.events)
        )


async def test_refusals_and_unknowns_keep_their_meaning() -> None:
    async with world() as here:
        venue = here.venue
        with pytest.raises(VenueRefused) as refused:
            await venue.place(place("e-2-en-0", qty=Decimal(99)))
        assert refused.value.code == -2019
        resting = place("e-3-en-0", type=OrderType.LIMIT, price=Decimal("101000.0"), qty=Decimal("0.001"))
        await venue.place(resting)
        with pytest.raises(OutcomeUnknown) as unknown:
            await venue.place(resting)
        assert unknown.value.code == -4116
        with pytest.raises(OrderNotFound):
            await venue.query(QueryOrder(ts=1, client_id="nobody", symbol="BTCUSDT", book=VenueBook.REGULAR))
        permissions = await venue.permissions()
        assert (permissions.can_trade, permissions.can_withdraw, permissions.hedge_mode) == (True, False, False)


async def test_candles_are_closed_complete_and_in_order() -> None:
    async with world() as here:
        candles = await here.venue.candles("BTCUSDT", 1_200)
        opens = [candle.open_ms for candle in candles]
        assert opens == [opens[0] + 60_000 * step for step in range(1_200)]
        assert opens[-1] + 60_000 <= here.venue.clock.now_ms() + 1_000


async def test_warm_up_reaches_the_candle_book_within_the_budget() -> None:
    """Engine, reconciler and the simulated exchange: hours from before the minutes, closed, joined to them."""
    settings = default_settings(strategies={"timeframes": {"htf_sweep": "5m"}})
    async with world() as here:
        engine = Engine(settings, {"htf_sweep": HtfSweep()}, mode="live", venue="binance", epoch="t")
        engine.state.watching = ("BTCUSDT",)
        reconciler = Reconciler(here.venue, here.events.append, fills_cursor=lambda: 0, interval_s=lambda: 60.0)
        reconciler.request_candles("BTCUSDT", 1_500)
        worker = asyncio.create_task(reconciler.run_candles())

        def warm() -> bool:
            for event in [e for e in here.events if isinstance(e, CandleHistory)]:
                here.events.remove(event)
                for command in engine.process(event):
                    if isinstance(command, LoadCandles):
                        reconciler.request_candles(command.symbol, command.count, command.timeframe)
            book = engine.state.candles.get("BTCUSDT")
            return book is not None and book.has_history("1h")

        try:
            await here.until(warm)
        finally:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
        book = engine.state.candles["BTCUSDT"]
        opens = [bar.open_ms for bar in book.closed("1h", 500)]
        assert len(opens) >= 226
        assert opens == [opens[0] + 3_600_000 * step for step in range(len(opens))]
        assert opens[-1] + 3_600_000 <= here.venue.clock.now_ms() + 1_000
        minutes = {bar.open_ms: bar for bar in book.closed("1m", 1_500)}
        inside = [bar for bar in book.closed("1h", 20) if bar.open_ms in minutes]
        assert all(bar.open == minutes[bar.open_ms].open for bar in inside)
        assert here.venue.budget.used < 0.05


async def test_a_venue_that_is_not_there_is_unreachable() -> None:
    venue = BinanceVenue(
        rest_url="http://127.0.0.1:1", ws_url="ws://127.0.0.1:1", key="k", secret="s", settings=VenueSettings(),
        data=DataSettings(), rng=random.Random(1),
    )  # fmt: skip
    events: list[Event] = []
    with pytest.raises(VenueUnreachable, match="not sent"):
        await venue.open(events.append)
    with pytest.raises(VenueUnreachable):
        await venue.place(place("e-4-en-0"))
    await venue.aclose()
