"""Trained sets in the store: the newest counts, session and command may both write, damage is survived."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from tui_trader.core.commands import Record
from tui_trader.core.regime import Regime
from tui_trader.core.trained import TrainedSet, row_of
from tui_trader.errors import StoreError
from tui_trader.store.journal import Store
from tui_trader.store.trained import carry_over, load_sets, save_sets

BULL = TrainedSet(
    symbol="BTCUSDT",
    exchange="binance",
    strategy="volume_breakout",
    regime=Regime.BULL,
    timeframe="15m",
    values={"bars": 30.0},
    trained_ms=1,
    deployed=True,
    metrics={"oos_mean_r": 0.25},
    oos_r=(1.5, -1.0),
)
BEAR = msgspec.structs.replace(BULL, regime=Regime.BEAR, deployed=False, reason="3 trades out of sample, 20 are needed")


def test_the_newest_of_each_key_counts_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "new" / "store.sqlite3"
    assert load_sets(path) == ()
    save_sets(path, [BULL, BEAR])
    assert load_sets(path) == (BULL, BEAR)
    again = msgspec.structs.replace(BULL, trained_ms=2, deployed=False, reason="the default was better")
    save_sets(path, [again])
    assert load_sets(path) == (BEAR, again)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*), sum(deployed) FROM trained_assets").fetchone() == (3, 1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_command_saves_while_a_session_writes(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    failures: list[str] = []
    store = await Store.open(path, failures.append)
    try:
        demoted = msgspec.structs.replace(BULL, demoted="it lost")
        for number in range(200):
            store.record(Record(ts=number, kind="notices", data={"ts": number, "text": "x"}))
        save_sets(path, [BULL, BEAR])
        store.record(Record(ts=9, kind="trained_assets", data=row_of(demoted), durable=True))
        for plan_id, (name, r) in enumerate([(BULL.identity, 1.5), ("", 9.0), (BULL.identity, -1.0)], 1):
            row: dict[str, object] = {"plan_id": plan_id, "closed_ms": plan_id, "r": r, "trained": name}
            store.record(Record(ts=9, kind="trades", data=row, durable=True))
        recovered = await store.recovered()
        assert recovered.trained == (BEAR, demoted)
        assert recovered.trained_results == ((BULL.identity, 1.5), (BULL.identity, -1.0))
        assert failures == []
    finally:
        await store.aclose()


def test_a_damaged_row_counts_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    save_sets(path, [BULL, BEAR])
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE trained_assets SET body = '{\"symbol\": 7' WHERE regime = 'bull'")
    assert load_sets(path) == (BEAR,)


def test_a_demotion_of_the_set_before_does_not_hide_a_new_one(tmp_path: Path) -> None:
    """A training stores its sets as they come, and a session trades with the old ones until it is over."""
    path = tmp_path / "store.sqlite3"
    new = msgspec.structs.replace(BULL, trained_ms=2, values={"bars": 40.0})
    old, other = (msgspec.structs.replace(one, demoted="it lost") for one in (BULL, new))
    save_sets(path, [BULL, old])
    assert load_sets(path) == (old,)
    save_sets(path, [new, old])
    assert load_sets(path) == (new,)
    save_sets(path, [other])
    assert load_sets(path) == (other,)
    save_sets(path, [old])
    assert load_sets(path) == (other,), "its own demotion stays"
    carried = tmp_path / "carried.sqlite3"
    carry_over(path, carried)
    assert load_sets(carried) == (other,)


def test_a_locked_store_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui_trader.store.trained._PATIENCE_MS", 50)
    path = tmp_path / "store.sqlite3"
    save_sets(path, [BULL])
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="the trained sets were not kept"):
            save_sets(path, [BEAR])
        db.execute("ROLLBACK")
    assert load_sets(path) == (BULL,)


def test_an_archive_hands_its_sets_on(tmp_path: Path) -> None:
    old, new = tmp_path / "old.sqlite3", tmp_path / "new.sqlite3"
    save_sets(old, [BULL, BEAR])
    assert carry_over(old, new) == 2
    assert load_sets(new) == (BULL, BEAR)
    assert carry_over(tmp_path / "none.sqlite3", tmp_path / "other.sqlite3") == 0
    assert not (tmp_path / "other.sqlite3").exists()
