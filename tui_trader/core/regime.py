"""Bull, bear or sideways: strength and direction of a timeframe's trend, from closed bars alone."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from tui_trader.core.bars import Window
from tui_trader.core.candles import CandleBook, Indicator

if TYPE_CHECKING:
    from numpy.typing import NDArray

ADX_PERIOD = 14
ADX_TREND = 20.0
"""Wilder's own rule of thumb: from an ADX of 20 to 25 on there is a trend."""
EMA_PERIOD = 50


class Regime(StrEnum):
    """What a market does on one timeframe."""

    BULL = "bull"
    BEAR = "bear"
    SIDEWAYS = "sideways"


CODES: dict[Regime, int] = {Regime.BULL: 1, Regime.SIDEWAYS: 0, Regime.BEAR: -1}
UNKNOWN = -128
"""Code of a bar before the indicators are warm."""


def regime_at(book: CandleBook, timeframe: str) -> Regime | None:
    """The regime as of the newest closed bar; None before 50 bars."""
    bars = book.closed(timeframe, 1)
    readings = [
        book.values(timeframe, kind, period, 1)
        for kind, period in (
            (Indicator.ADX, ADX_PERIOD),
            (Indicator.DIRECTION, ADX_PERIOD),
            (Indicator.EMA, EMA_PERIOD),
        )
    ]
    if not bars or not all(readings):
        return None
    strength, direction, mean = (values[0] for values in readings)
    if math.isnan(strength + direction + mean):
        return None
    if strength >= ADX_TREND and direction > 0 and bars[-1].close > mean:
        return Regime.BULL
    if strength >= ADX_TREND and direction < 0 and bars[-1].close < mean:
        return Regime.BEAR
    return Regime.SIDEWAYS


def regimes(window: Window) -> NDArray[np.int8]:
    """The regime as of each bar's close as its code, shape (n,), ``UNKNOWN`` before 50 bars."""
    close = window.bars.close
    strength = window.indicator(Indicator.ADX, ADX_PERIOD)
    direction = window.indicator(Indicator.DIRECTION, ADX_PERIOD)
    mean = window.indicator(Indicator.EMA, EMA_PERIOD)
    trend = strength >= ADX_TREND
    codes = np.where(trend & (direction > 0) & (close > mean), 1, 0)
    codes = np.where(trend & (direction < 0) & (close < mean), -1, codes)
    return np.where(np.isnan(strength + direction + mean), UNKNOWN, codes).astype(np.int8)
