"""What no page lists: a hasty person, somebody else's algorithm, everything at once, crash after crash."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal

from tui_trader.core.events import (
    ClosePosition,
    FlattenAll,
    KillSwitch,
    MoveStop,
    PauseEntries,
    Rearm,
    RemoveTarget,
    StartTrailing,
    StopToBreakEven,
)
from tui_trader.core.types import Leg
from tui_trader.drill.scenario import Stage
from tui_trader.drill.scenarios import elsewhere
from tui_trader.drill.scenarios.entries import QTY, enter_at_limit, entered_long
from tui_trader.drill.scenarios.look import (
    BTC,
    ETH,
    CoverWatch,
    check,
    covered,
    describe,
    entered,
    ever,
    fitted,
    gone,
    hold,
    mark,
    position,
    sold,
    stops,
    until_gone,
    until_protected,
    wait,
)
from tui_trader.drill.scenarios.registry import scenario
from tui_trader.drill.scenarios.strike import CANCEL_STOP, PLACE, PLACE_STOP, PRIVATE, late, strike
from tui_trader.exchange.fault_rules import Act, FaultKind, FaultRule
from tui_trader.exchange.reject import VenueError


@scenario("hasty-person")
async def hasty_person(stage: Stage) -> None:
    """Forty stop moves within two seconds while requests are slow: never bare, in the end one stop."""
    ladder = await entered_long(stage)
    stage.faults.add(FaultRule(kind=FaultKind.delay, rate=0.5, path="* /fapi/v1/algoOrder", ms=600))
    watch = CoverWatch(stage)
    price = Decimal(0)
    for number in range(40):
        price = Decimal(f"{ladder.at(-0.9 + 0.02 * (number * 7 % 40)):.1f}")
        stage.user(MoveStop(ts=stage.exchange.now_ms, symbol=BTC, price=price))
        await stage.sleep(50)
    await wait(stage, lambda: fitted(stage) and stops(stage)[0].price == price, "one stop at the last price", 20_000)
    check(not watch.bare, f"bare while the stop was moved: {watch.bare[:2]}")
    check(len(ever(stage, Leg.STOP)) <= 45, f"{len(ever(stage, Leg.STOP))} stops for forty wishes")


@scenario("everything-at-once")
async def everything_at_once(stage: Stage) -> None:
    """Close a part, move the stop, trail, drop a target, flatten and kill, all within one beat."""
    ladder = await entered_long(stage)
    await stage.enter(symbol=ETH, qty="0.500")
    await until_protected(stage, ETH)
    now, stop = stage.exchange.now_ms, Decimal(f"{ladder.at(-0.5):.1f}")
    stage.user(ClosePosition(ts=now, symbol=BTC, fraction=Decimal("0.3")))
    stage.user(MoveStop(ts=now, symbol=BTC, price=stop))
    stage.user(StartTrailing(ts=now, symbol=BTC))
    stage.user(RemoveTarget(ts=now, symbol=BTC, leg=Leg.TP1))
    stage.user(StopToBreakEven(ts=now, symbol=BTC))
    stage.user(FlattenAll(ts=now))
    stage.user(KillSwitch(ts=now, reason="all at once"))
    await until_gone(stage, BTC, 15_000)
    await until_gone(stage, ETH, 15_000)
    check(sold(stage) == QTY, f"sold {sold(stage)}, held {QTY}")


@scenario("foreign-algorithm")
async def foreign_algorithm(stage: Stage) -> None:
    """Somebody's algorithm buys a little every 300 ms on top of our position: all of it is covered, always soon."""
    await entered_long(stage)
    since = 0
    for _ in range(40):
        elsewhere.trade(stage, True, "0.002")
        await stage.sleep(300)
        since = 0 if covered(stage) else since + 300
        check(since <= 10_000, f"without full cover for {since} ms: {describe(stage)}")
    await wait(stage, lambda: fitted(stage) and stops(stage)[0].qty == Decimal("0.120"), "one stop for all", 45_000)
    check(len(ever(stage, Leg.STOP)) <= 60, f"{len(ever(stage, Leg.STOP))} stops")


@scenario("foreign-scalper")
async def foreign_scalper(stage: Stage) -> None:
    """Somebody sells and buys back half of the position every second: no exit of ours ever opens or flips it."""
    await entered_long(stage)
    for _ in range(15):
        with suppress(VenueError):
            elsewhere.trade(stage, False, "0.020", reduce_only=True)
        await stage.sleep(400)
        elsewhere.trade(stage, True, "0.020")
        await stage.sleep(600)
        check(position(stage) >= 0, f"flipped: {describe(stage)}")
    await wait(stage, lambda: fitted(stage), "one stop for all of it", 60_000)


@scenario("kill-during-outage")
async def kill_during_outage(stage: Stage) -> None:
    """The kill switch is pressed while the venue is gone, the process dies and starts in the dark: flat after it."""
    await entered_long(stage)
    stage.act(Act(kind=FaultKind.outage, ms=15_000))
    await stage.sleep(3_000)
    stage.user(KillSwitch(ts=stage.exchange.now_ms, reason="in the dark"))
    await stage.sleep(2_000)
    await stage.crash()
    await stage.restart()
    await until_gone(stage, ms=90_000)
    await stage.sleep(10_000)
    await stage.enter(wait=False)
    await hold(stage, lambda: gone(stage), "latched", 3_000)


