"""Backtest of one strategy on one symbol: history as events through the live engine, fills by the paper account.

Time within a 1 m bar: the open (a gap), then the extreme against the open position, then the one in its favour, then
the close; so where a bar holds both the stop and a target, the stop comes first, and the trade counts as ambiguous.
Signals are judged at the close and filled at the next open. Bars in which nothing can happen are passed over; what can
happen is found beforehand from the strategy's scan and the plan's levels: a run that steps them all gives the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np

from tui_trader.core import events as ev
from tui_trader.core.commands import CancelOrder, Command, PlaceOrder, QueryOrder, Record, RequestSnapshot, SetLeverage
from tui_trader.core.engine import Engine
from tui_trader.core.instruments import Instrument
from tui_trader.core.oco import Plan, Stage
from tui_trader.core.parameters import Values, resolve
from tui_trader.core.settings import Settings
from tui_trader.core.signals import Strategy
from tui_trader.core.types import DAY_MS, MINUTE_MS, Channel, Leg, Side
from tui_trader.errors import ConfigError
from tui_trader.research.book import HistoryBook, day_volume, scan_of
from tui_trader.research.history import History
from tui_trader.research.kernel import ADVERSE, FAVOURABLE, LEAST_SPREAD
from tui_trader.venues.paper import Costs, PaperAccount

DEPTH_USDT = 5_000_000.0
"""Depth told to the gate: candles hold none."""
_FIRST_LOOK = 64


class Exit(msgspec.Struct, frozen=True):
    """One exit fill of a trade. ``bar`` is the index of its 1 m bar."""

    bar: int
    ts: int
    leg: str
    price: float
    qty: float
    fee: float


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """One closed trade. Prices in quote, quantities in base, money in USDT; ``pnl`` after fees, with ``funding``."""

    symbol: str
    strategy: str
    side: Side
    decided_ms: int
    entry_bar: int
    entry_ms: int
    entry: float
    qty: float
    stop: float
    atr: float
    conviction: float
    exits: tuple[Exit, ...]
    pnl: float
    fees: float
    funding: float
    reason: str
    ambiguous: bool = False
    open_at_end: bool = False

    @property
    def exit_bar(self) -> int:
        """Index of the 1 m bar of the last exit."""
        return self.exits[-1].bar if self.exits else self.entry_bar

    @property
    def r(self) -> float:
        """Result in multiples of the initial risk; 0 when that is unknown."""
        risk = abs(self.entry - self.stop) * self.qty
        return self.pnl / risk if risk > 0 else 0.0


class _Open:
    """The trade under way. ``both`` is the last bar that reached the stop and a target."""

    def __init__(self, plan: Plan, fill: ev.Fill, bar: int) -> None:
        self.plan = plan
        self.bar = bar
        self.ts = fill.ts
        self.exits: list[Exit] = []
        self.both = -1
        self.ambiguous = False

    def trade(self, symbol: str, *, reason: str, at_end: bool = False) -> Trade:
        """The trade as its plan has it now."""
        plan = self.plan
        return Trade(
            symbol=symbol,
            strategy=plan.strategy,
            side=plan.side,
            decided_ms=plan.opened_ms,
            entry_bar=self.bar,
            entry_ms=self.ts,
            entry=float(plan.avg_entry),
            qty=float(plan.entered),
            stop=float(plan.initial_stop),
            atr=plan.atr,
            conviction=plan.conviction,
            exits=tuple(self.exits),
            pnl=float(plan.realized - plan.fees + plan.funding),
            fees=float(plan.fees),
            funding=float(plan.funding),
            reason=reason,
            ambiguous=self.ambiguous,
            open_at_end=at_end,
        )


class BacktestResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a run found. ``equity`` float64 is as of each 1 m bar's close, beside ``History.bars``."""

    trades: tuple[Trade, ...]
    equity: np.ndarray[tuple[int], np.dtype[np.float64]]
    refused: dict[str, int]
    """How often the gate refused an entry, by reason code."""
    bars: int
    bars_stepped: int
    """Bars whose every price went through the engine."""
    partial: bool
    killed: str
    """Why trading ended before the history did, or ""."""


