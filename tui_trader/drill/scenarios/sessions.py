"""Canonical scenarios: what is found at a start, lost connections, restarts, leaving."""

from __future__ import annotations

from decimal import Decimal

from tui_trader.core.events import ShutdownRequested
from tui_trader.core.types import Leg
from tui_trader.drill.scenario import Stage
from tui_trader.drill.scenarios import elsewhere
from tui_trader.drill.scenarios.entries import QTY, enter_at_limit, entered_long
from tui_trader.drill.scenarios.look import (
    BTC,
    check,
    covered,
    describe,
    entered,
    ever,
    fitted,
    gone,
    hold,
    own,
    position,
    regular,
    stops,
    targets,
    until_gone,
    until_protected,
    wait,
)
from tui_trader.drill.scenarios.registry import scenario


@scenario("adopt-foreign")
async def adopt(stage: Stage) -> None:
    """A position that somebody opened by hand gets a stop and is kept."""
    elsewhere.trade(stage, True, "0.030")
    await until_protected(stage, ms=45_000)
    await stage.sleep(5_000)
    check(fitted(stage) and position(stage) == Decimal("0.030"), describe(stage))


@scenario("adopt-at-start")
async def adopt_at_start(stage: Stage) -> None:
    """While nothing ran, somebody sold short: the next start protects it."""
    await stage.crash()
    elsewhere.trade(stage, False, "0.030")
    await stage.sleep(2_000)
    await stage.restart()
    await until_protected(stage, ms=15_000)
    check(position(stage) == Decimal("-0.030"), describe(stage))


@scenario("restart-with-position")
async def restart_with_position(stage: Stage) -> None:
    """Killed while a position runs: the ladder goes on where it was, with the same stop."""
    ladder = await entered_long(stage)
    stop = stops(stage)[0].client_id
    await stage.crash()
    await stage.sleep(3_000)
    await stage.restart()
    await hold(stage, lambda: covered(stage), "covered across the restart", 5_000)
    check([row.client_id for row in stops(stage)] == [stop], f"the same stop: {describe(stage)}")
    await stage.move(BTC, ladder.at(1.6))
    await wait(stage, lambda: fitted(stage) and position(stage) == QTY / 2, "TP1 fills after the restart")


@scenario("restart-after-fill-while-away")
async def filled_while_away(stage: Stage) -> None:
    """TP1 fills while nothing runs: the next start finds it and the stop follows."""
    ladder = await entered_long(stage)
    await stage.crash()
    await stage.move(BTC, ladder.at(1.6))
    await stage.sleep(2_000)
    check(position(stage) == QTY / 2, "TP1 filled at the venue by itself")
    await stage.restart()
    await until_protected(stage, ms=15_000)
    check(stops(stage)[0].qty == QTY / 2, describe(stage))


@scenario("restart-after-stop-while-away")
async def stopped_while_away(stage: Stage) -> None:
    """The stop fills while nothing runs: the next start clears the targets."""
    ladder = await entered_long(stage)
    await stage.crash()
    await stage.move(BTC, ladder.at(-1.2))
    await stage.sleep(2_000)
    await stage.restart()
    await until_gone(stage, ms=20_000)


@scenario("restart-with-working-entry")
async def restart_with_entry(stage: Stage) -> None:
    """Killed with an entry resting: whatever becomes of it, it is never doubled and its fill is protected."""
    price = await enter_at_limit(stage)
    await stage.crash()
    await stage.restart()
    await stage.sleep(1_000)
    await stage.move(BTC, price - 10)
    await wait(stage, lambda: fitted(stage) or gone(stage), "protected or gone")
    check(entered(stage) in (Decimal(0), QTY), f"the entry filled {entered(stage)}")
    check(len(ever(stage, Leg.ENTRY)) == 1, "one entry order, ever")


@scenario("leave-protected")
async def leave(stage: Stage) -> None:
    """The process is asked to leave: the entry goes, the stop stays, nothing new is entered."""
    ladder = await entered_long(stage)
    stage.user(ShutdownRequested(ts=stage.exchange.now_ms, reason="SIGTERM"))
    await stage.sleep(2_000)
    await stage.enter(symbol="ETHUSDT", qty="0.500", wait=False)
    await hold(stage, lambda: fitted(stage), "one stop stays", 3_000)
    check(not ever(stage, Leg.ENTRY, "ETHUSDT"), "no entry after the request")
    check(stops(stage)[0].price == Decimal(f"{ladder.stop:.1f}"), "the same stop")


@scenario("leave-with-working-entry")
async def leave_with_entry(stage: Stage) -> None:
    """The process is asked to leave while an entry rests: it is cancelled."""
    await enter_at_limit(stage)
    stage.user(ShutdownRequested(ts=stage.exchange.now_ms, reason="SIGTERM"))
    await wait(stage, lambda: not own(regular(stage)), "the entry is cancelled", 5_000)


@scenario("grown-by-hand")
async def grown(stage: Stage) -> None:
    """Somebody adds to the position by hand: the stop covers all of it."""
    await entered_long(stage)
    elsewhere.trade(stage, True, "0.020")
    await wait(
        stage, lambda: fitted(stage) and stops(stage)[0].qty == Decimal("0.060"), "the stop covers 0.060", 45_000
    )


@scenario("second-trade")
async def second_trade(stage: Stage) -> None:
    """After one trade ended a next one runs, under ids of its own (I4)."""
    first = await entered_long(stage)
    await stage.move(BTC, first.at(-1.2))
    await until_gone(stage)
    await stage.move(BTC, first.entry)
    await entered_long(stage)
    ids = [row.client_id for leg in Leg for row in ever(stage, leg)]
    check(len(set(ids)) == len(ids), "every id once")
    check(len(targets(stage)) == 2, describe(stage))
