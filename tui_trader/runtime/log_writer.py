"""Writes lines to a disk that may be slow, full or hang, in a thread of its own: who says a line never waits for it."""

from __future__ import annotations

import atexit
import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from tui_trader import clock

WAITING_MAX = 20_000
WAITING_MAX_CHARS = 16_000_000
CLOSE_S = 0.5
STUCK_S = 5.0
TOLD_EVERY_S = 60.0

Work = Callable[[], None]


class LineFile(Protocol):
    """Where the lines go; ``lost`` counts those that could not be written."""

    lost: int

    def msg(self, line: str) -> bool:
        """Append one line; False when it is lost."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class LineWriter:
    """A bounded queue before a file. What does not fit is dropped and counted; ``gap(n)`` is the line that says so.

    ``close`` and the end of the process wait a moment for what is queued. Lines said later are written at once, by
    whoever says them, unless the disk still hangs.
    """

    def __init__(self, file: LineFile, gap: Callable[[int], str]) -> None:
        self._file = file
        self._gap = gap
        self._waiting: deque[str | Work] = deque()
        self._chars = 0
        self._dropped = 0
        self._noted = file.lost
        self._busy_since = 0.0
        self._ending = False
        self._thread: threading.Thread | None = None
        # Reentrant: a finaliser that runs while the lock is held may say something.
        self._changed = threading.Condition(threading.RLock())

    @property
    def lost(self) -> int:
        """Lines that are not in the file: dropped, or refused by the disk."""
        return self._dropped + self._file.lost

    @property
    def stuck_s(self) -> float:
        """For how long the disk has been at the same write, in s; 0 when nothing is being written."""
        since = self._busy_since
        return clock.monotonic() - since if since else 0.0

    def msg(self, line: str) -> None:
        """One line, from any thread; returns at once."""
        self._put(line, len(line))

    debug = info = warning = error = critical = msg

    def aside(self, work: Work) -> None:
        """Do something else that may take as long as the disk does, in its turn; it must not raise."""
        self._put(work, 0)

    def flush(self, timeout_s: float = CLOSE_S) -> bool:
        """Wait until all that was said is written; False when that takes longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._waiting or self._busy_since), timeout_s)

    def close(self) -> None:
        """Write what waits, as far as the disk lets it, and close the file."""
        with self._changed:
            self._ending = True
            thread, self._thread = self._thread, None
            self._changed.notify_all()
        if thread is not None:
            atexit.unregister(self.close)
            thread.join(CLOSE_S)
        if not self.stuck_s:
            self._file.close()

    def _put(self, item: str | Work, size: int) -> None:
        with self._changed:
            if self._ending and not self._busy_since:
                self._write(item)
            elif len(self._waiting) >= WAITING_MAX or self._chars + size > WAITING_MAX_CHARS:
                self._dropped += 1
            else:
                self._waiting.append(item)
                self._chars += size
                self._start()
                self._changed.notify_all()

    def _start(self) -> None:
        if self._thread is None and not self._ending:
            self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)
            self._thread.start()
            atexit.register(self.close)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy_since = 0.0
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting or self._ending)
                if not self._waiting:
                    return
                item = self._waiting.popleft()
                self._chars -= len(item) if isinstance(item, str) else 0
                self._busy_since = clock.monotonic()
            try:
                self._write(item)
            except Exception:  # noqa: BLE001 - whatever one item does, the next lines must be written; it is counted
                self._dropped += 1

    def _write(self, item: str | Work) -> None:
        if not isinstance(item, str):
            item()
            return
        if not self._file.msg(item):
            return
        missing = self.lost - self._noted
        if missing > 0 and self._file.msg(self._gap(missing)):
            self._noted += missing


class LogWatch:
    """Tells, once a minute at most, that lines are lost, and once for each time that the disk hangs."""

    def __init__(self, writer: LineWriter, tell: Callable[[str], None]) -> None:
        self._writer = writer
        self._tell = tell
        self._lost = writer.lost
        self._told_at = -TOLD_EVERY_S
        self._stuck = False

    def look(self) -> None:
        """Called again and again; quick."""
        stuck = self._writer.stuck_s > STUCK_S
        if stuck and not self._stuck:
            words = f"its disk has not answered for {STUCK_S:.0f} s; lines wait in memory"
            self._tell(f"the session log cannot be written: {words}. Trading goes on; look at the disk")
        self._stuck = stuck
        lost, now = self._writer.lost, clock.monotonic()
        if lost > self._lost and now - self._told_at >= TOLD_EVERY_S:
            words = f"lines lost: {lost - self._lost}, the disk is full or does not answer"
            self._tell(f"the session log cannot be written: {words}. Trading goes on; free some space")
            self._lost, self._told_at = lost, now
