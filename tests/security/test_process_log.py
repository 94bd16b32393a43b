"""Whatever a library, a warning or an unforeseen failure says ends in the session's log, without a secret (I22)."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
import os
import stat
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tui_trader.runtime.log import PrivateFile, ProcessLog, Redactor, SessionLog

CANARY = "CANARYsecret0123456789"
LIBRARIES = ("ccxt", "ccxt.base.exchange", "aiohttp.client", "websockets.client", "asyncio", "urllib3", "anything.else")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SessionLog]:
    redact = Redactor([CANARY])
    made = SessionLog(tmp_path / "session.log", redact)
    with ProcessLog(made, redact):
        yield made
    made.close()


def lines(log: SessionLog) -> list[dict[str, str]]:
    return [json.loads(line) for line in text_of(log).splitlines()]


def text_of(log: SessionLog) -> str:
    log.flush()
    return log.path.read_text()


@pytest.mark.parametrize("name", LIBRARIES)
def test_no_handler_of_any_library_sees_a_secret(log: SessionLog, name: str) -> None:
    logger, stream = logging.getLogger(name), io.StringIO()
    theirs = logging.StreamHandler(stream)
    theirs.setFormatter(logging.Formatter("%(message)s %(args)s"))
    logger.addHandler(theirs)
    try:
        logger.error("request %s with %r", f"https://x?listenKey=LEAK55&a={CANARY}", {"X-MBX-APIKEY": CANARY})
        logger.error(f"already formatted {CANARY}")
        logger.error("wrong %d", CANARY)
        logger.error(CANARY.encode())
        try:
            raise RuntimeError(f"inside {CANARY}")
        except RuntimeError:
            logger.exception("failed", stack_info=True)
    finally:
        logger.removeHandler(theirs)
    written = stream.getvalue() + text_of(log)
    assert CANARY not in written
    assert "LEAK55" not in written
    assert f"{name}: already formatted …" in [line["text"] for line in lines(log)]
    assert any("RuntimeError: inside …" in line["text"] for line in lines(log))


def test_debug_lines_of_chatty_libraries_are_not_even_made(log: SessionLog) -> None:
    for name in ("ccxt", "aiohttp", "websockets", "asyncio"):
        assert not logging.getLogger(name).isEnabledFor(logging.INFO)
    assert lines(log) == []


def test_nothing_of_it_reaches_the_terminal(log: SessionLog, capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("asyncio").error("a %s", CANARY)
    sys.excepthook(ValueError, ValueError(CANARY), None)
    assert capsys.readouterr() == ("", "")
    assert [line["severity"] for line in lines(log)] == ["alarm", "alarm"]


def test_warnings_threads_and_finalisers_are_heard(log: SessionLog) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        shown = warnings.showwarning
        shown(UserWarning(f"about {CANARY}"), UserWarning, "file.py", 7)
    thread = threading.Thread(target=lambda: 1 / len(CANARY[:0]))
    thread.start()
    thread.join()

    class Odd:
        def __del__(self) -> None:
            raise RuntimeError(f"in a finaliser {CANARY}")

    Odd()
    gc.collect()
    texts = " ".join(line["text"] for line in lines(log))
    assert "UserWarning: about …" in texts
    assert "ZeroDivisionError" in texts
    assert "in a finaliser …" in texts
    assert CANARY not in texts


def test_a_task_that_nobody_awaited_is_told_without_its_secret(log: SessionLog) -> None:
    async def fail(secret: str) -> None:
        raise ValueError(f"bad {secret}")

    async def main() -> None:
        task = asyncio.create_task(fail(CANARY))
        await asyncio.wait([task])
        del task
        gc.collect()

    asyncio.run(main())
    assert any("never retrieved" in line["text"] and "bad …" in line["text"] for line in lines(log))
    assert CANARY not in text_of(log)


def test_all_is_given_back(tmp_path: Path) -> None:
    names = [(sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook"), (warnings, "showwarning")]
    before = [getattr(owner, name) for owner, name in names]
    factory, handlers = logging.getLogRecordFactory(), list(logging.getLogger().handlers)
    level = logging.getLogger("aiohttp").level
    guard = ProcessLog(SessionLog(tmp_path / "s.log", Redactor()), Redactor())
    guard.install()
    guard.install()
    guard.remove()
    guard.remove()
    assert [getattr(owner, name) for owner, name in names] == before
    assert logging.getLogRecordFactory() is factory
    assert logging.getLogger().handlers == handlers
    assert logging.getLogger("aiohttp").level == level


def test_a_reader_of_the_log_is_not_hit_by_control_characters(log: SessionLog) -> None:
    """I23: eight-bit controls and direction marks are not escaped by JSON."""
    log.say("info", "a\x9b31mb\u202ec\u2028d", **{"k\x9b": ["\x90x", {"\u2066": "\x85"}]})
    data = text_of(log)
    assert data.rstrip("\n").isprintable()
    assert lines(log)[0]["text"] == "a31mbc d"


@pytest.mark.parametrize("mask", [0, 0o022, 0o777])
def test_the_file_is_private_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    path = tmp_path / "s.log"
    before = os.umask(mask)
    try:
        file = PrivateFile(path, max_bytes=50, kept=2)
        for number in range(9):
            file.msg(f"a line that is long enough {number}")
    finally:
        os.umask(before)
    file.close()
    assert file.lost == 0
    assert {stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()} == {0o600}


def test_files_that_were_left_open_are_closed_to_others(tmp_path: Path) -> None:
    path, older = tmp_path / "s.log", tmp_path / "s.log.1"
    for each in (path, older):
        each.write_text("old\n")
        each.chmod(0o666)
    PrivateFile(path).close()
    assert [stat.S_IMODE(each.stat().st_mode) for each in (path, older)] == [0o600, 0o600]


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("mine")
    (tmp_path / "s.log").symlink_to(target)
    log = PrivateFile(tmp_path / "s.log")
    log.msg("x")
    log.close()
    assert target.read_text() == "mine"
    assert log.lost > 0


def test_ccxt_stays_silent_whatever_the_environment_says() -> None:
    """Its verbose mode prints keys, headers and bodies; nothing outside the code can turn it on."""
    code = (
        "import asyncio\n"
        "from tui_trader.clock import VenueClock, monotonic\n"
        "from tui_trader.venues.binance.rest import Rest\n"
        "from tui_trader.venues.ratelimit import Budget\n"
        "from tui_trader.core.types import ZERO\n"
        f"rest = Rest('http://127.0.0.1:9', 'KEYCANARY', '{CANARY}', recv_window_ms=5000, clock=VenueClock(),\n"
        "            budget=Budget(monotonic))\n"
        "async def main():\n"
        "    await rest.open()\n"
        "    for exchange in rest._exchanges.values():\n"
        "        exchange.verbose = True\n"
        "        exchange.log('shown')\n"
        "        assert exchange.verbose is False\n"
        "        assert 'CANARY' not in str(vars(exchange)), 'the instance holds the secret in the open'\n"
        "        assert exchange.secret.startswith('CANARY')\n"
        "    try:\n"
        "        await rest.write('order', {'symbol': 'BTCUSDT'})\n"
        "    except Exception as error:\n"
        "        print(type(error).__name__)\n"
        "    await rest.aclose()\n"
        "asyncio.run(main())\n"
    )
    environment = {**os.environ, "CCXT_VERBOSE": "1", "VERBOSE": "1", "DEBUG": "*", "AIOHTTP_DEBUG": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, env=environment, timeout=60
    )
    assert done.stdout == "VenueUnreachable\n", done.stderr
    assert CANARY not in done.stdout + done.stderr
