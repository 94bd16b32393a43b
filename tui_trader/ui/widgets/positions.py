"""Open positions with live P&L, and whether each is protected."""

from __future__ import annotations

from tui_trader.core.views import PositionRow
from tui_trader.ui import format as f
from tui_trader.ui import guard
from tui_trader.ui.state import Frame
from tui_trader.ui.theme import tone
from tui_trader.ui.widgets.base import Line
from tui_trader.ui.widgets.header import no_entries
from tui_trader.ui.widgets.table import Column, Row, StripTable


class PositionsPane(StripTable):
    """Table of positions; its cursor is the selected symbol."""

    follows_selection = True
    columns = (
        Column("symbol", 9, "<", grow=1),
        Column("side", 6, "<"),
        Column("qty", 9, ".", drop=4),
        Column("entry", 9, ".", drop=3),
        Column("mark", 9, ".", drop=2),
        Column("P&L", 9, ">"),
        Column("R", 6, ">"),
        Column("%", 6, ">", drop=5),
        Column("stop", 10, ">"),
        Column("proven", 6, ">"),
        Column("liq", 10, ">", drop=8),
        Column("stage", 12, "<", drop=10),
        Column("strategy", 15, "<", drop=12),
        Column("open", 5, ">", drop=11),
        Column("funding", 8, ">", drop=13),
        Column("bare≤", 5, ">", drop=9),
    )
    narrow = (
        Column("sym", 5, "<", grow=1),
        Column("", 1, "<"),
        Column("qty", 5, ">", drop=4),
        Column("entry", 9, ">", drop=3),
        Column("mark", 9, ">", drop=2),
        Column("P&L", 7, ">"),
        Column("R", 5, ">"),
        Column("%", 6, ">", drop=6),
        Column("stop", 10, ">"),
        Column("seen", 5, ">"),
        Column("bare≤", 5, ">", drop=5),
    )
    narrow_below = 96

    def __init__(self, pane_id: str) -> None:
        super().__init__(pane_id)
        self._height = 0

    def heading(self, frame: Frame) -> str:
        """How many of how many."""
        header = frame.snapshot.header
        return (
            f"Positions {len(frame.snapshot.positions)} of {header.max_positions}"
            if header.max_positions
            else "Positions"
        )

    def empty(self, frame: Frame) -> str:
        """Words for being flat."""
        if frame.starting:
            return "Waiting for the account."
        if loose := frame.snapshot.header.naked:
            return (
                f"{loose} open without a plan: opened elsewhere. Each gets a stop as soon as the venue's "
                "account was read."
            )
        header = frame.snapshot.header
        if header.killed:
            return (
                f"Flat: the kill switch closes everything ({f.clean(header.kill_reason)}). No entries until a person "
                "re-arms: R. Before that, h tells what happened to the selected symbol, 9 lists the closed trades."
            )
        if header.blocks:
            return f"Flat. {no_entries(header)}"
        if not header.strategies_running:
            return "Flat. No strategy runs: p resumes those that are paused. b buys and s sells the selected symbol."
        return "Flat. Strategies open positions when a setup passes the gate; b buys and s sells the selected symbol."

    def draw(self, frame: Frame, width: int, height: int) -> list[Line]:
        """The table; with room, each position's protection stands under it in words."""
        self._height = height
        return super().draw(frame, width, height)

    def rows(self, frame: Frame, width: int) -> list[Row]:
        """One row a position."""
        positions = frame.snapshot.positions
        narrow = self.is_narrow(width)
        told = 1 + 2 * len(positions) <= self._height
        return [_row(row, frame.snapshot.ts, narrow=narrow, told=told) for row in positions]


def _stop(row: PositionRow) -> tuple[str, str]:
    mark, role = guard.sign(row)
    return f"{mark}{f.price(row.stop, row.price_decimals)}", role


def _below(row: PositionRow) -> tuple[Line, ...]:
    text, role = guard.words(row)
    stage = "" if row.stage in ("protected", "placing the stop", "closing") else f" · {f.clean(row.stage)}"
    return (((f"   {text}", role if not row.stop_proven else "dim"), (stage, "dim")),)


def _row(row: PositionRow, now: int, *, narrow: bool, told: bool) -> Row:
    colour = tone(row.pnl)
    decimals = row.price_decimals
    side, side_role = str(row.side), "profit" if row.side == "long" else "loss"
    seen, seen_role = guard.since(row)
    arrow = "▲" if row.side == "long" else "▼"
    most = (f.age(row.longest_naked_s), guard.bare_role(row.longest_naked_s) if row.longest_naked_s > 3 else "dim")
    return Row(
        key=row.symbol,
        symbol=row.symbol,
        below=_below(row) if told else (),
        cells=(
            (f.base(f.clean(row.symbol)) if narrow else f.clean(row.symbol), "text"),
            (arrow if narrow else f"{arrow}{side}", side_role),
            (f.within(row.qty, row.qty_decimals, 5 if narrow else 9), "text"),
            (f.price(row.entry, decimals), "dim"),
            (f.price(row.mark, decimals), "text"),
            (f.within(row.pnl, 2, 7 if narrow else 9, sign=True), colour),
            (f.within(row.r, 2, 5 if narrow else 6, sign=True), colour),
            (f.signed(row.pnl_pct, 2), colour),
            _stop(row),
            (seen.replace(" ", "") if narrow else seen, seen_role),
            *((most,) if narrow else ()),
            (f.price(row.liquidation, decimals), "dim"),
            (f.clean(row.stage), "dim"),
            (f.clean(row.strategy) or "by hand", "dim"),
            (f.span(now - row.opened_ms), "dim"),
            (f.signed_money(row.funding_paid), "dim"),
            most,
        ),
    )
