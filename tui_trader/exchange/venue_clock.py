"""The venue's time: a clock that starts where it is told and may run faster than the wall clock."""

from collections.abc import Callable

from tui_trader import clock

_FUNDING_MS = 8 * 3_600_000
_AFTER_FUNDING_MS = 25 * 60_000


class ExchangeClock:
    """Venue now = start + (monotonic - monotonic at creation) x speed, in ms since the epoch."""

    def __init__(self, start_ms: int, speed: float = 1.0, monotonic: Callable[[], float] = clock.monotonic) -> None:
        self.start_ms = start_ms
        self.speed = speed
        self._monotonic = monotonic
        self._origin = monotonic()

    def now_ms(self) -> int:
        """Return the venue's time."""
        return self.start_ms + int((self._monotonic() - self._origin) * 1000 * self.speed)


class ManualClock(ExchangeClock):
    """A venue clock that moves only by hand."""

    def __init__(self, start_ms: int) -> None:
        super().__init__(start_ms, 1.0, lambda: 0.0)
        self._now_ms = start_ms

    def now_ms(self) -> int:
        """Return the venue's time."""
        return self._now_ms

    def advance(self, ms: int) -> None:
        """Move the time forward."""
        self._now_ms += ms


def align_start(wall_ms: int) -> int:
    """Return the latest "funding time + 25 min" not after `wall_ms`, so that no funding window is near the start."""
    return (wall_ms - _AFTER_FUNDING_MS) // _FUNDING_MS * _FUNDING_MS + _AFTER_FUNDING_MS
