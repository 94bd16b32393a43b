"""Fault matrix, outside: what others do to the account, the venue to the symbol, and an hour without a venue."""

from __future__ import annotations

from decimal import Decimal

from tui_trader.core.types import Leg, Side
from tui_trader.drill.scenario import Stage
from tui_trader.drill.scenarios import elsewhere
from tui_trader.drill.scenarios.entries import QTY, enter_at_limit, entered_long
from tui_trader.drill.scenarios.look import (
    BTC,
    ETH,
    check,
    covered,
    describe,
    entered,
    ever,
    fitted,
    gone,
    heard,
    hold,
    position,
    stops,
    targets,
    trades,
    until_gone,
    until_protected,
    wait,
)
from tui_trader.drill.scenarios.registry import scenario
from tui_trader.drill.scenarios.strike import PRIVATE, strike
from tui_trader.exchange.fault_rules import Act, FaultKind


@scenario("closed-elsewhere", "position closed")
async def closed_elsewhere(stage: Stage) -> None:
    """Somebody closes the position by hand: our legs go, and it is never opened again."""
    await entered_long(stage)
    elsewhere.trade(stage, False, "0.040", reduce_only=True)
    await until_gone(stage, ms=20_000)
    await hold(stage, lambda: gone(stage), "never reopened", 20_000)


@scenario("closed-elsewhere-unheard", "position closed")
async def closed_unheard(stage: Stage) -> None:
    """The same while the account stream is silent."""
    await entered_long(stage)
    strike(stage, FaultKind.mute, PRIVATE, ms=25_000)
    elsewhere.trade(stage, False, "0.040", reduce_only=True)
    await until_gone(stage, ms=40_000)
    await hold(stage, lambda: gone(stage), "never reopened", 10_000)


@scenario("reduced-elsewhere", "reduced")
async def reduced_elsewhere(stage: Stage) -> None:
    """Somebody sells half: the stop shrinks with it, the targets fit."""
    await entered_long(stage)
    elsewhere.trade(stage, False, "0.020", reduce_only=True)
    await wait(stage, lambda: fitted(stage) and stops(stage)[0].qty == QTY / 2, "the stop shrinks", 40_000)
    await hold(stage, lambda: fitted(stage) and position(stage) == QTY / 2, "never bought back", 15_000)


@scenario("increased-elsewhere", "increased elsewhere")
async def increased_elsewhere(stage: Stage) -> None:
    """Somebody doubles the position: all of it gets a stop."""
    await entered_long(stage)
    elsewhere.trade(stage, True, "0.040")
    await wait(stage, lambda: covered(stage), "all of it is covered within two seconds", 2_000)
    await wait(stage, lambda: fitted(stage) and stops(stage)[0].qty == 2 * QTY, "one stop for all", 40_000)


@scenario("opened-elsewhere", "increased elsewhere")
async def opened_elsewhere(stage: Stage) -> None:
    """Somebody opens a position from a phone, after a lively minute: it is adopted and covered within two seconds."""
    for _ in range(4):
        elsewhere.trade(stage, True, "0.020")
        await wait(stage, lambda: position(stage) > 0 and covered(stage), "covered within two seconds", 2_000)
        elsewhere.trade(stage, False, "0.020", reduce_only=True)
        await until_gone(stage, ms=20_000)


@scenario("flipped-elsewhere", "venue wins")
async def flipped_elsewhere(stage: Stage) -> None:
    """Somebody sells twice the position: what is left is a short, and it is protected as one."""
    await entered_long(stage)
    elsewhere.trade(stage, False, "0.080")
    await wait(stage, lambda: covered(stage), "the short is covered within two seconds", 2_000)
    await wait(stage, lambda: fitted(stage) and position(stage) == -QTY, "with one stop", 45_000)


@scenario("sold-while-entering", "venue wins")
async def sold_while_entering(stage: Stage) -> None:
    """Somebody sells short while our buy rests unfilled: the short is theirs until adopted; nothing is doubled."""
    price = await enter_at_limit(stage)
    elsewhere.trade(stage, False, "0.020")
    await stage.sleep(15_000)
    await stage.move(BTC, price - 10)
    await wait(stage, lambda: fitted(stage) or gone(stage), "protected or gone", 45_000)
    check(len(ever(stage, Leg.ENTRY)) == 1, "one entry")


