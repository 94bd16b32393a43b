"""Canonical scenarios: what a person does to a running position."""

from __future__ import annotations

from decimal import Decimal

from tui_trader.core.events import (
    ClosePosition,
    FlattenAll,
    KillSwitch,
    MoveStop,
    PauseEntries,
    Rearm,
    RemoveTarget,
    SetTarget,
    StartTrailing,
    StopToBreakEven,
)
from tui_trader.core.types import Leg
from tui_trader.drill.scenario import Stage
from tui_trader.drill.scenarios.entries import QTY, enter_at_limit, entered_long
from tui_trader.drill.scenarios.look import (
    BTC,
    ETH,
    check,
    covered,
    describe,
    ever,
    fitted,
    gone,
    hold,
    position,
    sold,
    stops,
    targets,
    until_gone,
    until_protected,
    wait,
)
from tui_trader.drill.scenarios.registry import scenario


@scenario("close-all-by-hand")
async def close_all(stage: Stage) -> None:
    """The whole position at market."""
    await entered_long(stage)
    stage.user(ClosePosition(ts=stage.exchange.now_ms, symbol=BTC, fraction=Decimal(1)))
    await until_gone(stage, ms=10_000)
    check(sold(stage) == QTY, "sold exactly what was held")


@scenario("close-part-by-hand")
async def close_part(stage: Stage) -> None:
    """A half at market; the stop and the targets follow."""
    await entered_long(stage)
    stage.user(ClosePosition(ts=stage.exchange.now_ms, symbol=BTC, fraction=Decimal("0.5")))
    await wait(stage, lambda: fitted(stage) and position(stage) == QTY / 2, "half is left, with its stop")
    await wait(stage, lambda: len(targets(stage)) == 2, "the targets rest again")
    check([row.filled for row in ever(stage, Leg.CLOSE)] == [QTY / 2], "one close, once")


@scenario("flatten-all")
async def flatten_all(stage: Stage) -> None:
    """Two positions, both closed; trading goes on once a person resumes the entries."""
    await entered_long(stage)
    await stage.enter(symbol=ETH, qty="0.500")
    await until_protected(stage, ETH)
    stage.user(FlattenAll(ts=stage.exchange.now_ms))
    await until_gone(stage, BTC, 10_000)
    await until_gone(stage, ETH, 10_000)
    stage.user(PauseEntries(ts=stage.exchange.now_ms, paused=False))
    await stage.sleep(2_000)
    await stage.enter()
    await until_protected(stage)


@scenario("kill-switch")
async def kill_switch(stage: Stage) -> None:
    """A position and a working entry: both gone; nothing enters until a person re-arms (I15)."""
    await stage.enter(symbol=ETH, qty="0.500")
    await until_protected(stage, ETH)
    await enter_at_limit(stage)
    stage.user(KillSwitch(ts=stage.exchange.now_ms, reason="by hand"))
    await until_gone(stage, ETH, 10_000)
    await until_gone(stage, BTC, 10_000)
    count = len(ever(stage, Leg.ENTRY))
    await stage.enter(wait=False)
    await hold(stage, lambda: gone(stage) and len(ever(stage, Leg.ENTRY)) == count, "no entry while latched", 3_000)
    stage.user(Rearm(ts=stage.exchange.now_ms))
    await stage.sleep(500)
    await stage.enter()
    await until_protected(stage)


@scenario("move-stop-by-hand")
async def move_stop(stage: Stage) -> None:
    """A stop is moved; at no time is the position without one (I10)."""
    ladder = await entered_long(stage)
    price = Decimal(f"{ladder.at(-0.5):.1f}")
    stage.user(MoveStop(ts=stage.exchange.now_ms, symbol=BTC, price=price))
    await hold(stage, lambda: covered(stage), "covered while the stop moves", 3_000)
    check(fitted(stage) and stops(stage)[0].price == price, f"one stop at {price}: {describe(stage)}")
    await stage.move(BTC, ladder.at(-0.7))
    await until_gone(stage)


@scenario("break-even-by-hand")
async def break_even(stage: Stage) -> None:
    """A person moves the stop to break-even."""
    ladder = await entered_long(stage)
    await stage.move(BTC, ladder.at(0.6))
    stage.user(StopToBreakEven(ts=stage.exchange.now_ms, symbol=BTC))
    await wait(stage, lambda: fitted(stage) and float(stops(stage)[0].price) > ladder.entry, "break-even", 5_000)


@scenario("trailing-by-hand")
async def trailing(stage: Stage) -> None:
    """A person starts the trailing stop early; it follows price and ends the trade."""
    ladder = await entered_long(stage)
    stage.user(StartTrailing(ts=stage.exchange.now_ms, symbol=BTC))
    await stage.move(BTC, ladder.at(0.8))
    await wait(stage, lambda: fitted(stage) and float(stops(stage)[0].price) > ladder.at(-0.3), "the stop follows")
    await stage.move(BTC, ladder.at(-0.4))
    await until_gone(stage)


@scenario("targets-by-hand")
async def targets_by_hand(stage: Stage) -> None:
    """A target is moved, one is taken away; what rests never exceeds what is open (I3, I18)."""
    ladder = await entered_long(stage)
    price = Decimal(f"{ladder.at(2.0):.1f}")
    stage.user(SetTarget(ts=stage.exchange.now_ms, symbol=BTC, leg=Leg.TP1, price=price, fraction=Decimal("0.25")))
    await wait(stage, lambda: [r.price for r in targets(stage)][:1] == [price], "TP1 moved", 5_000)
    stage.user(RemoveTarget(ts=stage.exchange.now_ms, symbol=BTC, leg=Leg.TP2))
    await wait(stage, lambda: [r.leg for r in targets(stage)] == [Leg.TP1], "TP2 is gone", 5_000)
    check(fitted(stage) and targets(stage)[0].qty == QTY / 4, describe(stage))
    await stage.move(BTC, ladder.at(2.1))
    await wait(stage, lambda: fitted(stage) and position(stage) == QTY * 3 / 4, "TP1 filled, the stop follows")


@scenario("paused")
async def paused(stage: Stage) -> None:
    """Paused entries are refused; the open position lives on."""
    ladder = await entered_long(stage)
    stage.user(PauseEntries(ts=stage.exchange.now_ms, paused=True))
    await stage.enter(symbol=ETH, qty="0.500", wait=False)
    await stage.sleep(2_000)
    check(gone(stage, ETH) and not ever(stage, Leg.ENTRY, ETH), "no entry while paused")
    await stage.move(BTC, ladder.at(1.6))
    await wait(stage, lambda: fitted(stage) and position(stage) == QTY / 2, "TP1 fills while entries are paused")
