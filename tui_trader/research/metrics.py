"""What a run is judged by. Every figure states its formula; None where it is not defined.

Daily returns are those of the equity at 00:00 UTC, the first and the last day as far as they go. Annual figures count
365 days, because perpetual futures trade on all of them; the risk-free rate is taken as zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from tui_trader.core.types import DAY_MS, MINUTE_MS
from tui_trader.research.backtest import Trade

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

YEAR_DAYS = 365.0
LEAST_DAYS = 28.0
"""A total over fewer days says nothing about a year."""


class Drawdown(msgspec.Struct, frozen=True):
    """The deepest fall of the equity from a high before it. ``depth`` a fraction of that high; times in ms."""

    depth: float
    peak_ms: int
    trough_ms: int
    recovered_ms: int
    """When the high was reached again, 0 when it was not."""


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one run. Returns and rates as fractions; money in USDT; ``r`` in multiples of the initial risk."""

    start_ms: int
    end_ms: int
    days: float
    trades: int
    total_return: float
    annual_return: float | None
    buy_and_hold: float
    win_rate: float | None
    profit_factor: float | None
    expectancy_r: float | None
    average_win: float | None
    average_loss: float | None
    payoff: float | None
    sharpe: float | None
    sortino: float | None
    calmar: float | None
    drawdown: Drawdown | None
    var95: float | None
    exposure: float
    trades_per_day: float
    longest_losing_run: int
    average_hours: float | None
    ambiguous: int
    fees: float
    funding: float
    gross: float
    net: float
    r_histogram: tuple[tuple[str, int], ...]


def day_ends(open_ms: Ints, equity: Floats) -> Floats:
    """Equity at the last bar of each UTC day, shape (days,)."""
    day = (open_ms + MINUTE_MS - 1) // DAY_MS
    last = np.flatnonzero(np.diff(day, append=day[-1] + 1))
    return np.asarray(equity[last], dtype=np.float64)


def daily_returns(open_ms: Ints, equity: Floats, start: float) -> Floats:
    """Return of each UTC day, shape (days,); the first from ``start``."""
    ends = np.concatenate(([start], day_ends(open_ms, equity)))
    return np.asarray(ends[1:] / ends[:-1] - 1.0, dtype=np.float64)


def sharpe(returns: Floats) -> float | None:
    """mean / standard deviation (n − 1) of daily returns · √365; None with fewer than two days or no movement."""
    if len(returns) < 2:
        return None
    spread = float(returns.std(ddof=1))
    return float(returns.mean()) / spread * math.sqrt(YEAR_DAYS) if spread > 0 else None


def sortino(returns: Floats) -> float | None:
    """mean / √(mean of squared losing days, over all days) · √365; None with fewer than two days or no losing day."""
    if len(returns) < 2:
        return None
    downside = math.sqrt(float(np.square(np.minimum(returns, 0.0)).mean()))
    return float(returns.mean()) / downside * math.sqrt(YEAR_DAYS) if downside > 0 else None


def max_drawdown(open_ms: Ints, equity: Floats, start: float) -> Drawdown | None:
    """The deepest fall; None when the equity never was under a high before."""
    whole = np.concatenate(([start], equity))
    times = np.concatenate((open_ms[:1], open_ms + MINUTE_MS))
    peaks = np.maximum.accumulate(whole)
    falls = 1.0 - whole / peaks
    trough = int(falls.argmax())
    if falls[trough] <= 0:
        return None
    peak = int(whole[: trough + 1].argmax())
    back = np.flatnonzero(whole[trough:] >= whole[peak])
    recovered = int(times[trough + back[0]]) if len(back) else 0
    return Drawdown(float(falls[trough]), int(times[peak]), int(times[trough]), recovered)


