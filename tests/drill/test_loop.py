"""The virtual loop: time jumps, nothing real is touched, the order of things is the program's."""

from __future__ import annotations

import asyncio

import pytest

from tui_trader import clock
from tui_trader.drill.loop import ForbiddenError, StalledError, VirtualLoop, run_virtual

START_MS = 1_800_000_000_000


def test_hours_pass_at_once_and_every_clock_agrees() -> None:
    async def main(loop: VirtualLoop) -> tuple[float, int, int]:
        before = clock.monotonic(), clock.perf_ns(), clock.wall_ms()
        await asyncio.sleep(7_200.5)
        return clock.monotonic() - before[0], clock.perf_ns() - before[1], clock.wall_ms() - before[2]

    assert run_virtual(START_MS, main) == (7_200.5, 7_200_500_000_000, 7_200_500)


def test_outside_a_run_the_system_gives_the_time() -> None:
    async def main(loop: VirtualLoop) -> int:
        return clock.wall_ms()

    assert run_virtual(START_MS, main) == START_MS
    assert clock.wall_ms() != START_MS


def test_timers_fire_in_order_and_a_timeout_ends_a_wait() -> None:
    async def main(loop: VirtualLoop) -> list[str]:
        heard: list[str] = []
        for delay in (0.3, 0.1, 0.2):
            loop.call_later(delay, heard.append, f"{delay}")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.25):
                await asyncio.Event().wait()
        heard.append(f"{loop.time():.2f}")
        await asyncio.sleep(1)
        return heard

    assert run_virtual(START_MS, main) == ["0.1", "0.2", "0.25", "0.3"]


def test_waiting_for_ever_is_told() -> None:
    async def main(loop: VirtualLoop) -> None:
        await asyncio.Event().wait()

    with pytest.raises(StalledError):
        run_virtual(START_MS, main)


def test_threads_and_the_network_are_refused() -> None:
    async def thread(loop: VirtualLoop) -> None:
        await asyncio.to_thread(print)

    async def network(loop: VirtualLoop) -> None:
        await loop.getaddrinfo("example.com", 443)

    for main in (thread, network):
        with pytest.raises(ForbiddenError):
            run_virtual(START_MS, main)


def test_what_still_runs_is_cancelled() -> None:
    ended: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.sleep(1e9)
        finally:
            ended.append("ended")

    async def main(loop: VirtualLoop) -> None:
        main.task = asyncio.create_task(forever())
        await asyncio.sleep(0)

    run_virtual(START_MS, main)
    assert ended == ["ended"]


def test_one_process_has_one_time() -> None:
    async def main(loop: VirtualLoop) -> None:
        with pytest.raises(RuntimeError), clock.running_on(loop):
            pass

    run_virtual(START_MS, main)
