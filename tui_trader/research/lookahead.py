"""Does a strategy see the future, and does it depend on where its history began?

Every decision is made again: on history that ends right after the bar; on history whose future is replaced by NaN, by
huge numbers, by its own bars in another order, by its mirror image; live, bar by bar, without any future at all; and on
histories that begin later. A decision that changes with what came after it is lookahead, whatever else it is.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from tui_trader.core.bars import Bars, window_of
from tui_trader.core.candles import CandleBook
from tui_trader.core.instruments import Instrument
from tui_trader.core.parameters import Values
from tui_trader.core.regime import CODES, UNKNOWN, regime_at, regimes
from tui_trader.core.settings import Settings
from tui_trader.core.signals import MarketState, Strategy
from tui_trader.core.types import MINUTE_MS, Side
from tui_trader.research.backtest import Backtest, BacktestResult, Trade
from tui_trader.research.book import GrowingBook, HistoryBook, scan_of
from tui_trader.research.history import History, make_history
from tui_trader.research.poison import POISONS, poisoned
from tui_trader.venues.paper import Costs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

WITHIN = 1e-9
"""Relative difference up to which two numbers are the same: the sums behind them may be added in another order."""
LIVE_WITHIN = 1e-6
"""The same for the live book, whose averages began at its own first bar."""
RANDOM_CUTS = 40
POISON_CUTS = 12
BACKTEST_CUTS = 4
BACKTEST_MINUTES = 8 * 1_440
"""Backtests run on the newest part of the history, and on a day of another future beyond each cut."""
AFTER_MINUTES = 1_440
WARM_STARTS = (1, 2, 3, 5, 8, 13, 21, 34)
"""Later beginnings that are tried, in 1/100 of the history."""
LIVE = "live"
"""The check of ``on_bar``, bar by bar on a live book, against the scan."""
COLUMNS = ("side", "conviction", "stop", "target", "regime")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One decision that changed. ``check`` says what was done to the future (``LIVE``: there was none), ``path`` whose
    decision it is (scan, on_bar, backtest, regime); ``bar_ms`` is the close of its bar, ``cut_ms`` the end of the past.
    """

    check: str
    path: str
    bar_ms: int
    cut_ms: int
    with_future: str
    without: str


class WarmUp(msgspec.Struct, frozen=True, kw_only=True):
    """From how many bars of history on decisions no longer depend on where it began.

    ``declared`` is what the strategy asks for, with that of its higher timeframe. ``sides`` and ``values`` (sides, and
    numbers to 1e-6) are −1 when they still changed at the end of the history; ``regimes`` likewise. ``starts`` are the
    beginnings that were tried, in bars.
    """

    declared: int
    sides: int
    values: int
    regimes: int
    starts: tuple[int, ...]

    @property
    def stable(self) -> bool:
        """Whether the sides are settled with the history that the strategy asks for."""
        return 0 <= self.sides <= self.declared


class LookaheadReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the checks found. ``first`` is the earliest decision that changed; ``findings`` the first of each check."""

    strategy: str
    symbol: str
    timeframe: str
    bars: int
    decisions: int
    cuts: int
    poisoned: int
    live_bars: int
    backtests: int
    trades: int
    findings: tuple[Finding, ...]
    warm_up: WarmUp

    @property
    def clean(self) -> bool:
        """Whether nothing changed with the future, and what is tested is what trades."""
        return not self.findings

    @property
    def lookahead(self) -> bool:
        """Whether a decision changed with the future; else findings are only differences between scan and live."""
        return any(found.check != LIVE for found in self.findings)

    @property
    def first(self) -> Finding | None:
        """The earliest decision that changed."""
        return min(self.findings, key=lambda f: f.bar_ms, default=None)


class _Decisions(msgspec.Struct, frozen=True):
    """What is decided at each bar's close: ``rows`` (n, 5) as in ``COLUMNS``, NaN for none."""

    close_ms: NDArray[np.int64]
    rows: Floats
    ready: NDArray[np.bool_]
    """Where the strategy has the history that it asks for."""
    failed: str = ""


