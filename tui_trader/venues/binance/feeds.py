"""Market frames to market events: keeps the local books at receipt, coalesces the rest, watches for silence. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from math import inf, isfinite
from typing import Any, TypeVar

import msgspec

from tui_trader import clock as system_clock
from tui_trader.clock import VenueClock
from tui_trader.core.book import LocalBook
from tui_trader.core.candles import sane
from tui_trader.core.depth import BAND
from tui_trader.core.events import (
    BookDepth,
    BookTop,
    Candle,
    FeedLive,
    FeedStale,
    KlineUpdate,
    MarkPrice,
    Ticker24h,
    TradePrint,
)
from tui_trader.core.types import LATEST_MS, MINUTE_MS
from tui_trader.venues.base import Sink
from tui_trader.venues.binance.messages import (
    AggTrade,
    Answer,
    BookTicker,
    DepthUpdate,
    Kline,
    MarkPriceUpdate,
    Pair,
    Ticker,
)
from tui_trader.venues.binance.oddities import Oddities
from tui_trader.venues.binance.wire import Decoder
from tui_trader.venues.text import clean

M = TypeVar("M")

DEPTH_EVERY_S = 0.2
LADDER_LEVELS = 20
_ROUTES_KEPT = 4_096
_OLDER_TOPS = 20
_FIRST_SNAPSHOT_S = 1.5
_SNAPSHOT_GAP_S = 2.0
_RENEW_REACH = 0.001
_RENEW_GAP_S = 10.0
_WIDEN_GAP_S = 120.0


def _dated(ts: int, event_ms: int) -> int:
    """When a thing was so: by its own date where it has one, but not later than it was heard at ``ts``."""
    return min(ts, event_ms) if event_ms > 0 else ts


def _drain(table: dict[str, M], ts: int, emit: Callable[[int, M], None]) -> None:
    if table:
        waiting = list(table.values())
        table.clear()
        for message in waiting:
            emit(ts, message)


class SymbolFeed:
    """One watched symbol: its book, a successor that waits for a newer snapshot, and when it was last heard.

    ``heard`` is the last change of its book: a best price that comes without one does not make the depth current.
    ``asked`` says that a snapshot is under way: a venue that is slow must not find a queue of questions afterwards.
    ``dated`` is when the newest change was made at the venue: on a wire that is behind, what comes is old.
    """

    __slots__ = (
        "asked",
        "asked_at",
        "book",
        "dated",
        "depth_at",
        "heard",
        "live",
        "older",
        "since",
        "successor",
        "top_id",
        "traded",
    )

    def __init__(self, now: float) -> None:
        self.book = LocalBook()
        self.successor: LocalBook | None = None
        self.since = now
        self.heard = 0.0
        self.dated = 0.0
        self.traded = 0.0
        self.asked = False
        self.asked_at = -inf
        self.depth_at = 0.0
        self.top_id = 0
        self.older = 0
        self.live = False


class Feeds:
    """Everything the public and market links deliver. ``on_frame`` is synchronous and never raises on venue data.

    ``soon`` runs a function once the current batch of frames is read (``loop.call_soon``); ``ask_snapshot`` starts a
    fetch of a symbol's book, answered by ``book_snapshot`` or ``book_failed``.
    """

    def __init__(
        self,
        sink: Sink,
        clock: VenueClock,
        *,
        stale_after_s: float,
        soon: Callable[[Callable[[], None]], object],
        ask_snapshot: Callable[[str], None],
    ) -> None:
        self._sink = sink
        self._clock = clock
        self._stale_after = stale_after_s
        self._soon = soon
        self._ask_snapshot = ask_snapshot
        self.decoder = Decoder()
        self.oddities = Oddities()
        self._symbols: frozenset[str] = frozenset()
        self._watched: dict[str, SymbolFeed] = {}
        self._tops: dict[str, BookTicker] = {}
        self._trades: dict[str, AggTrade] = {}
        self._marks: dict[str, MarkPriceUpdate] = {}
        self._tickers: dict[str, Ticker] = {}
        self._klines: dict[str, Kline] = {}
        self.marks_at = self.tickers_at = 0.0
        """When a mark price, and when a 24 h volume was last heard, monotonic s."""
        self._scheduled = False
        self._routes: dict[bytes, tuple[Callable[[bytes], Any], Callable[..., None]]] = {}
        self._handlers: dict[type, Callable[..., None]] = {
            DepthUpdate: self._depth,
            BookTicker: self._top,
            AggTrade: self._trade,
            Kline: self._kline,
            MarkPriceUpdate: self._mark,
            Ticker: self._ticker,
            Answer: self._answer,
            list: self._many,
        }

    @property
    def impossible(self) -> int:
        """How many values could not be true and were left out."""
        return self.oddities.impossible

    @property
    def watched(self) -> Collection[str]:
        """The symbols with full streams."""
        return self._watched.keys()

    def know(self, symbols: Iterable[str]) -> None:
        """Only these symbols become events; everything else the venue lists is dropped."""
        self._symbols = frozenset(symbols)

    def watch(self, symbols: Iterable[str]) -> tuple[list[str], list[str]]:
        """Watch exactly ``symbols``; returns (added, removed)."""
        wanted = dict.fromkeys(symbol for symbol in symbols if symbol in self._symbols)
        now = system_clock.monotonic()
        self._routes.clear()
        added = [symbol for symbol in wanted if symbol not in self._watched]
        removed = [symbol for symbol in self._watched if symbol not in wanted]
        for symbol in removed:
            del self._watched[symbol]
        for symbol in added:
            self._watched[symbol] = SymbolFeed(now)
            self._sink(FeedStale(ts=self._clock.now_ms(), symbol=symbol, reason="waiting for the first book"))
        return added, removed

    def silent(self, book_s: float, trade_s: float) -> tuple[list[str], list[str]]:
        """The watched symbols of whose book, and of whose trades and candles, nothing was heard for so many s."""
        now = system_clock.monotonic()
        rows = self._watched.items()
        books = [symbol for symbol, feed in rows if now - max(feed.heard, feed.since) > book_s]
        return books, [symbol for symbol, feed in rows if now - max(feed.traded, feed.since) > trade_s]

    def on_frame(self, raw: bytes) -> None:
        """Take one frame of any link. A stream seen before goes straight to its decoder and handler."""
        try:
            decode, handler = self._routes[raw[11 : raw.index(b'"', 11, 160)]]
            message = decode(raw).data
        except (KeyError, msgspec.MsgspecError, ValueError, RecursionError):
            self._slow_frame(raw)
            return
        handler(message)

    def _slow_frame(self, raw: bytes) -> None:
        message = self.decoder.decode(raw)
        handler = self._handlers.get(type(message))
        if handler is None:
            return
        route = self.decoder.route(raw, message)
        if route is not None:
            if len(self._routes) >= _ROUTES_KEPT:
                self._routes.clear()
            self._routes[route[0]] = route[1], handler
        handler(message)

    def link_down(self, reason: str) -> None:
        """The public link broke: no book is current any more."""
        for symbol, feed in self._watched.items():
            feed.book.lose(f"the public stream broke: {reason}")
            feed.successor = None
            feed.since = system_clock.monotonic()
            feed.heard = feed.dated = 0.0
            feed.asked_at = -inf
            feed.top_id = 0
            self._judge(symbol, feed, feed.since)

    def _many(self, messages: list[MarkPriceUpdate | Ticker | BookTicker]) -> None:
        for message in messages:
            self._handlers[type(message)](message)

    def _age_s(self, event_ms: int) -> float:
        """How long ago, in real s, the venue dated what came just now; 0 where it gave no date."""
        return max(0, self._clock.now_ms() - event_ms) / 1000 / self._clock.rate if event_ms > 0 else 0.0

    def _depth(self, message: DepthUpdate) -> None:
        feed = self._watched.get(message.symbol)
        if feed is None:
            return
        now = system_clock.monotonic()
        first, last, prev, bids, asks = (
            message.first_id,
            message.last_id,
            message.prev_id,
            message.bids,
            message.asks,
        )
        stood_at = feed.book.last_id if feed.book.synced else 0
        if feed.successor is not None:
            feed.successor.apply(first, last, prev, bids, asks)
        synced = feed.book.apply(first, last, prev, bids, asks)
        if not synced or feed.book.last_id != stood_at:
            # One from before the book's state changes nothing, so it is no news.
            feed.heard = now
            feed.dated = max(feed.dated, now - self._age_s(message.event_ms))
        if not synced:
            if feed.live:
                self._judge(message.symbol, feed, now)
            self._want_snapshot(message.symbol, feed, now)

    def _top(self, message: BookTicker) -> None:
        symbol = message.symbol
        feed = self._watched.get(symbol)
        if feed is not None:
            if message.update_id < feed.top_id and feed.older < _OLDER_TOPS:
                feed.older += 1
                return
            # So many older ones in a row say that the newest id itself was damage.
            feed.top_id, feed.older = message.update_id, 0
        elif symbol not in self._symbols:
            return
        self._tops[symbol] = message
        if not self._scheduled:
            self._schedule()

    def _trade(self, message: AggTrade) -> None:
        feed = self._watched.get(message.symbol)
        if feed is not None:
            feed.traded = system_clock.monotonic()
            self._trades[message.symbol] = message
            if not self._scheduled:
                self._schedule()

    def _kline(self, message: Kline) -> None:
        feed = self._watched.get(message.symbol)
        if feed is None or message.body.interval != "1m":
            return
        feed.traded = system_clock.monotonic()
        if message.body.closed:
            self._klines.pop(message.symbol, None)
            self._emit_kline(message)
            return
        self._klines[message.symbol] = message
        self._schedule()

    def _mark(self, message: MarkPriceUpdate) -> None:
        if message.symbol in self._symbols:
            self._marks[message.symbol] = message
            self._schedule()

    def _ticker(self, message: Ticker) -> None:
        if message.symbol in self._symbols:
            self._tickers[message.symbol] = message
            self._schedule()

    def _answer(self, message: Answer) -> None:
        self.oddities.answer(message.id, message.error)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._soon(self.flush)

    def flush(self) -> None:
        """Emit the newest of everything that changed since the last flush."""
        self._scheduled = False
        ts = self._clock.now_ms()
        if self._marks:
            self.marks_at = system_clock.monotonic()
        if self._tickers:
            self.tickers_at = system_clock.monotonic()
        _drain(self._tops, ts, self._emit_top)
        _drain(self._trades, ts, self._emit_trade)
        _drain(self._marks, ts, self._emit_mark)
        _drain(self._tickers, ts, self._emit_ticker)
        if self._klines:
            for kline in self._klines.values():
                self._emit_kline(kline)
            self._klines.clear()

    def _emit_top(self, ts: int, message: BookTicker) -> None:
        bid, ask = message.bid, message.ask
        if 0 < bid < ask < inf and 0 <= message.bid_qty < inf and 0 <= message.ask_qty < inf:
            self._sink(
                BookTop(
                    ts=_dated(ts, message.event_ms),
                    symbol=message.symbol,
                    bid=bid,
                    bid_qty=message.bid_qty,
                    ask=ask,
                    ask_qty=message.ask_qty,
                )
            )
        else:
            self.oddities.value("a quote", message.symbol)

    def _emit_trade(self, ts: int, message: AggTrade) -> None:
        if 0 < message.price < inf and 0 <= message.qty < inf:
            self._sink(
                TradePrint(
                    ts=ts,
                    symbol=message.symbol,
                    price=message.price,
                    qty=message.qty,
                    buyer_is_maker=message.buyer_is_maker,
                )
            )
        else:
            self.oddities.value("a trade", message.symbol)

    def _emit_mark(self, ts: int, message: MarkPriceUpdate) -> None:
        try:
            rate = float(message.rate or 0.0)
        except ValueError:
            rate = inf
        possible = 0 < message.mark < inf and 0 <= message.index < inf and abs(rate) < 1
        if possible and 0 <= message.next_funding_ms < LATEST_MS:
            self._sink(
                MarkPrice(
                    ts=_dated(ts, message.event_ms),
                    symbol=message.symbol,
                    mark=message.mark,
                    index=message.index,
                    funding_rate=rate,
                    # Without a rate there is no next funding that could be judged; nobody said that it is zero.
                    next_funding_ms=message.next_funding_ms if message.rate != "" else 0,
                )
            )
        else:
            self.oddities.value("a mark price", message.symbol)

    def _emit_ticker(self, ts: int, message: Ticker) -> None:
        if 0 < message.last < inf and isfinite(message.change_pct) and 0 <= message.quote_volume < inf:
            self._sink(
                Ticker24h(
                    ts=_dated(ts, message.event_ms),
                    symbol=message.symbol,
                    last=message.last,
                    change_pct=message.change_pct,
                    quote_volume=message.quote_volume,
                )
            )
        else:
            self.oddities.value("a 24 h ticker", message.symbol)

    def _emit_kline(self, message: Kline) -> None:
        body, ts = message.body, self._clock.now_ms()
        candle = Candle(body.open_ms, body.open, body.high, body.low, body.close, body.volume)
        if not sane(candle) or not 0 <= body.open_ms <= ts + MINUTE_MS or body.open_ms % MINUTE_MS:
            self.oddities.value("a candle", message.symbol)
            return
        self._sink(KlineUpdate(ts=ts, symbol=message.symbol, candle=candle, closed=body.closed))

    # --- books ---

    def _want_snapshot(self, symbol: str, feed: SymbolFeed, now: float) -> None:
        if now - feed.asked_at >= _SNAPSHOT_GAP_S and not feed.asked:
            feed.asked, feed.asked_at = True, now
            self._ask_snapshot(symbol)

    def book_snapshot(self, symbol: str, last_id: int, bids: list[Pair], asks: list[Pair], limit: int) -> None:
        """A fetched snapshot of ``symbol``."""
        feed = self._watched.get(symbol)
        if feed is None:
            return
        feed.asked = False
        if feed.successor is not None and feed.book.synced:
            newer = feed.successor.snapshot(last_id, bids, asks, limit) and feed.successor.last_id >= feed.book.last_id
            if newer:
                feed.successor.resyncs = feed.book.resyncs
                feed.book = feed.successor
            feed.successor = None
        elif not feed.book.synced:
            feed.successor = None
            feed.book.snapshot(last_id, bids, asks, limit)
        self._judge(symbol, feed, system_clock.monotonic())

    def book_failed(self, symbol: str) -> None:
        """A snapshot could not be fetched: the next diff or tick asks again after the pause."""
        feed = self._watched.get(symbol)
        if feed is not None:
            feed.asked, feed.successor = False, None

    def book_of(self, symbol: str) -> LocalBook | None:
        """The local book of a watched symbol."""
        feed = self._watched.get(symbol)
        return feed.book if feed is not None else None

    def _judge(self, symbol: str, feed: SymbolFeed, now: float) -> None:
        """Emit FeedLive or FeedStale when that changed."""
        if not feed.book.synced:
            reason = feed.book.reason
        elif not feed.heard:
            reason = "no change of its book was heard yet"
        elif now - feed.dated > self._stale_after:
            behind = feed.heard - feed.dated > self._stale_after / 2
            reason = f"{'what comes of it is old' if behind else 'silent'} for more than {self._stale_after:g} s"
        else:
            reason = ""
        if feed.live == (not reason):
            return
        feed.live = not reason
        ts = self._clock.now_ms()
        if reason:
            self._sink(FeedStale(ts=ts, symbol=symbol, reason=clean(reason, 160)))
        else:
            self._sink(FeedLive(ts=ts, symbol=symbol))
            feed.depth_at = 0.0

    def tick(self) -> None:
        """Called ten times a second: summaries of the books, staleness, books that need a newer snapshot."""
        now = system_clock.monotonic()
        ts = self._clock.now_ms()
        for symbol, feed in self._watched.items():
            self._judge(symbol, feed, now)
            if not feed.book.synced:
                if now - feed.since > _FIRST_SNAPSHOT_S:
                    self._want_snapshot(symbol, feed, now)
            elif feed.live and now >= feed.depth_at:
                feed.depth_at = now + DEPTH_EVERY_S
                self._emit_depth(symbol, feed, ts, now)

    def _emit_depth(self, symbol: str, feed: SymbolFeed, ts: int, now: float) -> None:
        depth = feed.book.depth(LADDER_LEVELS)
        if depth is None:
            return
        self._sink(
            BookDepth(
                ts=ts,
                symbol=symbol,
                bids=depth.bids,
                asks=depth.asks,
                bid_depth=depth.bid_notional,
                ask_depth=depth.ask_notional,
                bid_reach=depth.bid_reach,
                ask_reach=depth.ask_reach,
            )
        )
        reach = min(depth.bid_reach, depth.ask_reach)
        pause = _RENEW_GAP_S if reach < _RENEW_REACH else _WIDEN_GAP_S
        if reach < BAND and not feed.asked and now - feed.asked_at >= pause:
            feed.asked, feed.asked_at = True, now
            feed.successor = LocalBook()
            self._ask_snapshot(symbol)
