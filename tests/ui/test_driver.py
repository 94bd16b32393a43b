"""A terminal that goes away: nothing is raised, the console is told once."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import sys
from pathlib import Path

from tui_trader.ui.driver import _GuardedFile


class _Broken:
    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")

    def flush(self) -> None:
        raise OSError(5, "Input/output error")


def test_writing_to_a_dead_terminal_tells_once() -> None:
    told: list[bool] = []
    file = _GuardedFile(_Broken(), lambda: told.append(True))  # type: ignore[arg-type]
    assert file.write("abc") == 3
    file.flush()
    assert file.write("d") == 1
    assert told == [True]


_SCRIPT = """
import asyncio, signal, sys
from pathlib import Path
from tests.ui.sample import FakeSession
from tui_trader.ui.app import run_console

async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: None)
    session = FakeSession(moving=True)
    async def start():
        return session
    reason = await run_console(start)
    Path(sys.argv[1]).write_text(f"{reason.kind}|{session.left}")

asyncio.run(main())
"""


async def test_closing_the_terminal_ends_the_console_and_not_the_process(tmp_path: Path) -> None:
    report = tmp_path / "report"
    pid, master = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS="100", LINES="30")
        os.execv(sys.executable, [sys.executable, "-c", _SCRIPT, str(report)])
    seen = b""
    loop = asyncio.get_running_loop()
    while b"BTCUSDT" not in seen:
        seen += await loop.run_in_executor(None, os.read, master, 65_536)
    os.close(master)
    for _ in range(200):
        if report.exists() and report.read_text():
            break
        await asyncio.sleep(0.05)
    else:
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert report.read_text() == "terminal_gone|['detach: terminal closed; trading on headless']"
