"""The frame around the panes: one set of shared lines with the panes' headings in them."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events

from tui_trader.ui import format as f
from tui_trader.ui.layout import Plan, Slot
from tui_trader.ui.messages import PanePicked
from tui_trader.ui.state import Frame
from tui_trader.ui.widgets.base import Cell, Line, Pane, line_width

_UP, _RIGHT, _DOWN, _LEFT = 1, 2, 4, 8
_BOX = {
    0: " ",
    _RIGHT | _LEFT: "─",
    _UP | _DOWN: "│",
    _RIGHT | _DOWN: "╭",
    _LEFT | _DOWN: "╮",
    _UP | _RIGHT: "╰",
    _UP | _LEFT: "╯",
    _UP | _DOWN | _RIGHT: "├",
    _UP | _DOWN | _LEFT: "┤",
    _LEFT | _RIGHT | _DOWN: "┬",
    _LEFT | _RIGHT | _UP: "┴",
    _UP | _DOWN | _LEFT | _RIGHT: "┼",
}
_TAB_NAMES = {"equity": "Equity 24 h"}


def box_rows(slots: Sequence[Slot], width: int, height: int, top: int) -> list[str]:
    """The lines around ``slots`` as text, ``height`` rows from screen row ``top`` on, joined where they meet."""
    grid = [[0] * width for _ in range(height)]
    for slot in slots:
        left, right = slot.outer.x, slot.outer.right - 1
        upper, lower = slot.outer.y - top, slot.outer.bottom - 1 - top
        for x in range(left, right + 1):
            bits = (_LEFT if x > left else 0) | (_RIGHT if x < right else 0)
            grid[upper][x] |= bits
            grid[lower][x] |= bits
        for y in range(upper, lower + 1):
            bits = (_UP if y > upper else 0) | (_DOWN if y < lower else 0)
            grid[y][left] |= bits
            grid[y][right] |= bits
    return ["".join(_BOX.get(bits, " ") for bits in row) for row in grid]


class Box(Pane):
    """Draws the frame of a plan; ``headings`` come from the panes shown."""

    def __init__(self, pane_id: str) -> None:
        super().__init__(pane_id)
        self.where: Plan | None = None
        self.headings: dict[str, str] = {}
        self.visible_panes: tuple[str, ...] = ()
        self._rows: list[str] = []
        self._tabs: list[tuple[int, int, int, str]] = []

    def place(self, where: Plan) -> None:
        """Take a new plan: the lines are computed once."""
        self.where = where
        body = where.body
        self._rows = box_rows(where.slots, body.width, body.height, body.y) if body is not None else []

    def draw(self, frame: Frame, width: int, height: int) -> Sequence[Line]:
        """All rows of the frame, with headings."""
        where = self.where
        if where is None or where.body is None:
            return []
        top = where.body.y
        self._tabs = []
        headings: dict[int, list[tuple[int, Line]]] = {}
        for slot, pane in zip(where.slots, self.visible_panes, strict=True):
            y = slot.outer.y - top
            line = self._heading(frame, slot, pane, y)
            headings.setdefault(y, []).append((slot.outer.x + 1, line))
        lines: list[Line] = []
        for y, text in enumerate(self._rows):
            lines.append(_overlaid(text, headings[y]) if y in headings else ((text, "faint"),))
        return lines

    def _heading(self, frame: Frame, slot: Slot, pane: str, y: int) -> Line:
        room = slot.outer.width - 4
        if len(slot.panes) == 1:
            role = "title_active" if pane == frame.active else "title"
            text = self.headings.get(pane, pane.capitalize())
            return ((f" {f.fit(text, room).rstrip()} ", role),)
        cells: list[Cell] = []
        x = slot.outer.x + 1
        for other in slot.panes:
            name = self.headings.get(pane, "") if other == pane else _TAB_NAMES.get(other, other.capitalize())
            role = ("title_active" if pane == frame.active else "bright") if other == pane else "head"
            text = f" {name} "
            if line_width(tuple(cells)) + len(text) > room:
                break
            self._tabs.append((y, x, x + len(text), other))
            x += len(text) + 1
            cells.extend([(text, role), ("│" if other != slot.panes[-1] else "", "faint")])
        return tuple(cells)

    def on_click(self, event: events.Click) -> None:
        """A click on a tab or a heading chooses that pane."""
        for y, start, end, pane in self._tabs:
            if event.y == y and start <= event.x < end:
                self.post_message(PanePicked(pane))
                return


def _overlaid(text: str, headings: Sequence[tuple[int, Line]]) -> Line:
    cells: list[Cell] = []
    at = 0
    for x, line in sorted(headings, key=lambda heading: heading[0]):
        cells.append((text[at:x], "faint"))
        cells.extend(line)
        at = x + line_width(line)
    cells.append((text[at:], "faint"))
    return tuple(cells)
