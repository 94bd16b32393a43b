"""The universe: members by score, then what was refused and why."""

from __future__ import annotations

from dataclasses import replace

from tui_trader.core.views import UniverseRow
from tui_trader.ui import format as f
from tui_trader.ui.state import Frame
from tui_trader.ui.theme import tone
from tui_trader.ui.widgets.base import Line
from tui_trader.ui.widgets.regimes import regime_heading, regime_signs
from tui_trader.ui.widgets.table import Column, Row, StripTable

_COLUMNS = (
    Column("#", 2, ">", drop=8),
    Column("symbol", 9, "<", grow=1),
    Column("tier", 4, "<", drop=5),
    Column("last", 13, "."),
    Column("24h%", 6, ">", drop=1),
    Column("vol", 5, ">", drop=2),
    Column("spr", 4, ">", drop=3),
    Column("fund%", 6, ">", drop=4),
    Column("next", 4, ">", drop=6),
)
_NARROW = tuple(replace(column, width=9, align=">") if column.title == "last" else column for column in _COLUMNS)
_REGIME = 5
"""Where the regimes stand among the columns."""


class UniversePane(StripTable):
    """Table of symbols; its cursor is the selected symbol."""

    columns = _COLUMNS
    narrow = _NARROW
    narrow_below = 61
    follows_selection = True

    def columns_for(self, frame: Frame, width: int) -> tuple[Column, ...]:
        """With the regimes, once candles of a symbol are known, on the timeframes of the strategies."""
        regimes = next((row.regimes for row in frame.snapshot.universe.members if row.regimes), ())
        heading = regime_heading(regimes)
        columns = super().columns_for(frame, width)
        # Without a heading it is too wide for any pane, so that it is the first column to leave.
        regime = Column(heading, len(heading) or width, "<", drop=9)
        return (*columns[:_REGIME], regime, *columns[_REGIME:])

    def heading(self, frame: Frame) -> str:
        """How many passed, and when the next refresh comes."""
        universe = frame.snapshot.universe
        if not universe.total:
            return "Universe"
        left = f.countdown(universe.next_refresh_ms - frame.snapshot.ts)
        return f"Universe {len(universe.members)} of {universe.total} · next {left}"

    def empty(self, frame: Frame) -> str:
        """Words for a universe without symbols."""
        if frame.starting:
            return "Waiting for the venue's symbols."
        return (
            "No symbols yet. The first refresh needs volume, spread and depth of every symbol; it takes some seconds."
        )

    def rows(self, frame: Frame, width: int) -> list[Row]:
        """Members, then refused symbols, each with its reasons under it."""
        universe = frame.snapshot.universe
        now = frame.snapshot.ts
        rows = [_row(row, now, narrow=self.is_narrow(width)) for row in universe.members]
        for number, row in enumerate(universe.refused):
            reasons = f.listed([f.clean(reason) for reason in row.reasons] or ["refused"], max(width - 15, 10))
            head = (
                (f" {f.fit(f.clean(row.symbol), 12)} ", "dim"),
                (f"{reasons[0] if reasons else ''}", "faint" if not row.reasons else "dim"),
            )
            more: list[Line] = [((" " * 14 + text, "dim"),) for text in reasons[1:]]
            rows.append(
                _refused(row, head, more, first=number == 0, count=universe.refused_total or len(universe.refused))
            )
        return rows


def _row(row: UniverseRow, now: int, *, narrow: bool) -> Row:
    mark = "‖" if row.paused else ("●" if row.has_position else "")
    role = "warn" if row.paused else ("mine" if row.has_position else "text")
    funding_role = "warn" if abs(row.funding_rate) >= 0.0003 else "dim"
    return Row(
        key=row.symbol,
        symbol=row.symbol,
        cells=(
            (str(row.rank), "dim"),
            (_name(row.symbol, mark, narrow=narrow), role),
            (f.clean(row.tier), "dim"),
            (f.price(row.last, row.price_decimals), "text"),
            (f.signed(row.change_pct, 2), tone(row.change_pct)),
            (regime_signs(row.regimes), "text"),
            (f.compact(row.quote_volume), "dim"),
            (f.number(row.spread_bps, 1), "dim"),
            (f.signed(row.funding_rate * 100, 3), funding_role),
            (f.short_countdown(row.next_funding_ms - now) if row.next_funding_ms else f.NOTHING, "dim"),
        ),
    )


def _name(symbol: str, mark: str, *, narrow: bool) -> str:
    """The symbol and its mark, without the blank between them where nine cells are too few for it."""
    name = f.clean(symbol)
    return f"{name} {mark}".rstrip() if len(name) < 8 or not narrow else f"{name}{mark}"


def _refused(row: UniverseRow, head: Line, more: list[Line], *, first: bool, count: int) -> Row:
    above: tuple[Line, ...] = ((),) if first else ()
    title: tuple[Line, ...] = (((f" refused {count}", "head"),),) if first else ()
    return Row(
        key=f"refused {row.symbol}", symbol=row.symbol, cells=(), above=(*above, *title), full=head, below=tuple(more)
    )
