"""Fault matrix, clock and process: time that is off, and a process that dies between any two steps."""

from __future__ import annotations

from decimal import Decimal

from tui_trader.core.events import FlattenAll, KillSwitch, MoveStop
from tui_trader.core.types import Leg
from tui_trader.drill.scenario import Stage
from tui_trader.drill.scenarios import elsewhere
from tui_trader.drill.scenarios.entries import QTY, entered_long
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
from tui_trader.drill.scenarios.strike import PLACE, PLACE_STOP, answer, late, strike
from tui_trader.exchange.fault_rules import Act, FaultKind

OUTSIDE_WINDOW = "Timestamp for this request is outside of the recvWindow."


@scenario("clock-skew", "> 500 ms → no entries")
async def clock_skew(stage: Stage) -> None:
    """The clocks part by 0.9 s: once it is measured, no entry until they agree again; the open position is held."""
    await entered_long(stage)
    stage.act(Act(kind=FaultKind.clock_step, ms=900))
    await stage.sleep(31_000)
    await stage.enter(symbol=ETH, qty="0.500", wait=False)
    await stage.sleep(2_000)
    refused = not ever(stage, Leg.ENTRY, ETH)
    check(fitted(stage), describe(stage))
    await stage.sleep(90_000)
    await stage.enter(symbol=ETH, qty="0.500")
    await until_protected(stage, ETH)
    check(refused, "no entry while the clocks part by more than half a second")


@scenario("clock-drift", "offset from server time")
async def clock_drift(stage: Stage) -> None:
    """The venue's clock drifts away by two seconds within a minute: followed, and the ladder runs on."""
    ladder = await entered_long(stage)
    stage.act(Act(kind=FaultKind.clock_skew, ms=2_000))
    await stage.sleep(70_000)
    await stage.move(BTC, ladder.at(1.6))
    await wait(stage, lambda: fitted(stage) and position(stage) == QTY / 2, "TP1, and the stop follows")


@scenario("clock-step", "-1021 → offset from server time")
async def clock_step(stage: Stage) -> None:
    """The venue's clock jumps by seven seconds: the first refusal mends the offset; the entry is made at most once."""
    stage.act(Act(kind=FaultKind.clock_step, ms=7_000))
    await stage.enter(wait=False)
    await stage.sleep(15_000)
    check(len(ever(stage, Leg.ENTRY)) <= 1, "never two entries")
    await wait(stage, lambda: fitted(stage) or gone(stage), "protected or gone")
    await stage.sleep(60_000)
    if gone(stage):
        await stage.enter()
    await until_protected(stage)


@scenario("stop-minus-1021", "same id resent")
async def stop_outside_window(stage: Stage) -> None:
    """The stop is refused for its timestamp: the offset is mended and the same id sent once more."""
    answer(stage, PLACE_STOP, 400, -1021, OUTSIDE_WINDOW)
    await stage.enter(wait=False)
    await wait(stage, lambda: entered(stage) == QTY, "entered")
    await wait(stage, lambda: fitted(stage), "protected", 3_000)
    check(len(ever(stage, Leg.STOP)) == 1 and stops(stage)[0].client_id.endswith("-sl-1"), "the same id")


@scenario("entry-minus-1021", "same id resent")
async def entry_outside_window(stage: Stage) -> None:
    """The entry is refused for its timestamp: the same id once more, one entry."""
    answer(stage, PLACE, 400, -1021, OUTSIDE_WINDOW)
    await stage.enter(wait=False)
    await wait(stage, lambda: fitted(stage), "protected", 5_000)
    check([row.client_id[-5:] for row in ever(stage, Leg.ENTRY)] == ["-en-1"], "the same id")


# --- the process ---


async def _crash_and_look(stage: Stage, within_ms: int = 10_000) -> None:
    await stage.crash()
    await stage.restart()
    await wait(stage, lambda: fitted(stage) or gone(stage), "protected or gone after the restart", within_ms)
    await stage.sleep(12_000)
    check(fitted(stage) or gone(stage), f"and stays so: {describe(stage)}")
    check(len(ever(stage, Leg.ENTRY)) <= 1 and entered(stage) <= QTY, "one entry at most")


@scenario("crash-between-fill-and-stop", "crash between entry fill and stop")
async def crash_before_stop(stage: Stage) -> None:
    """Killed when the entry has filled and its stop has not left: the next start protects it first."""
    late(stage, PLACE_STOP, 3_000)
    await stage.enter(wait=False)
    await wait(stage, lambda: entered(stage) == QTY, "entered")
    await _crash_and_look(stage)
    check(fitted(stage) and position(stage) == QTY, describe(stage))


@scenario("crash-before-fill-heard", "on start protect or flatten")
async def crash_before_fill_heard(stage: Stage) -> None:
    """Killed after the entry left and before anything was heard of it."""
    strike(stage, FaultKind.drop_response, PLACE)
    strike(stage, FaultKind.mute, "private*", ms=30_000)
    await stage.enter(wait=False)
    await wait(stage, lambda: entered(stage) == QTY, "entered")
    await _crash_and_look(stage)
    check(fitted(stage) and position(stage) == QTY, describe(stage))


