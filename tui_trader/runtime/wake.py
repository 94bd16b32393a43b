"""Notices that the process stood still: stopped by a signal, starved, or asleep with its machine."""

from __future__ import annotations

from tui_trader import clock


class Wake:
    """Asked often; tells how long nobody asked. A sleep of the whole machine stops the monotonic clock on some systems,
    so the wall clock is compared, too; a wall clock that is set forward looks the same and is treated the same.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit = limit_s
        self._asked = clock.monotonic()
        self._ahead_ms = clock.wall_ms() - self._asked * 1000

    def stood_still(self) -> float:
        """Seconds for which the process stood still since the last question; 0 while that is under the limit."""
        now = clock.monotonic()
        ahead_ms = clock.wall_ms() - now * 1000
        gap, stepped = now - self._asked, (ahead_ms - self._ahead_ms) / 1000
        self._asked, self._ahead_ms = now, ahead_ms
        still = max(gap, stepped + gap if stepped > self._limit else 0.0)
        return still if still > self._limit else 0.0
