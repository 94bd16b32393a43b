"""Exports: a header always, exact amounts, refusals in words."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from pathlib import Path

import pytest

from tests.store.build import record
from tui_trader.errors import StoreError, UsageError
from tui_trader.store.export import export, exportable
from tui_trader.store.journal import Store


def ignore(text: str) -> None:
    """A session that does not listen."""


async def filled(path: Path) -> Path:
    store = await Store.open(path, ignore)
    store.record(record("trades", plan_id=1, symbol="BTCUSDT", pnl=Decimal("0.10"), reason='said "no",\nthen yes'))
    store.record(record("trades", plan_id=2, symbol="ETHUSDT", pnl=Decimal("-1E+2"), mood="calm"))
    store.record(record("rejections", ts=1, codes=["spread"], reasons=["spread 99.0 bps > 3.0 bps"], overridden=False))
    await store.aclose()
    return path


async def test_csv_and_json_of_trades(tmp_path: Path) -> None:
    path = await filled(tmp_path / "s.sqlite3")
    rows = list(csv.DictReader(io.StringIO("".join(export(path, "trades", "csv")))))
    assert [(row["symbol"], row["pnl"]) for row in rows] == [("BTCUSDT", "0.10"), ("ETHUSDT", "-100")]
    assert rows[0]["reason"] == 'said "no",\nthen yes'
    assert json.loads(rows[1]["extra"]) == {"mood": "calm"}
    objects = json.loads("".join(export(path, "trades", "json")))
    assert [row["pnl"] for row in objects] == ["0.10", "-100"]
    assert objects[1]["extra"] == {"mood": "calm"}
    (refused,) = json.loads("".join(export(path, "rejections", "json")))
    assert refused["codes"] == ["spread"]
    assert refused["overridden"] is False


async def test_every_table_exports_empty_with_its_header(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite3"
    await (await Store.open(path, ignore)).aclose()
    known = exportable(path)
    assert next(iter(known)) == "trades"
    for name, table in known.items():
        assert "".join(export(path, name, "csv")) == ",".join(table.columns) + "\n"
        assert json.loads("".join(export(path, name, "json"))) == []


async def test_unknown_names_are_refused_in_words(tmp_path: Path) -> None:
    path = await filled(tmp_path / "s.sqlite3")
    with pytest.raises(UsageError, match="did you mean trades"):
        export(path, "trade", "csv")
    with pytest.raises(UsageError, match="csv or json"):
        export(path, "trades", "xml")
    with pytest.raises(StoreError, match="There is no store"):
        export(tmp_path / "absent", "trades", "csv")
