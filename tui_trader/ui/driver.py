"""The terminal driver that survives its terminal: when reading or writing fails, the console is told and leaves."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, TextIO, cast

from textual.drivers.linux_driver import LinuxDriver

from tui_trader.ui.messages import TerminalGone

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.app import App


class _GuardedFile:
    """The terminal's output, where a write to a terminal that is gone is told once instead of raised."""

    def __init__(self, file: TextIO, gone: Callable[[], None]) -> None:
        self._file = file
        self._gone = gone
        self._dead = False

    def write(self, text: str) -> int:
        """Write, or tell that the terminal is gone."""
        if not self._dead:
            try:
                return self._file.write(text)
            except (OSError, ValueError):
                self._dead = True
                self._gone()
        return len(text)

    def flush(self) -> None:
        """Flush, or tell that the terminal is gone."""
        if not self._dead:
            try:
                self._file.flush()
            except (OSError, ValueError):
                self._dead = True
                self._gone()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _screen(usual: TextIO) -> TextIO:
    """Textual draws on standard error; where that goes to a file ("2> errors") standard output is the terminal."""
    out = sys.__stdout__
    return out if out is not None and not usual.isatty() and out.isatty() else usual


class ConsoleDriver(LinuxDriver):
    """Textual's driver with guarded output and input."""

    def __init__(
        self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._file = cast("Any", _GuardedFile(_screen(cast("TextIO", self._file)), self._tell))
        self._told = False

    def _tell(self) -> None:
        """Called from the input and the output thread."""
        if self._told:
            return
        self._told = True
        loop = self._loop
        if loop is not None and not loop.is_closed():
            asyncio.run_coroutine_threadsafe(self._post(), loop)

    def _sigcont_application(self, *_: object) -> None:
        """Go on after a stop. In the background of a shell the terminal is another's: there the console leaves.

        Textual would stop the whole process once more until somebody brings it to the foreground, and the session with
        it: nothing would watch the positions.
        """
        if not self._in_background():
            super()._sigcont_application()
            return
        for number in (signal.SIGTTOU, signal.SIGTTIN):
            signal.signal(number, signal.SIG_IGN)
        self.attrs_before = None  # the shell has set the terminal as it wants it
        self._tell()

    def _in_background(self) -> bool:
        try:
            return os.tcgetpgrp(self.fileno) != os.getpgrp()
        except OSError:
            return False

    async def _post(self) -> None:
        self._app.post_message(TerminalGone())

    def run_input_thread(self) -> None:
        """Read until told to stop; the end of the input, or an error of it, means that the terminal is gone."""
        try:
            super().run_input_thread()
        except OSError:
            self._tell()
            return
        if not self.exit_event.is_set():
            self._tell()