class Backtest:
    """One run. ``step_all`` sends every bar through the engine instead of only those in which something can happen."""

    def __init__(
        self,
        history: History,
        strategy: Strategy,
        settings: Settings,
        instrument: Instrument,
        *,
        wallet: Decimal,
        costs: Costs,
        values: Values | None = None,
        timeframe: str = "",
        step_all: bool = False,
    ) -> None:
        self.history = history
        self.symbol = history.symbol
        self.timeframe = timeframe or settings.strategies.timeframes.get(strategy.name, strategy.timeframe)
        self._strategy = strategy
        self._settings = _fixed(settings, strategy, self.timeframe, values)
        self.values = resolve(strategy.parameters, self._settings.strategies.parameters_of(strategy.name))
        self._costs = costs
        self._step_all = step_all
        self._bars = history.bars
        self._book = HistoryBook(history.symbol, history.bars)
        self._paper = PaperAccount((instrument,), wallet, costs)
        self._instrument = instrument
        self._engine = Engine(
            self._settings,
            {strategy.name: strategy},
            mode="backtest",
            venue="binance",
            epoch="backtst",
            armed=True,
            always=(self.symbol,),
        )
        self._queue: deque[ev.Event] = deque()
        self._index = 0
        self._stepped = 0
        self._settled = False
        self._open: _Open | None = None
        self._trades: list[Trade] = []
        self._cash: list[tuple[int, float, float]] = []
        self._refused: dict[str, int] = {}
        self._wallet = wallet
        self._volumes = day_volume(history)
        self._decisions = self._find_decisions()
        self._charges = history.charges

    # --- the run ---

    def run(self, progress: Callable[[int, int], bool] | None = None) -> BacktestResult:
        """Go through the whole history. ``progress(done, total)`` returns False to stop with a partial result.

        Raises ``ConfigError`` when the strategy fails at a bar.
        """
        self._prepare()
        total = len(self._bars)
        partial = False
        index = 0
        told = 0
        while index < total and not (self._engine.state.killed and self._open is None):
            self._bar(index)
            index = index + 1 if self._step_all else self._next_bar(index)
            if progress is not None and index - told >= 10_000:
                told = index
                if not progress(min(index, total), total):
                    partial = True
                    break
        failed = self._engine.state.failed_strategies.get(self._strategy.name)
        if failed is not None:
            raise ConfigError(f"{failed}. What was tested until then says nothing; mend the strategy.")
        # After a kill nothing is traded, but time goes on: the account stands beside the market to the end.
        return self._result(min(index, total) if partial else total, partial)

    def _prepare(self) -> None:
        now = int(self._bars.open_ms[0])
        self._say(ev.InstrumentsLoaded(ts=now, instruments=(self._instrument,)))
        self._engine.state.candles[self.symbol] = self._book
        for channel in Channel:
            self._say(ev.LinkUp(ts=now, channel=channel, latency_ms=1.0))
        self._say(self._paper.snapshot(now))
        leverage = min(self._settings.sizing.default_leverage, self._instrument.max_leverage)
        self._say(
            ev.SendOutcome(
                ts=now,
                action=ev.SendAction.LEVERAGE,
                result=ev.SendResult.ACCEPTED,
                symbol=self.symbol,
                client_id="",
                reason=str(leverage),
            )
        )

    def _bar(self, index: int) -> None:
        """One 1 m bar: its prices in their order, then the decision at its close."""
        self._index = index
        self._stepped += 1
        now = int(self._bars.open_ms[index])
        self._funding(index)
        if not self._passed_over(index):
            self._walk(index, now)
        self._price(float(self._bars.close[index]), now + MINUTE_MS)
        self._say(ev.Timer(ts=now + MINUTE_MS))
        self._decide(index, now + MINUTE_MS)

    def _walk(self, index: int, now: int) -> None:
        """The bar's open, and while a position is held its extremes."""
        bars = self._bars
        self._price(float(bars.open[index]), now, gap=True)
        held = self._paper.position(self.symbol)
        if not held:
            return
        low, high = float(bars.low[index]), float(bars.high[index])
        first, second = (low, high) if held > 0 else (high, low)
        self._note_ambiguity(first, second)
        self._price(first, now + ADVERSE)
        if self._paper.position(self.symbol):
            self._price(second, now + FAVOURABLE)

    def _price(self, price: float, now: int, *, gap: bool = False) -> None:
        self._say(*self._paper.move(self.symbol, price, now, gap=gap))
        rate, due = self._funding_facts(now)
        self._say(
            ev.MarkPrice(ts=now, symbol=self.symbol, mark=price, index=price, funding_rate=rate, next_funding_ms=due)
        )

    def _decide(self, index: int, now: int) -> None:
        candle = self._bars.candle(index)
        if self._decisions[index] or self._step_all:
            quoted = self._costs.quoted
            bid = min(quoted.bid(candle.close), candle.close * (1 - LEAST_SPREAD))
            ask = max(quoted.ask(candle.close), candle.close * (1 + LEAST_SPREAD))
            volume = float(self._volumes[index])
            amount = max(DEPTH_USDT, DEPTH_USDT / bid)
            self._say(ev.Ticker24h(ts=now, symbol=self.symbol, last=candle.close, change_pct=0.0, quote_volume=volume))
            self._say(
                ev.BookDepth(
                    ts=now,
                    symbol=self.symbol,
                    bids=((bid, amount),),
                    asks=((ask, amount),),
                    bid_depth=DEPTH_USDT / 2,
                    ask_depth=DEPTH_USDT / 2,
                    bid_reach=1.0,
                    ask_reach=1.0,
                )
            )
        self._say(ev.KlineUpdate(ts=now, symbol=self.symbol, candle=candle, closed=True))

    def _funding(self, index: int) -> None:
        if not self._paper.position(self.symbol):
            return
        due = self._charges
        for at in range(*np.searchsorted(due.bars, (index, index + 1))):
            rate, price = float(due.rates[at]), float(due.prices[at])
            self._say(*self._paper.settle_funding(self.symbol, rate, price, int(due.at_ms[at])))

    def _funding_facts(self, now: int) -> tuple[float, int]:
        """The rate that was charged last, which stands for the next one that nobody knows yet, and the next time."""
        at = int(np.searchsorted(self.history.funding_ms, now, side="right"))
        rate = float(self.history.funding_rate[at - 1]) if at else 0.0
        if at < len(self.history.funding_ms):
            return rate, int(self.history.funding_ms[at])
        interval = self._instrument.funding_interval_hours * 3_600_000
        return rate, (now // interval + 1) * interval

    # --- engine and account ---

    def _say(self, *events: ev.Event) -> None:
        """Events into the engine, in order, and everything that follows from them."""
        self._queue.extend(events)
        while self._queue:
            self._hear(self._queue.popleft())

    def _hear(self, event: ev.Event) -> None:
        if isinstance(event, ev.Fill):
            self._on_fill(event)
        elif isinstance(event, ev.FundingPayment):
            self._cash.append((self._index, float(event.amount), 0.0))
        for command in self._engine.process(event):
            self._carry(command, event.ts)

    def _carry(self, command: Command, now: int) -> None:
        if isinstance(command, Record):
            self._on_record(command)
        elif isinstance(command, PlaceOrder):
            self._queue.extend(self._paper.place(command, now))
        elif isinstance(command, CancelOrder):
            self._queue.extend(self._paper.cancel(command, now))
        elif isinstance(command, QueryOrder):
            self._queue.extend(self._paper.query(command, now))
        elif isinstance(command, RequestSnapshot):
            self._queue.append(self._paper.snapshot(now))
        elif isinstance(command, SetLeverage):
            self._queue.append(
                ev.SendOutcome(
                    ts=now,
                    action=ev.SendAction.LEVERAGE,
                    result=ev.SendResult.ACCEPTED,
                    symbol=command.symbol,
                    client_id="",
                )
            )

    def _on_fill(self, fill: ev.Fill) -> None:
        sign = fill.side.sign
        self._cash.append((self._index, -float(fill.qty * fill.price) * sign - float(fill.fee), float(fill.qty) * sign))
        plan = self._engine.state.plans.get(self.symbol)
        order = self._engine.state.ledger.find(fill.client_id, fill.venue_id)
        leg = order.leg.name if order is not None else "LIQUIDATION"
        if leg == Leg.ENTRY.name and plan is not None:
            self._open = _Open(plan, fill, self._index)
        elif self._open is not None:
            exit_ = Exit(self._index, fill.ts, leg, float(fill.price), float(fill.qty), float(fill.fee))
            self._open.exits.append(exit_)
            self._open.ambiguous |= leg == Leg.STOP.name and self._open.both == self._index

    def _note_ambiguity(self, first: float, second: float) -> None:
        """Remember a bar that reaches both the stop and the next target."""
        found = self._open
        if found is None:
            return
        sign = found.plan.side.sign
        ahead = [t.price for t in found.plan.targets if t.left > 0]
        stopped = (Decimal(str(first)) - found.plan.stop_price) * sign <= 0
        if stopped and ahead and (Decimal(str(second)) - min(ahead, key=lambda p: p * sign)) * sign > 0:
            found.both = self._index

    def _on_record(self, record: Record) -> None:
        if record.kind == "rejections":
            codes = record.data["codes"]
            for code in set(codes if isinstance(codes, list) else ()):
                self._refused[code] = self._refused.get(code, 0) + 1
        elif record.kind == "trades" and self._open is not None:
            self._trades.append(self._open.trade(self.symbol, reason=self._open.plan.close_reason))
            self._open = None

    # --- what can be passed over ---

    def _find_decisions(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """For each 1 m bar whether the strategy wants to enter at its close."""
        scan = scan_of(self._strategy, self._book, self.timeframe, self.values)
        wanted = scan.bars[scan.conviction >= self._settings.strategies.threshold]
        result = np.zeros(len(self._bars), dtype=np.bool_)
        result[self._book.minutes_of(self.timeframe, wanted)] = True
        return result

    def _next_bar(self, index: int) -> int:
        """The next bar in which something can happen."""
        plan = self._engine.state.plans.get(self.symbol)
        if plan is None:
            return self._next_true(index + 1, lambda a, b: self._decisions[a:b])
        if plan.stage is not Stage.OPEN or plan.ladder is None or self._paper.waiting:
            return index + 1
        if not self._paper.has_stop(self.symbol, plan.stop_price):
            return index + 1  # the venue refused it because price had passed it; it is tried again each minute
        if plan.trailing and self._settings.execution.trail_min_interval_s * 1000 >= ADVERSE:
            return index + 1  # a move of the stop that was put off may be due without a new best price
        self._settled = True
        return self._next_true(index + 1, self._touches(plan))

    def _next_true(self, start: int, test: Callable[[int, int], np.ndarray[tuple[int], np.dtype[np.bool_]]]) -> int:
        total, size = len(self._bars), _FIRST_LOOK
        while start < total:
            found = test(start, min(start + size, total))
            first = int(found.argmax()) if len(found) else 0
            if len(found) and found[first]:
                return start + first
            start += size
            size *= 4
        return total

    def _passed_over(self, index: int) -> bool:
        """Whether no price of a bar but its close matters to the open position."""
        settled, self._settled = self._settled, False
        plan = self._engine.state.plans.get(self.symbol)
        if not settled or plan is None:
            return False
        return not self._levels_of(plan)(self._bars.low[index], self._bars.high[index])

    def _levels_of(self, plan: Plan) -> Callable[[Any, Any], Any]:
        """A test for the lowest and the highest price of a bar, or of many: whether a level of the plan is reached."""
        sign = plan.side.sign
        stop, ahead = float(plan.stop_price), self._ahead(plan)
        liquidation = float(self._paper.liquidation_price(self.symbol))
        if sign > 0:
            stop = max(stop, liquidation)
            return lambda low, high: (low <= stop) | (high >= ahead)
        stop = min(stop, liquidation or stop)
        return lambda low, high: (high >= stop) | (low <= ahead)

    def _touches(self, plan: Plan) -> Callable[[int, int], np.ndarray[tuple[int], np.dtype[np.bool_]]]:
        """A test for bars that reach a level of the plan, the loss limits, a funding or a new day."""
        bars, sign, worst, reached = self._bars, plan.side.sign, self._worst_close(), self._levels_of(plan)

        def test(a: int, b: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
            hit: np.ndarray[tuple[int], np.dtype[np.bool_]] = reached(bars.low[a:b], bars.high[a:b])
            hit |= (bars.close[a:b] - worst) * sign <= 0
            hit |= (bars.open_ms[a:b] + MINUTE_MS) % DAY_MS == 0
            first, last = np.searchsorted(self._charges.bars, (a, b))
            hit[self._charges.bars[first:last] - a] = True
            return hit

        return test

    def _ahead(self, plan: Plan) -> float:
        """The nearest price in the plan's favour at which something changes."""
        sign = plan.side.sign
        levels = [float(t.price) for t in plan.targets if t.left > 0]
        if plan.ladder is not None and not plan.at_break_even and not plan.stop_by_hand:
            levels.append(float(plan.ladder.be_trigger))
        if plan.trailing:
            levels.append(float(plan.best))
        elif plan.ladder is not None and not any(t.leg is Leg.TP2 and t.left > 0 for t in plan.targets):
            levels.append(float(plan.ladder.trail_from))
        return min(levels, key=lambda level: level * sign) if levels else sign * float("inf")

    def _worst_close(self) -> float:
        """The price at which a loss limit is reached."""
        state = self._engine.state
        equity = self._paper.equity
        losses = state.losses
        daily, total = losses.amounts(equity)
        rooms = [total + losses.total_pnl(equity)]
        if not losses.daily_reached:
            rooms.append(daily + losses.day_pnl(equity))
        qty = self._paper.position(self.symbol)
        mark = Decimal(str(state.metrics[self.symbol].mark))
        return float(mark - min(rooms) / qty) if qty else 0.0

    # --- results ---

    def _result(self, bars: int, partial: bool) -> BacktestResult:
        if self._open is not None:
            self._trades.append(self._open.trade(self.symbol, reason="open at the end", at_end=True))
        cash = np.zeros(len(self._bars))
        held = np.zeros(len(self._bars))
        for index, amount, qty in self._cash:
            cash[index] += amount
            held[index] += qty
        equity = float(self._wallet) + np.cumsum(cash) + np.cumsum(held) * self._bars.close
        return BacktestResult(
            trades=tuple(self._trades),
            equity=equity[:bars],
            refused=dict(sorted(self._refused.items())),
            bars=bars,
            bars_stepped=self._stepped,
            partial=partial,
            killed=self._engine.state.killed,
        )


def _fixed(settings: Settings, strategy: Strategy, timeframe: str, values: Values | None) -> Settings:
    """The settings with this strategy alone, on this timeframe, with these parameters."""
    chosen = settings.strategies
    given = dict(values) if values is not None else chosen.parameters_of(strategy.name)
    update = {
        "enabled": (strategy.name,),
        "timeframes": {strategy.name: timeframe},
        "parameters": {f"{strategy.name}.{name}": value for name, value in given.items()},
    }
    return settings.model_copy(update={"strategies": chosen.model_copy(update=update)})
