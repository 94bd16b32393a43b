"""Files 0600 in folders 0700, whatever the umask and whatever was there before."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.runtime.test_session import options, until
from tui_trader import private
from tui_trader.cli import main
from tui_trader.config import data_dir
from tui_trader.exchange.server import running_exchange
from tui_trader.private import NotPrivateError, open_private, private_folder, tighten, tighten_all, write_private
from tui_trader.runtime.start import build_session
from tui_trader.store.schema import migrate
from tui_trader.store.writer import connect


@pytest.fixture(params=[0, 0o022, 0o277], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.usefixtures("umask")
def test_a_file_is_private_from_its_first_moment(tmp_path: Path) -> None:
    os.close(open_private(tmp_path / "a", os.O_WRONLY | os.O_CREAT))
    write_private(tmp_path / "b", b"x")
    write_private(tmp_path / "b", b"y")
    assert (tmp_path / "b").read_bytes() == b"y"
    assert {path.name: mode(path) for path in tmp_path.iterdir()} == {"a": 0o600, "b": 0o600}


@pytest.mark.parametrize("mask", [0, 0o022, 0o077])
def test_every_folder_that_is_made_is_private(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        made = private_folder(tmp_path / "a" / "b" / "c")
        again = data_dir(tmp_path / "d" / "e")
    finally:
        os.umask(before)
    assert [mode(path) for path in (made, made.parent, made.parents[1], again, again.parent)] == [0o700] * 5


def test_what_was_wide_is_tightened(tmp_path: Path) -> None:
    folder = tmp_path / "wide"
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "file").write_text("x")
    (folder / "file").chmod(0o666)
    (folder / "socket").symlink_to(tmp_path / "elsewhere")
    (folder / "sub").mkdir()
    private_folder(folder)
    assert tighten_all(folder) == []
    tighten(folder / "none")
    assert mode(folder) == 0o700
    assert mode(folder / "file") == 0o600


def test_what_is_not_a_file_or_a_folder_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match="not a folder"):
        private_folder(tmp_path / "file")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(NotPrivateError, match="not a regular file"):
        open_private(tmp_path / "fifo", os.O_RDONLY)
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with pytest.raises(OSError, match="link"):
        open_private(tmp_path / "link", os.O_WRONLY)
    assert (tmp_path / "file").read_text() == "x"


def test_a_wide_folder_or_file_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could not be made private, and pretending would be worse than saying so."""
    folder = tmp_path / "foreign"
    folder.mkdir()
    (folder / "file").touch()
    for path in (folder, folder / "file"):
        path.chmod(0o777)
        if os.getuid() == 0:
            os.chown(path, 12345, 12345)
    monkeypatch.setattr(private.os, "getuid", lambda: 4711)
    with pytest.raises(NotPrivateError, match="belongs to somebody else"):
        private_folder(folder)
    assert tighten_all(folder) == [f"file: {folder / 'file'} belongs to somebody else and can be read by others"]


async def test_a_session_closes_what_an_earlier_one_left_open(tmp_path: Path) -> None:
    account = tmp_path / "live"
    async with running_exchange(symbols=("BTCUSDT", "ETHUSDT")) as exchange:
        before = os.umask(0)
        try:
            session = await build_session(options(exchange, tmp_path))
            await session.start()
            await until(lambda: session.view("", "1m"))
            await session.stop("first")
            account.chmod(0o755)
            for path in account.iterdir():
                path.chmod(0o666)
            session = await build_session(options(exchange, tmp_path))
            await session.start()
            await until(lambda: session.view("", "1m"))
            found = {path.name: oct(mode(path)) for path in account.iterdir()}
            await session.stop("second")
        finally:
            os.umask(before)
    assert {name for name in found if name.startswith("store")} >= {"store.sqlite3", "store.sqlite3-wal"}
    assert {name: bits for name, bits in found.items() if bits != "0o600"} == {}
    assert oct(mode(account)) == "0o700"


def test_exports_are_private_also_over_a_wide_file(tmp_path: Path) -> None:
    out = tmp_path / "trades.csv"
    out.write_text("old")
    out.chmod(0o666)
    before = os.umask(0)
    try:
        folder = data_dir(tmp_path / "data")
        with closing(connect(private_folder(folder / "demo") / "store.sqlite3")) as db:
            migrate(db)
        assert main(["--data-dir", str(folder), "export", "trades", "--out", str(out)]) == 0
    finally:
        os.umask(before)
    assert mode(out) == 0o600
    assert out.read_text().startswith("plan_id,")
