"""Feed path against ccxt.pro on recorded Binance frames: ``python -m tests.benchmarks.bench_feed DIR [ROUNDS]``.

The same frames go through both sides in the same run, interleaved in slices; ccxt.pro's books are seeded by the same
snapshot, and its own client decodes, dispatches and resolves a waiting future for each frame, as at run time (the
loop's turn that wakes the waiting task is not counted, which flatters it). Ours emits events each ten frames, as one
read of the socket does. Printed: µs and messages a second of each side, the ratio, and the floor, which is the typed
decode alone. Recorded trades are rewritten as aggTrade for that row.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tui_trader import clock
from tui_trader.core.book import LocalBook
from tui_trader.venues.binance.answers import BookAnswer
from tui_trader.venues.binance.feeds import Feeds
from tui_trader.venues.binance.wire import Decoder

SLICE = 200
BATCH = 10
DEPTH_EVERY = 5
TARGETS = {"diff, best": 5, "diff, depth each 5th": 3, "bookTicker": 20, "aggTrade": 20}


class Recording:
    """Frames of one symbol by kind, and its snapshot."""

    def __init__(self, folder: Path, symbol: str) -> None:
        self.symbol = symbol
        self.frames: dict[str, list[bytes]] = {"depth": [], "bookTicker": [], "trade": [], "aggTrade": []}
        self.snapshot = b""
        for path in sorted(folder.glob(f"{symbol.lower()}*.gz")):
            with gzip.open(path, "rb") as stream:
                for line in stream:
                    self._take(line.strip().partition(b" ")[2])

    def _take(self, body: bytes) -> None:
        if body.startswith(b'{"lastUpdateId"'):
            self.snapshot = self.snapshot or body
            return
        for kind in ("depth", "bookTicker", "trade"):
            if f"@{kind}".encode() in body[:60]:
                self.frames[kind].append(body)
                if kind == "trade":
                    self.frames["aggTrade"].append(_aggregated(body))


def _aggregated(body: bytes) -> bytes:
    trade = json.loads(body)["data"]
    data = {"e": "aggTrade", "E": trade["E"], "a": trade["t"], "s": trade["s"], "p": trade["p"], "q": trade["q"]}
    data |= {"nq": trade["q"], "f": trade["t"], "l": trade["t"], "T": trade["T"], "m": trade["m"], "st": 1}
    frame = {"stream": f"{trade['s'].lower()}@aggTrade", "data": data}
    return json.dumps(frame, separators=(",", ":")).encode()


class Ours:
    """The product's feed path: bytes to books and events."""

    def __init__(self, recording: Recording, depth_every: int = 0) -> None:
        self.events = 0
        self.feeds = Feeds(
            self._sink, clock.VenueClock(), stale_after_s=1e9, soon=lambda _: None, ask_snapshot=lambda _: None
        )
        self.feeds.know([recording.symbol])
        self.feeds.watch([recording.symbol])
        answer = msgspec.json.decode(recording.snapshot, type=BookAnswer, strict=False)
        book = self.feeds.book_of(recording.symbol)
        if book is None:
            raise SystemExit("the symbol is not watched")
        self.feeds.book_snapshot(recording.symbol, answer.last_update_id, answer.bids, answer.asks, 1000)
        self.book: LocalBook = book
        self.depth_every = depth_every
        self.count = 0

    def _sink(self, event: object) -> None:
        self.events += 1

    def diff(self, raw: bytes) -> tuple[float, float]:
        self.feeds.on_frame(raw)
        self.count += 1
        if self.depth_every and self.count % self.depth_every == 0:
            self.book.notional()
        return self.book.bid, self.book.ask

    def frame(self, raw: bytes) -> None:
        self.feeds.on_frame(raw)
        self.count += 1
        if self.count % BATCH == 0:
            self.feeds.flush()


class Theirs:
    """ccxt.pro's own handling of the same frames."""

    def __init__(self, exchange: Any, recording: Recording, depth_every: int = 0) -> None:
        self.exchange = exchange
        self.client = exchange.client("wss://fstream.binance.com/public/ws/0")
        self.symbol = f"{recording.symbol.removesuffix('USDT')}/USDT:USDT"
        answer = json.loads(recording.snapshot)
        book = exchange.order_book({}, 1000)
        snapshot = exchange.parse_order_book(answer, self.symbol)
        snapshot["nonce"] = answer["lastUpdateId"]
        book.reset(snapshot)
        exchange.orderbooks[self.symbol] = book
        self.book = book
        self.depth_every = depth_every
        self.count = 0
        trade = f"trade::{self.symbol}"
        self.hashes = {b"boo": f"bidask:{self.symbol}", b"agg": trade, b"tra": trade}

    def diff(self, raw: bytes) -> tuple[float, float]:
        self.client.future(f"orderbook::{self.symbol}")
        self.client.handle_text_or_binary_message(raw.decode())
        self.count += 1
        if self.depth_every and self.count % self.depth_every == 0:
            self._depth()
        return self.book["bids"][0][0], self.book["asks"][0][0]

    def _depth(self) -> tuple[float, float]:
        bids, asks = self.book["bids"], self.book["asks"]
        mid = (bids[0][0] + asks[0][0]) / 2
        low, high = mid * 0.995, mid * 1.005
        below = above = 0.0
        for price, qty in bids:
            if price < low:
                break
            below += price * qty
        for price, qty in asks:
            if price > high:
                break
            above += price * qty
        return below, above

    def frame(self, raw: bytes) -> None:
        self.client.future(self.hashes[raw[:60].partition(b"@")[2][:3]])
        self.client.handle_text_or_binary_message(raw.decode())


