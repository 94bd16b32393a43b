"""Feed path against ccxt.pro on recorded Binance frames: ``python -m tests.benchmarks.bench_feed DIR [ROUNDS]``.

The same frames go through all sides in the same run, interleaved in slices; the table holds medians over the rounds.

* **ours**: what the running console does with a frame, in its running loop: ``Feeds.on_frame`` (decode → local book, or
  newest ticker and trade kept), and for each ten frames, as one read of the socket brings them, one turn of the loop in
  which ``Feeds.flush`` emits what changed. Best bid/ask is read after each diff.
* **ccxt.pro**: as an application drives it: a task awaits ``watch_order_book`` / ``watch_bids_asks`` / ``watch_trades``
  in a loop and reads the answer; frames enter at the client's own handler, and the next one follows when the task has
  seen the update. So the loop turns that wake it are counted, since no application can see each update without them.
* **handler**: ccxt.pro's decoding and dispatch alone, with a future to resolve and nobody to wake, for comparison.
* **floor**: our typed decode alone.

No side reads a socket. ccxt.pro's books are seeded by the same snapshot; it decodes with orjson when that is installed.
Recorded trades are rewritten as aggTrade for that row. At the end the two books must agree.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import platform
import statistics
import sys
from collections.abc import Awaitable, Callable
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
            self._sink,
            clock.VenueClock(),
            stale_after_s=1e9,
            soon=lambda call: asyncio.get_running_loop().call_soon(call),
            ask_snapshot=lambda _: None,
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

    async def diffs(self, frames: list[bytes]) -> None:
        """Frames with best bid and ask after each."""
        on_frame, book = self.feeds.on_frame, self.book
        for raw in frames:
            on_frame(raw)
            self.count += 1
            if self.depth_every and self.count % self.depth_every == 0:
                book.notional()
            self.top = book.bid, book.ask
            if self.count % BATCH == 0:
                await asyncio.sleep(0)

    async def others(self, frames: list[bytes]) -> None:
        """Tickers or trades."""
        on_frame = self.feeds.on_frame
        for start in range(0, len(frames), BATCH):
            for raw in frames[start : start + BATCH]:
                on_frame(raw)
            await asyncio.sleep(0)


class Theirs:
    """ccxt.pro's own handling of the same frames. ``watch`` awaits one update the way an application does."""

    def __init__(self, exchange: Any, recording: Recording, kind: str, depth_every: int = 0) -> None:
        self.exchange = exchange
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
        self.watcher: asyncio.Task[None] | None = None
        self.watch: Callable[[], Awaitable[Any]] = {
            "depth": lambda: exchange.watch_order_book(self.symbol),
            "bookTicker": lambda: exchange.watch_bids_asks([self.symbol]),
            "aggTrade": lambda: exchange.watch_trades(self.symbol),
        }[kind]
        self.read = self._read_book if kind == "depth" else self._keep
        trade = f"trade::{self.symbol}"
        self.message_hash = {
            "depth": f"orderbook::{self.symbol}",
            "bookTicker": f"bidask:bookTicker@{self.symbol}",
            "aggTrade": trade,
        }[kind]

    async def _follow(self) -> None:
        while True:
            self.read(await self.watch())
            self.count += 1

    def _keep(self, answer: Any) -> None:
        self.answer = answer

    def _read_book(self, book: Any) -> None:
        self.answer = book["bids"][0][0], book["asks"][0][0]
        if self.depth_every and self.count % self.depth_every == 0:
            self._depth()

    async def start(self) -> None:
        """Begin to watch."""
        self.watcher = asyncio.create_task(self._follow())
        for _ in range(20):
            await asyncio.sleep(0)
        (self.client,) = [row for row in self.exchange.clients.values() if self.message_hash in row.futures]

    async def stop(self) -> None:
        """Cease to watch."""
        if self.watcher is not None:
            self.watcher.cancel()
            await asyncio.gather(self.watcher, return_exceptions=True)

    async def watched(self, frames: list[bytes]) -> None:
        """Frames, each seen by the watching task."""
        handle = self.client.handle_text_or_binary_message
        for raw in frames:
            target = self.count + 1
            handle(raw.decode())
            if self.message_hash in self.client.futures:
                # A diff older than the snapshot wakes nobody.
                continue
            turns = 0
            while self.count < target:
                await asyncio.sleep(0)
                turns += 1
                if turns > 100:
                    raise SystemExit(f"ccxt.pro did not answer a frame of {self.message_hash}")

    async def handled(self, frames: list[bytes]) -> None:
        """Frames through decoding and dispatch alone."""
        self.client = self.exchange.client("wss://fstream.binance.com/public/ws/0")
        for raw in frames:
            self.client.future(self.message_hash)
            self.client.handle_text_or_binary_message(raw.decode())
            if "orderbook" in self.message_hash:
                self.count += 1
                self._read_book(self.book)

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


