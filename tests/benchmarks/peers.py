"""Other backtesters on the same candles and rules, timed; ``bench_backtest`` runs this in an environment of its own.

Reads one JSON command a line, answers with one: {"s": seconds, "trades": n, "mb": greatest memory so far}. The rules:
every 15 minutes, a close 0.1 % beyond the mean of the last 60 is followed at the next open; stop 2 %, target 4 %; one
position at a time; taker fees on both sides. backtesting.py runs them in the forms of
``peer_rules``.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd

FEE = 0.0005
BAND = 0.001
EVERY = 15


def frame_of(path: str) -> pd.DataFrame:
    with np.load(path) as found:
        columns = {name.capitalize(): found[name] for name in ("open", "high", "low", "close", "volume")}
        return pd.DataFrame(columns, index=pd.to_datetime(found["open_time_ms"], unit="ms"))


def due(frame: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.bool_]]:
    minutes = frame.index.to_numpy().astype("datetime64[m]").astype(np.int64)
    return np.asarray((minutes + 1) % EVERY == 0)


def with_backtesting(frame: pd.DataFrame, form: str) -> int:
    from backtesting import Backtest
    from peer_rules import FORMS

    chosen = type("Chosen", (FORMS[form],), {"at": due(frame).astype(float)})
    return len(Backtest(frame, chosen, cash=10_000_000, commission=FEE).run()._trades)


def with_vectorbt(frame: pd.DataFrame, lengths: list[int], stops: list[tuple[float, float]], *, log: bool) -> int:
    """One portfolio of all combinations of ``lengths`` and ``stops``, and their trade records."""
    import vectorbt as vbt

    close = frame["Close"]
    at = due(frame)
    columns = [(length, stop, target) for length in lengths for stop, target in stops]
    means = {length: close.rolling(length).mean().shift(1).to_numpy() for length in lengths}
    price = close.to_numpy()
    long = np.stack([at & (price > means[length] * (1 + BAND)) for length, _, _ in columns], axis=1)
    short = np.stack([at & (price < means[length] * (1 - BAND)) for length, _, _ in columns], axis=1)
    portfolio = vbt.Portfolio.from_signals(
        close,
        pd.DataFrame(long, index=frame.index).vbt.signals.fshift(1),
        False,
        short_entries=pd.DataFrame(short, index=frame.index).vbt.signals.fshift(1),
        short_exits=False,
        price=frame["Open"],
        open=frame["Open"],
        high=frame["High"],
        low=frame["Low"],
        sl_stop=np.array([stop for _, stop, _ in columns]),
        tp_stop=np.array([target for _, _, target in columns]),
        upon_opposite_entry="ignore",
        fees=FEE,
        log=log,
        freq="1min",
    )
    return len(portfolio.trades.records_arr)


def run(command: dict[str, Any], frame: pd.DataFrame) -> int:
    if command["what"] == "backtesting":
        return with_backtesting(frame, command["form"])
    stops = [tuple(pair) for pair in command["stops"]]
    return with_vectorbt(frame, command["lengths"], stops, log=command.get("log", False))


def main() -> None:
    warnings.simplefilter("ignore")
    frames: dict[str, pd.DataFrame] = {}
    for line in sys.stdin:
        command = json.loads(line)
        path = command["path"]
        frames[path] = frame = frames.get(path) if path in frames else frame_of(path)  # type: ignore[assignment]
        began = time.perf_counter()
        trades = run(command, frame)
        took = time.perf_counter() - began
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"s": took, "trades": trades, "mb": memory}), flush=True)


if __name__ == "__main__":
    main()
