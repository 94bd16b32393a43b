"""``tui-trader record`` and ``replay``: a session into a file, and the file through the live engine."""

from __future__ import annotations

import re
import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tui_trader import clock
from tui_trader.cli_context import Globals, emit, number
from tui_trader.errors import UsageError

if TYPE_CHECKING:
    from tui_trader.runtime.replay import ReplayReport

FOLDER = "recordings"
SUFFIX = ".jsonl.gz"


def record(options: Globals, minutes: str, out: Path | None) -> int:
    """A headless session, recorded; ``minutes`` "" means until it is stopped."""
    from tui_trader.cli_session import run_headless

    bound = float(number("--minutes", minutes, high=Decimal(100_000))) if minutes else 0.0
    path = out if out is not None else _usual(options)
    code = run_headless(msgspec.structs.replace(options, record=path), bound)
    if path.exists():
        sys.stderr.write(f"recorded: {path}\nreplay it: tui-trader replay {path}\n")
    return code


def _usual(options: Globals) -> Path:
    """A new file of the data folder, named by its time."""
    from tui_trader.private import private_folder

    folder = options.folder() / options.mode / FOLDER
    try:
        private_folder(folder)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made ({error.strerror}); give a file with --out.") from None
    return folder / (re.sub(r"[-:]|\.\d+", "", clock.iso_utc(clock.wall_ms())) + SUFFIX)


def show_replay(options: Globals, file: Path, as_json: bool) -> int:
    """0: every decision was the same, as far as the file goes; 1: one was not, or the file is damaged or empty."""
    from tui_trader.runtime.replay import replay

    if not file.is_file():
        raise UsageError(f"There is no recording at {file}.")
    report = replay(file, folder=options.load().settings.strategies.folder, progress=_progress)
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
    good = report.same and not report.damaged and report.steps > 0
    if as_json:
        emit({"same": good, **msgspec.to_builtins(report)})
    else:
        sys.stdout.write(to_text(report))
    return 0 if good else 1


def _progress(steps: int) -> bool:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{steps:,} steps ")
        sys.stderr.flush()
    return True


def to_text(report: ReplayReport) -> str:
    """The report for a person."""
    lines = [
        f"{report.mode} session on {report.venue} of {clock.iso_utc(report.started_ms)}",
        f"steps {report.steps:,}   decisions {report.decisions:,}   of these requests to the venue {report.orders:,}",
        f"frames {report.frames:,}   answers {report.answers:,}   events checked against them "
        f"{report.events_checked:,}",
        f"hash of all decisions {report.trace_hash}",
        *(f"note: {words}" for words in report.notes),
    ]
    if report.trouble:
        lines.append(f"not read to the end: {report.trouble}; what stands before was replayed")
    if report.frame_difference:
        lines.append(f"WHAT CAME IN AND WHAT WAS HEARD DIFFER: {report.frame_difference}")
    found = report.difference
    if found is None:
        lines.append("every decision is the same" if report.steps else "there is nothing to replay")
    else:
        lines.append(f"FIRST DIFFERENCE: step {found.n:,} at {clock.iso_utc(found.ts)}: {found.event}")
        lines += _side("recorded", found.recorded) + _side("replayed", found.replayed)
    return "\n".join(lines) + "\n"


def _side(name: str, words: tuple[str, ...]) -> list[str]:
    return [f"  {name}: {text}" for text in words or ("nothing",)]
