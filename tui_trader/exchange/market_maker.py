"""The simulated market of each symbol: recorded prices, calibrated quotes and takers.

The best prices follow a path made from recorded candles (`minute_plan`) that no participant can change. Around them
stands a ladder of quotes (`ladder`) whose quantities are redrawn at random, a few each step. In a step the quotes are
set first, then takers trade at the best prices; the quote they hit is always larger than what they take, so anonymous
takers alone never push through a level.

**Participants' orders.** The maker does not know them and needs not:

- *At the best price* takers consume the quantity that was there before, then the participant's order, then the quantity
  that the maker added later: by time priority the queue ahead of an order only shrinks.
- *When the path moves through a resting order*, first every anonymous quote on the way is withdrawn, then the quotes of
  the other side arrive behind the new best price. A quote that arrives at or beyond a participant's order is
  marketable: the matching engine executes it against that order, at the order's price, before the rest of it may stand
  in the book (`matching`, `apply_levels`). A larger order goes on meeting the quotes that the maker repeats each step.
  So no price exists beyond an order's price before arriving flow has consumed the order, whatever its size.
- *When a participant's market order eats quotes*, the maker restores that part of its ladder over `len(REFILL)` steps
  (`own_impact_ticks` says how far the mid was pushed); independently of it the best levels are quoted anew each step
  and the others in turn, so the book always returns to what the maker means.
- Levels are absolute and every level that left the ladder is removed explicitly, removals before additions, so the
  maker never crosses itself even where participants absorbed takers that should have consumed its quotes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice
from typing import Final

from tui_trader.exchange import calibration as cal
from tui_trader.exchange.contract import STEP_MS, CandleRow, MakerStep, SymbolMarket, SymbolSpec
from tui_trader.exchange.history import (
    MINUTE_MS,
    FundingTape,
    Tape,
    TapeMinute,
    build_tape,
    start_index,
)
from tui_trader.exchange.ladder import LadderShape
from tui_trader.exchange.minute_plan import (
    MinutePlan,
    Shape,
    buy_share,
    edge_sides,
    half_spread,
    is_centred,
    plan_minute,
    takers_in,
)
from tui_trader.exchange.specs import SOURCES, SPECS

REFILL: Final = (0.25, 0.5, 0.75, 1.0)
"""Share of the usual quantity that is quoted in the steps after a participant has eaten through levels."""
HISTORY_MINUTES: Final = 30 * 1440
"""How far candles reach back before the start of a run; older ones repeat the recording (see `history`)."""
_REASSERTED: Final = 3
_REDRAWN: Final = 3
_TOUCH_REDRAW: Final = 0.25
_TOUCH_MAX: Final = 2.2
_LEVEL_MAX: Final = 4.0
_INDEX_STEPS: Final = 20
_BASIS_AMPLITUDE: Final = 1e-4
_BASIS_PERIOD_MS: Final = 17 * MINUTE_MS
_OPEN_INTEREST_DAYS: Final = 0.4


class _Quotes:
    """One side of the maker's ladder and what it believes to stand there (anonymous quantity, lots)."""

    __slots__ = ("best", "book", "cursor", "is_bid", "prices", "refill_reach", "refill_step")

    def __init__(self, is_bid: bool) -> None:
        self.is_bid = is_bid
        self.best = 0
        self.book: dict[int, int] = {}
        self.prices: list[int] = []
        self.cursor = 0
        self.refill_step = len(REFILL)
        self.refill_reach = 0


