"""``tui-trader backfill`` against the simulated exchange over loopback, and beside a session's own writes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.store.build import record
from tui_trader import clock
from tui_trader.cli import main
from tui_trader.exchange.server import RunningExchange, running_exchange
from tui_trader.research.history import load_history
from tui_trader.store.candles import OWN, read_candles
from tui_trader.store.journal import Store

DAY = 86_400_000
HOUR = 3_600_000


@asynccontextmanager
async def simulated() -> AsyncIterator[RunningExchange]:
    start = clock.wall_ms() // DAY * DAY
    async with running_exchange(seed=7, start_ms=start, symbols=("BTCUSDT",)) as exchange:
        yield exchange


async def told(capsys: pytest.CaptureFixture[str], data_dir: Path, *words: str) -> tuple[int, str, str]:
    arguments = ["--data-dir", str(data_dir), "backfill", *words]
    code = await asyncio.to_thread(main, arguments)
    out, err = capsys.readouterr()
    return code, out, err


async def test_a_day_is_fetched_once_and_a_backtest_takes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with simulated() as exchange:
        url = ("--url", exchange.rest_url)
        code, out, _ = await told(capsys, tmp_path, "btcusdt", "--days", "1", "--json", *url)
        first = json.loads(out)
        assert code == 0
        assert (first["there_before"], first["added"], first["gaps"], first["complete"]) == (0, 1_440, [], True)
        assert first["to_ms"] - first["from_ms"] == DAY
        assert first["funding_added"] >= 3
        path = Path(first["store"])
        assert path == tmp_path / "demo" / "store.sqlite3"
        code, out, _ = await told(capsys, tmp_path, "BTCUSDT", "--days", "2", *url)
        assert code == 0
        assert "1,440 were there, 1,44" in out or "1,439 were there" in out
        kept_as = kept_name(exchange)
        assert first["exchange"] == kept_as
        assert f"not from binanceusdm itself: kept apart, for `--exchange {kept_as}`" in out
        assert "the package" in load_history("BTCUSDT", store_path=path).source, "a test's prices are not the venue's"
        found = load_history("BTCUSDT", store_path=path, exchange=kept_as)
        assert found.gaps == ()
        assert len(found.bars) >= 2_880
        assert len(found.funding_ms) >= 6
        rows = await exchange_minutes(exchange, int(found.bars.open_ms[0]), 5)
        assert [float(row[4]) for row in rows] == found.bars.close[:5].tolist()
        code, out, _ = await told(
            capsys,
            tmp_path,
            "BTCUSDT",
            "--from",
            "1990-01-01",
            "--to",
            "1990-01-03",
            "--timeframe",
            "1h",
            "--json",
            *url,
        )
        nothing = json.loads(out)
        assert (code, nothing["added"]) == (0, 0)
        assert len(nothing["gaps"]) == 1


async def test_an_exchange_that_does_not_answer_is_said_in_one_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = await told(capsys, tmp_path, "BTCUSDT", "--days", "1", "--json", "--url", "http://127.0.0.1:1")
    found = json.loads(out)
    assert (code, found["exit_code"], found["complete"], found["added"]) == (1, 1, False, 0)
    assert "Nothing was stored; run the same command again" in found["error"]
    assert found["error"] in err


def kept_name(exchange: RunningExchange) -> str:
    return f"binanceusdm@{urlsplit(exchange.rest_url).netloc}"


async def exchange_minutes(exchange: RunningExchange, since: int, count: int) -> list[list[str]]:
    import aiohttp

    query = {"symbol": "BTCUSDT", "interval": "1m", "startTime": str(since), "limit": str(count)}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{exchange.rest_url}/fapi/v1/klines", params=query) as answer,
    ):
        rows: list[list[str]] = await answer.json()
        return rows


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("NOPEUSDT",), "binanceusdm has no contract NOPEUSDT"),
        (("BTCUSDT", "--timeframe", "7m"), "--timeframe '7m' is unknown"),
        (("BTCUSDT", "--days", "1", "--from", "2025-01-01"), "give one of them"),
        (("BTCUSDT", "--from", "2025-01-02", "--to", "2025-01-01"), "--to must lie after --from"),
        (("BTCUSDT", "--from", "2125-01-02"), "after its end or now"),
        (("BTCUSDT", "--from", "yesterday"), "is no time"),
    ],
)
async def test_what_cannot_be_asked_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    async with simulated() as exchange:
        code, out, err = await told(capsys, tmp_path, *words, "--url", exchange.rest_url)
    assert (code, out) == (2, "")
    assert said in err
    assert not (tmp_path / "demo" / "store.sqlite3").exists()


async def test_a_session_may_write_the_store_at_the_same_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "demo" / "store.sqlite3"
    path.parent.mkdir()
    said: list[str] = []
    journal = await Store.open(path, on_failure=said.append)
    async with simulated() as exchange:
        fetching = asyncio.create_task(
            told(capsys, tmp_path, "BTCUSDT", "--days", "3", "--json", "--url", exchange.rest_url)
        )
        written = 0
        while not fetching.done():
            values = {"open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": 1.0}
            journal.record(record("candles", symbol="BTCUSDT", timeframe="1m", open_ms=written * 60_000, **values))
            written += 1
            await asyncio.sleep(0.005)
        code, out, _ = await fetching
    await journal.aclose()
    assert (code, json.loads(out)["added"]) == (0, 4_320)
    assert said == []
    assert len(read_candles(path, "BTCUSDT", OWN)[0]) == written
    assert len(read_candles(path, "BTCUSDT", kept_name(exchange))[0]) == 4_320


async def test_ctrl_c_keeps_what_came_and_says_how_to_go_on(tmp_path: Path) -> None:
    async with simulated() as exchange:
        words = ["--data-dir", str(tmp_path), "backfill", "BTCUSDT", "--days", "30", "--url", exchange.rest_url]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tui_trader", *words, "--json",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[1], env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )  # fmt: skip
        path = tmp_path / "demo" / "store.sqlite3"
        while not (path.exists() and len(read_candles(path, "BTCUSDT", kept_name(exchange))[0])):
            await asyncio.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, _ = await process.communicate()
    report = json.loads(out)
    assert process.returncode == 130
    assert (report["interrupted"], report["complete"]) == (True, False)
    assert 0 < len(read_candles(path, "BTCUSDT", kept_name(exchange))[0]) < report["wanted"] == 43_200
