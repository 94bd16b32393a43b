"""A stream that a venue refused, forgot or let die is asked for again, on the link that stands."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.venues.binance.test_oddities import refuse
from tests.venues.faults import BTC, World, world
from tui_trader.core.events import (
    BookTop,
    Event,
    FeedLive,
    FeedStale,
    KlineUpdate,
    LinkDown,
    MarkPrice,
    Ticker24h,
    TradePrint,
)
from tui_trader.core.settings import DataSettings
from tui_trader.exchange.rest import Reply, Request
from tui_trader.exchange.streams import Connection
from tui_trader.venues.binance import subscriptions

ETH = "ETHUSDT"


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    short = {"BOOK_SILENT_S": 1.5, "TRADE_SILENT_S": 2.0, "MARKS_SILENT_S": 2.5, "TICKERS_SILENT_S": 3.5}
    for name, value in {"ASK_AGAIN_S": 0.5, **short}.items():
        monkeypatch.setattr(subscriptions, name, value, raising=False)


def asked(here: World) -> list[tuple[str, str, str]]:
    """Each stream that is asked for from now on: (route, method, stream)."""
    found: list[tuple[str, str, str]] = []
    honest = here.exchange.server.hub.receive

    def receive(connection: Connection, text: str) -> None:
        request = json.loads(text)
        found.extend((connection.route, request["method"], name) for name in request["params"])
        honest(connection, text)

    here.exchange.server.hub.receive = receive  # type: ignore[method-assign]
    return found


def dead(here: World, streams: Callable[[str], bool], asked_for: list[tuple[str, str, str]]) -> None:
    """The exchange sends no more frames of these streams until they are asked for again."""
    here.twist = lambda connection, stream, payload: (
        [] if streams(stream) and not any(name == stream for _, _, name in asked_for) else [payload]
    )


async def test_a_refused_subscription_is_asked_again_until_it_is_granted() -> None:
    async with world() as here:
        honest = here.exchange.server.hub.receive
        refuse(here, "SUBSCRIBE", "busy")
        await here.venue.watch([BTC])
        await here.until(lambda: here.venue.feeds.oddities.refused >= 6)
        assert here.feeds() == ["FeedStale"]
        here.exchange.server.hub.receive = honest  # type: ignore[method-assign]
        await here.until(lambda: here.feeds()[-1] == "FeedLive" and here.of(KlineUpdate))
        assert not here.of(LinkDown)


async def test_a_dead_depth_stream_makes_blind_although_best_prices_come_and_is_asked_for_anew() -> None:
    async with world(BTC, ETH, data=DataSettings(stale_after_s=1.0)) as here:
        await here.venue.watch([BTC, ETH])
        await here.until(lambda: here.feeds().count("FeedLive") == 2)
        requests = asked(here)
        dead(here, lambda stream: stream == "btcusdt@depth@100ms", requests)
        await here.until(lambda: here.of(FeedStale)[-1].reason == "silent for more than 1 s")
        assert here.of(FeedStale)[-1].symbol == BTC
        tops = len([row for row in here.of(BookTop) if row.symbol == BTC])
        await here.until(lambda: len([row for row in here.of(BookTop) if row.symbol == BTC]) > tops)
        await here.until(lambda: here.feeds()[-1] == "FeedLive")
        books = [row for row in requests if row[0] == "public"]
        assert books[:4] == [
            ("public", "UNSUBSCRIBE", "btcusdt@depth@100ms"),
            ("public", "UNSUBSCRIBE", "btcusdt@bookTicker"),
            ("public", "SUBSCRIBE", "btcusdt@depth@100ms"),
            ("public", "SUBSCRIBE", "btcusdt@bookTicker"),
        ]
        assert not here.of(LinkDown)


async def test_a_symbol_whose_rules_were_missing_for_once_is_watched_when_they_are_back() -> None:
    async with world(BTC, ETH) as here:
        honest = here.bend
        info = json.loads((await here.exchange.server.handle(Request("GET", "/fapi/v1/exchangeInfo"))).body)
        info["symbols"] = [row for row in info["symbols"] if row["symbol"] == BTC]
        partial = Reply(200, json.dumps(info))
        here.bend = lambda request: partial if request.path.endswith("exchangeInfo") else None
        await here.venue.instruments()
        await here.venue.watch([BTC, ETH])
        await here.until(lambda: here.feeds().count("FeedLive") == 1)
        here.bend = honest
        await here.venue.instruments()
        await here.until(lambda: [row.symbol for row in here.of(FeedLive)] == [BTC, ETH])


async def test_dead_trades_and_candles_are_asked_for_anew() -> None:
    async with world() as here:
        await here.venue.watch([BTC])
        await here.until(lambda: here.of(KlineUpdate))
        requests = asked(here)
        dead(here, lambda stream: stream in ("btcusdt@aggTrade", "btcusdt@kline_1m"), requests)
        await here.until(lambda: ("market", "SUBSCRIBE", "btcusdt@kline_1m") in requests)
        heard = len(here.of(KlineUpdate)) + len(here.of(TradePrint))
        await here.until(lambda: len(here.of(KlineUpdate)) + len(here.of(TradePrint)) > heard)
        assert not here.of(LinkDown)
        assert all(route == "market" for route, _, _ in requests)


@pytest.mark.parametrize(
    ("kind", "stream", "name"), [(MarkPrice, "!markPrice@arr", "mark price"), (Ticker24h, "!ticker@arr", "24 h volume")]
)
async def test_without_a_stream_of_all_symbols_the_market_link_is_made_anew(
    kind: type[Event], stream: str, name: str
) -> None:
    async with world() as here:
        await here.venue.watch([BTC])
        await here.until(lambda: here.of(kind))
        here.twist = lambda connection, told, payload: [] if told.startswith(stream) else [payload]
        await here.until(lambda: here.of(LinkDown))
        assert here.of(LinkDown)[0].reason.startswith(f"no {name} came for")
        here.twist = lambda connection, told, payload: [payload]
        heard = len(here.of(kind))
        await here.until(lambda: len(here.of(kind)) > heard)
