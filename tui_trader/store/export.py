"""Tables of the store as CSV or JSON text, streamed row by row; amounts stay exact text."""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tui_trader.errors import UsageError
from tui_trader.store import queries
from tui_trader.store.schema import Table, to_json

FORMATS = ("csv", "json")
_HIDDEN = frozenset({"meta"})


def exportable(path: Path) -> dict[str, Table]:
    """The tables that can be exported; ``trades`` first."""
    known = {name: table for name, table in queries.tables(path).items() if name not in _HIDDEN}
    first = {"trades": known.pop("trades")} if "trades" in known else {}
    return first | known


def export(path: Path, table: str, fmt: str) -> Iterator[str]:
    """The text of a whole table in pieces: CSV with a header always, or one JSON array of objects.

    Raises ``UsageError`` for an unknown table or format, ``StoreError`` when the store cannot be read.
    """
    known = exportable(path)
    if table not in known:
        near = difflib.get_close_matches(table, list(known), n=1)
        hint = f"; did you mean {near[0]}?" if near else "."
        raise UsageError(f"There is no table {table!r}{hint} Tables: {', '.join(known)}.")
    if fmt not in FORMATS:
        raise UsageError(f"There is no format {fmt!r}; use csv or json.")
    return _csv(path, known[table]) if fmt == "csv" else _json(path, known[table])


def _csv(path: Path, table: Table) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(table.columns)
    for row in queries.rows(path, table):
        yield _taken(buffer)
        writer.writerow([_cell(row[column]) for column in table.columns])
    yield _taken(buffer)


def _taken(buffer: io.StringIO) -> str:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, dict)):
        return to_json(value)
    return "" if value is None else value


def _json(path: Path, table: Table) -> Iterator[str]:
    opening = "["
    for row in queries.rows(path, table):
        yield opening + "\n" + msgspec.json.encode(row).decode("utf-8")
        opening = ","
    yield "[]\n" if opening == "[" else "\n]\n"
