"""Closed candles of a contract over REST (GET /fapi/v1/klines)."""

from __future__ import annotations

from typing import Any

from tui_trader.clock import VenueClock
from tui_trader.core.candles import TIMEFRAMES
from tui_trader.core.events import Candle
from tui_trader.venues.binance.answers import candle
from tui_trader.venues.binance.rest import Rest

_SETTLED_MS = 1_000
_APART_MS = 500
"""So long after its end, and so far as the clocks may be apart, a candle may still be told as it was before its end;
taken for closed it would keep the true one out."""
PAGE = 1_000
"""Most candles of one answer that are worth their weight."""


def weight(limit: int) -> int:
    """Request weight of a page (Binance USDⓈ-M, 2026)."""
    return 1 if limit < 100 else 2 if limit < 500 else 5


async def fetch_candles(rest: Rest, clock: VenueClock, symbol: str, count: int, timeframe: str) -> tuple[Candle, ...]:
    """The last ``count`` closed candles, oldest first. Pages of 1000, newest first. Raises ``VenueError``."""
    length = TIMEFRAMES[timeframe]
    found: dict[int, Candle] = {}
    settled = clock.now_ms() - _SETTLED_MS - int(_APART_MS * clock.rate)
    end = settled // length * length - 1
    while len(found) < count:
        limit = min(PAGE, count - len(found))
        params = {"symbol": symbol, "interval": timeframe, "endTime": end, "limit": limit}
        rows: list[list[Any]] = await rest.read(list[list[Any]], "klines", params, weight=weight(limit))
        page = [candle(row) for row in rows]
        fresh = {row.open_ms: row for row in page if row.open_ms + length - 1 <= end}
        if not fresh:
            break
        found.update(fresh)
        end = min(fresh) - 1
    return tuple(found[open_ms] for open_ms in sorted(found))[-count:]
