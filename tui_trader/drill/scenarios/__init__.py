"""Scripts that act in a world and look at how the exchange stands in the end; by name in ``SCENARIOS``."""

from __future__ import annotations

from tui_trader.drill.scenarios import (
    attacks,
    entries,
    fills,
    hollow,
    manual,
    outside,
    process,
    races,
    sessions,
    stops,
    streams,
    submission,
)
from tui_trader.drill.scenarios.registry import SCENARIOS

CANONICAL: tuple[str, ...] = tuple(
    name
    for name, found in SCENARIOS.items()
    if found.script.__module__ in (entries.__name__, manual.__name__, sessions.__name__)
)
"""Names of the scenarios without faults, at whose every step a crash is tried."""

MATRIX: tuple[str, ...] = tuple(name for name, found in SCENARIOS.items() if found.row)
"""Names of the scenarios that stand for a row of the fault matrix."""

ATTACKS: tuple[str, ...] = tuple(
    name
    for name, found in SCENARIOS.items()
    if found.script.__module__ in (attacks.__name__, hollow.__name__, races.__name__)
)
"""Names of what no page lists."""

__all__ = [
    "ATTACKS",
    "CANONICAL",
    "MATRIX",
    "SCENARIOS",
    "attacks",
    "entries",
    "fills",
    "hollow",
    "manual",
    "outside",
    "process",
    "races",
    "sessions",
    "stops",
    "streams",
    "submission",
]
