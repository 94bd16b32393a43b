"""Pack recorded 1 m candles and funding rates into the compact files that ship in ``tui_trader/research/data``.

    python -m tests.benchmarks.pack_candles FOLDER OUT BTCUSDT ETHUSDT SOLUSDT XRPUSDT

FOLDER holds ``SYMBOL.npz`` with the arrays open_time_ms, open, high, low, close, volume, funding_time_ms and
funding_rate (as typhonun/DcaTpStrategy publishes them). All symbols are cut to the minutes that every one of them has,
at most ``--days``. Each file written is read back and compared with its source to the last decimal.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tui_trader.exchange.history import decode_recording

MINUTE_MS = 60_000
FUNDING_MS = 8 * 3_600_000
"""Funding from so long before the first candle is kept, so that the first rate is known."""
Arrays = dict[str, npt.NDArray[np.generic]]


def decimals_of(values: npt.NDArray[np.float64]) -> int:
    """Fewest decimals that give all values exactly."""
    for decimals in range(9):
        scaled = values * 10**decimals
        if np.abs(scaled - np.rint(scaled)).max() < 1e-4:
            return decimals
    raise ValueError("more than 8 decimals")


def smallest(values: npt.NDArray[np.int64]) -> npt.NDArray[np.generic]:
    """The same numbers in the narrowest type that holds them."""
    kinds = (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64)
    low, high = int(values.min()), int(values.max())
    return values.astype(next(kind for kind in kinds if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max))


def packed(source: Arrays, start_ms: int, end_ms: int) -> Arrays:
    """The compact arrays of the minutes from ``start_ms`` to ``end_ms`` (exclusive)."""
    inside = (source["open_time_ms"] >= start_ms) & (source["open_time_ms"] < end_ms)
    if not (np.diff(source["open_time_ms"][inside]) == MINUTE_MS).all():
        raise ValueError("the recording has a gap")
    columns = {name: source[name][inside].astype(np.float64) for name in ("open", "high", "low", "close", "volume")}
    price_decimals = max(decimals_of(columns[name]) for name in ("open", "high", "low", "close"))
    quantity_decimals = decimals_of(columns["volume"])
    o, h, low, c = (
        np.rint(columns[name] * 10**price_decimals).astype(np.int64) for name in ("open", "high", "low", "close")
    )
    stamps = np.rint(source["funding_time_ms"] / MINUTE_MS).astype(np.int64) * MINUTE_MS
    paid = (stamps >= start_ms - FUNDING_MS) & (stamps <= end_ms)
    return {
        "start_ms": np.array(start_ms),
        "first_open": np.array(o[0]),
        "gap": smallest(np.concatenate(([0], o[1:] - c[:-1]))),
        "body": smallest(c - o),
        "upper": smallest(h - np.maximum(o, c)),
        "lower": smallest(np.minimum(o, c) - low),
        "volume": smallest(np.rint(columns["volume"] * 10**quantity_decimals).astype(np.int64)),
        "price_decimals": np.array(price_decimals),
        "quantity_decimals": np.array(quantity_decimals),
        "funding_time_ms": stamps[paid],
        "funding_rate_1e8": np.rint(source["funding_rate"][paid] * 1e8).astype(np.int32),
    }


def check(file: Path, source: Arrays, start_ms: int, end_ms: int) -> None:
    """Raises ValueError when the file does not say what its source says."""
    found = decode_recording(file.read_bytes())
    inside = (source["open_time_ms"] >= start_ms) & (source["open_time_ms"] < end_ms)
    for name in ("open", "high", "low", "close", "volume"):
        if not np.allclose(getattr(found, name), source[name][inside], rtol=1e-12, atol=1e-9):
            raise ValueError(f"{file}: {name} differs from its source")


def main(argv: list[str]) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="pack_candles", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("symbols", nargs="+")
    parser.add_argument("--days", type=int, default=30)
    options = parser.parse_args(argv)
    sources = {symbol: dict(np.load(options.folder / f"{symbol}.npz")) for symbol in options.symbols}
    start = max(int(found["open_time_ms"][0]) for found in sources.values())
    end = min(int(found["open_time_ms"][-1]) + MINUTE_MS for found in sources.values())
    end = min(end, start + options.days * 1440 * MINUTE_MS)
    for symbol, source in sources.items():
        file = options.out / f"{symbol}.npz"
        np.savez_compressed(file, **packed(source, start, end))
        check(file, source, start, end)
        print(f"{file}: {(end - start) // MINUTE_MS} minutes, {file.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
