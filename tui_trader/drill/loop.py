"""An asyncio loop in virtual time: when nothing is ready, time jumps to the next timer. No sockets, threads or clocks.

The same callbacks in the same order for the same program: timers of one instant run in the order that the heap gives
them, which depends on nothing but what was scheduled before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, TypeVar

from tui_trader import clock

T = TypeVar("T")


class StalledError(Exception):
    """Nothing is ready and no timer is set: the simulation would wait for ever."""


class ForbiddenError(Exception):
    """Something in the simulation asked for threads or the real network."""


class _Selector:
    """What ``BaseEventLoop`` waits on; here waiting is jumping."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        """Let ``timeout`` seconds pass at once."""
        if timeout is None:
            raise StalledError("nothing is ready and no timer is set: the simulation would wait for ever")
        if timeout > 0:
            self._loop.pass_time(timeout)
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """Begins at ``start_ms`` of wall time, monotonic 0. Implements ``clock.Source``."""

    def __init__(self, start_ms: int) -> None:
        super().__init__()
        self._now = 0.0
        self._start_ns = start_ms * 1_000_000
        self._selector = _Selector(self)

    def time(self) -> float:
        """Virtual seconds since the beginning."""
        return self._now

    def monotonic(self) -> float:
        """See ``clock.Source``."""
        return self._now

    def wall_ns(self) -> int:
        """See ``clock.Source``."""
        return self._start_ns + round(self._now * 1e6) * 1_000

    def pass_time(self, seconds: float) -> None:
        """Jump ahead."""
        self._now += seconds

    def _process_events(self, event_list: list[Any]) -> None:
        """There are no events of files."""

    def _write_to_self(self) -> None:
        """There is no other thread that could have to wake this one."""

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> NoReturn:  # type: ignore[override]  # never returns
        """Threads would make the order of things depend on the machine."""
        raise ForbiddenError(f"a thread was asked for in the simulation ({getattr(func, '__name__', func)})")

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> NoReturn:
        """There is no network."""
        raise ForbiddenError(f"the network was asked for in the simulation ({host}:{port})")


def run_virtual(start_ms: int, main: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run ``main(loop)`` to its end in virtual time; the whole process lives by that time meanwhile.

    What is still running then is cancelled. Raises what ``main`` raises, and ``StalledError``.
    """
    loop = VirtualLoop(start_ms)
    try:
        with clock.running_on(loop):
            try:
                return loop.run_until_complete(main(loop))
            finally:
                _cancel_all(loop)
                loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


def _cancel_all(loop: VirtualLoop) -> None:
    pending = [task for task in asyncio.all_tasks(loop) if not task.done()]
    for task in pending:
        task.cancel()
    if pending:
        loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
