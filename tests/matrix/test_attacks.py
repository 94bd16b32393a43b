"""What no page lists, several seeds each."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from tui_trader.core.events import KillSwitch
from tui_trader.drill.play import act, play
from tui_trader.drill.scenarios import ATTACKS, elsewhere
from tui_trader.drill.scenarios.entries import QTY, entered_long
from tui_trader.drill.scenarios.look import BTC, ETH, fitted, gone, heard, position, sold, until_gone, wait
from tui_trader.drill.scenarios.strike import hollow
from tui_trader.drill.world import Setup, SimWorld
from tui_trader.exchange.rest import Request


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", ATTACKS)
def test_protected_or_flat_and_never_doubled(name: str, seed: int) -> None:
    """I1, I2, I3, I7, I8, I10, I14, I15."""
    play(name, seed)


async def _restarted_without_rules(world: SimWorld, symbol: str) -> None:
    """A start at which the venue lists the symbol no more."""
    info = json.loads(world.network.api.handle(Request("GET", "/fapi/v1/exchangeInfo", query="", headers={})).body)
    info["symbols"] = [row for row in info["symbols"] if row["symbol"] != symbol]
    hollow(world, "GET /fapi/v1/exchangeInfo", json.dumps(info), 0)
    await world.crash()
    await world.restart()
    await world.sleep(5_000)


def test_a_plan_of_a_symbol_without_rules_keeps_its_stop_and_is_closed_by_the_kill_switch() -> None:
    """I1, I15."""

    async def script(world: SimWorld) -> None:
        await entered_long(world)
        await _restarted_without_rules(world, BTC)
        elsewhere.cancel_stops(world)
        await wait(world, lambda: fitted(world), "the stop is replaced", 5_000)
        world.user(KillSwitch(ts=world.exchange.now_ms, reason="by hand"))
        await until_gone(world, ms=20_000)
        assert sold(world) == QTY

    act(script, Setup())


def test_a_plan_of_a_symbol_without_rules_ends_with_its_stop() -> None:
    """I7, I17."""

    async def script(world: SimWorld) -> None:
        ladder = await entered_long(world)
        await _restarted_without_rules(world, BTC)
        await world.move(BTC, ladder.at(-1.2))
        await until_gone(world)
        await world.sleep(8_000)
        assert not world.trader.engine.state.plans
        assert world.disk.rows("SELECT count(*) FROM trades") == [(1,)]

    act(script, Setup())


def test_the_kill_switch_closes_what_somebody_opened_in_a_symbol_without_rules() -> None:
    """I15."""

    async def script(world: SimWorld) -> None:
        await _restarted_without_rules(world, ETH)
        elsewhere.trade(world, True, "0.500", symbol=ETH)
        await world.sleep(3_000)
        assert position(world, ETH) == Decimal("0.500")
        world.user(KillSwitch(ts=world.exchange.now_ms, reason="by hand"))
        await wait(world, lambda: gone(world, ETH), "closed", 25_000, ETH)
        assert heard(world, ETH, "gives no rules")

    act(script, Setup())
