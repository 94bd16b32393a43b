"""Plays a scenario in virtual time under the judge's eyes, lets the faults end, and looks once more at the exchange."""

from __future__ import annotations

from tui_trader.drill.oracle import Oracle
from tui_trader.drill.scenarios import SCENARIOS
from tui_trader.drill.scenarios.look import ScenarioFailed, covered, describe, fitted, gone
from tui_trader.drill.world import Setup, SimWorld, run_world

SETTLE_MS = 30_000


def play(name: str, seed: int = 1, *, settle_ms: int = SETTLE_MS, keep_trace: bool = False) -> SimWorld:
    """Run the scenario; raises ``ScenarioFailed`` when it, or what is left after the faults, is not as it must be."""
    scenario = SCENARIOS[name]

    async def script(world: SimWorld) -> None:
        oracle = Oracle(world)
        await world.start()
        await scenario.script(world)
        await _settled(world, settle_ms)
        oracle.finish()
        if oracle.violations:
            words = "; ".join(f"{v.invariant} at {v.at_ms} ms: {v.words}" for v in oracle.violations[:4])
            raise ScenarioFailed(f"{name}: {len(oracle.violations)} violations: {words}")

    world = run_world(Setup(seed=seed, settings=dict(scenario.settings)), script, keep_trace=keep_trace)
    if world.defects:
        raise ScenarioFailed(f"{name}: defects in the program: {world.defects}")
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
