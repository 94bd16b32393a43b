"""The seam between the matching engine and the market that feeds it.

The engine owns time, books, orders and accounts. A `SymbolMarket` supplies everything a real market would
bring from outside: the facts of a symbol, resting anonymous liquidity, anonymous taker flow, index and mark
prices, funding.

Inside the engine prices are whole ticks and quantities whole steps ("lots"), so matching is exact and quick;
decimal strings exist only on the wire.
"""

from decimal import Decimal
from typing import Protocol

import msgspec

STEP_MS = 500
"""Venue milliseconds between two market steps. `SymbolMarket.step` is called on each multiple, in order."""

CandleRow = tuple[int, float, float, float, float, float, float, int, float, float]
"""open_ms, open, high, low, close, base volume, quote volume, trades, taker-buy base, taker-buy quote."""


class SymbolSpec(msgspec.Struct, frozen=True):
    """Static facts of a symbol, in quote (USDT) and base units; rates are fractions (0.005 is 0.5 %)."""

    symbol: str
    base_asset: str
    tick_size: Decimal
    step_size: Decimal
    market_step_size: Decimal
    min_qty: Decimal
    max_qty: Decimal
    market_max_qty: Decimal
    min_notional: Decimal
    min_price: Decimal
    max_price: Decimal
    multiplier_up: Decimal
    multiplier_down: Decimal
    price_precision: int
    quantity_precision: int
    max_leverage: int
    maintenance_rate: Decimal
    funding_interval_hours: int
    onboard_ms: int
    status: str = "TRADING"
    liquidation_fee: Decimal = Decimal("0.0125")


class MakerStep(msgspec.Struct, frozen=True, gc=False):
    """What the anonymous market does in one step: first its quotes change, then its takers trade."""

    levels: list[tuple[bool, int, int]]
    """(is_bid, price in ticks, anonymous quantity in lots); absolute, 0 removes the level."""
    takers: list[tuple[bool, int]]
    """(is_buy, quantity in lots), executed in order against the book."""
    repeats: bool = False
    """The quotes are those of the last step, every one: only what was eaten meanwhile needs setting anew."""


class SymbolMarket(Protocol):
    """The market of one symbol. All times are venue milliseconds since the Unix epoch, UTC."""

    spec: SymbolSpec

    def open_book(self) -> MakerStep:
        """Return the full initial book at the start of the run."""
        ...

    def step(self, now_ms: int, own_impact_ticks: int = 0) -> MakerStep:
        """Return the changes of one step; called on each multiple of STEP_MS, in order, never skipped.

        `own_impact_ticks` is how far participants' trades have pushed the mid since the last step (signed).
        """
        ...

    def index_price(self, now_ms: int) -> float:
        """Return the index price in quote units."""
        ...

    def mark_price(self, now_ms: int, mid: float) -> float:
        """Return the mark price in quote units, given the book's mid (the last known one if a side is empty)."""
        ...

    def funding_rate(self, now_ms: int) -> float:
        """Return the predicted rate of the running funding interval, a signed fraction of notional."""
        ...

    def next_funding_ms(self, now_ms: int) -> int:
        """Return the first funding time after `now_ms`."""
        ...

    def past_funding(self, start_ms: int, end_ms: int) -> list[tuple[int, float, float]]:
        """Return settled fundings in [start_ms, end_ms], oldest first: (time, rate, mark price)."""
        ...

    def open_interest(self, now_ms: int) -> float:
        """Return the open interest in base units."""
        ...

    def history_1m(self, start_ms: int, end_ms: int) -> list[CandleRow]:
        """Return closed 1-minute candles opening in [start_ms, end_ms], all before the run's start."""
        ...
