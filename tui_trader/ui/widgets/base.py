"""The base of every live widget: it turns a frame into lines of cells and repaints only the cells that changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest

from rich.segment import Segment
from textual import events
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tui_trader.ui.format import clean, fit, width_of, wrap
from tui_trader.ui.state import EMPTY_FRAME, Frame

Cell = tuple[str, str]
"""A piece of text and the role that colours it."""

Line = tuple[Cell, ...]
"""One line of a pane; ``Pane`` pads it to its width."""


def line_width(line: Line) -> int:
    """Terminal cells that a line takes."""
    return sum(width_of(text) for text, _ in line)


def padded(line: Line, width: int) -> Line:
    """``line`` in exactly ``width`` cells: cut with "…" or filled with blanks; foreign control characters are out."""
    if not all(text.isprintable() for text, _ in line):
        line = tuple((clean(text), role) for text, role in line)
    used = 0
    for index, (text, role) in enumerate(line):
        size = width_of(text)
        if used + size > width:
            rest = width - used
            short = " " * rest if text.isspace() else fit(text, rest)
            return (*line[:index], (short, role)) if rest else line[:index]
        used += size
    return (*line, (" " * (width - used), "text")) if used < width else line


def on_ground(line: Line, ground: str) -> Line:
    """``line`` on another background, where a cell has none of its own."""
    return tuple((text, role if "@" in role else f"{role}@{ground}") for text, role in line)


def changed_span(old: Line, new: Line) -> tuple[int, int]:
    """The first changed cell and the cell after the last one of two lines of equal width; (0, 0) when equal."""
    start = 0
    same = 0
    for before, after in zip(old, new, strict=False):
        if before != after:
            break
        start += width_of(after[0])
        same += 1
    if same == len(old) == len(new):
        return 0, 0
    end = line_width(new)
    for before, after in zip(reversed(old[same:]), reversed(new[same:]), strict=False):
        if before != after:
            break
        end -= width_of(after[0])
    return start, end


def sentence(text: str, width: int, height: int, role: str = "dim") -> list[Line]:
    """``text`` wrapped and put near the top, for a pane that has nothing else to show."""

    lines: list[Line] = [((" " + part, role),) for part in wrap(text, max(width - 2, 1))]
    return [(("", "text"),), *lines][:height] if height > len(lines) + 1 else lines[:height]


class Pane(Widget, can_focus=False):
    """A widget drawn from ``Frame``s by the line API. Subclasses say what to draw in ``draw``."""

    DEFAULT_CSS = "Pane { background: $background; }"

    def __init__(self, pane_id: str) -> None:
        super().__init__(id=pane_id)
        self.picture: Frame = EMPTY_FRAME
        self._lines: list[Line] = []
        self._strips: list[Strip | None] = []
        self._drawn_width = 0

    def heading(self, frame: Frame) -> str:
        """The words in the pane's border."""
        return (self.id or "").capitalize()

    def draw(self, frame: Frame, width: int, height: int) -> Sequence[Line]:
        """The lines of ``frame`` in a pane of this size: at most ``height`` are shown."""
        raise NotImplementedError

    def show(self, frame: Frame) -> None:
        """Draw ``frame``, asking the terminal only for what is different from the picture before."""
        repaint_all = frame.palette is not self.picture.palette
        self.picture = frame
        self.redraw(everything=repaint_all)

    def redraw(self, *, everything: bool = False) -> None:
        """Draw the present frame again, after a change of size, colours or cursor."""
        width, height = self.size
        if width <= 0 or height <= 0:
            return
        lines = self._measured(self.draw(self.picture, width, height), width, height)
        if everything or width != self._drawn_width or len(lines) != len(self._lines):
            self._drawn_width = width
            self._lines = lines
            self._strips = [None] * height
            self.refresh()
            return
        dirty = []
        for y, (old, new) in enumerate(zip(self._lines, lines, strict=True)):
            start, end = changed_span(old, new)
            if end > start:
                self._strips[y] = None
                dirty.append(Region(start, y, end - start, 1))
        self._lines = lines
        if dirty:
            self.refresh(*dirty)

    @staticmethod
    def _measured(drawn: Iterable[Line], width: int, height: int) -> list[Line]:
        blank: Line = ((" " * width, "text"),)
        return [
            padded(line, width) if line is not None else blank
            for line, _ in zip_longest(list(drawn)[:height], range(height))
        ]

    def render_line(self, y: int) -> Strip:
        """One line for Textual's compositor."""
        if y >= len(self._lines):
            return Strip.blank(self.size.width, self.picture.palette.style("text"))
        strip = self._strips[y]
        if strip is None:
            style = self.picture.palette.style
            strip = Strip([Segment(text, style(role)) for text, role in self._lines[y] if text], self._drawn_width)
            self._strips[y] = strip
        return strip

    def on_resize(self, event: events.Resize) -> None:
        """A new size: everything is drawn anew."""
        event.stop()
        self.redraw(everything=True)