@scenario("liquidated", "liquidation")
async def liquidated(stage: Stage) -> None:
    """The venue liquidates: booked to it, legs cleared, the symbol takes no entries."""
    await entered_long(stage)
    stage.act(Act(kind=FaultKind.liquidation, symbol=BTC))
    await until_gone(stage, ms=20_000)
    count = len(ever(stage, Leg.ENTRY))
    await stage.enter(wait=False)
    await hold(stage, lambda: gone(stage) and len(ever(stage, Leg.ENTRY)) == count, "the symbol is halted", 5_000)
    check(heard(stage, "liquidated"), "it is said who closed it")


@scenario("deleveraged", "ADL")
async def deleveraged(stage: Stage) -> None:
    """The venue takes half of a winning position: the stop shrinks, the symbol takes no entries."""
    await entered_long(stage)
    stage.act(Act(kind=FaultKind.adl, symbol=BTC, share=0.5))
    await wait(stage, lambda: position(stage) == QTY / 2, "half is gone", 5_000)
    await wait(stage, lambda: fitted(stage), "the stop shrinks", 30_000)
    check(heard(stage, "deleveraging"), "it is said who reduced it")
    await stage.move(BTC, 0.96 * float(trades(stage)[0].price), 2_000)
    await until_gone(stage)
    count = len(ever(stage, Leg.ENTRY))
    await stage.enter(wait=False)
    await stage.sleep(3_000)
    check(len(ever(stage, Leg.ENTRY)) == count, "the symbol is halted")


@scenario("hedge-mode", "hedge mode (-4061) → refused")
async def hedge_mode(stage: Stage) -> None:
    """Somebody switches the flat account to hedge mode: the venue refuses the entry, and it is said."""
    stage.act(Act(kind=FaultKind.hedge_mode, ms=600_000))
    await stage.enter(wait=False)
    await stage.sleep(5_000)
    check(gone(stage) and not trades(stage), "nothing entered in hedge mode")
    await stage.enter(wait=False)
    await stage.sleep(3_000)
    check(gone(stage) and not trades(stage), "nor the second time")
    check(heard(stage, "-4061") or heard(stage, "hedge"), "refused in words")


@scenario("hedge-mode-with-position", "hedge mode (-4061) → refused")
async def hedge_mode_with_position(stage: Stage) -> None:
    """Hedge mode is found with a position open, which the venue should forbid: no entries, the stop stays."""
    await entered_long(stage)
    stage.act(Act(kind=FaultKind.hedge_mode, ms=60_000, text="force"))
    await stage.enter(symbol=ETH, qty="0.500", wait=False)
    await stage.sleep(5_000)
    check(position(stage, ETH) == 0, "nothing entered in hedge mode")
    check(covered(stage), f"the stop stays: {describe(stage)}")
    check(heard(stage, "switch the position mode"), "it is said what to do")
    check(not heard(stage, "one-way mode again"), "nothing but the venue's own word ends it")
    await stage.sleep(70_000)
    check(heard(stage, "one-way mode again"), "its end is heard")


@scenario("symbol-settling", "symbol settling")
async def settling(stage: Stage) -> None:
    """The symbol goes into settlement: no entries."""
    stage.act(Act(kind=FaultKind.symbol_status, symbol=BTC, text="SETTLING", ms=600_000))
    await stage.enter(wait=False)
    await stage.sleep(5_000)
    check(gone(stage) and not ever(stage, Leg.ENTRY), "no entry into a settling symbol")


@scenario("symbol-settling-exit", "exit early")
async def settling_exit(stage: Stage) -> None:
    """The symbol goes into settlement while a position is open: out before the venue does it, or still protected."""
    await entered_long(stage)
    stage.act(Act(kind=FaultKind.symbol_status, symbol=BTC, text="SETTLING", ms=3_600_000))
    await stage.sleep(10_000)
    check(covered(stage), f"protected or out: {describe(stage)}")
    await wait(stage, lambda: gone(stage), "left early", 400_000)


@scenario("symbol-close-only", "close-only")
async def close_only(stage: Stage) -> None:
    """The symbol's status forbids new positions: no entry, while the stop of an open one may still move."""
    await entered_long(stage)
    stage.act(Act(kind=FaultKind.symbol_status, symbol=ETH, text="BREAK", ms=600_000))
    await stage.enter(symbol=ETH, qty="0.500", wait=False)
    await stage.sleep(5_000)
    check(position(stage, ETH) == 0 and not ever(stage, Leg.STOP, ETH), "no entry into a halted symbol")
    check(fitted(stage), describe(stage))


