"""Market history in the store: one row for each candle, exchanges apart, failures in words."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tui_trader.core.events import Candle
from tui_trader.errors import StoreError
from tui_trader.store.candles import OWN, CandleStore, ccxt_name, read_candles, read_funding
from tui_trader.store.schema import MIGRATIONS, migrate

A = Candle(60_000, 1.0, 2.0, 0.5, 1.5, 9.0)
B = Candle(120_000, 1.5, 2.5, 1.0, 2.0, 8.0)


def test_candles_come_back_by_exchange_symbol_timeframe_and_time(tmp_path: Path) -> None:
    path = tmp_path / "a" / "s.sqlite3"
    for exchange, timeframe, row in (("okx", "1m", A), ("okx", "1m", B), ("bybit", "1m", A), ("okx", "1h", B)):
        with closing(CandleStore(path, exchange, "X", timeframe)) as store:
            store.add([row])
    found = read_candles(path, "X", "okx")
    assert [column.tolist() for column in found] == [list(pair) for pair in zip(_row(A), _row(B), strict=True)]
    assert read_candles(path, "X", "okx", 60_001)[0].tolist() == [120_000]
    assert read_candles(path, "X", "okx", None, 120_000)[0].tolist() == [60_000]
    assert read_candles(path, "X", "okx", timeframe="1h")[0].tolist() == [120_000]
    assert not len(read_candles(path, "X", OWN)[0])
    assert not len(read_candles(path, "Y", "okx")[0])
    assert path.stat().st_mode & 0o077 == 0


def _row(row: Candle) -> tuple[float, ...]:
    return row.open_ms, row.open, row.high, row.low, row.close, row.volume


def test_what_is_fetched_again_replaces_and_gaps_and_funding_stay_apart(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite3"
    with closing(CandleStore(path, "okx", "X", "1m")) as store:
        store.add([A, B])
        store.add([Candle(60_000, 7.0, 7.0, 7.0, 7.0, 7.0)])
        store.add_gaps([(180_000, 240_000)])
        store.add_funding([(60_000, 1e-4), (60_000, 2e-4)])
        assert store.known(0, 10**9).tolist() == [60_000, 120_000]
        assert store.venue_gaps() == ((180_000, 240_000),)
        assert store.funding_known(0, 60_000).tolist() == [60_000]
    assert read_candles(path, "X", "okx")[1].tolist() == [7.0, 1.5]
    assert [column.tolist() for column in read_funding(path, "X", "okx")] == [[60_000], [2e-4]]
    assert not len(read_funding(path, "X", "bybit")[0])
    with closing(CandleStore(path, "bybit", "X", "1m")) as other:
        assert other.venue_gaps() == ()


def test_a_page_that_cannot_be_written_leaves_nothing_of_it(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite3"
    with closing(CandleStore(path, "okx", "X", "1m")) as store:
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TRIGGER no BEFORE INSERT ON candles WHEN NEW.open_ms = 120000 BEGIN "
                       "SELECT RAISE(ABORT, 'no'); END")  # fmt: skip
        with pytest.raises(StoreError, match=r"cannot be used .* what was fetched before stays"):
            store.add([A, B])
        store.add([A])
        assert store.known(0, 10**9).tolist() == [60_000]


def test_a_folder_that_cannot_be_made_and_a_newer_store_are_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot be opened .* give another --data-dir"):
        CandleStore(tmp_path / "file" / "s.sqlite3", "okx", "X", "1m")
    path = tmp_path / "new.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        migrate(db)
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(StoreError, match="newer tui-trader"):
        CandleStore(path, "okx", "X", "1m")


def test_this_products_name_of_a_venue_is_ccxts() -> None:
    assert (ccxt_name("binance"), ccxt_name("okx")) == ("binanceusdm", "okx")
