"""SIGKILL at any moment, for real: what was acknowledged is kept, nothing doubled or left bare (I1, I2, I4, I8, I14).

The long run is ``python -m tests.runtime.kills --kills 100``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtime.kills import LIMIT_MS, campaign
from tests.runtime.kills_audit import Rows, durable
from tui_trader.store.opening import open_store


def test_a_store_whose_first_start_was_killed_is_read_by_the_audit(tmp_path: Path) -> None:
    store, nothing = tmp_path / "store.sqlite3", Rows(orders={}, cancels=set(), fills={})
    store.touch()
    assert durable(store) == nothing
    open_store(store)
    assert durable(store) == nothing


@pytest.mark.timeout(240)
async def test_killed_again_and_again_nothing_is_lost_doubled_or_left_bare(tmp_path: Path) -> None:
    report = await campaign(12, 20, tmp_path)
    assert report["breaches"] == []
    assert report["failed_starts"] == []
    assert report["kills"] == 12
    assert report["fills"] > 0  # type: ignore[operator]
    assert report["naked_less_stall_ms_max"] <= LIMIT_MS  # type: ignore[operator]


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("sabotage", "kills", "found"),
    [("ack", 4, "is not in the store"), ("twice", 1, "never journalled"), ("bare", 1, "naked for")],
)
async def test_a_broken_program_is_found_out(tmp_path: Path, sabotage: str, kills: int, found: str) -> None:
    report = await campaign(kills, 3, tmp_path, sabotage, lanes=1)
    assert any(found in breach for breach in report["breaches"])  # type: ignore[attr-defined]
