"""Pictures of the console for a person to look at: ``python -m tests.ui.shoot DIR`` writes one SVG a scene and size."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from tests.ui.sample import FakeSession, alarm_snapshot, bare_snapshot, empty_snapshot, snapshot
from tui_trader.ui.app import ConsoleApp

SIZES = ((80, 24), (120, 40), (160, 50), (200, 60))
SCENES: dict[str, tuple[Callable[[], FakeSession], tuple[str, ...]]] = {
    "main": (FakeSession, ()),
    "empty": (lambda: FakeSession(shown=empty_snapshot()), ()),
    "alarm": (lambda: FakeSession(shown=alarm_snapshot(), mode="live", venue="binance"), ()),
    "killed": (lambda: FakeSession(shown=alarm_snapshot(killed=True, mode="testnet"), mode="testnet"), ()),
    "ticket": (FakeSession, ("b",)),
    "help": (FakeSession, ("question_mark",)),
    "detail": (FakeSession, ("enter",)),
    "close": (FakeSession, ("x",)),
    "find": (FakeSession, ("slash", "a")),
    "stop": (FakeSession, ("m",)),
    "light": (FakeSession, ("T",)),
    "mono": (FakeSession, ("T", "T", "T", "T")),
    "equity": (FakeSession, ("E",)),
    "signals": (FakeSession, ("8",)),
    "signal": (FakeSession, ("8", "j", "enter")),
    "strategies": (FakeSession, ("P",)),
    "strategy": (FakeSession, ("P", "enter")),
    "failed": (FakeSession, ("P", "j", "j", "j", "enter")),
    "ladder": (FakeSession, ("5",)),
    "chart": (FakeSession, ("2",)),
    "book": (FakeSession, ("3",)),
    "bare": (lambda: FakeSession(shown=bare_snapshot()), ("4",)),
    "alarm_positions": (lambda: FakeSession(shown=alarm_snapshot(), mode="live", venue="binance"), ("4",)),
    "bare_mono": (lambda: FakeSession(shown=bare_snapshot()), ("4", "T", "T", "T", "T")),
    "story": (FakeSession, ("h",)),
    "risk": (FakeSession, ("6",)),
    "positions": (FakeSession, ("4",)),
}


async def shoot(folder: Path, names: list[str]) -> None:
    """Write the scenes called ``names`` (all when empty)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (build, keys) in SCENES.items():
        if names and name not in names:
            continue
        for width, height in SIZES:
            app = ConsoleApp(build())
            async with app.run_test(size=(width, height)) as pilot:
                await pilot.press(*keys)
                await pilot.pause()
                # Blanks count in a terminal, and not every viewer keeps them by itself.
                drawn = app.export_screenshot().replace("<svg ", '<svg xml:space="preserve" ', 1)
                (folder / f"{name}-{width}x{height}.svg").write_text(drawn)


if __name__ == "__main__":
    snapshot()
    asyncio.run(shoot(Path(sys.argv[1]), sys.argv[2:]))
