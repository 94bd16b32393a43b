"""Small makers that the laboratory's tests share."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from tests.core.build import settings as default_settings
from tui_trader.core.bars import Bars, Window
from tui_trader.core.instruments import Instrument
from tui_trader.core.parameters import Parameter, Values
from tui_trader.core.settings import Settings
from tui_trader.research.backtest import Backtest, BacktestResult
from tui_trader.research.history import History, make_history
from tui_trader.strategies.base import BarStrategy, Setups, graded
from tui_trader.venues.paper import FREE, Costs

START = 1_747_440_000_000
"""2025-05-17 00:00 UTC."""
WARM = 240
"""Flat minutes before anything happens: the ladder's ATR (14 bars of 15 m) needs 210."""
BTC = Instrument(symbol="BTCUSDT", base_asset="BTC", tick_size=Decimal("0.10"), min_notional=Decimal(50))
NO_COSTS = FREE

Row = tuple[float, float, float, float]


def history(rows: Sequence[Row], *, funding: Sequence[tuple[int, float]] = (), warm: int = WARM) -> History:
    """``warm`` minutes around 100,000 with an ATR of 1,000, then ``rows`` of (open, high, low, close)."""
    quiet: list[Row] = [(100_000.0, 100_500.0, 99_500.0, 100_000.0)] * warm
    table = np.array([*quiet, *rows], dtype=np.float64)
    count = len(table)
    bars = Bars(
        timeframe="1m",
        open_ms=START + 60_000 * np.arange(count, dtype=np.int64),
        open=table[:, 0].copy(),
        high=table[:, 1].copy(),
        low=table[:, 2].copy(),
        close=table[:, 3].copy(),
        volume=np.full(count, 1_000.0),
    )
    stamps = np.array([ms for ms, _ in funding], dtype=np.int64)
    rates = np.array([rate for _, rate in funding], dtype=np.float64)
    return make_history("BTCUSDT", bars, stamps, rates, "a test")


class Once(BarStrategy):
    """Enters at the close of the bar number ``at``; ``side`` 1 or −1, ``stop`` and ``target`` as given (0: none)."""

    name = "once"
    timeframe = "1m"
    parameters: tuple[Parameter, ...] = (
        Parameter(name="at", default=WARM - 1, low=0, high=1e6, step=1, whole=True, text="bar of the signal"),
        Parameter(name="side", default=1, low=-1, high=1, step=2, text="direction"),
        Parameter(name="stop", default=0, low=0, high=1e9, step=1, text="stop"),
        Parameter(name="target", default=0, low=0, high=1e9, step=1, text="target"),
    )

    def history(self, values: Values) -> tuple[int, int]:
        return 1, 0

    def setups(self, window: Window, values: Values) -> Setups:
        bars = window.bars
        due = bars.open_ms == START + 60_000 * int(values["at"])
        ones = np.ones(len(bars))
        return Setups(
            direction=np.where(due, int(values["side"]), 0).astype(np.int8),
            tests=(graded("always", ones, 0.5, 1.0, str),),
            stop=np.full(len(bars), values["stop"] or np.nan),
            target=np.full(len(bars), values["target"] or np.nan),
        )


def settings(**sections: dict[str, object]) -> Settings:
    """The packaged settings, funding windows off, with some values changed."""
    base = {"funding": {"pre_window_min": 0.0, "post_window_min": 0.0}}
    return default_settings(**{**base, **sections})


def backtest(
    found: History,
    *,
    values: dict[str, float] | None = None,
    costs: Costs = NO_COSTS,
    chosen: Settings | None = None,
    wallet: str = "10000",
    step_all: bool = False,
) -> BacktestResult:
    """Run ``Once`` over a history."""
    strategy = Once()
    defaults = {p.name: p.default for p in strategy.parameters}
    return Backtest(
        found,
        strategy,
        chosen or settings(),
        BTC,
        wallet=Decimal(wallet),
        costs=costs,
        values={**defaults, **(values or {})},
        step_all=step_all,
    ).run()
