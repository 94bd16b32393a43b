"""Private files with the story before a broken invariant: ``traces/<time>-<invariant>.jsonl``, the newest 20 kept."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from tui_trader import clock
from tui_trader.core.commands import WriteTrace
from tui_trader.private import private_folder

FOLDER = "traces"
KEPT = 20
_NAME = re.compile(r"^\d{8}T\d{6}Z-[A-Za-z0-9]{1,12}(?:-\d{1,2})?\.jsonl$")


class TraceFolder:
    """Writes traces under ``data_dir``. ``redact`` takes secrets out of every line; ``say`` is told where the file is.

    A trace that cannot be written is said and never raised: it must not disturb trading.
    """

    def __init__(self, data_dir: Path, redact: Callable[[str], str], say: Callable[[str, str], None]) -> None:
        self.path = data_dir / FOLDER
        self._redact = redact
        self._say = say

    def write(self, trace: WriteTrace) -> None:
        """One JSON object a line, oldest first; the last line is the breach with the state at that moment."""
        try:
            path = self._write(trace)
        except OSError as error:
            reason = error.strerror or str(error)
            self._say("warning", f"the trace of {trace.invariant} could not be written to {self.path} ({reason})")
            return
        self._say("warning", f"what happened before {trace.invariant} was broken stands in {path}")

    def _write(self, trace: WriteTrace) -> Path:
        private_folder(self.path)
        text = "".join(f"{self._redact(line)}\n" for line in trace.lines)
        path = self._free(trace.invariant)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        with open(os.open(path, flags, 0o600), "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        for old in sorted(p for p in self.path.iterdir() if _NAME.match(p.name))[:-KEPT]:
            old.unlink(missing_ok=True)
        return path

    def _free(self, invariant: str) -> Path:
        stamp = re.sub(r"[-:]|\.\d+", "", clock.iso_utc(clock.wall_ms()))
        word = re.sub(r"[^A-Za-z0-9]", "", invariant)[:12] or "unknown"
        names = [f"{stamp}-{word}.jsonl", *(f"{stamp}-{word}-{n}.jsonl" for n in range(2, 100))]
        return next((path for name in names if not (path := self.path / name).exists()), self.path / names[0])
