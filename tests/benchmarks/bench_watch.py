"""What the watch over the invariants costs: ``python -m tests.benchmarks.bench_watch [ROUNDS]``.

Ten minutes of twenty symbols (five books, five prices a second each) around three trades with their ladders run through
the engine; the time inside the watch is compared with the rest of the engine's.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from decimal import Decimal

import msgspec

from tests.core.build import settings
from tests.desk import Desk
from tui_trader.core import events as ev
from tui_trader.core.commands import Command
from tui_trader.core.engine import Engine

OTHERS = 19
TRADES = 3
REST_MS = 185_000


def recorded() -> list[ev.Event]:
    """Everything that a session on the simulated exchange hears around ``TRADES`` trades in ten minutes."""
    desk = Desk()
    heard: list[ev.Event] = []
    real = desk.engine.process

    def process(event: ev.Event) -> list[Command]:
        heard.append(event)
        return real(event)

    desk.engine.process = process  # type: ignore[method-assign]
    desk.start()
    rng = random.Random(3)
    for _ in range(TRADES):
        desk.process(ev.OpenPosition(ts=desk.now, symbol="BTCUSDT", side=ev.Side.LONG, qty=Decimal("0.040")))
        for _ in range(4):
            desk.move(round(desk.market.mid + rng.gauss(60, 300), 1), ms=2_000)
        for _ in range(REST_MS // 10_000):
            desk.snapshot()
            desk.run(10_000)
        desk.process(ev.FlattenAll(ts=desk.now))
        desk.run(3_000)
        desk.process(ev.PauseEntries(ts=desk.now, paused=False))
    return heard


def busy(heard: list[ev.Event]) -> list[ev.Event]:
    """The same with the market data of ``OTHERS`` more symbols in between."""
    known = next(e for e in heard if isinstance(e, ev.InstrumentsLoaded)).instruments[0]
    depth = next(e for e in heard if isinstance(e, ev.BookDepth))
    symbols = [f"S{n}USDT" for n in range(OTHERS)]
    more = tuple(msgspec.structs.replace(known, symbol=s, base_asset=s[:-4]) for s in symbols)
    out: list[ev.Event] = [heard[0], ev.InstrumentsLoaded(ts=heard[0].ts, instruments=more)]
    for event in heard[1:]:
        out.append(event)
        if isinstance(event, ev.Timer):
            out += _market(symbols, depth, event.ts)
    return out


def _market(symbols: list[str], depth: ev.BookDepth, now: int) -> list[ev.Event]:
    if now // 100 % 2:
        return [ev.TradePrint(ts=now, symbol=s, price=43_000.0, qty=1.0, buyer_is_maker=False) for s in symbols]
    return [msgspec.structs.replace(depth, ts=now, symbol=s) for s in symbols]


def seconds(events: list[ev.Event]) -> tuple[float, float]:
    """Time of one pass: of the whole engine, and of the watch within it. What it costs to measure counts as the watch.

    Two passes, one without the watch, would differ by more than the watch costs: by what else the machine does.
    """
    engine = Engine(settings(), {}, mode="demo", venue="binance", epoch="desk001")
    after, clock, inside = engine.watch.after, time.perf_counter, 0.0

    def timed(event: ev.Event, commands: list[Command]) -> list[Command]:
        nonlocal inside
        began = clock()
        kept = after(event, commands)
        inside += clock() - began
        return kept

    engine.watch.after = timed  # type: ignore[method-assign]
    process = engine.process
    began = clock()
    for event in events:
        process(event)
    whole = clock() - began
    if engine.state.violations:
        raise SystemExit(f"the watch found {engine.state.violations} breaches in an ordinary session")
    return whole, inside


def main() -> None:
    """Print the shares."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    events = busy(recorded())
    passes = [seconds(events) for _ in range(rounds)]
    shares = [inside / (whole - inside) for whole, inside in passes]
    span = (events[-1].ts - events[0].ts) / 1000
    print(f"{len(events)} events of {span:.0f} s, {rounds} rounds")
    print(f"the watch takes {statistics.median(shares):.1%} of the engine's time (median of the rounds)")
    whole, inside = min(passes)
    print(f"{inside / (whole - inside):.1%} in the quickest round")
    cost, rest = inside / span * 1e6, (whole - inside) / span * 1e6
    print(f"{cost:.0f} µs of a processor per second of trading; the engine itself takes {rest:.0f}")


if __name__ == "__main__":
    main()
