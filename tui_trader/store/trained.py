"""Trained sets in the store: rows are only added, and the newest one of a key is the one that counts."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import msgspec

from tui_trader.core.trained import TrainedSet, row_of
from tui_trader.errors import StoreError
from tui_trader.store import queries
from tui_trader.store.opening import connect, error_name
from tui_trader.store.schema import migrate, read_tables, split, statement

_PATIENCE_MS = 10_000
"""How long a command waits for the session's own writes."""
_NEWEST = """
SELECT body FROM trained_assets WHERE rowid IN
  (SELECT max(rowid) FROM trained_assets GROUP BY symbol, exchange, strategy, regime, timeframe) ORDER BY rowid
"""


def read_sets(db: sqlite3.Connection) -> tuple[TrainedSet, ...]:
    """The newest set of each key; a damaged row counts for nothing."""
    found = []
    for (body,) in db.execute(_NEWEST):
        try:
            found.append(msgspec.json.decode(body or "", type=TrainedSet))
        except (msgspec.MsgspecError, TypeError, ValueError):
            continue
    return tuple(found)


def read_results(db: sqlite3.Connection) -> tuple[tuple[str, float], ...]:
    """The results in R of every trade that a trained set made, oldest first."""
    rows = db.execute(
        "SELECT trained, r FROM trades WHERE trained <> '' AND typeof(r) = 'real' ORDER BY closed_ms, plan_id"
    )
    return tuple((str(identity), float(r)) for identity, r in rows)


def load_sets(path: Path) -> tuple[TrainedSet, ...]:
    """The sets in force of the store at ``path``; none where there is no store. Raises ``StoreError``."""
    if not path.is_file():
        return ()
    with closing(queries.open_read_only(path)) as db:
        try:
            return read_sets(db)
        except sqlite3.Error as error:
            raise StoreError(f"The trained sets in {path} cannot be read ({error}).") from None


def save_sets(path: Path, sets: Iterable[TrainedSet]) -> None:
    """Add sets to the store at ``path``, also while a session writes it. Raises ``StoreError``: nothing was added."""
    rows = [row_of(one) for one in sets]
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        with closing(connect(path)) as db:
            db.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
            migrate(db)
            table = read_tables(db)["trained_assets"]
            db.execute("BEGIN IMMEDIATE")
            for row in rows:
                columns, values = split(table, row)
                db.execute(statement(table, tuple(columns)), values)
            db.execute("COMMIT")
    except sqlite3.Error as error:
        raise StoreError(
            f"The store {path} cannot be written ({error_name(error) or error}); the trained sets were not kept."
        ) from None
    except OSError as error:
        raise StoreError(f"The store {path} cannot be opened ({error.strerror}); give another --data-dir.") from None


def carry_over(old: Path, new: Path) -> int:
    """Take the trained sets of an archived store into the one that begins: they belong to the person, not to the
    account. Gives their number. Raises ``StoreError``.
    """
    sets = load_sets(old)
    if sets:
        save_sets(new, sets)
    return len(sets)
