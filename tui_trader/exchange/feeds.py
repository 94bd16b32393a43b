"""Market streams: what each one sends and how often, in real time, however fast the venue's clock runs.

A feed exists while somebody listens to it. `collect` is told what changed; `frames` renders the payloads that are due.
"""

import re
from collections.abc import Callable, Iterable

from tui_trader.exchange import market_api
from tui_trader.exchange.candles import INTERVALS, MINUTE_MS, Candle, bucket
from tui_trader.exchange.engine import ExchangeEngine
from tui_trader.exchange.symbol_state import AggTrade, SymbolState
from tui_trader.exchange.wire import dumps, fixed

TICK_S = 0.05
"""Real seconds between two looks at the market."""
_MAX_TRADES = 20
"""Aggregate trades of a symbol in one frame interval; more are merged into their neighbours of the same side."""
_SHARD = 12
"""Symbols in one array frame: the venue sends its arrays in shards."""
_SYMBOL_STREAM = re.compile(r"^([a-z0-9_]{1,30})@([a-zA-Z0-9_@]{1,40})\Z")
_DEPTH = re.compile(r"^depth(5|10|20)?(?:@(0|100|250|500)ms)?\Z")

PUBLIC, MARKET = "public", "market"


class Feed:
    """One stream. `group` says on which route it is heard; `period_s` is its real-time cadence."""

    group = MARKET
    period_s = 1.0

    def __init__(self, engine: ExchangeEngine) -> None:
        self.engine = engine
        self.due = 0.0

    def collect_levels(self, changed: set[tuple[bool, int]]) -> None:
        """Take note of changed levels."""

    def collect_trades(self, rows: list[AggTrade]) -> None:
        """Take note of new trades."""

    def frames(self) -> list[str]:
        """Return the payloads due now, as JSON text."""
        raise NotImplementedError

    def closed(self, minute: Candle) -> str | None:
        """Return a payload to send at once when a minute closes."""
        return None


class SymbolFeed(Feed):
    """A stream of one symbol."""

    def __init__(self, engine: ExchangeEngine, state: SymbolState) -> None:
        super().__init__(engine)
        self.state = state
        self.symbol = state.spec.symbol


def _levels(state: SymbolState, changed: Iterable[tuple[bool, int]]) -> tuple[str, str]:
    """Return the changed levels of both sides as JSON rows, best first."""
    sides: tuple[list[int], list[int]] = ([], [])
    for is_bid, price in changed:
        sides[0 if is_bid else 1].append(price)
    sides[0].sort(reverse=True)
    sides[1].sort()
    text, lots = state.prices.text, state.lots.text
    rows = [
        ",".join([f'["{text(price)}","{lots(side.quantity(price))}"]' for price in prices])
        for prices, side in zip(sides, (state.book.bids, state.book.asks), strict=True)
    ]
    return rows[0], rows[1]


class DepthFeed(SymbolFeed):
    """Depth diffs: absolute quantities of changed levels with the U, u, pu chain."""

    group = PUBLIC

    def __init__(self, engine: ExchangeEngine, state: SymbolState, period_ms: int) -> None:
        super().__init__(engine, state)
        self.period_s = period_ms / 1000
        self._changed: set[tuple[bool, int]] = set()
        self._last = state.book.update_id

    def collect_levels(self, changed: set[tuple[bool, int]]) -> None:
        self._changed |= changed

    def frames(self) -> list[str]:
        if not self._changed:
            return []
        changed, self._changed = self._changed, set()
        bids, asks = _levels(self.state, changed)
        now, first, last = self.engine.told_ms, self._last + 1, self.state.book.update_id
        previous, self._last = self._last, last
        return [
            f'{{"e":"depthUpdate","E":{now},"T":{now},"s":"{self.symbol}","ps":"{self.symbol}","U":{first},'
            f'"u":{last},"pu":{previous},"b":[{bids}],"a":[{asks}],"st":1}}'
        ]


class PartialDepthFeed(SymbolFeed):
    """The best N levels, sent when anything changed."""

    group = PUBLIC

    def __init__(self, engine: ExchangeEngine, state: SymbolState, levels: int, period_ms: int) -> None:
        super().__init__(engine, state)
        self.period_s = period_ms / 1000
        self._levels = levels
        self._last = -1

    def frames(self) -> list[str]:
        last = self.state.book.update_id
        if last == self._last:
            return []
        previous, self._last = max(self._last, 0), last
        bids = dumps(market_api.ladder(self.state, True, self._levels))
        asks = dumps(market_api.ladder(self.state, False, self._levels))
        now = self.engine.told_ms
        return [
            f'{{"e":"depthUpdate","E":{now},"T":{now},"s":"{self.symbol}","ps":"{self.symbol}","U":{previous + 1},'
            f'"u":{last},"pu":{previous},"b":{bids},"a":{asks},"st":1}}'
        ]


