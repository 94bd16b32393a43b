"""The fast path: a strategy's scan, the gate as arrays, and the compiled kernel; the same trades as the engine's.

It leaves out what needs more than one symbol or a live venue: other positions' margin, a person's pauses, liquidation,
refusals that rest on an order book (candles hold none), the limit of orders per minute, stops or targets moved by hand.
A latency is refused. Final candidates are run again by the engine (``research.backtest``).
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from tui_trader.core.candles import ATR_DECIMALS, Indicator
from tui_trader.core.instruments import Instrument
from tui_trader.core.parameters import Values
from tui_trader.core.series import ranks
from tui_trader.core.settings import Settings, SizingModel
from tui_trader.core.signals import Strategy
from tui_trader.core.sizing import effective_leverage
from tui_trader.core.tiers import Classifier
from tui_trader.core.types import DAY_MS, HOUR_MS, MINUTE_MS, Side
from tui_trader.errors import UsageError
from tui_trader.research import kernel as k
from tui_trader.research.backtest import DEPTH_USDT, BacktestResult, Exit, Trade
from tui_trader.research.book import HistoryBook, day_volume, scan_of
from tui_trader.research.history import History
from tui_trader.venues.paper import Costs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Flags = NDArray[np.bool_]

_MODELS = {
    SizingModel.MARGIN_FRACTION: k.BY_MARGIN,
    SizingModel.FIXED_RISK: k.BY_RISK,
    SizingModel.FIXED_MARGIN: k.BY_FIXED_MARGIN,
}
_LEGS = {k.LEG_STOP: "STOP", k.LEG_TP1: "TP1", k.LEG_TP2: "TP2", k.LEG_CLOSE: "CLOSE"}


class Found(msgspec.Struct, frozen=True):
    """Trades of one run as arrays: (count, TRADE_COLUMNS) and (count, MOST_EXITS, EXIT_COLUMNS), see ``kernel``."""

    trades: Floats
    exits: Floats
    killed: bool = False
    """Whether the total loss limit ended it."""

    @property
    def pnl(self) -> Floats:
        """Result of each trade after costs, USDT."""
        return self.trades[:, k.T_PNL]


def _compiled() -> Callable[..., int]:
    from tui_trader.research import compiled

    return compiled.simulate


class Market:
    """One history, prepared once for any number of runs. Safe to share between threads.

    Raises ``UsageError`` for costs with a latency: the kernel fills at the next price, whenever that is.
    """

    def __init__(self, history: History, instrument: Instrument, settings: Settings, costs: Costs) -> None:
        if costs.latency_ms:
            raise UsageError("The fast path knows no latency; set it to 0, or let the engine run this backtest.")
        self.history = history
        self.instrument = instrument
        self.settings = settings
        self.costs = costs
        self.book = HistoryBook(history.symbol, history.bars)
        bars = history.bars
        self.close_ms = self.book.closes("1m")
        self.funding_at = np.zeros(len(bars))
        if costs.funding:
            due = history.charges
            # The kernel charges at the bar's open; a price from before a gap is told as a rate on that.
            np.add.at(self.funding_at, due.bars, due.rates * (due.prices / bars.open[due.bars]))
        whole = len(bars) // k.BLOCK * k.BLOCK
        self._tops = bars.high[:whole].reshape(-1, k.BLOCK).max(axis=1)
        self._bottoms = bars.low[:whole].reshape(-1, k.BLOCK).min(axis=1)
        self._marks = self._find_marks()
        self._rates = np.append(self.funding_at, 0.0)[self._marks]
        self.atr = self._atr()
        self.allowed = self._gate()
        self._prepared: tuple[Settings, Decimal, Floats] | None = None

    def _find_marks(self) -> Ints:
        """The bars at whose open funding is charged, or that close first on a new day, and the number of bars."""
        count = len(self.close_ms)
        if not count:
            return np.zeros(1, dtype=np.int64)
        days = np.arange(self.close_ms[0] // DAY_MS + 1, self.close_ms[-1] // DAY_MS + 1) * DAY_MS
        found = np.union1d(np.searchsorted(self.close_ms, days), np.flatnonzero(self.funding_at))
        return np.append(found, count)

    def _atr(self) -> Floats:
        """The ladder's ATR as the gate sees it at each bar's close; NaN where it refuses for lack or age of it."""
        ladder = self.settings.ladder
        closes = self.book.closes(ladder.atr_timeframe)
        window = self.book.window(ladder.atr_timeframe)
        values = np.round(window.indicator(Indicator.ATR, ladder.atr_period), ATR_DECIMALS)
        # The first place is for bars before any of the ladder's timeframe has closed.
        known = ranks(closes, self.close_ms)
        old = self.close_ms - np.append(0, closes)[known] > ladder.max_atr_age_s * 1000
        result: Floats = np.append(np.nan, values)[known]
        result[old] = np.nan
        return result

    def _gate(self) -> dict[Side, Flags]:
        """Where the gate lets an entry of a side through, as far as history can tell."""
        universe, funding, now = self.settings.universe, self.settings.funding, self.close_ms
        tier, _ = Classifier(self.settings.tiers).tier(self.instrument.base_asset)
        quoted = self.costs.quoted
        mid = (quoted.ask(1.0) + quoted.bid(1.0)) / 2
        spread_bps = (quoted.ask(1.0) - quoted.bid(1.0)) / mid * 1e4
        if (
            not self.settings.limits.enabled
            or quoted.half_spread_bps / 1e4 > self.settings.limits.price_collar
            or tier not in universe.allowed_tiers
            or spread_bps > universe.max_spread_bps
            or universe.min_depth > DEPTH_USDT
        ):
            return dict.fromkeys(Side, np.zeros(len(now), dtype=np.bool_))
        good = (day_volume(self.history) >= universe.min_volume_24h) & (self.atr > 0)
        stamps = self.history.funding_ms
        interval = max(1, self.instrument.funding_interval_hours) * HOUR_MS
        known = ranks(stamps, now)
        due = np.append(stamps, 0)[known]
        last = slice(int(np.searchsorted(known, len(stamps))), None)
        due[last] = (now[last] // interval + 1) * interval
        left = (due - now) / MINUTE_MS
        since = interval / MINUTE_MS - left
        good &= (left > funding.pre_window_min) & ~((since >= 0) & (since < funding.post_window_min))
        # Charged last, and so what stands for the next one that nobody knows yet.
        rate = np.append(0.0, self.history.funding_rate)
        long = (rate >= funding.min_long_funding) & ~((rate > 0) & (rate >= funding.max_abs_funding))
        short = (rate <= funding.max_short_funding) & ~((rate <= 0) & (-rate >= funding.max_abs_funding))
        return {Side.LONG: good & long[known], Side.SHORT: good & short[known]}

    def run(
        self,
        strategy: Strategy,
        timeframe: str,
        values: Values,
        *,
        wallet: Decimal,
        allowed: Flags | None = None,
        plain: bool = False,
    ) -> Found:
        """All trades of one parameter set. ``allowed`` (a flag for each 1 m bar) narrows where entries may be decided.

        ``plain`` runs the kernel uncompiled.
        """
        bars = self.history.bars
        scan = scan_of(strategy, self.book, timeframe, values)
        at = self.book.minutes_of(timeframe, scan.bars)
        decisions = np.stack((at, scan.side, scan.conviction, scan.stop, scan.target), dtype=np.float64)
        longs, shorts = (
            self.allowed[side] if allowed is None else self.allowed[side] & allowed for side in (Side.LONG, Side.SHORT)
        )
        trades = np.empty((len(at), k.TRADE_COLUMNS))
        exits = np.empty((len(at), k.MOST_EXITS, k.EXIT_COLUMNS))
        account = np.zeros(k.ACCOUNTS)
        simulate = k.simulate if plain else _compiled()
        count = simulate(
            bars.open, bars.high, bars.low, bars.close, bars.open_ms, self._tops, self._bottoms, self._marks,
            self._rates, longs, shorts, self.atr, decisions, self.parameters(wallet),
            np.zeros(k.STATES), account, trades, exits,
        )  # fmt: skip
        return Found(trades[:count].copy(), exits[:count].copy(), bool(account[k.A_TOTAL]))

    def parameters(self, wallet: Decimal) -> Floats:
        """Settings, instrument and costs as the kernel's array; kept until one of them is another."""
        prepared = self._prepared
        if prepared is None or prepared[0] is not self.settings or prepared[1] != wallet:
            prepared = self._prepared = (self.settings, wallet, self._parameters(wallet))
        return prepared[2]

    def _parameters(self, wallet: Decimal) -> Floats:
        instrument, ladder, sizing = self.instrument, self.settings.ladder, self.settings.sizing
        limits, execution = self.settings.limits, self.settings.execution
        tier, _ = Classifier(self.settings.tiers).tier(instrument.base_asset)
        market_step = max(instrument.step_size, instrument.market_step_size)
        numbers: dict[int, float | Decimal | int] = {
            k.WALLET: wallet,
            k.HALF_SPREAD: self.costs.half_spread_bps / 1e4,
            k.SLIPPAGE: self.costs.slippage_bps / 1e4,
            k.MAKER: instrument.maker_fee,
            k.TAKER: instrument.taker_fee,
            k.UNIT: 1 / instrument.tick_size,
            k.STEPS: 1 / instrument.step_size,
            k.MARKET_STEPS: market_step / instrument.step_size,
            k.MIN_STEPS: instrument.min_qty / instrument.step_size,
            k.MAX_STEPS: instrument.market_max_qty / instrument.step_size,
            k.MIN_NOTIONAL: instrument.min_notional,
            k.SL_MULT: ladder.atr_mult_sl,
            k.TP1_MULT: ladder.atr_mult_tp1,
            k.TP2_MULT: ladder.atr_mult_tp2,
            k.BE_MULT: ladder.atr_mult_be,
            k.TRAIL_MULT: ladder.trail_dist_mult,
            k.BE_OFFSET: ladder.break_even_offset_bps,
            k.PART_1: ladder.partial_close_tp1,
            k.PART_2: ladder.partial_close_tp2,
            k.FIXED_SL: ladder.fixed_sl_pct,
            k.FIXED_TP: ladder.fixed_tp_pct,
            k.SIZE_MODEL: _MODELS[sizing.model],
            k.BASE_FRACTION: sizing.base_risk_frac,
            k.MAX_FRACTION: sizing.max_risk_frac,
            k.FACTOR_MIN: sizing.min_ai_risk_factor,
            k.FACTOR_MAX: sizing.max_ai_risk_factor,
            k.MIN_MARGIN: sizing.min_margin,
            k.MAX_MARGIN: sizing.max_margin,
            k.FIXED_MARGIN: sizing.fixed_margin,
            k.FIXED_RISK: sizing.fixed_risk_frac,
            k.LEVERAGE: min(effective_leverage(sizing, tier), instrument.max_leverage),
            k.MAX_TOTAL_RISK: limits.max_total_risk,
            k.MAX_NOTIONAL: limits.max_notional_per_symbol,
            k.DAILY_LOSS: limits.daily_loss,
            k.DAILY_FRACTION: limits.daily_loss_frac,
            k.TOTAL_LOSS: limits.total_loss,
            k.TOTAL_FRACTION: limits.total_loss_frac,
            k.THRESHOLD: self.settings.strategies.threshold,
            k.COOLDOWN_MS: int(self.settings.strategies.cooldown_min * MINUTE_MS),
            k.TRAIL_PAUSE_MS: execution.trail_min_interval_s * 1000,
            k.TRAIL_STEP: execution.trail_step_ticks,
        }
        result = np.zeros(k.PARAMETERS)
        for place, number in numbers.items():
            result[place] = float(number)
        return result

    def result(self, found: Found, strategy: str, wallet: Decimal) -> BacktestResult:
        """The run as the engine's path gives it, with the equity at each bar's close."""
        bars = self.history.bars
        trades = self.trades_of(found, strategy)
        cash, held = np.zeros(len(bars)), np.zeros(len(bars))
        for trade in trades:
            sign = trade.side.sign
            paid = trade.fees - math.fsum(e.fee for e in trade.exits)
            cash[trade.entry_bar] -= trade.entry * trade.qty * sign + paid
            held[trade.entry_bar] += trade.qty * sign
            for leg in trade.exits:
                cash[leg.bar] += leg.price * leg.qty * sign - leg.fee
                held[leg.bar] -= leg.qty * sign
            self._book_funding(trade, cash)
        return BacktestResult(
            trades=trades,
            equity=float(wallet) + np.cumsum(cash) + np.cumsum(held) * bars.close,
            refused={},
            bars=len(bars),
            bars_stepped=0,
            partial=False,
            killed="the total loss limit is reached" if found.killed else "",
        )

    def _book_funding(self, trade: Trade, cash: Floats) -> None:
        """What the trade paid at each stamp, as the kernel charged it."""
        open_qty = trade.qty
        last = trade.exit_bar if not trade.open_at_end else len(cash) - 1
        exits = list(trade.exits)
        for bar in range(trade.entry_bar + 1, last + 1):
            while exits and exits[0].bar < bar:
                open_qty -= exits.pop(0).qty
            if self.funding_at[bar]:
                cash[bar] -= trade.side.sign * open_qty * self.history.bars.open[bar] * self.funding_at[bar]

    def trades_of(self, found: Found, strategy: str) -> tuple[Trade, ...]:
        """The same trades as the engine's report has them."""
        return tuple(
            _trade(self.history, row, rows, strategy) for row, rows in zip(found.trades, found.exits, strict=True)
        )


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a sweep. ``allowed`` as for ``Market.run``."""

    strategy: Strategy
    timeframe: str
    values: Values
    allowed: Flags | None = None


def sweep(market: Market, jobs: Iterable[Job], *, wallet: Decimal, threads: int = 0) -> Iterator[Found]:
    """The results of ``jobs`` in their order, from ``threads`` threads (0: one for each core, 1: this one).

    The arithmetic runs without the interpreter's lock. Jobs are drawn as results are taken, so that memory stays
    bounded however many there are.
    """

    def run(job: Job) -> Found:
        return market.run(job.strategy, job.timeframe, job.values, wallet=wallet, allowed=job.allowed)

    count = threads or os.cpu_count() or 1
    if count == 1:
        yield from map(run, jobs)
        return
    waiting: deque[Future[Found]] = deque()
    with ThreadPoolExecutor(count, thread_name_prefix="sweep") as pool:
        try:
            for job in jobs:
                waiting.append(pool.submit(run, job))
                if len(waiting) >= 4 * count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _trade(history: History, row: Floats, exits: Floats, strategy: str) -> Trade:
    count = int(row[k.T_EXITS])
    legs = tuple(
        Exit(int(e[k.E_BAR]), int(e[k.E_TS]), _LEGS[int(e[k.E_LEG])], e[k.E_PRICE], e[k.E_QTY], e[k.E_FEE])
        for e in exits[:count].tolist()
    )
    still_open = row[k.T_OPEN] > 0
    return Trade(
        symbol=history.symbol,
        strategy=strategy,
        side=Side.LONG if row[k.T_SIDE] > 0 else Side.SHORT,
        decided_ms=int(row[k.T_DECIDED]),
        entry_bar=int(row[k.T_BAR]),
        entry_ms=int(history.bars.open_ms[int(row[k.T_BAR])]),
        entry=float(row[k.T_ENTRY]),
        qty=float(row[k.T_QTY]),
        stop=float(row[k.T_STOP]),
        atr=float(row[k.T_ATR]),
        conviction=float(row[k.T_CONVICTION]),
        exits=legs,
        pnl=float(row[k.T_PNL]),
        fees=float(row[k.T_FEES]),
        funding=float(row[k.T_FUNDING]),
        reason="open at the end" if still_open else legs[-1].leg,
        ambiguous=bool(row[k.T_AMBIGUOUS]),
        open_at_end=bool(still_open),
    )
