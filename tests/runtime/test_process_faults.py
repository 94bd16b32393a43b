"""Real processes that are stopped, killed, cut off and taken over; the exchange's own books say what came of it.

The process and clock rows of the fault matrix (I11, I14, I15, I16, I25).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from tests.runtime.kills import PRICES, history
from tests.runtime.test_session import held, resting_stops, until
from tui_trader import clock
from tui_trader.exchange.orders import OrderRequest
from tui_trader.exchange.scripted import ScriptedMarket, scripted_spec
from tui_trader.exchange.server import RunningExchange, running_exchange
from tui_trader.runtime.latch import KillLatch

ROOT = Path(__file__).parents[2]
QTY = Decimal("0.010")


class World:
    """One exchange with a market moved by hand, and sessions in processes of their own."""

    def __init__(self, exchange: RunningExchange, market: ScriptedMarket, folder: Path) -> None:
        self.exchange = exchange
        self.market = market
        self.folder = folder
        self.children: list[asyncio.subprocess.Process] = []
        self.where = folder / "where.json"
        self.where.write_text(
            json.dumps(
                {
                    "rest_url": exchange.rest_url,
                    "ws_url": exchange.ws_url,
                    "key": exchange.api_key,
                    "secret": exchange.secret,
                }
            )
        )
        self.where.chmod(0o600)

    async def start(self, *flags: str, stdout: int = asyncio.subprocess.PIPE) -> asyncio.subprocess.Process:
        """A session process."""
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.runtime.headless_main", str(self.folder), "--live", str(self.where), *flags,
            cwd=ROOT, stdin=asyncio.subprocess.DEVNULL, stdout=stdout, stderr=stdout,
        )  # fmt: skip
        self.children.append(child)
        return child

    async def unarmed(self) -> asyncio.subprocess.Process:
        """``tui-trader --mode live run --headless``, as a person types it who does not arm it."""
        config = self.folder / "config.toml"
        config.write_text(f'[venue]\nrest_url = "{self.exchange.rest_url}"\nws_url = "{self.exchange.ws_url}"\n')
        keys = {"TP_API_KEY": self.exchange.api_key, "TP_API_SECRET": self.exchange.secret}
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tui_trader", "--data-dir", str(self.folder), "--config", str(config),
            "--mode", "live", "run", "--headless",
            cwd=ROOT, env=os.environ | keys, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        self.children.append(child)
        return child

    async def cli(self, *words: str) -> tuple[int, str]:
        """``tui-trader`` as a person calls it."""
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tui_trader", "--data-dir", str(self.folder), *words,
            cwd=ROOT, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await child.communicate()
        return child.returncode or 0, out.decode()

    def log(self) -> list[dict[str, str]]:
        """What the sessions said."""
        path = self.folder / "live" / "session.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def said(self, words: str) -> bool:
        """Whether a session said so."""
        return any(words in line["text"] for line in self.log())

    def protected(self) -> bool:
        """The position is open and covered, by the exchange's own books."""
        return held(self.exchange) == {"BTCUSDT": QTY} and bool(resting_stops(self.exchange))

    def flat(self) -> bool:
        """Nothing is open and nothing rests on either book."""
        return not held(self.exchange) and not self.exchange.account.orders and not self.exchange.account.algos


async def told(child: asyncio.subprocess.Process, word: str) -> str:
    """The first line that begins with ``word``."""
    assert child.stdout is not None
    seen = []
    while line := (await asyncio.wait_for(child.stdout.readline(), 40)).decode().strip():
        seen.append(line)
        if line.startswith(word):
            return line
    raise AssertionError(f"{word} never came: {seen}")


async def ended(child: asyncio.subprocess.Process) -> int:
    return await asyncio.wait_for(child.wait(), 20)


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    start = clock.wall_ms() // 28_800_000 * 28_800_000 + 2 * 3_600_000 + 10_000
    price, tick, step = PRICES["BTCUSDT"]
    market = ScriptedMarket(
        scripted_spec("BTCUSDT", tick, step, "5"), mid=price, depth=60, lots=40_000, history=history("BTCUSDT", start)
    )
    async with running_exchange(start_ms=start, markets={"BTCUSDT": market}, wallet=Decimal(100_000)) as exchange:
        made = World(exchange, market, folder)
        try:
            yield made
        finally:
            for child in made.children:
                with contextlib.suppress(ProcessLookupError):
                    child.send_signal(signal.SIGCONT)
                    child.kill()
                if child.stdout is not None:
                    await child.stdout.read()
                await child.wait()


@pytest.mark.parametrize("how", ["command", "signal", "file"])
async def test_kill_makes_flat_by_the_exchanges_books_and_outlives_the_process(tmp_path: Path, how: str) -> None:
    """I15: killed, flat, both books empty, entries refused; SIGKILL; after the restart still refused."""
    async with world(tmp_path) as w:
        child = await w.start("--open")
        await told(child, "PROTECTED")
        assert w.protected()
        if how == "command":
            code, text = await w.cli("kill", "--reason", "by hand")
            assert (code, "killed and flat" in text) == (0, True)
        elif how == "signal":
            child.send_signal(signal.SIGUSR1)
        else:
            KillLatch(tmp_path / "live").path.touch()
        await until(w.flat)
        await until(lambda: KillLatch(tmp_path / "live").read() is not None)
        child.kill()
        await ended(child)
        orders = len(w.exchange.account.history)

        again = await w.start("--open")
        await told(again, "STARTED")
        await until(
            lambda: [line["text"] for line in w.log()].count("reconciled: the venue shows no open position") >= 2
        )
        code, text = await w.cli("status", "--json")
        (row,) = json.loads(text)["sessions"]
        assert (code, row["killed"], row["positions"]) == (0, True, 0)
        assert any("kill switch latched" in block for block in row["blocks"])
        await asyncio.sleep(1.5)
        assert len(w.exchange.account.history) == orders, "the restarted one was asked to enter and did not"
        again.send_signal(signal.SIGTERM)
        assert await ended(again) == 0


