"""The real Binance venue over an in-memory network; market data come straight from the exchange's state as events."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from math import inf
from random import Random

from tui_trader import clock as system_clock
from tui_trader.core.events import (
    BookDepth,
    Candle,
    FeedLive,
    FeedStale,
    KlineUpdate,
    LinkDown,
    LinkUp,
    MarkPrice,
    Ticker24h,
)
from tui_trader.core.settings import Settings
from tui_trader.core.types import MINUTE_MS, Channel
from tui_trader.drill.network import MemoryTransport, Network
from tui_trader.exchange.contract import CandleRow
from tui_trader.exchange.symbol_state import SymbolState
from tui_trader.venues.base import Sink
from tui_trader.venues.binance.client import BinanceVenue

HISTORY = 480
"""Closed candles that a start is given: enough for the ATR."""
_LEVELS = 10
_VOLUME = 1e9
_DEPTH = 5e6
_TICKER_S = 5.0
_PACE_S = 0.9
_NOWHERE = "127.0.0.1:9"


class _Heard:
    """When a symbol's streams last spoke, and what was told of them."""

    __slots__ = ("at", "depth_at", "live", "mark_at", "minute", "ticker_at")

    def __init__(self) -> None:
        self.at = -inf
        self.mark_at = -inf
        self.depth_at = -inf
        self.ticker_at = -inf
        self.minute = 0
        self.live = False


