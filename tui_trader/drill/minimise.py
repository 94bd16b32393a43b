"""From a failing seed to the least that still fails: fewer kinds of fault, fewer kinds of action, a shorter run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec

from tui_trader.drill.draw import Draw, draw
from tui_trader.drill.person import ACTIONS
from tui_trader.drill.swarm import UPSETS, Result, live
from tui_trader.exchange.fault_rules import FaultRule


class Minimal(msgspec.Struct, frozen=True):
    """What still fails."""

    drawn: Draw
    steps: int
    result: Result

    def words(self) -> str:
        """The failure and what it needs, as lines."""
        drawn, result = self.drawn, self.result
        head = [
            f"seed {drawn.seed} still fails after {result.virtual_hours * 3600:.0f} virtual seconds and "
            f"{result.steps} steps",
            f"faults: {', '.join(drawn.kinds) or 'none'}",
            f"left out: {', '.join(sorted(drawn.off)) or 'nothing'}",
        ]
        violations = [f"{v.at_ms / 1000:.1f} s: {v.invariant}: {v.words}" for v in result.violations[:5]]
        return "\n".join([*head, *violations, "", "the last sentences:", *result.said[-30:]])


def minimise(
    seed: int, steps: int, preset: tuple[FaultRule, ...] | None, tell: Callable[[str], None]
) -> Minimal | None:
    """The least that fails in the same invariant as ``seed`` does; None when it does not fail."""
    best = _tried(draw(seed, preset), steps)
    if best is None:
        return None
    wanted = best.result.violations[0].invariant
    tell(f"seed {seed} violates {wanted} at {best.result.violations[0].at_ms / 1000:.0f} s")
    best = _shorter(best, wanted, tell)
    for kind in best.drawn.kinds:
        best = _better(best, _without_kind(best.drawn, kind), wanted, f"without {kind}", tell)
    for action in (*ACTIONS, *UPSETS):
        drawn = msgspec.structs.replace(best.drawn, off=best.drawn.off | {action})
        best = _better(best, drawn, wanted, f"without {action}", tell)
    return _shorter(best, wanted, tell)


def _tried(drawn: Draw, steps: int) -> Minimal | None:
    result = live(drawn, steps)
    return Minimal(drawn, steps, result) if result.counts else None


def _better(best: Minimal, drawn: Draw, wanted: str, words: str, tell: Callable[[str], None]) -> Minimal:
    found = _tried(drawn, best.steps)
    if found is None or wanted not in found.result.counts:
        return best
    tell(f"still fails {words}")
    return found


def _shorter(best: Minimal, wanted: str, tell: Callable[[str], None]) -> Minimal:
    """Halve the run while it still fails."""
    while best.steps > 200:
        found = _tried(best.drawn, best.steps // 2)
        if found is None or wanted not in found.result.counts:
            return best
        best = found
        tell(f"still fails within {best.steps} steps")
    return best


def _without_kind(drawn: Draw, kind: str) -> Draw:
    """The draw without one kind. Each rule draws from its own numbers, so that the others strike as before."""
    setup = drawn.setup
    rules = tuple(msgspec.structs.replace(r, rate=0.0, count=0) if r.kind.value == kind else r for r in setup.rules)
    return msgspec.structs.replace(drawn, setup=replace(setup, rules=rules))
