"""Read-only questions to the store: its tables and their rows, for exports and the command line."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from tui_trader.errors import StoreError
from tui_trader.store.opening import read_only
from tui_trader.store.schema import BOOL_COLUMNS, JSON_COLUMNS, MIGRATIONS, Table, read_tables


def open_read_only(path: Path) -> sqlite3.Connection:
    """A connection that cannot write. Raises ``StoreError`` when there is no readable store at ``path``."""
    if not path.is_file():
        raise StoreError(f"There is no store at {path}: nothing was recorded yet with this --data-dir.")
    try:
        db = read_only(path)
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.Error as error:
        raise StoreError(f"The store {path} cannot be read ({error}).") from None
    if version > len(MIGRATIONS):
        db.close()
        raise StoreError(f"The store {path} was written by a newer tui-trader (schema {version}); update tui-trader.")
    return db


def tables(path: Path) -> dict[str, Table]:
    """The tables of the store, by name."""
    with closing(open_read_only(path)) as db:
        return read_tables(db)


def rows(path: Path, table: Table) -> Iterator[dict[str, object]]:
    """All rows of a table in the order they were written, one at a time; JSON columns decoded, flags as booleans."""
    as_json = JSON_COLUMNS.get(table.name, frozenset()) | {"extra"}
    flags = BOOL_COLUMNS.get(table.name, frozenset())
    order = ", ".join(f'"{column}"' for column in table.key) or "rowid"
    with closing(open_read_only(path)) as db:
        try:
            for values in db.execute(f'SELECT * FROM "{table.name}" ORDER BY {order}'):  # names come from the schema
                yield {
                    column: decoded(value, column in as_json, column in flags)
                    for column, value in zip(table.columns, values, strict=True)
                }
        except sqlite3.Error as error:
            raise StoreError(
                f"Reading {table.name} of {path} failed ({error}); what was printed is incomplete."
            ) from None


def decoded(value: object, as_json: bool, flag: bool) -> object:
    """A stored value as Python has it."""
    if value is None:
        return None
    if as_json and isinstance(value, str):
        try:
            inner: object = msgspec.json.decode(value)
        except msgspec.DecodeError:
            return value
        return inner
    return bool(value) if flag else value
