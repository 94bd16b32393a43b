"""The demo's exchange: a process of its own that outlives a killed console for a while, so that a restart can adopt.

Its address, key and pid stand in a private file of the data folder. It keeps its account only while it runs, and ends
by itself when no client has been connected for ``LINGER_S`` of real time. A clean quit without positions ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import msgspec

from tui_trader import clock
from tui_trader.core.settings import DemoSettings
from tui_trader.errors import VenueUnreachable
from tui_trader.exchange.process import EmbeddedExchangeError, ExchangeInfo, spawn_detached
from tui_trader.private import write_private

STATE_FILE = "demo-exchange.json"
LINGER_S = 600.0
_ASK_TIMEOUT_S = 3.0
_END_S = 2.0


class Running(msgspec.Struct, frozen=True):
    """What the state file holds: the process and how to reach it."""

    pid: int
    wallet: str
    info: ExchangeInfo


class DemoExchange:
    """A running demo exchange. ``adopted`` is True when it was found running."""

    def __init__(self, running: Running, state_path: Path, *, adopted: bool) -> None:
        self._running = running
        self._state_path = state_path
        self.adopted = adopted

    @property
    def info(self) -> ExchangeInfo:
        """Address, key and market of the exchange."""
        return self._running.info

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._running.pid

    async def stop(self) -> None:
        """End the process: politely, then by force. Its account is gone with it."""
        self._state_path.unlink(missing_ok=True)
        await _end(self.pid)


async def demo_exchange(data_dir: Path, settings: DemoSettings, say: Callable[[str], None]) -> DemoExchange:
    """The exchange of this data folder: the one that still runs, else a new one.

    One that runs with another seed, speed or wallet than asked for is used as long as a position is open on it, else
    replaced. Call with the account's lock held. Raises ``VenueUnreachable`` when none can be started.
    """
    path = data_dir / STATE_FILE
    found = _read(path)
    if found is not None:
        demo = DemoExchange(found, path, adopted=True)
        held = await asyncio.to_thread(_open_positions, found)
        if held is not None and (held or _matches(found, settings)):
            if not _matches(found, settings):
                info = found.info
                say(f"the demo exchange goes on with seed {info.seed} at {info.speed:g}×: a position is open")
            return demo
        await demo.stop()
    say(f"starting the simulated exchange (seed {settings.seed}, {settings.speed:g}× real time)")
    try:
        pid, info = await asyncio.to_thread(
            spawn_detached, seed=settings.seed, speed=settings.speed, wallet=settings.wallet, linger_s=LINGER_S
        )
    except (EmbeddedExchangeError, OSError) as error:
        raise VenueUnreachable(f"The demo exchange did not start: {error}") from error
    running = Running(pid, str(settings.wallet), info)
    _write(path, running)
    return DemoExchange(running, path, adopted=False)


def _matches(running: Running, settings: DemoSettings) -> bool:
    info = running.info
    return (info.seed, info.speed, running.wallet) == (settings.seed, settings.speed, str(settings.wallet))


def _read(path: Path) -> Running | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Running)
    except (OSError, msgspec.MsgspecError):
        return None


def _write(path: Path, running: Running) -> None:
    write_private(path, msgspec.json.encode(running))


class _Position(msgspec.Struct):
    positionAmt: str  # noqa: N815 - the exchange's own name


def _open_positions(running: Running) -> int | None:
    """How many positions the account has; None when no exchange with this key answers there. Runs in a thread."""
    info = running.info
    query = f"timestamp={clock.wall_ms()}&recvWindow=60000"
    signature = hmac.new(info.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
    request = urllib.request.Request(
        f"http://127.0.0.1:{info.port}/fapi/v2/positionRisk?{query}&signature={signature}",
        headers={"X-MBX-APIKEY": info.api_key},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_ASK_TIMEOUT_S) as answer:
            rows = msgspec.json.decode(answer.read(), type=list[_Position])
    except (OSError, urllib.error.URLError, msgspec.MsgspecError):
        return None
    return sum(1 for row in rows if float(row.positionAmt) != 0)


async def _end(pid: int) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not _is_exchange(pid):
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        until = clock.monotonic() + _END_S
        while clock.monotonic() < until:
            if not _is_exchange(pid):
                return
            await asyncio.sleep(0.02)


def _is_exchange(pid: int) -> bool:
    """Whether ``pid`` lives and is an exchange of ours; a recycled pid is never signalled. Reaps our own children."""
    with contextlib.suppress(ChildProcessError):
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return False
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return not Path("/proc/self").exists() and _alive(pid)
    return b"tui_trader.exchange" in words


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
