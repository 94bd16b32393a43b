"""The venue's time, estimated from this process's monotonic clock."""

from __future__ import annotations

import pytest

from tui_trader import clock
from tui_trader.clock import VenueClock, iso_utc


def test_iso_utc_has_milliseconds_and_zone() -> None:
    assert iso_utc(0) == "1970-01-01T00:00:00.000Z"
    assert iso_utc(1_790_000_000_123) == "2026-09-21T14:13:20.123Z"


def test_clocks_advance() -> None:
    assert clock.monotonic() <= clock.monotonic()
    assert clock.perf_ns() <= clock.perf_ns()
    assert abs(clock.wall_ns() // 1_000_000 - clock.wall_ms()) < 10_000


def test_a_stamp_belongs_to_the_middle_of_the_round_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    venue = VenueClock()
    assert not venue.synced
    assert venue.sync(1_000_000, 100.0, 102.0) == 0.0
    now[0] = 102.0
    assert venue.synced
    assert venue.now_ms() == 1_001_000


def test_a_fast_clock_and_its_correction_in_real_ms(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    venue = VenueClock()
    venue.sync(1_000_000, 0.0, 0.0, rate=20.0)
    now[0] = 10.0
    assert venue.now_ms() == 1_200_000
    assert venue.sync(1_200_100, 10.0, 10.0, rate=20.0) == pytest.approx(5.0)
    assert venue.now_ms() == 1_200_100


def test_a_held_clock_stands_still_and_goes_on_afterwards() -> None:
    before = clock.monotonic()
    with clock.held_at(before - 5.0), clock.held_at(7.0):
        assert clock.monotonic() == clock.monotonic() == before - 5.0
        assert clock.wall_ms() > 1_700_000_000_000
    assert clock.monotonic() >= before
