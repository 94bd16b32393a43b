"""Canonical scenarios: how a position begins, at market and with a limit, and how a ladder runs to its end."""

from __future__ import annotations

from decimal import Decimal

from tui_trader.core.events import CancelEntry
from tui_trader.core.types import Leg, Side
from tui_trader.drill.scenario import Stage
from tui_trader.drill.scenarios.look import (
    BTC,
    Levels,
    check,
    describe,
    entered,
    ever,
    fitted,
    levels,
    mark,
    position,
    regular,
    sold,
    stops,
    targets,
    trades,
    until_gone,
    until_protected,
    wait,
)
from tui_trader.drill.scenarios.registry import scenario

QTY = Decimal("0.040")


async def entered_long(stage: Stage, qty: str = "0.040") -> Levels:
    """Enter a long at market and wait for its stop and both targets."""
    await stage.enter(qty=qty)
    await until_protected(stage)
    await wait(stage, lambda: len(targets(stage)) == 2, "both targets rest")
    return levels(stage)


async def enter_at_limit(stage: Stage, away: float = 20.0, qty: str = "0.040") -> float:
    """Rest a buy ``away`` quote units under the market; returns its price."""
    price = round(mark(stage) - away, 1)
    await stage.enter(qty=qty, limit=f"{price:.1f}", wait=False)
    await wait(stage, lambda: any(r.leg is Leg.ENTRY for r in regular(stage)), "the entry rests")
    return price


@scenario("entry-market")
async def market_entry(stage: Stage) -> None:
    """A market entry has its stop, and targets that do not exceed it."""
    ladder = await entered_long(stage)
    check(position(stage) == QTY, f"entered other than ordered: {describe(stage)}")
    check(sum((r.qty for r in targets(stage)), Decimal(0)) == Decimal("0.032"), "TP1 and TP2 are 80 %")
    check(ladder.stop < ladder.entry < ladder.targets[0] < ladder.targets[1], "levels in order")
    check(entered(stage) == QTY, "one entry, once")


@scenario("entry-market-short")
async def market_entry_short(stage: Stage) -> None:
    """The mirror image."""
    await stage.enter(side=Side.SHORT)
    await until_protected(stage)
    await wait(stage, lambda: len(targets(stage)) == 2, "both targets rest")
    ladder = levels(stage)
    check(position(stage) == -QTY, describe(stage))
    check(ladder.stop > ladder.entry > ladder.targets[0] > ladder.targets[1], "levels in order")


@scenario("stopped-out")
async def stopped_out(stage: Stage) -> None:
    """Price walks through the stop: flat, nothing left, about one R lost."""
    ladder = await entered_long(stage)
    await stage.move(BTC, ladder.at(-1.1), 3_000)
    await until_gone(stage)
    lost = sum((t.realized for t in trades(stage)), Decimal(0))
    check(Decimal(str(-1.3 * ladder.risk)) * QTY < lost < 0, f"about one R should be lost, not {lost}")


async def _whole_ladder(stage: Stage, side: Side) -> None:
    await stage.enter(side=side)
    await until_protected(stage)
    await wait(stage, lambda: len(targets(stage)) == 2, "both targets rest")
    ladder = levels(stage)
    await stage.move(BTC, ladder.at(1.1))
    await wait(
        stage, lambda: fitted(stage) and (float(stops(stage)[0].price) - ladder.entry) * side.sign > 0, "break-even"
    )
    await stage.move(BTC, ladder.at(1.6))
    await wait(stage, lambda: fitted(stage) and abs(position(stage)) == QTY / 2, "TP1 filled and the stop follows")
    await stage.move(BTC, ladder.at(2.6))
    await wait(stage, lambda: fitted(stage) and abs(position(stage)) == Decimal("0.008"), "TP2 filled")
    await stage.move(BTC, ladder.at(4.0))
    await wait(
        stage, lambda: fitted(stage) and (float(stops(stage)[0].price) - ladder.at(3.0)) * side.sign > 0, "it trails"
    )
    best = stops(stage)[0].price
    await stage.move(BTC, ladder.at(3.7))
    check(fitted(stage) and (stops(stage)[0].price - best) * side.sign >= 0, "a trailing stop never loosens")
    await stage.move(BTC, ladder.at(2.5))
    await until_gone(stage)
    check(sum((t.realized for t in trades(stage)), Decimal(0)) > 0, "the whole ladder wins")


@scenario("whole-ladder")
async def whole_ladder(stage: Stage) -> None:
    """TP1, break-even, TP2, trailing, stop: long."""
    await _whole_ladder(stage, Side.LONG)


@scenario("whole-ladder-short")
async def whole_ladder_short(stage: Stage) -> None:
    """TP1, break-even, TP2, trailing, stop: short."""
    await _whole_ladder(stage, Side.SHORT)


@scenario("break-even-exit")
async def break_even_exit(stage: Stage) -> None:
    """Price reaches the break-even trigger, comes back, and the stop ends it at about the entry."""
    ladder = await entered_long(stage)
    await stage.move(BTC, ladder.at(1.1))
    await wait(stage, lambda: fitted(stage) and float(stops(stage)[0].price) > ladder.entry, "break-even")
    await stage.move(BTC, ladder.at(-0.2))
    await until_gone(stage)
    result = sum((t.realized for t in trades(stage)), Decimal(0))
    check(abs(result) < Decimal(str(0.3 * ladder.risk)) * QTY, f"about nothing won or lost, not {result}")


@scenario("entry-limit-filled")
async def limit_filled(stage: Stage) -> None:
    """A limit entry rests, price comes, it is protected."""
    price = await enter_at_limit(stage)
    check(not stops(stage) and position(stage) == 0, "nothing open, nothing to stop")
    await stage.move(BTC, price - 10)
    await until_protected(stage)
    check(position(stage) == QTY == entered(stage), describe(stage))


@scenario("entry-limit-timeout", settings={"execution.entry_timeout_s": 10.0})
async def limit_timeout(stage: Stage) -> None:
    """A limit entry that nobody takes is cancelled after its time."""
    await enter_at_limit(stage)
    await until_gone(stage)
    check(not trades(stage), "nothing traded")
    check([r.status for r in ever(stage, Leg.ENTRY)] == ["CANCELED"], "the entry was cancelled, once")


@scenario("entry-cancelled-by-hand")
async def limit_cancelled(stage: Stage) -> None:
    """A person takes the working entry back."""
    await enter_at_limit(stage)
    stage.user(CancelEntry(ts=stage.exchange.now_ms, symbol=BTC))
    await until_gone(stage, ms=5_000)
    check(not trades(stage), "nothing traded")


@scenario("gap-through-stop")
async def gap_through_stop(stage: Stage) -> None:
    """The market jumps far beyond the stop: out at what there is, nothing flipped, nothing left."""
    ladder = await entered_long(stage)
    await stage.gap(BTC, ladder.at(-2.5))
    await until_gone(stage)
    check(sold(stage) == QTY, "sold exactly what was held")


@scenario("gap-through-targets")
async def gap_through_targets(stage: Stage) -> None:
    """The market jumps over both targets: both fill, the runner trails under its own stop."""
    ladder = await entered_long(stage)
    await stage.gap(BTC, ladder.at(3.0))
    await wait(stage, lambda: fitted(stage) and position(stage) == Decimal("0.008"), "only the runner is left")
    await stage.sleep(3_000)
    await stage.gap(BTC, ladder.at(1.0))
    await until_gone(stage)