class BookTickerFeed(Feed):
    """Best bid and ask with quantities, on change."""

    group = PUBLIC
    period_s = TICK_S

    def __init__(self, engine: ExchangeEngine, states: Iterable[SymbolState]) -> None:
        super().__init__(engine)
        self._states = list(states)
        self._sent: dict[str, tuple[str, str, str, str]] = {}

    def frames(self) -> list[str]:
        now = self.engine.told_ms
        result: list[str] = []
        for state in self._states:
            symbol = state.spec.symbol
            best = market_api.touch(state)
            if self._sent.get(symbol) == best:
                continue
            self._sent[symbol] = best
            bid, bid_lots, ask, ask_lots = best
            result.append(
                f'{{"e":"bookTicker","u":{state.book.update_id},"s":"{symbol}","ps":"{symbol}","b":"{bid}",'
                f'"B":"{bid_lots}","a":"{ask}","A":"{ask_lots}","T":{now},"E":{now},"st":1}}'
            )
        return result


class TradeFeed(SymbolFeed):
    """Aggregate trades, or the same ones as plain trades."""

    period_s = 0.1

    def __init__(self, engine: ExchangeEngine, state: SymbolState, aggregated: bool) -> None:
        super().__init__(engine, state)
        self.group = MARKET if aggregated else PUBLIC
        self._aggregated = aggregated
        self._rows: list[AggTrade] = []

    def collect_trades(self, rows: list[AggTrade]) -> None:
        self._rows.extend(rows)

    def frames(self) -> list[str]:
        rows, self._rows = self._rows, []
        render = self._aggregate if self._aggregated else self._plain
        return [render(row) for row in merge_trades(rows, _MAX_TRADES)]

    def _aggregate(self, row: AggTrade) -> str:
        price, lots = self.state.prices.text(row.price), self.state.lots.text(row.lots)
        return (
            f'{{"e":"aggTrade","E":{self.engine.told_ms},"a":{row.id},"s":"{self.symbol}","p":"{price}","q":"{lots}",'
            f'"nq":"{lots}","f":{row.first},"l":{row.last},"T":{row.time_ms},'
            f'"m":{"false" if row.is_buy else "true"},"st":1}}'
        )

    def _plain(self, row: AggTrade) -> str:
        price, lots = self.state.prices.text(row.price), self.state.lots.text(row.lots)
        return (
            f'{{"e":"trade","E":{self.engine.told_ms},"T":{row.time_ms},"s":"{self.symbol}","t":{row.last},'
            f'"p":"{price}","q":"{lots}","X":"MARKET","m":{"false" if row.is_buy else "true"},"st":1}}'
        )


def merge_trades(rows: list[AggTrade], limit: int) -> list[AggTrade]:
    """Merge neighbours of the same side when there are more than `limit`; volume and id ranges are kept.

    A merged row carries its last price. Only a fast clock makes so many.
    """
    if len(rows) <= limit:
        return rows
    merged: list[AggTrade] = []
    for row in rows:
        last = merged[-1] if merged else None
        if last is None or last.is_buy != row.is_buy:
            copy = AggTrade(row.id, row.price, row.lots, row.first, row.time_ms, row.is_buy)
            copy.last = row.last
            merged.append(copy)
        else:
            last.id, last.price, last.time_ms, last.last = row.id, row.price, row.time_ms, row.last
            last.lots += row.lots
    return merged


class KlineFeed(SymbolFeed):
    """The running candle of an interval, and each closed one exactly once."""

    period_s = 0.25

    def __init__(self, engine: ExchangeEngine, state: SymbolState, interval: str) -> None:
        super().__init__(engine, state)
        self._interval = interval
        self._sent: tuple[int, int] = (-1, -1)

    def frames(self) -> list[str]:
        candle = self.state.series.current(self._interval)
        mark = (candle.open_ms, candle.trades)
        if mark == self._sent:
            return []
        self._sent = mark
        return [self._render(candle, closed=False)]

    def closed(self, minute: Candle) -> str | None:
        opened = bucket(minute.open_ms, self._interval)
        if bucket(minute.open_ms + MINUTE_MS, self._interval) == opened:
            return None
        candle = self.state.series.closed_at(self._interval, opened)
        return None if candle is None else self._render(candle, closed=True)

    def _render(self, row: Candle, closed: bool) -> str:
        state, price, lots = self.state, self.state.prices.text, self.state.lots.text
        end = row.open_ms + INTERVALS[self._interval] - 1
        return (
            f'{{"e":"kline","E":{self.engine.told_ms},"s":"{self.symbol}","k":{{"t":{row.open_ms},"T":{end},'
            f'"s":"{self.symbol}","i":"{self._interval}","f":{row.first_trade},"L":{row.last_trade},'
            f'"o":"{price(row.open)}","c":"{price(row.close)}","h":"{price(row.high)}","l":"{price(row.low)}",'
            f'"v":"{lots(row.volume)}","n":{row.trades},"x":{"true" if closed else "false"},'
            f'"q":"{state.turnover.text(row.turnover)}","V":"{lots(row.buy_volume)}",'
            f'"Q":"{state.turnover.text(row.buy_turnover)}","B":"0"}}}}'
        )