async def test_stopped_and_continued_it_is_blind_compares_and_goes_on(tmp_path: Path) -> None:
    """SIGSTOP for longer than data may be old; the stop fills meanwhile; nothing is opened on what was heard before."""
    async with world(tmp_path) as w:
        child = await w.start("--open")
        await told(child, "PROTECTED")
        child.send_signal(signal.SIGSTOP)
        w.market.move_to(49_000.0)
        await until(w.flat)
        await asyncio.sleep(6.0)
        child.send_signal(signal.SIGCONT)
        await until(lambda: w.said("stood still"))
        await until(lambda: w.said("BTCUSDT: closed"))
        code, text = await w.cli("status", "--json")
        (row,) = json.loads(text)["sessions"]
        assert (code, row["positions"], row["naked"]) == (0, 0, 0)
        texts = [line["text"] for line in w.log()]
        still = next(i for i, text in enumerate(texts) if "stood still" in text)
        assert any("feed link is down" in text and "the process stood still" in text for text in texts[still:])
        assert any("orders link is up" in text for text in texts[still:])
        child.send_signal(signal.SIGTERM)
        assert await ended(child) == 0


async def test_terminated_with_a_dead_venue_it_ends_in_time_and_says_what_it_left(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        child = await w.start("--open")
        await told(child, "PROTECTED")
        await w.exchange.server.close()
        await until(lambda: w.said("is down"))
        began = clock.monotonic()
        child.send_signal(signal.SIGTERM)
        assert await ended(child) == 0
        assert clock.monotonic() - began <= 8.0, "5 s are promised; this only bounds it on a busy machine"
        assert w.said("BTCUSDT long 0.01")
        assert w.protected()


async def test_closed_outputs_and_a_deaf_starter_change_nothing(tmp_path: Path) -> None:
    """Nobody reads what it prints, and then nobody can: it trades on and can still be killed."""
    async with world(tmp_path) as w:
        reading, writing = os.pipe()
        child = await w.start("--open", stdout=writing)
        os.close(writing)
        os.close(reading)
        await until(w.protected)
        code, text = await w.cli("status")
        assert code == 0
        assert "BTCUSDT long 0.01" in text
        child.send_signal(signal.SIGHUP)
        assert (await w.cli("status"))[0] == 0
        child.send_signal(signal.SIGUSR1)
        await until(w.flat)
        child.send_signal(signal.SIGTERM)
        assert await ended(child) == 0


async def test_a_second_is_refused_and_one_that_hangs_is_not_taken_over_but_survived(tmp_path: Path) -> None:
    """I16: never two; a hanging one is named, and once it is gone the next adopts what it left."""
    async with world(tmp_path) as w:
        first = await w.start("--open")
        await told(first, "PROTECTED")
        second = await w.start()
        assert str(first.pid) in await told(second, "REFUSED")
        first.send_signal(signal.SIGSTOP)
        code, text = await w.cli("status")
        assert code == 1
        assert "does not answer" in text
        third = await w.start("--take-over")
        assert "does not answer" in await told(third, "REFUSED")
        assert w.protected()
        first.kill()
        await ended(first)
        fourth = await w.start("--take-over")
        await told(fourth, "PROTECTED")
        assert w.protected()
        assert len(resting_stops(w.exchange)) == 1


async def test_taken_over_at_the_moment_of_a_fill_the_successor_protects(tmp_path: Path) -> None:
    """The entry fills, and before a stop rests another session takes over: it leaves naked nothing behind."""
    async with world(tmp_path) as w:
        first = await w.start("--open")
        await until(lambda: held(w.exchange))
        second = await w.start("--take-over")
        await told(second, "PROTECTED")
        assert "taken over" in await told(first, "ENDED")
        assert await ended(first) == 0
        assert w.protected()
        ids = [a.client_id for a in w.exchange.account.algo_history.values()]
        assert len(ids) == len(set(ids))


async def test_killed_while_it_flattens_the_next_start_finishes_the_kill(tmp_path: Path) -> None:
    """A SIGKILL in the midst of a kill: the latch stands, and the restart makes flat what is left."""
    async with world(tmp_path) as w:
        child = await w.start("--open")
        await told(child, "PROTECTED")
        KillLatch(tmp_path / "live").latch("in the midst", clock.wall_ms())
        child.kill()
        await ended(child)
        again = await w.start()
        await told(again, "STARTED")
        await until(w.flat)
        again.send_signal(signal.SIGTERM)
        assert await ended(again) == 0


async def test_live_without_arm_adopts_protects_refuses_entries_and_can_be_killed(tmp_path: Path) -> None:
    """I24: a start that nobody armed only protects, through the very command line of a person."""
    async with world(tmp_path) as w:
        account = w.exchange.account
        w.exchange.engine.place_order(account, OrderRequest("BTCUSDT", is_buy=True, kind="MARKET", quantity=QTY))
        assert held(w.exchange) == {"BTCUSDT": QTY}
        child = await w.unarmed()
        await told(child, "LIVE on binance, not armed: this start adopts and protects what is open")
        await until(w.protected)
        code, text = await w.cli("status")
        assert code == 0
        assert "not armed: it only protects" in text
        assert "no entries: entries are not armed for this account" in text
        assert (await w.cli("--mode", "live", "kill"))[0] == 0
        assert w.flat()
        child.send_signal(signal.SIGTERM)
        assert await ended(child) == 0
