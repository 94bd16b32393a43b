from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from tests.runtime.build import Heard, ScriptedVenue, snapshot
from tui_trader.core.events import AccountSnapshot, CandleHistory, LinkDown, LinkUp, Notice
from tui_trader.errors import OverBudget, RateLimited, VenueRefused, VenueUnreachable
from tui_trader.runtime import reconcile
from tui_trader.runtime.reconcile import Backoff, Reconciler

Work = Callable[[], Awaitable[None]]


class Desk:
    def __init__(self) -> None:
        self.venue = ScriptedVenue()
        self.heard = Heard()
        self.cursor = 0
        self.interval = 60.0
        self.reconciler = Reconciler(
            self.venue, self.heard, fills_cursor=lambda: self.cursor, interval_s=lambda: self.interval
        )
        self.tasks: list[asyncio.Future[None]] = []

    def run(self, work: Work) -> asyncio.Future[None]:
        task = asyncio.ensure_future(work())
        self.tasks.append(task)
        return task


@pytest_asyncio.fixture
async def desk(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setattr(reconcile, "SNAPSHOT_GAP_S", 0.0)
    desk = Desk()
    yield desk
    for task in desk.tasks:
        task.cancel()
    await asyncio.gather(*desk.tasks, return_exceptions=True)


async def test_the_first_snapshot_comes_by_itself_and_brings_the_link_up(desk: Desk) -> None:
    desk.run(desk.reconciler.run_snapshots)
    await desk.heard.count(1, AccountSnapshot)
    assert [type(e) for e in desk.heard.events] == [LinkUp, AccountSnapshot]
    assert desk.reconciler.complete.is_set()


async def test_requests_while_one_runs_are_served_by_one_more(desk: Desk) -> None:
    gate = asyncio.Event()
    desk.venue.answers["snapshot"] = [gate, snapshot(2)]
    desk.run(desk.reconciler.run_snapshots)
    while not desk.venue.calls:
        await asyncio.sleep(0)
    for _ in range(5):
        desk.reconciler.request_snapshot()
    gate.set()
    await desk.heard.count(2, AccountSnapshot)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(desk.venue.calls) == 2


async def test_a_link_that_fails_is_told_once_and_then_up_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "FIRST_PAUSE_S", 0.0)
    desk.reconciler._snapshot_backoff = Backoff(first=0.0)
    down = VenueUnreachable("no answer")
    desk.venue.answers["snapshot"] = [snapshot(1), down, down, down, snapshot(2)]
    desk.interval = 0.0
    desk.run(desk.reconciler.run_snapshots)
    await desk.heard.count(2, LinkUp)
    kinds = [type(e) for e in desk.heard.events[:5]]
    assert kinds == [LinkUp, AccountSnapshot, LinkDown, LinkUp, AccountSnapshot]


async def test_a_hurry_ends_the_pause_after_a_failure_but_no_silence(desk: Desk) -> None:
    desk.reconciler._snapshot_backoff = Backoff(first=3_600.0, longest=3_600.0)
    desk.venue.answers["snapshot"] = [VenueUnreachable("down"), snapshot(1)]
    desk.run(desk.reconciler.run_snapshots)
    await desk.heard.count(1, LinkDown)
    desk.reconciler.request_snapshot()
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(desk.venue.calls) == 1
    desk.reconciler.request_snapshot(hurry=True)
    await desk.heard.count(1, AccountSnapshot)
    desk.venue.answers["snapshot"] = [RateLimited("429", -1003, retry_after_ms=3_600_000)]
    desk.reconciler.request_snapshot()
    await desk.heard.count(2, LinkDown)
    calls = len(desk.venue.calls)
    desk.reconciler.request_snapshot(hurry=True)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(desk.venue.calls) == calls


async def test_an_own_budget_that_is_used_up_is_no_broken_link(desk: Desk) -> None:
    desk.venue.answers["snapshot"] = [snapshot(1), OverBudget("not sent", retry_after_ms=1), snapshot(2)]
    desk.interval = 0.0
    desk.reconciler._snapshot_backoff = Backoff(first=0.0)
    desk.run(desk.reconciler.run_snapshots)
    await desk.heard.count(2, AccountSnapshot)
    assert [type(e) for e in desk.heard.events[:3]] == [LinkUp, AccountSnapshot, AccountSnapshot]


async def test_an_unknown_failure_is_a_down_link_and_raised_for_the_supervisor(desk: Desk) -> None:
    desk.venue.answers["snapshot"] = [KeyError("shape")]
    with pytest.raises(KeyError):
        await desk.run(desk.reconciler.run_snapshots)
    assert [type(e) for e in desk.heard.events] == [LinkDown]


async def test_fills_are_asked_from_the_cursor_with_a_margin(desk: Desk) -> None:
    desk.cursor = 10_000_000
    desk.run(desk.reconciler.run_snapshots)
    await desk.heard.count(1, AccountSnapshot)
    assert desk.venue.calls == [("snapshot", str(10_000_000 - 60_000))]


async def test_histories_are_coalesced_retried_and_refusals_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "after", lambda self, error: 0.0)
    desk.venue.answers["candles"] = [VenueUnreachable("down"), ()]
    desk.reconciler.request_candles("A", 10)
    desk.reconciler.request_candles("A", 20)
    desk.run(desk.reconciler.run_candles)
    await desk.heard.count(1, CandleHistory)
    assert desk.venue.calls == [("candles", "A 20 1m")] * 2
    desk.venue.answers["candles"] = [VenueRefused("no such symbol", -1121)]
    desk.reconciler.request_candles("B", 5)
    await desk.heard.count(1, Notice)
    assert len(desk.venue.calls) == 3


async def test_minutes_come_before_other_timeframes_and_each_is_told_apart(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "HISTORIES_AT_ONCE", 1)
    desk.reconciler.request_candles("A", 226, "1h")
    desk.reconciler.request_candles("A", 10)
    desk.reconciler.request_candles("B", 10)
    desk.run(desk.reconciler.run_candles)
    heard = await desk.heard.count(3, CandleHistory)
    assert desk.venue.calls == [("candles", "A 10 1m"), ("candles", "B 10 1m"), ("candles", "A 226 1h")]
    told = [(e.symbol, e.timeframe) for e in heard if isinstance(e, CandleHistory)]
    assert told == [("A", "1m"), ("B", "1m"), ("A", "1h")]


async def test_only_the_newest_watch_counts(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "after", lambda self, error: 0.0)
    desk.venue.answers["watch"] = [VenueUnreachable("down"), None]
    desk.reconciler.request_watch(("A",))
    desk.reconciler.request_watch(("A", "B"))
    desk.run(desk.reconciler.run_watch)
    while len(desk.venue.calls) < 2:
        await asyncio.sleep(0)
    assert desk.venue.calls == [("watch", "A,B")] * 2


def test_backoff_doubles_is_bounded_and_obeys_the_venue() -> None:
    """I13: silence until Retry-After."""
    backoff = Backoff(first=1.0, longest=4.0)
    plain = VenueUnreachable("x")
    assert [backoff.after(plain) for _ in range(4)] == [1.0, 2.0, 4.0, 4.0]
    assert backoff.after(RateLimited("ban", retry_after_ms=120_000)) == 120.0
    backoff.reset()
    assert backoff.after(plain) == 1.0
