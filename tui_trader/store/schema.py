"""Tables, their migrations, and how a row is written into each.

``PRAGMA user_version`` counts the migrations applied; each is one function in one transaction. A database with a higher
version was written by a newer tui-trader and is refused. Money and quantities are TEXT (exact decimals), times INTEGER
(ms, UTC, venue time), analytics REAL, lists and tables JSON text. Every table has ``extra``, a JSON table for keys that
it has no column for, so that no record is ever lost.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import StrEnum

import msgspec

from tui_trader.errors import StoreError
from tui_trader.store.audit import begin_chain


class Write(StrEnum):
    """How a row meets one with the same key."""

    INSERT = "insert"
    IGNORE = "ignore"
    UPSERT = "upsert"


class Table(msgspec.Struct, frozen=True):
    """One table: its columns in order, its key, and how rows are written."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    write: Write


_FIRST = """
CREATE TABLE candles(symbol TEXT, timeframe TEXT, open_ms INTEGER, open REAL, high REAL, low REAL, close REAL,
  volume REAL, extra TEXT, PRIMARY KEY(symbol, timeframe, open_ms)) WITHOUT ROWID;
CREATE TABLE plans(plan_id INTEGER PRIMARY KEY, symbol TEXT, side TEXT, origin TEXT, strategy TEXT, opened_ms INTEGER,
  closed_ms INTEGER, body TEXT, extra TEXT);
CREATE TABLE orders(client_id TEXT PRIMARY KEY, plan_id INTEGER, leg TEXT, symbol TEXT, side TEXT, type TEXT, qty TEXT,
  price TEXT, trigger_price TEXT, reduce_only INTEGER, status TEXT, filled_qty TEXT, avg_price TEXT, venue_id TEXT,
  intent_ts INTEGER, updated_ts INTEGER, reason TEXT, extra TEXT);
CREATE INDEX orders_plan ON orders(plan_id);
CREATE INDEX orders_status ON orders(status);
CREATE TABLE fills(symbol TEXT, trade_id TEXT, client_id TEXT, venue_id TEXT, plan_id INTEGER, leg TEXT, side TEXT,
  qty TEXT, price TEXT, fee TEXT, fee_asset TEXT, maker INTEGER, realized_pnl TEXT, venue_ts INTEGER, extra TEXT,
  PRIMARY KEY(symbol, trade_id));
CREATE INDEX fills_time ON fills(venue_ts);
CREATE TABLE trades(plan_id INTEGER PRIMARY KEY, symbol TEXT, side TEXT, strategy TEXT, origin TEXT, opened_ms INTEGER,
  closed_ms INTEGER, qty TEXT, entry TEXT, exit TEXT, pnl TEXT, r REAL, fees TEXT, funding TEXT, reason TEXT, atr REAL,
  stop TEXT, slippage_pct REAL, longest_naked_ms INTEGER, conviction REAL, extra TEXT);
CREATE INDEX trades_time ON trades(closed_ms);
CREATE TABLE positions(ts INTEGER, symbol TEXT, qty TEXT, entry_price TEXT, mark TEXT, pnl TEXT, extra TEXT);
CREATE INDEX positions_time ON positions(ts);
CREATE TABLE signals(ts INTEGER, symbol TEXT, side TEXT, strategy TEXT, conviction REAL, action TEXT, reasons TEXT,
  conditions TEXT, extra TEXT);
CREATE INDEX signals_time ON signals(ts);
CREATE TABLE rejections(ts INTEGER, symbol TEXT, side TEXT, origin TEXT, codes TEXT, reasons TEXT, overridden INTEGER,
  extra TEXT);
CREATE INDEX rejections_time ON rejections(ts);
CREATE TABLE equity(ts INTEGER PRIMARY KEY, equity TEXT, wallet TEXT, day_pnl TEXT, extra TEXT);
CREATE TABLE ladder_events(ts INTEGER, plan_id INTEGER, symbol TEXT, event TEXT, leg TEXT, price TEXT, qty TEXT,
  why TEXT, extra TEXT);
CREATE INDEX ladder_events_plan ON ladder_events(plan_id);
CREATE TABLE risk_snapshots(ts INTEGER, body TEXT, extra TEXT);
CREATE TABLE tp_performance(plan_id INTEGER, symbol TEXT, strategy TEXT, leg TEXT, attempted_ms INTEGER, hit INTEGER,
  slippage_pct REAL, seconds REAL, pnl TEXT, extra TEXT);
CREATE TABLE trained_assets(symbol TEXT, exchange TEXT, strategy TEXT, regime TEXT, timeframe TEXT, body TEXT,
  deployed INTEGER, extra TEXT);
CREATE TABLE audit(ts INTEGER, actor TEXT, action TEXT, detail TEXT, extra TEXT);
CREATE TABLE funding(tran_id TEXT PRIMARY KEY, symbol TEXT, amount TEXT, venue_ts INTEGER, plan_id INTEGER, extra TEXT);
CREATE TABLE notices(ts INTEGER, severity TEXT, symbol TEXT, text TEXT, extra TEXT);
CREATE TABLE state(key TEXT PRIMARY KEY, value TEXT, extra TEXT);
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT, extra TEXT);
CREATE TABLE sends(ts INTEGER, client_id TEXT, action TEXT, result TEXT, code INTEGER, reason TEXT, extra TEXT);
CREATE INDEX sends_order ON sends(client_id);
CREATE TABLE misplaced(kind TEXT, body TEXT, why TEXT, extra TEXT);
"""