@scenario("crash-after-crash")
async def crash_after_crash(stage: Stage) -> None:
    """Seven kills, each a moment after the start, while the position is being flattened."""
    await entered_long(stage)
    stage.user(FlattenAll(ts=stage.exchange.now_ms))
    for number in range(7):
        await stage.sleep(40 + 60 * number)
        await stage.crash()
        await stage.restart()
    await wait(stage, lambda: fitted(stage) or gone(stage), "protected or flat", 30_000)
    check(position(stage) >= 0 and entered(stage) == QTY, describe(stage))


@scenario("partly-filled-and-killed")
async def partly_filled_and_killed(stage: Stage) -> None:
    """An entry fills in part just when the kill switch is pressed, and its cancel is held up."""
    elsewhere.quiet(stage)
    await enter_at_limit(stage, away=0.0)
    late(stage, "DELETE /fapi/v1/order", 1_200)
    stage.user(KillSwitch(ts=stage.exchange.now_ms, reason="by hand"))
    await stage.sleep(30)
    elsewhere.anonymous(stage, False, "0.015")
    await until_gone(stage, ms=20_000)
    check(entered(stage) == sold(stage), "sold what was bought")


@scenario("target-fills-while-flattening")
async def target_fills_while_flattening(stage: Stage) -> None:
    """Flattening has begun, the targets' cancels are held up, and one of them fills: nothing is sold twice."""
    ladder = await entered_long(stage)
    await stage.move(BTC, ladder.at(0.9))
    late(stage, "DELETE /fapi/v1/order", 2_000, count=2)
    stage.user(FlattenAll(ts=stage.exchange.now_ms))
    await stage.gap(BTC, ladder.at(1.7))
    await until_gone(stage, ms=20_000)
    check(sold(stage) == QTY, f"sold {sold(stage)}, held {QTY}")


@scenario("stop-strikes-while-it-moves")
async def stop_strikes_while_moving(stage: Stage) -> None:
    """The old stop triggers while its replacement is on the way and its cancel is held up: out once, not twice."""
    ladder = await entered_long(stage)
    late(stage, PLACE_STOP, 900)
    late(stage, CANCEL_STOP, 900)
    stage.user(MoveStop(ts=stage.exchange.now_ms, symbol=BTC, price=Decimal(f"{ladder.at(-0.5):.1f}")))
    await stage.sleep(300)
    await stage.gap(BTC, ladder.at(-1.3))
    await until_gone(stage, ms=20_000)
    check(sold(stage) == QTY and position(stage) == 0, f"sold {sold(stage)}, held {QTY}")


@scenario("deaf-and-hand-closed")
async def deaf_and_closed(stage: Stage) -> None:
    """The stream is silent, somebody closes and opens the other way: what is open gets the right stop."""
    await entered_long(stage)
    strike(stage, FaultKind.mute, PRIVATE, ms=40_000)
    elsewhere.trade(stage, False, "0.040", reduce_only=True)
    await stage.sleep(700)
    elsewhere.trade(stage, False, "0.025")
    await wait(stage, lambda: fitted(stage) and position(stage) == Decimal("-0.025"), "the short is protected", 60_000)
    check(stops(stage)[0].is_buy, describe(stage))


@scenario("clock-steps-back")
async def clock_steps_back(stage: Stage) -> None:
    """The venue's clock jumps back by three seconds while a position lives and another is entered."""
    ladder = await entered_long(stage)
    stage.act(Act(kind=FaultKind.clock_step, ms=-3_000))
    await stage.enter(symbol=ETH, qty="0.500", wait=False)
    await stage.sleep(5_000)
    await wait(stage, lambda: fitted(stage, ETH) or gone(stage, ETH), "protected or not entered", 30_000, ETH)
    await stage.move(BTC, ladder.at(1.6))
    await wait(stage, lambda: fitted(stage) and position(stage) == QTY / 2, "TP1, and the stop follows", 45_000)
    await stage.move(BTC, ladder.at(-1.2))
    await until_gone(stage, ms=45_000)


@scenario("pump-at-entry")
async def pump_at_entry(stage: Stage) -> None:
    """Price runs through both targets before the stop of the entry rests: protected or flat, never doubled."""
    late(stage, PLACE_STOP, 1_500)
    price = mark(stage)
    await stage.enter(wait=False)
    await wait(stage, lambda: entered(stage) == QTY, "entered")
    await stage.gap(BTC, price * 1.045)
    await wait(stage, lambda: fitted(stage) or gone(stage), "protected or flat", 15_000)
    await stage.gap(BTC, price * 1.01)
    await stage.sleep(3_000)
    check(fitted(stage) or gone(stage), describe(stage))
    await stage.gap(BTC, price * 0.98)
    await until_gone(stage, ms=30_000)


@scenario("rearmed-in-between")
async def rearmed_in_between(stage: Stage) -> None:
    """Killed and re-armed within a beat, while closes are slow: what was begun is finished first."""
    await entered_long(stage)
    late(stage, PLACE, 1_000)
    stage.user(KillSwitch(ts=stage.exchange.now_ms, reason="by hand"))
    stage.user(Rearm(ts=stage.exchange.now_ms))
    stage.user(PauseEntries(ts=stage.exchange.now_ms, paused=False))
    await stage.enter(wait=False)
    await until_gone(stage, ms=15_000)
    check(len(ever(stage, Leg.ENTRY)) == 1 and entered(stage) == QTY, "one entry, ever")
