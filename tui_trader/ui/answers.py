"""What the engine answers to a command: its own sentences in the log, shown where the person looks."""

from __future__ import annotations

from collections.abc import Sequence

from tui_trader.core.events import UserCommand
from tui_trader.core.types import Severity
from tui_trader.core.views import LogRow
from tui_trader.ui.format import sentence

_ROLES = {Severity.WARNING: "notice", Severity.ALARM: "alarm"}
_RANK = {"text": 0, "notice": 1, "alarm": 2}


class Awaited:
    """A command on its way; ``answer`` finds new sentences about its symbol (or about none, for those without one).

    A warning is not replaced by a later sentence that is none, so that a refusal stays to be read.
    """

    def __init__(self, command: UserCommand, log: Sequence[LogRow]) -> None:
        self.symbol = str(getattr(command, "symbol", ""))
        self.since = command.ts
        self._seen = set(log)
        self._role = "text"

    def answer(self, log: Sequence[LogRow]) -> tuple[str, str] | None:
        """The worst of the sentences that came since the last call, the newest of its kind, and its role."""
        fresh = [row for row in log if row.symbol == self.symbol and row.ts >= self.since and row not in self._seen]
        if not fresh:
            return None
        self._seen.update(fresh)
        role = max((_ROLES.get(row.severity, "text") for row in fresh), key=_RANK.__getitem__)
        if _RANK[role] < _RANK[self._role]:
            return None
        self._role = role
        row = next(row for row in fresh if _ROLES.get(row.severity, "text") == role)
        return sentence(row.text), role
