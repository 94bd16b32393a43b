"""Fault matrix, fills: in parts, all at once, with a remainder that no order can hold."""

from __future__ import annotations

from decimal import Decimal

from tui_trader.core.types import Leg
from tui_trader.drill.scenario import Stage
from tui_trader.drill.scenarios import elsewhere
from tui_trader.drill.scenarios.entries import QTY, entered_long
from tui_trader.drill.scenarios.look import (
    BTC,
    CoverWatch,
    check,
    describe,
    entered,
    ever,
    fitted,
    gone,
    heard,
    levels,
    mark,
    position,
    regular,
    sold,
    stops,
    targets,
    until_gone,
    until_protected,
    wait,
)
from tui_trader.drill.scenarios.registry import scenario
from tui_trader.drill.scenarios.strike import PLACE_STOP, strike
from tui_trader.exchange.accounts import Account
from tui_trader.exchange.fault_rules import FaultKind
from tui_trader.exchange.orders import Order, OrderRequest

PART = Decimal("0.015")


async def partly_entered(stage: Stage) -> None:
    """An entry at a limit of which somebody takes a part."""
    elsewhere.quiet(stage)
    price = round(mark(stage), 1)
    await stage.enter(qty="0.040", limit=f"{price:.1f}", wait=False)
    await wait(stage, lambda: any(r.leg is Leg.ENTRY for r in regular(stage)), "the entry rests")
    elsewhere.anonymous(stage, False, str(PART))


@scenario("entry-partly-filled", "entry partly filled", settings={"execution.entry_timeout_s": 10.0})
async def entry_partly_filled(stage: Stage) -> None:
    """A stop at once for what is filled, the remainder cancelled on timeout, targets for what was really entered."""
    await partly_entered(stage)
    await wait(stage, lambda: fitted(stage), "a stop for the part", 3_000)
    check(any(r.leg is Leg.ENTRY for r in regular(stage)), "the remainder still works")
    await wait(stage, lambda: not any(r.leg is Leg.ENTRY for r in regular(stage)), "the remainder is cancelled", 15_000)
    await wait(stage, lambda: fitted(stage) and bool(targets(stage)), "stop and targets for what was entered")
    check(position(stage) == entered(stage) < QTY, describe(stage))
    ladder = levels(stage)
    await stage.move(BTC, ladder.at(-1.2))
    await until_gone(stage)


@scenario("target-partly-filled", "target partly filled")
async def target_partly_filled(stage: Stage) -> None:
    """The stop's quantity follows, and only under a stop that is proven: never is a part bare."""
    ladder = await entered_long(stage)
    watch = CoverWatch(stage)
    await stage.move(BTC, ladder.targets[0] - 5.0)
    elsewhere.lift(stage, ladder.targets[0], "0.005")
    await wait(stage, lambda: position(stage) < QTY, "a part of TP1 is taken")
    await wait(stage, lambda: fitted(stage), "the stop follows")
    check(position(stage) > QTY / 2, "TP1 was taken in part only")
    check(not watch.bare, f"bare while the stop was replaced: {watch.bare}")
    await stage.move(BTC, ladder.at(1.7))
    await wait(stage, lambda: fitted(stage) and position(stage) == QTY / 2, "the rest of TP1")


@scenario("target-and-stop", "target and stop both hit")
async def target_and_stop(stage: Stage) -> None:
    """TP1 fills, and before the stop can follow price is through it: reduce-only caps at zero, no flip."""
    ladder = await entered_long(stage)
    await stage.gap(BTC, ladder.at(1.55))
    await stage.gap(BTC, ladder.at(-1.2))
    await until_gone(stage)
    check(sold(stage) == QTY, f"sold {sold(stage)}, held {QTY}")
    check(not heard(stage, "halt"), "an expired second leg is normal")
    await stage.move(BTC, ladder.entry)
    await stage.enter()
    await until_protected(stage)


