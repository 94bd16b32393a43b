"""One seed lived through: faults, market, person and crashes as drawn; then a calm minute, and the verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import sqrt
from random import Random

import msgspec

from tui_trader.core.events import FlattenAll
from tui_trader.drill.draw import Draw, Regime
from tui_trader.drill.oracle import FLAT_S, Oracle, Violation
from tui_trader.drill.person import Person
from tui_trader.drill.world import SimWorld, run_world

CALM_S = 60.0
UPSETS = ("crash", "restart", "full_disk")
"""What befalls the process, by the names under which a draw may leave it out."""
_AMID, _AMID_S, _EFFECTS = 0.8, 5.0, 40
"""Most crashes strike between two effects of the process instead of at a point of time."""
_LEG_S = (5.0, 60.0)
_FULL_S = (1.0, 20.0)
_DOWN_S = (0.2, 8.0)
_SILENCE_MS = 1_000_000
_LONGEST_MS = 48 * 3_600_000


class Result(msgspec.Struct, frozen=True):
    """What one seed brought. ``unprotected`` are the longest seconds without a proven stop, one per position."""

    seed: int
    steps: int
    virtual_hours: float
    violations: tuple[Violation, ...]
    counts: dict[str, int]
    unprotected: tuple[float, ...]
    faults: dict[str, int]
    watched: dict[str, int]
    crashes: int
    trace_hash: str
    said: tuple[str, ...] = ()
    trace: tuple[str, ...] = ()


class Swarm:
    """Lets a draw happen in a world until ``steps`` engine events were processed."""

    def __init__(self, world: SimWorld, drawn: Draw, steps: int) -> None:
        self.world = world
        self.drawn = drawn
        self.oracle = Oracle(world)
        self.crashes = 0
        self._steps = steps
        self._rng = Random(f"{drawn.seed}/swarm")
        self._origin = {symbol: market.mid for symbol, market in world.markets.items()}
        self._busy = True

    async def run(self) -> None:
        """The faulty part, the calm minute, the judgement, and the way out."""
        world, drawn = self.world, self.drawn
        world.begin()
        workers = [
            self._market(),
            self._person(),
            self._phases(),
            self._now_and_then(drawn.crashes_per_hour, self._crash),
            self._now_and_then(drawn.full_disks_per_hour, self._full_disk),
            self._now_and_then(drawn.restarts_per_hour, self._restart),
            self._revive(),
        ]
        tasks = [asyncio.create_task(work) for work in workers]
        await world.until(lambda: world.steps >= self._steps, _LONGEST_MS, poll_s=5.0)
        for task in tasks[:-1]:
            task.cancel()
        await asyncio.gather(*tasks[:-1], return_exceptions=True)
        world.heal()
        # What was on its way when the faults ended may still be one; and whoever was asked for silence keeps it,
        # although the venue would listen again.
        last = world.network.awaited
        await world.until(lambda: not (last & world.network.awaited or self._silent()), _SILENCE_MS, poll_s=0.25)
        await asyncio.sleep(CALM_S)
        tasks[-1].cancel()
        await asyncio.gather(tasks[-1], return_exceptions=True)
        self.oracle.finish()
        world.user(FlattenAll(ts=world.clock.now_ms()))
        await asyncio.sleep(FLAT_S)
        self.oracle.flattened()
        for task in tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    def _silent(self) -> bool:
        process = self.world.process
        return process is not None and process.venue.budget.silent_ms > 0

    async def _phases(self) -> None:
        """Busy times, in which the person acts, and long quiet ones, in which positions only live."""
        while True:
            self._busy = True
            await asyncio.sleep(self.drawn.busy_s * (0.5 + self._rng.random()))
            self._busy = False
            await asyncio.sleep(self.drawn.quiet_s * (0.5 + self._rng.random()))

    async def _person(self) -> None:
        person = Person(self.world, Random(f"{self.drawn.seed}/person"), self.drawn.off)
        rng = Random(f"{self.drawn.seed}/times")
        pause = 3600.0 / self.drawn.actions_per_hour
        next_s = 0.0
        while True:
            await asyncio.sleep(1.0 if self._busy else 10.0)
            if not self._busy:
                continue
            person.insist()
            if self.world.loop.monotonic() >= next_s:
                next_s = self.world.loop.monotonic() + rng.expovariate(1.0) * pause
                person.act()

    async def _market(self) -> None:
        rng = Random(f"{self.drawn.seed}/market")
        while True:
            seconds = rng.uniform(*_LEG_S)
            for symbol in self.world.markets:
                self._lead(symbol, rng, seconds, self.drawn.regime)
            await asyncio.sleep(seconds)

    def _lead(self, symbol: str, rng: Random, seconds: float, regime: Regime) -> None:
        price, minutes = self.world.markets[symbol].mid, seconds / 60
        home = self._origin[symbol]
        change = regime.drift * minutes + regime.sigma * sqrt(minutes) * rng.gauss(0.0, 1.0)
        change += regime.reversion * minutes * (home - price) / price
        jump = rng.random() < regime.gap
        change *= 4.0 if jump else 1.0
        target = min(max(price * (1 + change), home / 4), home * 4)
        self.world.lead(symbol, target, 0 if jump else int(seconds * 1000))

    async def _now_and_then(self, per_hour: float, what: Callable[[Random], object]) -> None:
        if per_hour <= 0:
            return
        rng = Random(f"{self.drawn.seed}/{getattr(what, '__name__', '')}")
        while True:
            await asyncio.sleep(rng.expovariate(per_hour / 3600.0))
            done = what(rng)
            if asyncio.iscoroutine(done):
                await done

    async def _crash(self, rng: Random) -> None:
        if "crash" in self.drawn.off:
            return
        self.crashes += 1
        if rng.random() < _AMID:
            self.world.kill_after(rng.randint(1, _EFFECTS))
            await asyncio.sleep(_AMID_S)
        await self.world.crash()
        await asyncio.sleep(rng.uniform(*_DOWN_S))

    async def _restart(self, rng: Random) -> None:
        if "restart" not in self.drawn.off:
            await self.world.stop()
            await asyncio.sleep(rng.uniform(*_DOWN_S))

    async def _full_disk(self, rng: Random) -> None:
        if "full_disk" in self.drawn.off:
            return
        self.world.disk.full = True
        await asyncio.sleep(rng.uniform(*_FULL_S))
        self.world.disk.full = False

    async def _revive(self) -> None:
        """Whoever supervises the process starts it again when it is gone."""
        rng = Random(f"{self.drawn.seed}/revive")
        while True:
            await asyncio.sleep(0.5 + rng.random())
            process = self.world.process
            if process is not None and not process.alive:
                await self.world.crash()
            if self.world.process is None:
                self.world.begin_process()


def live(drawn: Draw, steps: int, *, keep_trace: bool = False) -> Result:
    """Run one draw to its end."""
    held: list[Swarm] = []

    async def script(world: SimWorld) -> None:
        swarm = Swarm(world, drawn, steps)
        held.append(swarm)
        await swarm.run()

    world = run_world(drawn.setup, script, keep_trace=keep_trace)
    oracle = held[0].oracle
    return Result(
        seed=drawn.seed,
        steps=world.steps,
        virtual_hours=world.loop.monotonic() / 3600,
        violations=tuple(oracle.violations),
        counts=dict(oracle.counts),
        unprotected=tuple(round(value, 3) for value in oracle.unprotected),
        faults={kind.value: count for kind, count in world.faults.counts.items()},
        watched=_watched(world.said),
        crashes=held[0].crashes,
        trace_hash=world.trace.digest(),
        said=tuple(world.said[-200:]),
        trace=tuple(world.trace.lines or ()),
    )


def _watched(said: list[str]) -> dict[str, int]:
    """What the trader's own watch said was broken: invariant → how often."""
    found: dict[str, int] = {}
    for text in said:
        if text.startswith("INVARIANT "):
            name = text.split()[1]
            found[name] = found.get(name, 0) + 1
    return found
