"""A terminal for a test: a real pty, the grammar of what may come out of it, and a screen to draw it on."""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
from pathlib import Path

import pyte

from tui_trader import clock
from tui_trader.core.plain import plain

ROOT = Path(__file__).parents[2]
_TOKEN = re.compile(
    r"(?P<text>[^\x00-\x1f\x7f-\x9f]+)"
    r"|(?P<style>\x1b\[[0-9;]*m)"
    r"|(?P<move>\x1b\[\d{1,3};\d{1,3}H)"
    r"|(?P<line>[\r\n])"
    r"|(?P<mode>\x1b\[\?(?:25|7|1000|1003|1004|1006|1015|1016|1049|2004|2026|2048)[hl])"
    r"|(?P<ask>\x1b\[\?(?:2026|2048)\$p|\x1b\[>\d{1,2}u|\x1b\[<u)"
    r"|(?P<pointer>\x1b\]22;(?:default|pointer|text|grab|grabbing|not-allowed)\x07)"
    r"|(?P<bell>\x07)"
)
"""All that Textual's driver says by itself: no OSC but the mouse pointer's shape, no DCS, APC, PM or SOS, no eight-bit
control, no other CSI."""
_PALETTE = "🔎"
"""The sign of Textual's own search field."""
_CUT = re.compile(r"\x1b(\[[0-9;?<>$]*|\][0-9a-z;-]{0,20})?\Z")


class ForeignBytesError(AssertionError):
    """Something reached the terminal that the console does not say by itself."""


class Judge:
    """Hears the bytes that a console sends to a terminal and draws them on a screen.

    Raises ``ForeignBytesError`` for any byte that is not the console's own.
    """

    def __init__(self, columns: int, rows: int) -> None:
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.Stream(self._screen)
        self._decode = codecs.getincrementaldecoder("utf-8")("strict")
        self._left = ""

    @property
    def rows(self) -> list[str]:
        """What the screen shows, without blanks at the ends of its rows."""
        return [row.rstrip() for row in self._screen.display]

    def hear(self, data: bytes) -> None:
        """The next bytes; what is cut at their end waits for the rest."""
        try:
            text = self._left + self._decode.decode(data)
        except UnicodeDecodeError as error:
            raise ForeignBytesError(f"bytes that are no UTF-8: {error}") from error
        cut = _CUT.search(text)
        self._left = text[cut.start() :] if cut else ""
        self._take(text[: cut.start()] if cut else text)

    def _take(self, text: str) -> None:
        at = 0
        while at < len(text):
            token = _TOKEN.match(text, at)
            if token is None:
                raise ForeignBytesError(f"{text[max(0, at - 30) : at + 30]!r}")
            at = token.end()
            kind, found = token.lastgroup, token.group()
            own = found.replace(_PALETTE, "")
            if kind == "text" and plain(own) != own:
                raise ForeignBytesError(f"signs of doubtful width: {found[:80]!r}")
            if kind in ("text", "style", "move", "line"):
                self._stream.feed(found)


class Terminal:
    """Runs ``python -m module args IN OUT`` on a pty of ``columns`` by ``rows``, with a pipe of JSON lines each way."""

    def __init__(self, module: str, columns: int, rows: int) -> None:
        self.size = (columns, rows)
        self._judge = Judge(columns, rows)
        hear, self._commands = os.pipe()
        self._answers, tell = os.pipe()
        self.pid, self._pty = pty.fork()
        if self.pid == 0:
            os.chdir(ROOT)
            for descriptor in (hear, tell):
                os.set_inheritable(descriptor, True)
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            usual = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TP_LOCK_DIR") if name in os.environ}
            terminal = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
            os.execve(sys.executable, [sys.executable, "-m", module, str(hear), str(tell)], {**usual, **terminal})
        for descriptor in (hear, tell):
            os.close(descriptor)

    def show(self, scene: str, texts: list[str], keys: list[str]) -> None:
        """Show a hostile picture and compare what the terminal shows with what the console meant to draw.

        Raises ``ForeignBytesError`` for any byte that is not the console's own, ``AssertionError`` for a bent layout.
        """
        meant = self._ask({"scene": scene, "texts": texts, "keys": keys})
        until = clock.monotonic() + 5
        while not self._shows(meant) and clock.monotonic() < until:
            # A picture may still have been on its way when it was described.
            meant = self._ask({"scene": "", "texts": [], "keys": []})
        shown = self._judge.rows
        bent = [(number, a, b) for number, (a, b) in enumerate(zip(shown, meant, strict=True)) if a != b]
        assert not bent, f"the terminal shows something else than the console drew: {bent[:3]}"

    def _shows(self, meant: list[str]) -> bool:
        """Whether the terminal shows ``meant`` when nothing more comes."""
        while select.select([self._pty], [], [], 0.1)[0]:
            self._read()
        return self._judge.rows == meant

    def _ask(self, command: dict[str, object]) -> list[str]:
        """Have a command done; returns the rows as the console believes to have drawn them."""
        os.write(self._commands, json.dumps(command).encode() + b"\n")
        answer = b""
        until = clock.monotonic() + 30
        while not answer.endswith(b"\n"):
            ready, _, _ = select.select([self._answers, self._pty], [], [], max(0.0, until - clock.monotonic()))
            if self._pty in ready:
                self._read()
            if self._answers in ready:
                chunk = os.read(self._answers, 1 << 20)
                assert chunk, "the console has died"
                answer += chunk
            assert ready, "the console does not answer"
        rows = [row.rstrip() for row in json.loads(answer)["rows"]]
        assert len(rows) == self.size[1], answer[:300]
        return rows

    def _read(self) -> None:
        self._judge.hear(os.read(self._pty, 1 << 16))

    def close(self) -> None:
        """End the console; raises when it did not end by itself, or said something foreign while it ended."""
        os.close(self._commands)
        ended = 0
        try:
            until = clock.monotonic() + 10
            while not ended and clock.monotonic() < until:
                # Reading the end of a pty is an error.
                with contextlib.suppress(OSError):
                    if select.select([self._pty], [], [], 0.05)[0]:
                        self._read()
                ended = os.waitpid(self.pid, os.WNOHANG)[0]
            assert ended, "the console did not end by itself"
        finally:
            if not ended:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
            os.close(self._pty)
            os.close(self._answers)