@scenario("gap-through-both", "a gap through both")
async def gap_through_both(stage: Stage) -> None:
    """Price jumps over every target and, in the same second, under the stop."""
    ladder = await entered_long(stage)
    await stage.gap(BTC, ladder.at(2.8))
    await stage.gap(BTC, ladder.at(-2.0))
    await until_gone(stage)
    check(sold(stage) == QTY, f"sold {sold(stage)}, held {QTY}")


async def _all_the_way(stage: Stage, qty: str) -> None:
    await stage.enter(qty=qty)
    await until_protected(stage)
    await stage.sleep(1_000)
    ladder = levels(stage)
    planned = sum((row.qty for row in targets(stage)), Decimal(0))
    check(planned <= Decimal(qty), f"targets of {planned} for {qty}")
    for multiple in (1.1, 1.6, 2.7, 3.5):
        await stage.move(BTC, ladder.at(multiple), 2_000)
        await wait(stage, lambda: gone(stage) or fitted(stage), "exactly covered after each rung")
    await stage.move(BTC, ladder.at(1.0), 2_000)
    await until_gone(stage)
    check(sold(stage) == Decimal(qty), "sold to the last step")


@scenario("dust", "rounding leaves dust")
async def dust(stage: Stage) -> None:
    """Quantities that no fraction divides: what rounding leaves is owned from the beginning and closed at the end."""
    await _all_the_way(stage, "0.007")


@scenario("dust-smallest", "rounding leaves dust")
async def dust_smallest(stage: Stage) -> None:
    """Two steps of quantity: a rung smaller than the venue's minimum goes to its neighbour."""
    await _all_the_way(stage, "0.002")


@scenario("stop-fills-partly", "stop fills only partly")
async def stop_fills_partly(stage: Stage) -> None:
    """The book is thin when the stop strikes: what it leaves open is closed in a loop until nothing is."""
    ladder = await entered_long(stage)
    elsewhere.thin(stage, 8)
    await stage.gap(BTC, ladder.at(-1.2))
    await wait(stage, lambda: any(0 < r.filled < r.qty for r in ever(stage, Leg.STOP)), "the stop fills in part")
    await until_gone(stage, ms=30_000)
    check(sold(stage) == QTY, f"sold {sold(stage)}, held {QTY}")


@scenario("stop-unproven-while-target-fills", "only after the new stop is proven")
async def old_stop_stays(stage: Stage) -> None:
    """TP1 fills and the smaller stop's request is lost: the old stop stays until a new one rests."""
    ladder = await entered_long(stage)
    old = stops(stage)[0].client_id
    watch = CoverWatch(stage)
    strike(stage, FaultKind.drop_request, PLACE_STOP, 2)
    await stage.move(BTC, ladder.at(1.6))
    await wait(stage, lambda: position(stage) == QTY / 2, "TP1 filled")
    check(old in [row.client_id for row in stops(stage)] or fitted(stage), "the old stop stays")
    await wait(stage, lambda: fitted(stage), "in the end one stop, exactly", 40_000)
    check(not watch.bare, f"bare while the stop was replaced: {watch.bare}")


@scenario("fill-larger-than-ordered", "fill larger than ordered")
async def larger_than_ordered(stage: Stage) -> None:
    """The venue fills a quarter more than was ordered: its word is taken, an alarm is raised, the excess is closed."""
    place = stage.exchange.place_order

    def generous(account: Account, request: OrderRequest) -> Order:
        if not request.reduce_only and request.quantity is not None and request.client_id:
            request.quantity += Decimal("0.010")
        return place(account, request)

    setattr(stage.exchange, "place_order", generous)  # noqa: B010 - a venue that misbehaves
    await stage.enter(wait=False)
    await wait(stage, lambda: entered(stage) == Decimal("0.050"), "filled with more than was ordered", 5_000)
    await wait(stage, lambda: position(stage) <= QTY, "the excess is closed", 15_000)
    await wait(stage, lambda: fitted(stage) or gone(stage), "what is left is protected")
    check(heard(stage, "ordered"), "an alarm says so")
