"""I22, end to end: a known secret, a real process driven through every trouble, a search of all it left."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import pty
import signal
import sqlite3
import stat
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from decimal import Decimal
from pathlib import Path

import pytest

from tests.security import canary_main
from tui_trader import clock
from tui_trader.cli_audit import check
from tui_trader.exchange.process import EmbeddedExchange
from tui_trader.exchange.rest import Reply
from tui_trader.exchange.server import RunningExchange, running_exchange
from tui_trader.runtime.control import Request, ask, control_path
from tui_trader.runtime.lock import lock_path
from tui_trader.secret import forms

KEY = "CANARYkeyQ7w8E9r0T1y2U3i4O5p6A7s8D9f0G1h2J3k4L5z6X7c8V9b0N1m2"
SECRET = "CANARYsecretZ9+x8/C7v6B5n4M3a2S1d0F9g8H7j6K5l4Q3w2E1r0T9y8U7i6"
ROOT = Path(__file__).parents[2]


def leaks(data: bytes) -> list[str]:
    """Which forms of key and secret stand in ``data``."""
    return [form[:12] for text in (KEY, SECRET) for form in forms(text) if form.encode() in data]


async def until(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    began = clock.monotonic()
    while not condition():
        assert clock.monotonic() - began < seconds, f"waited in vain for: {what}"
        await asyncio.sleep(0.05)


class Console:
    """The process on its terminal; everything it prints is kept."""

    def __init__(self, data_dir: Path, exchange: RunningExchange) -> None:
        self.printed = bytearray()
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.chdir(ROOT)
            os.umask(0)
            os.environ["TERM"] = "xterm-256color"
            module = canary_main.__name__
            command = [sys.executable, "-m", module, str(data_dir), exchange.rest_url, exchange.ws_url]
            os.execv(sys.executable, command)
        os.set_blocking(self._terminal, False)
        asyncio.get_running_loop().add_reader(self._terminal, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._terminal, 65_536)
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._terminal)
        self.printed += data

    def proc(self, name: str) -> bytes:
        """A file of the process's folder in /proc."""
        return Path(f"/proc/{self.pid}/{name}").read_bytes()

    def kill(self) -> None:
        asyncio.get_running_loop().remove_reader(self._terminal)
        os.close(self._terminal)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


@asynccontextmanager
async def console(data_dir: Path, exchange: RunningExchange) -> AsyncIterator[Console]:
    child = Console(data_dir, exchange)
    try:
        yield child
    finally:
        child.kill()


