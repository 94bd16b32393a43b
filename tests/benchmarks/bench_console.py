"""The console through a real pty on moving sample data: first paint, CPU, bytes to the terminal.

``python -m tests.benchmarks.bench_console`` prints one line a rate. Everything on the screen moves in each frame.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import sys
import tempfile
import termios
from pathlib import Path

from tui_trader.clock import monotonic

SECONDS = 10.0


def run(width: int, height: int, *arguments: str) -> tuple[float, float, float]:
    """Seconds to the first frame with words, CPU share after the start, and kB/s after the first second."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        began = monotonic()
        pid, master = pty.fork()
        if pid == 0:
            os.environ.update(TERM="xterm-256color", COLORTERM="", COLUMNS=str(width), LINES=str(height))
            command = [sys.executable, "-m", "tests.ui.demo_console", "--seconds", str(SECONDS)]
            os.execv(sys.executable, [*command, "--report", str(report), *arguments])
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        first, settled = 0.0, 0
        seen = b""
        while True:
            if not select.select([master], [], [], 30.0)[0]:
                break
            try:
                data = os.read(master, 65_536)
            except OSError:
                break
            if not data:
                break
            if not first:
                seen += data
                if b"Universe" in seen or b"Univ" in seen:
                    first = monotonic() - began
            elif monotonic() - began > first + 1.0:
                settled += len(data)
        os.waitpid(pid, 0)
        os.close(master)
        seconds, cpu = map(float, report.read_text().split())
        return first, cpu / seconds, settled / 1000 / max(seconds - 1.0, 1.0)


def main() -> None:
    """Print the table."""
    print(f"{'size':>8} {'rate':>6} {'first paint s':>14} {'cpu %':>6} {'kB/s':>7}")
    cases = (
        ((160, 50), "10", ("--fps", "10")),
        ((160, 50), "5", ("--fps", "5")),
        ((160, 50), "low", ("--low",)),
        ((80, 24), "10", ("--fps", "10")),
    )
    for (width, height), name, arguments in cases:
        first, share, rate = run(width, height, *arguments)
        print(f"{width}x{height:<4} {name:>6} {first:>14.2f} {share * 100:>6.1f} {rate:>7.1f}")


if __name__ == "__main__":
    main()
