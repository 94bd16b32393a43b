"""Small makers that core tests share."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from tui_trader.config import default_settings
from tui_trader.core.candles import CandleBook
from tui_trader.core.events import Candle
from tui_trader.core.instruments import Instrument
from tui_trader.core.settings import Settings
from tui_trader.core.types import Tier
from tui_trader.core.universe import SymbolMetrics

NOW = 1_748_000_000_000 // 28_800_000 * 28_800_000 + 2 * 3_600_000
"""Two hours after a funding stamp."""

BTC = Instrument(symbol="BTCUSDT", base_asset="BTC", tick_size=Decimal("0.10"), min_notional=Decimal(50))


def settings(**sections: dict[str, object]) -> Settings:
    """The packaged settings with some values changed, by section."""
    base = default_settings()
    data = base.model_dump()
    for name, values in sections.items():
        data[name] |= values
    return Settings.model_validate(data)


def metrics(**changes: object) -> SymbolMetrics:
    """A liquid BTC, heard of just now."""
    base = {
        "symbol": "BTCUSDT",
        "base_asset": "BTC",
        "tier": Tier.MAIN,
        "quote_volume": 1e9,
        "last": 43_500.0,
        "bid": 43_497.5,
        "ask": 43_502.5,
        "bid_depth": 2.5e6,
        "ask_depth": 2.5e6,
        "bid_reach": 0.01,
        "ask_reach": 0.01,
        "depth_known": True,
        "mark": 43_500.0,
        "index": 43_500.0,
        "next_funding_ms": NOW + 6 * 3_600_000,
        "book_ms": NOW,
        "depth_ms": NOW,
        "mark_ms": NOW,
        "ticker_ms": NOW,
    }
    return SymbolMetrics(**(base | changes))


def minutes(closes: Sequence[float], *, spread: float = 1.0, volume: float = 10.0, end_ms: int = NOW) -> list[Candle]:
    """Closed 1 m candles ending at ``end_ms`` with these closes."""
    first = end_ms - len(closes) * 60_000
    return [
        Candle(first + i * 60_000, close, close + spread, close - spread, close, volume)
        for i, close in enumerate(closes)
    ]


def candle_book(candles: Sequence[Candle]) -> CandleBook:
    """A book of candles loaded with history."""
    book = CandleBook("BTCUSDT")
    book.load(candles)
    return book
