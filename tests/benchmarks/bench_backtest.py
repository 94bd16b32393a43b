"""Bars a second of the engine's path and the fast path beside backtesting.py and vectorbt, in turns, in one run.

``python -m tests.benchmarks.bench_backtest PEERS_FOLDER [DATA_FOLDER] [ROUNDS]``: in PEERS_FOLDER a virtual environment
with the peers is made when there is none. Rules of a plain crossover with a stop and a target; ours walks its whole
ladder, gate, funding and limits besides. Every row begins with candles in memory and prepares its own indicators, but
for "one more run", whose market is prepared already.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.benchmarks.lab_data import Figure, longer, open_gate, recording, save
from tui_trader import clock
from tui_trader.config import default_settings
from tui_trader.core.parameters import defaults
from tui_trader.research.backtest import Backtest
from tui_trader.research.history import History, instrument_of
from tui_trader.research.search import Job, Market, sweep
from tui_trader.strategies.ma_crossover import MaCrossover
from tui_trader.venues.paper import FREE

SYMBOL = "BTCUSDT"
WALLET = Decimal(10_000)
LONG = 500_000
LENGTHS = [20, 30, 40, 60, 80, 100, 120, 160, 200]
STOPS = [(0.01, 0.02), (0.01, 0.03), (0.015, 0.03), (0.02, 0.04), (0.02, 0.06), (0.03, 0.06)]
THREADS = 2
FORMS = ("brief", "plain", "ladder")
"""How backtesting.py writes the rules down, see ``peers``."""


class Peers:
    """The other side's process; ``ask`` gives its answer."""

    def __init__(self, folder: Path) -> None:
        python = folder / "venv" / "bin" / "python"
        if not python.exists():
            print("installing backtesting and vectorbt …", flush=True)
            venv.create(folder / "venv", with_pip=True)
            subprocess.run([python, "-m", "pip", "install", "-q", "backtesting", "vectorbt"], check=True)
        environment = {**os.environ, "NUMBA_NUM_THREADS": str(THREADS), "PYTHONPATH": ""}
        self._process = subprocess.Popen(
            [python, Path(__file__).with_name("peers.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def ask(self, **command: object) -> dict[str, Any]:
        """Run one thing there."""
        streams = self._process.stdin, self._process.stdout
        if streams[0] is None or streams[1] is None:
            raise RuntimeError("the peers' process has no pipes")
        streams[0].write(json.dumps(command) + "\n")
        streams[0].flush()
        answer = json.loads(streams[1].readline())
        if not isinstance(answer, dict):
            raise RuntimeError(f"the peers' process answered {answer!r}")
        return answer

    def close(self) -> None:
        """Let it end."""
        self._process.communicate()


def seconds_of(function: Any) -> tuple[float, int]:
    """Seconds, and the number that ``function`` gave."""
    began = clock.perf_ns()
    count = function()
    return (clock.perf_ns() - began) / 1e9, count


def engine(found: History) -> int:
    """The engine's path over the whole history."""
    run = Backtest(
        found, MaCrossover(), open_gate(default_settings()), instrument_of(SYMBOL), wallet=WALLET, costs=FREE
    )
    return len(run.run().trades)


def jobs() -> list[Job]:
    """54 combinations."""
    base = defaults(MaCrossover.parameters)
    return [
        Job(
            strategy=MaCrossover(),
            timeframe="1m",
            values=base | {"length": float(length), "stop_pct": stop * 100, "target_pct": target * 100},
        )
        for length in LENGTHS
        for stop, target in STOPS
    ]


def main() -> None:
    """Print the table."""
    words = sys.argv[1:]
    folder, data = Path(words[0]), Path(words[1]) if len(words) > 1 else None
    rounds = int(words[2]) if len(words) > 2 else 3
    found = recording(data, SYMBOL)
    long = longer(found, LONG)
    settings = open_gate(default_settings())
    market = Market(found, instrument_of(SYMBOL), settings, FREE)
    values = defaults(MaCrossover.parameters)
    one = {"what": "vectorbt", "lengths": [60], "stops": [(0.02, 0.04)]}
    many = {"what": "vectorbt", "lengths": LENGTHS, "stops": STOPS}
    bars, all_bars = len(found.bars), LONG * len(LENGTHS) * len(STOPS)
    with tempfile.TemporaryDirectory() as temporary:
        short_path, long_path = str(Path(temporary, "short.npz")), str(Path(temporary, "long.npz"))
        save(found, Path(short_path))
        save(long, Path(long_path))
        peers = Peers(folder)
        ours = {
            "fast path, one run": lambda: len(
                Market(found, instrument_of(SYMBOL), settings, FREE)
                .run(MaCrossover(), "1m", values, wallet=WALLET)
                .trades
            ),
            "fast path, one more run": lambda: len(market.run(MaCrossover(), "1m", values, wallet=WALLET).trades),
            "engine, one run": lambda: engine(found),
            "fast path, 54 over 500 k": lambda: sum(
                len(f.trades)
                for f in sweep(
                    Market(long, instrument_of(SYMBOL), settings, FREE), jobs(), wallet=WALLET, threads=THREADS
                )
            ),
        }
        theirs: dict[str, dict[str, Any]] = {
            "vectorbt, one run": one | {"path": short_path},
            **{
                f"backtesting.py {form}, one run": {"what": "backtesting", "form": form, "path": short_path}
                for form in FORMS
            },
            "vectorbt, 54 over 500 k": many | {"path": long_path},
            "vectorbt with logs, 54 over 500 k": many | {"path": long_path, "log": True},
        }
        rows = {name: Figure(name, all_bars if "54" in name else bars) for name in (*ours, *theirs)}
        market.run(MaCrossover(), "1m", values, wallet=WALLET)
        peers.ask(**theirs["vectorbt, one run"])
        memory = 0.0
        for _ in range(rounds):
            print(f"load average {os.getloadavg()[0]:.1f}", flush=True)
            for name in rows:
                if name in ours:
                    took, trades = seconds_of(ours[name])
                else:
                    answer = peers.ask(**theirs[name])
                    took, trades, memory = answer["s"], answer["trades"], answer["mb"]
                rows[name].seconds.append(took)
                rows[name].trades = trades
        peers.close()
    for row in rows.values():
        times = " ".join(f"{s:.3f}" for s in row.seconds)
        print(f"{row.name:34} {row.rate / 1e6:>9.3f} M bars/s   {row.trades:>8} trades   s: {times}")
    for name, other in (
        ("fast path, one run", "vectorbt, one run"),
        *(("fast path, one run", f"backtesting.py {form}, one run") for form in FORMS),
        *(("engine, one run", f"backtesting.py {form}, one run") for form in FORMS),
        ("fast path, 54 over 500 k", "vectorbt, 54 over 500 k"),
        ("fast path, 54 over 500 k", "vectorbt with logs, 54 over 500 k"),
    ):
        each = " ".join(f"{b / a:.1f}" for a, b in zip(rows[name].seconds, rows[other].seconds, strict=True))
        print(f"{name} : {other} = {rows[name].rate / rows[other].rate:.1f} (by round: {each})")
    print(f"vectorbt's greatest memory: {memory:.0f} MB")


if __name__ == "__main__":
    main()
