"""``tui-trader drill --scenario``: the scripted worlds by name, in virtual time or over real sockets."""

from __future__ import annotations

import asyncio
import tempfile
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec
import typer

from tui_trader import clock
from tui_trader.drill.play import play
from tui_trader.drill.scenarios import SCENARIOS
from tui_trader.drill.scenarios.look import ScenarioFailed
from tui_trader.drill.sockets import play_over_sockets
from tui_trader.errors import UsageError


class End(msgspec.Struct, frozen=True):
    """How one scenario ended; ``words`` say what was not as it must be, "" when all was."""

    name: str
    row: str
    seconds: float
    words: str


def run_scenarios(pattern: str, *, seed: int, sockets: bool, as_json: bool) -> int:
    """Play every scenario whose name fits the glob; 1 when one failed. Raises ``UsageError`` when none fits."""
    names = [name for name in SCENARIOS if fnmatchcase(name, pattern)]
    if not names:
        raise UsageError(f"no scenario is called {pattern!r}; there are {', '.join(SCENARIOS)}.")
    ends: list[End] = []
    for name in names:
        began = clock.monotonic()
        words = _over_sockets(name, seed) if sockets else _virtual(name, seed)
        ends.append(End(name=name, row=SCENARIOS[name].row, seconds=round(clock.monotonic() - began, 3), words=words))
        if not as_json:
            typer.echo(f"{'failed' if words else 'as it must'}  {name}" + (f": {words}" if words else ""))
    failed = sum(1 for end in ends if end.words)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(ends), indent=2).decode())
    else:
        typer.echo(f"{len(ends)} scenarios, {failed} failed")
    return 1 if failed else 0


def _virtual(name: str, seed: int) -> str:
    try:
        play(name, seed)
    except ScenarioFailed as error:
        return str(error)
    return ""


def _over_sockets(name: str, seed: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(play_over_sockets(SCENARIOS[name], Path(folder), seed))
