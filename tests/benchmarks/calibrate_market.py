"""Measure recorded Binance books and compare them with the simulated market.

    python -m tests.benchmarks.calibrate_market FOLDER [--minutes N] [--seed S]

FOLDER holds raw frames named `btcusdt_*.gz` and `ethusdt_*.gz` (a line: `<receive time, ns> <JSON>`, with one REST
depth snapshot among them). The measured columns are what `exchange/calibration.py` states; the simulated ones
come from a run of the packaged market. Sizes are in minutes of mean traded volume (see `calibration`).
"""

import argparse
import gzip
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.exchange.maker_replay import START_MS, MakerReplay, Minute
from tui_trader.clock import perf_ns
from tui_trader.exchange import calibration as cal
from tui_trader.exchange.contract import STEP_MS
from tui_trader.exchange.market_maker import build_markets

TICKS = {"BTCUSDT": 0.1, "ETHUSDT": 0.01}
Figures = dict[str, float]


def frames(folder: Path, symbol: str) -> Iterator[dict]:
    """Decoded frames of all files of a symbol, in order of the file names."""
    for file in sorted(folder.glob(f"{symbol.lower()}_*.gz")):
        with gzip.open(file, "rt") as lines:
            for line in lines:
                yield json.loads(line.split(" ", 1)[1])


class Recorded:
    """Figures of one recorded symbol."""

    def __init__(self, symbol: str) -> None:
        self.tick = TICKS[symbol]
        self.book: dict[str, dict[int, float]] = {"b": {}, "a": {}}
        self.last_id: int | None = None
        self.tops: list[tuple[int, int, float, int]] = []
        self.trades: list[tuple[int, float, bool]] = []
        self.depth: list[list[float]] = []
        self.near: list[float] = []
        self.diffs = self.changes = 0

    def ticks(self, price: str) -> int:
        return round(float(price) / self.tick)

    def feed(self, frame: dict) -> None:
        if "lastUpdateId" in frame:
            self.last_id = frame["lastUpdateId"]
            for side, name in (("b", "bids"), ("a", "asks")):
                self.book[side] = {self.ticks(p): float(q) for p, q in frame[name]}
            return
        kind, data = frame["stream"].split("@")[1], frame["data"]
        if kind == "bookTicker":
            self.tops.append((data["T"], self.ticks(data["b"]), float(data["B"]), self.ticks(data["a"])))
        elif kind == "trade":
            if data.get("X", "MARKET") == "MARKET":
                self.trades.append((data["T"], float(data["p"]) * float(data["q"]), data["m"]))
        elif self.last_id is not None and data["u"] >= self.last_id:
            self.diff(data)

    def diff(self, data: dict) -> None:
        for side in ("b", "a"):
            book = self.book[side]
            for p, q in data[side]:
                if float(q):
                    book[self.ticks(p)] = float(q)
                else:
                    book.pop(self.ticks(p), None)
            self.changes += len(data[side])
        self.diffs += 1
        if self.diffs % 20 == 0:
            self.sample_depth()

    def sample_depth(self) -> None:
        bids, asks = self.book["b"], self.book["a"]
        bid, ask = max(bids), min(asks)
        row = []
        for bps in cal.DEPTH_BPS:
            reach = bps * 1e-4 * bid
            total = sum(p * q for p, q in bids.items() if p >= bid - reach)
            row.append(self.tick * (total + sum(p * q for p, q in asks.items() if p <= ask + reach)))
        self.depth.append(row)
        self.near.append(sum(bid - k in bids for k in range(10)) / 10)

    def figures(self) -> Figures:
        """All figures; depth in minutes of mean volume."""
        tops = np.array(self.tops)
        seconds = (tops[-1, 0] - tops[0, 0]) / 1000
        notional = np.array([n for _, n, _ in self.trades])
        minute = notional.sum() / (seconds / 60)
        held = np.diff(tops[:, 0], append=tops[-1, 0])
        grid = np.searchsorted(tops[:, 0], np.arange(tops[0, 0], tops[-1, 0], STEP_MS), "right") - 1
        sides = np.array([maker for _, _, maker in self.trades])
        stamps = np.array([t * 2 + maker for t, _, maker in self.trades])
        _, where = np.unique(stamps, return_inverse=True)
        takers = np.bincount(where, notional)
        result = {"volume, M USDT/min": minute / 1e6}
        for bps, depth in zip(cal.DEPTH_BPS, np.median(np.array(self.depth), axis=0), strict=True):
            result[f"depth within {bps:g} bps, min"] = depth / minute
        touch = tops[grid, 2]
        return result | {
            "median best quantity, min": float(np.median(touch * tops[grid, 1]) * self.tick / minute),
            "log sigma best quantity": float(np.log(touch).std()),
            "near ticks with a level": float(np.mean(self.near)),
            "time with spread > 1 tick": float(held[tops[:, 3] - tops[:, 1] > 1].sum() / held.sum()),
            "best bid moved in 500 ms": float((np.diff(tops[grid, 1]) != 0).mean()),
            "takers per minute": len(takers) / (seconds / 60),
            "log sigma taker": float(np.log(takers[takers > 0]).std()),
            "same side as before": float((sides[1:] == sides[:-1]).mean()),
            "level changes per 500 ms": self.changes / seconds / 2,
        }


