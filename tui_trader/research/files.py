"""1 m candles from files: .npz, .csv (or .csv.gz), .parquet, .feather; columns by their usual names, times in UTC.

Times may be s, ms, µs or ns since the epoch, or ISO dates; each stands for the moment at which its candle opens.
Nothing is mended: what is not in order, stands there twice or cannot be true is refused with file, row and value.
"""

from __future__ import annotations

import csv
import gzip
import importlib
import io
import zipfile
import zlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tui_trader.core.bars import Bars
from tui_trader.core.plain import plain
from tui_trader.errors import UsageError, missing_extra
from tui_trader.research.history import FIELDS, History, check_spacing, make_history

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Times = NDArray[np.int64]
    Floats = NDArray[np.float64]

NAMES: Mapping[str, tuple[str, ...]] = {
    "open time": (
        "open_time_ms", "open_ms", "open_time", "opentime", "timestamp", "timestamp_ms", "time", "datetime", "date",
        "ts", "unix",
    ),
    "open": ("open", "o", "open_price"),
    "high": ("high", "h", "high_price"),
    "low": ("low", "l", "low_price"),
    "close": ("close", "c", "close_price"),
    "volume": ("volume", "vol", "v", "base_volume", "volume_base"),
}  # fmt: skip
"""Names under which each column is found, the first one that is there; compared in lower case."""
SYMBOL_NAMES = ("symbol", "pair", "ticker")
MAX_CANDLES = 10_600_000
"""Twenty years of one symbol: what holds more is another kind of file, or would fill the memory."""
MAX_FILE_BYTES = 2 * 1024**3
_PLAIN_ORDER = ("open time", *FIELDS)
_S_LIMIT, _MS_LIMIT, _US_LIMIT = 1e11, 1e14, 1e17


class Table(msgspec.Struct):
    """Columns of a file: times in ms, the fields' values, where a row stands, and funding where the file has it."""

    open_ms: Times
    columns: dict[str, Floats]
    rows: Times
    row_word: str
    funding_ms: Times
    funding_rate: Floats


def read_history(path: Path, symbol: str) -> History:
    """1 m history of ``symbol`` from a file. Raises ``UsageError`` that names the file and what is wrong with it."""
    kinds = {".npz": _npz, ".csv": _csv, ".gz": _csv, ".parquet": _frame, ".pq": _frame, ".feather": _frame}
    kind = kinds.get(path.suffix.lower())
    if kind is None or (path.suffix.lower() == ".gz" and not path.name.lower().endswith(".csv.gz")):
        raise UsageError(f"{path} is no file of candles; use .npz, .csv, .csv.gz, .parquet or .feather.")
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise UsageError(f"{path} has {size:,} bytes, more than {MAX_FILE_BYTES:,}; split it by time or symbol.")
        found = kind(path, symbol)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror or type(error).__name__}).") from None
    bars = Bars(timeframe="1m", open_ms=found.open_ms, **found.columns)
    history = make_history(
        symbol,
        bars,
        found.funding_ms,
        found.funding_rate,
        str(path),
        lambda index: f"{found.row_word} {int(found.rows[index])}",
    )
    check_spacing(history)
    return history


# --- columns and times ---


def _columns(path: Path, names: Sequence[str]) -> dict[str, str]:
    """The file's own name for each column that is needed. Raises ``UsageError`` naming the first missing one."""
    lowered = {name.strip().lower().replace(" ", "_"): name for name in reversed(names)}
    found = {}
    for column, usual in NAMES.items():
        name = next((lowered[one] for one in usual if one in lowered), None)
        if name is None:
            there = plain(", ".join(names[:20])) or "nothing"
            raise UsageError(f"{path} has no column {column!r} (looked for {', '.join(usual)}); it has {there}.")
        found[column] = name
    return found


def _symbol_column(names: Sequence[str]) -> str | None:
    lowered = {name.strip().lower(): name for name in names}
    return next((lowered[one] for one in SYMBOL_NAMES if one in lowered), None)


def _plain_symbol(text: str) -> str:
    """A symbol without what exchanges put between and behind its parts: BTC/USDT:USDT, BTC-USDT, btcusdt."""
    return "".join(char for char in text.partition(":")[0].upper() if char.isalnum())


