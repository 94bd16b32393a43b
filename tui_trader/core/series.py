"""Indicators over whole arrays: one value for each bar, as of its close, NaN before there are enough bars.

They agree with the incremental forms of ``core.indicators`` to 1e-9. All arrays are float64 of shape (n,).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

_SMALLEST_POWER = 1e-250


def _check(period: int) -> None:
    if period < 1:
        raise ValueError(f"the period {period} must be at least 1")


def ranks(stamps: Ints, times: Ints) -> Ints:
    """For each of the ascending ``times`` how many of the ascending ``stamps`` are not after it."""
    firsts = np.searchsorted(times, stamps)
    return np.repeat(np.arange(len(stamps) + 1), np.diff(firsts, prepend=0, append=len(times)))


def recursion(values: Floats, start: int, first: float, weight: float) -> Floats:
    """x[start] = ``first``, then x = x + ``weight``·(value − x); NaN before ``start``. ``weight`` in (0, 1].

    Solved in closed form per block; blocks are so short that the powers of 1 − weight stay within a float.
    """
    result: Floats = np.full(len(values), np.nan)
    if start >= len(values):
        return result
    result[start] = first
    if weight >= 1.0:
        result[start + 1 :] = values[start + 1 :]
        return result
    keep = 1.0 - weight
    block = max(1, min(256, int(np.log(_SMALLEST_POWER) / np.log(keep))))
    powers = keep ** np.arange(1, block + 1, dtype=np.float64)
    value = first
    for begin in range(start + 1, len(values), block):
        part = values[begin : begin + block]
        power = powers[: len(part)]
        result[begin : begin + len(part)] = power * (value + np.cumsum(weight * part / power))
        value = float(result[begin + len(part) - 1])
    return result


def sma(values: Floats, period: int) -> Floats:
    """Mean of the last ``period`` values; the same to the last bit in whatever array the values stand.

    Sums of 1, 2, 4 … values make up the whole, so every mean is added up in the same order, from its own values alone.
    """
    _check(period)
    result: Floats = np.full(len(values), np.nan)
    count = len(values) - period + 1
    if count <= 0:
        return result
    total: Floats = np.zeros(count)
    sums, size, offset = values, 1, 0
    while True:
        if period & size:
            total += sums[offset : offset + count]
            offset += size
        if offset == period:
            break
        sums = sums[:-size] + sums[size:]
        size *= 2
    result[period - 1 :] = total / period
    return result


def ema(values: Floats, period: int) -> Floats:
    """Exponential mean with weight 2 / (period + 1), seeded with the mean of the first ``period`` values."""
    _check(period)
    if len(values) < period:
        return np.full(len(values), np.nan)
    return recursion(values, period - 1, float(values[:period].mean()), 2.0 / (period + 1))


def true_ranges(high: Floats, low: Floats, close: Floats) -> Floats:
    """True range of each bar; the first is high − low."""
    ranges = np.asarray(high - low, dtype=np.float64)
    if len(ranges) > 1:
        before = close[:-1]
        ranges[1:] = np.maximum(ranges[1:], np.maximum(np.abs(high[1:] - before), np.abs(low[1:] - before)))
    return ranges


def wilder_atr(high: Floats, low: Floats, close: Floats, period: int) -> Floats:
    """Wilder's average true range (see ``indicators.WilderAtr``)."""
    _check(period)
    ranges = true_ranges(high, low, close)
    if len(ranges) < period:
        return np.full(len(ranges), np.nan)
    return recursion(ranges, period - 1, float(ranges[:period].mean()), 1.0 / period)


def rsi(close: Floats, period: int) -> Floats:
    """Wilder's relative strength index, 0–100; 50 where nothing moved (see ``indicators.WilderRsi``)."""
    _check(period)
    if len(close) <= period:
        return np.full(len(close), np.nan)
    change = np.diff(close, prepend=close[0])
    gain, loss = np.maximum(change, 0.0), np.maximum(-change, 0.0)
    up = recursion(gain, period, float(gain[1 : period + 1].mean()), 1.0 / period)
    down = recursion(loss, period, float(loss[1 : period + 1].mean()), 1.0 / period)
    total = up + down
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Floats = np.where(total > 0, 100.0 * up / total, np.where(np.isnan(total), np.nan, 50.0))
    return result


def adx(high: Floats, low: Floats, close: Floats, period: int) -> tuple[Floats, Floats, Floats]:
    """(ADX, +DI, −DI), each 0–100 (see ``indicators.WilderAdx``)."""
    _check(period)
    n = len(close)
    nothing: Floats = np.full(n, np.nan)
    if n <= period:
        return nothing, nothing.copy(), nothing.copy()
    up = np.diff(high, prepend=high[0])
    down = -np.diff(low, prepend=low[0])
    plus = np.where((up > down) & (up > 0), up, 0.0)
    minus = np.where((down > up) & (down > 0), down, 0.0)
    ranges = true_ranges(high, low, close)
    smooth = [recursion(v, period, float(v[1 : period + 1].mean()), 1.0 / period) for v in (ranges, plus, minus)]
    with np.errstate(invalid="ignore", divide="ignore"):
        plus_di = np.where(smooth[0] > 0, 100.0 * smooth[1] / smooth[0], np.where(np.isnan(smooth[0]), np.nan, 0.0))
        minus_di = np.where(smooth[0] > 0, 100.0 * smooth[2] / smooth[0], np.where(np.isnan(smooth[0]), np.nan, 0.0))
        total = plus_di + minus_di
        spread = np.where(total > 0, 100.0 * np.abs(plus_di - minus_di) / total, 0.0)
    first = 2 * period - 1
    if n <= first:
        return nothing, plus_di, minus_di
    return recursion(spread, first, float(spread[period : first + 1].mean()), 1.0 / period), plus_di, minus_di


def highest(values: Floats, period: int) -> Floats:
    """Greatest of the last ``period`` values."""
    _check(period)
    result: Floats = np.full(len(values), np.nan)
    if len(values) < period:
        return result
    tops, size = values, 1
    while 2 * size <= period:
        tops = np.maximum(tops[:-size], tops[size:])
        size *= 2
    rest = period - size
    result[period - 1 :] = np.maximum(tops[: len(tops) - rest], tops[rest:])
    return result


def lowest(values: Floats, period: int) -> Floats:
    """Least of the last ``period`` values."""
    return -highest(-values, period)


def swing_lows(low: Floats, side_bars: int) -> NDArray[np.bool_]:
    """Whether a bar is a swing low: under each of the ``side_bars`` before it and not above those after it.

    Known only at the close of the bar ``side_bars`` later. Of equal lows the first is the swing.
    """
    _check(side_bars)
    result: NDArray[np.bool_] = np.zeros(len(low), dtype=np.bool_)
    if len(low) >= 2 * side_bars + 1:
        middle = low[side_bars : len(low) - side_bars]
        least = lowest(low, side_bars)[side_bars - 1 :]
        result[side_bars : len(low) - side_bars] = (middle < least[: len(middle)]) & (middle <= least[side_bars + 1 :])
    return result


def swing_highs(high: Floats, side_bars: int) -> NDArray[np.bool_]:
    """Whether a bar is a swing high; the mirror of ``swing_lows``."""
    return swing_lows(-high, side_bars)
