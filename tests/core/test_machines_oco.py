"""All orders in which up to six concurrent words of the venue can be heard end in one and the same state.

Each set is made by the simulated exchange while the engine is deaf: what the venue says is held, then delivered in
every order, one fresh desk for each. The whole final state is compared: plan, ledger, portfolio, wallet, what rests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from itertools import permutations

import msgspec
import pytest

from tests.core.machine_desk import SYMBOL, Held, HoldingDesk, final_state
from tui_trader.core import commands as cmd
from tui_trader.core import events as ev
from tui_trader.core.types import Leg, OrderStatus, VenueBook


def _open(desk: HoldingDesk, *, short: bool = False) -> None:
    """A position with its stop and both targets resting, all of it heard."""
    desk.enter("0.040", short=short)
    desk.run(2_500)
    assert len(desk.resting()) == 3


def _again(desk: HoldingDesk, word: str) -> None:
    """The venue says one of its words twice."""
    held = next(h for h in desk.held if word in h.label)
    desk.held.append(Held(f"{held.label} again", held.hear))


def entry_in_three_fills(desk: HoldingDesk) -> None:
    """Three fills, the acknowledgement and a late account update of a market entry that walks the book."""
    desk.market.lots = 20
    desk.run(1_500)
    desk.enter("0.040")
    desk.hold(150)
    held = [h for h in desk.held if h.label != "ACCOUNT_UPDATE"]
    desk.held = [*held, *(h for h in desk.held if h.label == "ACCOUNT_UPDATE")][1:]


def stop_while_the_entry_fills(desk: HoldingDesk) -> None:
    """The stop for the first part is on its way while the rest of the entry fills."""
    desk.market.lots = 20
    desk.run(1_500)
    desk.enter("0.040", limit="43500.1")
    desk._step(20)
    desk._step(20)
    desk.hold(100)
    desk.walk(43_490.0)
    _again(desk, "ALGO_UPDATE")


def rest_of_the_entry_and_target(desk: HoldingDesk) -> None:
    """The resting part of an entry fills at another price than the first, then the first target: which is heard first?

    Afterwards the position is closed: until then the realised part depends on the order, its sum in the end does not.
    """
    desk.market.lots, desk.market.prints = 1, False
    desk.run(1_500)
    desk.enter("0.100", limit="43504.0")
    desk.run(400)
    desk.market.lots = 2_000
    desk.walk(43_490.0)
    desk.walk(44_600.0)
    _again(desk, "t1-1 FILLED")


def target_then_stop(desk: HoldingDesk) -> None:
    """The first target fills, then the price falls through the stop: fills, triggers, expiries."""
    _open(desk)
    desk.walk(44_480.0)
    desk.walk(42_800.0)


def target_then_stop_short(desk: HoldingDesk) -> None:
    """The same for a short, the first words heard in order and the last ones in every order."""
    _open(desk, short=True)
    desk.walk(42_520.0)
    desk.walk(44_200.0)
    for _ in range(3):
        desk.held.pop(0).hear()


def cancels_of_a_flatten(desk: HoldingDesk) -> None:
    """Acknowledged and streamed cancels of the targets, one of them said twice, and a snapshot in between."""
    _open(desk)
    desk.process(ev.FlattenAll(ts=desk.now))
    desk.hold(60)
    desk._holding = True
    desk.snapshot()
    desk._holding = False
    _again(desk, "t1")


def cancel_that_comes_too_late(desk: HoldingDesk) -> None:
    """The target fills while its cancel is on its way: the venue answers that it knows no such order."""
    _open(desk)
    desk.walk(44_480.0)
    desk.process(ev.FlattenAll(ts=desk.now))
    desk.hold(100)
    _again(desk, "t1-1 FILLED")


def stop_moved_while_a_target_fills(desk: HoldingDesk) -> None:
    """The replacing stop's words, the first target's fill and a snapshot from between them."""
    _open(desk)
    desk.process(ev.MoveStop(ts=desk.now, symbol=SYMBOL, price=Decimal(43_000)))
    desk.hold(50)
    desk._holding = True
    desk.snapshot()
    desk._holding = False
    desk.walk(44_480.0)


def answer_lost_and_asked_for(desk: HoldingDesk) -> None:
    """The entry's answer is lost; the stream, a query's answer and the outcome "unknown" come in any order."""
    desk.faults = lambda method, path, reply: None if method == "POST" else reply
    desk.enter("0.040")
    desk.hold(100)
    desk.faults = None
    sent = next(c for c in desk.sent if isinstance(c, cmd.PlaceOrder) and c.leg is Leg.ENTRY)
    desk._holding = True
    desk._query(
        cmd.QueryOrder(ts=desk.now, client_id=sent.client_id, symbol=SYMBOL, book=VenueBook.REGULAR, venue_id="")
    )
    desk._holding = False


SETS: dict[str, tuple[Callable[[HoldingDesk], None], int]] = {
    "entry in three fills": (entry_in_three_fills, 5),
    "stop while the entry fills": (stop_while_the_entry_fills, 6),
    "rest of the entry, and target": (rest_of_the_entry_and_target, 5),
    "target, then stop": (target_then_stop, 6),
    "target, then stop, short": (target_then_stop_short, 5),
    "cancels of a flatten": (cancels_of_a_flatten, 6),
    "cancel too late": (cancel_that_comes_too_late, 6),
    "stop moved while a target fills": (stop_moved_while_a_target_fills, 5),
    "answer lost and asked for": (answer_lost_and_asked_for, 5),
}


def prepared(script: Callable[[HoldingDesk], None]) -> HoldingDesk:
    """A desk at the moment where the words are held; those that carry no fact are left out."""
    desk = HoldingDesk().start()
    script(desk)
    desk.held = [held for held in desk.held if not held.label.startswith("TRADE_LITE")]
    return desk


def different(held: list[Held], count: int) -> list[tuple[int, ...]]:
    """All orders of the first ``count`` words; two copies of one word cannot be told apart."""
    seen: dict[tuple[int, ...], tuple[int, ...]] = {}
    for order in permutations(range(count)):
        seen.setdefault(tuple(id(held[index].hear) for index in order), order)
    return list(seen.values())


ENDS_FLAT = frozenset({"rest of the entry, and target"})
"""Sets compared once the position is closed, because the part that is realised until then depends on the order."""

PARTS = 4
"""Shares in which the orders of a large set are tried, so that no single test is long."""


def _tried() -> Iterator[tuple[str, int, int]]:
    for name, (_, count) in SETS.items():
        yield from ((name, 0, part) for part in range(PARTS if count > 5 else 1))
        if name not in ENDS_FLAT:
            yield name, 30, 0


def _end(desk: HoldingDesk, order: Sequence[int], gap_ms: int, *, flat: bool) -> dict[str, object]:
    desk.release(order, gap_ms=gap_ms)
    if flat:
        desk.process(ev.FlattenAll(ts=desk.now))
        desk.run(3_000)
    return final_state(desk)


@pytest.mark.parametrize(("name", "gap_ms", "part"), list(_tried()))
def test_every_order_of_words_ends_in_one_state(name: str, gap_ms: int, part: int) -> None:
    """Without a gap in every order; with time for answers in between in a sample of them."""
    script, count = SETS[name]
    reference = prepared(script)
    labels = [held.label for held in reference.held]
    assert len(labels) >= count, labels
    every = different(reference.held, count)
    wanted = _end(reference, (), gap_ms, flat=name in ENDS_FLAT)
    shares = PARTS if count > 5 else 1
    for order in every[part::shares] if gap_ms == 0 else every[:: max(1, len(every) // 30)]:
        desk = prepared(script)
        found = _end(desk, order, gap_ms, flat=name in ENDS_FLAT)
        parted = {key: (wanted[key], found[key]) for key in wanted if wanted[key] != found[key]}
        heard = [labels[index] for index in order]
        assert not parted, f"{heard}\n{parted}\n" + "\n".join(desk.log[-25:])


def test_a_resized_target_takes_no_more_than_was_planned() -> None:
    """The old order of the leg had filled while its cancel and a larger one were on their way: both were taken."""
    desk = prepared(rest_of_the_entry_and_target)
    desk.release((), gap_ms=30)
    plan = desk.engine.state.plans[SYMBOL]
    assert [(t.leg, t.done <= t.qty) for t in plan.targets] == [(Leg.TP1, True), (Leg.TP2, True)]


def test_stops_do_not_pile_up_while_an_entry_fills_in_many_parts() -> None:
    """Each part asked for a larger stop before the last one was proven, and none of the smaller ones was taken back."""
    desk = HoldingDesk().start()
    desk.enter("0.020", limit="43500")
    most = 0
    for _ in range(60):
        desk._step(250)
        desk.process(ev.Timer(ts=desk.now))
        most = max(most, len([a for a in desk.account.open_algos(SYMBOL) if a.is_open]))
    assert desk.account.positions[SYMBOL].lots == 20, "it filled one step after another"
    assert most <= 4


def test_a_damaged_cumulative_fill_asks_for_no_impossible_stops() -> None:
    desk = prepared(_open)
    entry = next(o for o in desk.engine.state.ledger if o.leg is Leg.ENTRY)
    word = ev.OrderUpdate(
        ts=desk.now,
        symbol=SYMBOL,
        client_id=entry.client_id,
        venue_id=entry.venue_id,
        book=VenueBook.REGULAR,
        status=OrderStatus.FILLED,
        side=entry.side,
        type=entry.type,
        qty=entry.qty,
        filled_qty=Decimal("1E+24"),
    )
    sent = len(desk.sent)
    desk.process(word)
    desk.release(())
    assert sum(isinstance(c, cmd.PlaceOrder) for c in desk.sent[sent:]) == 0
    assert final_state(desk)["venue"] == final_state(prepared(_open))["venue"]


def test_the_comparison_sees_a_difference() -> None:
    first, second = prepared(target_then_stop), prepared(target_then_stop)
    first.release(())
    second.held = second.held[1:]
    second.account.wallet += 1
    second.release(())
    assert final_state(first) != final_state(second)
    assert msgspec.json.encode(final_state(first), enc_hook=str)