def _exchange(symbols: list[str]) -> Any:
    from ccxt.pro import binanceusdm

    class Offline(binanceusdm):  # type: ignore[misc]
        """Believes that its sockets stand: nothing is connected, nothing is sent."""

        def client(self, url: str) -> Any:
            client = super().client(url)
            if not client.connected.done():
                client.connected.resolve(True)
                client.send = _nothing
            return client

    exchange = Offline({"enableRateLimit": False})
    exchange.set_markets([_market(exchange, symbol) for symbol in symbols])
    return exchange


async def _nothing(message: object) -> None:
    """Send to nobody."""


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


Side = Callable[[list[bytes]], Awaitable[None]]


async def interleaved(frames: list[bytes], sides: list[Side]) -> list[float]:
    """µs a frame of each side, run in alternating slices."""
    spent = [0] * len(sides)
    for start in range(0, len(frames), SLICE):
        part = frames[start : start + SLICE]
        for index, side in enumerate(sides):
            begin = clock.perf_ns()
            await side(part)
            spent[index] += clock.perf_ns() - begin
    return [total / len(frames) / 1000 for total in spent]


def _floor() -> Side:
    decode = Decoder().decode

    async def side(frames: list[bytes]) -> None:
        for raw in frames:
            decode(raw)

    return side


async def measure(recording: Recording, kind: str, every: int) -> list[float]:
    """µs a frame: ours, ccxt.pro watched, its handler alone, the floor."""
    exchange, other = _exchange([recording.symbol]), _exchange([recording.symbol])
    ours = Ours(recording, every)
    watched, handled = Theirs(exchange, recording, kind, every), Theirs(other, recording, kind, every)
    await watched.start()
    mine = ours.diffs if kind == "depth" else ours.others
    try:
        result = await interleaved(recording.frames[kind], [mine, watched.watched, handled.handled, _floor()])
    finally:
        await watched.stop()
        await exchange.close()
        await other.close()
    if kind == "depth":
        _agree(ours, watched)
    return result


async def run(folder: Path, rounds: int) -> dict[str, list[float]]:
    """µs a frame by row: the median over ``rounds``, averaged over the symbols."""
    rows = (
        ("diff, best", "depth", 0),
        ("diff, depth each 5th", "depth", DEPTH_EVERY),
        ("bookTicker", "bookTicker", 0),
        ("aggTrade", "aggTrade", 0),
    )
    recordings = [Recording(folder, symbol) for symbol in ("BTCUSDT", "ETHUSDT")]
    found: dict[str, list[float]] = {}
    for name, kind, every in rows:
        medians = []
        for recording in recordings:
            results = [await measure(recording, kind, every) for _ in range(rounds)]
            medians.append([statistics.median(column) for column in zip(*results, strict=True)])
        found[name] = [statistics.fmean(column) for column in zip(*medians, strict=True)]
    return found


def _agree(ours: Ours, theirs: Theirs) -> None:
    top = ours.book.bid, ours.book.ask
    other = theirs.book["bids"][0][0], theirs.book["asks"][0][0]
    if top != other:
        raise SystemExit(f"the two books differ at the end: {top} against {other}")


def main() -> int:
    """Print the table; 1 when a target is missed."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "data" / "binance_usdm"
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    rows = asyncio.run(run(folder, rounds))
    print(
        f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores, asyncio's own loop;"
        f" {rounds} rounds, median; µs a frame"
    )
    print("ours: handler, book, one loop turn and flush each 10 frames; ccxt.pro: handler, book, loop turns that wake")
    print("the task awaiting watch_* at each frame; handler: ccxt.pro's decode and dispatch alone; floor: our decode")
    heads = ("", "ours", "msg/s", "ccxt.pro", "msg/s", "ratio", "target", "handler", "ratio", "floor")
    print("{:22} {:>7} {:>9} {:>9} {:>7} {:>7} {:>7} {:>8} {:>7} {:>7}".format(*heads))
    missed = 0
    for name, (ours, theirs, handler, floor) in rows.items():
        ratio = theirs / ours
        missed += ratio < TARGETS[name]
        print(
            f"{name:22} {ours:7.2f} {1e6 / ours:9,.0f} {theirs:9.1f} {1e6 / theirs:7,.0f} {ratio:6.1f}×"
            f" {TARGETS[name]:6}× {handler:8.1f} {handler / ours:6.1f}× {floor:7.2f}"
        )
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
