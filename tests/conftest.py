"""Hypothesis explores anew on a developer's machine and repeats itself in CI, where a run must mean the same twice.

The locks of accounts stand in a folder of this run, so that no test meets a session of the person who runs it.
"""

from __future__ import annotations

import os
import tempfile

from hypothesis import settings

settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

_LOCKS = tempfile.TemporaryDirectory(prefix="tui-trader-test-locks-")
os.environ["TP_LOCK_DIR"] = _LOCKS.name
