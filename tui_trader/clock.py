"""The only reader of the system clock.

``VenueClock`` gives the venue's time: for a real venue wall time plus a measured offset; for the simulated exchange a
clock that may run ``rate`` times as fast. Everything else in the product takes times as numbers or takes one of these.
"""

from __future__ import annotations

import datetime as _dt
import time as _time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Source(Protocol):
    """Another passing of time than the system's: the drill's virtual one."""

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    def wall_ns(self) -> int:
        """Wall time, UTC, in ns since the epoch."""
        ...


class _System:
    """The operating system's."""

    monotonic = staticmethod(_time.monotonic)
    wall_ns = staticmethod(_time.time_ns)


_SYSTEM: Source = _System()
_source: Source = _SYSTEM


@contextmanager
def running_on(source: Source) -> Iterator[None]:
    """Within the block this whole process lives by ``source``; blocks do not nest and are for one thread.

    Raises ``RuntimeError`` inside another block.
    """
    global _source  # noqa: PLW0603 - one process has one time
    if _source is not _SYSTEM:
        raise RuntimeError("the clock already runs on another source")
    _source = source
    try:
        yield
    finally:
        _source = _SYSTEM


class _Held:
    """The system's clock, the monotonic one standing still."""

    wall_ns = staticmethod(_time.time_ns)

    def __init__(self, mono: float) -> None:
        self._mono = mono

    def monotonic(self) -> float:
        return self._mono


@contextmanager
def held_at(mono: float) -> Iterator[None]:
    """Within the block, which must not await, the monotonic clock stands at ``mono``; on another source it does not."""
    global _source  # noqa: PLW0603 - one process has one time
    if _source is not _SYSTEM:
        yield
        return
    _source = _Held(mono)
    try:
        yield
    finally:
        _source = _SYSTEM


def monotonic() -> float:
    """Seconds of a clock that never goes back; for measuring durations in this process."""
    return _source.monotonic()


def perf_ns() -> int:
    """Nanoseconds of the finest clock; for measuring latencies in this process."""
    return _time.perf_counter_ns() if _source is _SYSTEM else int(_source.monotonic() * 1e9)


def wall_ms() -> int:
    """Wall time, UTC, in ms since the epoch."""
    return _source.wall_ns() // 1_000_000


def wall_ns() -> int:
    """Wall time, UTC, in ns since the epoch."""
    return _source.wall_ns()


def iso_utc(ms: int) -> str:
    """``ms`` since the epoch as ISO 8601 UTC with milliseconds, for logs and exports."""
    return _dt.datetime.fromtimestamp(ms / 1000, tz=_dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_utc(text: str) -> int:
    """An ISO 8601 date or time as ms since the epoch; UTC unless it says otherwise. Raises ValueError."""
    moment = _dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=_dt.UTC)
    return int(moment.timestamp() * 1000)


class VenueClock:
    """Estimates the venue's time from this process's monotonic clock.

    Until the first ``sync`` it equals wall time. ``rate`` is how many venue milliseconds pass per real millisecond.
    """

    def __init__(self) -> None:
        self.rate = 1.0
        self._anchor_venue = float(wall_ms())
        self._anchor_mono = monotonic()
        self.synced = False

    def now_ms(self) -> int:
        """The venue's time, ms since the epoch."""
        return int(self._anchor_venue + (monotonic() - self._anchor_mono) * 1000.0 * self.rate)

    def off_by(self, server_ms: int, sent_mono: float, received_mono: float) -> float:
        """How far a server time read between two monotonic instants is ahead of this clock, in real ms."""
        since_anchor = (sent_mono + received_mono) / 2 - self._anchor_mono
        return (server_ms - self._anchor_venue) / self.rate - since_anchor * 1000.0

    def sync(self, server_ms: int, sent_mono: float, received_mono: float, rate: float = 1.0) -> float:
        """Anchor to a server time read between two monotonic instants; returns the correction made in real ms.

        The server's stamp is taken to belong to the middle of the round trip.
        """
        correction = self.off_by(server_ms, sent_mono, received_mono) * self.rate / max(rate, 1e-9)
        first = not self.synced
        self.rate = rate
        self._anchor_venue = float(server_ms)
        self._anchor_mono = (sent_mono + received_mono) / 2
        self.synced = True
        return 0.0 if first else correction
