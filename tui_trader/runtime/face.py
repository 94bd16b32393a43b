"""The session's public face: all that the console (or any other front) may know of it."""

from __future__ import annotations

from typing import Protocol

from tui_trader.core.events import OpenPosition, UserCommand
from tui_trader.core.settings import Settings
from tui_trader.core.views import Snapshot, TicketPreview


class SessionFace(Protocol):
    """What a front end may ask and say. Every method is quick, synchronous and safe at any time."""

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        ...

    @property
    def mode(self) -> str:
        """demo, testnet or live."""
        ...

    @property
    def venue(self) -> str:
        """The venue's name, which a person types to arm live trading."""
        ...

    def now_ms(self) -> int:
        """Venue time; stamps user commands."""
        ...

    def view(self, selected: str, timeframe: str) -> Snapshot | None:
        """The newest frame for a selected symbol and chart timeframe; None until the first event arrived."""
        ...

    def send(self, command: UserCommand) -> None:
        """Hand a command to the engine; its outcome is seen in later snapshots."""
        ...

    def preview(self, ticket: OpenPosition) -> TicketPreview:
        """The consequences of an entry, computed by the same gate, sizing and ladder that will judge it."""
        ...

    def reload_settings(self) -> str:
        """Read the settings again; returns a sentence about what changed, or what is wrong and was left."""
        ...

    def detach(self, reason: str) -> None:
        """The front end leaves; the session trades on headless."""
        ...

    async def stop(self, reason: str) -> None:
        """No new entries, entries cancelled, positions left protected, all closed; at most 5 s."""
        ...
