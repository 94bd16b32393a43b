"""What widgets tell the console: facts, in the past tense."""

from __future__ import annotations

from textual.message import Message


class RowPicked(Message):
    """A row was chosen with the mouse in ``pane``; ``symbol`` is "" when the row has none."""

    def __init__(self, pane: str, symbol: str) -> None:
        super().__init__()
        self.pane = pane
        self.symbol = symbol


class RowOpened(Message):
    """The chosen row was opened with the mouse, as Enter does."""


class PanePicked(Message):
    """A pane was chosen with the mouse, by its tab or by clicking into it."""

    def __init__(self, pane: str) -> None:
        super().__init__()
        self.pane = pane


class TerminalGone(Message):
    """The terminal was closed under the console."""


class ScreenReady(Message):
    """The main screen and all its panes are mounted."""
