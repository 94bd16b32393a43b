"""Throughput of the store: rows a second, and how long an intent waits. Run: python -m tests.benchmarks.bench_store"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.store.build import place, record
from tui_trader import clock
from tui_trader.store.journal import Store

ROWS = 100_000
INTENTS = 2_000


async def rows_per_second(folder: Path, *, durable: bool) -> tuple[float, float]:
    """Rows a second until all are committed, and the mean cost of ``record`` on the loop in µs."""
    store = await Store.open(folder / f"rows-{durable}.sqlite3", print)
    began = clock.perf_ns()
    for number in range(ROWS):
        store.record(
            record("candles", durable=durable, symbol="BTCUSDT", timeframe="1m", open_ms=number, open=1.0, close=2.0)
        )
        if number % 500 == 0:
            await asyncio.sleep(0)
    queued = clock.perf_ns()
    await store.flush()
    total = clock.perf_ns() - began
    await store.aclose()
    return ROWS / total * 1e9, (queued - began) / ROWS / 1e3


async def intent_ms(folder: Path) -> list[float]:
    """Waits of intents in ms, one after the other, beside a steady stream of candles."""
    store = await Store.open(folder / "intents.sqlite3", print)
    waits = []
    for number in range(INTENTS):
        for candle in range(5):
            store.record(record("candles", symbol="X", timeframe="1m", open_ms=number * 5 + candle))
        began = clock.perf_ns()
        await store.intent(place(f"id-{number}", plan_id=number + 1))
        waits.append((clock.perf_ns() - began) / 1e6)
    await store.aclose()
    return sorted(waits)


async def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        folder = Path(name)
        for durable in (False, True):
            rate, cost = await rows_per_second(folder, durable=durable)
            print(f"{'FULL' if durable else 'NORMAL':7} {rate:>10,.0f} rows/s   record() {cost:.1f} µs on the loop")
        waits = await intent_ms(folder)
        print(f"intents {INTENTS / sum(waits) * 1000:>10,.0f} /s   p50 {waits[INTENTS // 2]:.2f} ms   ", end="")
        print(f"p99 {waits[INTENTS * 99 // 100]:.2f} ms   max {waits[-1]:.2f} ms")


if __name__ == "__main__":
    asyncio.run(main())
