"""Two things at once: a person's key, the venue, somebody else on the account, in the moment of a fill or a move."""

from __future__ import annotations

from decimal import Decimal

from tui_trader.core.events import ClosePosition, FlattenAll, KillSwitch, MoveStop
from tui_trader.core.types import Leg
from tui_trader.drill.scenario import Stage
from tui_trader.drill.scenarios import elsewhere
from tui_trader.drill.scenarios.entries import QTY, entered_long
from tui_trader.drill.scenarios.look import (
    BTC,
    Levels,
    check,
    describe,
    entered,
    ever,
    fitted,
    gone,
    hold,
    mark,
    position,
    sold,
    until_gone,
    wait,
)
from tui_trader.drill.scenarios.registry import scenario
from tui_trader.drill.scenarios.strike import CANCEL, CANCEL_STOP, PLACE, PLACE_STOP, PRIVATE, late, strike
from tui_trader.exchange.fault_rules import Act, FaultKind


def _kill(stage: Stage) -> None:
    stage.user(KillSwitch(ts=stage.exchange.now_ms, reason="by hand"))


def _move_stop(stage: Stage, ladder: Levels) -> None:
    stage.user(MoveStop(ts=stage.exchange.now_ms, symbol=BTC, price=Decimal(f"{ladder.at(-0.5):.1f}")))


async def _closed_or_held(stage: Stage, ms: int = 20_000) -> None:
    """Protected or gone soon, and so it stays."""
    await wait(stage, lambda: fitted(stage) or gone(stage), "protected or gone", ms)
    await stage.sleep(4_000)
    check(fitted(stage) or gone(stage), describe(stage))


async def _gone_for_good(stage: Stage, ms: int = 20_000) -> None:
    await until_gone(stage, ms=ms)
    await hold(stage, lambda: gone(stage), "never opened again", 10_000)


# --- the kill switch against an entry ---


@scenario("kill-while-entry-is-on-its-way")
async def kill_entry_on_its_way(stage: Stage) -> None:
    """Killed while the entry is held up in the network, where its cancel overtakes it: what it buys is closed."""
    late(stage, PLACE, 3_500)
    await stage.enter(wait=False)
    await _killed_before_it_arrives(stage)


@scenario("kill-while-limit-is-on-its-way")
async def kill_limit_on_its_way(stage: Stage) -> None:
    """The same with an entry that rests when it arrives: it is cancelled."""
    late(stage, PLACE, 3_500)
    await stage.enter(limit=f"{mark(stage) - 20:.1f}", wait=False)
    await _killed_before_it_arrives(stage)


async def _killed_before_it_arrives(stage: Stage) -> None:
    await stage.sleep(300)
    _kill(stage)
    await wait(stage, lambda: bool(ever(stage, Leg.ENTRY)), "it arrives after all", 10_000)
    await _gone_for_good(stage)
    check(sold(stage) == entered(stage), f"sold {sold(stage)}, bought {entered(stage)}")


@scenario("kill-while-entry-is-unknown")
async def kill_entry_unknown(stage: Stage) -> None:
    """Killed while nobody knows that the entry filled: answer lost, stream silent."""
    strike(stage, FaultKind.drop_response, PLACE)
    strike(stage, FaultKind.mute, PRIVATE, ms=20_000)
    await stage.enter(wait=False)
    await stage.sleep(200)
    _kill(stage)
    await _gone_for_good(stage)
    check(sold(stage) == entered(stage) == QTY, f"sold {sold(stage)}, bought {entered(stage)}")


# --- a stop that fills in part ---


@scenario("stop-fills-partly-while-it-moves")
async def partly_while_moving(stage: Stage) -> None:
    """The old stop triggers into a thin book while its replacement and its cancel are under way."""
    ladder = await entered_long(stage)
    late(stage, PLACE_STOP, 900)
    late(stage, CANCEL_STOP, 900)
    elsewhere.thin(stage, 10)
    _move_stop(stage, ladder)
    await stage.sleep(300)
    await stage.gap(BTC, ladder.at(-1.3))
    await until_gone(stage)
    check(sold(stage) == QTY, f"sold {sold(stage)}, held {QTY}")


@scenario("stop-fills-partly-and-price-returns")
async def partly_and_back(stage: Stage) -> None:
    """The stop fills in part, and the price is back above it before the rest could be closed."""
    ladder = await entered_long(stage)
    elsewhere.thin(stage, 10)
    await stage.gap(BTC, ladder.at(-1.1))
    await stage.gap(BTC, ladder.at(0.5))
    await _closed_or_held(stage)


# --- the venue takes the position ---


@scenario("stuck-and-liquidated")
async def stuck_and_liquidated(stage: Stage) -> None:
    """Price goes through stop and liquidation: the stop is stuck, and the venue liquidates while it is closed."""
    ladder = await entered_long(stage)
    strike(stage, FaultKind.stuck_triggering, "", 1, ms=9_000)
    await stage.gap(BTC, ladder.at(-2))
    await stage.sleep(500)
    stage.act(Act(kind=FaultKind.liquidation, symbol=BTC))
    await _gone_for_good(stage)
    check(sold(stage) == QTY, f"sold {sold(stage)}, held {QTY}")


