"""Runs a scenario with a kill -9 at its k-th effect, restarts, lets a minute pass, and looks at exchange and disk.

The state that a restart finds (exchange, disk, network) changes only by effects: a commit, a request that leaves, is
acted on or is answered, an event that the exchange emits or that is heard. A kill between two effects is the same kill
wherever it falls, so a kill before and after each effect tries every journal and await point.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any
from unittest.mock import patch

from tui_trader.core.orders import parse_client_id
from tui_trader.core.types import Leg
from tui_trader.drill import network as net
from tui_trader.drill.journal import MemoryStore
from tui_trader.drill.scenarios import SCENARIOS
from tui_trader.drill.scenarios.look import covered, describe, gone, position, stops, targets
from tui_trader.drill.world import Setup, SimWorld, run_world
from tui_trader.exchange.accounts import Account

AFTER_MS = 75_000
"""A minute, and the time in which a working entry may still wait for its fill."""


@dataclass
class Points:
    """Counts effects and kills at the ``at``-th (from 0); None only counts."""

    at: int | None = None
    seen: list[str] = field(default_factory=list)
    kill: Callable[[], None] = lambda: None
    struck: str = ""

    def pass_by(self, what: str) -> bool:
        """One effect's edge; True when the process was killed just now."""
        number = len(self.seen)
        self.seen.append(what)
        if number != self.at or self.struck:
            return False
        self.struck = what
        self.kill()
        return True


def watch(world: SimWorld, points: Points) -> None:
    """Make every effect of this world pass by ``points``."""
    network, send, hear = world.network, world.network.send, world.network._hear

    def sent(call: net.Call, request: Any) -> asyncio.Future[Any]:
        if points.pass_by(f"before {call.method} {call.path} leaves"):
            return world.loop.create_future()
        answer = send(call, request)
        points.pass_by(f"after {call.method} {call.path} left")
        return answer

    def heard(call: net.Call, answer: asyncio.Future[Any], reply: Any) -> None:
        if not points.pass_by(f"before the answer to {call.method} {call.path} is heard"):
            hear(call, answer, reply)
            world.loop.call_soon(points.pass_by, f"after the answer to {call.method} {call.path} was heard")

    network.send, network._hear = sent, heard  # type: ignore[method-assign]
    network.on_handled = lambda call: _ignored(points.pass_by(f"the venue acted on {call.method} {call.path}"))
    emit = world.exchange.on_user_event

    def event(account: Account, body: dict[str, object]) -> None:
        emit(account, body)
        points.pass_by(f"the exchange emitted {body['e']}")

    world.exchange.on_user_event = event


def _ignored(value: object) -> None:
    del value


@contextmanager
def watched_stores(points: Points) -> Iterator[None]:
    """The same for the commits of every process."""
    serve = MemoryStore._serve

    def committed(store: MemoryStore) -> None:
        if not points.pass_by("before a commit"):
            serve(store)
            points.pass_by("after a commit")

    with patch.object(MemoryStore, "_serve", committed):
        yield


def crash_run(name: str, at: int | None, seed: int = 1) -> Points:
    """Play the scenario with a kill at the ``at``-th effect; raises ``AssertionError`` when the end is not as it must.

    With ``at`` None nothing is killed: the result counts the effects.
    """
    scenario = SCENARIOS[name]
    points = Points(at)

    async def script(world: SimWorld) -> None:
        await world.start()
        watch(world, points)
        with watched_stores(points):
            await _until_killed(world, _played(world, scenario.script), points)
        if points.struck:
            await _come_back(world, name, points, seed)

    world = run_world(Setup(seed=seed, coarse_s=1.0, settings=dict(scenario.settings)), script)
    assert not world.defects, world.defects
    return points


async def _played(world: SimWorld, script: Callable[[Any], Awaitable[None]]) -> None:
    """The script, and what follows of its last step."""
    await script(world)
    await world.sleep(2_000)


async def _until_killed(world: SimWorld, act: Coroutine[Any, Any, None], points: Points) -> None:
    acting = world.loop.create_task(act, name="script")

    def kill() -> None:
        world.kill_process()
        acting.cancel()

    points.kill = kill
    try:
        await acting
    except asyncio.CancelledError:
        assert points.struck, "the script was cancelled by nobody"
    except Exception:
        # A person's next step may fail because the trader died meanwhile; then the kill has come first.
        if not points.struck:
            raise


async def _come_back(world: SimWorld, name: str, points: Points, seed: int) -> None:
    rng = Random(f"{name}/{points.at}/{seed}")
    with suppress(RuntimeError):
        await world.crash()
    if rng.random() < 0.3:
        for symbol, market in world.markets.items():
            world.lead(symbol, market.mid * (1 + rng.uniform(-0.03, 0.03)), 500)
        await world.sleep(rng.randrange(100, 4_000))
    world.heal()
    await world.restart()
    await world.sleep(AFTER_MS)
    where = f"{name}, killed at effect {points.at} ({points.struck})"
    for symbol in world.markets:
        _look(world, symbol, where)
    _rows(world, where)


def _look(world: SimWorld, symbol: str, where: str) -> None:
    assert gone(world, symbol) or _held(world, symbol), f"{where}: {describe(world, symbol)}; {world.said[-6:]}"
    orders = [o for o in world.account.history.values() if o.symbol == symbol]
    parsed = [p for o in orders if (p := parse_client_id(o.client_id)) is not None and p.leg is Leg.ENTRY]
    plans = Counter((p.epoch, p.plan_id) for p in parsed)
    assert not [plan for plan, count in plans.items() if count > 1], f"{where}: an entry is doubled: {plans}"
    state = world.trader.engine.state
    local = state.portfolio.position(symbol).qty
    assert local == position(world, symbol), f"{where}: counted {local}, the venue holds {position(world, symbol)}"
    assert symbol not in state.reconciling, f"{where}: {symbol} still differs"


def _held(world: SimWorld, symbol: str) -> bool:
    """Covered, and the targets do not exceed what is open. One older, larger stop may stand instead of the fitting one
    while the price is beyond where that would have to be placed."""
    within = sum((row.left for row in targets(world, symbol)), Decimal(0)) <= abs(position(world, symbol))
    return covered(world, symbol) and within and len(stops(world, symbol)) == 1


def _rows(world: SimWorld, where: str) -> None:
    """Every order of ours that the venue ever took was journalled, and every execution of them is stored once (I4)."""
    journalled = {str(row[0]) for row in world.disk.rows("SELECT client_id FROM orders")}
    account = world.account
    ours = {o.client_id for o in (*account.history.values(), *account.algo_history.values())}
    lost = {cid for cid in ours if _of_this_store(cid, world)} - journalled
    assert not lost, f"{where}: sent without a durable row: {lost}"
    stored = Counter(
        (str(symbol), str(trade)) for symbol, trade in world.disk.rows("SELECT symbol, trade_id FROM fills")
    )
    assert all(count == 1 for count in stored.values()), f"{where}: a fill is stored twice"
    missing = [
        trade
        for trade in account.trades
        if _of_this_store(trade.client_id, world) and (trade.symbol, str(trade.id)) not in stored
    ]
    missed = sum((trade.quantity for trade in missing), Decimal(0))
    assert not missing, f"{where}: {len(missing)} fills of ours ({missed}) are not stored"


def _of_this_store(client_id: str, world: SimWorld) -> bool:
    parsed = parse_client_id(client_id)
    return parsed is not None and not parsed.epoch.startswith("aaaaaaa")
