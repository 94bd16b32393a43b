"""Kill the running session again and again, and look each time whether anything was lost, doubled or left bare.

``python -m tests.runtime.kills --kills 100 --seed 1 --json``: a simulated exchange outlives all lives of one session;
some such pairs run side by side. Many lives end themselves by SIGKILL at a drawn point (around a journal row, a send,
an answer, a fill, a commit, the start), the others are killed from outside at a drawn moment. All times are the
exchange's own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import msgspec

from tests.runtime.kills_audit import ORPHAN_MS, Auditor, Guard, overlap
from tests.runtime.kills_child import Life
from tui_trader import clock
from tui_trader.exchange.accounts import Account
from tui_trader.exchange.contract import CandleRow
from tui_trader.exchange.ratelimits import RateLimits
from tui_trader.exchange.scripted import ScriptedMarket, scripted_spec
from tui_trader.exchange.server import RunningExchange, running_exchange

ROOT = Path(__file__).parents[2]
PRICES = {"BTCUSDT": (50_000.0, "0.10", "0.001"), "ETHUSDT": (2_500.0, "0.01", "0.001")}
ATR = 0.002
"""15 m ATR as a fraction of price: near enough that a walk of seconds reaches stops and targets."""
LIMIT_MS = 5_000
LANES = 3
LIFE_S, LAST_S = 4.5, 40.0
INSIDE = {"": 0.7, "ack": 1.0, "twice": 0.0, "bare": 0.0}
"""The share of lives that end themselves, by what is broken."""
OUTSIDE_S = {"twice": 3.0, "bare": 10.0}
POINTS = (
    ("intent:en", 3), ("acked:en", 4), ("send:en", 3), ("sending:en", 8), ("answered:en", 4),
    ("hear:Fill", 4), ("heard:Fill", 6),
    ("intent:sl", 5), ("acked:sl", 6), ("send:sl", 4), ("sending:sl", 8), ("answered:sl", 6),
    ("acked:t1", 2), ("sending:t1", 2), ("acked:x", 3), ("send:x", 3), ("answered:x", 3),
    ("sending:cl", 4), ("acked:cl", 2), ("answered:cl", 3),
    ("commit", 3), ("committed", 3), ("opened", 1), ("connected", 1), ("heard:AccountSnapshot", 2), ("open", 1),
)  # fmt: skip


class Told(msgspec.Struct, kw_only=True):
    """One life as it went. Times are the exchange's, ms."""

    number: int
    begin_ms: int
    point: str
    end_ms: int = 0
    ready_ms: int = 0
    how: str = ""
    naked_ms: int = 0
    stall_ms: int = 0


