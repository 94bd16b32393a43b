"""A process that stood still: what it heard before is old, nothing is opened on it (the clock rows of the matrix)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.runtime.test_session import enter, options, resting_stops, simulated, trading, until
from tui_trader import clock
from tui_trader.runtime import wake
from tui_trader.runtime.wake import Wake


class Times:
    """Two clocks moved by hand."""

    def __init__(self) -> None:
        self.mono, self.wall = 100.0, 1_790_000_000_000

    def monotonic(self) -> float:
        return self.mono

    def wall_ms(self) -> int:
        return self.wall

    def go(self, mono: float, wall: float | None = None) -> None:
        self.mono += mono
        self.wall += int((mono if wall is None else wall) * 1000)


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> Times:
    found = Times()
    monkeypatch.setattr(wake, "clock", found)
    return found


def test_only_a_long_pause_is_a_standstill(times: Times) -> None:
    found = Wake(5.0)
    for seconds, still in ((0.1, 0), (4.9, 0), (5.5, 5.5), (0.1, 0), (600.0, 600.0)):
        times.go(seconds)
        assert found.stood_still() == pytest.approx(still)


def test_a_machine_that_slept_is_seen_by_the_wall_clock(times: Times) -> None:
    found = Wake(5.0)
    times.go(0.1, 3_600.0)
    assert found.stood_still() == pytest.approx(3_600.0)
    times.go(0.1)
    assert found.stood_still() == 0


def test_a_wall_clock_set_back_or_slewed_is_no_standstill(times: Times) -> None:
    found = Wake(5.0)
    times.go(0.1, -7_200.0)
    assert found.stood_still() == 0
    for _ in range(100):
        times.go(0.1, 0.5)
        assert found.stood_still() == 0


async def test_after_a_standstill_no_entries_until_the_account_was_compared_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wall clock steps an hour (a sleep, or somebody sets the date): blind, new streams, compared, then on."""
    async with simulated() as exchange, trading(options(exchange, tmp_path)) as session:
        await enter(session)
        stops = resting_stops(exchange)
        snapshots = session._trader.reconciler.snapshots  # type: ignore[union-attr]
        connections = exchange.server.connections
        now, wall_ms = session.engine.state.now, clock.wall_ms
        codes: list[set[str]] = []
        process = session.engine.process

        def watched(event: object) -> object:
            found = process(event)  # type: ignore[arg-type]
            codes.append({refusal.code for refusal in session.engine.state.blocks()})
            return found

        session.engine.process = watched  # type: ignore[method-assign, assignment]
        monkeypatch.setattr(clock, "wall_ms", lambda: wall_ms() + 3_600_000)
        await until(lambda: any("blind" in found for found in codes))
        first = next(i for i, found in enumerate(codes) if "blind" in found)
        assert first < 3, "before anything that came in meanwhile could open a position"
        await until(lambda: codes and not codes[-1])
        compared = [found for found in codes if "reconciling" in found]
        assert compared, "entries waited for the account"
        assert session._trader.reconciler.snapshots > snapshots  # type: ignore[union-attr]
        assert not set(connections) & set(exchange.server.connections)
        assert resting_stops(exchange) == stops
        assert session.engine.state.now - now < 3_600_000, "the venue's time did not step"
        session.log.flush()
        assert "stood still" in session.log.path.read_text()
        shown = session.view("BTCUSDT", "1m")
        assert shown is not None
        assert any("stood still" in row.text for row in shown.log), "the console tells it, too"
        await asyncio.sleep(0)