@scenario("funding-booked", "funding → a ledger row")
async def funding(stage: Stage) -> None:
    """Funding is paid at an odd time: a row of the ledger, no drift, no reconciling."""
    await entered_long(stage)
    before = stage.account.wallet
    stage.act(Act(kind=FaultKind.funding, symbol=BTC, share=0.001))
    await stage.sleep(90_000)
    check(stage.account.wallet != before, "funding was paid")
    check(fitted(stage) and position(stage) == QTY, describe(stage))
    check(not heard(stage, "the venue holds"), "no drift is seen in it")
    check(len(targets(stage)) == 2, describe(stage))


@scenario("maintenance", "maintenance, all 5xx for 25 min")
async def maintenance(stage: Stage) -> None:
    """The venue is gone for 25 minutes with a position open: blind, then compared before it trades."""
    await entered_long(stage)
    struck_before = sum(stage.faults.counts.values())
    stage.act(Act(kind=FaultKind.outage, ms=1_500_000))
    await stage.sleep(60_000)
    count = len(ever(stage, Leg.ENTRY, ETH))
    await stage.enter(symbol=ETH, qty="0.500", wait=False)
    await stage.sleep(1_440_000)
    check(len(ever(stage, Leg.ENTRY, ETH)) == count == 0, "no entry while blind")
    asked = sum(stage.faults.counts.values()) - struck_before
    check(asked <= 2_500, f"{asked} requests in 25 min: not bounded")
    await stage.sleep(60_000)
    check(fitted(stage) and position(stage) == QTY, f"after it all as before: {describe(stage)}")
    await stage.enter(symbol=ETH, qty="0.500")
    await until_protected(stage, ETH)


@scenario("maintenance-while-entering", "blind, bounded backoff")
async def maintenance_entering(stage: Stage) -> None:
    """The venue goes away for 25 minutes while nobody knows whether the entry arrived: asked ever more rarely."""
    strike(stage, FaultKind.drop_response, "POST /fapi/v1/order")
    strike(stage, FaultKind.mute, PRIVATE, ms=60_000)
    await stage.enter(wait=False)
    await wait(stage, lambda: entered(stage) == QTY, "entered, which nobody knows")
    before = sum(stage.faults.counts.values())
    stage.act(Act(kind=FaultKind.outage, ms=1_500_000))
    await stage.sleep(1_500_000)
    asked = sum(stage.faults.counts.values()) - before
    check(asked <= 2_500, f"{asked} requests in 25 min: not bounded")
    await wait(stage, lambda: fitted(stage) or gone(stage), "protected or flat within ten seconds of it", 15_000)


@scenario("maintenance-stop-fills", "blind, bounded backoff, reconcile first")
async def maintenance_stop(stage: Stage) -> None:
    """The stop fills while the venue cannot be asked: found at the first comparison, legs cleared, then trading."""
    ladder = await entered_long(stage)
    stage.act(Act(kind=FaultKind.outage, ms=180_000))
    await stage.sleep(5_000)
    await stage.move(BTC, ladder.at(-1.2), 2_000)
    await stage.sleep(180_000)
    await until_gone(stage, ms=60_000)


@scenario("exchange-restart-keeps", "maintenance")
async def restart_keeps(stage: Stage) -> None:
    """The exchange restarts and keeps its orders."""
    await entered_long(stage)
    stage.act(Act(kind=FaultKind.restart_keep, ms=5_000))
    await stage.sleep(30_000)
    check(fitted(stage) and position(stage) == QTY, describe(stage))


@scenario("exchange-restart-loses", "cancelled by the venue")
async def restart_loses(stage: Stage) -> None:
    """The exchange restarts without its open orders: the stop is replaced within ten seconds of being reachable."""
    await entered_long(stage)
    stage.act(Act(kind=FaultKind.restart_lose, ms=5_000))
    await stage.sleep(6_000)
    await wait(stage, lambda: fitted(stage) or gone(stage), "protected or flat", 20_000)


@scenario("short-adopted-while-holding", "venue wins")
async def opposite_symbol(stage: Stage) -> None:
    """Somebody opens a short in another symbol: adopted there, ours untouched."""
    await entered_long(stage)
    elsewhere.trade(stage, False, "0.400", symbol=ETH)
    await wait(stage, lambda: fitted(stage, ETH), "the short is adopted", 45_000, ETH)
    check(fitted(stage) and position(stage, ETH) == Decimal("-0.400"), describe(stage))
    check(stops(stage, ETH)[0].is_buy and Side.SHORT.exit == "BUY", "with a buy stop")