class Campaign:
    """One exchange, one account, one data folder, many lives."""

    def __init__(
        self,
        exchange: RunningExchange,
        folder: Path,
        seed: int,
        markets: dict[str, ScriptedMarket],
        sabotage: str = "",
    ) -> None:
        self._exchange = exchange
        self._folder = folder
        self._rng = random.Random(seed)
        self._markets = markets
        self._stall_ms = 0.0
        self._sabotage = sabotage
        self.account: Account = exchange.account
        self.guard = Guard(exchange.engine, self.account)
        self.audit = Auditor(exchange.engine, self.account, folder / "live" / "store.sqlite3")
        self.lives: list[Told] = []
        self._starter: asyncio.subprocess.Process | None = None
        self._pid = 0
        self._child_stall_ms = 0.0
        emit = exchange.engine.on_user_event

        def heard(account: Account, event: dict[str, object]) -> None:
            emit(account, event)
            self.guard.look()

        exchange.engine.on_user_event = heard

    async def run(self, kills: int) -> None:
        """All lives, then one that ends flat."""
        helpers = [asyncio.ensure_future(work()) for work in (self._market, self._measure, self._watch)]
        self._starter = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.runtime.kills_child",
            cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            await self._line()
            for number in range(1, kills + 1):
                await self._life(number)
            await self._life(kills + 1, last=True)
            self.guard.look()
            self.audit.at_the_end()
        finally:
            await self._end_starter()
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)

    async def _end_starter(self) -> None:
        if self._starter is None or self._starter.stdin is None or self._starter.stdout is None:
            return
        with contextlib.suppress(ProcessLookupError):
            if self._pid:
                os.kill(self._pid, signal.SIGKILL)
        self._starter.stdin.close()
        await self._starter.stdout.read()
        await self._starter.wait()

    # --- one life ---

    async def _life(self, number: int, *, last: bool = False) -> None:
        rng, exchange = self._rng, self._exchange
        names, weights = zip(*POINTS, strict=True)
        inside = not last and rng.random() < INSIDE[self._sabotage]
        life = Life(
            number=number,
            seed=rng.randrange(2**31),
            data_dir=str(self._folder),
            rest_url=exchange.rest_url,
            ws_url=exchange.ws_url,
            key=exchange.api_key,
            secret=exchange.secret,
            symbols=tuple(PRICES),
            point=rng.choices(names, weights)[0] if inside else "",
            nth=rng.choice((1, 1, 1, 2, 3)),
            after_ms=rng.choice((0.0, 0.0, rng.uniform(0, 3), rng.uniform(0, 30))),
            last=last,
            sabotage="" if last else self._sabotage,
        )
        # Each life is a start of its own: a hundred starts in four minutes are the test's doing, not the program's.
        exchange.server.rest.limits = RateLimits(clock.monotonic)
        told = Told(number=number, begin_ms=exchange.engine.now_ms, point=life.point)
        self.lives.append(told)
        stalled, self._child_stall_ms = self._stall_ms, 0.0
        await self._put(life)
        # Killed from outside at any moment: while it starts, right after it is ready, or in the midst of trading.
        outside_s = rng.choice((rng.uniform(0, 0.8), rng.uniform(0.2, 2.5), rng.uniform(3, 6)))
        wait_s = LAST_S if last else LIFE_S if inside else OUTSIDE_S.get(self._sabotage, outside_s)
        await self._until_gone(told, wait_s)
        told.end_ms = exchange.engine.now_ms
        told.stall_ms = int(max(self._stall_ms - stalled, self._child_stall_ms))
        self.guard.look()
        told.naked_ms = max((overlap(n, told.begin_ms, told.end_ms) for n in self.guard.naked), default=0)
        if last and told.how != "done":
            self.audit.breaches.append(f"the last life did not end flat: {told.how}")
        self.audit.after_death(number)

    async def _put(self, life: Life) -> None:
        if self._starter is None or self._starter.stdin is None:
            raise RuntimeError("the starter does not run")
        self._starter.stdin.write(msgspec.json.encode(life) + b"\n")
        await self._starter.stdin.drain()

    async def _line(self) -> list[str]:
        if self._starter is None or self._starter.stdout is None:
            raise RuntimeError("the starter does not run")
        line = await self._starter.stdout.readline()
        if not line:
            raise RuntimeError("the starter ended")
        return line.decode().split()

    async def _until_gone(self, told: Told, wait_s: float) -> None:
        killer = asyncio.get_running_loop().call_later(wait_s, self._kill, told)
        try:
            while True:
                words = await self._line()
                if words[0] == "GONE":
                    self._pid = 0
                    return
                self._hear(told, words)
        finally:
            killer.cancel()

    def _hear(self, told: Told, words: list[str]) -> None:
        if words[0] == "PID":
            self._pid = int(words[2])
            if told.how:
                self._kill(told)
        elif words[0] == "ACK":
            (self.audit.acknowledged if words[1] == "place" else self.audit.acknowledged_cancels).add(words[2])
        elif words[0] == "SENT":
            self.audit.sent.add(words[1])
        elif words[0] == "READY":
            told.ready_ms = self._exchange.engine.now_ms
        elif words[0] == "LAG":
            self._child_stall_ms += float(words[1])
        elif words[0] == "DIED":
            told.how = words[1]
        elif words[0] in ("DONE", "FAILED"):
            told.how = " ".join(words).lower()

    def _kill(self, told: Told) -> None:
        told.how = told.how or "from outside"
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)

    # --- the world ---

    async def _market(self) -> None:
        """Walk each price within reach of stops and targets, with a jump now and then."""
        rng = random.Random(self._rng.random())
        while True:
            for symbol, market in self._markets.items():
                home = PRICES[symbol][0]
                pull = (home - market.mid) / home * 0.05
                jump = rng.choice((0.0,) * 30 + (ATR, -ATR))
                market.move_to(market.mid * (1 + rng.gauss(pull, ATR / 6) + jump))
            await asyncio.sleep(0.1)

    async def _measure(self) -> None:
        while True:
            before = clock.monotonic()
            await asyncio.sleep(0.01)
            late = (clock.monotonic() - before - 0.01) * 1000
            if late > 50:
                self._stall_ms += late

    async def _watch(self) -> None:
        while True:
            self.guard.look()
            now = self._exchange.engine.now_ms
            ready = self.lives[-1].ready_ms if self.lives else 0
            for symbol, since in self.guard.orphans.items():
                if ready and now - max(since, ready) > ORPHAN_MS:
                    self.audit.breaches.append(f"life {self.lives[-1].number}: orphans of {symbol} rest for 10 s")
            await asyncio.sleep(0.05)

    def judge(self) -> list[str]:
        """Each breach as a sentence."""
        for told in self.lives:
            if told.naked_ms - told.stall_ms > LIMIT_MS:
                words = f"naked for {told.naked_ms} ms after its start (machine stalled {told.stall_ms} ms)"
                self.audit.breaches.append(f"life {told.number}: {words}")
        return sorted(set(self.audit.breaches))


