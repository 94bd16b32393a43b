"""Protection in signs, words and colours: proven (✓), bare within the promise (◌), bare beyond it (✗)."""

from __future__ import annotations

from tui_trader.core.views import PROMISE_S, HeaderView, PositionRow, ProtectionView
from tui_trader.ui import format as f

PROVEN, SOON, BARE = "✓", "◌", "✗"


def bare_role(seconds: float) -> str:
    """Yellow within the promise, red beyond it."""
    return "warn" if seconds <= PROMISE_S else "loss"


def sign(row: PositionRow) -> tuple[str, str]:
    """The sign of a position's protection and its role."""
    if row.stop_proven:
        return PROVEN, "ok"
    return (SOON if row.naked_s <= PROMISE_S else BARE), bare_role(row.naked_s)


def since(row: PositionRow) -> tuple[str, str]:
    """How long ago the stop was last proven, or for how long there has been none, with its sign."""
    mark, role = sign(row)
    return f"{mark} {f.age(row.proven_age_s if row.stop_proven else row.naked_s)}", role


def words(row: PositionRow) -> tuple[str, str]:
    """The same as a sentence."""
    mark, role = sign(row)
    if row.stop_proven:
        return f"{mark} stop proven {f.age(row.proven_age_s)} ago · longest without {f.age(row.longest_naked_s)}", role
    doing = "being closed" if row.stage == "closing" else "a stop is being placed"
    return f"{mark} NO PROVEN STOP for {f.age(row.naked_s)}: {doing}", role


def worst(header: HeaderView) -> tuple[str, str]:
    """All positions in one: how many are bare and for how long, or how old the oldest proof is; "" when flat."""
    if header.naked:
        mark = SOON if header.naked_s <= PROMISE_S else BARE
        role = "notice" if header.naked_s <= PROMISE_S else "alarm"
        return f" {mark} {header.naked} NAKED {f.age(header.naked_s)} ", role
    return (f"{PROVEN} {f.age(header.protected_age_s)}", "ok") if header.positions else ("", "dim")


def session(view: ProtectionView) -> tuple[tuple[str, str], ...]:
    """The session's times without a proven stop as cells: median, 99th percentile, longest."""
    if not view.count:
        return (("bare: no position yet", "dim"),)
    cells: list[tuple[str, str]] = [("bare ", "dim")]
    for name, value, limit in (
        ("p50", view.p50_s, view.promise_s),
        ("p99", view.p99_s, view.promise_s),
        ("max", view.max_s, view.limit_s),
    ):
        over = value > limit
        cells += [(f"{name} ", "dim"), (f"{'!' if over else ''}{f.age(value)} ", "loss" if over else "text")]
    return tuple(cells)