def _create_tables(db: sqlite3.Connection) -> None:
    for statement in _FIRST.split(";"):
        if statement.strip():
            db.execute(statement)


def _add_violations(db: sqlite3.Connection) -> None:
    db.execute(
        "CREATE TABLE violations(ts INTEGER, invariant TEXT, symbol TEXT, subject TEXT, words TEXT, traced INTEGER, "
        "extra TEXT)"
    )


def _name_trained_sets(db: sqlite3.Connection) -> None:
    db.execute("ALTER TABLE trades ADD COLUMN trained TEXT")
    db.execute("CREATE INDEX trades_trained ON trades(trained, closed_ms) WHERE trained <> ''")
    db.execute("CREATE INDEX trained_assets_key ON trained_assets(symbol, exchange, strategy, regime, timeframe)")


def _name_exchanges(db: sqlite3.Connection) -> None:
    """Candles by exchange: '' is what this store's own sessions heard, other names are what ``backfill`` fetched."""
    db.execute("ALTER TABLE candles RENAME TO candles_before")
    db.execute(
        "CREATE TABLE candles(exchange TEXT NOT NULL DEFAULT '', symbol TEXT, timeframe TEXT, open_ms INTEGER, "
        "open REAL, high REAL, low REAL, close REAL, volume REAL, extra TEXT, "
        "PRIMARY KEY(exchange, symbol, timeframe, open_ms)) WITHOUT ROWID"
    )
    names = "symbol, timeframe, open_ms, open, high, low, close, volume, extra"
    db.execute(f"INSERT INTO candles({names}) SELECT {names} FROM candles_before")
    db.execute("DROP TABLE candles_before")
    db.execute(
        "CREATE TABLE funding_rates(exchange TEXT, symbol TEXT, funding_ms INTEGER, rate REAL, extra TEXT, "
        "PRIMARY KEY(exchange, symbol, funding_ms)) WITHOUT ROWID"
    )
    db.execute(
        "CREATE TABLE candle_gaps(exchange TEXT, symbol TEXT, timeframe TEXT, start_ms INTEGER, end_ms INTEGER, "
        "extra TEXT, PRIMARY KEY(exchange, symbol, timeframe, start_ms)) WITHOUT ROWID"
    )


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    _create_tables,
    _add_violations,
    begin_chain,
    _name_trained_sets,
    _name_exchanges,
)
"""Step n (from 1) brings a database from version n − 1 to n. Steps are never edited after a release, only added."""

UPSERTED = frozenset(
    {"candles", "funding_rates", "candle_gaps", "plans", "orders", "trades", "equity", "state", "meta"}
)
IGNORED = frozenset({"fills", "funding"})
JSON_COLUMNS: Mapping[str, frozenset[str]] = {
    "plans": frozenset({"body"}),
    "signals": frozenset({"reasons", "conditions"}),
    "rejections": frozenset({"codes", "reasons"}),
    "risk_snapshots": frozenset({"body"}),
    "trained_assets": frozenset({"body"}),
    "audit": frozenset({"detail"}),
    "state": frozenset({"value"}),
    "misplaced": frozenset({"body"}),
}
BOOL_COLUMNS: Mapping[str, frozenset[str]] = {
    "orders": frozenset({"reduce_only"}),
    "fills": frozenset({"maker"}),
    "rejections": frozenset({"overridden"}),
    "violations": frozenset({"traced"}),
    "tp_performance": frozenset({"hit"}),
    "trained_assets": frozenset({"deployed"}),
}