@scenario("liquidated-while-flattening")
async def liquidated_while_flattening(stage: Stage) -> None:
    """The market close is on its way when the venue liquidates: nothing is sold twice."""
    await entered_long(stage)
    late(stage, PLACE, 1_500)
    stage.user(FlattenAll(ts=stage.exchange.now_ms))
    await stage.sleep(100)
    stage.act(Act(kind=FaultKind.liquidation, symbol=BTC))
    await _gone_for_good(stage)
    check(sold(stage) == QTY, f"sold {sold(stage)}, held {QTY}")


@scenario("deleveraged-while-stop-moves")
async def deleveraged_while_moving(stage: Stage) -> None:
    """Half of the position is taken while its stop is being replaced."""
    ladder = await entered_long(stage)
    late(stage, PLACE_STOP, 900)
    _move_stop(stage, ladder)
    await stage.sleep(100)
    stage.act(Act(kind=FaultKind.adl, symbol=BTC, share=0.5))
    await wait(stage, lambda: fitted(stage) and position(stage) == QTY / 2, "one stop for the rest", 20_000)


@scenario("hedge-mode-between-fill-and-stop")
async def hedge_between(stage: Stage) -> None:
    """Hedge mode comes between the entry's fill and its stop, and ends after eight seconds."""
    late(stage, PLACE_STOP, 700)
    await stage.enter(wait=False)
    await wait(stage, lambda: entered(stage) == QTY, "entered")
    stage.act(Act(kind=FaultKind.hedge_mode, ms=8_000, text="force"))
    await stage.sleep(8_500)
    await _closed_or_held(stage, 12_000)


@scenario("clock-steps-back-a-minute")
async def clock_back(stage: Stage) -> None:
    """The venue's clock jumps back by a minute; then a target fills, the stop is cancelled, price falls."""
    ladder = await entered_long(stage)
    stage.act(Act(kind=FaultKind.clock_step, ms=-60_000))
    await stage.sleep(20_000)
    await stage.move(BTC, ladder.at(1.6))
    await wait(stage, lambda: fitted(stage) and position(stage) == QTY / 2, "TP1, and the stop follows", 45_000)
    elsewhere.cancel_stops(stage)
    await wait(stage, lambda: fitted(stage), "the stop is replaced", 10_000)
    await stage.move(BTC, ladder.at(-1.3))
    await until_gone(stage, ms=45_000)


# --- somebody else on the account ---


@scenario("half-closed-while-target-fills")
async def half_closed(stage: Stage) -> None:
    """A half is closed by hand, the target's cancel is held up, and the target fills: nothing is sold twice."""
    ladder = await entered_long(stage)
    await stage.move(BTC, ladder.at(0.9))
    late(stage, CANCEL, 1_500, count=2)
    stage.user(ClosePosition(ts=stage.exchange.now_ms, symbol=BTC, fraction=Decimal("0.5")))
    await stage.sleep(100)
    await stage.gap(BTC, ladder.at(1.7))
    await _closed_or_held(stage)
    check(position(stage) >= 0 and sold(stage) <= QTY, describe(stage))


@scenario("flipped-while-stop-moves")
async def flipped_while_moving(stage: Stage) -> None:
    """Somebody turns the long into a short while its stop is being replaced: the short gets a stop of its own."""
    ladder = await entered_long(stage)
    late(stage, PLACE_STOP, 900)
    _move_stop(stage, ladder)
    await stage.sleep(100)
    elsewhere.trade(stage, False, "0.080")
    await wait(stage, lambda: fitted(stage) and position(stage) == -QTY, "the short is protected", 20_000)


@scenario("flipped-while-closing")
async def flipped_while_closing(stage: Stage) -> None:
    """Somebody turns the long into a short while its market close is on its way: the close never adds to it."""
    await entered_long(stage)
    late(stage, PLACE, 900)
    stage.user(ClosePosition(ts=stage.exchange.now_ms, symbol=BTC, fraction=Decimal(1)))
    await stage.sleep(200)
    elsewhere.trade(stage, False, "0.080")
    await _closed_or_held(stage)
    check(-position(stage) <= QTY, describe(stage))


@scenario("opened-by-phone-after-kill")
async def opened_after_kill(stage: Stage) -> None:
    """Killed and flat; somebody opens a position by phone: it is closed, too."""
    await entered_long(stage)
    _kill(stage)
    await until_gone(stage)
    elsewhere.trade(stage, True, "0.030")
    await _gone_for_good(stage, 30_000)


@scenario("added-by-phone-while-killed")
async def added_while_killed(stage: Stage) -> None:
    """Somebody adds to the position while the kill switch's close is on its way: all of it is closed."""
    await entered_long(stage)
    late(stage, PLACE, 1_200)
    _kill(stage)
    await stage.sleep(1_000)
    elsewhere.trade(stage, True, "0.030")
    await _gone_for_good(stage, 30_000)
