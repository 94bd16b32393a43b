"""A field to type in that takes keys in the order in which they were typed."""

from __future__ import annotations

from textual import events
from textual.widgets import Input


class TypeField(Input):
    """An ``Input`` whose editing keys act when they are met.

    Textual runs a widget's bindings after the key has bubbled up to the app, while characters are taken at once: of
    "Ctrl+U 2 6" in one packet, as a slow line delivers it, the digits would be typed first and deleted then.
    """

    async def on_key(self, event: events.Key) -> None:
        """Run the field's own binding of the key, before anything that was typed after it."""
        for binding in self._bindings.key_to_bindings.get(event.key, ()):
            event.stop()
            event.prevent_default()
            await self.run_action(binding.action)
