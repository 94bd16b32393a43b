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


_SHELL = """
import os, signal, sys
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
job = os.fork()
if job == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpgrp())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.executable, [sys.executable, "-c", sys.argv[1], sys.argv[2]])
os.waitpid(job, os.WUNTRACED)
os.tcsetpgrp(0, os.getpgrp())
os.kill(job, signal.SIGCONT)
_, status = os.waitpid(job, os.WUNTRACED)
if os.WIFSTOPPED(status):
    os.kill(job, signal.SIGKILL)
    open(sys.argv[2], "w").write("stopped again")
"""


async def test_a_console_that_is_continued_in_the_background_leaves_and_the_session_trades_on(tmp_path: Path) -> None:
    """A shell takes the terminal when the console is stopped; SIGCONT from elsewhere must not leave it standing."""
    report, told = tmp_path / "report", tmp_path / "process"
    script = f"import os\nopen({str(told)!r}, 'w').write(str(os.getpid()))\n{_SCRIPT}"
    pid, master = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS="100", LINES="30")
        os.execv(sys.executable, [sys.executable, "-c", _SHELL, script, str(report)])
    seen = b""
    loop = asyncio.get_running_loop()
    while b"BTCUSDT" not in seen:
        seen += await loop.run_in_executor(None, os.read, master, 65_536)
    os.kill(int(told.read_text()), signal.SIGSTOP)
    reading = asyncio.create_task(_drain(master))
    for _ in range(200):
        if report.exists() and report.read_text():
            break
        await asyncio.sleep(0.05)
    else:
        os.kill(int(told.read_text()), signal.SIGKILL)
    await loop.run_in_executor(None, os.waitpid, pid, 0)
    await reading
    os.close(master)
    assert report.read_text() == "terminal_gone|['detach: terminal closed; trading on headless']"


async def _drain(master: int) -> None:
    loop = asyncio.get_running_loop()
    try:
        while await loop.run_in_executor(None, os.read, master, 65_536):
            pass
    except OSError:
        return
