"""A market whose price is moved by hand: for tests that walk the price through stops and targets."""

from collections.abc import Sequence
from decimal import Decimal

from tui_trader.exchange.contract import CandleRow, MakerStep, SymbolSpec

_HOUR_MS = 3_600_000
_PRINTS = [(False, 1), (True, 1)]
"""One lot sold at the bid, then one bought at the ask."""


def scripted_spec(
    symbol: str = "BTCUSDT",
    tick: str = "0.10",
    step: str = "0.001",
    min_notional: str = "50",
    status: str = "TRADING",
    max_leverage: int = 125,
) -> SymbolSpec:
    """Return a symbol's facts with the venue's usual filters."""
    tick_size, step_size = Decimal(tick), Decimal(step)
    return SymbolSpec(
        symbol=symbol,
        base_asset=symbol.removesuffix("USDT"),
        tick_size=tick_size,
        step_size=step_size,
        market_step_size=step_size,
        min_qty=step_size,
        max_qty=step_size * 1_000_000,
        market_max_qty=step_size * 120_000,
        min_notional=Decimal(min_notional),
        min_price=tick_size,
        max_price=tick_size * 50_000_000,
        multiplier_up=Decimal("1.05"),
        multiplier_down=Decimal("0.95"),
        price_precision=max(-int(tick_size.as_tuple().exponent), 0),
        quantity_precision=max(-int(step_size.normalize().as_tuple().exponent), 0),
        max_leverage=max_leverage,
        maintenance_rate=Decimal("0.005"),
        funding_interval_hours=8,
        onboard_ms=1_569_398_400_000,
        status=status,
    )


class ScriptedMarket:
    """Quotes `depth` levels of `lots` each around a mid that `move_to` sets; trades only what `trade` queues.

    A move takes effect with the next step: old quotes go, then new ones come, and a new quote that reaches a
    participant's order trades with it. The last price follows because one lot trades at the new touch, first a
    sell and then a buy, when `prints` is true: with every move, and else when `print_every_ms` have passed since.
    """

    def __init__(
        self,
        spec: SymbolSpec | None = None,
        mid: float = 50_000.0,
        depth: int = 20,
        lots: int = 1_000,
        half_spread_ticks: int = 1,
        prints: bool = True,
        funding: float = 0.0001,
        history: Sequence[CandleRow] = (),
        print_every_ms: int = 0,
    ) -> None:
        self.spec = spec or scripted_spec()
        self.depth = depth
        self.lots = lots
        self.half_spread_ticks = half_spread_ticks
        self.prints = prints
        self.print_every_ms = print_every_ms
        self._printed_ms = 0
        self.funding = funding
        self.mark: float | None = None
        """Mark price to report; the book's mid when None."""
        self._history = list(history)
        self._tick = float(self.spec.tick_size)
        self._mid_ticks = self._ticks(mid)
        self._quoted: dict[tuple[bool, int], int] = {}
        self._levels: list[tuple[bool, int, int]] = []
        self._shape = (0, 0, 0, 0)
        self._queue: list[tuple[bool, int]] = []

    def _ticks(self, price: float) -> int:
        return round(price / self._tick)

    @property
    def mid(self) -> float:
        """The scripted mid price in quote units."""
        return self._mid_ticks * self._tick

    def move_to(self, price: float) -> None:
        """Set the mid price that the next step quotes around."""
        self._mid_ticks = self._ticks(price)

    def trade(self, is_buy: bool, quantity: str | Decimal) -> None:
        """Queue anonymous taker flow of a base quantity for the next step."""
        self._queue.append((is_buy, int(Decimal(quantity) / self.spec.step_size)))

    def _quotes(self) -> dict[tuple[bool, int], int]:
        quotes: dict[tuple[bool, int], int] = {}
        for level in range(self.depth):
            offset = self.half_spread_ticks + level
            quotes[(True, self._mid_ticks - offset)] = self.lots
            quotes[(False, self._mid_ticks + offset)] = self.lots
        return quotes

    def open_book(self) -> MakerStep:
        """Return the opening quotes."""
        self._requote()
        return MakerStep(self._levels, [])

    def _requote(self) -> list[tuple[bool, int, int]]:
        """Quote around the mid as it is now, and return the changes from the former quotes, removals first."""
        former, self._quoted = self._quoted, self._quotes()
        self._levels = [(*key, lots) for key, lots in self._quoted.items()]
        self._shape = self._shape_now()
        return [(*key, 0) for key in former if key not in self._quoted] + self._levels

    def _shape_now(self) -> tuple[int, int, int, int]:
        return self._mid_ticks, self.depth, self.lots, self.half_spread_ticks

    def step(self, now_ms: int, own_impact_ticks: int = 0) -> MakerStep:
        """Return every quote anew (so eaten levels refill), removals first, and the queued flow."""
        repeats = self._shape == self._shape_now()
        levels = self._levels if repeats else self._requote()
        takers: list[tuple[bool, int]] = []
        if self.prints and (not repeats or now_ms - self._printed_ms >= self.print_every_ms):
            takers, self._printed_ms = _PRINTS, now_ms
        if self._queue:
            takers, self._queue = [*self._queue, *takers], []
        return MakerStep(levels, takers, repeats)

    def index_price(self, now_ms: int) -> float:
        """Return the scripted mid."""
        return self.mid

    def mark_price(self, now_ms: int, mid: float) -> float:
        """Return `mark` when set, else the book's mid."""
        return mid if self.mark is None else self.mark

    def funding_rate(self, now_ms: int) -> float:
        """Return the scripted rate."""
        return self.funding

    def next_funding_ms(self, now_ms: int) -> int:
        """Return the next multiple of the funding interval."""
        interval = self.spec.funding_interval_hours * _HOUR_MS
        return (now_ms // interval + 1) * interval

    def past_funding(self, start_ms: int, end_ms: int) -> list[tuple[int, float, float]]:
        """Return nothing: a scripted market has no past."""
        return []

    def open_interest(self, now_ms: int) -> float:
        """Return a fixed open interest."""
        return 1_000.0

    def history_1m(self, start_ms: int, end_ms: int) -> list[CandleRow]:
        """Return the given history inside the range."""
        return [row for row in self._history if start_ms <= row[0] <= end_ms]
