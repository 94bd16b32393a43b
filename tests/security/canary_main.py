"""The real console in a process of its own, made to fail in every way, for the search after its secret.

``python -m tests.security.canary_main DIR REST WS`` trades in testnet mode with the key in DIR/credentials.toml, on the
terminal it is started on. It writes its progress, a word a line, to DIR/../progress.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import warnings
from decimal import Decimal
from pathlib import Path

from tui_trader import cli_session
from tui_trader.cli_context import Globals, crash_report
from tui_trader.core.commands import WriteTrace
from tui_trader.core.events import Event, OpenPosition
from tui_trader.core.types import Side
from tui_trader.credentials import credentials
from tui_trader.runtime import start as start_module
from tui_trader.runtime.session import Session
from tui_trader.ui.app import ConsoleApp

SESSIONS: list[Session] = []


class Driver:
    """Does to a running session what could make it speak of its secret."""

    def __init__(self, data_dir: Path, app: ConsoleApp) -> None:
        self._data_dir = data_dir
        self._app = app
        held = credentials("testnet", {}, data_dir)
        self._texts = [held.key, held.secret.reveal()]
        self._leak = " ".join(self._texts)

    def tell(self, word: str) -> None:
        with (self._data_dir.parent / "progress").open("a") as file:
            file.write(word + "\n")

    async def run(self) -> None:
        try:
            await self._run()
        except Exception as error:  # noqa: BLE001 - told to the test, which then fails
            self.tell(f"FAILED {type(error).__name__}: {error}")

    async def _run(self) -> None:
        while not SESSIONS or (frame := SESSIONS[0].view("BTCUSDT", "1m")) is None or not frame.universe.members:
            await asyncio.sleep(0.1)
        session = SESSIONS[0]
        await self._enter(session)
        self.tell("PROTECTED")
        await self._libraries()
        await self._engine(session)
        session._trader._on_trace(  # type: ignore[union-attr]
            WriteTrace(
                ts=1,
                invariant="I5",
                symbol="BTCUSDT",
                words=self._leak,
                lines=(f'{{"text": "{self._leak}"}}', self._leak),
            )
        )
        try:
            raise ValueError(f"a bug with {self._leak}")
        except ValueError as error:
            crash_report(error, ["--data-dir", str(self._data_dir), "run"])
        await asyncio.sleep(0.5)
        self.tell("TROUBLED")
        while not (self._data_dir.parent / "go-on").exists():
            await asyncio.sleep(0.1)
        for keys in ("5", "0", "question_mark"):
            await self._app._press_keys([keys])
            await asyncio.sleep(0.3)
            self._app.save_screenshot(f"{keys}.svg", str(self._data_dir))
        self.tell("DRAWN")

    async def _enter(self, session: Session) -> None:
        while True:
            frame = session.view("BTCUSDT", "1m")
            if frame is not None and frame.positions and all(row.stop_proven for row in frame.positions):
                return
            ticket = OpenPosition(
                ts=session.now_ms(), symbol="BTCUSDT", side=Side.LONG, qty=Decimal("0.010"), override_soft=True
            )
            if frame is not None and not frame.positions and not frame.header.blocks:
                preview = session.preview(ticket)
                if not preview.error and not preview.hard:
                    session.send(ticket)
                    await asyncio.sleep(1)
            await asyncio.sleep(0.2)

    async def _libraries(self) -> None:
        key, secret = self._texts
        for name in ("aiohttp.client", "websockets.client", "ccxt", "asyncio", "other"):
            logging.getLogger(name).error("GET %s headers %r", f"https://h/x?signature={secret}", {"X-MBX-APIKEY": key})
            logging.getLogger(name).debug("frame %s", self._leak)
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn(self._leak, stacklevel=1)

        async def fail() -> None:
            raise RuntimeError(self._leak)

        task = asyncio.create_task(fail())
        await asyncio.wait([task])
        del task
        gc.collect()
        await asyncio.sleep(0.1)

    async def _engine(self, session: Session) -> None:
        engine, leak = session.engine, self._leak
        real, failed = engine.process, []

        def process(event: Event) -> object:
            if not failed:
                failed.append(event)
                raise KeyError(leak)
            return real(event)

        engine.process = process  # type: ignore[assignment, method-assign]
        await asyncio.sleep(1)
        engine.process = real  # type: ignore[method-assign]


def main(argv: list[str]) -> int:
    """Run the console of ``argv``'s data folder."""
    data_dir = Path(argv[0])
    options = Globals(
        data_dir=data_dir,
        mode="testnet",
        overrides={"venue.rest_url": argv[1], "venue.ws_url": argv[2], "strategies.threshold": 1.0},
    )
    real = start_module.build_session
    tasks: list[asyncio.Task[None]] = []

    async def build(options: start_module.StartOptions) -> Session:
        session = await real(options)
        SESSIONS.append(session)
        return session

    start_module.build_session = build
    mounted = ConsoleApp.on_mount

    def on_mount(app: ConsoleApp) -> None:
        mounted(app)
        tasks.append(asyncio.create_task(Driver(data_dir, app).run()))

    ConsoleApp.on_mount = on_mount  # type: ignore[method-assign]
    return cli_session.run_console(options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
