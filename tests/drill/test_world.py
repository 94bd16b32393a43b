"""The world: the very trader lives in it, dies in it, comes back, and everything repeats exactly."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tui_trader.core.events import ClosePosition
from tui_trader.core.types import Side
from tui_trader.drill.world import Setup, SimWorld, run_world
from tui_trader.exchange.fault_rules import FaultKind, FaultRule

BTC = "BTCUSDT"


def world(script: Callable[[SimWorld], Awaitable[None]], setup: Setup | None = None, keep: bool = False) -> SimWorld:
    async def whole(it: SimWorld) -> None:
        await it.start()
        await script(it)
        assert it.defects == []

    return run_world(setup or Setup(), whole, keep_trace=keep)


def lots(it: SimWorld) -> int:
    return it.account.positions[BTC].lots


def test_an_entry_is_filled_and_covered_by_a_stop_at_the_exchange() -> None:
    async def script(it: SimWorld) -> None:
        await it.enter()
        assert lots(it) == 40
        assert it.covered(BTC)
        assert it.coverage(BTC) == 40
        await it.sleep(2_000)
        assert len(it.account.open_orders(BTC)) == 2

    assert world(script).steps > 20


def test_the_market_walks_and_gaps_and_the_ladder_follows() -> None:
    async def script(it: SimWorld) -> None:
        await it.enter()
        await it.move(BTC, 44_500.0, 20_000)
        assert lots(it) == 20
        await it.gap(BTC, 41_000.0)
        await it.sleep(2_000)
        assert lots(it) == 0
        assert not it.account.algos
        assert not it.account.orders

    world(script)


def test_a_short_by_a_limit_rests_fills_and_is_closed_by_hand() -> None:
    async def script(it: SimWorld) -> None:
        await it.enter(side=Side.SHORT, limit="43550.0")
        assert [order.kind for order in it.account.open_orders(BTC)] == ["LIMIT"]
        await it.move(BTC, 43_560.0)
        await it.until(lambda: lots(it) == -40 and it.covered(BTC))
        it.user(ClosePosition(ts=it.clock.now_ms(), symbol=BTC, fraction=1))
        await it.until(lambda: lots(it) == 0 and not it.account.algos)

    world(script)


def test_what_was_on_the_wire_arrives_although_its_sender_died() -> None:
    async def script(it: SimWorld) -> None:
        before = len(it.account.history)
        it.network.on_sent = lambda call: it.kill_process() if call.params.get("type") == "MARKET" else None
        await it.enter(wait=False)
        await it.sleep(500)
        assert len(it.account.history) == before + 1
        assert lots(it) == 40
        assert not it.covered(BTC)
        with pytest.raises(RuntimeError):
            _ = it.trader.engine
        await it.restart()
        await it.until(lambda: it.covered(BTC), 5_000)

    world(script)


def test_a_dead_process_sends_and_stores_nothing() -> None:
    async def script(it: SimWorld) -> None:
        await it.enter()
        await it.crash()
        rows = it.disk.rows("SELECT count(*) FROM sends")
        sent: list[str] = []
        it.network.on_sent = lambda call: sent.append(call.path)
        await it.gap(BTC, 44_500.0)
        await it.sleep(60_000)
        assert sent == []
        assert it.disk.rows("SELECT count(*) FROM sends") == rows

    world(script)


def test_the_same_seed_gives_the_same_hash_and_another_seed_another() -> None:
    async def script(it: SimWorld) -> None:
        await it.enter()
        await it.move(BTC, 43_000.0, 5_000)
        await it.sleep(5_000)

    rules = (FaultRule(FaultKind.drop_response, rate=0.5, path="POST *rder"), FaultRule(FaultKind.delay, rate=0.2))
    first, second = (world(script, Setup(seed=5, rules=rules), keep=True) for _ in range(2))
    assert first.trace.digest() == second.trace.digest()
    assert first.trace.lines == second.trace.lines
    assert first.faults.counts
    other = world(script, Setup(seed=6, rules=rules))
    assert other.trace.digest() != first.trace.digest()


def test_an_orderly_end_writes_everything_and_leaves_the_stop() -> None:
    async def script(it: SimWorld) -> None:
        await it.enter()
        await it.stop()
        assert it.process is None
        assert it.covered(BTC)
        assert it.disk.rows("SELECT count(*) FROM fills") == [(1,)]
        await it.restart()
        assert it.trader.engine.state.open_qty(it.trader.engine.state.plans[BTC]) > 0

    world(script)


def test_a_kill_strikes_between_two_effects() -> None:
    async def script(it: SimWorld) -> None:
        sent: list[str] = []
        it.network.on_sent = lambda call: sent.append(call.method)
        it.kill_after(1)
        await it.enter(wait=False)
        await it.sleep(2_000)
        assert sent == []
        assert it.process is not None
        assert not it.process.alive

    world(script)


def test_a_kill_during_an_orderly_end_leaves_the_next_process_alone() -> None:
    async def script(it: SimWorld) -> None:
        ending = asyncio.ensure_future(it.stop())
        await it.sleep(500)
        await it.crash()
        fresh = it.begin_process()
        await ending
        assert it.process is fresh
        assert fresh.alive

    world(script)