@pytest.mark.timeout(180)
async def test_a_secret_is_nowhere_after_all_went_wrong(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir(mode=0o700)
    keys = data_dir / "credentials.toml"
    keys.write_text(f'[testnet]\nkey = "{KEY}"\nsecret = "{SECRET}"\n')
    keys.chmod(0o600)
    progress = tmp_path / "progress"

    def told(word: str) -> bool:
        text = progress.read_text() if progress.exists() else ""
        assert "FAILED" not in text, text
        return word in text.split()

    async with running_exchange(seed=3, symbols=("BTCUSDT", "ETHUSDT")) as exchange:
        exchange.engine.add_account(KEY, SECRET, Decimal(10_000))
        async with console(data_dir, exchange) as child:
            await until(lambda: told("PROTECTED"), "a protected position")
            await until(lambda: told("TROUBLED"), "the troubles inside")
            await asyncio.wait_for(_trouble_outside(exchange, data_dir, child), 60)
            (tmp_path / "go-on").touch()
            await until(lambda: told("DRAWN"), "the pictures")
            seen = [child.proc("cmdline"), child.proc("environ"), bytes(child.printed)]
            assert b"Max core file size        0 " in child.proc("limits")
    assert [found for data in seen for found in leaks(data)] == []
    assert len(child.printed) > 10_000
    _search(data_dir, keys)


async def _trouble_outside(exchange: RunningExchange, data_dir: Path, child: Console) -> None:
    """Answers that repeat the request, a wrong signature, a store that cannot be written, questions over the socket."""
    folder = data_dir / "testnet"
    socket = control_path(folder, lock_path(folder, "binance", "testnet", KEY).stem)
    page = f"<html>403 GET /fapi/v1/order?signature={SECRET} X-MBX-APIKEY: {KEY}</html>"
    body = json.dumps({"code": -2015, "msg": f"Invalid API-key {KEY}, secret {SECRET}, signature={SECRET}"})
    account = exchange.engine.venue.accounts[KEY]
    api = exchange.server.rest
    honest = api.handle
    for reply, sign in ((Reply(401, body), "Invalid API-key …"), (Reply(502, page), "HTTP 502")):
        api.handle = lambda _, reply=reply: reply  # type: ignore[method-assign, misc]
        await until(lambda sign=sign: sign in _written(folder), f"{sign} in the log or the store")  # type: ignore[misc]
    api.handle = honest  # type: ignore[method-assign]
    account.secret = "another"
    await asyncio.sleep(2)
    account.secret = SECRET
    db = sqlite3.connect(folder / "store.sqlite3", timeout=5, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    answers = [await ask(socket, Request(do="kill", reason="in the test")), await ask(socket, Request(do="status"))]
    await asyncio.sleep(2)
    db.execute("ROLLBACK")
    db.close()
    await until(lambda: not any(p.lots for p in account.positions.values()), "the position is closed")
    answers.append(await ask(socket, Request(do="status")))
    assert [found for answer in answers for found in leaks(repr(answer).encode())] == []


def _written(folder: Path) -> str:
    """The log, and why requests failed by the store."""
    with closing(sqlite3.connect(f"file:{folder / 'store.sqlite3'}?mode=ro", uri=True)) as db:
        reasons = [str(reason) for (reason,) in db.execute("SELECT reason FROM sends")]
    return (folder / "session.log").read_text() + " ".join(reasons)


def _search(data_dir: Path, keys: Path) -> None:
    files = [path for path in data_dir.rglob("*") if path.is_file() and path != keys]
    names = {path.name for path in files}
    assert {"session.log", "store.sqlite3", "emergency.jsonl"} <= names
    assert any(name.endswith(".svg") for name in names)
    assert any(name.startswith("crash-") for name in names)
    assert any(path.parent.name == "traces" for path in files)
    assert {str(path): found for path in files if (found := leaks(path.read_bytes()))} == {}
    log = (data_dir / "testnet" / "session.log").read_text()
    for sign in ("KeyError", "RuntimeError: …", "aiohttp.client: GET", "kill switch"):
        assert sign in log, f"{sign} was not even tried"
    store = data_dir / "testnet" / "store.sqlite3"
    assert check(store).whole, "SIGKILL leaves the audit log whole"
    wide = {str(path): oct(stat.S_IMODE(path.stat().st_mode)) for path in data_dir.rglob("*")
            if stat.S_IMODE(path.lstat().st_mode) & 0o077 and path.suffix != ".svg"}  # fmt: skip
    assert wide == {}, "umask 0 opened these"


async def test_a_child_process_does_not_get_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TP_API_KEY", KEY)
    monkeypatch.setenv("TP_API_SECRET", SECRET)
    exchange = await EmbeddedExchange.start()
    try:
        assert leaks(Path(f"/proc/{exchange.pid}/environ").read_bytes()) == []
        assert leaks(Path(f"/proc/{exchange.pid}/cmdline").read_bytes()) == []
    finally:
        await exchange.aclose()


def test_the_search_finds_what_it_looks_for() -> None:
    """A test of the test."""
    for data in (SECRET.encode(), b"x" + KEY.encode().hex().encode(), base64.b64encode(b"ab" + SECRET.encode() + b"c")):
        assert leaks(data)
    assert leaks(b"nothing") == []