def migrate(db: sqlite3.Connection, steps: tuple[Callable[[sqlite3.Connection], None], ...] = MIGRATIONS) -> None:
    """Bring ``db`` (autocommit connection) to the newest version. Raises ``StoreError`` when it is newer than that."""
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > len(steps):
        raise StoreError(
            f"The store has schema version {version}, written by a newer tui-trader; this one knows up to {len(steps)}."
            " Nothing was changed. Update tui-trader, or use another --data-dir."
        )
    for number, step in enumerate(steps[version:], start=version + 1):
        db.execute("BEGIN IMMEDIATE")
        try:
            step(db)
            db.execute(f"PRAGMA user_version = {number}")
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise


def read_tables(db: sqlite3.Connection) -> dict[str, Table]:
    """The tables as they stand in the database."""
    names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid")]
    tables = {}
    for name in names:
        info = db.execute(f"PRAGMA table_info({name})").fetchall()
        key = tuple(row[1] for row in sorted(info, key=lambda row: row[5]) if row[5])
        write = Write.UPSERT if name in UPSERTED else Write.IGNORE if name in IGNORED else Write.INSERT
        tables[name] = Table(name, tuple(row[1] for row in info), key, write)
    return tables


def encode(value: object) -> object:
    """One value as SQLite keeps it. Raises ``ValueError`` for what is no value (NaN, infinity)."""
    if value is None or type(value) is str or type(value) is int:
        return _checked(value)
    if isinstance(value, (bool, int)):
        return int(value)
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError(f"{value} is no amount")
        return format(value, "f")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is no number")
        return value
    if isinstance(value, str):
        return _checked(str(value))
    return to_json(value)


def _checked(value: str | int | None) -> object:
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-8", "replace").decode()
    return value


def to_json(value: object) -> str:
    """``value`` as JSON text; decimals as text."""
    return msgspec.json.encode(value, enc_hook=str).decode("utf-8")


def split(table: Table, data: Mapping[str, object]) -> tuple[list[str], list[object]]:
    """Columns and values of a row of ``table``; what has no column, or is no value, goes to ``extra`` as JSON."""
    columns: list[str] = []
    values: list[object] = []
    extra: dict[str, object] = {}
    as_json = JSON_COLUMNS.get(table.name, frozenset())
    for key, value in data.items():
        if key not in table.columns or key == "extra":
            extra[key] = value if _plain(value) else str(value)
            continue
        try:
            stored = to_json(value) if key in as_json else encode(value)
        except (ValueError, TypeError, msgspec.MsgspecError):
            extra[key] = str(value)
            stored = None
        columns.append(key)
        values.append(stored)
    if extra:
        columns.append("extra")
        values.append(to_json(extra))
    return columns, values


def _plain(value: object) -> bool:
    try:
        msgspec.json.encode(value, enc_hook=str)
    except (ValueError, TypeError, msgspec.MsgspecError):
        return False
    return True


def statement(table: Table, columns: tuple[str, ...]) -> str:
    """The SQL that writes a row with these columns."""
    names = ", ".join(f'"{column}"' for column in columns)
    marks = ", ".join("?" for _ in columns)
    verb = "INSERT OR IGNORE" if table.write is Write.IGNORE else "INSERT"
    sql = f'{verb} INTO "{table.name}"({names}) VALUES({marks})'
    if table.write is not Write.UPSERT:
        return sql
    key = ", ".join(f'"{column}"' for column in table.key)
    changes = ", ".join(_change(table.name, column) for column in columns if column not in table.key)
    return f"{sql} ON CONFLICT({key}) DO " + (f"UPDATE SET {changes}" if changes else "NOTHING")


def _change(table: str, column: str) -> str:
    if table == "orders" and column == "status":
        return (
            "status = CASE WHEN excluded.status = 'intent' OR orders.status = 'filled' "
            "OR (orders.status IN ('canceled', 'expired') AND excluded.status NOT IN ('partially_filled', 'filled')) "
            "THEN coalesce(orders.status, excluded.status) ELSE excluded.status END"
        )
    if table == "orders" and column == "filled_qty":
        return (
            "filled_qty = CASE WHEN CAST(excluded.filled_qty AS REAL) < CAST(orders.filled_qty AS REAL) "
            "THEN orders.filled_qty ELSE excluded.filled_qty END"
        )
    return f'"{column}" = excluded."{column}"'
