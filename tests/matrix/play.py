"""Plays a scenario in virtual time, lets the faults end, and looks once more at the exchange."""

from __future__ import annotations

from tui_trader.drill.scenarios import SCENARIOS
from tui_trader.drill.scenarios.look import ScenarioFailed, covered, describe, fitted, gone
from tui_trader.drill.world import Setup, SimWorld, run_world

SETTLE_MS = 20_000


def play(name: str, seed: int = 1, *, settle_ms: int = SETTLE_MS, keep_trace: bool = False) -> SimWorld:
    """Run the scenario; raises ``ScenarioFailed`` when it, or what is left after the faults ended, is not as it must."""
    scenario = SCENARIOS[name]

    async def script(world: SimWorld) -> None:
        await world.start()
        await scenario.script(world)
        await settled(world, settle_ms)

    world = run_world(Setup(seed=seed, settings=dict(scenario.settings)), script, keep_trace=keep_trace)
    if world.defects:
        raise ScenarioFailed(f"{name}: defects in the program: {world.defects}")
    return world


async def settled(world: SimWorld, ms: int) -> None:
    """Without faults everything must be protected or flat, without orphans, and stay so."""
    world.faults.clear()
    await world.sleep(ms)
    for symbol in world.markets:
        done = gone(world, symbol) or fitted(world, symbol)
        entering = not done and covered(world, symbol) and _entering(world, symbol)
        if not (done or entering):
            raise ScenarioFailed(f"{symbol} is neither protected nor flat in the end: {describe(world, symbol)}")


def _entering(world: SimWorld, symbol: str) -> bool:
    """Whether an entry of a living plan still works."""
    return symbol in world.trader.engine.state.plans
