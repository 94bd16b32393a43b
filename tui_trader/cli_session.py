"""The commands that trade: the console, and a session without a terminal.

The console paints before anything heavy is imported; the session is built after the first paint.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Coroutine
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from tui_trader.cli_context import Globals
from tui_trader.errors import ArmingError, SessionBusyError, TuiTraderError, UsageError

if TYPE_CHECKING:
    from tui_trader.runtime.session import Session
    from tui_trader.runtime.start import StartOptions
    from tui_trader.ui.app import ConsoleApp, ExitReason

_T = TypeVar("_T")
_DETACHED = (
    "The session trades on without a screen as process {pid}; its stops rest at the venue.\n"
    "You may close this terminal. To see it again, start tui-trader in another one and take over.\n"
    "To end it, with positions protected: kill {pid}"
)


def run_console(options: Globals) -> int:
    """The console; when another session holds the account, offers to take over."""
    loaded = options.load()
    for warning in loaded.warnings:
        sys.stderr.write(f"note: {warning}\n")
    typed = _typed_venue(options, loaded.settings.venue.name)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("The console needs a terminal. Without one, use: tui-trader run --headless")
    take_over = options.take_over or _asked_first(options, loaded.settings.venue.name)
    while True:
        reason = _loop(_console(options, typed, take_over))
        if reason.error is None:
            return _farewell(reason.words)
        if not isinstance(reason.error, SessionBusyError) or take_over:
            raise reason.error
        take_over = _confirmed(reason.error)


def _asked_first(options: Globals, venue: str) -> bool:
    """Ask about a session that already trades the account before the screen is taken; False when there is none.

    The account's lock decides in the end: what starts between this look and the lock is asked about after it.
    """
    from tui_trader.credentials import credentials
    from tui_trader.runtime.lock import busy_words, is_held, lock_path, read_holder

    data_dir = options.folder()
    key = credentials(options.mode, dict(os.environ), data_dir).key
    path = lock_path(data_dir / options.mode, venue, options.mode, key)
    return is_held(path) and _confirmed(SessionBusyError(busy_words(read_holder(path))))


def run_headless(options: Globals, minutes: float = 0.0) -> int:
    """A session without a terminal, until a signal or the control socket ends it, or ``minutes`` (0: no end)."""
    typed = _typed_venue(options, options.load().settings.venue.name)
    try:
        return _farewell(_loop(_headless(options, typed, options.take_over, minutes)))
    except SessionBusyError as error:
        if options.take_over:
            raise
        _confirmed(error)
    return _farewell(_loop(_headless(options, typed, True, minutes)))


async def _console(options: Globals, typed: str, take_over: bool) -> ExitReason:
    from tui_trader.ui.app import run_console as show

    progress: list[str] = []
    started: list[Session] = []
    apps: list[ConsoleApp] = []
    ends: list[asyncio.Task[None]] = []
    loop = asyncio.get_running_loop()
    loaded = options.load()
    signals = await _module("tui_trader.runtime.signals")

    def leave(kind: str, words: str) -> None:
        if apps:
            apps[0].leave(kind, words)

    handlers = signals.install_handlers(loop, None, leave)

    heard = contextlib.ExitStack()

    async def start() -> Session:
        progress.append("loading the engine")
        module = await _module("tui_trader.runtime.start")
        session: Session = await module.build_session(_start_options(options, typed, take_over, progress.append))
        heard.enter_context(module.process_log(session))
        handlers.attach(session)
        started.append(session)
        await session.start()
        ends.append(loop.create_task(_leave_with(session, leave)))
        progress.append("reading the account before anything is traded")
        return session

    try:
        reason = await show(
            start,
            low_bandwidth=loaded.settings.ui.low_bandwidth,
            settings=loaded.settings,
            mode=options.mode,
            progress=progress,
            on_app=apps.append,
        )
        if started and reason.goes_on:
            if reason.kind == "detached":
                _tell(_DETACHED.format(pid=os.getpid()))
            await signals.continue_headless(started[0], reason.words)
        elif started:
            await started[0].stop(reason.words)
            await started[0].run_until_stopped()
        return reason
    finally:
        for end in ends:
            end.cancel()
        heard.close()
        handlers.remove()


async def _leave_with(session: Session, leave: Callable[[str, str], None]) -> None:
    """Leave the console when its session ends without it (taken over, given up): keys would reach nobody any more."""
    reason = await session.run_until_stopped()
    leave("quit", f"The session has ended: {reason}. What is open stays behind its stops at the venue.")


async def _headless(options: Globals, typed: str, take_over: bool, minutes: float) -> str:
    from tui_trader.runtime.signals import run_headless as serve
    from tui_trader.runtime.start import build_session, process_log

    def say(line: str) -> None:
        # Nobody may be reading any more, and a session must not stop over that.
        with contextlib.suppress(OSError):
            sys.stderr.write(line + "\n")

    session = await build_session(_start_options(options, typed, take_over, say))
    say(f"trading headless: {options.mode}, process {os.getpid()}; SIGTERM stops it, positions stay protected")
    with process_log(session):
        ending = asyncio.create_task(_stop_after(session, minutes)) if minutes else None
        try:
            return await serve(session)
        finally:
            if ending is not None:
                ending.cancel()


async def _stop_after(session: Session, minutes: float) -> None:
    """Stop once it has traded for so long."""
    while not session.started:  # noqa: ASYNC110 - a start takes a second or two, and a failed one cancels this
        await asyncio.sleep(0.05)
    await asyncio.sleep(minutes * 60)
    await session.stop(f"{minutes:g} minutes are over")


def _start_options(options: Globals, typed: str, take_over: bool, say: Callable[[str], None]) -> StartOptions:
    start = importlib.import_module("tui_trader.runtime.start")
    built: StartOptions = start.StartOptions(
        settings_source=options.load,
        mode=options.mode,
        data_dir=options.folder(),
        environ=dict(os.environ),
        arm=options.arm,
        typed_venue=typed,
        protect_only=not options.arm,
        take_over=take_over,
        say=say,
        record=options.record,
    )
    return built


async def _module(name: str) -> ModuleType:
    return await asyncio.to_thread(importlib.import_module, name)


def _typed_venue(options: Globals, venue: str) -> str:
    """The venue's name as a person typed it: what arms live trading, for this start only.

    "" when live was not asked to be armed: such a start protects what is open and refuses entries.
    """
    if options.mode != "live":
        return ""
    if not options.arm:
        _tell(
            f"LIVE on {venue}, not armed: this start adopts and protects what is open, and refuses entries. "
            "To trade, start with --mode live --arm."
        )
        return ""
    if not sys.stdin.isatty():
        raise ArmingError("Live trading is armed by a person at a terminal, who types the venue's name; there is none.")
    sys.stderr.write(f"LIVE: real money will be traded on {venue}.\nType the venue's name to arm this start: ")
    sys.stderr.flush()
    typed = sys.stdin.readline().strip()
    if typed.lower() != venue.lower():
        raise ArmingError("That is not the venue's name. Live trading is not armed; nothing was sent.")
    return typed


def _confirmed(error: SessionBusyError) -> bool:
    """Ask whether to take over; raises ``error`` when the answer is no or nobody is there to ask."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise error
    running, _, _ = str(error).partition(";")
    sys.stderr.write(
        f"{running}.\nTake over? It stops its entries, leaves its positions protected and exits; "
        "this one goes on with them. [y/N] "
    )
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise TuiTraderError("Left the running session alone.")
    return True


def _farewell(words: str) -> int:
    _tell(words)
    return 0


def _tell(words: str) -> None:
    """Write to the person; nobody may be reading any more."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{words}\n" if words else "")


def _loop(work: Coroutine[Any, Any, _T]) -> _T:
    """Run in uvloop where there is one: it halves the cost of a message."""
    try:
        uvloop = importlib.import_module("uvloop")
    except ImportError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
