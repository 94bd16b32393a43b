"""Closed candles over REST: only those that are surely closed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from tui_trader.clock import VenueClock
from tui_trader.venues.binance.candles import fetch_candles
from tui_trader.venues.binance.rest import Rest

MINUTE = 60_000
NOON = 1_748_001_600_000 // 3_600_000 * 3_600_000


class At(VenueClock):
    def __init__(self, now_ms: int, rate: float) -> None:
        super().__init__()
        self.rate, self._now = rate, now_ms

    def now_ms(self) -> int:
        return self._now


class Venue:
    """Answers as of ``now_ms``: a minute that is not over has the volume it has had so far."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms

    async def read(self, kind: object, path: str, params: Mapping[str, Any], *, weight: int) -> list[list[Any]]:
        newest = min(self.now_ms, params["endTime"]) // MINUTE * MINUTE
        opens = [newest - MINUTE * back for back in reversed(range(params["limit"]))]
        return [[at, "1", "1", "1", "1", str(min(self.now_ms - at, MINUTE))] for at in opens]


@pytest.mark.parametrize(("rate", "behind_ms"), [(1.0, 400), (20.0, 8_000)])
@pytest.mark.parametrize("after_ms", [0, 100, 900, 5_000, 59_999])
async def test_a_minute_that_may_not_be_over_at_the_venue_is_left_to_the_stream(
    rate: float, behind_ms: int, after_ms: int
) -> None:
    now = NOON + after_ms
    found = await fetch_candles(cast(Rest, Venue(now - behind_ms)), At(now, rate), "BTCUSDT", 30, "1m")
    assert len(found) == 30
    assert {candle.volume for candle in found} == {MINUTE}
    assert found[-1].open_ms >= NOON - 2 * MINUTE


async def test_a_minute_that_is_surely_over_is_there() -> None:
    (found,) = await fetch_candles(cast(Rest, Venue(NOON + 1_500)), At(NOON + 1_500, 1.0), "BTCUSDT", 1, "1m")
    assert found.open_ms == NOON - MINUTE
