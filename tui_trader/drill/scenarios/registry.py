"""The scenarios by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tui_trader.drill.scenario import Scenario, Stage

Script = Callable[[Stage], Awaitable[None]]

SCENARIOS: dict[str, Scenario] = {}
"""Every scenario by its name, in the order in which the modules of this package define them."""


def scenario(name: str, row: str = "", settings: dict[str, object] | None = None) -> Callable[[Script], Script]:
    """Register a script. ``row``: its words in the fault matrix; ``settings``: values changed, by dotted name.

    Raises ``ValueError`` when the name is taken.
    """

    def register(script: Script) -> Script:
        if name in SCENARIOS:
            raise ValueError(f"two scenarios are called {name}")
        SCENARIOS[name] = Scenario(name=name, row=row, script=script, settings=settings or {})
        return script

    return register
