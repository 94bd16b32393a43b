"""One supervised websocket against real sockets on loopback: floods, closes, resets, silence, rotation, huge frames."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.venues.faults import Proxy
from tui_trader.errors import RateLimited, VenueUnreachable
from tui_trader.venues import link as link_module
from tui_trader.venues.link import Link


class Peer:
    """A server whose behaviour is one coroutine a connection, a link to it and what the link said."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.said: list[str] = []
        self.latencies: list[float] = []
        self.accepted: list[ServerConnection] = []
        self.base = ""

    async def up(self, latency_ms: float) -> None:
        self.latencies.append(latency_ms)
        self.said.append("up")

    def down(self, reason: str) -> None:
        self.said.append(reason)

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def linked(
    behaviour: Callable[[Peer, ServerConnection], Awaitable[None]], proxied: bool = False, **options: Any
) -> AsyncIterator[tuple[Peer, Link, Proxy | None]]:
    peer = Peer()

    async def handler(socket: ServerConnection) -> None:
        peer.accepted.append(socket)
        await behaviour(peer, socket)

    async with serve(handler, "127.0.0.1", 0, compression=None, ping_interval=None, close_timeout=0.2) as server:
        port = server.sockets[0].getsockname()[1]
        proxy = Proxy(port) if proxied else None
        peer.base = f"ws://127.0.0.1:{await proxy.start() if proxy else port}"

        async def url() -> str:
            return peer.base

        settings: dict[str, Any] = {"url": url, "max_frame": 1 << 20, "rng": random.Random(1)} | options
        link = Link(on_frame=peer.frames.append, on_up=peer.up, on_down=peer.down, **settings)
        task = asyncio.create_task(link.run())
        try:
            yield peer, link, proxy
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if proxy:
                await proxy.aclose()


async def stay(peer: Peer, socket: ServerConnection) -> None:
    await socket.wait_closed()


async def test_a_flood_before_the_first_pong_does_not_hide_it() -> None:
    async def flood(peer: Peer, socket: ServerConnection) -> None:
        for number in range(2_000):
            await socket.send(str(number))
        await socket.wait_closed()

    async with linked(flood) as (peer, link, _):
        await peer.until(lambda: peer.said)
        await peer.until(lambda: len(peer.frames) == 2_000)
        assert (peer.said, link.up, link.reconnects) == (["up"], True, 0)
        assert peer.frames == [str(number).encode() for number in range(2_000)]


async def test_the_server_closes_and_the_link_comes_back_after_a_pause() -> None:
    async def close_first(peer: Peer, socket: ServerConnection) -> None:
        if len(peer.accepted) == 1:
            await socket.send("last words")
            await socket.close(1001, "maintenance")
        await socket.wait_closed()

    async with linked(close_first) as (peer, link, _):
        await peer.until(lambda: link.up and len(peer.accepted) == 2 and peer.said[-1:] == ["up"])
        assert peer.frames == [b"last words"]
        assert any("1001" in words for words in peer.said)


async def test_a_reset_and_a_refused_connection_are_tried_again() -> None:
    async with linked(stay, proxied=True) as (peer, link, proxy):
        assert proxy is not None
        await peer.until(lambda: peer.said == ["up"])
        proxy.cut()
        await peer.until(lambda: peer.said.count("up") == 2)
        assert len(peer.said) >= 3
        good, peer.base = peer.base, "ws://127.0.0.1:1"
        proxy.cut()
        await peer.until(lambda: any("Connect call failed" in words for words in peer.said))
        assert not link.up
        peer.base = good
        await peer.until(lambda: peer.said.count("up") == 3)


async def test_an_open_but_silent_socket_is_left() -> None:
    async with linked(stay, proxied=True, silence_s=0.3) as (peer, _, proxy):
        assert proxy is not None
        await peer.until(lambda: peer.said[:1] == ["up"])
        proxy.silent = True
        await peer.until(lambda: any("although the socket is open" in words for words in peer.said))
        proxy.silent = False
        await peer.until(lambda: peer.said.count("up") >= 2)


async def test_a_first_ping_without_a_pong_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "_FIRST_PONG_S", 0.2)

    async def deaf(peer: Peer, socket: ServerConnection) -> None:
        if len(peer.accepted) == 1:
            socket.transport.pause_reading()
            await asyncio.sleep(0.6)
            socket.transport.abort()
        await socket.wait_closed()

    async with linked(deaf) as (peer, _, __):
        await peer.until(lambda: "up" in peer.said)
        assert "first ping was not answered" in peer.said[0]


