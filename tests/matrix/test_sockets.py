"""The rows that are about bytes and connections once more over real sockets, with the same scripts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tui_trader.drill.scenarios import SCENARIOS
from tui_trader.drill.sockets import play_over_sockets

AT_ONCE = 6
"""Stages that live side by side: they mostly wait."""

ROWS = (
    "entry-market",
    "entry-reset-after-send",
    "entry-reset-mid-answer",
    "entry-503-unknown",
    "entry-minus-1021",
    "stop-mangled-answer",
    "stop-answer-lost",
    "events-twice",
    "events-out-of-order",
    "disconnect-both-books",
    "garbage-frames",
    "huge-frame",
    "odd-frames",
    "rate-limited-stop",
    "orphans-in-both-books",
    "restart-with-position",
)


async def _play(name: str, folder: Path, room: asyncio.Semaphore) -> str:
    async with room:
        return await play_over_sockets(SCENARIOS[name], folder)


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """How each row ended."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ROWS}

    async def all_of_them() -> list[str]:
        room = asyncio.Semaphore(AT_ONCE)
        return await asyncio.gather(*(_play(name, folder, room) for name, folder in folders.items()))

    return dict(zip(ROWS, asyncio.run(all_of_them()), strict=True))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ROWS)
def test_the_same_script_over_real_sockets(name: str, ends: dict[str, str]) -> None:
    assert not ends[name]