class Checker:
    """All checks of one strategy on one history. ``cuts`` bounds how many decision bars are cut after; ``seed`` chooses
    the other bars. ``progress(done, total)`` is told after each re-run.
    """

    def __init__(
        self,
        strategy: Strategy,
        history: History,
        settings: Settings,
        instrument: Instrument,
        *,
        timeframe: str,
        values: Values,
        cuts: int = 100,
        seed: int = 7,
        progress: Callable[[int, int], object] = lambda done, total: None,
    ) -> None:
        self._strategy = strategy
        self._history = history
        self._settings = settings
        self._instrument = instrument
        self._timeframe = timeframe
        self._values = values
        self._most = cuts
        self._rng = random.Random(seed)
        self._progress = progress
        self._findings: dict[tuple[str, str], Finding] = {}
        self._done = self._total = 0

    def run(self) -> LookaheadReport:
        """Check everything; what the strategy raises on a shortened history counts as another decision."""
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return self._run()

    def _run(self) -> LookaheadReport:
        full = self._decide(self._history.bars)
        if full.failed:
            raise ValueError(f"{self._strategy.name} fails on the whole history already: {full.failed}")
        bars = len(full.close_ms)
        needed, _ = self._strategy.history(self._values)
        if bars <= needed:
            raise ValueError(
                f"{bars} bars of {self._timeframe} are too few to check {self._strategy.name}, which asks for {needed} "
                "before it decides; give more candles, or a shorter --timeframe."
            )
        decided = np.flatnonzero(full.rows[:, 0] != 0)
        cuts = self._cuts(decided, bars)
        poisons = _spread(cuts, POISON_CUTS)
        starts = [bars * share // 100 for share in WARM_STARTS]
        self._total = len(cuts) + 4 * len(poisons) + 1 + 4 * BACKTEST_CUTS + len(starts) + 1
        for cut in cuts:
            self._compare("truncated", full, self._decide(self._until(int(full.close_ms[cut]))), cut)
        for cut in poisons:
            for name, poison in POISONS.items():
                changed = poisoned(self._history.bars, int(full.close_ms[cut]), poison, self._rng)
                self._compare(name, full, self._decide(changed), cut)
        live = self._live(full, cuts)
        backtests, trades = self._backtests(full.close_ms[decided])
        warm_up = self._warm_up(full, starts)
        return LookaheadReport(
            strategy=self._strategy.name,
            symbol=self._history.symbol,
            timeframe=self._timeframe,
            bars=bars,
            decisions=len(decided),
            cuts=len(cuts),
            poisoned=4 * len(poisons),
            live_bars=live,
            backtests=backtests,
            trades=trades,
            findings=tuple(sorted(self._findings.values(), key=lambda f: (f.bar_ms, f.check, f.path))),
            warm_up=warm_up,
        )

    def _cuts(self, decided: NDArray[np.int64], bars: int) -> list[int]:
        """Bars to cut after: where something is decided, and some where nothing is."""
        own = _spread([int(i) for i in decided], self._most)
        count, _ = self._strategy.history(self._values)
        others = range(min(count, bars - 1), bars)
        chance = self._rng.sample(others, min(RANDOM_CUTS, len(others)))
        return sorted({*own, *chance, bars - 1})

    # --- decisions anew ---

    def _until(self, end_ms: int) -> Bars:
        bars = self._history.bars
        return bars.slice(0, int(np.searchsorted(bars.open_ms, end_ms)))

    def _decide(self, minutes: Bars) -> _Decisions:
        """What the strategy's scan says at every bar, and the regime there."""
        book = HistoryBook(self._history.symbol, minutes)
        frame = book.frame(self._timeframe)
        ready = self._ready(book)
        rows = np.full((len(frame), len(COLUMNS)), np.nan)
        rows[:, 4] = regimes(window_of(frame)) if len(frame) else 0
        try:
            scan = scan_of(self._strategy, book, self._timeframe, self._values)
        except Exception as error:  # noqa: BLE001 - it may be anybody's code, and to fail is to decide otherwise
            return _Decisions(frame.close_ms, rows, ready, f"{type(error).__name__}: {error}")
        rows[:, 0] = 0.0
        for column, found in enumerate((scan.side, scan.conviction, scan.stop, scan.target)):
            rows[scan.bars, column] = found
        self._tick()
        return _Decisions(frame.close_ms, rows, ready)

    def _ready(self, book: HistoryBook) -> NDArray[np.bool_]:
        frame, above = book.frame(self._timeframe), self._strategy.higher(self._timeframe)
        count, above_count = self._strategy.history(self._values)
        ready = np.arange(len(frame)) + 1 >= count
        if above is not None:
            ready &= window_of(frame, book.frame(above)).higher_closed() >= above_count
        return ready

    def _tick(self) -> None:
        self._done += 1
        self._progress(min(self._done, self._total), self._total)

    def _compare(self, check: str, full: _Decisions, other: _Decisions, cut: int) -> None:
        """The decisions up to and with bar ``cut``."""
        if other.failed:
            self._add(check, "scan", full, cut, cut, _words(full.rows[cut]), f"it fails: {other.failed}")
            return
        # Where the bar's last minute is missing, its close is only known with the next bar.
        known = min(cut + 1, len(other.rows))
        one, two = full.rows[:known], other.rows[:known]
        for path, columns in (("scan", slice(0, 4)), ("regime", slice(4, 5))):
            changed = np.flatnonzero(~_alike(one[:, columns], two[:, columns], WITHIN).all(axis=1))
            if len(changed):
                at = int(changed[0])
                self._add(check, path, full, at, cut, _words(one[at], path), _words(two[at], path))

    def _add(self, check: str, path: str, full: _Decisions, at: int, cut: int, seen: str, without: str) -> None:
        found = Finding(
            check=check,
            path=path,
            bar_ms=int(full.close_ms[at]),
            cut_ms=int(full.close_ms[cut]),
            with_future=seen,
            without=without,
        )
        known = self._findings.get((check, path))
        if known is None or found.bar_ms < known.bar_ms:
            self._findings[check, path] = found

    # --- live ---

    def _live(self, full: _Decisions, cuts: list[int]) -> int:
        """``on_bar`` on a live book that never holds more than what is closed, against the scan that saw everything.

        A book begins where the history does; its averages must have begun with the first bar, so the first bar with
        enough history is always looked at. Returns how many bars were.
        """
        bars = self._history.bars
        above = self._strategy.higher(self._timeframe)
        count, above_count = self._strategy.history(self._values)
        wanted = {int(full.close_ms[cut]): cut for cut in cuts}
        book = GrowingBook(self._history.symbol)
        looked = 0
        warm = False
        for index in range(len(bars)):
            closed = dict(book.update(bars.candle(index), closed=True))
            now = int(bars.open_ms[index]) + MINUTE_MS
            if self._timeframe not in closed or not (now in wanted or not warm):
                continue
            ready = len(book.closed(self._timeframe, count)) >= count
            ready = ready and (above is None or len(book.closed(above, above_count)) >= above_count)
            code = self._code(book)
            if not ready:
                continue
            warm = True
            row = self._on_bar(book)
            if now in wanted:
                looked += 1
                self._compare_live(full, wanted[now], row, code)
        self._tick()
        return looked

    def _code(self, book: CandleBook) -> int:
        regime = regime_at(book, self._timeframe)
        return CODES[regime] if regime is not None else UNKNOWN

    def _on_bar(self, book: CandleBook) -> Floats | str:
        state = MarketState(
            symbol=self._history.symbol, candles=book, timeframe=self._timeframe, values=self._values, source="check"
        )
        try:
            signal = self._strategy.on_bar(state)
        except Exception as error:  # noqa: BLE001 - as above
            return f"it fails: {type(error).__name__}: {error}"
        row = np.full(len(COLUMNS), np.nan)
        row[0] = 0
        if signal is not None and signal.side is not None:
            row[0] = 1 if signal.side is Side.LONG else -1
            row[1] = signal.conviction
            row[2] = np.nan if signal.stop is None else float(signal.stop)
            row[3] = np.nan if signal.target is None else float(signal.target)
        return row

    def _compare_live(self, full: _Decisions, at: int, row: Floats | str, code: int) -> None:
        seen = full.rows[at]
        if isinstance(row, str):
            self._add(LIVE, "on_bar", full, at, at, _words(seen), row)
        elif not _alike(seen[:4], row[:4], LIVE_WITHIN).all():
            self._add(LIVE, "on_bar", full, at, at, _words(seen), _words(row))
        if code != int(seen[4]):
            row_ = np.array([np.nan] * 4 + [code])
            self._add(LIVE, "regime", full, at, at, _words(seen, "regime"), _words(row_, "regime"))

    # --- whole backtests ---

    def _backtests(self, decided_ms: NDArray[np.int64]) -> tuple[int, int]:
        """Trades on histories that end, or are mirrored, a minute after an entry, and after decisions that the scan
        made, traded or not; returns how many runs, and trades of the whole.
        """
        minutes = self._history.bars
        minutes = minutes.slice(max(0, len(minutes) - BACKTEST_MINUTES), len(minutes))
        whole = self._trade(minutes)
        entered = _spread([trade.decided_ms for trade in whole.trades], BACKTEST_CUTS)
        others = _spread([int(ms) for ms in decided_ms if ms > minutes.open_ms[0]], BACKTEST_CUTS)
        ends = sorted({ms + MINUTE_MS for ms in (*entered, *others)})
        for end in ends:
            later = int(np.searchsorted(minutes.open_ms, end))
            beyond = minutes.slice(0, later + AFTER_MINUTES)
            changed = {
                "truncated": minutes.slice(0, later),
                "mirrored": poisoned(beyond, end, POISONS["mirrored"], self._rng),
            }
            for name, bars in changed.items():
                self._compare_trades(name, whole, self._trade(bars), end)
        return 1 + 2 * len(ends), len(whole.trades)

    def _trade(self, bars: Bars) -> BacktestResult:
        past = self._history
        inside = (past.funding_ms >= int(bars.open_ms[0])) & (past.funding_ms <= int(bars.open_ms[-1]))
        history = make_history(past.symbol, bars, past.funding_ms[inside], past.funding_rate[inside], past.source)
        run = Backtest(
            history,
            self._strategy,
            self._settings,
            self._instrument,
            wallet=Decimal(10_000),
            costs=Costs(),
            values=self._values,
            timeframe=self._timeframe,
        )
        result = run.run()
        self._tick()
        return result

    def _compare_trades(self, check: str, whole: BacktestResult, other: BacktestResult, end_ms: int) -> None:
        """Every trade decided before the end is there with the same entry; what was over by then is the same."""
        known = [_past(trade, end_ms) for trade in whole.trades if trade.decided_ms < end_ms]
        found = [_past(trade, end_ms) for trade in other.trades if trade.decided_ms < end_ms]
        for at in range(max(len(known), len(found))):
            one = known[at] if at < len(known) else "no trade"
            two = found[at] if at < len(found) else "no trade"
            if one == two:
                continue
            source = whole.trades[at] if at < len(known) else other.trades[at]
            key = (check, "backtest")
            finding = Finding(
                check=check,
                path="backtest",
                bar_ms=source.decided_ms,
                cut_ms=end_ms,
                with_future=one,
                without=two,
            )
            if key not in self._findings or source.decided_ms < self._findings[key].bar_ms:
                self._findings[key] = finding
            return

    # --- warm-up ---

    def _warm_up(self, full: _Decisions, starts: list[int]) -> WarmUp:
        sides = values = regime = 0
        declared, _ = self._strategy.history(self._values)
        tried: list[int] = []
        minutes = self._history.bars
        for start in starts:
            if start < 1:
                continue
            begin = int(full.close_ms[start - 1])
            other = self._decide(minutes.slice(int(np.searchsorted(minutes.open_ms, begin)), len(minutes)))
            if other.failed or not len(other.rows):
                sides = values = -1
                continue
            tried.append(start)
            one, two = full.rows[-len(other.rows) :], other.rows
            # Before the strategy has its history it says nothing: that is no dependence.
            quiet = ~other.ready
            declared = max(declared, int(np.argmax(other.ready)) + 1)
            same_side = (one[:, 0] == two[:, 0]) | quiet
            same = _alike(one[:, :4], two[:, :4], LIVE_WITHIN).all(axis=1) | quiet
            same_regime = (one[:, 4] == two[:, 4]) | (two[:, 4] == UNKNOWN)
            sides = _longer(sides, same_side)
            values = _longer(values, same)
            regime = _longer(regime, same_regime)
        return WarmUp(declared=declared, sides=sides, values=values, regimes=regime, starts=tuple(tried))


# --- comparing ---


def _alike(one: Floats, two: Floats, within: float) -> NDArray[np.bool_]:
    return np.isclose(one, two, rtol=within, atol=0.0, equal_nan=True)


def _longer(known: int, same: NDArray[np.bool_]) -> int:
    """The longest warm-up so far: one more than the last bar that differs, −1 when that is at the very end."""
    differ = np.flatnonzero(~same)
    if known < 0 or not len(differ):
        return known
    return -1 if int(differ[-1]) >= len(same) - 1 - len(same) // 20 else max(known, int(differ[-1]) + 1)


def _spread(found: list[int], most: int) -> list[int]:
    """At most ``most`` of them, from the first to the last."""
    if len(found) <= most:
        return found
    return [found[round(i)] for i in np.linspace(0, len(found) - 1, most)]


def _words(row: Floats, path: str = "scan") -> str:
    if path == "regime":
        names: dict[int, str] = {code: regime.value for regime, code in CODES.items()}
        return names.get(int(row[4]), "not known yet")
    side = {1: "long", -1: "short"}.get(int(row[0]), "hold")
    if side == "hold":
        return side
    prices = [
        f"{name} {value:.10g}" for name, value in zip(("stop", "target"), row[2:4], strict=True) if value == value
    ]
    return ", ".join((f"{side}, conviction {row[1]:.4f}", *prices))


def _past(trade: Trade, end_ms: int) -> str:
    """What of a trade had happened by ``end_ms``, in words."""
    parts: Iterator[str] = (f"{e.leg} {e.qty:g} at {e.price:g}" for e in trade.exits if e.ts < end_ms)
    entry = f"{trade.side.value} {trade.qty:g} at {trade.entry:g}, stop {trade.stop:g}"
    return "; ".join((entry, *parts))