def report(lanes: Sequence[Campaign], seconds: float) -> dict[str, object]:
    """Figures over all lanes, and each breach as a sentence."""
    lives = [told for lane in lanes for told in lane.lives]
    naked = sorted(told.naked_ms for told in lives if told.naked_ms)
    ready = sorted(t.ready_ms - t.begin_ms for t in lives if t.ready_ms)
    killed = [told for told in lives if told.how and not told.how.startswith(("done", "failed"))]
    return {
        "kills": len(killed),
        "seconds": round(seconds, 1),
        "killed_at": dict(sorted(Counter(told.how for told in killed).items())),
        "failed_starts": [told.how for told in lives if told.how.startswith("failed")],
        "orders": sum(len(lane.account.history) + len(lane.account.algo_history) for lane in lanes),
        "fills": sum(len(lane.account.trades) for lane in lanes),
        "acknowledged": sum(len(lane.audit.acknowledged) + len(lane.audit.acknowledged_cancels) for lane in lanes),
        "lives_with_naked_time": len(naked),
        "naked_ms": {"p50": _quantile(naked, 0.5), "p99": _quantile(naked, 0.99), "max": max(naked, default=0)},
        "naked_less_stall_ms_max": max((t.naked_ms - t.stall_ms for t in lives if t.naked_ms), default=0),
        "ready_ms": {"p50": _quantile(ready, 0.5), "p99": _quantile(ready, 0.99)},
        "stall_ms_max": max((told.stall_ms for told in lives), default=0),
        "breaches": [f"lane {number}: {words}" for number, lane in enumerate(lanes, 1) for words in lane.judge()],
    }


def _quantile(values: list[int], share: float) -> int:
    return values[int(share * (len(values) - 1))] if values else 0


def history(symbol: str, now_ms: int, count: int = 500) -> list[CandleRow]:
    price = PRICES[symbol][0]
    reach, last = price * ATR / 2, now_ms // 60_000 * 60_000
    return [
        (last - i * 60_000, price, price + reach, price - reach, price, 500.0, 500.0 * price, 100, 250.0, 250.0 * price)
        for i in range(count, 0, -1)
    ]


async def lane(kills: int, seed: int, folder: Path, sabotage: str) -> Campaign:
    """One exchange and one session, from its first life to its last."""
    folder.mkdir(mode=0o700, exist_ok=True)
    # Not on a minute, whose last candle is not told for closed at once: a life may have three seconds to enter in.
    start = clock.wall_ms() // 28_800_000 * 28_800_000 + 2 * 3_600_000 + 10_000
    markets = {
        symbol: ScriptedMarket(
            scripted_spec(symbol, tick, step, "5"), mid=price, depth=60, lots=40_000, history=history(symbol, start)
        )
        for symbol, (price, tick, step) in PRICES.items()
    }
    async with running_exchange(seed=seed, start_ms=start, markets=markets, wallet=Decimal(100_000)) as exchange:
        told = Campaign(exchange, folder, seed, markets, sabotage)
        await told.run(kills)
        return told


async def campaign(kills: int, seed: int, folder: Path, sabotage: str = "", lanes: int = LANES) -> dict[str, object]:
    """Run it in ``folder`` and return its report. ``sabotage`` breaks the program (see ``Life``)."""
    began = clock.monotonic()
    shares = [kills // lanes + (number < kills % lanes) for number in range(lanes)]
    works = [lane(share, seed * 1_000 + i, folder / f"lane-{i}", sabotage) for i, share in enumerate(shares) if share]
    return report(await asyncio.gather(*works), clock.monotonic() - began)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report; exit status 1 when anything was breached."""
    parser = argparse.ArgumentParser(prog="python -m tests.runtime.kills", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lanes", type=int, default=LANES, help="pairs of exchange and session side by side")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--keep", type=Path, help="leave the data folder here")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="kills-") as temporary:
        folder = options.keep or Path(temporary)
        found = asyncio.run(campaign(options.kills, options.seed, folder, lanes=options.lanes))
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        for name, value in found.items():
            print(f"{name}: {value}")
    return 1 if found["breaches"] or found["failed_starts"] else 0


if __name__ == "__main__":
    sys.exit(main())
