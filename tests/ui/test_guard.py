"""Protection in signs and words that say the same without colour: proven, bare within the promise, bare beyond it."""

from __future__ import annotations

import msgspec
import pytest

from tests.ui.sample import alarm_snapshot, bare_snapshot, empty_snapshot, snapshot
from tests.ui.test_render import drawn
from tui_trader.core.views import PositionRow, ProtectionView, Snapshot
from tui_trader.ui import guard
from tui_trader.ui.layout import plan
from tui_trader.ui.screens.texts import detail_text, story_text
from tui_trader.ui.state import Frame
from tui_trader.ui.theme import MONO, palette


def frame(shown: Snapshot, selected: str = "BTCUSDT") -> Frame:
    return Frame(snapshot=shown, selected=selected, palette=palette(MONO))


def text(pane: str, shown: Snapshot, width: int, height: int = 8) -> str:
    return "\n".join("".join(cell for cell, _ in line) for line in drawn(pane, frame(shown), width, height))


def bare(seconds: float, **changes: object) -> PositionRow:
    whole = {"stop_proven": False, "naked_s": seconds, "longest_naked_s": seconds}
    return msgspec.structs.replace(snapshot().positions[0], **(whole | changes))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (snapshot().positions[0], ("✓ 0.4s", "ok")),
        (bare(0.0), ("◌ 0.0s", "warn")),
        (bare(3.0), ("◌ 3.0s", "warn")),
        (bare(3.1), ("✗ 3.1s", "loss")),
        (bare(75.0), ("✗ 75s", "loss")),
    ],
)
def test_signs_and_colours(row: PositionRow, expected: tuple[str, str]) -> None:
    assert guard.since(row) == expected


def test_words_say_what_is_being_done() -> None:
    assert guard.words(bare(1.0)) == ("◌ NO PROVEN STOP for 1.0s: a stop is being placed", "warn")
    assert guard.words(bare(11.0, stage="closing")) == ("✗ NO PROVEN STOP for 11s: being closed", "loss")
    assert guard.words(snapshot().positions[0])[0] == "✓ stop proven 0.4s ago · longest without 0.3s"


@pytest.mark.parametrize("width", [80, 120, 160])
def test_the_header_shows_the_worst_of_all(width: int) -> None:
    assert "◌ 1 NAKED 1.2s" in text("header", bare_snapshot(), width, 1)
    assert "✗ 1 NAKED 4.2s" in text("header", alarm_snapshot(), width, 1)
    assert "✓ 0.4s" in text("header", snapshot(), width, 1).replace("✓0.4s", "✓ 0.4s")
    assert "flat" in text("header", empty_snapshot(), width, 1)


def test_the_longest_time_is_in_the_header_where_there_is_room() -> None:
    assert "bare≤0.4s" in text("header", snapshot(), 200, 1)
    assert "bare" not in text("header", empty_snapshot(), 200, 1)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (160, 50), (200, 60)])
def test_every_position_shows_its_proof_and_its_longest_time(size: tuple[int, int]) -> None:
    slot = plan(*size).slot_of("positions")
    assert slot is not None
    width, height = slot.inner.size
    good, bad = text("positions", snapshot(), width, height), text("positions", bare_snapshot(), width, height)
    assert "✓0.4s" in good.replace(" ", "")
    assert "◌1.2s" in bad.replace(" ", "")
    assert "longest without 0.3s" in good
    assert "NO PROVEN STOP for 1.2s" in bad


def test_with_many_positions_the_table_keeps_them_all_in_sight_instead_of_words() -> None:
    shown = snapshot()
    rows = tuple(msgspec.structs.replace(shown.positions[0], symbol=f"A{n}USDT") for n in range(6))
    lines = text("positions", msgspec.structs.replace(shown, positions=rows), 66, 8)
    assert all(f"A{n}" in lines for n in range(6))
    assert "proven" not in lines


def test_the_ladder_and_the_line_of_the_selection_tell_it_too() -> None:
    assert "✓ stop proven 0.4s ago" in text("ladder", snapshot(), 60, 12)
    assert "✗ 4.2s NO PROVEN STOP" in text("ladder", alarm_snapshot(), 34, 12)
    assert "SL 42,850.0 ◌ 1.2s" in text("selected", bare_snapshot(), 80, 1)


def test_the_risk_pane_shows_the_sessions_times_and_broken_invariants() -> None:
    assert "bare p50 0.2s p99 0.9s max 1.1s" in text("risk", snapshot(), 34, 12)
    loud = text("risk", alarm_snapshot(), 34, 12)
    assert "p99 !4.2s" in loud
    assert "✗ invariant broken 1×" in loud
    assert guard.session(ProtectionView()) == (("bare: no position yet", "dim"),)


def test_the_story_is_told_in_order_and_ends_with_how_it_stands() -> None:
    told = story_text(frame(snapshot()), "BTCUSDT").plain
    order = [
        "Long 0.046 decided",
        "Entry filled",
        "is proven, 0.31 s",
        "cancelled from outside",
        "0.60 s after it was lost",
    ]
    places = [told.index(words) for words in order]
    assert places == sorted(places)
    assert told.index("Position BTCUSDT long") > places[-1]
    assert "BTCUSDT: " not in told
    other = story_text(frame(snapshot()), "ETHUSDT").plain
    assert other.startswith("Nothing has happened to ETHUSDT since this session started.")
    assert "42,850.0  ✓ stop proven 0.4s ago" in detail_text(frame(snapshot()), "BTCUSDT", 100).plain
