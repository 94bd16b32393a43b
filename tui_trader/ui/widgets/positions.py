"""Open positions with live P&L, and whether each is protected."""

from __future__ import annotations

from tui_trader.core.views import PositionRow
from tui_trader.ui import format as f
from tui_trader.ui.state import Frame
from tui_trader.ui.theme import tone
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
        Column("liq", 10, ">", drop=8),
        Column("stage", 12, "<", drop=10),
        Column("strategy", 15, "<", drop=12),
        Column("open", 5, ">", drop=11),
        Column("funding", 8, ">", drop=13),
        Column("naked max", 9, ">", drop=14),
    )
    narrow = (
        Column("symbol", 6, "<", grow=1),
        Column("side", 5, "<"),
        Column("qty", 6, ">", drop=4),
        Column("entry", 9, ">", drop=3),
        Column("mark", 9, ">", drop=2),
        Column("P&L", 7, ">"),
        Column("R", 5, ">"),
        Column("%", 6, ">", drop=5),
        Column("stop", 10, ">"),
    )
    narrow_below = 76

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
        return "Flat. Strategies open positions when a setup passes the gate; b buys and s sells the selected symbol."

    def rows(self, frame: Frame, width: int) -> list[Row]:
        """One row a position."""
        return [_row(row, frame.snapshot.ts, narrow=self.is_narrow(width)) for row in frame.snapshot.positions]


def _stop(row: PositionRow) -> tuple[str, str]:
    if not row.stop_proven:
        return f"✗ {f.age(row.naked_s)}", "alarm"
    return f"✓{f.price(row.stop, row.price_decimals)}", "ok"


def _row(row: PositionRow, now: int, *, narrow: bool) -> Row:
    colour = tone(row.pnl)
    decimals = row.price_decimals
    side, side_role = str(row.side), "profit" if row.side == "long" else "loss"
    return Row(
        key=row.symbol,
        symbol=row.symbol,
        cells=(
            (f.base(f.clean(row.symbol)) if narrow else f.clean(row.symbol), "text"),
            (side if narrow else f"{'▲' if row.side == 'long' else '▼'}{side}", side_role),
            (f.within(row.qty, row.qty_decimals, 6 if narrow else 9), "text"),
            (f.price(row.entry, decimals), "dim"),
            (f.price(row.mark, decimals), "text"),
            (f.within(row.pnl, 2, 7 if narrow else 9, sign=True), colour),
            (f.within(row.r, 2, 5 if narrow else 6, sign=True), colour),
            (f.signed(row.pnl_pct, 2), colour),
            _stop(row),
            (f.price(row.liquidation, decimals), "dim"),
            (f.clean(row.stage), "dim"),
            (f.clean(row.strategy) or "by hand", "dim"),
            (f.span(now - row.opened_ms), "dim"),
            (f.signed_money(row.funding_paid), "dim"),
            (f.age(row.longest_naked_s), "dim"),
        ),
    )
