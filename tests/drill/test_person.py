"""The person of the drill: what halts entries does not keep the rest of a run from trading."""

from __future__ import annotations

from random import Random

from tui_trader.core.events import WorkerFailed
from tui_trader.drill.person import Person
from tui_trader.drill.world import Setup, SimWorld, run_world


def test_a_halt_that_survived_a_crash_is_resumed_within_a_few_acts() -> None:
    async def script(world: SimWorld) -> None:
        await world.start()
        assert world.process is not None
        world.user(WorkerFailed(ts=world.clock.now_ms(), worker="feeds", reason="boom"))
        await world.sleep(2_000)
        await world.restart()
        state = world.process.trader.engine.state
        assert state.halted == "worker feeds failed: boom"
        person, acts = Person(world, Random("1"), frozenset({"kill", "pause", "flatten"})), 0
        while state.halted:
            person.act()
            await world.sleep(500)
            acts += 1
            assert acts <= 20
        await world.until(world.may_enter)

    run_world(Setup(), script)
