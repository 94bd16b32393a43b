"""The kill switch over restarts: file and store, either latches, only a person clears (I15)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
from decimal import Decimal
from pathlib import Path

import pytest

from tests.runtime.test_session import enter, held, options, resting_stops, simulated, trading, until
from tui_trader.core.events import OpenPosition, Rearm
from tui_trader.core.types import Side
from tui_trader.exchange.server import RunningExchange
from tui_trader.runtime.control import Request, ask, control_path
from tui_trader.runtime.latch import KillLatch
from tui_trader.runtime.lock import lock_path
from tui_trader.runtime.session import Session
from tui_trader.runtime.signals import run_headless
from tui_trader.runtime.start import STORE_FILE, build_session

NOW = 1_790_000_000_000


def test_the_file_keeps_its_first_words_and_is_private(tmp_path: Path) -> None:
    latch = KillLatch(tmp_path / "live")
    assert latch.read() is None
    latch.latch("first", NOW)
    latch.latch("second", NOW + 1)
    found = latch.read()
    assert found is not None
    assert (found.reason, found.at_ms) == ("first", NOW)
    assert stat.S_IMODE(latch.path.stat().st_mode) == 0o600
    latch.clear()
    latch.clear()
    assert latch.read() is None


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"{", b'{"reason": ""}', b"x" * 100_000])
def test_a_file_made_by_hand_or_torn_latches(tmp_path: Path, content: bytes) -> None:
    latch = KillLatch(tmp_path)
    latch.path.write_bytes(content)
    found = latch.read()
    assert found is not None
    assert "exists" in found.reason


def test_a_folder_in_the_place_of_the_file_latches_and_cannot_be_cleared(tmp_path: Path) -> None:
    latch = KillLatch(tmp_path)
    latch.path.mkdir()
    assert latch.read() is not None
    latch.latch("more", NOW)
    with pytest.raises(OSError, match="KILL"):
        latch.clear()


def test_a_link_that_leads_nowhere_latches(tmp_path: Path) -> None:
    latch = KillLatch(tmp_path)
    latch.path.symlink_to(tmp_path / "absent")
    latch.latch("more", NOW)
    assert latch.read() is not None
    latch.clear()
    assert latch.read() is None


async def killed(session: Session) -> None:
    """The session stands killed and refuses an entry."""
    await until(lambda: session.status().get("killed"))
    ticket = OpenPosition(ts=session.now_ms(), symbol="BTCUSDT", side=Side.LONG, qty=Decimal("0.01"))
    assert session.preview(ticket).hard


def flat(exchange: RunningExchange) -> bool:
    """By the exchange's own books: no position, nothing resting on either."""
    return not held(exchange) and not exchange.account.orders and not exchange.account.algos


async def test_latched_while_nothing_runs_the_next_start_comes_up_killed_and_flattens(tmp_path: Path) -> None:
    async with simulated() as exchange:
        async with trading(options(exchange, tmp_path)) as session:
            await enter(session)
        assert resting_stops(exchange)
        KillLatch(tmp_path / "live").latch("left the desk", NOW)
        async with trading(options(exchange, tmp_path)) as again:
            assert "kill switch" in str(again.engine.state.blocks())
            await until(lambda: flat(exchange))
            await killed(again)
            assert again.status()["kill_reason"] == "left the desk"


async def test_a_foreign_position_found_by_a_killed_start_is_flattened(tmp_path: Path) -> None:
    async with simulated() as exchange:
        async with trading(options(exchange, tmp_path)) as session:
            await enter(session)
        for part in ("", "-wal", "-shm"):
            (tmp_path / "live" / f"{STORE_FILE}{part}").unlink(missing_ok=True)
        KillLatch(tmp_path / "live").latch("the store is gone, the latch is not", NOW)
        async with trading(options(exchange, tmp_path)) as again:
            await until(lambda: flat(exchange))
            await killed(again)


async def test_either_latches_and_only_a_person_clears_both(tmp_path: Path) -> None:
    latch = KillLatch(tmp_path / "live")
    async with simulated() as exchange:
        async with trading(options(exchange, tmp_path)) as session:
            await until(lambda: session.view("", "1m"))
            path = lock_path(tmp_path / "live", "binance", "live", exchange.api_key)
            answer = await ask(control_path(path.parent, path.stem), Request(do="kill", reason="enough"))
            assert answer.ok
            assert "NOT YET" not in answer.text
            assert json.loads(latch.path.read_text())["reason"] == "enough"
        latch.clear()
        async with trading(options(exchange, tmp_path)) as by_store:
            await killed(by_store)
            await until(latch.path.exists)
        (tmp_path / "live" / STORE_FILE).unlink()
        async with trading(options(exchange, tmp_path)) as by_file:
            await killed(by_file)
            by_file.send(Rearm(ts=by_file.now_ms()))
            await until(lambda: not by_file.status().get("killed"))
            await until(lambda: not latch.path.exists())
            await asyncio.sleep(1.2)
            assert not by_file.status()["killed"]
        async with trading(options(exchange, tmp_path)) as after:
            await until(lambda: after.view("", "1m"))
            assert not after.status()["killed"]


async def test_a_file_that_cannot_be_removed_latches_again(tmp_path: Path) -> None:
    async with simulated() as exchange, trading(options(exchange, tmp_path)) as session:
        await until(lambda: session.view("", "1m"))
        (tmp_path / "live" / "KILL").mkdir()
        await killed(session)
        session.send(Rearm(ts=session.now_ms()))
        await until(lambda: "latches it again" in session.log.path.read_text())
        await killed(session)


async def test_a_kill_while_it_starts_flattens_what_the_start_finds(tmp_path: Path) -> None:
    """The socket answers before the venue does: latched at once, carried out when the positions are known."""
    async with simulated() as exchange:
        async with trading(options(exchange, tmp_path)) as session:
            await enter(session)
        again = await build_session(options(exchange, tmp_path))
        starting = asyncio.ensure_future(again.start())
        again.kill("before anything is known")
        assert await again.latch_kill("before anything is known")
        assert KillLatch(tmp_path / "live").read() is not None
        await starting
        try:
            await killed(again)
            await until(lambda: flat(exchange))
        finally:
            await again.stop("end of the test")


async def test_a_signal_while_it_starts_is_not_lost(tmp_path: Path) -> None:
    async with simulated() as exchange:
        async with trading(options(exchange, tmp_path)) as session:
            await enter(session)
        again = await build_session(options(exchange, tmp_path))
        running = asyncio.ensure_future(run_headless(again))
        await asyncio.sleep(0)
        os.kill(os.getpid(), signal.SIGUSR1)
        try:
            await until(lambda: again.status().get("killed"))
            await until(lambda: flat(exchange))
        finally:
            await again.stop("end of the test")
            await running
