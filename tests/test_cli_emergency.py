"""``kill`` and ``status`` from another terminal: what they reach, what they say, how they end."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from pathlib import Path

import pytest

from tests.runtime.test_session import enter, options, simulated, trading, until
from tui_trader.cli import main
from tui_trader.cli_emergency import find, last_known
from tui_trader.exchange.server import RunningExchange
from tui_trader.runtime.latch import KillLatch
from tui_trader.runtime.lock import AccountLock, Holder
from tui_trader.runtime.start import STORE_FILE


def call(data_dir: Path, *words: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Exit code and output of one command line."""
    out = io.StringIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        code = main(["--data-dir", str(data_dir), *words])
    return code, out.getvalue()


async def called(data_dir: Path, *words: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """``call`` beside a session of this loop."""
    return await asyncio.to_thread(call, data_dir, *words, monkeypatch=monkeypatch)


def flat(exchange: RunningExchange) -> bool:
    account = exchange.account
    return not account.orders and not account.algos and not any(p.lots for p in account.positions.values())


def test_nothing_runs_the_latch_is_set_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, text = call(tmp_path, "--mode", "live", "kill", "--reason", "going\nto bed", monkeypatch=monkeypatch)
    assert code == 3
    assert f"no session runs with {tmp_path / 'live'}, so nothing was closed" in text
    assert "comes up killed and flattens" in text
    latched = KillLatch(tmp_path / "live").read()
    assert latched is not None
    assert latched.reason == "going to bed"
    assert not (tmp_path / "demo").exists()
    code, text = call(tmp_path, "status", monkeypatch=monkeypatch)
    assert code == 1
    assert "live: no session runs. The kill switch is latched (going to bed)." in text


def test_all_accounts_of_the_folder_unless_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for mode in ("demo", "testnet", "live"):
        (tmp_path / mode).mkdir()
    assert call(tmp_path, "--mode", "testnet", "kill", monkeypatch=monkeypatch)[0] == 3
    assert [KillLatch(tmp_path / m).read() is not None for m in ("demo", "testnet", "live")] == [False, True, False]
    code, text = call(tmp_path, "kill", "--json", monkeypatch=monkeypatch)
    assert code == 3
    assert [row["mode"] for row in json.loads(text)["accounts"]] == ["demo", "testnet", "live"]
    assert all(KillLatch(tmp_path / m).read() for m in ("demo", "testnet", "live"))


def test_a_latch_that_cannot_be_set_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "live").write_text("a file where the folder should be")
    code, text = call(tmp_path, "--mode", "live", "kill", monkeypatch=monkeypatch)
    assert code == 1
    assert "NOT latched" in text


def test_a_session_that_does_not_answer_gets_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "live"
    folder.mkdir()
    lock = AccountLock(folder / "a.lock", Holder(pid=4711, started_ms=1, control=str(folder / "a.sock"))).acquire()
    try:
        code, text = call(tmp_path, "kill", monkeypatch=monkeypatch)
        assert code == 1
        assert "process 4711 holds the account but does not answer" in text
        assert KillLatch(folder).read() is not None
        code, text = call(tmp_path, "status", monkeypatch=monkeypatch)
        assert code == 1
        assert "process 4711 holds the account but does not answer" in text
    finally:
        lock.release()


async def test_a_running_session_is_shown_killed_and_followed_until_flat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with simulated() as exchange:
        async with trading(options(exchange, tmp_path)) as session:
            await enter(session)
            code, text = await called(tmp_path, "status", monkeypatch=monkeypatch)
            assert code == 0
            assert "live on binance: process" in text
            assert "BTCUSDT long 0.01 at" in text
            assert " proven " in text
            code, text = await called(tmp_path, "status", "--json", monkeypatch=monkeypatch)
            (row,) = json.loads(text)["sessions"]
            assert (row["mode"], row["running"], row["positions"], row["armed"]) == ("live", True, 1, True)
            assert row["open"][0]["stop_proven"] is True
            assert row["open"][0]["proven_age_s"] >= 0

            code, text = await called(tmp_path, "kill", "--reason", "from afar", monkeypatch=monkeypatch)
            assert (code, text) == (0, "live: killed and flat. No entries until a person re-arms (R in the console).\n")
            assert flat(exchange)
            code, text = await called(tmp_path, "status", monkeypatch=monkeypatch)
            assert "KILLED (from afar)" in text
            assert code == 0
        assert last_known(tmp_path / "live" / STORE_FILE) == []


async def test_a_session_with_another_data_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with simulated() as exchange, trading(options(exchange, tmp_path / "one")):
        for command, expected in (("status", 1), ("kill", 3)):
            code, text = await called(tmp_path / "two", command, monkeypatch=monkeypatch)
            assert code == expected
            assert f"trades with the data folder {tmp_path / 'one'}" in text


async def test_what_the_store_last_knew_is_said_when_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with simulated() as exchange:
        async with trading(options(exchange, tmp_path)) as session:
            await enter(session)
        code, text = await called(tmp_path, "kill", monkeypatch=monkeypatch)
        assert code == 3
        assert "the stops that rest at the venue hold: BTCUSDT long 0.010 (stop " in text
        async with trading(options(exchange, tmp_path)):
            await until(lambda: flat(exchange))


def test_a_store_that_cannot_be_read_says_nothing_rather_than_failing(tmp_path: Path) -> None:
    path = tmp_path / STORE_FILE
    assert last_known(path) == []
    path.write_bytes(b"no database" * 1000)
    assert last_known(path) == []
    assert find(tmp_path, ("demo",)) == []
