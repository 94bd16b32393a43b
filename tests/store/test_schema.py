"""Schema: migrations step by step, a newer one refused, every table written and read back."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_trader.errors import StoreError
from tui_trader.store.queries import decoded
from tui_trader.store.schema import (
    BOOL_COLUMNS,
    JSON_COLUMNS,
    MIGRATIONS,
    Table,
    Write,
    migrate,
    read_tables,
    split,
    statement,
)

EXPECTED = {
    "candles",
    "plans",
    "orders",
    "fills",
    "trades",
    "positions",
    "signals",
    "rejections",
    "equity",
    "ladder_events",
    "risk_snapshots",
    "tp_performance",
    "trained_assets",
    "audit",
    "funding",
    "notices",
    "state",
    "meta",
    "sends",
    "misplaced",
    "violations",
    "funding_rates",
    "candle_gaps",
}


def fresh() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", isolation_level=None)
    migrate(db)
    return db


with closing(fresh()) as _db:
    TABLES = read_tables(_db)


def test_every_table_exists_and_takes_unknown_keys() -> None:
    assert set(TABLES) == EXPECTED
    assert all("extra" in table.columns for table in TABLES.values())
    assert set(JSON_COLUMNS) | set(BOOL_COLUMNS) <= EXPECTED
    for columns in (JSON_COLUMNS, BOOL_COLUMNS):
        assert all(set(names) <= set(TABLES[table].columns) for table, names in columns.items())


def test_steps_are_applied_once_and_in_order(tmp_path: Path) -> None:
    def add_column(db: sqlite3.Connection) -> None:
        db.execute("ALTER TABLE trades ADD COLUMN mood TEXT")

    with closing(sqlite3.connect(tmp_path / "s.sqlite3", isolation_level=None)) as db:
        migrate(db)
        db.execute("INSERT INTO trades(plan_id, pnl) VALUES(1, '1.10')")
        migrate(db, (*MIGRATIONS, add_column))
        migrate(db, (*MIGRATIONS, add_column))
        assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
        assert db.execute("SELECT pnl, mood FROM trades").fetchone() == ("1.10", None)


def test_a_failing_step_leaves_the_version_before() -> None:
    def broken(db: sqlite3.Connection) -> None:
        db.execute("CREATE TABLE half(a)")
        db.execute("CREATE TABLE half(a)")

    with closing(fresh()) as db:
        with pytest.raises(sqlite3.OperationalError):
            migrate(db, (*MIGRATIONS, broken))
        assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert "half" not in read_tables(db)


def test_a_newer_schema_is_refused_in_words() -> None:
    with closing(fresh()) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
        with pytest.raises(StoreError, match="newer tui-trader"):
            migrate(db)


# --- round trips ---

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
jsons = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
affinities = {
    "INTEGER": st.integers(-(2**63), 2**63 - 1),
    "REAL": st.floats(allow_nan=False, allow_infinity=False),
    "TEXT": texts | st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=8),
}


def a_row(table: Table) -> st.SearchStrategy[dict[str, object]]:
    with closing(fresh()) as db:
        info = db.execute(f"PRAGMA table_info({table.name})").fetchall()
    columns: dict[str, st.SearchStrategy[object]] = {}
    for _, name, kind, *_ in info:
        if name == "extra":
            continue
        value: st.SearchStrategy[object] = affinities[kind]
        if name in JSON_COLUMNS.get(table.name, ()):
            value = jsons
        elif name in BOOL_COLUMNS.get(table.name, ()):
            value = st.booleans()
        columns[name] = value if name in table.key else value | st.none()
    optional = {name: value for name, value in columns.items() if name not in table.key}
    return st.fixed_dictionaries({name: columns[name] for name in table.key}, optional=optional)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_rows_come_back_as_they_were_given(name: str) -> None:
    table = TABLES[name]

    @given(a_row(table))
    def round_trip(row: dict[str, object]) -> None:
        with closing(fresh()) as db:
            columns, values = split(table, row)
            if not columns:
                return
            db.execute(f"DELETE FROM {name}")
            db.execute(statement(table, tuple(columns)), values)
            stored = dict(zip(table.columns, db.execute(f"SELECT * FROM {name}").fetchone(), strict=True))
        for key, value in row.items():
            got = decoded(stored[key], key in JSON_COLUMNS.get(name, ()), key in BOOL_COLUMNS.get(name, ()))
            assert got == (format(value, "f") if isinstance(value, Decimal) else value)

    round_trip()


def test_what_has_no_column_or_is_no_value_goes_to_extra() -> None:
    columns, values = split(TABLES["trades"], {"plan_id": 1, "mood": "calm", "pnl": Decimal("NaN"), "r": float("inf")})
    row = dict(zip(columns, values, strict=True))
    assert (row["plan_id"], row["pnl"], row["r"]) == (1, None, None)
    assert msgspec.json.decode(str(row["extra"])) == {"mood": "calm", "pnl": "NaN", "r": "inf"}


@given(st.dictionaries(texts, jsons | st.floats() | st.decimals() | st.binary(max_size=4) | st.text(max_size=4)))
def test_any_data_is_taken(data: dict[str, object]) -> None:
    with closing(fresh()) as db:
        columns, values = split(TABLES["notices"], data)
        if columns:
            db.execute(statement(TABLES["notices"], tuple(columns)), values)


def put(db: sqlite3.Connection, table: str, **data: object) -> None:
    columns, values = split(TABLES[table], data)
    db.execute(statement(TABLES[table], tuple(columns)), values)


@pytest.mark.parametrize(
    ("first", "then", "kept"),
    [
        ("intent", "sent", "sent"),
        ("sent", "intent", "sent"),
        ("working", "filled", "filled"),
        ("filled", "canceled", "filled"),
        ("filled", "working", "filled"),
        ("canceled", "working", "canceled"),
        ("canceled", "filled", "filled"),
        ("expired", "partially_filled", "partially_filled"),
        ("rejected", "working", "working"),
        ("rejected", "intent", "rejected"),
    ],
)
def test_an_ended_order_stays_ended_except_by_a_fill(first: str, then: str, kept: str) -> None:
    with closing(fresh()) as db:
        put(db, "orders", client_id="a", status=first, qty=Decimal("1.0"))
        put(db, "orders", client_id="a", status=then, reason="later")
        assert db.execute("SELECT status, qty, reason FROM orders").fetchone() == (kept, "1.0", "later")


def test_filled_quantity_never_shrinks() -> None:
    with closing(fresh()) as db:
        put(db, "orders", client_id="a", filled_qty=Decimal("10.5"))
        put(db, "orders", client_id="a", filled_qty=Decimal("9"))
        assert db.execute("SELECT filled_qty FROM orders").fetchone() == ("10.5",)


def test_a_trade_id_counts_once() -> None:
    with closing(fresh()) as db:
        for qty in ("1", "2"):
            put(db, "fills", symbol="BTCUSDT", trade_id="7", qty=Decimal(qty))
        put(db, "fills", symbol="ETHUSDT", trade_id="7", qty=Decimal(3))
        assert db.execute("SELECT qty FROM fills ORDER BY symbol").fetchall() == [("1",), ("3",)]
        assert TABLES["fills"].write is Write.IGNORE