class RecordedMarket:
    """A `SymbolMarket` that replays a tape; see the module's docstring for its behaviour."""

    def __init__(self, spec: SymbolSpec, seed: int, start_ms: int, start_minute: int) -> None:
        """`start_minute` is the recorded minute that the minute of `start_ms` replays."""
        source = SOURCES[spec.symbol]
        self.spec = spec
        self._tick, self._lot = float(spec.tick_size), float(spec.step_size)
        self._tape: Tape = build_tape(spec, source)
        self._first = (start_minute + source.offset_minutes) % self._tape.minutes
        self._start_ms = start_ms
        self._start_minute = start_ms // MINUTE_MS
        self._now_ms = start_ms
        self._funding = FundingTape(spec.symbol, source, (self._start_minute - self._first) * MINUTE_MS)
        self._shape = Shape(
            seed=seed,
            symbol=spec.symbol,
            usdt_per_tick_lot=self._tick * self._lot,
            mean_lots=self._tape.mean_lots,
            spread_bps=source.spread_bps,
        )
        self._ladder = LadderShape(self._tape.mean_ticks, self._tape.mean_tick_lots, source.depth_scale)
        self._plans: dict[int, MinutePlan] = {}
        self._planned = -1
        self._plan: MinutePlan = self._plan_of(self._start_minute)
        self._noise_at = 0
        self._sides = (_Quotes(True), _Quotes(False))

    def _index(self, venue_minute: int) -> int:
        return venue_minute - self._start_minute + self._first

    def _plan_of(self, venue_minute: int) -> MinutePlan:
        plan = self._plans.get(venue_minute)
        if plan is None:
            index = self._index(venue_minute)
            plan = plan_minute(self._tape.at(index), index, self._shape)
            if len(self._plans) > 2:
                del self._plans[min(self._plans)]
            self._plans[venue_minute] = plan
        return plan

    def _enter(self, venue_minute: int) -> None:
        self._plan = self._plan_of(venue_minute)
        self._planned = venue_minute
        self._noise_at = 0
        self._ladder.fit(self._plan.bids[0])

    def _draw(self, distance: int) -> int:
        noise = self._plan.noise[self._noise_at & 511]
        self._noise_at += 1
        if distance:
            factor = min(_LEVEL_MAX, math.exp(cal.LEVEL_LOG_SIGMA * noise))
        else:
            factor = min(_TOUCH_MAX, math.exp(cal.TOUCH_LOG_SIGMA * noise))
        return int(self._ladder.usual(distance) * factor) + 1

    def open_book(self) -> MakerStep:
        """Return the full book at the start of the run; quotes only."""
        self._enter(self._start_minute)
        k = self._start_ms % MINUTE_MS // STEP_MS
        levels: list[tuple[bool, int, int]] = []
        for side, best in zip(self._sides, (self._plan.bids[k], self._plan.asks[k]), strict=True):
            side.best = best
            side.prices = self._ladder.prices(best, side.is_bid)
            side.book = {price: self._draw(abs(price - best)) for price in side.prices}
            levels.extend((side.is_bid, price, quantity) for price, quantity in side.book.items())
        return MakerStep(levels, [])

    def step(self, now_ms: int, own_impact_ticks: int = 0) -> MakerStep:
        """Return the changes of one step; call `open_book` once before, then each multiple of STEP_MS in order."""
        minute, within = divmod(now_ms, MINUTE_MS)
        if minute != self._planned:
            self._enter(minute)
        self._now_ms = now_ms
        k = within // STEP_MS
        plan = self._plan
        takers = plan.takers[k]
        bought = sold = 0
        for is_buy, lots in takers:
            if is_buy:
                bought += lots
            else:
                sold += lots
        if own_impact_ticks:
            self._begin_refill(own_impact_ticks)
        bids, asks = self._sides
        levels: list[tuple[bool, int, int]] = []
        fresh_bids = self._move(bids, plan.bids[k], levels) if plan.bids[k] != bids.best else ()
        fresh_asks = self._move(asks, plan.asks[k], levels) if plan.asks[k] != asks.best else ()
        self._requote(bids, fresh_bids, sold, levels)
        self._requote(asks, fresh_asks, bought, levels)
        return MakerStep(levels, list(takers))

    def _begin_refill(self, impact: int) -> None:
        side = self._sides[1] if impact > 0 else self._sides[0]
        side.refill_step = 0
        side.refill_reach = 2 * abs(impact) + 1

    def _move(self, side: _Quotes, best: int, levels: list[tuple[bool, int, int]]) -> Sequence[int]:
        """Re-centre a side: append the removals to `levels`, return the prices that have no quantity yet."""
        prices = self._ladder.prices(best, side.is_bid)
        book = side.book
        kept = set(prices)
        for price in [p for p in book if p not in kept]:
            del book[price]
            levels.append((side.is_bid, price, 0))
        fresh = [p for p in prices if p not in book]
        for price in fresh:
            book[price] = self._draw(abs(price - best))
        side.best = best
        side.prices = prices
        return fresh

    def _requote(self, side: _Quotes, fresh: Sequence[int], taken: int, levels: list[tuple[bool, int, int]]) -> None:
        """Append a side's quotes: new levels, the best ones again, a few others redrawn."""
        book, prices, is_bid, best = side.book, side.prices, side.is_bid, side.best
        quoted = set(fresh)
        quoted.update(prices[:_REASSERTED])
        noise = self._plan.noise[self._noise_at & 511]
        self._noise_at += 1
        if noise > _TOUCH_REDRAW:
            book[best] = self._draw(0)
        count = len(prices)
        for _ in range(_REDRAWN):
            side.cursor = (side.cursor + 1) % count
            price = prices[side.cursor]
            if price != best:
                book[price] = self._draw(abs(price - best))
                quoted.add(price)
        share = 1.0
        if side.refill_step < len(REFILL):
            share = REFILL[side.refill_step]
            side.refill_step += 1
            quoted.update(p for p in prices if abs(p - best) <= side.refill_reach)
        for price in sorted(quoted, reverse=is_bid):
            quantity = book[price]
            if share != 1.0 and abs(price - best) <= side.refill_reach:
                quantity = max(1, int(quantity * share))
            levels.append((is_bid, price, quantity + taken if price == best else quantity))

    def _smooth_mid(self, now_ms: int) -> float:
        minute, within = divmod(now_ms, MINUTE_MS)
        plan = self._plan_of(minute)
        k = within // STEP_MS + 1
        since = max(0, k - _INDEX_STEPS)
        total = sum(islice(plan.bids, since, k)) + sum(islice(plan.asks, since, k))
        return total / (2 * (k - since)) * self._tick

    def _basis(self, now_ms: int) -> float:
        """Premium of the contract over the index, a fraction: a third of the funding rate and a slow swing of 1 bp."""
        phase = self._first + now_ms / _BASIS_PERIOD_MS
        return self._funding.predicted_rate(now_ms) / 3 + _BASIS_AMPLITUDE * math.sin(2 * math.pi * phase)

    def index_price(self, now_ms: int) -> float:
        """Return the index price in USDT: the contract's mean mid of the last 10 s without its premium."""
        return self._smooth_mid(now_ms) / (1 + self._basis(now_ms))

    def mark_price(self, now_ms: int, mid: float) -> float:
        """Return the mark price in USDT, the venue's rule: the median of three prices.

        Price 1 = index · (1 + last funding rate · time until funding / interval); price 2 = index + moving average of
        the basis; the third is the contract's own price, for which `mid` stands.
        """
        smooth = self._smooth_mid(now_ms)
        index = smooth / (1 + self._basis(now_ms))
        end = self._funding.next_ms(now_ms)
        left = (end - now_ms) / self._funding.interval_ms
        rate = self._funding.settled_rate(end - self._funding.interval_ms)
        return sorted((index * (1 + rate * left), smooth, mid))[1]

    def funding_rate(self, now_ms: int) -> float:
        """Return the predicted rate of the running interval, a signed fraction of notional."""
        return self._funding.predicted_rate(now_ms)

    def next_funding_ms(self, now_ms: int) -> int:
        """Return the first funding time after `now_ms`: a UTC multiple of the symbol's interval."""
        return self._funding.next_ms(now_ms)

    def past_funding(self, start_ms: int, end_ms: int) -> list[tuple[int, float, float]]:
        """Return fundings settled in [start_ms, end_ms] and not after the last step: (time, rate, mark price)."""
        oldest = self._start_ms - HISTORY_MINUTES * MINUTE_MS
        return [
            (at, self._funding.settled_rate(at), self._tape.at(self._index(at // MINUTE_MS)).open * self._tick)
            for at in self._funding.settled_between(max(start_ms, oldest), min(end_ms, self._now_ms))
        ]

    def open_interest(self, now_ms: int) -> float:
        """Return the open interest in base units: two fifths of a mean day's volume, breathing by 3 % over a day."""
        swing = 1 + 0.03 * math.sin(2 * math.pi * now_ms / (1440 * MINUTE_MS) + self._first)
        return self._tape.mean_lots * 1440 * self._lot * _OPEN_INTEREST_DAYS * swing

    def history_1m(self, start_ms: int, end_ms: int) -> list[CandleRow]:
        """Return candles with open time in [start_ms, end_ms] that closed before the minute of the run's start.

        Quote volume, trade count and taker-buy volume are not recorded; they are derived from price, volume and colour
        in the way the live minutes are made.
        """
        first = max(-(-start_ms // MINUTE_MS), self._start_minute - HISTORY_MINUTES)
        last = min(end_ms // MINUTE_MS, self._start_minute - 1)
        return [self._row(minute) for minute in range(first, last + 1)]

    def _row(self, venue_minute: int) -> CandleRow:
        index = self._index(venue_minute)
        minute = self._tape.at(index)
        o, h, low, c = (price * self._tick for price in self._printed(minute, index))
        volume = minute.volume * self._lot
        quote = volume * (o + h + low + c) / 4
        share = buy_share(minute)
        trades = takers_in(minute, self._shape)
        return (venue_minute * MINUTE_MS, o, h, low, c, volume, quote, trades, volume * share, quote * share)

    def _printed(self, minute: TapeMinute, index: int) -> tuple[int, int, int, int]:
        """Prices that trade: the recorded ones, or half a wide spread away from them."""
        if not is_centred(minute, self._shape):
            return minute.open, minute.high, minute.low, minute.close
        below, above = half_spread(minute, self._shape)
        first, final = edge_sides(self._shape, index)
        return (
            minute.open + above if first else minute.open - below,
            minute.high + above,
            minute.low - below,
            minute.close + above if final else minute.close - below,
        )


def build_markets(seed: int, start_ms: int, symbols: Sequence[str] | None = None) -> dict[str, SymbolMarket]:
    """Build one market per symbol, all known ones when `symbols` is None.

    The run's first minute replays the same recorded minute for a seed whatever `start_ms` is, with at least
    HISTORY_BEFORE_MIN recorded minutes before it. Start at a full minute if the first candle is to be complete.
    Raises KeyError for a symbol that is not in `specs.SPECS`.
    """
    minute = start_index(seed)
    return {
        symbol: RecordedMarket(SPECS[symbol], seed, start_ms, minute)
        for symbol in (SPECS if symbols is None else symbols)
    }
