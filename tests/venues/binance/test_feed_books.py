"""Books at receipt: what is older than the book never stands for news."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tui_trader import clock
from tui_trader.clock import VenueClock
from tui_trader.core.events import Event, FeedLive, FeedStale, MarkPrice
from tui_trader.venues.binance.feeds import Feeds

BTC = "BTCUSDT"


class Time:
    """A monotonic clock that stands until it is told to go on."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def wall_ns(self) -> int:
        return int(1.7e18 + self.now * 1e9)


@pytest.fixture
def time() -> Iterator[Time]:
    source = Time()
    with clock.running_on(source):
        yield source


class Here:
    def __init__(self, time: Time) -> None:
        self.time = time
        self.events: list[Event] = []
        self.asked: list[str] = []
        self.feeds = Feeds(
            self.events.append,
            VenueClock(),
            stale_after_s=5.0,
            soon=lambda call: call(),
            ask_snapshot=self.asked.append,
        )
        self.feeds.know([BTC])
        self.feeds.watch([BTC])

    def diff(self, first: int, last: int, before: int, bid: str = "99.9", qty: str = "1") -> None:
        body = f'"s":"{BTC}","U":{first},"u":{last},"pu":{before},"b":[["{bid}","{qty}"]],"a":[]'
        self.feeds.on_frame(f'{{"stream":"btcusdt@depth@100ms","data":{{"e":"depthUpdate",{body}}}}}'.encode())

    def snapshot(self, last_id: int, bid_qty: float = 1.0, limit: int = 1) -> None:
        self.feeds.book_snapshot(BTC, last_id, [(99.9, bid_qty)], [(100.1, 1.0)], limit)

    def live(self) -> bool:
        return isinstance([e for e in self.events if isinstance(e, FeedLive | FeedStale)][-1], FeedLive)

    def run(self, seconds: float) -> None:
        self.time.now += seconds
        self.feeds.tick()


def test_a_wider_book_that_is_older_does_not_replace_the_newer_one(time: Time) -> None:
    here = Here(time)
    here.diff(90, 100, 80)
    here.snapshot(100)
    here.diff(101, 110, 100, qty="7")
    here.run(200.0)
    here.diff(111, 120, 110, qty="8")
    here.asked.clear()
    here.run(0.1)
    assert here.asked == [BTC], "what is seen of the book is narrow"
    here.snapshot(105, bid_qty=3.0)
    book = here.feeds.book_of(BTC)
    assert book is not None
    assert (book.synced, book.last_id, book.bid_qty) == (True, 120, 8.0)


def test_updates_from_before_the_book_do_not_keep_it_live(time: Time) -> None:
    here = Here(time)
    here.diff(90, 100, 80)
    here.snapshot(100)
    here.diff(101, 110, 100)
    here.run(0.1)
    assert here.live()
    for _ in range(12):
        here.run(0.5)
        here.diff(91, 95, 90)
    assert not here.live(), "nothing new was heard for six seconds"


@pytest.mark.parametrize(("rate", "at_ms"), [('"r":"0.0004",', 5_000), ('"r":"",', 0), ("", 0)])
def test_a_mark_price_without_a_funding_rate_tells_no_funding_time(time: Time, rate: str, at_ms: int) -> None:
    """Nobody said that the rate is zero: without a time the funding is unknown and refuses."""
    here = Here(time)
    body = f'"s":"{BTC}","p":"100","i":"100",{rate}"T":5000'
    here.feeds.on_frame(f'{{"stream":"!markPrice@arr@1s","data":[{{"e":"markPriceUpdate",{body}}}]}}'.encode())
    (mark,) = (e for e in here.events if isinstance(e, MarkPrice))
    assert (mark.mark, mark.next_funding_ms) == (100.0, at_ms)
