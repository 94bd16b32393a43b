"""A small book that replays a SymbolMarket without participants, for tests and for the calibration command."""

from dataclasses import dataclass, field

from tui_trader.exchange.contract import STEP_MS, MakerStep, SymbolMarket

START_MS = 1_790_000_040_000 // 60_000 * 60_000


@dataclass
class Minute:
    """What a client would see of one minute; prices in ticks, quantities in lots."""

    prints: list[tuple[int, int, bool]] = field(default_factory=list)
    """(price, lots, is_buy) of each execution."""
    spreads: list[int] = field(default_factory=list)
    changed: list[int] = field(default_factory=list)
    """Levels whose quantity differs from before, per step."""
    bests: list[tuple[int, int]] = field(default_factory=list)
    touch: list[int] = field(default_factory=list)
    """Quantity at the best bid after each step."""

    def ohlcv(self) -> tuple[int, int, int, int, int]:
        """Candle of the minute's executions."""
        prices = [price for price, _, _ in self.prints]
        return prices[0], max(prices), min(prices), prices[-1], sum(lots for _, lots, _ in self.prints)


class MakerReplay:
    """Steps a market and keeps its book; fails when the book crosses or a taker finds nothing to take."""

    def __init__(self, market: SymbolMarket, start_ms: int = START_MS) -> None:
        self.market = market
        self.now_ms = start_ms
        self.book: dict[bool, dict[int, int]] = {True: {}, False: {}}
        self._set(market.open_book())

    def _set(self, step: MakerStep) -> int:
        changed = 0
        for is_bid, price, lots in step.levels:
            side = self.book[is_bid]
            changed += side.get(price, 0) != lots
            if lots:
                side[price] = lots
            else:
                side.pop(price, None)
            assert not self.book[True] or not self.book[False] or self.bid < self.ask, "the maker crossed itself"
        return changed

    @property
    def bid(self) -> int:
        return max(self.book[True])

    @property
    def ask(self) -> int:
        return min(self.book[False])

    def depth_notional(self, fraction: float) -> float:
        """Notional resting on both sides within a fraction of mid, USDT."""
        mid = (self.bid + self.ask) / 2
        unit = float(self.market.spec.tick_size) * float(self.market.spec.step_size)
        bids = sum(p * q for p, q in self.book[True].items() if p >= mid * (1 - fraction))
        return unit * (bids + sum(p * q for p, q in self.book[False].items() if p <= mid * (1 + fraction)))

    def step(self, into: Minute, own_impact_ticks: int = 0) -> MakerStep:
        """One market step, its takers executed."""
        step = self.market.step(self.now_ms, own_impact_ticks)
        into.changed.append(self._set(step))
        for is_buy, lots in step.takers:
            side = self.book[not is_buy]
            while lots:
                price = min(side) if is_buy else max(side)
                traded = min(lots, side[price])
                into.prints.append((price, traded, is_buy))
                lots -= traded
                side[price] -= traded
                if not side[price]:
                    del side[price]
        into.spreads.append(self.ask - self.bid)
        into.bests.append((self.bid, self.ask))
        into.touch.append(self.book[True][self.bid])
        self.now_ms += STEP_MS
        return step

    def minute(self) -> Minute:
        """The next full minute."""
        seen = Minute()
        for _ in range(60_000 // STEP_MS):
            self.step(seen)
        return seen
