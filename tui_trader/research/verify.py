"""A candidate of a search, run over the whole history by the live engine and compared with the fast path."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from tui_trader.research.backtest import Backtest, Trade
from tui_trader.research.search import Market
from tui_trader.research.tasks import Problem
from tui_trader.strategies.registry import find_strategy

TOLERANCE = 1e-6
"""Largest difference of prices, quantities and P&L that counts as the same."""


class EngineCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Trades and net result (USDT) by the engine and by the fast path; ``difference`` names the first one, or ""."""

    trades: int
    fast_trades: int
    net: float
    fast_net: float
    difference: str

    @property
    def same(self) -> bool:
        """True when both made the same trades."""
        return not self.difference


def engine_check(problem: Problem, strategy: str, timeframe: str, values: Mapping[str, float]) -> EngineCheck:
    """Run both over all of the history."""
    settings = problem.settings
    found = find_strategy(strategy, settings.strategies)
    slow = Backtest(
        problem.history,
        found,
        settings,
        problem.instrument,
        wallet=problem.wallet,
        costs=problem.costs,
        values=values,
        timeframe=timeframe,
    ).run()
    market = Market(problem.history, problem.instrument, settings, problem.costs)
    fast = market.trades_of(market.run(found, timeframe, values, wallet=problem.wallet), strategy)
    return EngineCheck(
        trades=len(slow.trades),
        fast_trades=len(fast),
        net=math.fsum(trade.pnl for trade in slow.trades),
        fast_net=math.fsum(trade.pnl for trade in fast),
        difference=first_difference(slow.trades, fast),
    )


def first_difference(one: Sequence[Trade], other: Sequence[Trade]) -> str:
    """Where two lists of trades part, in words; "" when they are the same."""
    for number, (a, b) in enumerate(zip(one, other, strict=False), 1):
        for name in ("side", "entry_bar", "entry", "qty", "stop", "pnl", "open_at_end"):
            left, right = getattr(a, name), getattr(b, name)
            if isinstance(left, float):
                if math.isclose(left, right, rel_tol=0.0, abs_tol=TOLERANCE):
                    continue
            elif left == right:
                continue
            return f"trade {number}: {name} is {left} by the engine and {right} by the fast path"
        if [(e.bar, e.leg) for e in a.exits] != [(e.bar, e.leg) for e in b.exits]:
            return f"trade {number} leaves otherwise by the engine than by the fast path"
    if len(one) != len(other):
        return f"{len(one)} trades by the engine, {len(other)} by the fast path"
    return ""
