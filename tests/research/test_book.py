"""The candle book over history says at each minute what the live one says, and nothing of what lies ahead."""

from __future__ import annotations

import threading

import msgspec
import numpy as np
import pytest

from tui_trader.core.bars import Window
from tui_trader.core.candles import TIMEFRAMES, CandleBook, Indicator
from tui_trader.core.events import Candle
from tui_trader.core.parameters import Values
from tui_trader.core.signals import Scan
from tui_trader.errors import ConfigError
from tui_trader.research.book import MOST_KEPT, HistoryBook, scan_of
from tui_trader.research.history import packaged
from tui_trader.strategies.ma_crossover import MaCrossover

BARS = packaged("ETHUSDT").bars.slice(0, 2_000)


def test_it_says_what_the_live_book_says() -> None:
    live, ours = CandleBook("ETHUSDT"), HistoryBook("ETHUSDT", BARS)
    live.load([BARS.candle(0)])
    ours.update(BARS.candle(0), closed=True)
    for i in range(1, len(BARS)):
        candle = BARS.candle(i)
        whole = {name for name, _ in live.update(candle, closed=True)}
        told = ours.update(candle, closed=True)
        assert {name for name, _ in told} == whole
        if i % 97 and "1h" not in whole:
            continue
        for name in TIMEFRAMES:
            count = len(ours.closed(name, 50))
            assert ours.closed(name, 50) == live.closed(name, 50)[-count or 50 :]
            assert ours.last_closed_ms(name) == live.last_closed_ms(name)
            mine, its = ours.atr(name, 14), live.atr(name, 14)
            assert (mine is None) == (its is None)
            if mine is not None and its is not None:
                assert (mine.as_of_ms, mine.bars) == (its.as_of_ms, its.bars)
                assert mine.value == pytest.approx(its.value, abs=1e-7)
            values = ours.values(name, Indicator.EMA, 20, 5)
            assert values == pytest.approx(live.values(name, Indicator.EMA, 20, 5), rel=1e-9, nan_ok=True)


def test_what_lies_ahead_is_not_seen() -> None:
    past = BARS.slice(0, 1_000)
    tripled = np.where(np.arange(1_000) < 600, 1.0, 3.0)
    changed = msgspec.structs.replace(past, close=past.close * tripled, high=past.high * tripled)
    book, plain = HistoryBook("X", changed), HistoryBook("X", past)
    for either in (book, plain):
        either.update(changed.candle(599), closed=True)
    assert book.closed("15m", 99) == plain.closed("15m", 99)
    assert book.atr("15m", 14) == plain.atr("15m", 14)
    assert book.values("5m", Indicator.RSI, 14, 9) == plain.values("5m", Indicator.RSI, 14, 9)


def test_a_running_bar_and_an_open_candle_say_nothing() -> None:
    book = HistoryBook("ETHUSDT", BARS)
    assert book.update(BARS.candle(5), closed=False) == ()
    assert (book.running("1m"), book.last_closed_ms("1m"), book.atr("1m", 14)) == (None, 0, None)
    book.load([Candle(0, 1.0, 1.0, 1.0, 1.0, 1.0)])
    assert book.closed("1m", 5) == ()


def test_windows_share_indicators_that_nobody_can_change() -> None:
    book = HistoryBook("ETHUSDT", BARS)
    window = book.window("5m", "1h")
    assert window is book.window("5m", "1h")
    assert window.higher is book.window("1h")
    found = window.indicator(Indicator.ATR, 14)
    assert book.window("5m").indicator(Indicator.ATR, 14) is found
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 1.0


def test_only_the_last_few_indicators_are_kept() -> None:
    window = HistoryBook("ETHUSDT", BARS).window("1m")
    first = window.indicator(Indicator.EMA, 2)
    for period in range(3, MOST_KEPT + 3):
        window.indicator(Indicator.EMA, period)
    again = window.indicator(Indicator.EMA, 2)
    assert again is not first
    np.testing.assert_array_equal(again, first)


def test_threads_may_ask_at_once() -> None:
    window = HistoryBook("ETHUSDT", BARS).window("1m")
    wanted = {period: window.indicator(Indicator.EMA, period).copy() for period in range(2, 42)}
    wrong: list[int] = []

    def ask() -> None:
        for period, values in wanted.items():
            if not np.array_equal(window.indicator(Indicator.EMA, period), values, equal_nan=True):
                wrong.append(period)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


class Odd(MaCrossover):
    """A person's own strategy that answers what it was given."""

    def __init__(self, **changes: object) -> None:
        self.changes = changes

    def scan(self, window: Window, values: Values) -> Scan:
        if "error" in self.changes:
            raise self.changes["error"]  # type: ignore[misc]
        return msgspec.structs.replace(super().scan(window, values), **self.changes)


Odd.__module__ = "mine"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"error": ValueError("boom")}, "failed on the history: ValueError: boom"),
        ({"error": SystemExit(3)}, "failed on the history: SystemExit: 3"),
        ({"side": np.zeros(3, dtype=np.int8)}, "its arrays differ in length: bars "),
        ({"stop": None}, "failed on the history: TypeError"),
        ({"bars": np.arange(10**6)}, "its arrays differ in length"),
    ],
)
def test_what_a_person_s_strategy_says_is_checked(changes: dict[str, object], said: str) -> None:
    values = {p.name: p.default for p in MaCrossover.parameters}
    with pytest.raises(ConfigError, match=said):
        scan_of(Odd(**changes), HistoryBook("ETHUSDT", BARS), "1m", values)


@pytest.mark.parametrize(
    ("name", "wrong", "said"),
    [
        ("side", 7, "a side is none of -1, 0 and 1"),
        ("conviction", np.nan, "a conviction is not within 0 to 1"),
        ("conviction", 1.5, "a conviction is not within 0 to 1"),
        ("stop", -5.0, "a stop is no price above 0"),
        ("target", -np.inf, "a target is no price above 0"),
        ("bars", 10**6, "its bars are not rising indexes below 2000"),
    ],
)
def test_numbers_that_cannot_be_are_named(name: str, wrong: float, said: str) -> None:
    values = {p.name: p.default for p in MaCrossover.parameters}
    book = HistoryBook("ETHUSDT", BARS)
    good = scan_of(MaCrossover(), book, "1m", values)
    assert len(good.bars)
    array = getattr(MaCrossover().scan(book.window("1m", None), values), name).copy()
    array[-1] = wrong
    with pytest.raises(ConfigError, match=said):
        scan_of(Odd(**{name: array}), book, "1m", values)
