"""Fault matrix, stops and cancels: refused, lost at the trigger, taken away, in each other's way."""

from __future__ import annotations

from decimal import Decimal

from tui_trader.core.events import CancelEntry, ClosePosition, FlattenAll, MoveStop
from tui_trader.core.types import Leg
from tui_trader.drill.scenario import Stage
from tui_trader.drill.scenarios import elsewhere
from tui_trader.drill.scenarios.entries import QTY, enter_at_limit, entered_long
from tui_trader.drill.scenarios.look import (
    BTC,
    ETH,
    CoverWatch,
    check,
    describe,
    entered,
    ever,
    fitted,
    gone,
    heard,
    hold,
    mark,
    own,
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
from tui_trader.drill.scenarios.strike import CANCEL, CANCEL_STOP, PLACE, PLACE_STOP, answer, hollow, late, strike
from tui_trader.exchange.accounts import Account
from tui_trader.exchange.fault_rules import FaultKind

WOULD_TRIGGER = "Order would immediately trigger."
NO_POSITION = (
    "Time in Force (TIF) GTE can only be used with open positions. Please ensure that positions are available."
)


async def _would_trigger(stage: Stage, code: int) -> None:
    answer(stage, PLACE_STOP, 400, code, WOULD_TRIGGER)
    await stage.enter(wait=False)
    await wait(stage, lambda: bool(ever(stage, Leg.ENTRY)), "the entry arrives")
    await until_gone(stage, ms=10_000)
    check(sold(stage) == QTY, "all of it closed, once")


@scenario("stop-would-trigger", "would trigger at once (-2021")
async def would_trigger(stage: Stage) -> None:
    """The first stop is refused because price is beyond it: flat within seconds."""
    await _would_trigger(stage, -2021)


@scenario("stop-would-trigger-4142", "-4142")
async def would_trigger_4142(stage: Stage) -> None:
    """The other code for the same."""
    await _would_trigger(stage, -4142)


@scenario("stop-gap-at-entry", "would trigger at once (-2021")
async def gap_at_entry(stage: Stage) -> None:
    """Price falls through the stop between the fill and the stop's arrival: the venue itself refuses it."""
    late(stage, PLACE_STOP, 1_500)
    entry = mark(stage)
    await stage.enter(wait=False)
    await wait(stage, lambda: entered(stage) == QTY, "entered")
    await stage.gap(BTC, entry * 0.97)
    await until_gone(stage, ms=15_000)


@scenario("stop-4509", "-4509 (venue does not see the position yet)")
async def position_not_seen(stage: Stage) -> None:
    """The algo service lags behind the position: tried again within a second, then it rests."""
    answer(stage, PLACE_STOP, 400, -4509, NO_POSITION)
    await stage.enter(wait=False)
    await wait(stage, lambda: entered(stage) == QTY, "entered")
    await wait(stage, lambda: fitted(stage), "a stop within three seconds", 3_000)
    await hold(stage, lambda: fitted(stage), "one stop stays", 3_000)


@scenario("stop-4509-for-ever", "else flatten")
async def position_never_seen(stage: Stage) -> None:
    """The algo service never sees it: flat, not naked."""
    answer(stage, PLACE_STOP, 400, -4509, NO_POSITION, 0)
    await stage.enter(wait=False)
    await wait(stage, lambda: entered(stage) == QTY, "entered")
    await until_gone(stage, ms=15_000)


@scenario("stop-algo-lag", "-4509 (venue does not see the position yet)")
async def algo_lag(stage: Stage) -> None:
    """The venue's own lag, by its own rule."""
    strike(stage, FaultKind.algo_lag, "", 0, ms=800, share=1.0)
    await stage.enter(wait=False)
    await wait(stage, lambda: entered(stage) == QTY, "entered")
    await wait(stage, lambda: fitted(stage) or gone(stage), "protected or flat within ten seconds", 10_000)


async def _lost_at_trigger(stage: Stage, kind: FaultKind, text: str = "") -> None:
    ladder = await entered_long(stage)
    strike(stage, kind, "", 1, text=text, ms=9_000)
    await stage.move(BTC, ladder.at(-1.1), 1_000)
    await wait(stage, lambda: position(stage) == 0, "flat within seconds", 6_000)
    await until_gone(stage, ms=30_000)
    check(sold(stage) == QTY, f"sold {sold(stage)}, held {QTY}")


@scenario("stop-rejected-at-trigger", "accepted, later rejected")
async def rejected_at_trigger(stage: Stage) -> None:
    """The venue accepts the stop and refuses it when it triggers: price is beyond it, so flat."""
    await _lost_at_trigger(stage, FaultKind.stop_rejected_at_trigger, "reject")


@scenario("stop-expired-at-trigger", "expired at trigger")
async def expired_at_trigger(stage: Stage) -> None:
    """The stop expires at its trigger."""
    await _lost_at_trigger(stage, FaultKind.stop_rejected_at_trigger, "expire")


@scenario("stop-stuck-triggering", "stuck triggering > 2 s")
async def stuck_triggering(stage: Stage) -> None:
    """The stop triggers and nothing follows: after two seconds it protects nothing, so flat."""
    await _lost_at_trigger(stage, FaultKind.stuck_triggering)


@scenario("stop-cancelled-once", "cancelled by the venue or a person")
async def cancelled_once(stage: Stage) -> None:
    """Somebody cancels the stop: it is replaced."""
    await entered_long(stage)
    check(elsewhere.cancel_stops(stage) == 1, "one stop to cancel")
    await wait(stage, lambda: fitted(stage), "replaced within three seconds", 3_000)
    await hold(stage, lambda: fitted(stage), "and stays", 3_000)


@scenario("stop-cancelled-twice", "replace once, then flatten and halt")
async def cancelled_twice(stage: Stage) -> None:
    """Somebody cancels the stop again: flat, and no entries."""
    await entered_long(stage)
    elsewhere.cancel_stops(stage)
    await wait(stage, lambda: fitted(stage), "replaced", 3_000)
    elsewhere.cancel_stops(stage)
    await until_gone(stage, ms=10_000)
    await stage.enter(symbol=ETH, qty="0.500", wait=False)
    await stage.sleep(3_000)
    check(not ever(stage, Leg.ENTRY, ETH), "entries are halted")


@scenario("stop-cancelled-unheard", "cancelled by the venue or a person")
async def cancelled_unheard(stage: Stage) -> None:
    """Somebody cancels the stop and the stream is silent about it: the next snapshot shows it, and it is replaced."""
    await entered_long(stage)
    strike(stage, FaultKind.mute, "private ALGO_UPDATE", ms=20_000)
    elsewhere.cancel_stops(stage)
    await wait(stage, lambda: fitted(stage) or gone(stage), "protected or flat", 30_000)


@scenario("close-refused-2022", "reduce-only refused (-2022")
async def close_refused(stage: Stage) -> None:
    """The market close is refused as reduce-only, once: targets go, it is tried again, flat."""
    await entered_long(stage)
    answer(stage, PLACE, 400, -2022, "ReduceOnly Order is rejected.")
    stage.user(ClosePosition(ts=stage.exchange.now_ms, symbol=BTC, fraction=Decimal(1)))
    await until_gone(stage, ms=15_000)


@scenario("target-refused-4118", "-4118) while targets rest")
async def target_refused(stage: Stage) -> None:
    """A person's own reduce-only order leaves no room for TP1 and TP2: the stop stays, what fits rests later."""
    ladder = await _blocked_by_foreign(stage)
    check(fitted(stage), f"the stop stands: {describe(stage)}")
    for order in [o for o in stage.account.open_orders(BTC) if o.client_id == "by-hand"]:
        stage.exchange.cancel_order(order)
    await wait(stage, lambda: fitted(stage) and bool(targets(stage)), "targets rest once there is room", 90_000)
    await stage.move(BTC, ladder * 0.95)
    await until_gone(stage)


async def _blocked_by_foreign(stage: Stage) -> float:
    price = round(mark(stage), 1)
    late(stage, PLACE_STOP, 1_000)
    await stage.enter(qty="0.040", limit=f"{price + 50:.1f}", wait=False)
    await wait(stage, lambda: entered(stage) == QTY, "entered")
    elsewhere.rest(stage, False, "0.030", price * 1.04, "by-hand", reduce_only=True)
    await until_protected(stage)
    await stage.sleep(3_000)
    return price


@scenario("conditional-cap-near", "conditional-order cap near")
async def cap_near(stage: Stage) -> None:
    """The venue holds nearly as many conditional orders as it takes: the entry is refused, never the stop."""
    price = mark(stage, ETH)
    for number in range(199):
        elsewhere.rest_stop(stage, False, price * (0.5 + number / 1_000), f"mine-{number}", "0.010", ETH)
    await stage.sleep(25_000)
    await stage.enter(wait=False)
    await stage.sleep(5_000)
    check(not ever(stage, Leg.ENTRY), "no entry where its stop could not rest")
    check(gone(stage), describe(stage))


@scenario("stop-cap-reached", "refuse the entry, not the stop")
async def cap_reached(stage: Stage) -> None:
    """The cap is reached by somebody else between entry and stop: the stop is refused, so flat."""
    answer(stage, PLACE_STOP, 400, -4045, "Reach max stop order limit.", 0)
    await stage.enter(wait=False)
    await wait(stage, lambda: entered(stage) == QTY, "entered")
    await until_gone(stage, ms=15_000)


@scenario("close-position-stop-rests", "-4130 (one close-position stop per direction)")
async def foreign_close_position(stage: Stage) -> None:
    """A person's close-position stop rests in the same direction: ours are quantity stops, moved without a gap."""
    await stage.enter()
    await until_protected(stage)
    elsewhere.rest_stop(stage, False, mark(stage) * 0.9, "by-hand")
    ladder_stop = stops(stage)[0].price
    watch = CoverWatch(stage)
    price = ladder_stop + Decimal("100.0")
    stage.user(MoveStop(ts=stage.exchange.now_ms, symbol=BTC, price=price))
    await wait(stage, lambda: fitted(stage) and stops(stage)[0].price == price, "moved", 10_000)
    check(not watch.bare, f"bare while the stop was moved: {watch.bare}")
    check(elsewhere.foreign(stage, "by-hand"), "the person's own stop is untouched")


@scenario("stop-4130", "a temporary quantity stop bridges the move")
async def close_position_taken(stage: Stage) -> None:
    """Moving the stop is refused once with -4130: the old one stays until the new one rests."""
    ladder = await entered_long(stage)
    answer(stage, PLACE_STOP, 400, -4130, "An open stop or take profit order with GTE and closePosition is existing.")
    watch = CoverWatch(stage)
    price = Decimal(f"{ladder.at(-0.5):.1f}")
    stage.user(MoveStop(ts=stage.exchange.now_ms, symbol=BTC, price=price))
    await wait(stage, lambda: fitted(stage) and stops(stage)[0].price == price, "moved", 10_000)
    check(not watch.bare, f"bare while the stop was moved: {watch.bare}")


@scenario("moved-stop-would-trigger", "would trigger at once (-2021")
async def moved_would_trigger(stage: Stage) -> None:
    """A stop moved by hand is refused because price is beyond it: the old stop never leaves a bare position."""
    ladder = await entered_long(stage)
    answer(stage, PLACE_STOP, 400, -2021, WOULD_TRIGGER)
    watch = CoverWatch(stage)
    stage.user(MoveStop(ts=stage.exchange.now_ms, symbol=BTC, price=Decimal(f"{ladder.at(-0.4):.1f}")))
    await stage.sleep(8_000)
    check(gone(stage) or fitted(stage), describe(stage))
    check(not watch.bare, f"bare: {watch.bare}")


@scenario("stop-never-arrives", "else flatten")
async def never_arrives(stage: Stage) -> None:
    """No stop ever reaches the venue while everything else does: after ten seconds the position is closed."""
    strike(stage, FaultKind.drop_request, PLACE_STOP, 0)
    await stage.enter(wait=False)
    await wait(stage, lambda: entered(stage) == QTY, "entered")
    await until_gone(stage, ms=15_000)


@scenario("stop-acknowledged-only", "unprotected: replace or flatten")
async def acknowledged_only(stage: Stage) -> None:
    """The venue acknowledges the first stop and does not have it: an acknowledgement proves nothing."""
    hollow(stage, PLACE_STOP, '{"algoId": 4711, "clientAlgoId": "", "code": "200"}')
    await stage.enter(wait=False)
    await wait(stage, lambda: entered(stage) == QTY, "entered")
    await hold(stage, lambda: bool(stops(stage)) or not targets(stage), "no target without a stop", 3_000)
    await wait(stage, lambda: fitted(stage) or gone(stage), "really protected, or flat, within ten seconds", 8_000)


@scenario("targets-only-under-a-stop", "would trigger at once (-2021")
async def targets_wait(stage: Stage) -> None:
    """The first two stops get lost: no target rests before a stop does."""
    strike(stage, FaultKind.drop_request, PLACE_STOP, 2)
    await stage.enter(wait=False)
    await wait(stage, lambda: entered(stage) == QTY, "entered")
    await hold(stage, lambda: bool(stops(stage)) or not targets(stage), "no target without a stop", 9_000)
    await wait(stage, lambda: fitted(stage) or gone(stage), "protected or flat")


@scenario("reduce-only-refused", "-4118) while targets rest")
async def refused_beside_targets(stage: Stage) -> None:
    """The venue refuses a smaller stop as long as targets rest: they go, the stop is placed, they come back."""
    ladder = await entered_long(stage)
    text = "ReduceOnly Order Failed. Please check your existing position and open orders"
    rule = answer(stage, PLACE_STOP, 400, -4118, text, 0)
    watch = CoverWatch(stage)
    stage.user(MoveStop(ts=stage.exchange.now_ms, symbol=BTC, price=Decimal(f"{ladder.at(-0.5):.1f}")))
    await wait(stage, lambda: not targets(stage), "the targets make room", 5_000)
    stage.faults.remove(rule)
    await wait(stage, lambda: fitted(stage) and float(stops(stage)[0].price) > ladder.stop, "the stop is moved", 10_000)
    await wait(stage, lambda: len(targets(stage)) == 2, "the targets come back", 30_000)
    check(not watch.bare, f"bare while the stop was moved: {watch.bare}")


@scenario("flatten-in-order", "Flatten, always in this order")
async def flatten_in_order(stage: Stage) -> None:
    """Targets go first, then what is open is closed reduce-only, and the stop goes last, when nothing is open."""
    await entered_long(stage)
    ends: list[str] = []
    heard_before = stage.exchange.on_user_event

    def on_event(account: Account, event: dict[str, object]) -> None:
        body = event.get("o")
        if isinstance(body, dict) and body.get("X") in ("CANCELED", "FILLED"):
            ends.append(f"{str(body.get('caid') or body.get('c'))[-4:-2]} {body['X']}")
        heard_before(account, event)

    stage.exchange.on_user_event = on_event
    stage.user(FlattenAll(ts=stage.exchange.now_ms))
    await until_gone(stage, ms=10_000)
    wanted = ["cl FILLED", "sl CANCELED"]
    check(sorted(ends[:2]) == ["t1 CANCELED", "t2 CANCELED"] and ends[2:] == wanted, f"in this order: {ends}")
    check(all(row.reduce_only for row in ever(stage, Leg.CLOSE)), "closed reduce-only")


@scenario("stop-unknown-error", "an unknown error on a stop")
async def unknown_refusal(stage: Stage) -> None:
    """The venue refuses each stop with a code that nobody knows: flat."""
    answer(stage, PLACE_STOP, 400, -9876, "A rule that came after this program.", 0)
    await stage.enter(wait=False)
    await wait(stage, lambda: entered(stage) == QTY, "entered")
    await until_gone(stage, ms=15_000)


@scenario("stop-unknown-error-no-entries", "flatten, no entries")
async def unknown_refusal_halts(stage: Stage) -> None:
    """After a stop was refused in a way that nobody knows no new entry is made."""
    await unknown_refusal(stage)
    stage.faults.clear()
    count = len(ever(stage, Leg.ENTRY, ETH))
    await stage.enter(symbol=ETH, qty="0.500", wait=False)
    await stage.sleep(3_000)
    check(len(ever(stage, Leg.ENTRY, ETH)) == count, "no entry after a stop was refused for no known reason")


@scenario("canary-refused", "a canary probes each order type at start")
async def canary_refused(stage: Stage) -> None:
    """At a start the venue does not know an order type any more: nothing is entered, and it is said."""
    await stage.crash()
    answer(stage, "POST /fapi/v1/order/test", 400, -1116, "Invalid orderType.", 0)
    await stage.restart()
    await stage.sleep(20_000)
    await stage.enter(wait=False)
    await stage.sleep(3_000)
    check(not ever(stage, Leg.ENTRY), "no entry into a venue that refuses what exits are made of")
    check(heard(stage, "canary"), "it is said why")


# --- cancels ---


@scenario("cancel-refused-filled", "refused because filled (-2011)")
async def cancel_too_late(stage: Stage) -> None:
    """A person takes the entry back, and it fills before the cancel arrives: it is a position, protected."""
    price = await enter_at_limit(stage)
    late(stage, CANCEL, 1_500)
    strike(stage, FaultKind.mute, "private ORDER_TRADE_UPDATE", ms=6_000)
    stage.user(CancelEntry(ts=stage.exchange.now_ms, symbol=BTC))
    await stage.gap(BTC, price - 30)
    await until_protected(stage, ms=20_000)
    check(position(stage) == QTY, describe(stage))


@scenario("cancel-answer-lost", "answer lost → query")
async def cancel_unknown(stage: Stage) -> None:
    """A cancel is done and its answer lost, its event as well: asked about, and all is clear."""
    await enter_at_limit(stage)
    strike(stage, FaultKind.drop_response, CANCEL)
    strike(stage, FaultKind.mute, "private ORDER_TRADE_UPDATE", ms=3_000)
    stage.user(CancelEntry(ts=stage.exchange.now_ms, symbol=BTC))
    await wait(stage, lambda: heard(stage, "without a fill"), "the entry is known to be over", 25_000)
    check(gone(stage), describe(stage))


@scenario("cancel-request-lost", "answer lost → query")
async def cancel_lost(stage: Stage) -> None:
    """The cancel of an entry never arrives: it is said again until the entry is gone."""
    await enter_at_limit(stage)
    strike(stage, FaultKind.drop_request, CANCEL, 2)
    stage.user(CancelEntry(ts=stage.exchange.now_ms, symbol=BTC))
    await until_gone(stage, ms=30_000)


@scenario("old-stop-cancel-lost", "answer lost → query")
async def old_stop_cancel_lost(stage: Stage) -> None:
    """A stop was replaced and the old one's cancel is lost, twice: in the end one stop rests."""
    ladder = await entered_long(stage)
    strike(stage, FaultKind.drop_request, CANCEL_STOP, 2)
    stage.user(MoveStop(ts=stage.exchange.now_ms, symbol=BTC, price=Decimal(f"{ladder.at(-0.5):.1f}")))
    await wait(stage, lambda: len(stops(stage)) == 2, "both stops rest meanwhile", 5_000)
    await wait(stage, lambda: fitted(stage), "in the end one", 30_000)


@scenario("foreign-orders-untouched", "never cancel-all over orders that are not ours")
async def foreign_untouched(stage: Stage) -> None:
    """A person's orders rest in both books while ours are flattened: they stay."""
    price = mark(stage)
    await entered_long(stage)
    elsewhere.rest(stage, True, "0.010", price * 0.97, "by-hand-buy")
    elsewhere.rest(stage, False, "0.010", price * 1.03, "by-hand-sell")
    elsewhere.rest_stop(stage, False, price * 0.5, "by-hand-stop", "0.010")
    stage.user(FlattenAll(ts=stage.exchange.now_ms))
    await until_gone(stage, ms=15_000)
    await stage.sleep(15_000)
    for name in ("by-hand-buy", "by-hand-sell", "by-hand-stop"):
        check(elsewhere.foreign(stage, name), f"{name} was not ours to touch")


@scenario("orphans-in-both-books", '"all" means both books')
async def orphans_in_both(stage: Stage) -> None:
    """Orders of ours that no plan knows rest in both books at a start: both are cancelled."""
    price = mark(stage)
    await stage.crash()
    elsewhere.rest(stage, True, "0.010", price * 0.97, "tt-aaaaaaa-9-en-1")
    elsewhere.rest_stop(stage, False, price * 0.9, "tt-aaaaaaa-9-sl-1", "0.010")
    await stage.restart()
    await wait(stage, lambda: gone(stage), "no orphan in either book", 20_000)
    check(not own(regular(stage)), describe(stage))
