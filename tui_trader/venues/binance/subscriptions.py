"""Which streams the public and the market link are asked for, and again while nothing comes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import msgspec

from tui_trader import clock
from tui_trader.venues.binance.feeds import Feeds
from tui_trader.venues.link import Link

PUBLIC_ALL = ("!bookTicker",)
MARKET_ALL = ("!markPrice@arr@1s", "!ticker@arr")
ASK_AGAIN_S = 30.0
BOOK_SILENT_S, TRADE_SILENT_S, MARKS_SILENT_S, TICKERS_SILENT_S = 30.0, 90.0, 30.0, 300.0
"""A minute's candle comes at its end at the latest, all the others come within seconds; 24 h volumes have most time."""
_SUBSCRIBE_CHUNK = 150


def public_streams(symbol: str) -> tuple[str, ...]:
    """The public streams of one watched symbol."""
    low = symbol.lower()
    return f"{low}@depth@100ms", f"{low}@bookTicker"


def market_streams(symbol: str) -> tuple[str, ...]:
    """The market streams of one watched symbol."""
    low = symbol.lower()
    return f"{low}@aggTrade", f"{low}@kline_1m"


class Subscriptions:
    """Asks ``public`` and ``market`` for the streams of the symbols that ``feeds`` watches."""

    def __init__(self, feeds: Feeds, public: Link, market: Link) -> None:
        self._feeds = feeds
        self._public = public
        self._market = market
        self._wanted: tuple[str, ...] = ()
        self._market_since = 0.0
        self._request_id = 0
        self._lock = asyncio.Lock()

    async def watch(self, symbols: Sequence[str]) -> None:
        """Watch exactly ``symbols``; one without known rules waits until it has them."""
        async with self._lock:
            self._wanted = tuple(symbols)
            await self._watch_wanted()

    async def _watch_wanted(self) -> None:
        added, removed = self._feeds.watch(self._wanted)
        await self._ask("UNSUBSCRIBE", removed, removed)
        await self._ask("SUBSCRIBE", added, added)

    async def public_up(self) -> None:
        """The public link stands anew and knows of no subscription."""
        await self._send(self._public, "SUBSCRIBE", tuple(self._feeds.watched), public_streams)

    async def market_up(self) -> None:
        """The market link stands anew and knows of no subscription."""
        self._market_since = clock.monotonic()
        await self._send(self._market, "SUBSCRIBE", tuple(self._feeds.watched), market_streams)

    async def keep(self) -> None:
        """Ask anew for what stays silent on a link that speaks: refused, forgotten or stuck at the venue."""
        while True:
            await asyncio.sleep(ASK_AGAIN_S)
            async with self._lock:
                if not set(self._feeds.watched).issuperset(self._wanted):
                    await self._watch_wanted()
                books, trades = self._feeds.silent(BOOK_SILENT_S, TRADE_SILENT_S)
                await self._ask("UNSUBSCRIBE", books, trades)
                await self._ask("SUBSCRIBE", books, trades)
            await self._renew_silent()

    async def _renew_silent(self) -> None:
        """Streams of all symbols stand in the link's address: only a new link asks for them again."""
        feeds, now = self._feeds, clock.monotonic()
        rows = ("mark price", feeds.marks_at, MARKS_SILENT_S), ("24 h volume", feeds.tickers_at, TICKERS_SILENT_S)
        for name, heard, limit in rows:
            silent_s = now - max(heard, self._market_since)
            if self._market.up and silent_s > limit:
                await self._market.renew(f"no {name} came for {silent_s:.0f} s")
                return

    async def _ask(self, method: str, books: Iterable[str], trades: Iterable[str]) -> None:
        await self._send(self._public, method, books, public_streams)
        await self._send(self._market, method, trades, market_streams)

    async def _send(
        self, link: Link, method: str, symbols: Iterable[str], streams: Callable[[str], tuple[str, ...]]
    ) -> None:
        names = [name for symbol in symbols for name in streams(symbol)]
        for start in range(0, len(names), _SUBSCRIBE_CHUNK):
            self._request_id += 1
            chunk = names[start : start + _SUBSCRIBE_CHUNK]
            self._feeds.oddities.asked(self._request_id, method, chunk)
            body = {"method": method, "params": chunk, "id": self._request_id}
            if not await link.send(msgspec.json.encode(body).decode()):
                return
