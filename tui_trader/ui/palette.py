"""The command palette's contents: the registry's actions, and symbols to jump to."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider

from tui_trader.ui.actions import ACTIONS, all_keys_text
from tui_trader.ui.format import clean

if TYPE_CHECKING:
    from collections.abc import Callable

    from tui_trader.ui.app import ConsoleApp


class ActionProvider(Provider):
    """Actions with their keys, and one entry a symbol."""

    def _entries(self) -> list[tuple[str, str, Callable[[], None]]]:
        app = cast("ConsoleApp", self.app)
        entries: list[tuple[str, str, Callable[[], None]]] = [
            (
                f"{action.label}  ({all_keys_text(app.keys.get(action.id, action.key))})",
                action.help,
                partial(app.run_action_by_id, action.id),
            )
            for action in ACTIONS
            if action.id != "palette"
        ]
        for row in app.picture.snapshot.universe.members:
            symbol = clean(row.symbol).replace("[", "")
            entries.append((f"Go to {symbol}", "Select this symbol.", partial(app.select, row.symbol)))
        return entries

    async def discover(self) -> Hits:
        """What is shown before anything is typed."""
        for name, words, run in self._entries():
            yield DiscoveryHit(name, run, help=words)

    async def search(self, query: str) -> Hits:
        """What matches the query."""
        matcher = self.matcher(query)
        for name, words, run in self._entries():
            score = matcher.match(name)
            if score > 0:
                yield Hit(score, matcher.highlight(name), run, help=words)
