"""What strategies say: signals with every condition's value, and the protocol that a strategy fulfils."""

from __future__ import annotations

from decimal import Decimal
from typing import Protocol

import msgspec

from tui_trader.core.candles import CandleBook
from tui_trader.core.events import Candle
from tui_trader.core.instruments import Instrument
from tui_trader.core.types import Side


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One condition of a setup: its value against its limit. ``score`` 0–1 counts with ``weight``."""

    name: str
    value: float
    limit: float
    text: str
    met: bool
    score: float
    weight: float = 1.0


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """What a strategy concludes at a bar's close. ``side`` None means hold; prices are suggestions in quote."""

    strategy: str
    symbol: str
    side: Side | None
    conviction: float
    conditions: tuple[Condition, ...]
    bar_close_ms: int
    stop: Decimal | None = None
    target: Decimal | None = None
    note: str = ""


class MarketState(msgspec.Struct, frozen=True, kw_only=True):
    """The read-only view of one symbol that a strategy gets: closed candles only, and the instrument."""

    symbol: str
    candles: CandleBook
    instrument: Instrument | None


class Strategy(Protocol):
    """Closed candles in, signals out. A strategy never places orders and keeps no clock."""

    name: str
    timeframes: tuple[str, ...]
    warmup_bars: int

    def on_bar(self, state: MarketState, timeframe: str, bar: Candle) -> Signal | None:
        """Called at the close of a bar of one of its timeframes; None means nothing to evaluate."""
        ...


def confluence(conditions: tuple[Condition, ...]) -> float:
    """Weighted mean of the conditions' scores, 0–1; 0 without conditions (SPEC §7)."""
    weight = sum(c.weight for c in conditions)
    return sum(c.score * c.weight for c in conditions) / weight if weight > 0 else 0.0
