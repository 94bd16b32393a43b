"""What one picture of the console is made of: the engine's frozen snapshot and what the person looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tui_trader.core.types import Severity
from tui_trader.core.views import (
    BookView,
    ChartView,
    HeaderView,
    LadderView,
    LogRow,
    PositionRow,
    RiskView,
    Snapshot,
    UniverseView,
)
from tui_trader.ui.theme import DEFAULT, Palette, palette


@dataclass(frozen=True)
class Frame:
    """Input of every pane's drawing. ``recent`` holds the panes by last use, the active one first."""

    snapshot: Snapshot
    selected: str
    palette: Palette
    recent: tuple[str, ...] = ("universe",)
    starting: bool = False
    low_bandwidth: bool = False
    feedback: str = ""
    feedback_role: str = "dim"
    keys: Mapping[str, str] = field(default_factory=dict)

    @property
    def active(self) -> str:
        """The pane that keys act on."""
        return self.recent[0] if self.recent else ""

    @property
    def position(self) -> PositionRow | None:
        """The open position in the selected symbol."""
        return next((row for row in self.snapshot.positions if row.symbol == self.selected), None)

    def decimals(self, symbol: str) -> int:
        """Price decimals of a symbol as far as any pane knows them."""
        snapshot = self.snapshot
        for row in (*snapshot.universe.members, *snapshot.universe.refused):
            if row.symbol == symbol:
                return row.price_decimals
        for position in snapshot.positions:
            if position.symbol == symbol:
                return position.price_decimals
        return snapshot.chart.price_decimals if snapshot.chart.symbol == symbol else 2


def _no_header(mode: str, detail: str) -> HeaderView:
    return HeaderView(
        mode=mode,
        venue="",
        detail=detail,
        equity=0.0,
        day_pnl=0.0,
        day_pnl_pct=0.0,
        equity_spark=(),
        open_risk=0.0,
        margin_used=0.0,
        positions=0,
        max_positions=0,
        naked=0,
        protected_age_s=0.0,
        channels=(),
        armed=False,
        entries_paused=False,
        blocks=(),
        killed=False,
        kill_reason="",
        strategies_running=0,
        strategies_total=0,
    )


def _no_book(waiting: str) -> BookView:
    return BookView(
        symbol="",
        bids=(),
        asks=(),
        bid_depth=0.0,
        ask_depth=0.0,
        bid_reach=0.0,
        ask_reach=0.0,
        spread_bps=0.0,
        synced=False,
        price_decimals=2,
        qty_decimals=3,
        empty_reason=waiting,
    )


def starting_snapshot(lines: tuple[str, ...], *, mode: str, detail: str, failed: str = "") -> Snapshot:
    """The picture before the session's first snapshot: nothing invented, every pane says that it waits."""
    waiting = "Not started: see the log." if failed else "Starting; filled as soon as the venue answers."
    return Snapshot(
        ts=0,
        sequence=-1,
        header=_no_header(mode, detail),
        universe=UniverseView(members=(), refused=(), total=0, next_refresh_ms=0, mean_spread_bps=0.0, mean_volume=0.0),
        chart=ChartView(
            symbol="",
            timeframe="",
            candles=(),
            lines=(),
            last=0.0,
            atr=0.0,
            price_decimals=2,
            empty_reason=waiting,
        ),
        book=_no_book(waiting),
        positions=(),
        ladder=LadderView(
            symbol="",
            side=None,
            qty=0.0,
            now=0.0,
            now_r=0.0,
            rows=(),
            why=(),
            price_decimals=2,
            qty_decimals=3,
            trailing=False,
            oco="",
            empty_reason=waiting,
        ),
        risk=RiskView(
            meters=(),
            open_risk_usdt=0.0,
            var95=None,
            ess=None,
            systemic=None,
            correlation=None,
            heat=None,
            notes=(waiting,),
        ),
        orders=(),
        trades=(),
        signals=(),
        strategies=(),
        equity=(),
        log=tuple(
            LogRow(ts=0, severity=Severity.ALARM if failed and line == failed else Severity.INFO, text=line)
            for line in reversed(lines)
        ),
        alarm=failed,
    )


EMPTY_FRAME = Frame(
    snapshot=starting_snapshot((), mode="", detail=""), selected="", palette=palette(DEFAULT), starting=True
)
