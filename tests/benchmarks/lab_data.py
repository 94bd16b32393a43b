"""Candles for the laboratory's benchmarks: a recording, repeated to any length without a jump in price."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from tests.research.equality import load
from tui_trader.core.bars import Bars
from tui_trader.core.settings import Settings
from tui_trader.core.types import MINUTE_MS
from tui_trader.research.history import FIELDS, History, make_history, packaged


def recording(folder: Path | None, symbol: str) -> History:
    """30 days from ``folder`` (``SYMBOL.npz``), or what ships with the product."""
    return packaged(symbol) if folder is None else load(folder / f"{symbol}.npz")


def longer(found: History, count: int) -> History:
    """``count`` bars: the recording forwards and mirrored in turn, so that its end meets its beginning."""
    bars = found.bars
    turns = -(-count // len(bars))
    columns = {}
    for name in FIELDS:
        # Backwards in time a bar's open is its close.
        back = {"open": "close", "close": "open"}.get(name, name)
        parts = [getattr(bars, back)[::-1] if turn % 2 else getattr(bars, name) for turn in range(turns)]
        columns[name] = np.concatenate(parts)[:count]
    open_ms = bars.open_ms[0] + MINUTE_MS * np.arange(count, dtype=np.int64)
    stamps = np.arange(open_ms[0] // 28_800_000 + 1, open_ms[-1] // 28_800_000 + 1) * 28_800_000
    rates = np.resize(found.funding_rate, len(stamps)) if len(found.funding_rate) else np.zeros(len(stamps))
    return make_history(
        found.symbol, Bars(timeframe="1m", open_ms=open_ms, **columns), stamps, rates, "a recording repeated"
    )


def save(found: History, path: Path) -> None:
    """As a file that others can read too."""
    np.savez(path, open_time_ms=found.bars.open_ms, **{name: getattr(found.bars, name) for name in FIELDS})


def open_gate(settings: Settings) -> Settings:
    """The settings with funding windows and limits out of the way, so that as many trades come about as elsewhere."""
    funding = settings.funding.model_copy(update={"pre_window_min": 0.0, "post_window_min": 0.0})
    limits = settings.limits.model_copy(update={"daily_loss_frac": 1.0, "total_loss_frac": 1.0})
    strategies = settings.strategies.model_copy(update={"cooldown_min": 0.0})
    return settings.model_copy(update={"funding": funding, "limits": limits, "strategies": strategies})


class Figure(msgspec.Struct):
    """Times of one row, one for each round; ``units`` are bars (of all combinations) a round."""

    name: str
    units: int
    seconds: list[float] = msgspec.field(default_factory=list)
    trades: int = 0

    @property
    def rate(self) -> float:
        """Units a second, by the median round."""
        return self.units / float(np.median(self.seconds))
