"""Before anything is sent: an address that is not the venue's, a harmful key, a wide key file each end the start."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.runtime.test_session import options
from tui_trader.config import load
from tui_trader.errors import ConfigError
from tui_trader.exchange.server import running_exchange
from tui_trader.private import private_folder
from tui_trader.runtime.lock import is_held, lock_path
from tui_trader.runtime.start import build_session
from tui_trader.store.schema import migrate
from tui_trader.store.writer import connect

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "venue",
    [
        {"rest_url": "https://fapi.binance.com.evil.example", "ws_url": "wss://fstream.binance.com"},
        {"rest_url": "https://evil.example"},
        {"ws_url": "wss://evil.example"},
        {"rest_url": "https://demo-fapi.binance.com"},
        {"rest_url": "http://127.0.0.1:9"},
    ],
)
async def test_a_session_for_another_host_is_not_even_built(tmp_path: Path, venue: dict[str, str]) -> None:
    async with running_exchange(symbols=("BTCUSDT",)) as exchange:
        overrides = {f"venue.{name}": value for name, value in venue.items()}
        wrong = options(exchange, tmp_path, settings_source=lambda: load(None, environ={}, overrides=overrides))
        with pytest.raises(ConfigError) as refused:
            await build_session(wrong)
        assert exchange.secret not in str(refused.value)
        assert not is_held(lock_path(tmp_path / "live", "binance", "live", exchange.api_key))
        await asyncio.sleep(0)


async def test_the_options_of_a_start_do_not_show_the_environment(tmp_path: Path) -> None:
    async with running_exchange(symbols=("BTCUSDT",)) as exchange:
        shown = options(exchange, tmp_path)
        assert exchange.secret not in repr(shown)
        assert exchange.secret not in repr(list(shown.__rich_repr__()))


def test_a_wide_key_file_ends_the_command_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "credentials.toml"
    path.write_text('[testnet]\nkey = "kkkkkkkk"\nsecret = "ssssssss"\n')
    path.chmod(0o644)
    command = [
        sys.executable,
        "-m",
        "tui_trader",
        "--data-dir",
        str(tmp_path),
        "--mode",
        "testnet",
        "run",
        "--headless",
    ]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert f"chmod 600 {path}" in done.stderr
    assert "ssssssss" not in done.stdout + done.stderr


def test_an_export_to_a_terminal_is_harmless_and_to_a_pipe_exact(tmp_path: Path) -> None:
    """I23: a torn line of the emergency log is kept as it was found."""
    path = private_folder(tmp_path / "demo") / "store.sqlite3"
    with closing(connect(path)) as db:
        migrate(db)
        db.execute(
            "INSERT INTO misplaced(kind, body, why) VALUES('x', ?, 'torn')", ('"\x1b]0;owned\x07\x9b31m\u202e"',)
        )
    command = [sys.executable, "-m", "tui_trader", "--data-dir", str(tmp_path), "export", "misplaced"]
    exact = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60).stdout
    assert b"\x1b]0;owned" in exact
    master, slave = pty.openpty()
    with subprocess.Popen(command, cwd=ROOT, stdout=slave, stdin=subprocess.DEVNULL) as child:
        child.wait(60)
    os.close(slave)
    shown = os.read(master, 65_536).decode()
    os.close(master)
    assert "]0;owned31m" in shown
    assert all(sign.isprintable() or sign in "\r\n" for sign in shown)
