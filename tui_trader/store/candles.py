"""Market history in the store: candles and funding rates by exchange, and the gaps that are the venue's own.

Rows of the exchange ``OWN`` are what this store's sessions heard; the others were fetched. A command may write them
while a session writes its own: each page is one short transaction.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tui_trader.core.events import Candle
from tui_trader.errors import StoreError
from tui_trader.store.opening import connect, error_name, words_of
from tui_trader.store.queries import open_read_only
from tui_trader.store.schema import migrate, read_tables, split, statement

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Times = NDArray[np.int64]
    Floats = NDArray[np.float64]

OWN = ""
"""The exchange of candles that the store's own sessions heard."""
_PATIENCE_MS = 10_000
"""How long a page waits for the session's own writes."""
_CHUNK = 50_000
_CCXT_NAMES = {"binance": "binanceusdm"}
_FOREVER = 2**62


def ccxt_name(exchange: str) -> str:
    """The ccxt id under which an exchange's history is kept; this product's own names of venues are understood."""
    return _CCXT_NAMES.get(exchange, exchange)


def read_candles(
    path: Path,
    symbol: str,
    exchange: str,
    start_ms: int | None = None,
    end_ms: int | None = None,
    timeframe: str = "1m",
) -> tuple[Times, Floats, Floats, Floats, Floats, Floats]:
    """Open times (ms), opens, highs, lows, closes and volumes that opened from ``start_ms`` on and before ``end_ms``.

    Each of shape (n,), oldest first. Raises ``StoreError``.
    """
    sql = (
        "SELECT open_ms, open, high, low, close, volume FROM candles WHERE symbol = ? AND timeframe = ? "
        "AND open_ms >= ? AND open_ms < ?"
    )
    given: list[object] = [symbol, timeframe, _bound(start_ms, -_FOREVER), _bound(end_ms, _FOREVER)]
    parts: list[Floats] = []
    with _reading(path, "candles") as db:
        named = _has(db, "candles", "exchange")
        if named:
            sql += " AND exchange = ?"
            given.append(exchange)
        if named or (exchange == OWN and _has(db, "candles", "open_ms")):
            parts = list(_chunks(db.execute(sql + " ORDER BY open_ms", given), 6))
    table = np.concatenate(parts) if parts else np.zeros((0, 6))
    return table[:, 0].astype(np.int64), table[:, 1], table[:, 2], table[:, 3], table[:, 4], table[:, 5]


def read_funding(path: Path, symbol: str, exchange: str) -> tuple[Times, Floats]:
    """Funding times (ms) and rates, each of shape (m,), oldest first. Raises ``StoreError``."""
    with _reading(path, "funding rates") as db:
        if not _has(db, "funding_rates", "rate"):
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        rows = db.execute(
            "SELECT funding_ms, rate FROM funding_rates WHERE exchange = ? AND symbol = ? ORDER BY funding_ms",
            (exchange, symbol),
        )
        parts = list(_chunks(rows, 2))
    table = np.concatenate(parts) if parts else np.zeros((0, 2))
    return table[:, 0].astype(np.int64), table[:, 1]


def _chunks(rows: sqlite3.Cursor, width: int) -> Iterator[Floats]:
    while chunk := rows.fetchmany(_CHUNK):
        # A damaged cell becomes NaN, which the checks of a history name; it is never taken for a number.
        clean = [[v if isinstance(v, int | float) else np.nan for v in row] for row in chunk]
        yield np.array(clean, dtype=np.float64).reshape(-1, width)


def _bound(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else value


def _has(db: sqlite3.Connection, table: str, column: str) -> bool:
    return any(row[1] == column for row in db.execute(f"PRAGMA table_info({table})"))


@contextmanager
def _reading(path: Path, what: str) -> Iterator[sqlite3.Connection]:
    with closing(open_read_only(path)) as db:
        try:
            yield db
        except sqlite3.Error as error:
            raise StoreError(f"The {what} in {path} cannot be read ({words_of(error)}).") from None


class CandleStore:
    """One connection of a command that fetches history. Each call is one transaction; all raise ``StoreError``."""

    def __init__(self, path: Path, exchange: str, symbol: str, timeframe: str) -> None:
        self.path = path
        self._key = {"exchange": exchange, "symbol": symbol, "timeframe": timeframe}
        self._symbol_key = {"exchange": exchange, "symbol": symbol}
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._db = connect(path)
        except OSError as error:
            raise StoreError(
                f"The store {path} cannot be opened ({error.strerror}); give another --data-dir."
            ) from None
        except sqlite3.Error as error:
            raise StoreError(f"The store {path} cannot be opened ({words_of(error)}).") from None
        try:
            with self._writing():
                self._db.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
                # Safe against a crash of the process; what a power cut takes can be fetched again.
                self._db.execute("PRAGMA synchronous = NORMAL")
                migrate(self._db)
                self._tables = read_tables(self._db)
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Close the connection; what was added stays."""
        self._db.close()

    def known(self, start_ms: int, end_ms: int) -> Times:
        """Open times of the candles that are there, from ``start_ms`` on and before ``end_ms``."""
        with self._writing():
            rows = self._db.execute(
                "SELECT open_ms FROM candles WHERE exchange = ? AND symbol = ? AND timeframe = ? AND open_ms >= ? "
                "AND open_ms < ? ORDER BY open_ms",
                (*self._key.values(), start_ms, end_ms),
            ).fetchall()
        return np.array([row[0] for row in rows], dtype=np.int64)

    def venue_gaps(self) -> tuple[tuple[int, int], ...]:
        """(first missing open, next present open) of the times for which the venue has nothing."""
        with self._writing():
            rows = self._db.execute(
                "SELECT start_ms, end_ms FROM candle_gaps WHERE exchange = ? AND symbol = ? AND timeframe = ? "
                "ORDER BY start_ms",
                tuple(self._key.values()),
            ).fetchall()
        return tuple((int(start), int(end)) for start, end in rows)

    def add(self, candles: Sequence[Candle]) -> None:
        """Candles, each once; one that is there already is replaced."""
        rows = ({**self._key, **{name: getattr(row, name) for name in Candle.__struct_fields__}} for row in candles)
        self._put("candles", rows)

    def add_gaps(self, gaps: Iterable[tuple[int, int]]) -> None:
        """Times for which the venue was asked twice and has nothing."""
        self._put("candle_gaps", ({**self._key, "start_ms": start, "end_ms": end} for start, end in gaps))

    def funding_known(self, start_ms: int, end_ms: int) -> Times:
        """Funding times that are there, from ``start_ms`` to ``end_ms`` (both inclusive)."""
        with self._writing():
            rows = self._db.execute(
                "SELECT funding_ms FROM funding_rates WHERE exchange = ? AND symbol = ? AND funding_ms BETWEEN ? AND ? "
                "ORDER BY funding_ms",
                (*self._symbol_key.values(), start_ms, end_ms),
            ).fetchall()
        return np.array([row[0] for row in rows], dtype=np.int64)

    def add_funding(self, rates: Iterable[tuple[int, float]]) -> None:
        """Funding times (ms) with their rates."""
        self._put("funding_rates", ({**self._symbol_key, "funding_ms": ms, "rate": rate} for ms, rate in rates))

    def _put(self, table: str, rows: Iterable[dict[str, object]]) -> None:
        with self._writing():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                for row in rows:
                    columns, values = split(self._tables[table], row)
                    self._db.execute(statement(self._tables[table], tuple(columns)), values)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(
                f"The store {self.path} cannot be used ({words_of(error) or error_name(error)}); what was fetched "
                "before stays. Run the command again to go on."
            ) from None
