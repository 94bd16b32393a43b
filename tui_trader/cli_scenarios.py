"""``tui-trader drill --scenario`` and ``--sockets``: scripted worlds, in virtual or in real time."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec
import typer

from tui_trader import clock
from tui_trader.cli_context import INTERRUPTED, emit
from tui_trader.drill.play import play
from tui_trader.drill.scenarios import CANONICAL, SCENARIOS
from tui_trader.drill.scenarios.look import ScenarioFailed
from tui_trader.drill.sockets import play_over_sockets
from tui_trader.errors import UsageError


class End(msgspec.Struct, frozen=True):
    """How one scenario ended; ``words`` say what was not as it must be, "" when all was."""

    name: str
    row: str
    seconds: float
    words: str


def refuse_drawn(context: typer.Context) -> None:
    """Refuse the drill's options that scripted worlds have no use for. Raises ``UsageError``."""
    for name in ("seeds", "steps", "preset", "jobs", "minimise", "trace"):
        given = context.get_parameter_source(name)
        if given is not None and given.name == "COMMANDLINE":
            raise UsageError(
                f"--{name} is for drawn worlds; --scenario and --sockets play scripted ones, each once. "
                f"Leave --{name} out, or leave those out."
            )


def run_scenarios(pattern: str, *, seed: int, sockets: bool, as_json: bool) -> int:
    """Play every scenario whose name fits the glob, the canonical ones when it is ""; 1 when one failed, 130 when it
    was interrupted: what had been played is told. Raises ``UsageError`` when none fits.
    """
    names = [name for name in SCENARIOS if fnmatchcase(name, pattern)] if pattern else list(CANONICAL)
    if not names:
        raise UsageError(f"no scenario is called {pattern!r}; there are {', '.join(SCENARIOS)}.")
    ends: list[End] = []
    with suppress(KeyboardInterrupt):
        for name in names:
            end = _played(name, seed, sockets=sockets)
            ends.append(end)
            if not as_json:
                told = f"{'failed' if end.words else 'as it must'}  {name}" + (f": {end.words}" if end.words else "")
                sys.stdout.write(told + "\n")
                sys.stdout.flush()
    failed = sum(1 for end in ends if end.words)
    partial = len(ends) < len(names)
    if as_json:
        emit({"scenarios": msgspec.to_builtins(ends), "failed": failed, "partial": partial})
    else:
        cut = f" (interrupted: {len(ends)} of {len(names)} were played)" if partial else ""
        sys.stdout.write(f"{len(ends)} scenarios, {failed} failed{cut}\n")
    return 1 if failed else INTERRUPTED if partial else 0


def _played(name: str, seed: int, *, sockets: bool) -> End:
    began = clock.monotonic()
    words = _over_sockets(name, seed) if sockets else _virtual(name, seed)
    return End(name=name, row=SCENARIOS[name].row, seconds=round(clock.monotonic() - began, 3), words=words)


def _virtual(name: str, seed: int) -> str:
    try:
        play(name, seed)
    except ScenarioFailed as error:
        return str(error)
    return ""


def _over_sockets(name: str, seed: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(play_over_sockets(SCENARIOS[name], Path(folder), seed))
