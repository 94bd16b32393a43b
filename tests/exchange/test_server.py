"""The exchange behind real sockets, and as a process of its own."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.exchange.exchange_kit import START_MS
from tui_trader.exchange.__main__ import main
from tui_trader.exchange.process import EmbeddedExchange, EmbeddedExchangeError
from tui_trader.exchange.scripted import ScriptedMarket
from tui_trader.exchange.server import running_exchange


async def test_rest_and_websocket_over_sockets() -> None:
    market = ScriptedMarket()
    async with (
        running_exchange(markets={"BTCUSDT": market}, start_ms=START_MS, manual_clock=True) as exchange,
        aiohttp.ClientSession() as session,
    ):
        async with session.get(exchange.rest_url + "/fapi/v1/time") as reply:
            assert await reply.json() == {"serverTime": START_MS, "clockRate": 1.0}
        async with session.post(exchange.rest_url + "/fapi/v1/order", data="é" * 10) as reply:
            assert (reply.status, (await reply.json())["code"]) == (400, -1100)
        async with session.post(exchange.rest_url + "/fapi/v1/order", data=b"a" * 100_000) as reply:
            assert (reply.status, (await reply.json())["code"]) == (413, -1101)
        async with session.ws_connect(exchange.ws_url + "/public/ws/btcusdt@bookTicker") as socket:
            assert (await socket.receive_json())["b"] == "49999.90"
            market.move_to(51_000)
            exchange.step(500)
            frame = await socket.receive_json()
            assert (frame["b"], frame["a"]) == ("50999.90", "51000.10")
            await socket.send_bytes(b"\x00\xff")
            closing = await socket.receive()
            assert closing.type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING}
            assert socket.close_code == 1003


async def test_a_reader_that_does_not_keep_up_is_disconnected() -> None:
    async with (
        running_exchange(markets={"BTCUSDT": ScriptedMarket()}, start_ms=START_MS, manual_clock=True) as exchange,
        aiohttp.ClientSession() as session,
        session.ws_connect(exchange.ws_url + "/public/ws/") as socket,
    ):
        await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 1})
        await socket.receive()
        (connection,) = exchange.server.connections
        for _ in range(20_000):
            connection.send("x" * 1000)
        kinds = [message.type async for message in socket]
        assert socket.close_code == 1008
        assert len(kinds) < 20_000


async def test_the_market_runs_by_itself_and_faster() -> None:
    async with running_exchange(markets={"BTCUSDT": ScriptedMarket()}, start_ms=START_MS, speed=50) as exchange:
        while exchange.engine.states["BTCUSDT"].agg_id < START_MS * 10 + 20:
            await asyncio.sleep(0.01)
        assert exchange.engine.now_ms >= START_MS + 5_000
        with pytest.raises(TypeError):
            exchange.step(1)


async def test_embedded_process_serves_and_stops() -> None:
    embedded = await EmbeddedExchange.start(seed=2, speed=5, start_ms=START_MS, symbols=["ADAUSDT"])
    try:
        assert embedded.info.symbols == ["ADAUSDT"]
        async with (
            aiohttp.ClientSession() as session,
            session.get(embedded.info.rest_url + "/fapi/v1/ticker/price?symbol=ADAUSDT") as reply,
        ):
            assert float((await reply.json())["price"]) > 0
    finally:
        await embedded.aclose()
    assert embedded.running is False
    assert await embedded.wait() == 0


async def test_a_wrong_symbol_is_said_so() -> None:
    with pytest.raises(EmbeddedExchangeError, match="tui-trader exchange"):
        await EmbeddedExchange.start(symbols=["NOPEUSDT"])


async def test_alone_it_prints_how_to_connect_and_stops_on_a_signal() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tui_trader.exchange", "--json", "--symbols", "ADAUSDT", "--wallet", "500", "--withdrawals"),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert process.stdout is not None
    facts: dict[str, Any] = json.loads(await process.stdout.readline())
    assert facts["rest_url"] == f"http://127.0.0.1:{facts['port']}"
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0


async def test_its_lines_for_a_shell_connect_the_console() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tui_trader.exchange", "--env", "--symbols", "ADAUSDT", "--faults", "calm"),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert process.stdout is not None
    word, *pairs = (await process.stdout.readline()).decode().split()
    told = dict(pair.split("=", 1) for pair in pairs)
    assert word == "export"
    assert list(told) == ["TP_VENUE_REST_URL", "TP_VENUE_WS_URL", "TP_API_KEY", "TP_API_SECRET"]
    async with aiohttp.ClientSession() as session, session.get(f"{told['TP_VENUE_REST_URL']}/fapi/v1/time") as reply:
        assert reply.status == 200
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0


@pytest.mark.parametrize(
    "argv",
    [["--port", "70000"], ["--speed", "0"], ["--speed", "x"], ["--wallet", "NaN"], ["--start-ms", "5"], ["--nope"]],
)
def test_impossible_options_are_refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(argv)
    assert exit_info.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_unknown_symbols_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--symbols", "NOPEUSDT"]) == 2
    assert "NOPEUSDT" in capsys.readouterr().err


def test_faults_about_unknown_symbols_start_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "f.json").write_text('[{"kind": "adl", "count": 1, "symbol": "ADAUSD"}]')
    assert main(["--symbols", "ADAUSDT", "--faults", str(tmp_path / "f.json")]) == 2
    assert "there is no symbol ADAUSD here; did you mean 'ADAUSDT'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ("rogh", "'rogh' is neither a preset nor a file; did you mean 'rough'?"),
        ("missing.toml", "cannot read missing.toml: No such file or directory."),
    ],
)
def test_faults_that_cannot_be_meant_start_nothing(faults: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--faults", faults]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "rules"), [(("--faults", "book_gap,adl", "--fault-seed", "9"), ["1", "2"]), (("--admin",), [])]
)
async def test_alone_with_faults_it_answers_the_admin_routes(options: tuple[str, ...], rules: list[str]) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tui_trader.exchange", "--json", "--symbols", "ADAUSDT", *options),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert process.stdout is not None
    facts: dict[str, Any] = json.loads(await process.stdout.readline())
    async with aiohttp.ClientSession() as session, session.get(facts["admin_url"] + "/faults") as reply:
        assert list((await reply.json())["rules"]) == rules
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0
