"""Hypothesis explores anew on a developer's machine and repeats itself in CI, where a run must mean the same twice.

The locks of accounts stand in a folder of this run, so that no test meets a session of the person who runs it. A test
begins with the usual decimal context: ccxt's own number functions change the one of whoever calls them.

``-n auto`` means three workers on two cores, for a large part of the suite waits for real time to pass; and a worker
without work takes from the others, so that none ends alone with the longest.
"""

from __future__ import annotations

import decimal
import os
import signal
import tempfile

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import WorkStealingScheduling

# A busy machine is no failure: no example has a deadline, and drawing one may take its time.
settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("local"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores Ctrl-C, and so would every process that a test starts and interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)

_LOCKS = tempfile.TemporaryDirectory(prefix="tui-trader-test-locks-")
os.environ["TP_LOCK_DIR"] = _LOCKS.name


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Before every fixture, those of a module as well."""
    decimal.setcontext(decimal.Context())


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Workers of ``-n auto``."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + cores // 2


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> WorkStealingScheduling:
    """How tests come to workers."""
    return WorkStealingScheduling(config, log)