async def test_an_interrupted_goodbye_still_closes_the_socket() -> None:
    async with linked(stay, proxied=True) as (peer, link, proxy):
        assert proxy is not None
        await peer.until(lambda: link.up and peer.said)
        (run,) = (task for task in asyncio.all_tasks() if "Link.run" in repr(task.get_coro()))
        proxy.silent = True
        run.cancel()
        await peer.until(lambda: not link.up)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        await peer.until(lambda: not proxy.connections)


async def test_rotation_reads_what_is_still_on_the_wire() -> None:
    sent: list[bytes] = []

    async def talk(peer: Peer, socket: ServerConnection) -> None:
        async for message in socket:
            del message

    async def pour(peer: Peer, socket: ServerConnection) -> None:
        reader = asyncio.create_task(talk(peer, socket))
        number = 0
        while not reader.done() and socket.state.name == "OPEN":
            frame = f"{len(peer.accepted)}:{number}".encode()
            await socket.send(frame)
            sent.append(frame)
            number += 1
            await asyncio.sleep(0)
        await asyncio.gather(reader, return_exceptions=True)

    async def careful(peer: Peer, socket: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            await pour(peer, socket)

    async with linked(careful, rotate_s=0.6) as (peer, link, _):
        await peer.until(lambda: link.reconnects >= 2)
        await peer.until(lambda: link.up)
    assert any("24 h" in words for words in peer.said)
    first = [frame for frame in sent if frame.startswith(b"1:")]
    assert [frame for frame in peer.frames if frame.startswith(b"1:")] == first
    assert first


async def test_a_huge_frame_ends_the_connection_and_not_the_link() -> None:
    async def huge(peer: Peer, socket: ServerConnection) -> None:
        await socket.send("x" * (1_100_000 if len(peer.accepted) == 1 else 10))
        await socket.wait_closed()

    async with linked(huge) as (peer, _, __):
        await peer.until(lambda: peer.frames)
        assert peer.frames == [b"x" * 10]
        assert any("1009" in words for words in peer.said)


async def test_a_server_that_accepts_and_drops_is_asked_slower_and_slower() -> None:
    link = Link(
        url=_nowhere, on_frame=bytes, on_up=_ignore, on_down=str, rng=random.Random(2), max_frame=1
    )  # fmt: skip
    pauses = [link._pause(attempt) for attempt in range(12)]
    for attempt, pause in enumerate(pauses):
        ceiling = min(20.0, 0.25 * 2**attempt)
        assert ceiling / 2 <= pause <= ceiling
    assert len({round(pause / min(20.0, 0.25 * 2**n), 6) for n, pause in enumerate(pauses)}) == 12

    async def drop(peer: Peer, socket: ServerConnection) -> None:
        await socket.close()

    async with linked(drop) as (peer, _, __):
        await asyncio.sleep(1.6)
        assert len(peer.accepted) <= 4


async def test_silence_that_the_venue_asked_for_is_told_before_it_is_kept() -> None:
    asked = 0

    async def refused() -> str:
        nonlocal asked
        asked += 1
        raise RateLimited("the venue asked for silence", -1003, 400_000)

    peer = Peer()
    link = Link(url=refused, on_frame=bytes, on_up=peer.up, on_down=peer.down, rng=random.Random(1), max_frame=1)
    task = asyncio.create_task(link.run())
    await peer.until(lambda: peer.said)
    await asyncio.sleep(0.5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (asked, peer.said) == (1, ["the venue asked for silence"])


async def test_control_messages_are_paced_and_refused_without_a_connection() -> None:
    times: list[float] = []

    async def listen(peer: Peer, socket: ServerConnection) -> None:
        while await socket.recv():
            times.append(asyncio.get_running_loop().time())

    async with linked(listen) as (peer, link, _):
        await peer.until(lambda: peer.said == ["up"])
        assert all(await asyncio.gather(*(link.send(f"{number}") for number in range(12))))
        await peer.until(lambda: len(times) == 12)
    assert max(sum(1 for t in times if start <= t < start + 1.0) for start in times) <= 10
    assert not await link.send("late")


async def test_a_failing_greeting_is_not_swallowed() -> None:
    async def stumble(latency_ms: float) -> None:
        raise LookupError("a fault of the program")

    async def handler(socket: ServerConnection) -> None:
        await socket.wait_closed()

    async with serve(handler, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]

        async def url() -> str:
            return f"ws://127.0.0.1:{port}"

        link = Link(url=url, on_frame=bytes, on_up=stumble, on_down=str, rng=random.Random(1), max_frame=1 << 20)
        with pytest.raises(LookupError):
            async with asyncio.timeout(5):
                await link.run()


async def _nowhere() -> str:
    raise VenueUnreachable("nowhere")


async def _ignore(latency_ms: float) -> None:
    del latency_ms
