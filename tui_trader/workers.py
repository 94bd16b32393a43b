"""Worker processes of long computations: deaf to Ctrl-C, which is the parent's to handle, and gone when it is gone."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing.connection import wait


@contextlib.contextmanager
def deaf_to_ctrl_c() -> Iterator[None]:
    """Processes begun in here never hear SIGINT; here it is heard afterwards.

    A terminal sends Ctrl-C to the workers too. One that dies of it while it is handed its work leaves the parent
    writing into a pipe that nobody reads, for ever; ``begin`` comes too late for that.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin() -> None:
    """What a worker process does first. A parent that was killed cannot tell its workers to end: they see it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), name="parent watcher", daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
