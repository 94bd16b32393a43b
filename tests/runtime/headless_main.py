"""A session in a process of its own, for the tests that kill it: ``python -m tests.runtime.headless_main DIR [flags]``.

Prints what a test waits for: STARTED, PROTECTED, and at the end ENDED with the reason or REFUSED with the words.
``--open`` enters BTCUSDT by hand, ``--take-over`` takes the account over, ``--console`` runs the real console,
``--live FILE`` trades live mode at the exchange that the JSON file names (rest_url, ws_url, key, secret).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from decimal import Decimal
from pathlib import Path

import msgspec

from tui_trader.config import load
from tui_trader.core.events import OpenPosition
from tui_trader.core.types import Side
from tui_trader.errors import TuiTraderError
from tui_trader.runtime.session import Session
from tui_trader.runtime.signals import continue_headless, install_handlers, run_headless
from tui_trader.runtime.start import StartOptions, build_session

OVERRIDES = {"demo.speed": 20.0, "strategies.threshold": 1.0}


def say(line: str) -> None:
    """One line for the test; it may have gone."""
    with contextlib.suppress(OSError):
        os.write(1, line.encode() + b"\n")


async def watch(session: Session, enter: bool) -> None:
    """Tell when a position is protected; until then ask for one."""
    while True:
        await asyncio.sleep(0.25)
        frame = session.view("BTCUSDT", "1m")
        if frame is None:
            continue
        if frame.positions and all(row.stop_proven for row in frame.positions):
            say("PROTECTED " + ",".join(row.symbol for row in frame.positions))
            return
        if enter and not frame.positions and not frame.header.blocks:
            ticket = OpenPosition(ts=session.now_ms(), symbol="BTCUSDT", side=Side.LONG, qty=Decimal("0.01"))
            preview = session.preview(ticket)
            if not preview.error and not preview.hard:
                session.send(OpenPosition(**{**_fields(ticket), "override_soft": True}))
                await asyncio.sleep(1)


def _fields(ticket: OpenPosition) -> dict[str, object]:
    return {name: getattr(ticket, name) for name in ticket.__struct_fields__}


async def headless(options: StartOptions, enter: bool) -> str:
    """Like ``tui-trader run --headless``."""
    session = await build_session(options)
    say("STARTED")
    watching = asyncio.ensure_future(watch(session, enter))
    try:
        return await run_headless(session)
    finally:
        watching.cancel()


async def console(options: StartOptions) -> str:
    """Like ``tui-trader``."""
    from tui_trader.ui.app import ConsoleApp, run_console

    apps: list[ConsoleApp] = []
    sessions: list[Session] = []
    handlers = install_handlers(asyncio.get_running_loop(), None, lambda kind, words: apps[0].leave(kind, words))

    async def start() -> Session:
        sessions.append(await build_session(options))
        handlers.attach(sessions[0])
        await sessions[0].start()
        return sessions[0]

    reason = await run_console(start, on_app=apps.append)
    if not reason.goes_on:
        return reason.words
    return await continue_headless(sessions[0], reason.words)


def live(options: StartOptions, at: dict[str, str]) -> StartOptions:
    """Armed live mode at another exchange."""
    overrides = {"strategies.threshold": 1.0, "venue.rest_url": at["rest_url"], "venue.ws_url": at["ws_url"]}
    return msgspec.structs.replace(
        options,
        settings_source=lambda: load(None, environ={}, overrides=overrides),
        mode="live",
        environ={"TP_API_KEY": at["key"], "TP_API_SECRET": at["secret"]},
        arm=True,
        typed_venue="binance",
    )


def main(argv: list[str]) -> int:
    """Run one session to its end."""
    options = StartOptions(
        settings_source=lambda: load(None, environ={}, overrides=OVERRIDES),
        mode="demo",
        data_dir=Path(argv[0]),
        take_over="--take-over" in argv,
    )
    if "--live" in argv:
        options = live(options, json.loads(Path(argv[argv.index("--live") + 1]).read_text()))
    try:
        work = console(options) if "--console" in argv else headless(options, "--open" in argv)
        say(f"ENDED {asyncio.run(work)}")
    except TuiTraderError as error:
        say(f"REFUSED {error}")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
