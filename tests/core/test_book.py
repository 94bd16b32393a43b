"""The local book against a plain model, and against everything that can go wrong with a diff."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_trader.core.book import Diff, LocalBook

BIDS = [(100.0, 1.0), (99.9, 2.0), (99.8, 3.0)]
ASKS = [(100.1, 1.5), (100.2, 2.5), (100.3, 3.5)]


def synced() -> LocalBook:
    book = LocalBook()
    assert book.snapshot(10, BIDS, ASKS)
    return book


def top(book: LocalBook) -> tuple[float, float, float, float]:
    return book.bid, book.bid_qty, book.ask, book.ask_qty


def test_snapshot_then_diffs() -> None:
    book = synced()
    assert top(book) == (100.0, 1.0, 100.1, 1.5)
    assert book.apply(9, 11, 8, [(100.0, 0.0)], [(100.1, 0.5)])
    assert top(book) == (99.9, 2.0, 100.1, 0.5)
    assert book.apply(12, 12, 11, [(100.05, 7.0)], [])
    assert top(book) == (100.05, 7.0, 100.1, 0.5)


def test_buffered_diffs_older_than_the_snapshot_are_dropped_and_the_rest_applied() -> None:
    book = LocalBook()
    assert not book.apply(1, 5, 0, [(100.0, 9.0)], [])
    assert not book.apply(6, 12, 5, [(100.0, 4.0)], [])
    assert not book.apply(13, 14, 12, [], [(100.1, 8.0)])
    assert book.snapshot(10, BIDS, ASKS)
    assert top(book) == (100.0, 4.0, 100.1, 8.0)
    assert book.last_id == 14


def test_a_snapshot_older_than_the_buffer_needs_a_newer_one() -> None:
    book = LocalBook()
    book.apply(20, 25, 19, [], [])
    assert not book.snapshot(10, BIDS, ASKS)
    assert "gap" in book.reason
    assert book.snapshot(22, BIDS, ASKS)


def test_a_gap_unsyncs_and_keeps_the_diff_for_the_next_snapshot() -> None:
    book = synced()
    book.apply(11, 12, 10, [], [])
    assert not book.apply(15, 16, 14, [(100.0, 5.0)], [])
    assert (book.synced, book.resyncs, book.notional(), book.depth()) == (False, 1, (0.0, 0.0), None)
    assert book.snapshot(15, BIDS, ASKS)
    assert top(book) == (100.0, 5.0, 100.1, 1.5)


def test_a_repeated_diff_changes_nothing() -> None:
    book = synced()
    book.apply(11, 12, 10, [(100.0, 3.0)], [])
    assert book.apply(11, 12, 10, [(100.0, 99.0)], [])
    assert book.bid_qty == 3.0


@pytest.mark.parametrize(
    ("bids", "asks"),
    [
        ([(100.0, -1.0)], []),
        ([(100.0, math.nan)], []),
        ([(math.nan, 1.0)], []),
        ([(-5.0, 1.0)], []),
        ([], [(100.1, -0.5)]),
        ([], [(math.nan, 1.0)]),
        ([], [(100.1, math.inf)]),
        ([(100.2, 1.0)], []),
        ([], [(99.95, 1.0), (100.0, 1.0)]),
        ([(price, 0.0) for price, _ in BIDS], []),
    ],
)
def test_garbage_never_becomes_a_price(bids: list[tuple[float, float]], asks: list[tuple[float, float]]) -> None:
    book = synced()
    assert not book.apply(11, 12, 10, bids, asks)
    assert not book.synced
    assert book.reason
    assert top(book) == (0.0, 0.0, 0.0, 0.0)


def test_depth_counts_only_the_band_and_says_how_far_the_book_reaches() -> None:
    book = LocalBook()
    bids = [(100.0, 1.0), (99.7, 2.0), (99.0, 100.0)]
    asks = [(100.2, 1.0), (100.5, 2.0), (101.0, 100.0)]
    book.snapshot(1, bids, asks, limit=3)
    depth = book.depth(levels=2)
    assert depth is not None
    assert depth.bid_notional == pytest.approx(100.0 + 2 * 99.7)
    assert depth.ask_notional == pytest.approx(100.2 + 2 * 100.5)
    assert (depth.bids, depth.asks) == (tuple(bids[:2]), tuple(asks[:2]))
    assert depth.bid_reach == pytest.approx(1.1 / 100.1)
    assert depth.ask_reach == pytest.approx(0.9 / 100.1)


def test_a_side_with_fewer_levels_than_the_limit_reaches_to_the_window() -> None:
    book = synced()
    assert book.reach == pytest.approx((book.window, book.window))


def test_a_market_that_leaves_the_snapshot_is_not_trusted() -> None:
    book = LocalBook()
    book.snapshot(1, BIDS, ASKS, limit=3)
    assert not book.apply(2, 2, 1, [(price, 0.0) for price, _ in BIDS] + [(99.5, 1.0)], [])
    assert "range" in book.reason


def test_what_lies_outside_the_window_is_never_stored() -> None:
    book = synced()
    for step in range(2_000):
        book.apply(11 + step, 11 + step, 10 + step, [(50.0 + step / 100, 1.0)], [(150.0 + step / 100, 1.0)])
    assert len(book) == 6


LEVEL = st.tuples(st.integers(9_900, 10_100).map(lambda tick: tick / 100), st.sampled_from([0.0, 0.5, 1.0, 2.5]))


@given(st.lists(st.tuples(st.lists(LEVEL, max_size=6), st.lists(LEVEL, max_size=6)), max_size=40))
def test_equals_a_plain_model(diffs: list[tuple[list[tuple[float, float]], list[tuple[float, float]]]]) -> None:
    bids, asks = {99.0: 1.0, 99.5: 2.0}, {100.5: 1.0, 101.0: 2.0}
    book = LocalBook()
    book.snapshot(0, sorted(bids.items(), reverse=True), sorted(asks.items()))
    for number, (bid_changes, ask_changes) in enumerate(diffs, start=1):
        for side, changes in ((bids, bid_changes), (asks, ask_changes)):
            for price, qty in changes:
                if qty:
                    side[price] = qty
                else:
                    side.pop(price, None)
        alive = book.apply(number, number, number - 1, bid_changes, ask_changes)
        whole = bool(bids) and bool(asks) and max(bids) < min(asks)
        assert alive == whole
        if not alive:
            return
        assert top(book) == (max(bids), bids[max(bids)], min(asks), asks[min(asks)])
        mid = book.mid
        expected = sum(price * qty for price, qty in bids.items() if price >= mid * 0.995)
        assert book.notional()[0] == pytest.approx(expected)


CHANGE = st.tuples(st.integers(1, 50), st.sampled_from([0.0, 0.5, 1.0, 2.5]))
CHANGES = st.lists(
    st.tuples(st.lists(CHANGE, max_size=4), st.lists(CHANGE, max_size=4), st.integers(1, 3)), max_size=30
)
WORLD = st.sampled_from(
    ["next", "next", "next", "drop", "again", "swap", "snapshot", "snapshot", "old snapshot", "down"]
)


class Stream:
    """What a venue had and sent: a state after each diff, by the id of its last change."""

    def __init__(self, changes: list[tuple[list[tuple[int, float]], list[tuple[int, float]], int]]) -> None:
        self.diffs: list[Diff] = []
        self.states: list[tuple[int, dict[float, float], dict[float, float]]] = [(10, {99.4: 1.0}, {100.6: 1.0})]
        for below, above, others in changes:
            last, bids, asks = self.states[-1]
            new_bids = [(100 - ticks / 100, qty) for ticks, qty in dict(below).items()]
            new_asks = [(100 + ticks / 100, qty) for ticks, qty in dict(above).items()]
            # Other symbols use ids between this book's: a diff's first id is not the one after the last.
            self.diffs.append(Diff(last + others, last + others + 1, last, new_bids, new_asks))
            self.states.append((last + others + 1, {**bids, **dict(new_bids)}, {**asks, **dict(new_asks)}))

    def send(self, book: LocalBook, number: int) -> None:
        if 0 <= number < len(self.diffs):
            diff = self.diffs[number]
            book.apply(diff.first_id, diff.last_id, diff.prev_id, diff.bids, diff.asks)

    def answer(self, book: LocalBook, number: int) -> None:
        """A snapshot of the state after ``number`` diffs."""
        last, bids, asks = self.states[max(0, min(number, len(self.diffs)))]
        if not book.synced:
            book.snapshot(last, sorted(resting(bids).items(), reverse=True), sorted(resting(asks).items()))

    def had(self, book: LocalBook) -> bool:
        depth = book.depth(200)
        found = [(resting(bids), resting(asks)) for last, bids, asks in self.states if last == book.last_id]
        return depth is not None and found == [(dict(depth.bids), dict(depth.asks))]


def resting(side: dict[float, float]) -> dict[float, float]:
    return {price: qty for price, qty in side.items() if qty}


@given(CHANGES, st.lists(WORLD, max_size=60), st.integers(0, 3))
def test_whatever_is_lost_repeated_or_old_a_synced_book_is_one_that_the_venue_had(
    changes: list[tuple[list[tuple[int, float]], list[tuple[int, float]], int]], world: list[str], lag: int
) -> None:
    stream, book, sent = Stream(changes), LocalBook(), 0
    for event in world:
        if event == "down":
            book.lose("the stream broke")
        elif event == "snapshot":
            stream.answer(book, sent)
        elif event == "old snapshot":
            stream.answer(book, sent - lag)
        elif event == "again":
            stream.send(book, sent - 1 - lag)
        else:
            for number in {"next": (sent,), "swap": (sent + 1, sent), "drop": ()}[event]:
                stream.send(book, number)
            sent += 2 if event == "swap" else 1
        assert not book.synced or stream.had(book)
