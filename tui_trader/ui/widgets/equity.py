"""Equity of the last 24 hours as a filled curve."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tui_trader.core.views import EquityPoint
from tui_trader.ui import format as f
from tui_trader.ui.state import Frame
from tui_trader.ui.theme import tone
from tui_trader.ui.widgets.base import Cell, Line, Pane, sentence

_BLOCKS = " ▁▂▃▄▅▆▇█"


class EquityPane(Pane):
    """The curve, its extremes, and the change over the time shown."""

    def heading(self, frame: Frame) -> str:
        """The change over the time shown."""
        points = frame.snapshot.equity
        if len(points) < 2:
            return "Equity 24 h"
        change = points[-1].equity - points[0].equity
        return f"Equity 24 h · {f.signed_money(change)}"

    def draw(self, frame: Frame, width: int, height: int) -> Sequence[Line]:
        """Rows of blocks from the highest value down, values on the right."""
        points = [point for point in frame.snapshot.equity if math.isfinite(point.equity)]
        if len(points) < 2:
            return sentence("The curve begins with two points; one is taken each minute.", width, height)
        values = [point.equity for point in points]
        low, high = min(values), max(values)
        axis = max(len(f.money(low)), len(f.money(high))) + 2
        room, rows = width - axis - 1, height - 1
        if room < 8 or rows < 2:
            return sentence("No room for the curve here; make the terminal larger.", width, height)
        heights = _heights(values, low, high, room, rows)
        role = tone(values[-1] - values[0])
        lines: list[Line] = []
        for row in range(rows):
            base = (rows - 1 - row) * 8
            text = "".join(_BLOCKS[min(max(level - base, 0), 8)] for level in heights)
            lines.append(((" ", "text"), (f.fit(text, room), role), _axis(row, rows, low, high, axis)))
        lines.append(_times(points, room))
        return lines


def _heights(values: Sequence[float], low: float, high: float, room: int, rows: int) -> list[int]:
    """Eighths of a cell per column; the curve stands on at least one eighth so that its line is closed."""
    reach = high - low
    columns = []
    for x in range(room):
        value = values[min(int((x + 0.5) * len(values) / room), len(values) - 1)]
        level = (value - low) / reach if reach > 0 and math.isfinite(reach) else 0.5
        columns.append(max(int(level * rows * 8), 1))
    return columns


def _axis(row: int, rows: int, low: float, high: float, axis: int) -> Cell:
    if row == 0:
        return f.fit(f.money(high), axis, ">"), "dim"
    if row == rows - 1:
        return f.fit(f.money(low), axis, ">"), "dim"
    return " " * axis, "dim"


def _times(points: Sequence[EquityPoint], room: int) -> Line:
    first, last = f.clock(points[0].ts, seconds=False), f.clock(points[-1].ts, seconds=False)
    return ((" " + first + " " * max(room - len(first) - len(last), 1) + last, "dim"),)
