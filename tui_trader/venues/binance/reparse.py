"""Recorded frames made into events once more, by the code that did it live; no socket, no clock of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tui_trader.clock import VenueClock
from tui_trader.core.events import Event
from tui_trader.core.settings import DataSettings
from tui_trader.secret import Secret
from tui_trader.venues.binance.account import Account
from tui_trader.venues.binance.feeds import Feeds
from tui_trader.venues.binance.rest import Rest
from tui_trader.venues.binance.taped import CALLS, PRIVATE
from tui_trader.venues.ratelimit import Budget

_NOWHERE = "http://127.0.0.1:1"


class _Told(VenueClock):
    """The venue's clock as it stood when what is read now was heard."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.told_ms = 0

    def now_ms(self) -> int:
        return self.told_ms


class FrameReader:
    """Takes what a ``Tap`` was told, in order, and gives the events that follow from each piece.

    Run it under ``clock.running_on`` a source whose ``monotonic`` is the recorded one: staleness is judged by it.
    """

    def __init__(self, data: DataSettings, rate: float) -> None:
        self._clock = _Told(rate)
        self._found: list[Event] = []
        self._feeds = Feeds(
            self._found.append,
            self._clock,
            stale_after_s=data.stale_after_s,
            soon=_later,
            ask_snapshot=_later,
        )
        closed = Rest(
            _NOWHERE,
            "",
            Secret(""),
            recv_window_ms=0,
            clock=self._clock,
            budget=Budget(lambda: 0.0, reserve=0.25),
        )
        self._account = Account(self._found.append, self._clock, closed, lambda: None)

    def frame(self, route: str, raw: bytes, venue_ms: int) -> list[Event]:
        """The events of one frame; those of quotes and trades follow with the next ``flush``."""
        self._clock.told_ms = venue_ms
        take = self._account.on_frame if route == PRIVATE else self._feeds.on_frame
        take(raw)
        return self._drain()

    def call(self, name: str, arguments: Sequence[Any], venue_ms: int) -> list[Event]:
        """The events of one of the feeds' ``CALLS``. Raises ``ValueError`` for another name."""
        if name not in CALLS:
            raise ValueError(f"{name!r} is no call of the feeds")
        self._clock.told_ms = venue_ms
        getattr(self._feeds, name)(*arguments)
        return self._drain()

    def _drain(self) -> list[Event]:
        found, self._found[:] = list(self._found), []
        return found


def _later(what: object) -> None:
    """Nothing: flushes and books come from the recording."""
    del what
