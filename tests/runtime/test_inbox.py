from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.build import fill, kline, top
from tui_trader.core.events import (
    BookTop,
    Event,
    FeedLive,
    FeedStale,
    Fill,
    InstrumentsLoaded,
    KlineUpdate,
    Timer,
)
from tui_trader.runtime.inbox import Inbox


async def drain_all(inbox: Inbox) -> list[Event]:
    events: list[Event] = []
    while inbox.depth:
        events.extend(await inbox.drain())
    return events


async def test_only_the_newest_quote_of_a_symbol_waits() -> None:
    inbox = Inbox()
    for bid in range(100):
        inbox.put(top("BTCUSDT", bid))
        inbox.put(top("ETHUSDT", bid * 2))
    assert await drain_all(inbox) == [top("BTCUSDT", 99), top("ETHUSDT", 198)]
    assert inbox.coalesced == 198


async def test_account_events_leave_before_market_events_and_none_is_lost() -> None:
    inbox = Inbox()
    inbox.put(top("BTCUSDT", 1))
    for number in range(10):
        inbox.put(fill(str(number)))
    events = await drain_all(inbox)
    assert events == [*(fill(str(n)) for n in range(10)), top("BTCUSDT", 1)]


async def test_a_flood_of_account_events_leaves_room_for_the_market() -> None:
    inbox = Inbox(batch=8)
    for number in range(100):
        inbox.put(fill(str(number)))
    inbox.put(top("BTCUSDT", 1))
    assert top("BTCUSDT", 1) in await inbox.drain()


async def test_what_was_said_before_stale_is_not_overwritten_by_what_came_after() -> None:
    inbox = Inbox()
    said: list[Event] = [
        top("BTCUSDT", 1),
        FeedStale(ts=1, symbol="BTCUSDT", reason="gap"),
        FeedLive(ts=1, symbol="BTCUSDT"),
        top("BTCUSDT", 2),
    ]
    for event in said:
        inbox.put(event)
    assert await drain_all(inbox) == said


async def test_closed_candles_are_kept_and_running_ones_coalesced() -> None:
    inbox = Inbox()
    for event in (kline("A", 0, closed=False), kline("A", 0, closed=True), kline("A", 60, closed=False)):
        inbox.put(event)
        inbox.put(event)
    closed = [e for e in await drain_all(inbox) if isinstance(e, KlineUpdate) and e.closed]
    assert closed == [kline("A", 0, closed=True)] * 2


async def test_drain_waits_for_the_first_event() -> None:
    inbox = Inbox()
    waiting = asyncio.ensure_future(inbox.drain())
    await asyncio.sleep(0)
    assert not waiting.done()
    inbox.put(Timer(ts=5))
    assert await waiting == [Timer(ts=5)]
    assert inbox.depth == 0


async def test_new_instruments_seal_every_symbol() -> None:
    inbox = Inbox()
    inbox.put(top("A", 1))
    inbox.put(InstrumentsLoaded(ts=1, instruments=()))
    inbox.put(top("A", 2))
    assert [type(e) for e in await drain_all(inbox)] == [BookTop, InstrumentsLoaded, BookTop]


_SYMBOLS = st.sampled_from(["A", "B", "C"])
_EVENTS = st.one_of(
    st.builds(top, _SYMBOLS, st.integers(1, 9).map(float)),
    st.builds(lambda s: FeedStale(ts=1, symbol=s, reason="x"), _SYMBOLS),
    st.builds(lambda s, n, c: kline(s, n, closed=c), _SYMBOLS, st.integers(0, 5), st.booleans()),
    st.builds(lambda n: fill(str(n)), st.integers(0, 99)),
    st.builds(lambda n: Timer(ts=n), st.integers(0, 9)),
)


@given(st.lists(st.one_of(_EVENTS, st.just("drain")), max_size=120), st.integers(1, 16))
def test_nothing_that_must_stay_is_lost_or_reordered(script: list[Event | str], batch: int) -> None:
    async def run() -> None:
        inbox = Inbox(batch=batch)
        out: list[Event] = []
        for step in script:
            if not isinstance(step, str):
                inbox.put(step)
            elif inbox.depth:
                out.extend(await inbox.drain())
        out.extend(await drain_all(inbox))
        put = [e for e in script if not isinstance(e, str)]
        assert [e for e in out if isinstance(e, Fill | Timer)] == [e for e in put if isinstance(e, Fill | Timer)]
        for symbol in "ABC":
            kept = [e for e in put if _must_stay(e, symbol)]
            assert [e for e in out if _must_stay(e, symbol)] == kept
            quotes = [e for e in put if isinstance(e, BookTop) and e.symbol == symbol]
            applied = [e for e in out if isinstance(e, BookTop) and e.symbol == symbol]
            assert applied[-1:] == quotes[-1:]
            remaining = iter(quotes)
            assert all(e in remaining for e in applied)

    asyncio.run(run())


def _must_stay(event: Event, symbol: str) -> bool:
    if isinstance(event, KlineUpdate):
        return event.closed and event.symbol == symbol
    return isinstance(event, FeedStale) and event.symbol == symbol