def _market(exchange: Any, symbol: str) -> Any:
    base = symbol.removesuffix("USDT")
    row = {
        "symbol": symbol, "pair": symbol, "contractType": "PERPETUAL", "deliveryDate": 4133404800000,
        "onboardDate": 1569398400000, "status": "TRADING", "baseAsset": base, "quoteAsset": "USDT",
        "marginAsset": "USDT", "pricePrecision": 2, "quantityPrecision": 3, "baseAssetPrecision": 8,
        "quotePrecision": 8, "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "1", "maxPrice": "1000000", "tickSize": "0.01"},
            {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
        ],
    }  # fmt: skip
    return exchange.parse_market(row)


def interleaved(frames: list[bytes], sides: list[Callable[[bytes], object]]) -> list[float]:
    """µs a frame of each side, run in alternating slices."""
    spent = [0] * len(sides)
    for start in range(0, len(frames), SLICE):
        part = frames[start : start + SLICE]
        for index, side in enumerate(sides):
            begin = clock.perf_ns()
            for raw in part:
                side(raw)
            spent[index] += clock.perf_ns() - begin
    return [total / len(frames) / 1000 for total in spent]


async def run(folder: Path, rounds: int) -> dict[str, tuple[float, float, float]]:
    """(ours, ccxt.pro, floor) in µs a frame by row, the best of ``rounds``, averaged over the symbols."""
    from ccxt.pro import binanceusdm

    recordings = [Recording(folder, symbol) for symbol in ("BTCUSDT", "ETHUSDT")]
    found: dict[str, list[tuple[float, float, float]]] = {}
    for recording in recordings:
        for name, kind in (
            ("diff, best", "depth"),
            ("diff, depth each 5th", "depth"),
            ("bookTicker", "bookTicker"),
            ("aggTrade", "aggTrade"),
        ):
            best: tuple[float, float, float] | None = None
            for _ in range(rounds):
                exchange = binanceusdm()
                exchange.set_markets([_market(exchange, row.symbol) for row in recordings])
                every = DEPTH_EVERY if "each" in name else 0
                ours, theirs = Ours(recording, every), Theirs(exchange, recording, every)
                method = "diff" if kind == "depth" else "frame"
                decoder = Decoder()
                sides = [getattr(ours, method), getattr(theirs, method), decoder.decode]
                result = interleaved(recording.frames[kind], sides)
                row = (result[0], result[1], result[2])
                best = row if best is None else (min(best[0], row[0]), min(best[1], row[1]), min(best[2], row[2]))
                if kind == "depth":
                    _agree(ours, theirs)
                await exchange.close()
            if best is not None:
                found.setdefault(name, []).append(best)
    return {
        name: (
            sum(row[0] for row in rows) / len(rows),
            sum(row[1] for row in rows) / len(rows),
            sum(row[2] for row in rows) / len(rows),
        )
        for name, rows in found.items()
    }


def _agree(ours: Ours, theirs: Theirs) -> None:
    top = ours.book.bid, ours.book.ask
    other = theirs.book["bids"][0][0], theirs.book["asks"][0][0]
    if top != other:
        raise SystemExit(f"the two books differ at the end: {top} against {other}")


def main() -> int:
    """Print the table; 1 when a target is missed."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "data" / "binance_usdm"
    rows = asyncio.run(run(folder, int(sys.argv[2]) if len(sys.argv) > 2 else 2))
    heads = ("", "ours µs", "msg/s", "ccxt.pro µs", "msg/s", "ratio", "target", "floor µs")
    print("{:22} {:>9} {:>9} {:>12} {:>8} {:>7} {:>7} {:>9}".format(*heads))
    missed = 0
    for name, (ours, theirs, floor) in rows.items():
        ratio = theirs / ours
        missed += ratio < TARGETS[name]
        print(
            f"{name:22} {ours:9.2f} {1e6 / ours:9,.0f} {theirs:12.1f} {1e6 / theirs:8,.0f} {ratio:6.1f}×"
            f" {TARGETS[name]:6}× {floor:9.2f}"
        )
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
