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


_OF_KEY = """
SELECT body FROM trained_assets WHERE (symbol, exchange, strategy, regime, timeframe) = (?, ?, ?, ?, ?)
  ORDER BY rowid DESC
"""


def read_sets(db: sqlite3.Connection) -> tuple[TrainedSet, ...]:
    """The newest set of each key; a damaged row counts for nothing."""
    newest = [found for (body,) in db.execute(_NEWEST).fetchall() if (found := _decoded(body)) is not None]
    return tuple(_trained_last(db, one) if one.demoted else one for one in newest)


def _decoded(body: str | None) -> TrainedSet | None:
    try:
        return msgspec.json.decode(body or "", type=TrainedSet)
    except (msgspec.MsgspecError, TypeError, ValueError):
        return None


def _trained_last(db: sqlite3.Connection, newest: TrainedSet) -> TrainedSet:
    """What counts where the newest row is a demotion: a session may demote a set that it still trades with, while a
    training that is under way has stored another for its key already.
    """
    rows: dict[str, TrainedSet] = {}
    key = (newest.symbol, newest.exchange, newest.strategy, newest.regime.value, newest.timeframe)
    for (body,) in db.execute(_OF_KEY, key):
        one = _decoded(body)
        if one is None:
            continue
        found = rows.setdefault(one.identity, one)
        if not one.demoted:
            return found
    return newest


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