class SimVenue(BinanceVenue):
    """Account, orders, failures, budget and clock are ``BinanceVenue``'s own code; the public streams are replaced."""

    def __init__(
        self, network: Network, states: dict[str, SymbolState], key: str, secret: str, settings: Settings, rng: Random
    ) -> None:
        self._network = network
        self._states = states
        self._watching: tuple[str, ...] = ()
        self._known: dict[str, _Heard] = {symbol: _Heard() for symbol in states}
        self._public_since = inf
        self._again_at = inf
        self._stale_after = settings.data.stale_after_s
        self._jitter = rng
        self.transport = MemoryTransport(network, key, secret, settings.venue.recv_window_ms)
        super().__init__(
            rest_url=f"http://{_NOWHERE}",
            ws_url=f"ws://{_NOWHERE}",
            key=key,
            secret=secret,
            settings=settings.venue,
            data=settings.data,
            rng=rng,
            transport=self.transport,
            dial=network.dial,
        )
        self.transport.clock = self.clock
        self.transport.budget = self.budget

    async def open(self, sink: Sink) -> None:
        """See ``Venue.open``."""
        self._sink = sink
        await self._rest.open()
        await self._reach.sync()
        await self._load_instruments()
        self._spawn("private stream", self._private.run())
        self._spawn("clock", self._reach.keep())
        self._spawn("listen key", self._keep_listen_key())
        self._spawn("rules", self._keep_rules())
        await asyncio.sleep(self._network.delay_s())
        self._streams_up()

    async def watch(self, symbols: Sequence[str]) -> None:
        """See ``Venue.watch``."""
        wanted = tuple(symbol for symbol in symbols if symbol in self._states)
        for symbol in wanted:
            if symbol not in self._watching:
                self._known[symbol].live = False
                self._emit(FeedStale(ts=self.clock.now_ms(), symbol=symbol, reason="waiting for the first book"))
        self._watching = wanted

    async def candles(self, symbol: str, count: int, timeframe: str = "1m") -> tuple[Candle, ...]:
        """See ``Venue.candles``; of other timeframes this market has no past."""
        await asyncio.sleep(2 * self._network.delay_s())
        if timeframe != "1m":
            return ()
        state = self._states[symbol]
        return tuple(_candle(state, index) for index in range(-min(count, HISTORY, len(state.series.minutes)), 0))

    def heard_ago(self, symbol: str) -> float:
        """Seconds since this process last heard a symbol's book."""
        return system_clock.monotonic() - self._known[symbol].at

    # --- market data ---

    def _streams_up(self) -> None:
        self._public_since, self._again_at = system_clock.monotonic(), inf
        ts = self.clock.now_ms()
        for channel in (Channel.PUBLIC, Channel.MARKET):
            self._emit(LinkUp(ts=ts, channel=channel, latency_ms=self._network.latency_ms))

    def _streams_down(self, reason: str) -> None:
        self._public_since = inf
        self._again_at = system_clock.monotonic() + 0.3 + self._jitter.random() * 2
        ts = self.clock.now_ms()
        for channel in (Channel.PUBLIC, Channel.MARKET):
            self._emit(LinkDown(ts=ts, channel=channel, reason=reason))
        for symbol, heard in self._known.items():
            self._judge(symbol, heard, f"the public stream broke: {reason}")

    def market(self) -> None:
        """Tell what the market does, as the public streams would; called at each step of the world."""
        now = system_clock.monotonic()
        if self._public_since == inf:
            if now < self._again_at or self._network.faults.is_out(self._network.now_ms):
                return
            self._streams_up()
        frames_lost = self._frame_lost()
        ts = self.clock.now_ms()
        for symbol, state in self._states.items():
            heard = self._known[symbol]
            if not frames_lost:
                self._tell(symbol, state, heard, now, ts)
            if heard.live and now - heard.at > self._stale_after:
                self._judge(symbol, heard, f"silent for more than {self._stale_after:g} s")

    def _frame_lost(self) -> bool:
        faults = self._network.faults
        if not faults.bends_frames:
            return False
        verdict = faults.frame("market", "!markPrice@arr", "{}", self._network.now_ms)
        if verdict.disconnect or verdict.deaf:
            self._streams_down("connection reset")
        return not verdict.frames or verdict.disconnect

    def _tell(self, symbol: str, state: SymbolState, heard: _Heard, now: float, ts: int) -> None:
        if now - heard.mark_at >= _PACE_S:
            heard.mark_at = now
            self._emit(
                MarkPrice(
                    ts=ts,
                    symbol=symbol,
                    mark=state.mark,
                    index=state.index,
                    funding_rate=state.market.funding_rate(ts),
                    next_funding_ms=state.next_funding_ms,
                )
            )
        if now - heard.ticker_at >= _TICKER_S:
            heard.ticker_at = now
            self._emit(Ticker24h(ts=ts, symbol=symbol, last=state.mark, change_pct=0.0, quote_volume=_VOLUME))
        if symbol in self._watching:
            self._tell_book(symbol, state, heard, now, ts)
            self._tell_candle(symbol, state, heard, ts)

    def _tell_book(self, symbol: str, state: SymbolState, heard: _Heard, now: float, ts: int) -> None:
        if now - heard.depth_at < _PACE_S:
            return
        heard.depth_at = now
        fault = self._network.faults.book(symbol, self._network.now_ms) if self._network.faults.bends_frames else None
        if fault is not None:
            if fault.value != "stale_book":
                self._judge(symbol, heard, fault.value.replace("_", " "))
            return
        heard.at = now
        if not heard.live:
            heard.live = True
            self._emit(FeedLive(ts=ts, symbol=symbol))
        tick, step = state.prices.unit_float, state.lots.unit_float
        bids = tuple((p * tick, q * step) for p, q in list(state.book.bids.levels())[:_LEVELS])
        asks = tuple((p * tick, q * step) for p, q in list(state.book.asks.levels())[:_LEVELS])
        if bids and asks:
            self._emit(
                BookDepth(
                    ts=ts,
                    symbol=symbol,
                    bids=bids,
                    asks=asks,
                    bid_depth=_DEPTH,
                    ask_depth=_DEPTH,
                    bid_reach=0.01,
                    ask_reach=0.01,
                )
            )

    def _tell_candle(self, symbol: str, state: SymbolState, heard: _Heard, ts: int) -> None:
        minute = state.series.running.open_ms
        if minute == heard.minute:
            return
        first = not heard.minute
        heard.minute = minute
        if state.series.minutes and not first:
            self._emit(KlineUpdate(ts=ts, symbol=symbol, candle=_candle(state, -1), closed=True))

    def _judge(self, symbol: str, heard: _Heard, reason: str) -> None:
        if heard.live:
            heard.live = False
            self._emit(FeedStale(ts=self.clock.now_ms(), symbol=symbol, reason=reason))


def _candle(state: SymbolState, index: int) -> Candle:
    row, tick, step = state.series.minutes[index], state.prices.unit_float, state.lots.unit_float
    return Candle(row.open_ms, row.open * tick, row.high * tick, row.low * tick, row.close * tick, row.volume * step)


def bars(price: float, atr: float, end_ms: int, count: int = HISTORY) -> list[CandleRow]:
    """A history before ``end_ms`` whose ATR is ``atr``: each minute spans price ± atr/2."""
    first = end_ms // MINUTE_MS * MINUTE_MS - count * MINUTE_MS
    low, high = price - atr / 2, price + atr / 2
    return [
        (first + i * MINUTE_MS, price, high, low, price, 10.0, 10 * price, 10, 5.0, 5 * price) for i in range(count)
    ]
