"""The one table of the console: fixed columns, decimal points under each other, a cursor, scrolling, empty words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual import events

from tui_trader.ui.format import fit, width_of
from tui_trader.ui.messages import RowOpened, RowPicked
from tui_trader.ui.state import Frame
from tui_trader.ui.widgets.base import Cell, Line, Pane, on_ground, sentence

_MAX_FRACTION = 8


@dataclass(frozen=True)
class Column:
    """One column. ``align`` is "<", ">" or "." (decimal points under each other).

    Columns with the highest ``drop`` leave first when the pane is narrow; those with ``grow`` share what is spare.
    """

    title: str
    width: int
    align: str = "<"
    drop: int = 0
    grow: int = 0


@dataclass(frozen=True)
class Row:
    """One row; ``key`` keeps the cursor on it when rows move.

    ``above`` and ``below`` are lines that belong to it; ``full`` replaces the columns.
    """

    key: str
    cells: tuple[Cell, ...]
    symbol: str = ""
    below: tuple[Line, ...] = ()
    above: tuple[Line, ...] = ()
    full: Line = ()

    @property
    def height(self) -> int:
        """Lines that the row takes."""
        return 1 + len(self.below) + len(self.above)


Shape = list[tuple[int, Column, int]]
"""The columns that fit: index in the row, column, width in cells."""


def arrange(columns: Sequence[Column], width: int) -> Shape:
    """The columns that fit in ``width`` cells, with one blank before each and one at the end."""
    picks = list(enumerate(columns))
    while len(picks) > 1 and sum(column.width + 1 for _, column in picks) + 1 > width:
        worst = max(picks, key=lambda pick: (pick[1].drop, pick[0]))
        if worst[1].drop == 0:
            break
        picks.remove(worst)
    spare = max(width - 1 - sum(column.width + 1 for _, column in picks), 0)
    growers = sum(column.grow for _, column in picks)
    sized = []
    for index, column in picks:
        extra = spare * column.grow // growers if growers else 0
        sized.append((index, column, column.width + extra))
    return sized


def _fraction(text: str) -> int:
    """Cells from the decimal point to the end of the text; units behind the number count, so that all line up."""
    dot = text.find(".")
    return width_of(text) - dot if dot >= 0 else 0


class StripTable(Pane):
    """Base of the tables. Subclasses give ``columns`` and ``rows``; the words for "nothing" come from ``empty``."""

    columns: tuple[Column, ...] = ()
    narrow: tuple[Column, ...] = ()
    """Shorter columns in the same order, for a pane of less than ``narrow_below`` cells."""
    narrow_below = 0
    follows_selection = False

    def __init__(self, pane_id: str) -> None:
        super().__init__(pane_id)
        self.cursor = ""
        self.top = 0
        self._rows: tuple[Row, ...] = ()
        self._at: list[int] = []

    def rows(self, frame: Frame, width: int) -> Sequence[Row]:
        """The rows of a frame; ``width`` for what wraps."""
        raise NotImplementedError

    def empty(self, frame: Frame) -> str:
        """Why there are no rows, and what would bring some."""
        return "Nothing yet."

    def columns_for(self, frame: Frame, width: int) -> tuple[Column, ...]:
        """The columns for this width."""
        return self.narrow if self.is_narrow(width) else self.columns

    def is_narrow(self, width: int) -> bool:
        """Whether ``narrow`` is in force."""
        return width < self.narrow_below

    def draw(self, frame: Frame, width: int, height: int) -> list[Line]:
        """The heading line, then the rows from the scroll offset on."""
        self._rows = tuple(self.rows(frame, width))
        self._at = []
        if not self._rows:
            self.top = 0
            return sentence(self.empty(frame), width, height)
        shape = arrange(self.columns_for(frame, width), width)
        lines: list[Line] = [self._head(shape)]
        room = height - 1
        self._scroll_to_cursor(frame, room)
        fractions = self._fractions(shape)
        chosen = self._cursor_row(frame)
        for index in range(self.top, len(self._rows)):
            if len(lines) >= height:
                break
            row = self._rows[index]
            block = [*row.above, self._line(row, shape, fractions, index == chosen), *row.below]
            self._at.extend([index] * len(block))
            lines.extend(block)
        return self._with_more(lines[:height], height, width)

    def _with_more(self, lines: list[Line], height: int, width: int) -> list[Line]:
        """A sign in the heading that there are rows above or below."""
        below = len(self._rows) - 1 - (self._at[min(len(self._at), height - 1) - 1] if self._at else 0)
        signs = ("▲" if self.top else "") + (f"▼{below}" if below > 0 else "")
        if signs:
            head = "".join(text for text, _ in lines[0])
            keep = max(width - len(signs) - 1, 0)
            kept = head[:keep] if head[keep : keep + 1].strip() == "" else head[:keep].rpartition(" ")[0]
            lines[0] = ((fit(kept, keep), "head"), (signs + " ", "dim"))
        return lines

    def _head(self, shape: Shape) -> Line:
        cells = [
            (" " + fit(column.title, width, "<" if column.align == "<" else ">"), "head") for _, column, width in shape
        ]
        return tuple(cells)

    def _fractions(self, shape: Shape) -> dict[int, int]:
        found = {}
        for index, column, width in shape:
            if column.align == ".":
                longest = max((_fraction(row.cells[index][0]) for row in self._rows if row.cells), default=0)
                found[index] = min(longest, _MAX_FRACTION, width)
        return found

    def _line(self, row: Row, shape: Shape, fractions: dict[int, int], chosen: bool) -> Line:
        if row.full:
            full: Line = ((f"▶{row.full[0][0][1:]}", row.full[0][1]), *row.full[1:]) if chosen else row.full
            return on_ground((*full, (" " * 400, "text")), "sel") if chosen else full
        cells: list[Cell] = []
        for number, (index, column, width) in enumerate(shape):
            text, role = row.cells[index]
            if column.align == ".":
                text += " " * min(fractions[index] - _fraction(text), width - width_of(text))
            lead = "▶" if chosen and number == 0 else " "
            cells.append((lead + fit(text, width, "<" if column.align == "<" else ">"), role))
        return on_ground((*cells, (" " * 400, "text")), "sel") if chosen else tuple(cells)

    # --- the cursor ---

    def _cursor_row(self, frame: Frame) -> int:
        """Index of the chosen row: the selected symbol's, or the one under the cursor; -1 for none."""
        if self.follows_selection and self._rows:
            current = next((i for i, row in enumerate(self._rows) if row.key == self.cursor), -1)
            if current >= 0 and self._rows[current].symbol == frame.selected:
                return current
            return next((i for i, row in enumerate(self._rows) if row.symbol == frame.selected), -1)
        if frame.active != self.id:
            return -1
        found = next((i for i, row in enumerate(self._rows) if row.key == self.cursor), -1)
        return found if found >= 0 or self.cursor else 0

    def _scroll_to_cursor(self, frame: Frame, room: int) -> None:
        self.top = min(self.top, max(len(self._rows) - 1, 0))
        heights = [row.height for row in self._rows]
        while self.top > 0 and sum(heights[self.top - 1 :]) <= room:
            self.top -= 1
        chosen = self._cursor_row(frame)
        if chosen < 0 or frame.active != self.id:
            self.top = 0 if frame.active != self.id and not self.follows_selection else self.top
            if chosen < 0:
                return
        self.top = min(self.top, chosen)
        while self.top < chosen and sum(heights[self.top : chosen + 1]) > room:
            self.top += 1

    def chosen(self) -> Row | None:
        """The row that keys act on."""
        index = self._cursor_row(self.picture)
        return self._rows[index] if 0 <= index < len(self._rows) else None

    def move(self, steps: int) -> Row | None:
        """Move the cursor by ``steps`` rows; returns the row it stands on, None when there are no rows."""
        if not self._rows:
            return None
        index = self._cursor_row(self.picture)
        if index < 0:
            index = 0 if steps > 0 else len(self._rows) - 1
        else:
            index = min(max(index + steps, 0), len(self._rows) - 1)
        self.cursor = self._rows[index].key
        if not self.follows_selection or self._rows[index].symbol == self.picture.selected:
            self.redraw()
        return self._rows[index]

    def _row_at(self, y: int) -> Row | None:
        index = self._at[y - 1] if 0 < y <= len(self._at) else -1
        return self._rows[index] if 0 <= index < len(self._rows) else None

    def on_click(self, event: events.Click) -> None:
        """A click chooses a row, a second one opens it."""
        row = self._row_at(event.y)
        self.cursor = row.key if row is not None else self.cursor
        self.post_message(RowPicked(self.id or "", row.symbol if row is not None else ""))
        if row is not None and event.chain == 2:
            self.post_message(RowOpened())

    def on_mouse_scroll_down(self) -> None:
        """The wheel moves the cursor."""
        self._wheel(1)

    def on_mouse_scroll_up(self) -> None:
        """The wheel moves the cursor."""
        self._wheel(-1)

    def _wheel(self, steps: int) -> None:
        row = self.move(steps)
        if row is not None:
            self.post_message(RowPicked(self.id or "", row.symbol))
