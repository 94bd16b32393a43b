"""Candles of every interval, from history and live trades, closed exactly once."""

import itertools

from tui_trader.exchange.candles import DAY_MS, MINUTE_MS, Candle, CandleSeries, bucket

START = 1_767_225_600_000  # 2026-01-01 00:00 UTC, a Thursday


def recorded(start_ms: int, end_ms: int) -> list[Candle]:
    rows = []
    for open_ms in range(start_ms, end_ms, MINUTE_MS):
        candle = Candle(open_ms, 1000)
        candle.high, candle.low, candle.close = 1010, 990, 1005
        candle.volume, candle.turnover, candle.trades = 10, 10_000, 3
        rows.append(candle)
    return rows


def test_running_candle_opens_with_its_first_trade() -> None:
    series = CandleSeries(START, 1000, recorded)
    assert (series.running.open_ms, series.running.open, series.running.volume) == (START, 1005, 0)
    series.trade(1020, 5, True, 1)
    series.trade(1015, 2, False, 2)
    candle = series.running
    assert (candle.open, candle.high, candle.low, candle.close) == (1020, 1020, 1015, 1015)
    assert (candle.volume, candle.turnover, candle.buy_volume, candle.trades) == (7, 7130, 5, 2)
    assert (candle.first_trade, candle.last_trade) == (1, 2)


def test_intervals_aggregate_closed_and_running_minutes() -> None:
    series = CandleSeries(START + 2 * MINUTE_MS, 1000, recorded)
    series.trade(1100, 4, True, 7)
    rows = series.rows("5m", START - 10 * MINUTE_MS)
    assert rows[-1].open_ms == START
    assert (rows[-1].high, rows[-1].close, rows[-1].volume) == (1100, 1100, 24)
    assert (rows[-2].open_ms, rows[-2].volume) == (START - 5 * MINUTE_MS, 50)
    assert all(later.open_ms - row.open_ms == 5 * MINUTE_MS for row, later in itertools.pairwise(rows))


def test_silent_minutes_repeat_the_close() -> None:
    series = CandleSeries(START, 1000, lambda start, end: [])
    series.trade(900, 1, True, 1)
    closed = series.roll(START + 3 * MINUTE_MS + 1)
    assert [(row.open, row.close, row.volume) for row in closed] == [(900, 900, 1), (900, 900, 0), (900, 900, 0)]
    assert series.running.open_ms == START + 3 * MINUTE_MS
    assert series.roll(START + 3 * MINUTE_MS + 1) == []


def test_older_history_is_loaded_when_asked_for_and_reaches_a_bound() -> None:
    series = CandleSeries(START, 1000, recorded)
    assert series.minutes[0].open_ms == START - DAY_MS - 60 * MINUTE_MS
    days = series.rows("1d", 0)
    assert len(days) == 46
    assert days[0].volume == 14_400
    week = series.rows("1w", START - 8 * DAY_MS)[-1]
    assert week.open_ms == bucket(START, "1w") == START - 3 * DAY_MS


def test_the_day_is_the_last_24_hours() -> None:
    series = CandleSeries(START, 1000, recorded)
    assert series.day().volume == 1439 * 10
    series.trade(2000, 1, True, 1)
    day = series.day()
    assert (day.high, day.low, day.open, day.close, day.volume) == (2000, 990, 1000, 2000, 14_391)
