"""The budget of requests and orders that a venue allows, so that it is never exceeded (I13).

Own counts run ahead of the venue's headers and are corrected by them. Entries and most reads stop where the reserve
begins; reads of the account may use its first part, and the last is for exits alone: looking again and again must not
keep a stop from leaving. Nothing waits here: what does not fit is refused with ``RateLimited``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from math import ceil

from tui_trader.errors import OverBudget, RateLimited


class Urgency(IntEnum):
    """How much may be used: books, which a broken stream asks for again and again, half; reads of the account the first
    part of the reserve; orders that protect or close all of it."""

    BOOK = 0
    NORMAL = 1
    ACCOUNT = 2
    EXIT = 3


_EXITS_ALONE = 0.4
"""The part of the reserve that only exits may use."""
_NOT_FOR_BOOKS = 0.5
"""The share of the limits that books leave to everything else."""


class _Window:
    """Requests in a fixed window of ``seconds``; the venue counts in the same way, from its own minute, which begins
    where its count falls back.
    """

    __slots__ = ("limit", "seconds", "started", "told", "used")

    def __init__(self, limit: int, seconds: float) -> None:
        self.limit = limit
        self.seconds = seconds
        self.started = 0.0
        self.told = 0
        self.used = 0

    def hear(self, value: int, now: float) -> None:
        """Take the venue's own count. Much less than it said before means that its window is a new one."""
        self.roll(now)
        if 2 * value < self.told:
            self.started, self.used = now, value
        self.used = max(self.used, value)
        self.told = value

    def roll(self, now: float) -> None:
        if now - self.started >= self.seconds:
            self.started = now
            self.used = 0

    def left_s(self, now: float) -> float:
        return max(0.0, self.started + self.seconds - now)


class Budget:
    """Weight a minute, orders in 10 s and a minute. ``clock`` gives monotonic seconds of real time."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        weight: int = 2400,
        orders_10s: int = 300,
        orders_1m: int = 1200,
        reserve: float = 0.25,
    ) -> None:
        self._clock = clock
        self.reserve = reserve
        self._weight = _Window(weight, 60.0)
        self._orders_10s = _Window(orders_10s, 10.0)
        self._orders_1m = _Window(orders_1m, 60.0)
        self._silent_until = 0.0

    def limits(self, *, weight: int | None = None, orders_10s: int | None = None, orders_1m: int | None = None) -> None:
        """Take the venue's own limits (exchangeInfo)."""
        for window, value in ((self._weight, weight), (self._orders_10s, orders_10s), (self._orders_1m, orders_1m)):
            if value is not None and value > 0:
                window.limit = value

    @property
    def silent_ms(self) -> int:
        """How long nothing may be sent any more, in ms; 0 when sending is allowed."""
        return max(0, ceil((self._silent_until - self._clock()) * 1000))

    @property
    def used(self) -> float:
        """Share of the weight used in the running minute."""
        self._weight.roll(self._clock())
        return self._weight.used / self._weight.limit

    def take(self, weight: int, *, orders: int = 0, urgency: Urgency = Urgency.NORMAL) -> None:
        """Count a request before it is sent. Raises ``RateLimited`` when the venue asked for silence, ``OverBudget``
        when it would exceed what may be used.
        """
        silent = self.silent_ms
        if silent:
            raise RateLimited(
                f"not sent: the venue asked for silence, {silent / 1000:.1f} s left. It will be possible then.",
                retry_after_ms=silent,
            )
        now = self._clock()
        costs = ((self._weight, weight), (self._orders_10s, orders), (self._orders_1m, orders))
        kept = self._kept(urgency)
        what = "the account and exits" if urgency is Urgency.BOOK else "exits"
        for window, cost in costs:
            window.roll(now)
            if cost and window.used + cost > window.limit * (1.0 - kept):
                wait = ceil(window.left_s(now) * 1000)
                raise OverBudget(
                    f"not sent: {window.used} of {window.limit} requests in {window.seconds:.0f} s are used"
                    + (f" and {kept:.0%} stay reserved for {what}" if kept else "")
                    + f", free again in {wait / 1000:.1f} s.",
                    retry_after_ms=max(wait, 1),
                )
        for window, cost in costs:
            window.used += cost

    def _kept(self, urgency: Urgency) -> float:
        """The share of the limits that others than ``urgency`` keep for themselves."""
        if urgency is Urgency.EXIT:
            return 0.0
        if urgency is Urgency.BOOK:
            return max(_NOT_FOR_BOOKS, self.reserve)
        return self.reserve * _EXITS_ALONE if urgency is Urgency.ACCOUNT else self.reserve

    def heard(self, headers: Mapping[str, str]) -> None:
        """Correct the counts by the venue's headers (names in any case); they lower an own count only where the venue's
        window began anew.
        """
        lowered = {name.lower(): value for name, value in headers.items()}
        now = self._clock()
        for name, window in (
            ("x-mbx-used-weight-1m", self._weight),
            ("x-mbx-order-count-10s", self._orders_10s),
            ("x-mbx-order-count-1m", self._orders_1m),
        ):
            value = lowered.get(name, "")
            if value.isascii() and value.isdigit() and len(value) < 9:
                window.hear(int(value), now)

    def silence(self, retry_after_s: float) -> None:
        """Send nothing for ``retry_after_s``; a longer silence stands."""
        self._silent_until = max(self._silent_until, self._clock() + retry_after_s)