def times_ms(path: Path, values: Floats | Times) -> Times:
    """Times since the epoch as ms: each is s, ms, µs or ns by its size. Raises ``UsageError`` for what is no time."""
    if values.dtype.kind in "iu":
        whole = values.astype(np.int64)
    elif values.dtype.kind == "f":
        odd = np.flatnonzero(~np.isfinite(values))
        if odd.size:
            raise UsageError(f"{path}, row {int(odd[0]) + 1}: {values[odd[0]]} is no time.")
        if np.all(np.abs(values) < _S_LIMIT):
            return np.rint(values * 1000).astype(np.int64)
        whole = np.rint(values).astype(np.int64)
    else:
        raise UsageError(f"{path}: the open times are {values.dtype}, not numbers or dates.")
    size = np.abs(whole)
    scaled = np.where(size < _S_LIMIT, whole * 1000, whole)
    scaled = np.where((size >= _MS_LIMIT) & (size < _US_LIMIT), whole // 1000, scaled)
    return np.where(size >= _US_LIMIT, whole // 1_000_000, scaled).astype(np.int64)


def _numbers(path: Path, name: str, values: Any) -> Floats:
    try:
        return np.asarray(values).astype(np.float64)
    except (TypeError, ValueError):
        raise UsageError(f"{path}: the column {name!r} holds what are no numbers.") from None


def _no_funding() -> tuple[Times, Floats]:
    return np.zeros(0, dtype=np.int64), np.zeros(0)


# --- .npz ---


def _npz(path: Path, symbol: str) -> Table:
    del symbol
    try:
        _check_sizes(path)
        with np.load(path, allow_pickle=False) as found:
            names = _columns(path, found.files)
            arrays = {column: found[name] for column, name in names.items()}
            funding = {name: found[name] for name in ("funding_time_ms", "funding_rate") if name in found.files}
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, KeyError, NotImplementedError) as error:
        raise UsageError(f"{path} is no .npz file of plain arrays ({plain(str(error))[:120]}).") from None
    lengths = {name: values.shape for name, values in arrays.items()}
    if len(set(lengths.values())) != 1 or arrays["open"].ndim != 1:
        raise UsageError(f"{path}: its arrays must be of one length; they are {lengths}.")
    count = len(arrays["open"])
    funding_ms, rates = _no_funding()
    if len(funding) == 2:
        funding_ms = times_ms(path, funding["funding_time_ms"])
        rates = _numbers(path, "funding_rate", funding["funding_rate"])
    return Table(
        open_ms=_stamps(path, arrays["open time"]),
        columns={name: _numbers(path, name, arrays[name]) for name in FIELDS},
        rows=np.arange(1, count + 1, dtype=np.int64),
        row_word="row",
        funding_ms=funding_ms,
        funding_rate=rates,
    )


def _stamps(path: Path, values: NDArray[Any]) -> Times:
    if values.dtype.kind == "M":
        return values.astype("datetime64[ms]").astype(np.int64)
    return times_ms(path, values)


def _check_sizes(path: Path) -> None:
    """Refuse, before anything is unpacked, arrays that would not fit: a few bytes can unpack to gigabytes."""
    with zipfile.ZipFile(path) as inside:
        for member in inside.infolist():
            with inside.open(member) as stream:
                version = np.lib.format.read_magic(stream)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, _, _ = read(stream)
            if shape and int(np.prod(shape)) > MAX_CANDLES:
                raise UsageError(f"{path}: {member.filename} has {shape[0]:,} rows, more than {MAX_CANDLES:,}.")


# --- .csv ---


def _csv(path: Path, symbol: str) -> Table:
    with path.open("rb") as raw:
        plain_bytes: Any = gzip.GzipFile(fileobj=raw) if path.suffix.lower() == ".gz" else raw
        try:
            lines = io.TextIOWrapper(plain_bytes, encoding="utf-8-sig", newline="")
            return _csv_table(path, symbol, lines)
        except (UnicodeDecodeError, csv.Error, EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UsageError(f"{path} is no text of comma-separated values ({plain(str(error))[:120]}).") from None


def _csv_table(path: Path, symbol: str, lines: io.TextIOBase) -> Table:
    head = lines.readline()
    reader = csv.reader(chain([head], lines), delimiter=max(",;\t", key=head.count))
    first = next(reader, [])
    headless = len(first) >= len(_PLAIN_ORDER) and all(_is_number(cell) for cell in first[:6])
    if headless:
        # Files of the exchanges' archives have no header; their first six columns are these.
        where, symbol_at = {name: i for i, name in enumerate(_PLAIN_ORDER)}, None
        rows: Iterable[list[str]] = chain([first], reader)
    else:
        names = _columns(path, first)
        where = {column: first.index(name) for column, name in names.items()}
        symbol_name = _symbol_column(first)
        symbol_at, rows = (first.index(symbol_name) if symbol_name else None), reader
    return _collected(path, symbol, rows, where, symbol_at, 1 if headless else 2)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _collected(
    path: Path, symbol: str, rows: Iterable[list[str]], where: dict[str, int], symbol_at: int | None, first_line: int
) -> Table:
    """The rows of ``symbol`` as packed numbers, so that a year takes 30 MB and not a gigabyte of objects."""
    stamps, values, numbers = array("d"), array("d"), array("q")
    dates, moment = array("q"), _Moment(path)
    wanted, fields = _plain_symbol(symbol), [where[name] for name in FIELDS]
    for line, row in enumerate(rows, first_line):
        if not row or (symbol_at is not None and symbol_at < len(row) and _plain_symbol(row[symbol_at]) != wanted):
            continue
        try:
            values.extend([float(row[i]) for i in fields])
            moment.take(row[where["open time"]], stamps, dates)
        except (ValueError, IndexError):
            shown = plain(", ".join(row))[:120]
            raise UsageError(f"{path}, line {line}: {shown!r} is no candle.") from None
        numbers.append(line)
        if len(numbers) > MAX_CANDLES:
            raise UsageError(f"{path} holds more than {MAX_CANDLES:,} candles; split it by time.")
    table = np.frombuffer(values, dtype=np.float64).reshape(-1, len(FIELDS)) if len(values) else np.zeros((0, 5))
    open_ms = np.array(dates, dtype=np.int64) if len(dates) else times_ms(path, np.array(stamps, dtype=np.float64))
    funding_ms, rates = _no_funding()
    return Table(
        open_ms=open_ms,
        columns={name: np.ascontiguousarray(table[:, i]) for i, name in enumerate(FIELDS)},
        rows=np.array(numbers, dtype=np.int64),
        row_word="line",
        funding_ms=funding_ms,
        funding_rate=rates,
    )


class _Moment:
    """Reads the times of one file: all numbers, or all ISO dates. Raises ``ValueError`` for anything else."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def take(self, text: str, stamps: array[float], dates: array[int]) -> None:
        if not dates:
            try:
                stamps.append(float(text))
            except ValueError:
                if stamps:
                    raise
            else:
                return
        dates.append(_iso_ms(text))


def _iso_ms(text: str) -> int:
    found = datetime.fromisoformat(text.strip().removesuffix(" UTC"))
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return round(found.timestamp() * 1000)


# --- .parquet and .feather ---


def _frame(path: Path, symbol: str) -> Table:
    try:
        import pandas as pd

        importlib.import_module("pyarrow")
    except ImportError as error:
        raise missing_extra(f"{path.suffix} files need pandas and pyarrow", "research", error) from None
    try:
        frame: Any = pd.read_feather(path) if path.suffix.lower() == ".feather" else pd.read_parquet(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({plain(str(error))[:120]}).") from None
    except Exception as error:  # noqa: BLE001 - the libraries' own errors for a damaged file share no base
        raise UsageError(f"{path} is no readable {path.suffix} file ({plain(str(error))[:120]}).") from None
    if len(frame) > MAX_CANDLES:
        raise UsageError(f"{path} holds {len(frame):,} rows, more than {MAX_CANDLES:,}; split it by time.")
    if isinstance(frame.index, pd.DatetimeIndex):
        frame = frame.reset_index(names=frame.index.name or "date")
    frame.columns = [str(name) for name in frame.columns]
    frame["__row"] = np.arange(1, len(frame) + 1)
    symbol_name = _symbol_column(list(frame.columns))
    if symbol_name is not None:
        frame = frame[frame[symbol_name].astype(str).map(_plain_symbol) == _plain_symbol(symbol)]
    names = _columns(path, [name for name in frame.columns if name != "__row"])
    funding_ms, rates = _no_funding()
    return Table(
        open_ms=_frame_times(path, frame[names["open time"]], pd),
        columns={name: _numbers(path, names[name], frame[names[name]].to_numpy()) for name in FIELDS},
        rows=frame["__row"].to_numpy().astype(np.int64),
        row_word="row",
        funding_ms=funding_ms,
        funding_rate=rates,
    )


def _frame_times(path: Path, column: Any, pd: Any) -> Times:
    if pd.api.types.is_numeric_dtype(column):
        return times_ms(path, column.to_numpy())
    try:
        # Without a format pandas guesses one, and takes the 4th of May for the 5th of April.
        stamps = pd.to_datetime(column, utc=True, format="ISO8601")
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path}: the open times cannot be read ({plain(str(error))[:120]}).") from None
    if stamps.isna().any():
        at = int(np.flatnonzero(stamps.isna().to_numpy())[0])
        raise UsageError(f"{path}, row {at + 1}: the open time is missing.")
    found: Times = stamps.dt.tz_localize(None).to_numpy().astype("datetime64[ms]").astype(np.int64)
    return found
