"""The console on moving sample data, for a person to look at or a pty to measure: ``python -m tests.ui.demo_console``.

``--fps N`` draws N times a second, ``--seconds S`` leaves by itself and prints CPU seconds to the file of ``--report``.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from time import process_time

from tests.ui.sample import FakeSession
from tui_trader.clock import monotonic
from tui_trader.core.settings import Settings, UiSettings
from tui_trader.runtime.face import SessionFace
from tui_trader.ui.app import ConsoleApp, run_console


async def main() -> None:
    """Run until left."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fps", type=float, default=5.0)
    parser.add_argument("--low", action="store_true")
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    settings = Settings(ui=UiSettings(fps=options.fps))
    marks: list[tuple[float, float]] = []

    async def start() -> SessionFace:
        marks.append((monotonic(), process_time()))
        return FakeSession(moving=True, settings=settings)

    def leave_later(app: ConsoleApp) -> None:
        if options.seconds:
            asyncio.get_running_loop().call_later(options.seconds, app.leave, "quit", "time is over")

    await run_console(start, settings=settings, low_bandwidth=options.low, on_app=leave_later)
    seconds, cpu = monotonic() - marks[0][0], process_time() - marks[0][1]
    if options.report:
        options.report.write_text(f"{seconds:.2f} {cpu:.3f}\n")


if __name__ == "__main__":
    asyncio.run(main())
