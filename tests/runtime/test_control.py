from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tui_trader.errors import SessionBusyError
from tui_trader.runtime.control import ControlServer, Request, ask, control_path


class Controlled:
    """A session as the control socket sees it."""

    def __init__(self) -> None:
        self.kills: list[str] = []
        self.handed: list[str] = []
        self.leave = asyncio.Event()

    def status(self) -> dict[str, object]:
        return {"mode": "demo", "positions": 2}

    async def latch_kill(self, reason: str) -> bool:
        self.kills.append(reason)
        return True

    def reload_trained(self) -> str:
        return "2 trained sets read, 1 in use"

    async def hand_over(self, reason: str) -> None:
        self.handed.append(reason)
        await self.leave.wait()


@pytest_asyncio.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[Controlled, Path]]:
    session = Controlled()
    server = ControlServer(tmp_path / "c.sock", session)
    await server.start()
    yield session, server.path
    await server.aclose()
    assert not server.path.exists()


async def test_status_and_kill(served: tuple[Controlled, Path]) -> None:
    session, path = served
    answer = await ask(path, Request(do="status"))
    assert (answer.ok, answer.version, answer.status) == (True, 1, {"mode": "demo", "positions": 2})
    assert (await ask(path, Request(do="kill", reason="test\nnow"))).ok
    assert session.kills == ["test now"]


async def test_the_status_of_an_account_with_a_hundred_positions_is_heard(
    served: tuple[Controlled, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    facts: dict[str, object] = {"open": [{"symbol": f"COIN{i}USDT", "rest": "x" * 200} for i in range(100)]}
    monkeypatch.setattr(served[0], "status", lambda: facts)
    assert (await ask(served[1], Request(do="status"))).status == facts


async def test_an_answer_without_end_is_no_answer(
    served: tuple[Controlled, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui_trader.runtime.control.ANSWER_LIMIT", 1_000)
    monkeypatch.setattr(served[0], "status", lambda: {"endless": "x" * 10_000})
    with pytest.raises(SessionBusyError, match="does not answer"):
        await ask(served[1], Request(do="status"))


async def test_trained_sets_are_read_again(served: tuple[Controlled, Path]) -> None:
    answer = await ask(served[1], Request(do="reload"))
    assert (answer.ok, answer.text) == (True, "2 trained sets read, 1 in use")


async def test_a_takeover_is_answered_when_the_session_is_gone(served: tuple[Controlled, Path]) -> None:
    session, path = served
    asking = asyncio.ensure_future(ask(path, Request(do="takeover"), until_gone=True))
    while not session.handed:
        await asyncio.sleep(0.005)
    assert not asking.done()
    session.leave.set()
    assert (await asking).gone


@pytest.mark.parametrize("line", [b"nonsense\n", b"{}\n", b'{"do":"status","x":1}\n', b'{"do":"dance"}\n', b"[[[[\n"])
async def test_garbage_is_refused_in_words(served: tuple[Controlled, Path], line: bytes) -> None:
    _, path = served
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(line)
    assert b'"ok":false' in await reader.readline()
    writer.close()
    await writer.wait_closed()
    assert (await ask(path, Request(do="status"))).ok


async def test_an_endless_line_is_cut_off(served: tuple[Controlled, Path]) -> None:
    _, path = served
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(b"x" * 100_000)
    assert await reader.read() == b""
    writer.close()
    assert (await ask(path, Request(do="status"))).ok


async def test_only_the_owner_may_open_it(served: tuple[Controlled, Path]) -> None:
    assert stat.S_IMODE(served[1].stat().st_mode) == 0o600


async def test_nobody_there_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(SessionBusyError, match="does not answer"):
        await ask(tmp_path / "none.sock", Request(do="status"))


async def test_a_socket_left_by_a_dead_process_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "c.sock").write_bytes(b"")
    server = ControlServer(tmp_path / "c.sock", Controlled())
    await server.start()
    assert (await ask(server.path, Request(do="status"))).ok
    await server.aclose()
    await server.aclose()


def test_a_long_folder_gets_a_short_path(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    assert len(str(control_path(deep, "binance-demo"))) <= 100
    assert control_path(deep, "a") != control_path(deep, "b")
