"""Plays a scenario in virtual time under the judge's eyes, lets the faults end, and looks once more at the exchange."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tui_trader.drill.oracle import Oracle
from tui_trader.drill.scenarios import SCENARIOS
from tui_trader.drill.scenarios.look import ScenarioFailed, covered, describe, fitted, gone
from tui_trader.drill.world import Setup, SimWorld, run_world

SETTLE_MS = 30_000
BREAKS = frozenset({"canary-refused", "fill-larger-than-ordered", "requests-doubled"})
"""Scenarios in which the venue itself breaks an invariant or its own rules, so that the program must say so."""


def play(name: str, seed: int = 1, *, settle_ms: int = SETTLE_MS, keep_trace: bool = False) -> SimWorld:
    """Run the scenario; raises ``ScenarioFailed`` when it, or what is left after the faults, is not as it must be."""
    scenario = SCENARIOS[name]
    setup = Setup(seed=seed, settings=dict(scenario.settings))
    return act(scenario.script, setup, settle_ms=settle_ms, keep_trace=keep_trace, may_break=name in BREAKS)


def act(
    script: Callable[[SimWorld], Awaitable[None]],
    setup: Setup,
    *,
    settle_ms: int = SETTLE_MS,
    keep_trace: bool = False,
    may_break: bool = False,
) -> SimWorld:
    """As ``play``, for any script; ``may_break``: the program may find an invariant broken, or halt a worker."""

    async def judged(world: SimWorld) -> None:
        oracle = Oracle(world)
        await world.start()
        try:
            await script(world)
        except TimeoutError as error:
            raise ScenarioFailed(f"what it waited for never came: {error}") from error
        await _settled(world, settle_ms)
        oracle.finish()
        found = [v for v in oracle.violations if not (may_break and v.invariant == "defect")]
        if found:
            words = "; ".join(f"{v.invariant} at {v.at_ms} ms: {v.words}" for v in found[:4])
            raise ScenarioFailed(f"{len(found)} violations: {words}")

    world = run_world(setup, judged, keep_trace=keep_trace)
    if world.defects:
        raise ScenarioFailed(f"defects in the program: {world.defects}")
    broken = [text for text in world.said if text.startswith("INVARIANT ")]
    if broken and not may_break:
        raise ScenarioFailed(f"the program's own watch says: {broken[0]}")
    return world


async def _settled(world: SimWorld, ms: int) -> None:
    """Without faults everything must be protected or flat, without orphans, and stay so."""
    world.heal()
    await world.sleep(ms)
    for symbol in world.markets:
        done = gone(world, symbol) or fitted(world, symbol)
        entering = not done and covered(world, symbol) and symbol in world.trader.engine.state.plans
        if not (done or entering):
            raise ScenarioFailed(f"{symbol} is neither protected nor flat in the end: {describe(world, symbol)}")
