from __future__ import annotations

import asyncio

import pytest

from tui_trader.core.events import BookTop
from tui_trader.runtime import supervise
from tui_trader.runtime.inbox import Inbox
from tui_trader.runtime.supervise import LagMeter, Supervisor, describe, meters


class Reports:
    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []
        self.changed = asyncio.Event()

    def __call__(self, worker: str, error: BaseException) -> None:
        self.heard.append((worker, describe(error)))
        self.changed.set()


async def test_an_unknown_failure_is_reported_and_the_worker_starts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "FIRST_PAUSE_S", 0.0)
    reports, runs, well = Reports(), [], asyncio.Event()

    async def work() -> None:
        runs.append(1)
        if len(runs) < 3:
            raise ValueError("broken\nline")
        well.set()
        await asyncio.sleep(60)

    supervisor = Supervisor(reports)
    supervisor.start("feed", work, restart=True)
    await well.wait()
    assert reports.heard == [("feed", "ValueError: broken line")] * 2
    (row,) = supervisor.rows()
    assert (row.name, row.state) == ("feed", "running")
    await supervisor.aclose()
    assert supervisor.rows()[0].state == "stopped"


async def test_a_worker_that_may_not_begin_anew_stays_failed() -> None:
    reports = Reports()

    async def work() -> None:
        raise KeyError("x")

    supervisor = Supervisor(reports)
    supervisor.start("engine", work)
    await reports.changed.wait()
    await supervisor.aclose()
    (row,) = supervisor.rows()
    assert (row.state, row.detail) == ("failed", "KeyError: 'x'")
    assert len(reports.heard) == 1


async def test_a_worker_that_ends_well_is_done_and_names_are_unique() -> None:
    async def work() -> None:
        return

    supervisor = Supervisor(Reports())
    supervisor.start("once", work)
    with pytest.raises(ValueError, match="already runs"):
        supervisor.start("once", work)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert supervisor.rows()[0].state == "done"
    await supervisor.aclose()


async def test_closing_from_inside_a_worker_does_not_wait_for_itself() -> None:
    supervisor = Supervisor(Reports())
    closed = asyncio.Event()

    async def work() -> None:
        await supervisor.aclose()
        closed.set()

    supervisor.start("closer", work)
    supervisor.start("other", lambda: asyncio.sleep(60))
    await closed.wait()


async def test_lag_is_measured() -> None:
    meter = LagMeter(interval_s=0.001)
    assert meter.p99_ms() == 0.0
    task = asyncio.ensure_future(meter.run())
    for _ in range(20):
        await asyncio.sleep(0.002)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert meter.p99_ms() >= 0.0


async def test_meters_tell_lag_age_and_what_waits() -> None:
    inbox, lag = Inbox(), LagMeter(interval_s=0.001)
    assert set(meters(lag, inbox).values()) == {0.0}
    for bid in (99.0, 99.5):
        inbox.put(BookTop(ts=1, symbol="BTCUSDT", bid=bid, bid_qty=1, ask=100.0, ask_qty=1))
    assert (meters(lag, inbox)["received"], meters(lag, inbox)["coalesced"], meters(lag, inbox)["waiting"]) == (2, 1, 1)
    await inbox.drain()
    facts = meters(lag, inbox)
    assert facts["waiting"] == 0
    assert facts["age_p99_ms"] >= facts["age_p50_ms"] >= 0