def simulated(symbol: str, minutes: int, seed: int) -> Figures:
    """The same figures of the simulated market."""
    replay = MakerReplay(build_markets(seed, START_MS, [symbol])[symbol])
    unit = float(replay.market.spec.tick_size) * float(replay.market.spec.step_size)
    mean_minute = replay.market._tape.mean_tick_lots * unit
    seen = Minute()
    depth, near, volume = [], [], 0.0
    for _ in range(minutes * 60_000 // STEP_MS):
        replay.step(seen)
        if len(seen.spreads) % 20 == 0:
            bids, asks, bid, ask = replay.book[True], replay.book[False], replay.bid, replay.ask
            near.append(sum(bid - k in bids for k in range(10)) / 10)
            reaches = [bps * 1e-4 * bid for bps in cal.DEPTH_BPS]
            depth.append(
                [
                    unit * sum(p * q for p, q in bids.items() if p >= bid - r)
                    + unit * sum(p * q for p, q in asks.items() if p <= ask + r)
                    for r in reaches
                ]
            )
    notional = np.array([p * q * unit for p, q, _ in seen.prints])
    volume = notional.sum() / minutes
    sides = np.array([buy for _, _, buy in seen.prints])
    bids_path = np.array([bid for bid, _ in seen.bests])
    touch = np.array(seen.touch)
    result = {"volume, M USDT/min": volume / 1e6}
    for bps, value in zip(cal.DEPTH_BPS, np.median(np.array(depth), axis=0), strict=True):
        result[f"depth within {bps:g} bps, min"] = value / mean_minute
    return result | {
        "median best quantity, min": float(np.median(touch * bids_path)) * unit / mean_minute,
        "log sigma best quantity": float(np.log(touch).std()),
        "near ticks with a level": float(np.mean(near)),
        "time with spread > 1 tick": float((np.array(seen.spreads) > 1).mean()),
        "best bid moved in 500 ms": float((np.diff(bids_path) != 0).mean()),
        "takers per minute": len(notional) / minutes,
        "log sigma taker": float(np.log(notional).std()),
        "same side as before": float((sides[1:] == sides[:-1]).mean()),
        "level changes per 500 ms": float(np.mean(seen.changed)),
    }


def print_calibration(folder: Path, minutes: int, seed: int) -> bool:
    """Print target and simulated figures of the recorded symbols; False when there are no recordings."""
    columns: list[tuple[str, Figures]] = []
    for symbol in TICKS:
        recorded = Recorded(symbol)
        for frame in frames(folder, symbol):
            recorded.feed(frame)
        if not recorded.depth or not recorded.tops or not recorded.trades:
            print(
                f"{folder}: no usable frames of {symbol} ({symbol.lower()}_*.gz with a depth snapshot)", file=sys.stderr
            )
            return False
        columns.append((f"{symbol[:3]} recorded", recorded.figures()))
        columns.append((f"{symbol[:3]} simulated", simulated(symbol, minutes, seed)))
    print(" " * 28 + "".join(f"{name:>15}" for name, _ in columns))
    for row in columns[0][1]:
        print(f"{row:28}" + "".join(f"{figures[row]:15.4f}" for _, figures in columns))
    return True


def print_universe(minutes: int, seed: int) -> None:
    """Print what the liquidity gate will see of every symbol, the fit of the candles and the cost of a step."""
    columns = (
        ("spread bps", 11),
        ("depth M", 9),
        ("vol24 M", 10),
        ("levels", 8),
        ("max", 5),
        ("takers", 8),
        ("µs/step", 9),
    )
    print(f"\n{'symbol':13}" + "".join(f"{name:>{width}}" for name, width in columns))
    for symbol, market in build_markets(seed, START_MS).items():
        replay = MakerReplay(market)
        seen, depth, spread = Counter[str](), [], []
        worst = 0
        for _ in range(minutes):
            minute = replay.minute()
            seen.update(levels=sum(minute.changed), takers=len(minute.prints))
            worst = max(worst, *minute.changed)
            depth.append(replay.depth_notional(0.005))
            spread.append(float(np.mean(minute.spreads)) / replay.bid * 1e4)
        fresh = build_markets(seed, START_MS, [symbol])[symbol]
        fresh.open_book()
        began = perf_ns()
        for k in range(minutes * 120):
            fresh.step(START_MS + k * STEP_MS)
        cost = (perf_ns() - began) / 1000 / (minutes * 120)
        volume = sum(row[6] for row in market.history_1m(START_MS - 86_400_000, START_MS))
        print(
            f"{symbol:13}{np.mean(spread):11.3f}{np.mean(depth) / 1e6:9.3f}{volume / 1e6:10.1f}"
            f"{seen['levels'] / minutes / 120:8.1f}{worst:5d}{seen['takers'] / minutes:8.0f}{cost:9.1f}"
        )


def main(argv: list[str]) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="calibrate_market", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder with the recorded frames")
    parser.add_argument("--minutes", type=int, default=60, help="simulated minutes (default 60)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    if not print_calibration(options.folder, options.minutes, options.seed):
        return 1
    print_universe(options.minutes, options.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