class SnapshotFeed(Feed):
    """A payload per symbol each second: mark price, 24 h ticker or mini ticker; alone or as arrays in shards."""

    def __init__(
        self,
        engine: ExchangeEngine,
        states: Iterable[SymbolState],
        render: Callable[[SymbolState, int], str],
        as_array: bool,
    ) -> None:
        super().__init__(engine)
        self._states = list(states)
        self._render = render
        self._as_array = as_array

    def frames(self) -> list[str]:
        now = self.engine.told_ms
        rows = [self._render(state, now) for state in self._states]
        if not self._as_array:
            return rows
        return ["[" + ",".join(rows[at : at + _SHARD]) + "]" for at in range(0, len(rows), _SHARD)]


def mark_price_payload(state: SymbolState, now_ms: int) -> str:
    """Return a markPriceUpdate."""
    mark = fixed(state.mark)
    rate = fixed(state.market.funding_rate(now_ms))
    return (
        f'{{"e":"markPriceUpdate","E":{now_ms},"s":"{state.spec.symbol}","p":"{mark}","ap":"{mark}",'
        f'"P":"{fixed(state.index)}","i":"{fixed(state.index)}","r":"{rate}","T":{state.next_funding_ms},"st":1}}'
    )


def ticker_payload(state: SymbolState, now_ms: int) -> str:
    """Return a 24hrTicker."""
    row = market_api.day_row(state, now_ms)
    return (
        f'{{"e":"24hrTicker","E":{now_ms},"s":"{row["symbol"]}","p":"{row["priceChange"]}",'
        f'"P":"{row["priceChangePercent"]}","w":"{row["weightedAvgPrice"]}","c":"{row["lastPrice"]}",'
        f'"Q":"{row["lastQty"]}","o":"{row["openPrice"]}","h":"{row["highPrice"]}","l":"{row["lowPrice"]}",'
        f'"v":"{row["volume"]}","q":"{row["quoteVolume"]}","O":{row["openTime"]},"C":{row["closeTime"]},'
        f'"F":{row["firstId"]},"L":{row["lastId"]},"n":{row["count"]},"st":1}}'
    )


def mini_ticker_payload(state: SymbolState, now_ms: int) -> str:
    """Return a 24hrMiniTicker."""
    row = market_api.day_row(state, now_ms)
    symbol = row["symbol"]
    return (
        f'{{"e":"24hrMiniTicker","E":{now_ms},"s":"{symbol}","ps":"{symbol}","c":"{row["lastPrice"]}",'
        f'"o":"{row["openPrice"]}","h":"{row["highPrice"]}","l":"{row["lowPrice"]}","v":"{row["volume"]}",'
        f'"q":"{row["quoteVolume"]}","st":1}}'
    )


_SNAPSHOTS: dict[str, Callable[[SymbolState, int], str]] = {
    "markPrice": mark_price_payload,
    "markPrice@1s": mark_price_payload,
    "ticker": ticker_payload,
    "miniTicker": mini_ticker_payload,
}
_ARRAYS = {
    "!markPrice@arr": mark_price_payload,
    "!markPrice@arr@1s": mark_price_payload,
    "!ticker@arr": ticker_payload,
    "!miniTicker@arr": mini_ticker_payload,
}


def make_feed(engine: ExchangeEngine, name: str) -> Feed | None:
    """Return the feed of a stream name, or None when there is no such stream (the venue stays silent then)."""
    states = engine.states
    if name in _ARRAYS:
        return SnapshotFeed(engine, states.values(), _ARRAYS[name], as_array=True)
    if name == "!bookTicker":
        return BookTickerFeed(engine, states.values())
    match = _SYMBOL_STREAM.match(name)
    state = states.get(match[1].upper()) if match else None
    if match is None or state is None:
        return None
    return _symbol_feed(engine, state, match[2])


def _symbol_feed(engine: ExchangeEngine, state: SymbolState, kind: str) -> Feed | None:
    if kind in _SNAPSHOTS:
        return SnapshotFeed(engine, [state], _SNAPSHOTS[kind], as_array=False)
    if kind == "bookTicker":
        return BookTickerFeed(engine, [state])
    if kind in {"aggTrade", "trade"}:
        return TradeFeed(engine, state, aggregated=kind == "aggTrade")
    if kind.startswith("kline_") and kind[6:] in INTERVALS:
        return KlineFeed(engine, state, kind[6:])
    depth = _DEPTH.match(kind)
    if depth is None:
        return None
    period = max(int(depth[2] or 250), int(TICK_S * 1000))
    if depth[1]:
        return PartialDepthFeed(engine, state, int(depth[1]), period)
    return DepthFeed(engine, state, period)
