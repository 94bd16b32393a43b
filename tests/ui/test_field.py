"""What is typed stands where it was typed, in its order, however many keys one packet brings."""

from __future__ import annotations

import pytest
from textual import events
from textual.app import App
from textual.pilot import Pilot

from tui_trader.ui.screens.dialogs import Field, PromptDialog


class Asking(App[None]):
    """A console of one question."""

    answer: dict[str, str] | None = None

    def ask(self) -> None:
        fields = (Field("price", "price", "43100"), Field("share", "share of it", ""))
        dialog = PromptDialog("Target", "", fields, lambda values: "", mode="demo")
        self.push_screen(dialog, lambda answer: setattr(self, "answer", answer))


async def packet(pilot: Pilot[None], *keys: str) -> None:
    """All keys at once, before any has acted."""
    for key in keys:
        pilot.app.post_message(events.Key(key, key if len(key) == 1 else None))
    await pilot.pause()
    await pilot.pause()


@pytest.mark.parametrize(
    ("keys", "price", "share"),
    [
        (("ctrl+u", "2", "6"), "26", ""),
        (("end", "backspace", "9"), "43109", ""),
        (("end", "7", "backspace", "8"), "431008", ""),
        (("home", "1"), "143100", ""),
        (("ctrl+u", "4", "2", "tab", "5", "0"), "42", "50"),
        (("tab", "5", "shift+tab", "ctrl+u", "6"), "6", "5"),
    ],
)
async def test_keys_of_one_packet_act_in_their_order(keys: tuple[str, ...], price: str, share: str) -> None:
    app = Asking()
    async with app.run_test() as pilot:
        app.ask()
        await pilot.pause()
        await packet(pilot, *keys)
        dialog = app.screen
        assert isinstance(dialog, PromptDialog)
        assert dialog.values() == {"price": price, "share": share}


async def test_enter_after_the_digits_submits_what_was_typed() -> None:
    app = Asking()
    async with app.run_test() as pilot:
        app.ask()
        await pilot.pause()
        await packet(pilot, "ctrl+u", "2", "6", "enter")
        assert app.answer == {"price": "26", "share": ""}
