"""The plan of the screen at every size."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tui_trader.ui.layout import PANES, plan, shown
from tui_trader.ui.widgets.box import box_rows


@given(st.integers(1, 400), st.integers(1, 200), st.booleans())
def test_nothing_overlaps_or_leaves_the_screen(width: int, height: int, message: bool) -> None:
    where = plan(width, height, message=message)
    lines = [where.header, where.status, where.tabs, where.selected, where.keys]
    regions = [region for region in lines if region is not None] + [slot.inner for slot in where.slots]
    seen: set[tuple[int, int]] = set()
    for region in regions:
        assert region.x >= 0
        assert region.right <= width
        assert region.bottom <= height
        assert region.width >= 8
        assert region.height >= 1
        for y in range(region.y, region.bottom):
            assert (region.x, y) not in seen
            seen.update((x, y) for x in (region.x, region.right - 1))


@given(st.integers(60, 300), st.integers(14, 120))
def test_every_pane_can_be_reached(width: int, height: int) -> None:
    where = plan(width, height)
    for pane in PANES:
        assert where.slot_of(pane) is not None
        assert pane in shown(where, (pane,))


def test_the_kinds() -> None:
    assert [plan(w, h).kind for w, h in ((40, 10), (80, 24), (120, 40), (140, 40), (160, 50), (200, 60))] == [
        "tiny",
        "small",
        "two",
        "wide",
        "wide",
        "wide",
    ]


def test_a_small_screen_gives_a_line_to_a_message_and_nothing_above_moves() -> None:
    quiet, loud = plan(80, 24), plan(80, 24, message=True)
    assert loud.status is not None
    assert quiet.slots[0].outer.y == loud.slots[0].outer.y
    assert quiet.slots[0].outer.height == loud.slots[0].outer.height + 1


def test_the_lines_of_the_frame_are_closed() -> None:
    where = plan(160, 50)
    assert where.body is not None
    rows = box_rows(where.slots, where.body.width, where.body.height, where.body.y)
    assert rows[0].startswith("╭")
    assert rows[0].endswith("╮")
    assert rows[-1].startswith("╰")
    assert rows[-1].endswith("╯")
    assert all(row[0] in "╭│├╰" and row[-1] in "╮│┤╯" for row in rows)
