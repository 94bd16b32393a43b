"""Where every pane goes at a given terminal size: one pure function, and the Textual layout that carries it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.geometry import NULL_OFFSET, NULL_SPACING, Region, Size
from textual.layout import ArrangeResult, Layout, WidgetPlacement

if TYPE_CHECKING:
    from textual.widget import Widget

MIN_WIDTH, MIN_HEIGHT = 60, 14
WIDE_WIDTH, WIDE_HEIGHT = 140, 38
TWO_WIDTH, TWO_HEIGHT = 100, 30

PANES = (
    "universe",
    "chart",
    "book",
    "positions",
    "ladder",
    "risk",
    "orders",
    "signals",
    "trades",
    "log",
    "equity",
    "performance",
    "workers",
)
_BOTTOM = ("orders", "trades", "equity", "performance", "log", "workers")


@dataclass(frozen=True)
class Slot:
    """One box of the frame: its outer rectangle (neighbours share their border) and the panes that take turns in it."""

    outer: Region
    panes: tuple[str, ...]
    bordered: bool = True

    @property
    def inner(self) -> Region:
        """The cells inside the border."""
        return self.outer.shrink((1, 1, 1, 1)) if self.bordered else self.outer


@dataclass(frozen=True)
class Plan:
    """The whole screen. Regions that are not shown at this size are None."""

    size: Size
    kind: str
    slots: tuple[Slot, ...] = ()
    header: Region | None = None
    status: Region | None = None
    tabs: Region | None = None
    selected: Region | None = None
    keys: Region | None = None
    body: Region | None = None

    def slot_of(self, pane: str) -> Slot | None:
        """The slot in which ``pane`` can be shown."""
        return next((slot for slot in self.slots if pane in slot.panes), None)


def _column(x: int, width: int, top: int, heights: Sequence[int], panes: Sequence[tuple[str, ...]]) -> list[Slot]:
    """Boxes one under another; each height counts the cells between its two borders, which neighbours share."""
    slots: list[Slot] = []
    for height, names in zip(heights, panes, strict=True):
        slots.append(Slot(Region(x, top, width, height + 2), names))
        top += height + 1
    return slots


def _share(total: int, weights: Sequence[tuple[int, float]]) -> list[int]:
    """``total`` cells split by (minimum, weight); the last takes what rounding leaves."""
    spare = total - sum(minimum for minimum, _ in weights)
    whole = sum(weight for _, weight in weights) or 1.0
    sizes = [minimum + int(spare * weight / whole) for minimum, weight in weights]
    sizes[-1] += total - sum(sizes)
    return sizes


def _wide(width: int, height: int) -> tuple[Slot, ...]:
    top, body = 2, height - 3
    left = min(max(width * 36 // 100 + 1, 52), 80)
    right = min(max(width * 22 // 100 + 1, 34), 50)
    middle = width - left - right + 2
    two = body - 3
    three = body - 4
    return (
        *_column(0, left, top, _share(two, ((10, 0.5), (8, 0.5))), (("universe",), ("signals",))),
        *_column(
            left - 1,
            middle,
            top,
            _share(three, ((13, 0.65), (9, 0.0), (6, 0.35))),
            (("chart",), ("positions",), _BOTTOM),
        ),
        *_column(
            left + middle - 2,
            right,
            top,
            _share(three, ((9, 0.4), (8, 0.3), (9, 0.3))),
            (("book",), ("ladder",), ("risk",)),
        ),
    )


def _two(width: int, height: int) -> tuple[Slot, ...]:
    top, body = 2, height - 3
    right = min(max(width * 40 // 100, 46), 60)
    left = width - right + 1
    room = body - 4
    return (
        *_column(
            0,
            left,
            top,
            _share(room, ((9, 0.6), (7, 0.1), (6, 0.3))),
            (("chart",), ("positions",), ("signals", *_BOTTOM)),
        ),
        *_column(
            left - 1,
            right,
            top,
            _share(room, ((7, 0.4), (9, 0.3), (7, 0.3))),
            (("universe",), ("ladder", "book"), ("risk",)),
        ),
    )


def plan(width: int, height: int, *, message: bool = False) -> Plan:
    """The plan for a terminal of ``width`` × ``height`` cells; ``message`` asks a small screen for its message line."""
    size = Size(width, height)
    if width < MIN_WIDTH or height < MIN_HEIGHT:
        return Plan(size=size, kind="tiny")
    line = Region(0, 0, width, 1)
    ends = {"header": line, "keys": line.at_offset((0, height - 1))}
    if width >= WIDE_WIDTH and height >= WIDE_HEIGHT:
        body = Region(0, 2, width, height - 3)
        return Plan(
            size=size, kind="wide", slots=_wide(width, height), status=line.at_offset((0, 1)), body=body, **ends
        )
    if width >= TWO_WIDTH and height >= TWO_HEIGHT:
        body = Region(0, 2, width, height - 3)
        return Plan(size=size, kind="two", slots=_two(width, height), status=line.at_offset((0, 1)), body=body, **ends)
    pane = Region(0, 2, width, height - 4 - message)
    return Plan(
        size=size,
        kind="small",
        slots=(Slot(pane, PANES, bordered=False),),
        tabs=line.at_offset((0, 1)),
        status=line.at_offset((0, height - 3)) if message else None,
        selected=line.at_offset((0, height - 2)),
        **ends,
    )


def shown(where: Plan, recent: Sequence[str]) -> tuple[str, ...]:
    """The pane that each slot shows: the one used last of those that take turns in it, else its first."""
    return tuple(next((pane for pane in recent if pane in slot.panes), slot.panes[0]) for slot in where.slots)


class ConsoleLayout(Layout):
    """Places the children by their id as a table of regions says; children without a region are not shown."""

    name = "console"

    def __init__(self) -> None:
        self.regions: dict[str, Region] = {}

    def arrange(self, parent: Widget, children: list[Widget], size: Size, greedy: bool = True) -> ArrangeResult:
        """Textual's hook: a placement for every child that has a region."""
        return [
            WidgetPlacement(region, NULL_OFFSET, NULL_SPACING, child, order)
            for order, child in enumerate(children)
            if (region := self.regions.get(child.id or "")) is not None
        ]
