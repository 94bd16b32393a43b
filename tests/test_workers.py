"""Worker processes end with whoever began them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

PROGRAM = """
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from tests.test_workers import work
from tui_trader.workers import begin, deaf_to_ctrl_c
pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=begin)
with deaf_to_ctrl_c():
    doing = pool.submit(work)
doing.result()
"""


def work() -> None:
    """Longer than any test."""
    print("at work", flush=True)
    time.sleep(3_600)


def test_a_worker_is_gone_when_its_parent_was_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=Path(__file__).parents[1], stdout=subprocess.PIPE)
    with parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"at work\n"
        parent.kill()
        # The end of their common output comes when the last of them is gone.
        assert parent.communicate(timeout=30)[0] == b""
