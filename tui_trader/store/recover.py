"""What the engine must know at a start, read from the store."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal, InvalidOperation
from math import isfinite
from pathlib import Path

from tui_trader.core.restored import PLAN_IDS
from tui_trader.core.state import TRADES_KEPT, Recovered
from tui_trader.core.types import DAY_MS, LATEST_MS, MINUTE_MS
from tui_trader.store import queries
from tui_trader.store.schema import BOOL_COLUMNS, JSON_COLUMNS, Table, read_tables
from tui_trader.store.trained import read_results, read_sets

_KEPT_SIGNALS = 200
_ENDED = ("filled", "canceled", "rejected", "expired")


def recovered(path: Path) -> Recovered:
    """What the engine must know at a start."""
    with closing(queries.open_read_only(path)) as db:
        return recovered_from(db)


def recovered_from(db: sqlite3.Connection) -> Recovered:
    """The same from an open connection, which stays open."""
    known = read_tables(db)
    plans = _all(db, known["plans"], "WHERE closed_ms IS NULL ORDER BY plan_id")
    marks = ", ".join("?" for _ in _ENDED)
    orders = _all(
        db,
        known["orders"],
        "WHERE plan_id IN (SELECT plan_id FROM plans WHERE closed_ms IS NULL) "
        f"OR coalesce(status, '') NOT IN ({marks}) ORDER BY intent_ts, client_id",
        _ENDED,
    )
    booked = _booked(db)
    for row in orders:
        row["booked"] = booked.get(str(row["client_id"]), Decimal(0))
    trades = _all(db, known["trades"], f"ORDER BY closed_ms DESC, plan_id DESC LIMIT {TRADES_KEPT}")
    signals = _all(db, known["signals"], f"ORDER BY ts DESC, rowid DESC LIMIT {_KEPT_SIGNALS}")
    newest = _newest(db, "fills", "venue_ts")
    fills = db.execute("SELECT symbol, trade_id FROM fills WHERE venue_ts >= ?", (newest - 2 * DAY_MS,)).fetchall()
    paid = _newest(db, "funding", "venue_ts")
    funding = db.execute("SELECT tran_id FROM funding WHERE venue_ts >= ?", (paid - 2 * DAY_MS,)).fetchall()
    loose = db.execute("SELECT amount FROM funding WHERE plan_id IS NULL").fetchall()
    since = _newest(db, "equity", "ts") - DAY_MS
    equity = db.execute(
        "SELECT max(ts), equity FROM equity WHERE ts >= ? AND typeof(ts) = 'integer' GROUP BY ts / ? ORDER BY ts",
        (since, MINUTE_MS),
    ).fetchall()
    state = {row["key"]: row["value"] for row in _all(db, known["state"], "")}
    highest = max(_newest(db, table, "plan_id", PLAN_IDS) for table in ("plans", "orders"))
    return Recovered(
        next_plan_id=max(highest, 0) + 1,
        plans=tuple(row["body"] for row in plans if isinstance(row["body"], dict)),
        orders=tuple(orders),
        trade_ids=tuple(f"{symbol}:{trade}" for symbol, trade in fills),
        state={str(key): value for key, value in state.items()},
        equity=tuple(_curve(equity)),
        trades=tuple(reversed(trades)),
        fills_cursor_ms=newest,
        funding_ids=tuple(str(tran_id) for (tran_id,) in funding),
        loose_funding=tuple(str(amount) for (amount,) in loose),
        trained=read_sets(db),
        trained_results=read_results(db),
        signals=tuple(signals),
    )


def _all(db: sqlite3.Connection, table: Table, tail: str, values: tuple[object, ...] = ()) -> list[dict[str, object]]:
    as_json = JSON_COLUMNS.get(table.name, frozenset()) | {"extra"}
    flags = BOOL_COLUMNS.get(table.name, frozenset())
    found = db.execute(f'SELECT * FROM "{table.name}" {tail}', values)
    return [
        {
            column: queries.decoded(value, column in as_json, column in flags)
            for column, value in zip(table.columns, row, strict=True)
        }
        for row in found
    ]


def _booked(db: sqlite3.Connection) -> dict[str, Decimal]:
    """What is filled of each order of an open plan by the fills that are stored; a damaged cell counts for nothing."""
    sql = (
        "SELECT client_id, qty FROM fills WHERE client_id != '' "
        "AND plan_id IN (SELECT plan_id FROM plans WHERE closed_ms IS NULL)"
    )
    found: dict[str, Decimal] = {}
    for client_id, text in db.execute(sql):
        try:
            qty = Decimal(str(text))
        except InvalidOperation:
            continue
        if qty.is_finite():
            found[client_id] = found.get(client_id, Decimal(0)) + qty
    return found


def _newest(db: sqlite3.Connection, table: str, column: str, most: int = LATEST_MS) -> int:
    """The largest whole number of a column, 0 when there is none; a damaged cell counts for nothing."""
    sql = f"SELECT max({column}) FROM {table} WHERE typeof({column}) = 'integer' AND {column} BETWEEN 0 AND ?"
    value = db.execute(sql, (most,)).fetchone()[0]
    return int(value) if value is not None else 0


def _curve(rows: list[tuple[int, object]]) -> Iterator[tuple[int, float]]:
    """The points of the equity curve that can be read."""
    for ts, text in rows:
        try:
            value = float(text)  # type: ignore[arg-type]  # whatever the column holds
        except (TypeError, ValueError):
            continue
        if isfinite(value):
            yield ts, value
