"""Backfill: what is missing is fetched once, gaps are asked for again and then known, interruptions lose nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.research.build import START
from tui_trader.core.events import Candle
from tui_trader.errors import UsageError, VenueUnreachable
from tui_trader.research import ccxt_source
from tui_trader.research.backfill import Backfill, Outcome
from tui_trader.research.ccxt_source import CcxtSource
from tui_trader.store.candles import CandleStore

MINUTE = 60_000
EIGHT_H = 8 * 3_600_000


def candle(index: int, price: float = 10.0) -> Candle:
    return Candle(START + index * MINUTE, price, price, price, price, 1.0)


class Scripted:
    """An exchange that has all minutes but some, answers in pages of ``page``, and may fail at a request."""

    has_funding = True

    def __init__(self, page: int = 7, holes: frozenset[int] = frozenset(), late: frozenset[int] = frozenset()) -> None:
        self.page = page
        self.holes = holes
        self.late = late
        """Minutes that only a second question about them brings."""
        self.asked: list[int] = []
        self.seen: dict[int, int] = {}
        self.fail_at = 10**9
        self.funding_asked = 0

    async def candles(self, since_ms: int, end_ms: int) -> Sequence[Candle]:
        if len(self.asked) >= self.fail_at:
            raise VenueUnreachable("gone")
        first = (since_ms - START) // MINUTE
        self.asked.append(first)
        found = []
        for i in range(first, first + self.page):
            self.seen[i] = self.seen.get(i, 0) + 1
            if i not in self.holes and not (i in self.late and self.seen[i] == 1):
                found.append(candle(i))
        return found

    async def funding(self, since_ms: int, end_ms: int) -> Sequence[tuple[int, float]]:
        self.funding_asked += 1
        first = -(-since_ms // EIGHT_H) * EIGHT_H
        return [(ms + 1, 1e-4) for ms in range(first, end_ms + 1, EIGHT_H)]


@contextmanager
def store() -> Iterator[CandleStore]:
    with TemporaryDirectory() as folder, closing(CandleStore(Path(folder) / "s.sqlite3", "x", "A", "1m")) as made:
        yield made


def run(source: Scripted, into: CandleStore, first: int, last: int) -> Outcome:
    work = Backfill(source, into, "1m", START + first * MINUTE, START + last * MINUTE)
    return asyncio.run(work.run())


def minutes_of(into: CandleStore) -> set[int]:
    return {(ms - START) // MINUTE for ms in into.known(0, 2**60).tolist()}


spans = st.tuples(st.integers(0, 60), st.integers(1, 40)).map(lambda t: (t[0], t[0] + t[1]))


@settings(max_examples=40)
@given(
    st.lists(spans, min_size=1, max_size=4),
    st.frozensets(st.integers(0, 99), max_size=25),
    st.frozensets(st.integers(0, 99), max_size=10),
    st.integers(1, 12),
)
def test_any_order_of_spans_brings_each_minute_and_asks_for_none_twice_that_is_there(
    wanted: list[tuple[int, int]], holes: frozenset[int], late: frozenset[int], page: int
) -> None:
    source = Scripted(page, holes, late)
    with store() as into:
        for first, last in wanted:
            before = minutes_of(into)
            outcome = run(source, into, first, last)
            inside = set(range(first, last))
            assert minutes_of(into) >= inside - holes
            assert outcome.there_before >= len(inside & before)
            missing = {m for a, b in outcome.gaps for m in range((a - START) // MINUTE, (b - START) // MINUTE)}
            assert missing == inside & holes
        everything = set().union(*(range(a, b) for a, b in wanted))
        assert minutes_of(into) == everything - holes
        asked = len(source.asked)
        for first, last in wanted:
            if last - 1 not in holes:
                run(source, into, first, last)
        assert len(source.asked) == asked, "nothing was left to ask for"


def test_a_gap_is_asked_for_once_more_and_then_known() -> None:
    source = Scripted(holes=frozenset(range(20, 25)))
    with store() as into:
        assert run(source, into, 0, 40).gaps == ((START + 20 * MINUTE, START + 25 * MINUTE),)
        asked = len(source.asked)
        assert all(source.seen[i] >= 2 for i in range(20, 25))
        assert run(source, into, 0, 40).gaps == ((START + 20 * MINUTE, START + 25 * MINUTE),)
        assert len(source.asked) == asked
        assert into.venue_gaps() == ((START + 20 * MINUTE, START + 25 * MINUTE),)


def test_what_is_not_published_yet_is_asked_for_the_next_time() -> None:
    source = Scripted(holes=frozenset({39}))
    with store() as into:
        assert run(source, into, 0, 40).gaps == ((START + 39 * MINUTE, START + 40 * MINUTE),)
        source.holes = frozenset()
        assert run(source, into, 0, 40).gaps == ()


@pytest.mark.parametrize("at", range(6))
def test_a_failure_keeps_what_came_and_the_next_run_goes_on(at: int) -> None:
    source = Scripted()
    source.fail_at = at
    with store() as into:
        work = Backfill(source, into, "1m", START, START + 40 * MINUTE)
        with pytest.raises(VenueUnreachable):
            asyncio.run(work.run())
        assert work.outcome.added == len(minutes_of(into)) == 7 * at
        assert not work.outcome.complete
        source.fail_at = 10**9
        outcome = run(source, into, 0, 40)
        assert (outcome.there_before, outcome.added, outcome.complete) == (7 * at, 40 - 7 * at, True)


class Liar(Scripted):
    async def candles(self, since_ms: int, end_ms: int) -> Sequence[Candle]:
        good = [row for row in await super().candles(since_ms, end_ms) if row.open_ms != START + 3 * MINUTE]
        odd = Candle(START + 3 * MINUTE, 1.0, 0.5, 1.0, 1.0, 1.0)
        return [candle(-5), *reversed(good), *good, odd, Candle(START + 1, 1.0, 1.0, 1.0, 1.0, 1.0), candle(10**6)]


def test_what_cannot_be_true_or_was_not_asked_for_is_not_taken() -> None:
    with store() as into:
        outcome = run(Liar(page=50), into, 0, 20)
        assert minutes_of(into) == set(range(20)) - {3}
        assert outcome.gaps == ((START + 3 * MINUTE, START + 4 * MINUTE),)
        assert outcome.impossible >= 1


def test_funding_is_fetched_in_whole_minutes_once() -> None:
    source = Scripted(page=1_000)
    with store() as into:
        assert run(source, into, 0, 4_000).funding_added == 9
        assert into.funding_known(0, 2**60).tolist() == [START + i * EIGHT_H for i in range(9)]
        asked = source.funding_asked
        assert run(source, into, 0, 4_000).funding_added == 0
        assert source.funding_asked == asked, "the stored stamps leave nothing open"
        assert run(source, into, 0, 4_800).funding_added == 1


def test_funding_that_an_interruption_left_open_in_the_middle_is_asked_for() -> None:
    source = Scripted(page=1_000)
    with store() as into:
        into.add_funding([(START, 1e-4), (START + 4 * EIGHT_H, 1e-4)])
        assert run(source, into, 0, 2_401).funding_added == 4


# --- ccxt ---


def test_an_exchange_that_ccxt_does_not_know_is_refused_with_what_is_close() -> None:
    async def opened(name: str) -> None:
        source = CcxtSource(name, "BTCUSDT", "1m")
        try:
            await source.open()
        finally:
            await source.aclose()

    with pytest.raises(UsageError, match=r"'binanceusd' is no exchange .* binanceusdm"):
        asyncio.run(opened("binanceusd"))
    with pytest.raises(UsageError, match="is no exchange that ccxt knows"):
        asyncio.run(opened("../../etc"))


def test_addresses_move_with_their_paths() -> None:
    urls = {"a": "https://fapi.binance.com/fapi/v1", "b": {"c": "https://{hostname}"}, "d": None}
    assert ccxt_source._moved(urls, "http://127.0.0.1:9") == {
        "a": "http://127.0.0.1:9/fapi/v1",
        "b": {"c": "http://127.0.0.1:9"},
        "d": None,
    }


@pytest.mark.parametrize(
    ("url", "kept_as"),
    [
        ("", "binanceusdm"),
        ("https://fapi.binance.com", "binanceusdm"),
        ("https://mirror.example", "binanceusdm@mirror.example"),
        ("http://127.0.0.1:9", "binanceusdm@127.0.0.1:9"),
    ],
)
def test_what_another_address_gives_does_not_pass_for_the_exchange(url: str, kept_as: str) -> None:
    source = CcxtSource("binance", "BTCUSDT", "1m", url=url)

    async def made() -> None:
        await source._make().close()

    asyncio.run(made())
    assert source.kept_as == kept_as


@pytest.mark.parametrize("row", [None, [], [1], [1, 2, 3, 4, 5], [1, "x", 1, 1, 1, 1], [1, 1, 1, 1, 1, float("nan")]])
def test_a_row_that_is_no_candle_is_left_out(row: object) -> None:
    assert ccxt_source._candle(row) is None


async def test_an_exchange_that_does_not_answer_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ccxt_source, "FIRST_PAUSE_S", 0.0)
    source = CcxtSource("binanceusdm", "BTCUSDT", "1m", url="http://127.0.0.1:1")
    try:
        with pytest.raises(VenueUnreachable, match="binanceusdm does not answer"):
            await source.open()
    finally:
        await source.aclose()
