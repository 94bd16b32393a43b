"""Small answers: candles and brackets, possible or refused."""

from __future__ import annotations

import pytest

from tests.venues.binance.test_instruments import ROW
from tui_trader.errors import VenueUnreachable
from tui_trader.venues.binance.answers import Bracket, candle, with_bracket
from tui_trader.venues.binance.instruments import ExchangeInfo, instruments

GOOD = [60_000, "1.5", "2", "1", "1.7", "10", 119_999]


def test_a_candle_is_read() -> None:
    row = candle(GOOD)
    assert (row.open_ms, row.open, row.high, row.low, row.close, row.volume) == (60_000, 1.5, 2.0, 1.0, 1.7, 10.0)


@pytest.mark.parametrize("place", range(1, 6))
@pytest.mark.parametrize("value", ["NaN", "Infinity", "-1", "x", None, []])
def test_an_impossible_candle_is_asked_again(place: int, value: object) -> None:
    with pytest.raises(VenueUnreachable):
        candle([*GOOD[:place], value, *GOOD[place + 1 :]])


@pytest.mark.parametrize("row", [[], [1], ["x", *GOOD[1:]], [None, *GOOD[1:]], [float("inf"), *GOOD[1:]]])
def test_a_broken_row_is_asked_again(row: list[object]) -> None:
    with pytest.raises(VenueUnreachable):
        candle(row)


@pytest.mark.parametrize(
    "bracket", [None, Bracket(0, 0.01), Bracket(501, 0.01), Bracket(20, float("nan")), Bracket(20, 1.0)]
)
def test_an_impossible_bracket_changes_nothing(bracket: Bracket | None) -> None:
    row = instruments(ExchangeInfo(symbols=[ROW]), [])[0][0]
    assert with_bracket(row, bracket) is row