def value_at_risk(returns: Floats, level: float = 0.95) -> float | None:
    """Historical one-day VaR: the loss that 1 − ``level`` of the days exceeded, as a positive fraction of equity, at
    least 0. None with fewer than 20 days, where there is no such day.
    """
    if len(returns) < 20:
        return None
    return max(0.0, -float(np.quantile(returns, 1.0 - level)))


def longest_run(losing: Sequence[bool]) -> int:
    """The longest run of losing trades."""
    return max((sum(1 for _ in run) for lost, run in groupby(losing) if lost), default=0)


R_EDGES = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0)


def r_histogram(results: Sequence[float]) -> tuple[tuple[str, int], ...]:
    """How many trades ended in which range of R."""
    counts = np.histogram(results, bins=(-math.inf, *R_EDGES, math.inf))[0].tolist()
    names = [f"under {R_EDGES[0]:g}"]
    names += [f"{low:g} to {high:g}" for low, high in pairwise(R_EDGES)]
    names.append(f"over {R_EDGES[-1]:g}")
    return tuple(zip((name.replace("-", "−") for name in names), counts, strict=True))


def measure(
    trades: Sequence[Trade], open_ms: Ints, closes: Floats, equity: Floats, start: float, taker_fee: float
) -> Metrics:
    """All figures of a run: ``equity`` and ``closes`` as of each bar's close, ``start`` the wallet before the first."""
    open_ms, closes = open_ms[: len(equity)], closes[: len(equity)]
    returns = daily_returns(open_ms, equity, start)
    span_ms = int(open_ms[-1]) + MINUTE_MS - int(open_ms[0])
    days = span_ms / DAY_MS
    total = float(equity[-1]) / start - 1.0
    annual = (1.0 + total) ** (YEAR_DAYS / days) - 1.0 if days >= LEAST_DAYS and total > -1.0 else None
    fall = max_drawdown(open_ms, equity, start)
    wins = [t.pnl for t in trades if t.pnl > 0]
    losses = [t.pnl for t in trades if t.pnl <= 0]
    gains, lost = math.fsum(wins), -math.fsum(losses)
    average_win = gains / len(wins) if wins else None
    average_loss = lost / len(losses) if losses else None
    held = sum(t.exits[-1].ts - t.entry_ms if t.exits and not t.open_at_end else _rest(t, open_ms) for t in trades)
    fees, funding = math.fsum(t.fees for t in trades), math.fsum(t.funding for t in trades)
    net = math.fsum(t.pnl for t in trades)
    return Metrics(
        start_ms=int(open_ms[0]),
        end_ms=int(open_ms[-1]) + MINUTE_MS,
        days=days,
        trades=len(trades),
        total_return=total,
        annual_return=annual,
        buy_and_hold=float(closes[-1] / closes[0]) * (1 - taker_fee) / (1 + taker_fee) - 1.0,
        win_rate=len(wins) / len(trades) if trades else None,
        profit_factor=gains / lost if lost > 0 else None,
        expectancy_r=math.fsum(t.r for t in trades) / len(trades) if trades else None,
        average_win=average_win,
        average_loss=average_loss,
        payoff=average_win / average_loss if average_win is not None and average_loss else None,
        sharpe=sharpe(returns),
        sortino=sortino(returns),
        calmar=annual / fall.depth if annual is not None and fall is not None else None,
        drawdown=fall,
        var95=value_at_risk(returns),
        exposure=held / span_ms,
        trades_per_day=len(trades) / days,
        longest_losing_run=longest_run([t.pnl <= 0 for t in trades]),
        average_hours=held / len(trades) / 3_600_000 if trades else None,
        ambiguous=sum(t.ambiguous for t in trades),
        fees=fees,
        funding=funding,
        gross=net + fees - funding,
        net=net,
        r_histogram=r_histogram([t.r for t in trades]),
    )


def _rest(trade: Trade, open_ms: Ints) -> int:
    """How long a trade was held that is still open at the end."""
    return int(open_ms[-1]) + MINUTE_MS - trade.entry_ms
