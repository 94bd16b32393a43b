"""Signals and refusals, each with its conditions and reasons."""

from __future__ import annotations

from tui_trader.core.strategy_rows import SignalRow
from tui_trader.ui import format as f
from tui_trader.ui.state import Frame
from tui_trader.ui.widgets.base import Line
from tui_trader.ui.widgets.table import Column, Row, StripTable

ACTIONS = {
    "opened": ("→ opened", "profit"),
    "refused": ("✗ refused", "warn"),
    "hold": ("· hold", "dim"),
    "manual": ("→ by hand", "mine"),
}


class SignalsPane(StripTable):
    """The newest first; the lines under a row are its conditions (met ✓, missed ✗) or the reasons of its refusal."""

    columns = (
        Column("time", 8),
        Column("symbol", 7, "<", grow=1),
        Column("side", 5, "<"),
        Column("strategy", 15, "<", drop=2),
        Column("conv", 4, ">", drop=1),
        Column("action", 10, "<"),
    )

    def heading(self, frame: Frame) -> str:
        """The pane's name."""
        return "Signals and refusals"

    def empty(self, frame: Frame) -> str:
        """Words for silence."""
        if frame.starting:
            return "Waiting for candles."
        return "No signals yet. Strategies judge closed candles; each setup appears here with its conditions."

    def rows(self, frame: Frame, width: int) -> list[Row]:
        """One row a signal, with its explanation under it."""
        return [_row(row, width) for row in frame.snapshot.signals]


def key_of(row: SignalRow) -> str:
    """What tells a signal from the others."""
    return f"{row.ts} {row.symbol} {row.strategy} {row.action}"


def _row(row: SignalRow, width: int) -> Row:
    action, role = ACTIONS.get(row.action, (f.clean(row.action), "dim"))
    side_role = {"long": "profit", "short": "loss"}.get(row.side, "dim")
    return Row(
        key=key_of(row),
        symbol=row.symbol,
        cells=(
            (f.clock(row.ts), "dim"),
            (f.base(f.clean(row.symbol)), "text"),
            (f.clean(row.side) if row.side != "hold" else "", side_role),
            (f.clean(row.strategy) or "by hand", "dim"),
            (f.number(row.conviction, 2) if row.conviction else "", "text"),
            (action, role),
        ),
        below=explanation(row, width),
    )


def conditions(row: SignalRow) -> list[tuple[str, bool]]:
    """The words of each condition, and whether it was met."""
    return [(f.clean(each.text) or f.clean(each.name), each.met) for each in row.conditions]


def own_reasons(row: SignalRow) -> list[str]:
    """The reasons without what the conditions already say: a strategy that holds gives its missed conditions twice."""
    said = {text for text, _ in conditions(row)}
    pieces = (piece for reason in row.reasons for piece in f.clean(reason).split("; "))
    return [piece for piece in pieces if piece not in said]


def circumstances(row: SignalRow) -> str:
    """Where a strategy judged, in what regime, and whose parameters it used, in few words; "" by hand."""
    if not row.timeframe:
        return ""
    return f.clean(f"{row.timeframe} {row.regime}, {row.source.partition(' ')[0].rstrip(':')}")


def explanation(row: SignalRow, width: int, most: int = 3) -> tuple[Line, ...]:
    """Reasons, then conditions, wrapped into at most ``most`` lines that end with "…" when there is more.

    The circumstances stand at the end where there is room; the detail has them always.
    """
    pieces = [(f"{text} {'✓' if met else '✗'}", "dim" if met else "text") for text, met in conditions(row)]
    pieces = [(text, "warn" if row.action == "refused" else "dim") for text in own_reasons(row)] + pieces
    room = max(width - 5, 10)
    lines: list[list[tuple[str, str]]] = [[]]
    used = 0
    for text, role in pieces:
        for number, part in enumerate(f.wrap(text, room)):
            size = f.width_of(part)
            if number or (used and used + 2 + size > room):
                lines.append([])
                used = 0
            if used:
                lines[-1].append(("  ", "text"))
                used += 2
            lines[-1].append((part, role))
            used += size
    around = circumstances(row)
    if around and used + 2 + f.width_of(around) <= room:
        lines[-1] += [("  " if used else "", "text"), (around, "faint")]
    shown: list[Line] = [(("   ", "text"), *line) for line in lines if line]
    if len(shown) > most:
        shown = [*shown[: most - 1], (*shown[most - 1], (" …", "dim"))]
    return tuple(shown)
