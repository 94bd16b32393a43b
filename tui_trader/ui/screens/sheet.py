"""A text to read, built line by line."""

from __future__ import annotations

from rich.text import Text

from tui_trader.ui import format as f
from tui_trader.ui.theme import Palette


class Sheet:
    """A text built line by line in a palette's colours."""

    def __init__(self, colours: Palette) -> None:
        self.text = Text()
        self._style = colours.style

    def head(self, words: str) -> None:
        """A heading, with a line free above it."""
        if self.text:
            self.text.append("\n")
        self.text.append(f"{f.clean(words)}\n", self._style("title_active@raised"))

    def line(self, words: str, role: str = "text") -> None:
        """A line."""
        self.text.append(f"{f.clean(words)}\n", self._style(f"{role}@raised"))

    def pair(self, name: str, value: str, role: str = "text", width: int = 18) -> None:
        """A name and its value."""
        self.text.append(f"  {f.fit(f.clean(name), width)} ", self._style("dim@raised"))
        self.text.append(f"{f.clean(value)}\n", self._style(f"{role}@raised"))

    def block(self, words: str, width: int, indent: int = 2, role: str = "text") -> None:
        """Words in lines of at most ``width`` cells, each beginning ``indent`` cells from the left."""
        for part in f.wrap(f.clean(words), max(width - indent, 20)):
            self.text.append(" " * indent + f"{part}\n", self._style(f"{role}@raised"))
