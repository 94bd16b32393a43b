"""Real processes, real signals: what a person does to a session, and what the system does to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tui_trader import clock
from tui_trader.errors import SessionBusyError
from tui_trader.runtime.control import Request, ask
from tui_trader.runtime.demo import STATE_FILE, _open_positions, _read
from tui_trader.runtime.lock import is_held, lock_path, read_holder

ROOT = Path(__file__).parents[2]


class Child:
    """One session process."""

    def __init__(self, data_dir: Path, *flags: str) -> None:
        command = [sys.executable, "-m", "tests.runtime.headless_main", str(data_dir), *flags]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)

    def until(self, word: str) -> str:
        """The first line that begins with ``word``."""
        assert self.process.stdout is not None
        seen = []
        for line in self.process.stdout:
            seen.append(line)
            if line.startswith(word):
                return line.strip()
        raise AssertionError(f"{word} never came: {seen}")

    def end(self, number: int | None = None) -> int:
        """Send a signal, wait, and return the exit status."""
        if number is not None:
            self.process.send_signal(number)
        status = self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    state = tmp_path / "demo" / STATE_FILE
    if state.exists():
        os.kill(json.loads(state.read_text())["pid"], signal.SIGKILL)


def log_of(data_dir: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (data_dir / "demo" / "session.log").read_text().splitlines()]


def said(data_dir: Path, words: str) -> bool:
    return any(words in str(line["text"]) for line in log_of(data_dir))


def test_killed_restarted_refused_taken_over_terminated(data_dir: Path) -> None:
    """I14, I16; the process rows of the fault matrix."""
    first = Child(data_dir, "--open")
    assert first.until("PROTECTED") == "PROTECTED BTCUSDT"
    assert first.end(signal.SIGKILL) == -signal.SIGKILL

    second = Child(data_dir)
    assert second.until("PROTECTED") == "PROTECTED BTCUSDT"

    refused = Child(data_dir)
    assert str(second.process.pid) in refused.until("REFUSED")
    assert refused.end() == 1

    third = Child(data_dir, "--take-over")
    assert "taken over" in second.until("ENDED")
    assert second.end() == 0
    assert third.until("PROTECTED") == "PROTECTED BTCUSDT"

    began = clock.monotonic()
    third.process.send_signal(signal.SIGTERM)
    assert "SIGTERM" in third.until("ENDED")
    assert clock.monotonic() - began <= 5.0
    assert third.end() == 0
    assert said(data_dir, "BTCUSDT long 0.01 (stop proven) left at the venue")
    assert not is_held(lock_path(data_dir / "demo", "binance", "demo", ""))


def test_a_clean_quit_without_positions_ends_the_demo_exchange(data_dir: Path) -> None:
    child = Child(data_dir)
    child.until("STARTED")
    state = data_dir / "demo" / STATE_FILE
    pid = json.loads(state.read_text())["pid"]
    wait_for(lambda: said(data_dir, "reconciled"))
    assert child.end(signal.SIGINT) == 0
    assert not state.exists()
    wait_for(lambda: not Path(f"/proc/{pid}").exists())


def test_the_terminal_closes_and_the_session_trades_on(data_dir: Path) -> None:
    """I25: the console dies with its terminal, the session does not."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.environ["TERM"] = "xterm-256color"
        os.execv(sys.executable, [sys.executable, "-m", "tests.runtime.headless_main", str(data_dir), "--console"])
    try:
        wait_for(lambda: _drain(terminal) and (data_dir / "demo" / "session.log").exists())
        wait_for(lambda: _drain(terminal) and said(data_dir, "reconciled"))
        os.close(terminal)
        wait_for(lambda: said(data_dir, "terminal closed; trading on headless"))
        holder = read_holder(lock_path(data_dir / "demo", "binance", "demo", ""))
        assert holder is not None
        assert holder.pid == pid
        answer = asyncio.run(ask(Path(holder.control), Request(do="status")))
        assert answer.status["headless"] is True
        snapshots = len(log_of(data_dir))
        os.kill(pid, signal.SIGHUP)
        os.kill(pid, signal.SIGTERM)
        assert os.waitpid(pid, 0)[1] == 0
        assert said(data_dir, "stopped: no position is open")
        assert len(log_of(data_dir)) > snapshots
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def test_the_terminal_goes_while_a_dialog_is_open(data_dir: Path) -> None:
    """A ticket is open when the line drops: nothing is sent, the session trades on."""
    pid, terminal = console(data_dir)
    try:
        wait_for(lambda: _drain(terminal) and said(data_dir, "reconciled"))
        wait_for(lambda: TICKET in _painted(terminal, b"b"))
        os.close(terminal)
        wait_for(lambda: said(data_dir, "terminal closed; trading on headless"))
        status = status_of(data_dir)
        assert (status["headless"], status["killed"], status["positions"]) == (True, False, 0)
        os.kill(pid, signal.SIGTERM)
        assert os.waitpid(pid, 0)[1] == 0
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def test_the_kill_key_makes_flat_by_the_exchanges_own_word(data_dir: Path) -> None:
    """I15: K, and K again: the exchange says zero, entries are refused, also by the next start."""
    first = Child(data_dir, "--open")
    first.until("PROTECTED")
    assert first.end(signal.SIGTERM) == 0
    pid, terminal = console(data_dir)
    try:
        wait_for(lambda: _drain(terminal) and status_of(data_dir).get("positions") == 1)
        wait_for(lambda: _painted(terminal, b"\x1b") is not None and "and lock now" in _painted(terminal, b"K"))
        os.write(terminal, b"K")
        exchange = _read(data_dir / "demo" / STATE_FILE)
        assert exchange is not None
        wait_for(lambda: _drain(terminal) and _open_positions(exchange) == 0)
        wait_for(lambda: _drain(terminal) and (data_dir / "demo" / "KILL").exists())
        wait_for(lambda: _drain(terminal) and status_of(data_dir)["under_way"] == 0)
        status = status_of(data_dir)
        assert (status["killed"], status["positions"]) == (True, 0)
        assert status["kill_reason"] == "key in the console"
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)
    again = Child(data_dir, "--open")
    again.until("STARTED")
    wait_for(lambda: status_of(data_dir).get("killed"))
    assert any("kill switch latched" in block for block in status_of(data_dir)["blocks"])
    again.end(signal.SIGTERM)


