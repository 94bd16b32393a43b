"""The whole console under load, through a real pty.

``python -m tests.benchmarks.bench_console [--rate N] [--seconds S]``: for each rate one console process (``python -m
tui_trader --mode testnet``: session, strategies, store and screen) in a pty of 160×50 drawing at 10 Hz, pointed at
``tests.benchmarks.feeder``, which stands before a simulated exchange; both are processes of their own. The universe's
limits are opened so that every symbol of the exchange is watched with all its streams.

Printed: loop lag and age of market data when applied, from hand-over after decoding (the session's own meters, asked
over its control socket; they look back over a minute or 1,024 events); the answer time of pings sent behind the frames,
which is the backlog in time (``end`` is the last one); bytes that wait in the feeder; CPU of one core and memory of the
console's process; bytes to the terminal; how many frames the feeder really sent. First paint is the time from the start
of a demo console's process to a full frame with the panes' titles, median of five.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tui_trader.clock import monotonic
from tui_trader.runtime.control import Request, ask

WIDTH, HEIGHT = 160, 50
RATES = (1_000, 3_000, 16_000)
WARM_UP_S = 6.0
STARTED_S = 60.0


class Console:
    """One console process in a pty, its output counted by a thread."""

    def __init__(self, folder: Path, arguments: list[str], environ: dict[str, str]) -> None:
        self.folder = folder
        self.began = monotonic()
        self.painted = 0.0
        self.count = 0
        self.tail = b""
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            os.environ.update(environ, TERM="xterm-256color", COLUMNS=str(WIDTH), LINES=str(HEIGHT))
            os.environ.pop("NO_COLOR", None)
            os.execv(sys.executable, [sys.executable, "-m", "tui_trader", "--data-dir", str(folder), *arguments])
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        seen = b""
        while select.select([self._master], [], [], 60.0)[0]:
            try:
                data = os.read(self._master, 65_536)
            except OSError:
                return
            if not data:
                return
            self.count += len(data)
            self.tail = (self.tail + data)[-4_000:]
            if not self.painted:
                seen += data
                if b"Universe" in seen and b"Equity" in seen:
                    self.painted = monotonic() - self.began

    def cpu(self) -> float:
        """CPU seconds used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> float:
        """Resident memory."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

    def status(self) -> dict[str, Any]:
        """The session's own facts."""
        for path in self.folder.rglob("*.sock"):
            return asyncio.run(ask(path, Request(do="status"), timeout_s=5)).status
        raise FileNotFoundError("the session does not listen yet")

    def wait_started(self) -> None:
        """Until the session answers."""
        until = monotonic() + STARTED_S
        while monotonic() < until:
            with contextlib.suppress(Exception):
                if self.status().get("equity") is not None:
                    return
            threading.Event().wait(0.5)
        raise SystemExit(f"the console did not start: {self.tail[-600:]!r}")

    def end(self) -> None:
        """Stop the process and its reader."""
        os.kill(self.pid, signal.SIGTERM)
        until = monotonic() + 6.0
        while os.waitpid(self.pid, os.WNOHANG)[0] == 0:
            if monotonic() > until:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                break
            threading.Event().wait(0.05)
        self._reader.join(10)
        os.close(self._master)


@contextlib.contextmanager
def _process(*arguments: str) -> Iterator[str]:
    """A Python process that ends with its standard input; gives its first line."""
    process = subprocess.Popen([sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdout.readline()
    finally:
        process.stdin.close()
        process.wait(15)
        process.stdout.close()


def _bench(url: str, rate: int | None = None) -> dict[str, Any]:
    target = f"{url}/bench" + ("" if rate is None else f"?rate={rate}")
    request = urllib.request.Request(target, method="GET" if rate is None else "POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def loaded(rate: int, seconds: float, *, low: bool = False) -> dict[str, float]:
    """One console at one rate."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        exchange = json.loads(
            stack.enter_context(_process("-m", "tui_trader.exchange", "--json", "--until-stdin-closes"))
        )
        port = stack.enter_context(
            _process("-m", "tests.benchmarks.feeder", "--rest", exchange["rest_url"], "--ws", exchange["ws_url"])
        ).strip()
        url = f"http://127.0.0.1:{port}"
        config = folder / "config.toml"
        config.write_text(
            f'[venue]\nrest_url = "{url}"\nws_url = "ws://127.0.0.1:{port}"\n'
            "[universe]\nmin_volume_24h = 1.0\nmax_spread_bps = 10000.0\nmin_depth = 1.0\n"
            'allowed_tiers = ["MAIN", "L1", "L2", "DEFI", "INFRASTRUCTURE", "MEME"]\n'
            f"[ui]\nfps = 10.0\nlow_bandwidth = {'true' if low else 'false'}\n"
        )
        environ = {"TP_API_KEY": exchange["api_key"], "TP_API_SECRET": exchange["secret"]}
        console = Console(folder / "data", ["--config", str(config), "--mode", "testnet"], environ)
        stack.callback(console.end)
        console.wait_started()
        _bench(url, rate)
        threading.Event().wait(WARM_UP_S)
        _bench(url, rate)
        cpu, count, began = console.cpu(), console.count, monotonic()
        threading.Event().wait(seconds)
        taken = monotonic() - began
        cpu, count = console.cpu() - cpu, console.count - count
        sent, meters = _bench(url), console.status()["meters"]
        assert isinstance(meters, dict)
        return {
            "sent": sent["sent"] / taken,
            "symbols": sent["symbols"],
            "watched": sent["watched"],
            "lag50": meters["lag_p50_ms"],
            "lag99": meters["lag_p99_ms"],
            "age50": meters["age_p50_ms"],
            "age99": meters["age_p99_ms"],
            "ping50": sent["ping_p50_ms"],
            "ping99": sent["ping_p99_ms"],
            "end": max(sent["ping_last_ms"], sent["ping_waiting_ms"]),
            "unsent": sent["unsent_bytes"],
            "cpu": cpu / taken * 100,
            "mb": console.memory_mb(),
            "kb": count / taken / 1000,
        }


def first_paint() -> float:
    """Seconds from the start of a demo console to its first full frame."""
    with tempfile.TemporaryDirectory() as folder:
        console = Console(Path(folder), [], {})
        until = monotonic() + 20
        while not console.painted and monotonic() < until:
            threading.Event().wait(0.01)
        console.end()
        return console.painted or 99.0


HEADS = (
    "rate", "sent/s", "lag p50", "p99 ms", "age p50", "p99 ms", "ping p50", "p99 ms", "end ms", "unsent B", "CPU %",
    "RSS MB", "kB/s",
)  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=int, action="append")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--no-paint", action="store_true")
    options = parser.parse_args()
    print(("{:>9}" * len(HEADS)).format(*HEADS), flush=True)
    cases = [(rate, False) for rate in options.rate or RATES] + ([] if options.rate else [(3_000, True)])
    for rate, low in cases:
        row = loaded(rate, options.seconds, low=low)
        symbols, watched = row.pop("symbols"), row.pop("watched")
        name = f"{rate}{' low' if low else ''}"
        print(
            f"{name:>9}"
            + "".join(f"{value:9.1f}" for value in row.values())
            + f"  {symbols} symbols, {watched} watched",
            flush=True,
        )
    if not options.no_paint:
        paints = [first_paint() for _ in range(5)]
        print(f"first paint {statistics.median(paints):.2f} s, median of {', '.join(f'{p:.2f}' for p in paints)}")


if __name__ == "__main__":
    main()
