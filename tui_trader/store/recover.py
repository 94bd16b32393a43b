"""What the engine must know at a start, read from the store."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tui_trader.core.state import Recovered
from tui_trader.core.types import DAY_MS, MINUTE_MS
from tui_trader.store import queries
from tui_trader.store.schema import BOOL_COLUMNS, JSON_COLUMNS, Table, read_tables

_KEPT_TRADES = 200
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
    trades = _all(db, known["trades"], f"ORDER BY closed_ms DESC, plan_id DESC LIMIT {_KEPT_TRADES}")
    newest = _one(db, "SELECT max(venue_ts) FROM fills")
    fills = db.execute("SELECT symbol, trade_id FROM fills WHERE venue_ts >= ?", (newest - 2 * DAY_MS,)).fetchall()
    since = _one(db, "SELECT max(ts) FROM equity") - DAY_MS
    equity = db.execute(
        "SELECT max(ts), equity FROM equity WHERE ts >= ? AND equity IS NOT NULL GROUP BY ts / ? ORDER BY ts",
        (since, MINUTE_MS),
    ).fetchall()
    state = {row["key"]: row["value"] for row in _all(db, known["state"], "")}
    highest = max(_one(db, "SELECT max(plan_id) FROM plans"), _one(db, "SELECT max(plan_id) FROM orders"))
    return Recovered(
        next_plan_id=max(highest, 0) + 1,
        plans=tuple(row["body"] for row in plans if isinstance(row["body"], dict)),
        orders=tuple(orders),
        trade_ids=tuple(f"{symbol}:{trade}" for symbol, trade in fills),
        state={str(key): value for key, value in state.items()},
        equity=tuple((int(ts), float(value)) for ts, value in equity),
        trades=tuple(reversed(trades)),
        fills_cursor_ms=newest,
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


def _one(db: sqlite3.Connection, sql: str) -> int:
    value = db.execute(sql).fetchone()[0]
    return int(value) if value is not None else 0
