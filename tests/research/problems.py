"""Problems over recorded candles that the searches' tests share."""

from __future__ import annotations

from decimal import Decimal
from functools import cache

from tests.core.build import settings
from tests.research.build import START
from tui_trader.core.types import DAY_MS
from tui_trader.research.history import History, instrument_of, packaged
from tui_trader.research.tasks import Bench, Problem
from tui_trader.venues.paper import Costs


@cache
def recorded(days: int = 4, symbol: str = "SOLUSDT") -> History:
    """Days of a packaged recording from 17 May 2025 on."""
    return packaged(symbol).between(START, START + days * DAY_MS)


@cache
def problem(days: int = 4, symbol: str = "SOLUSDT") -> Problem:
    """It, with the packaged settings; trades of few are judged too."""
    chosen = settings(training={"min_trades": 5})
    return Problem(
        history=recorded(days, symbol),
        instrument=instrument_of(symbol),
        settings=chosen,
        costs=Costs(),
        wallet=Decimal(10_000),
    )


@cache
def bench(days: int = 4, symbol: str = "SOLUSDT") -> Bench:
    """Prepared once for all tests of a file."""
    return Bench(problem(days, symbol))
