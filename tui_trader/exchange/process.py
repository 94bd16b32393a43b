"""The exchange as a process of its own: a child that is gone with its parent, or one that outlives it for a while."""

import asyncio
import contextlib
import os
import select
import sys
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from tui_trader.secret import without_secrets

_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 3.0


class EmbeddedExchangeError(Exception):
    """The embedded exchange did not start; the text says why and what to do."""


class ExchangeInfo(msgspec.Struct, frozen=True):
    """How to reach a running exchange: the line it prints when it is ready."""

    rest_url: str
    ws_url: str
    port: int
    api_key: str
    secret: str
    seed: int
    speed: float
    start_ms: int
    symbols: list[str]


class EmbeddedExchange:
    """A simulated exchange in its own process. It ends when this process ends, however that happens."""

    def __init__(self, process: asyncio.subprocess.Process, info: ExchangeInfo) -> None:
        self._process = process
        self.info = info

    @classmethod
    async def start(
        cls,
        seed: int = 1,
        speed: float = 1.0,
        start_ms: int | None = None,
        align_start: bool = False,
        wallet: Decimal = Decimal(10_000),
        symbols: Sequence[str] | None = None,
        port: int = 0,
    ) -> "EmbeddedExchange":
        """Start the process and return when it accepts connections. Raises EmbeddedExchangeError."""
        command = [sys.executable, "-m", "tui_trader.exchange", "--json", "--until-stdin-closes"]
        command += ["--port", str(port), "--seed", str(seed), "--speed", str(speed), "--wallet", str(wallet)]
        if start_ms is not None:
            command += ["--start-ms", str(start_ms)]
        elif align_start:
            command.append("--align-start")
        if symbols is not None:
            command += ["--symbols", ",".join(symbols)]
        # Its own session: a Ctrl-C or a hang-up of the terminal must not take the exchange before the console.
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=without_secrets(os.environ),
            start_new_session=True,
        )
        try:
            return cls(process, await _ready_line(process))
        except BaseException:
            await _stop(process)
            raise

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process.returncode is None

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    async def wait(self) -> int:
        """Return the exit status when the process ends."""
        return await self._process.wait()

    async def aclose(self) -> None:
        """Stop the process: politely first, then by force."""
        await _stop(self._process)


async def _ready_line(process: asyncio.subprocess.Process) -> ExchangeInfo:
    if process.stdout is None:
        raise EmbeddedExchangeError("The embedded exchange has no output pipe; start it alone and give its address.")
    try:
        line = await asyncio.wait_for(process.stdout.readline(), _START_TIMEOUT_S)
        return msgspec.json.decode(line, type=ExchangeInfo)
    except TimeoutError as error:
        text = f"The embedded exchange did not start within {_START_TIMEOUT_S:g} s. "
        raise EmbeddedExchangeError(text + "Run `tui-trader exchange` to see why.") from error
    except msgspec.MsgspecError as error:
        text = "The embedded exchange ended before it was ready. Run `tui-trader exchange` to see why."
        raise EmbeddedExchangeError(text) from error


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), _STOP_TIMEOUT_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            await process.stdin.wait_closed()


def spawn_detached(*, seed: int, speed: float, wallet: Decimal, linger_s: float) -> tuple[int, ExchangeInfo]:
    """Start an exchange that belongs to nobody; returns its pid and address. Blocks up to 30 s: call it in a thread.

    It survives its starter and the starter's terminal, and ends when no client has been connected for ``linger_s`` real
    seconds, or by SIGTERM. Raises EmbeddedExchangeError or OSError.
    """
    command = [sys.executable, "-m", "tui_trader.exchange", "--json", "--align-start", "--linger-s", str(linger_s)]
    command += ["--seed", str(seed), "--speed", str(speed), "--wallet", str(wallet)]
    reading, writing = os.pipe()
    try:
        pid = os.posix_spawn(
            sys.executable,
            command,
            without_secrets(os.environ),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, writing, 1),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            ],
            setsid=True,
        )
        os.close(writing)
        writing = -1
        return pid, _first_line(reading)
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)


def _first_line(descriptor: int) -> ExchangeInfo:
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([descriptor], [], [], _START_TIMEOUT_S)
        chunk = os.read(descriptor, 65_536) if ready else b""
        if not chunk:
            text = "The exchange ended, or fell silent, before it was ready. Run `tui-trader exchange` to see why."
            raise EmbeddedExchangeError(text)
        line += chunk
    return msgspec.json.decode(line, type=ExchangeInfo)
