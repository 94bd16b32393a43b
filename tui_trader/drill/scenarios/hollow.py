"""A venue that answers with success and does nothing: an answer is never taken for the fact (proven stop, I5)."""

from __future__ import annotations

from decimal import Decimal

from tui_trader.core.events import CancelEntry, ClosePosition, KillSwitch, MoveStop
from tui_trader.core.types import Leg
from tui_trader.drill.scenario import Stage
from tui_trader.drill.scenarios.entries import QTY, enter_at_limit, entered_long
from tui_trader.drill.scenarios.look import (
    BTC,
    CoverWatch,
    check,
    describe,
    entered,
    ever,
    fitted,
    gone,
    position,
    sold,
    stops,
    targets,
    until_gone,
    until_protected,
    wait,
)
from tui_trader.drill.scenarios.registry import scenario
from tui_trader.drill.scenarios.strike import CANCEL, CANCEL_STOP, PLACE, PLACE_STOP, hollow

_FILLED = '{"orderId": 4711, "clientOrderId": "x", "status": "FILLED", "executedQty": "0.040", "avgPrice": "43500"}'
_CANCELLED = '{"orderId": 4711, "clientOrderId": "x", "status": "CANCELED", "executedQty": "0"}'
_STOP = '{"algoId": 4711, "clientAlgoId": "", "code": "200", "msg": "success"}'


@scenario("hollow-entry")
async def entry(stage: Stage) -> None:
    """The entry is said to be filled and never was: nothing is open, and the next entry is one position."""
    hollow(stage, PLACE, _FILLED)
    await stage.enter(wait=False)
    await stage.sleep(40_000)
    check(gone(stage) and not ever(stage, Leg.ENTRY), describe(stage))
    await stage.enter()
    await until_protected(stage)
    check(position(stage) == entered(stage) == QTY, describe(stage))


@scenario("hollow-cancel")
async def cancel(stage: Stage) -> None:
    """The entry's cancel is said to be done, twice: it is said again until the entry is gone."""
    await enter_at_limit(stage)
    hollow(stage, CANCEL, _CANCELLED, 2)
    stage.user(CancelEntry(ts=stage.exchange.now_ms, symbol=BTC))
    await until_gone(stage)


@scenario("hollow-cancel-then-filled")
async def cancel_then_filled(stage: Stage) -> None:
    """The entry's cancel is said to be done, and the entry fills: it is a position, protected or closed."""
    price = await enter_at_limit(stage)
    hollow(stage, CANCEL, _CANCELLED)
    stage.user(CancelEntry(ts=stage.exchange.now_ms, symbol=BTC))
    await stage.sleep(300)
    await stage.gap(BTC, price - 15)
    await wait(stage, lambda: fitted(stage) or gone(stage), "protected or gone", 10_000)


@scenario("hollow-close")
async def close(stage: Stage) -> None:
    """The market close is said to be filled: it is sent until the position is gone, and sells what was held."""
    await entered_long(stage)
    hollow(stage, PLACE, _FILLED)
    stage.user(ClosePosition(ts=stage.exchange.now_ms, symbol=BTC, fraction=Decimal(1)))
    await until_gone(stage, ms=25_000)
    check(sold(stage) == QTY, f"sold {sold(stage)}, held {QTY}")


@scenario("hollow-kill")
async def kill(stage: Stage) -> None:
    """The kill switch's closes are said to be filled, three times in a row."""
    await entered_long(stage)
    hollow(stage, PLACE, _FILLED, 3)
    stage.user(KillSwitch(ts=stage.exchange.now_ms, reason="by hand"))
    await until_gone(stage, ms=40_000)
    check(sold(stage) == QTY, f"sold {sold(stage)}, held {QTY}")


@scenario("hollow-stop-moved")
async def stop_moved(stage: Stage) -> None:
    """The new stop is said to rest and does not: the old one stays until one really does."""
    await _moved(stage, PLACE_STOP, 1)


@scenario("hollow-stop-cancelled")
async def stop_cancelled(stage: Stage) -> None:
    """The replaced stop is said to be cancelled, twice, and rests: in the end there is one."""
    await _moved(stage, CANCEL_STOP, 2)


async def _moved(stage: Stage, path: str, count: int) -> None:
    ladder = await entered_long(stage)
    hollow(stage, path, _STOP, count)
    watch = CoverWatch(stage)
    price = Decimal(f"{ladder.at(-0.5):.1f}")
    stage.user(MoveStop(ts=stage.exchange.now_ms, symbol=BTC, price=price))
    await wait(stage, lambda: fitted(stage) and stops(stage)[0].price == price, "one stop, moved", 40_000)
    check(not watch.bare, f"bare while the stop was moved: {watch.bare}")


@scenario("hollow-targets")
async def targets_placed(stage: Stage) -> None:
    """Both targets are said to rest and do not: they are placed again."""
    await stage.enter(wait=False)
    await wait(stage, lambda: entered(stage) == QTY, "entered")
    hollow(stage, PLACE, _FILLED, 2)
    await wait(stage, lambda: fitted(stage) and len(targets(stage)) == 2, "the targets rest", 60_000)
