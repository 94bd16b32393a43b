"""Speed and memory of the search. Run: python -m tests.benchmarks.bench_search [DATA_FOLDER] [SYMBOLS_OF_A_YEAR] [year]

Each strategy's scan and run over 30 days, once with everything prepared anew and once with what a search keeps; 54
combinations × 50 parameter sets on one symbol with two threads; a year of 1 m bars for some symbols, one after the
other, with the greatest memory of the process. With ``year`` only the last.
"""

from __future__ import annotations

import copy
import os
import random
import resource
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np

from tests.benchmarks.lab_data import longer, recording
from tests.research.equality import KINDS, draw_values
from tui_trader import clock
from tui_trader.config import default_settings
from tui_trader.core.bars import window_of
from tui_trader.core.candles import TIMEFRAMES
from tui_trader.core.parameters import defaults
from tui_trader.core.regime import CODES, regimes
from tui_trader.research.book import HistoryBook, scan_of
from tui_trader.research.history import History, instrument_of
from tui_trader.research.search import Job, Market, sweep
from tui_trader.strategies.ma_crossover import MaCrossover
from tui_trader.venues.paper import Costs

WALLET = Decimal(10_000)
SETS = 50
YEAR = 525_600
THREADS = 2


def best_of(rounds: int, function: object) -> float:
    """Seconds of the quickest of some calls: what the machine gives when nobody else wants it."""
    times = []
    for _ in range(rounds):
        began = clock.perf_ns()
        function()  # type: ignore[operator]
        times.append((clock.perf_ns() - began) / 1e9)
    return min(times)


def memory_mb() -> float:
    """Greatest resident memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def strategies(market: Market) -> None:
    """Bars of 1 m a second of each strategy on each timeframe, scan included."""
    bars = len(market.history.bars)
    for kind in KINDS:
        values = defaults(kind.parameters)
        for timeframe in dict.fromkeys((kind.timeframe, "1m")):
            strategy = kind()
            market.run(strategy, timeframe, values, wallet=WALLET)

            def whole(strategy: object = strategy, timeframe: str = timeframe, values: object = values) -> None:
                market.run(strategy, timeframe, values, wallet=WALLET)  # type: ignore[arg-type]

            def scan(strategy: object = strategy, timeframe: str = timeframe, values: object = values) -> None:
                scan_of(strategy, market.book, timeframe, values)  # type: ignore[arg-type]

            def anew(strategy: object = strategy, timeframe: str = timeframe, values: object = values) -> None:
                fresh = copy.copy(market)
                fresh.book = HistoryBook(market.history.symbol, market.history.bars)
                fresh.run(strategy, timeframe, values, wallet=WALLET)  # type: ignore[arg-type]

            took, scanned, fresh = best_of(20, whole), best_of(20, scan), best_of(20, anew)
            print(
                f"{kind.name:24} {timeframe:3} {bars / took / 1e6:8.1f} M bars/s   {took * 1e3:6.2f} ms, scan "
                f"{scanned * 1e3:6.2f} ms; nothing kept {bars / fresh / 1e6:8.1f} M bars/s"
            )


def grid(market: Market) -> Iterator[Job]:
    """3 strategies × 3 regimes × 6 timeframes × 50 sets, every one with its own scan."""
    for kind in KINDS:
        if kind is MaCrossover:
            continue
        rng = random.Random(kind.name)
        sets = [draw_values(rng, kind.parameters) for _ in range(SETS)]
        for timeframe in TIMEFRAMES:
            frame = market.book.frame(timeframe)
            found = regimes(window_of(frame))
            for code in CODES.values():
                allowed = np.zeros(len(market.close_ms), dtype=np.bool_)
                allowed[np.searchsorted(market.close_ms, frame.close_ms[found == code])] = True
                for values in sets:
                    yield Job(strategy=kind(), timeframe=timeframe, values=values, allowed=allowed)


def main() -> None:
    """Print the figures."""
    words = sys.argv[1:]
    folder = Path(words[0]) if words else None
    symbols = int(words[1]) if len(words) > 1 else 20
    found = recording(folder, "BTCUSDT")
    print(f"load average {os.getloadavg()[0]:.1f}; {len(found.bars)} bars")
    if "year" not in words:
        searches(found)
    years(folder, symbols)
    print(f"load average {os.getloadavg()[0]:.1f}")


def searches(found: History) -> None:
    """Runs of one symbol: each strategy alone, then the grid."""
    market = Market(found, instrument_of("BTCUSDT"), default_settings(), Costs())
    strategies(market)
    for threads in (1, THREADS):
        began = clock.perf_ns()
        count = trades = 0
        for result in sweep(market, grid(market), wallet=WALLET, threads=threads):
            count += 1
            trades += len(result.trades)
        took = (clock.perf_ns() - began) / 1e9
        print(
            f"{count} runs ({count // SETS} combinations × {SETS} sets), {trades} trades, {threads} threads: "
            f"{took:.1f} s"
        )


def years(folder: Path | None, symbols: int) -> None:
    """A year of each of ``symbols`` recordings in turn: loaded, repeated, scanned, run, freed."""
    names = ["BTCUSDT"] if folder is None else sorted(path.stem for path in folder.glob("*.npz"))
    before = memory_mb()
    began = clock.perf_ns()
    trades = 0
    for number in range(symbols):
        name = names[number % len(names)]
        year = Market(longer(recording(folder, name), YEAR), instrument_of(name), default_settings(), Costs())
        jobs = [Job(strategy=kind(), timeframe=kind.timeframe, values=defaults(kind.parameters)) for kind in KINDS]
        trades += sum(len(found.trades) for found in sweep(year, jobs, wallet=WALLET, threads=THREADS))
        print(f"year of symbol {number + 1}: {memory_mb():.0f} MB", end="\r", flush=True)
    took = (clock.perf_ns() - began) / 1e9
    print(
        f"{symbols} symbols × a year × {len(KINDS)} strategies: {took:.1f} s, {trades} trades, "
        f"{memory_mb():.0f} MB (before {before:.0f})"
    )


if __name__ == "__main__":
    main()
