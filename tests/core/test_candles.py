"""Candles of every timeframe from 1 m: a bar at its close only, gaps told, duplicates harmless."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.build import NOW, candle_book, minutes
from tui_trader.core.candles import TIMEFRAMES, CandleBook, Indicator
from tui_trader.core.events import Candle

DAY_START = NOW // 86_400_000 * 86_400_000


def day_of_minutes(count: int) -> list[Candle]:
    closes = [100.0 + (i * 7919) % 13 for i in range(count)]
    return minutes(closes, end_ms=DAY_START + count * 60_000)


@pytest.mark.parametrize("timeframe", ["5m", "15m", "1h", "4h"])
def test_higher_timeframes_join_their_minutes(timeframe: str) -> None:
    candles = day_of_minutes(480)
    book = candle_book(candles)
    size = TIMEFRAMES[timeframe] // 60_000
    groups = [candles[i : i + size] for i in range(0, 480, size)]
    expected = tuple(
        Candle(
            g[0].open_ms,
            g[0].open,
            max(c.high for c in g),
            min(c.low for c in g),
            g[-1].close,
            sum(c.volume for c in g),
        )
        for g in groups
    )
    assert book.closed(timeframe, 1_000) == expected


def test_i21_a_bar_is_visible_at_its_close_and_not_before() -> None:
    book = CandleBook("BTCUSDT")
    candles = day_of_minutes(60)
    book.load(candles[:59])
    assert book.closed("1h", 1) == ()
    closed = book.update(candles[59], True)
    assert [name for name, _ in closed] == ["1m", "5m", "15m", "1h"]
    assert len(book.closed("1h", 1)) == 1


def test_history_then_stream_equals_stream_alone() -> None:
    candles = day_of_minutes(400)
    streamed, loaded = CandleBook("A"), candle_book(candles[:300])
    for candle in candles:
        streamed.update(candle, True)
    for candle in candles[300:]:
        loaded.update(candle, True)
    for timeframe in TIMEFRAMES:
        assert streamed.closed(timeframe, 500) == loaded.closed(timeframe, 500)
    one, other = streamed.atr("15m", 14), loaded.atr("15m", 14)
    assert one is not None
    assert other is not None
    assert one.value == pytest.approx(other.value, rel=1e-12)


def test_duplicates_and_stale_updates_change_nothing() -> None:
    candles = day_of_minutes(100)
    book = candle_book(candles)
    before = book.closed("1m", 200)
    assert book.update(candles[-1], True) == ()
    assert book.update(candles[10], False) == ()
    book.load(candles)
    assert book.closed("1m", 200) == before


def test_a_missed_close_asks_for_a_backfill_that_mends_it() -> None:
    candles = day_of_minutes(100)
    book = candle_book(candles[:50])
    book.update(candles[52], True)
    assert book.needs_backfill
    book.load(candles[:60])
    assert not book.needs_backfill
    assert book.closed("5m", 3) == candle_book(candles[:60]).closed("5m", 3)


def test_a_hole_before_the_minutes_that_are_kept_anyway_is_never_asked_for() -> None:
    candles = day_of_minutes(4_000)
    book = candle_book(candles[:100])
    book.update(candles[3_999], False)
    assert book.missing == 3_899
    book.load(candles[-1_501:-1])
    assert (book.missing, book.needs_backfill) == (0, False)


@given(st.lists(st.integers(1, 298), unique=True, max_size=40))
def test_minutes_the_stream_missed_keep_their_bars_invisible(missing: list[int]) -> None:
    candles = day_of_minutes(300)
    book = CandleBook("BTCUSDT")
    for i, candle in enumerate(candles):
        if i not in missing:
            book.update(candle, True)
    holes = {(DAY_START + i * 60_000) // 300_000 for i in missing}
    assert all(bar.open_ms // 300_000 not in holes for bar in book.closed("5m", 100))
    assert book.needs_backfill == bool(missing)
    book.load(candles)
    assert not book.needs_backfill
    assert book.closed("5m", 100) == candle_book(candles).closed("5m", 100)


def test_the_running_candle_is_not_closed() -> None:
    candles = day_of_minutes(61)
    book = candle_book(candles[:60])
    book.update(candles[60], False)
    running = book.running("1m")
    assert running is not None
    assert running.open_ms == candles[60].open_ms
    assert book.closed("1m", 1)[0].open_ms == candles[59].open_ms


# --- bars of higher timeframes from before the minutes ---

HOUR = 3_600_000
DAYS = day_of_minutes(7 * 1_440)
HOURS = candle_book(DAYS).closed("1h", 500)


def split_book(first_minute: int) -> CandleBook:
    """Minutes from ``first_minute`` on, hours from before."""
    book = candle_book(DAYS[first_minute:])
    book.load_higher("1h", HOURS)
    return book


@pytest.mark.parametrize("first_minute", [0, 1, 59, 60, 6_000, 8_607])
def test_bars_before_the_minutes_join_those_of_the_minutes(first_minute: int) -> None:
    book = split_book(first_minute)
    assert book.closed("1h", 500) == HOURS
    assert book.has_history("1h")
    assert not book.has_history("4h")


def test_the_order_of_minutes_and_bars_does_not_matter_and_repeating_changes_nothing() -> None:
    before, after = CandleBook("A"), split_book(8_607)
    before.load_higher("1h", HOURS)
    before.load(DAYS[8_607:])
    after.load_higher("1h", HOURS[-30:])
    after.load(DAYS[8_607:])
    for book in (before, after):
        assert book.closed("1h", 500) == HOURS


def test_after_loading_the_stream_goes_on_and_averages_are_those_of_the_whole() -> None:
    whole, book = CandleBook("A"), split_book(0)
    short = candle_book(DAYS[8_607:-120])
    short.atr("1h", 14)
    short.load_higher("1h", [bar for bar in HOURS if bar.open_ms + HOUR <= DAYS[-120].open_ms])
    for candle in DAYS[-120:]:
        short.update(candle, True)
    for candle in DAYS:
        whole.update(candle, True)
    for kind in Indicator:
        ours, theirs = short.values("1h", kind, 14, 100), whole.values("1h", kind, 14, 100)
        assert ours == pytest.approx(theirs, rel=1e-9)
    assert short.closed("1h", 500) == whole.closed("1h", 500) == book.closed("1h", 500)


def test_bars_that_cannot_be_true_or_are_not_closed_yet_are_left_out() -> None:
    good = HOURS[3]
    odd = [
        Candle(good.open_ms + 60_000, 1.0, 1.0, 1.0, 1.0, 1.0),
        Candle(HOURS[4].open_ms, 1.0, 0.5, 1.0, 1.0, 1.0),
        Candle(HOURS[-1].open_ms + HOUR, 1.0, 1.0, 1.0, 1.0, 1.0),
    ]
    book = candle_book(DAYS[8_607:])
    plain = book.closed("1h", 500)
    book.load_higher("1h", [good, *odd])
    assert book.closed("1h", 500) == (good, *plain)


@given(st.lists(st.integers(0, len(HOURS) - 1), max_size=60), st.integers(0, len(DAYS) - 61))
def test_whatever_is_loaded_bars_are_in_order_once_and_those_of_the_minutes_stay(
    picked: list[int], first_minute: int
) -> None:
    minutes_from = max(first_minute, len(DAYS) - 1_500)
    book = candle_book(DAYS[minutes_from:])
    own = set(book.closed("1h", 500))
    lies = [Candle(HOURS[i].open_ms, 7.0, 7.0, 7.0, 7.0, 7.0) for i in picked]
    book.load_higher("1h", lies)
    opens = [bar.open_ms for bar in book.closed("1h", 500)]
    assert opens == sorted(set(opens))
    assert own <= set(book.closed("1h", 500))
    assert {HOURS[i].open_ms for i in picked} <= set(opens)


def test_a_hole_after_the_loading_is_noticed_and_one_of_the_venue_is_not_asked_for_twice() -> None:
    book = candle_book(DAYS[2_000:3_500])
    holed = [bar for bar in HOURS[:40] if bar.open_ms != HOURS[20].open_ms]
    book.load_higher("1h", holed)
    book.load(DAYS[2_000:3_500])
    assert book.has_history("1h"), "the hole was there when the venue was asked"
    book.load(DAYS[8_000:9_500])
    assert not book.has_history("1h")
    book.load_higher("1h", HOURS)
    assert book.has_history("1h")
    assert book.closed("1h", 500) == HOURS[: len(book.closed("1h", 500))]
