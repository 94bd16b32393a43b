"""Fault matrix, streams: cut, silent, gapped, garbled; and a venue that asks for silence."""

from __future__ import annotations

from decimal import Decimal

from tui_trader.core.types import Leg
from tui_trader.drill.scenario import Stage
from tui_trader.drill.scenarios import elsewhere
from tui_trader.drill.scenarios.entries import QTY, entered_long
from tui_trader.drill.scenarios.look import (
    BTC,
    ETH,
    check,
    describe,
    entered,
    ever,
    fitted,
    gone,
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
from tui_trader.drill.scenarios.strike import EVERYTHING, PRIVATE, WireTap, answer, strike
from tui_trader.exchange.fault_rules import FaultKind, FaultRule


@scenario("disconnect", "disconnect → snapshot of orders")
async def disconnect(stage: Stage) -> None:
    """The account stream is cut just when TP1 fills: the snapshot brings it, the stop follows, trading resumes."""
    ladder = await entered_long(stage)
    strike(stage, FaultKind.disconnect, PRIVATE, 1)
    await stage.move(BTC, ladder.at(1.6))
    await wait(stage, lambda: fitted(stage) and position(stage) == QTY / 2, "TP1, and the stop follows", 30_000)
    await stage.sleep(10_000)
    await stage.enter(symbol=ETH, qty="0.500")
    await until_protected(stage, ETH)


@scenario("disconnect-while-entering", "fills since the cursor")
async def disconnect_entering(stage: Stage) -> None:
    """The account stream is cut with the entry's fill: it is protected all the same, counted once."""
    strike(stage, FaultKind.disconnect, PRIVATE, 2)
    await stage.enter(wait=False)
    await wait(stage, lambda: entered(stage) == QTY, "entered")
    await wait(stage, lambda: fitted(stage), "protected within ten seconds", 10_000)
    await wait(stage, lambda: len(targets(stage)) == 2, "targets, too", 45_000)


@scenario("disconnect-both-books", "both books")
async def disconnect_books(stage: Stage) -> None:
    """While the stream is cut somebody cancels the stop and a target: both are found missing and replaced."""
    await entered_long(stage)
    strike(stage, FaultKind.disconnect, PRIVATE, 2)
    elsewhere.cancel_stops(stage)
    for order in stage.account.open_orders(BTC)[:1]:
        stage.exchange.cancel_order(order)
    await wait(stage, lambda: fitted(stage) and len(targets(stage)) == 2, "stop and both targets", 45_000)


@scenario("enter-while-cut", "then resume")
async def enter_while_cut(stage: Stage) -> None:
    """The account stream is cut and cannot be had again for a while: no entry until it is back and all is compared."""
    answer(stage, "POST /fapi/v1/listenKey", 503, -1001, "Internal error; unable to process your request.", 3)
    strike(stage, FaultKind.disconnect, PRIVATE, 1)
    stage.exchange.on_user_event(stage.account, {"e": "TRADE_LITE", "E": stage.exchange.now_ms})
    await stage.sleep(1_000)
    await stage.enter(wait=False)
    await stage.sleep(500)
    check(not ever(stage, Leg.ENTRY), "no entry while the account stream is cut")
    await stage.sleep(40_000)
    await stage.enter()
    await until_protected(stage)


@scenario("private-mute", "socket open but silent")
async def private_mute(stage: Stage) -> None:
    """The account stream stays open and says nothing for a minute: protected within ten seconds by other means."""
    strike(stage, FaultKind.mute, PRIVATE, ms=60_000)
    await stage.enter(wait=False)
    await wait(stage, lambda: entered(stage) == QTY, "entered")
    await wait(stage, lambda: fitted(stage), "protected within ten seconds", 10_000)
    ladder_stop = float(stops(stage)[0].price)
    await stage.move(BTC, ladder_stop - 50, 1_000)
    await until_gone(stage, ms=40_000)


@scenario("private-half-open", "socket open but silent")
async def private_half_open(stage: Stage) -> None:
    """The connection is dead and nobody says so: found out, renewed, compared."""
    ladder = await entered_long(stage)
    strike(stage, FaultKind.half_open, PRIVATE, ms=120_000)
    await stage.move(BTC, ladder.at(1.6))
    await wait(stage, lambda: fitted(stage) and position(stage) == QTY / 2, "TP1, and the stop follows", 60_000)


@scenario("book-silent", "application-level staleness → blind")
async def book_silent(stage: Stage) -> None:
    """A book is no longer told of: nothing is entered on it."""
    strike(stage, FaultKind.stale_book, "btcusdt@depth*", 0, ms=20_000)
    strike(stage, FaultKind.stale_book, "*bookTicker", 0, ms=20_000)
    await stage.sleep(8_000)
    await stage.enter(wait=False)
    await stage.sleep(3_000)
    check(not ever(stage, Leg.ENTRY), "no entry on a stale book")


async def _book(stage: Stage, kind: FaultKind) -> None:
    strike(stage, kind, "btcusdt@depth*", 0, ms=8_000)
    await stage.sleep(7_000)
    count = len(ever(stage, Leg.ENTRY))
    await stage.enter(wait=False)
    await stage.sleep(3_000)
    check(len(ever(stage, Leg.ENTRY)) == count, f"no entry on a book with a {kind}")
    stage.faults.clear()
    await stage.sleep(15_000)
    await stage.enter()
    await until_protected(stage)


@scenario("book-gap", "book gap")
async def book_gap(stage: Stage) -> None:
    """Updates of the book are missing: it is discarded, not traded on, and traded on again after a new snapshot."""
    await _book(stage, FaultKind.book_gap)


@scenario("book-stale", "stale")
async def book_stale(stage: Stage) -> None:
    """The book is old."""
    await _book(stage, FaultKind.stale_book)


@scenario("book-crossed", "crossed → discarded")
async def book_crossed(stage: Stage) -> None:
    """The book's bid stands above its ask."""
    await _book(stage, FaultKind.crossed_book)


@scenario("garbage-frames", "garbage bytes, truncated")
async def garbage(stage: Stage) -> None:
    """Every third account frame is garbage, cut off, or nested five thousand deep: the ladder runs to its end."""
    stage.faults.add(FaultRule(kind=FaultKind.mangle, rate=0.33, path=PRIVATE))
    await stage.enter(wait=False)
    await wait(stage, lambda: fitted(stage) and len(targets(stage)) == 2, "protected, with targets", 60_000)
    risk = abs(float(stops(stage)[0].price) - float(trades(stage)[0].price))
    await stage.move(BTC, float(trades(stage)[0].price) + 1.6 * risk)
    await wait(stage, lambda: fitted(stage) and position(stage) == QTY / 2, "TP1, and the stop follows", 60_000)
    await stage.move(BTC, float(trades(stage)[0].price) - 1.2 * risk)
    await until_gone(stage, ms=60_000)


@scenario("garbage-answers", "garbage bytes, truncated")
async def garbage_answers(stage: Stage) -> None:
    """A third of the answers is unreadable: what was done is found out, nothing is doubled."""
    stage.faults.add(FaultRule(kind=FaultKind.mangle, rate=0.33, path=EVERYTHING))
    await stage.enter(wait=False)
    await stage.sleep(30_000)
    stage.faults.clear()
    await wait(stage, lambda: fitted(stage) or gone(stage), "protected or gone", 60_000)
    check(len(ever(stage, Leg.ENTRY)) <= 1, "never two entries")


@scenario("huge-frame", "64 MiB frame")
async def huge_frame(stage: Stage) -> None:
    """A frame of 64 MiB: the connection is closed, not the program; the position lives on."""
    ladder = await entered_long(stage)
    strike(stage, FaultKind.huge_frame, PRIVATE, 1)
    await stage.move(BTC, ladder.at(1.6))
    await wait(stage, lambda: fitted(stage) and position(stage) == QTY / 2, "TP1, and the stop follows", 45_000)


def nested(depth: int) -> dict[str, object]:
    """An object in an object in an object."""
    found: dict[str, object] = {}
    for _ in range(depth):
        found = {"o": found}
    return found


@scenario("odd-frames", "deep nesting, unknown event, non-ASCII symbol")
async def odd_frames(stage: Stage) -> None:
    """Events that nobody knows, symbols that cannot be, numbers that are none: dropped, never a trade."""
    await entered_long(stage)
    count = len(trades(stage)) + len([row for leg in Leg for row in ever(stage, leg)])
    order = {"s": "比特USDT", "c": "tt-aaaaaaa-1-en-1", "S": "BUY", "o": "MARKET", "X": "FILLED", "i": 7}
    numbers = {"q": "1", "z": "1e400", "ap": "NaN", "L": "-Infinity", "l": "1", "t": 99}
    for event in (
        {"e": "SOMETHING_NEW", "E": 1, "x": {"y": [1, 2, 3]}},
        {"e": "ORDER_TRADE_UPDATE", "E": 1, "T": 1, "o": order | numbers},
        {"e": "ORDER_TRADE_UPDATE", "E": 1, "T": 1, "o": order | numbers | {"s": "BTCUSDT\x1b[2J"}},
        {"e": "ORDER_TRADE_UPDATE", "E": 1, "T": 1, "o": {"s": "BTCUSDT"}},
        {
            "e": "ACCOUNT_UPDATE",
            "E": 1,
            "T": 1,
            "a": {"m": "ORDER", "B": [], "P": [{"s": "ÄÖÜ", "pa": "5", "ep": "1"}]},
        },
        {"e": "ALGO_UPDATE", "E": 1, "T": 1, "o": nested(60)},
        {"e": 7, "E": "x"},
    ):
        stage.exchange.on_user_event(stage.account, event)
        await stage.sleep(200)
    await hold(stage, lambda: fitted(stage) and position(stage) == QTY, "unimpressed", 5_000)
    after = len(trades(stage)) + len([row for leg in Leg for row in ever(stage, leg)])
    check(after == count, "never a trade")


async def _silence(stage: Stage, begin: FaultRule, seconds: int) -> None:
    await entered_long(stage)
    tap = WireTap(stage)
    stage.faults.add(begin)
    await wait(stage, lambda: tap.refused > 0, "the venue asks for silence", 60_000)
    await stage.sleep(500)
    before = tap.requests
    await stage.sleep((seconds - 2) * 1_000)
    check(tap.requests == before, f"{tap.requests - before} requests during the silence that was asked for")
    stage.faults.clear()
    await wait(stage, lambda: tap.requests > before or not tap.counting, "asked again afterwards", 60_000)
    await stage.sleep(15_000)
    check(fitted(stage) and position(stage) == QTY, describe(stage))


@scenario("rate-limited", "429")
async def rate_limited(stage: Stage) -> None:
    """A 429 with Retry-After 12: not one request until then."""
    rule = FaultRule(kind=FaultKind.rate_limited, rate=1.0, count=1, path=EVERYTHING, retry_after_s=12)
    await _silence(stage, rule, 12)


@scenario("banned", "418")
async def banned(stage: Stage) -> None:
    """A 418 with Retry-After 30."""
    rule = FaultRule(kind=FaultKind.banned, rate=1.0, count=1, path=EVERYTHING, retry_after_s=30)
    await _silence(stage, rule, 30)


@scenario("forbidden", "403")
async def forbidden(stage: Stage) -> None:
    """A 403 with Retry-After 20, as the venue's firewall says it."""
    rule = FaultRule(kind=FaultKind.http, rate=1.0, count=1, path=EVERYTHING, status=403, share=0.0, retry_after_s=20)
    await _silence(stage, rule, 20)


@scenario("rate-limited-stop", "Retry-After obeyed")
async def rate_limited_stop(stage: Stage) -> None:
    """The very stop is answered with 429: nothing until Retry-After, then it goes out at once."""
    stage.faults.add(
        FaultRule(kind=FaultKind.rate_limited, rate=1.0, count=1, path="POST /fapi/v1/algoOrder", retry_after_s=3)
    )
    await stage.enter(wait=False)
    await wait(stage, lambda: entered(stage) == QTY, "entered")
    await wait(stage, lambda: fitted(stage), "protected soon after the silence", 8_000)
    check(stage.faults.counts.get(FaultKind.banned, 0) == 0, "not banned for impatience")


@scenario("overloaded-1008", "429")
async def overloaded(stage: Stage) -> None:
    """-1008 on the entry: not executed; whatever is done next, never two."""
    answer(stage, "POST /fapi/v1/order", 503, -1008, "Request throttled by system-level protection.")
    await stage.enter(wait=False)
    await stage.sleep(15_000)
    check(len(ever(stage, Leg.ENTRY)) <= 1, "never two entries")
    check(gone(stage) or fitted(stage), describe(stage))
    check(abs(position(stage)) <= Decimal("0.040"), describe(stage))