@scenario("crash-while-entry-is-on-its-way", "on start protect or flatten")
async def crash_entry_on_its_way(stage: Stage) -> None:
    """Killed while the entry is held up in the network: it arrives when the new process has looked already."""
    late(stage, PLACE, 3_500)
    await stage.enter(wait=False)
    await stage.sleep(300)
    await stage.crash()
    await stage.restart()
    await wait(stage, lambda: bool(ever(stage, Leg.ENTRY)), "it arrives after all", 10_000)
    await wait(stage, lambda: fitted(stage) or gone(stage), "protected or gone", 45_000)
    check(len(ever(stage, Leg.ENTRY)) == 1 and abs(position(stage)) <= QTY, describe(stage))


@scenario("crash-slow-comparison", "on start protect or flatten")
async def slow_comparison(stage: Stage) -> None:
    """After a restart the venue takes long to say what is there: nothing is placed or cancelled until it has."""
    await entered_long(stage)
    await stage.crash()
    before = [row.client_id for leg in Leg for row in ever(stage, leg)]
    late(stage, "GET /fapi/v3/positionRisk", 3_000, answer=True, count=2)
    await stage.restart()
    await hold(stage, lambda: fitted(stage), "as it was", 5_000)
    after = [row.client_id for leg in Leg for row in ever(stage, leg)]
    check(after == before, f"nothing new: {sorted(set(after) - set(before))}")


@scenario("crash-lagging-replica", "on start protect or flatten")
async def lagging_replica(stage: Stage) -> None:
    """Killed right after the entry; at the start the venue's reads lag and show no position: the stop is not given up
    for the word of a replica that may be older than the fill."""
    await entered_long(stage)
    watch = CoverWatch(stage)
    await stage.crash()
    strike(stage, FaultKind.replica_lag, "GET /fapi/*/positionRisk", 0, ms=1_500, for_ms=3_000)
    await stage.restart()
    await hold(stage, lambda: covered(stage), "covered although the first word was flat", 8_000)
    check(not watch.bare, f"bare: {watch.bare}")
    await wait(stage, lambda: fitted(stage) and position(stage) == QTY, "as it was", 30_000)


@scenario("crash-while-replacing", "crash between entry fill and stop")
async def crash_while_replacing(stage: Stage) -> None:
    """Killed while two stops rest because the old one's cancel is under way: never bare, in the end one."""
    ladder = await entered_long(stage)
    late(stage, "DELETE /fapi/v1/algoOrder", 2_000)
    stage.user(MoveStop(ts=stage.exchange.now_ms, symbol=BTC, price=Decimal(f"{ladder.at(-0.5):.1f}")))
    await wait(stage, lambda: len(stops(stage)) == 2, "both rest", 5_000)
    await stage.crash()
    await stage.restart()
    await hold(stage, lambda: covered(stage), "covered all the time", 8_000)
    await wait(stage, lambda: fitted(stage), "in the end one")


@scenario("crash-while-flattening", "crash between entry fill and stop")
async def crash_while_flattening(stage: Stage) -> None:
    """Killed in the middle of flattening: the next start either closes it or holds it protected; never doubled."""
    await entered_long(stage)
    stage.user(FlattenAll(ts=stage.exchange.now_ms))
    await stage.sleep(60)
    await stage.crash()
    await stage.restart()
    await wait(stage, lambda: fitted(stage) or gone(stage), "protected or gone", 20_000)
    await stage.sleep(12_000)
    check(fitted(stage) or gone(stage), describe(stage))
    check(position(stage) >= 0, "never flipped")


@scenario("crash-after-kill", "on start protect or flatten")
async def crash_after_kill(stage: Stage) -> None:
    """Killed right after the kill switch: it is latched in the next start, which flattens and enters nothing."""
    await entered_long(stage)
    stage.user(KillSwitch(ts=stage.exchange.now_ms, reason="by hand"))
    await stage.sleep(150)
    await stage.crash()
    await stage.restart()
    await until_gone(stage, ms=45_000)
    await stage.sleep(10_000)
    count = len(ever(stage, Leg.ENTRY))
    await stage.enter(wait=False)
    await hold(stage, lambda: gone(stage) and len(ever(stage, Leg.ENTRY)) == count, "latched", 3_000)


@scenario("crash-twice", "on start protect or flatten")
async def crash_twice(stage: Stage) -> None:
    """Killed, and killed again before the first comparison was over."""
    await entered_long(stage)
    await stage.crash()
    elsewhere.cancel_stops(stage)
    await stage.restart()
    await stage.crash()
    await stage.restart()
    await until_protected(stage, ms=15_000)
    check(len(targets(stage)) <= 2 and not [r for r in own(regular(stage)) if r.leg is Leg.ENTRY], describe(stage))