def test_a_console_whose_session_is_taken_over_ends_with_it(data_dir: Path) -> None:
    """A window that shows what was, and takes the kill key for nobody, is worse than none."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.environ["TERM"] = "xterm-256color"
        os.execv(sys.executable, [sys.executable, "-m", "tui_trader", "--data-dir", str(data_dir)])
    try:
        wait_for(lambda: _drain(terminal) and (data_dir / "demo" / "session.log").exists())
        wait_for(lambda: _drain(terminal) and said(data_dir, "reconciled"))
        second = Child(data_dir, "--take-over")
        second.until("STARTED")
        told = bytearray()
        wait_for(lambda: _reads(terminal, told) and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT))
        _reads(terminal, told)
        assert "The session has ended: taken over by another session." in " ".join(told.decode().split())
        assert os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT).si_status == 0
        wait_for(lambda: sum("reconciled" in str(line["text"]) for line in log_of(data_dir)) == 2)
        assert second.end(signal.SIGTERM) == 0
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def _reads(terminal: int, told: bytearray) -> bool:
    """Keep what the terminal shows; it may have lost its process."""
    os.set_blocking(terminal, False)
    with contextlib.suppress(OSError):
        while chunk := os.read(terminal, 65_536):
            told += chunk
    return True


TICKET = "Tab next field"


def console(data_dir: Path) -> tuple[int, int]:
    """The real console in a terminal of its own: its process and the terminal's other end."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.environ["TERM"] = "xterm-256color"
        os.execv(sys.executable, [sys.executable, "-m", "tests.runtime.headless_main", str(data_dir), "--console"])
    wait_for(lambda: _drain(terminal) and (data_dir / "demo" / "session.log").exists())
    return pid, terminal


def status_of(data_dir: Path) -> dict[str, Any]:
    """What the running session says of itself; empty while nobody answers."""
    holder = read_holder(lock_path(data_dir / "demo", "binance", "demo", ""))
    if holder is None:
        return {}
    try:
        return dict(asyncio.run(ask(Path(holder.control), Request(do="status"))).status)
    except SessionBusyError:
        return {}


def _painted(terminal: int, key: bytes) -> str:
    """Press a key once more and return what the console painted since."""
    os.write(terminal, key)
    signal.sigtimedwait([], 0.5)
    os.set_blocking(terminal, False)
    seen = b""
    try:
        while chunk := os.read(terminal, 65_536):
            seen += chunk
    except BlockingIOError:
        pass
    return seen.decode("utf-8", "replace")


def _drain(terminal: int) -> bool:
    """Read what the console painted, so that it never blocks."""
    os.set_blocking(terminal, False)
    try:
        while os.read(terminal, 65_536):
            pass
    except BlockingIOError:
        return True
    return True


def wait_for(done: object) -> None:
    """Poll until ``done()``, at most 30 s."""
    until = clock.monotonic() + 30
    while not done():  # type: ignore[operator]
        if clock.monotonic() > until:
            raise AssertionError("it never happened")
        signal.sigtimedwait([], 0.05)
