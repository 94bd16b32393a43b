"""Signals and the loss of the terminal: the session outlives its front end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tui_trader.runtime.session import Session

TERMINAL_CLOSED = "terminal closed"
_HANDLED = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class SignalHandlers:
    """What each signal does. Installed before the console starts; a session is attached once there is one.

    SIGHUP: the console leaves, the session trades on headless. SIGTERM, SIGINT: the session stops within 5 s and
    leaves positions protected. SIGUSR1: kill switch. ``app_exit(kind, words)`` makes a console leave; kind is
    "terminal_gone" or "quit".
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, session: Session | None, app_exit: Callable[[str, str], None] | None
    ) -> None:
        self._loop = loop
        self._session = session
        self.app_exit = app_exit
        self._hung_up = False
        self._stop_reason = ""
        self._kill_reason = ""
        self._stops: set[asyncio.Task[None]] = set()
        self._kills: set[asyncio.Task[bool]] = set()
        for number in _HANDLED:
            loop.add_signal_handler(number, self._on_signal, number)

    def attach(self, session: Session) -> None:
        """Make ``session`` the one that signals reach, including those that came while it was starting."""
        self._session = session
        if self._hung_up:
            session.detach(TERMINAL_CLOSED)
        if self._kill_reason:
            self._kill()
        if self._stop_reason:
            self._stop()

    def remove(self) -> None:
        """Give the signals back."""
        for number in _HANDLED:
            self._loop.remove_signal_handler(number)

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._hang_up()
        elif number == signal.SIGUSR1:
            self._kill_reason = "signal SIGUSR1"
            self._kill()
        else:
            self._stop_reason = f"signal {signal.Signals(number).name}"
            self._stop()
            self._leave("quit", self._stop_reason)

    def _kill(self) -> None:
        """Latch it, also for the next start when this one is not far enough to do anything about it."""
        if self._session is None or self._kills:
            return
        task = self._loop.create_task(self._session.latch_kill(self._kill_reason))
        self._kills.add(task)
        task.add_done_callback(self._kills.discard)

    def _hang_up(self) -> None:
        if self._hung_up:
            return
        self._hung_up = True
        release_terminal()
        if self._session is not None:
            self._session.detach(TERMINAL_CLOSED)
        self._leave("terminal_gone", TERMINAL_CLOSED)

    def _leave(self, kind: str, words: str) -> None:
        leave, self.app_exit = self.app_exit, None
        if leave is not None:
            leave(kind, words)

    def _stop(self) -> None:
        if self._session is None or self._stops:
            return
        task = self._loop.create_task(self._session.stop(self._stop_reason))
        self._stops.add(task)


def install_handlers(
    loop: asyncio.AbstractEventLoop, session: Session | None, app_exit: Callable[[str, str], None] | None
) -> SignalHandlers:
    """Install the handlers of ``SignalHandlers`` in ``loop``; call before a console starts."""
    return SignalHandlers(loop, session, app_exit)


def release_terminal() -> None:
    """Point standard input, output and error at /dev/null, so that a terminal that is gone raises nowhere.

    A new session of the operating system is begun where that is allowed (not for the leader of a process group), so
    that later hang-ups of the old terminal do not arrive; where it is not, the SIGHUP handler stays and ignores them.
    """
    null = os.open(os.devnull, os.O_RDWR)
    try:
        for number in (0, 1, 2):
            os.dup2(null, number)
    finally:
        if null > 2:
            os.close(null)
    with contextlib.suppress(PermissionError):
        os.setsid()


async def continue_headless(session: Session, words: str = TERMINAL_CLOSED, *, release: bool = True) -> str:
    """Go on after the console has gone, until stopped; returns why it ended. ``release`` gives the terminal back."""
    session.detach(words)
    if release:
        release_terminal()
    return await session.run_until_stopped()


async def run_headless(session: Session) -> str:
    """Start ``session`` without a console and run it until a signal or the control socket stops it."""
    handlers = install_handlers(asyncio.get_running_loop(), None, None)
    session.headless = True
    handlers.attach(session)
    try:
        await session.start()
        return await session.run_until_stopped()
    finally:
        handlers.remove()
