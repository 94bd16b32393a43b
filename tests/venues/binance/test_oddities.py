"""What the venue's streams say that cannot be used reaches a person: once, with what it means and what to do."""

from __future__ import annotations

import json

from tests.venues.faults import BTC, World, world
from tui_trader.core.events import FeedLive, Notice
from tui_trader.core.types import Severity
from tui_trader.exchange.streams import Connection
from tui_trader.venues.binance.oddities import Oddities
from tui_trader.venues.binance.wire import Decoder

ETH = "ETHUSDT"
SAFE = "Open positions keep the stops that rest at the venue."
AGAIN = "It is asked for again every half minute."


def refuse(here: World, method: str, words: str) -> None:
    """The exchange refuses every request of ``method`` from now on."""
    honest = here.exchange.server.hub.receive

    def receive(connection: Connection, text: str) -> None:
        request = json.loads(text)
        if request["method"] != method:
            honest(connection, text)
            return
        connection.send(json.dumps({"error": {"code": 2, "msg": words}, "id": request["id"]}))

    here.exchange.server.hub.receive = receive  # type: ignore[method-assign]


def told(here: World) -> list[str]:
    assert {row.severity for row in here.of(Notice)} <= {Severity.WARNING}
    return [row.text for row in here.of(Notice)]


async def test_a_refused_subscription_is_told_once_with_its_symbols_what_it_means_and_what_to_do() -> None:
    async with world(BTC, ETH) as here:
        refuse(here, "SUBSCRIBE", "Unknown\x1b[2J stream\n")
        await here.venue.watch([BTC, ETH])
        await here.until(lambda: len(told(here)) == 2)
        why = "the venue refused to stream BTCUSDT, ETHUSDT: Unknown[2J stream  (code 2)."
        assert set(told(here)) == {
            f"{why} No book comes for these: they stay stale and entries there are refused. {SAFE} {AGAIN}",
            f"{why} No trades and candles come for these: their ATR grows old and entries there are refused. "
            f"{SAFE} {AGAIN}",
        }
        assert not here.of(FeedLive)
        before = here.venue.feeds.oddities.refused
        await here.venue._public.renew("test")
        await here.until(lambda: here.venue.feeds.oddities.refused > before)
        await here.venue.watch([])
        assert len(told(here)) == 2
        assert here.venue.troubles().endswith("3 requests refused")
        assert here.venue.troubles().startswith("1 reconnects, 0 frames unread")


async def test_a_refusal_to_stop_streaming_says_that_nothing_is_to_be_done() -> None:
    async with world() as here:
        await here.venue.watch([BTC])
        refuse(here, "UNSUBSCRIBE", "busy")
        await here.venue.watch([])
        await here.until(lambda: told(here))
        what = "the venue refused to stop streaming BTCUSDT: busy (code 2)."
        assert told(here)[0] == f"{what} What it goes on sending is not used; nothing needs to be done."


async def test_unreadable_frames_and_impossible_values_are_told_and_then_counted() -> None:
    async with world() as here:
        await here.venue.watch([BTC])
        await here.until(lambda: here.of(FeedLive))
        public = here.sockets("public")[0]
        frame = {"e": "bookTicker", "u": 10**17, "s": BTC, "b": "2", "B": "1", "a": "1", "A": "1"}
        oddities, decoder = here.venue.feeds.oddities, here.venue.feeds.decoder
        for count in (1, 2, 3):
            public.send("true")
            public.send(json.dumps({"stream": "btcusdt@bookTicker", "data": frame}))
            await here.until(lambda count=count: oddities.impossible >= count and decoder.garbage >= count)
        await here.until(lambda: len(told(here)) >= 2)
        assert sorted(text.partition(":")[0] for text in told(here)) == [
            "the venue sent a market frame that cannot be read and is left out",
            "the venue sent a quote of BTCUSDT that cannot be true",
        ]
        assert all(SAFE in text for text in told(here))
        assert "3 frames unread, 3 values left out" in here.venue.troubles()


def test_texts_and_requests_are_bounded() -> None:
    oddities = Oddities()
    for number in range(1_000):
        oddities.asked(number, "SUBSCRIBE", (f"s{number}usdt@depth@100ms",))
        oddities.answer(number, {"code": number, "msg": "x" * 10_000})
        oddities.asked(number, "SUBSCRIBE", ("btcusdt@bookTicker",))
    news = oddities.news(Decoder(), 7)
    assert (len(news), oddities.refused, len(oddities._asked)) == (20, 1_000, 256)
    assert {row.ts for row in news} == {7}
    assert max(len(row.text) for row in news) < 600
    assert oddities.news(Decoder(), 8) == []
