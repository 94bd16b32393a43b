"""The slower lists: orders, trades, log, performance and workers."""

from __future__ import annotations

from tui_trader.core.strategy_rows import StrategyRow
from tui_trader.core.types import Severity
from tui_trader.core.views import OrderRow, TradeRow
from tui_trader.ui import format as f
from tui_trader.ui.state import Frame
from tui_trader.ui.theme import tone
from tui_trader.ui.widgets.base import Line
from tui_trader.ui.widgets.table import Column, Row, StripTable

_DONE = {"filled", "canceled", "rejected", "expired"}
_ORDER_ROLES = {"rejected": "loss", "unknown": "alarm", "filled": "accent", "working": "ok", "resting": "ok"}
_STATUS_WORDS = {"partially_filled": "partly", "canceled": "cancelled"}
SEVERITY = {
    Severity.INFO: ("·", "text"),
    Severity.GOOD: ("✓", "profit"),
    Severity.WARNING: ("!", "warn"),
    Severity.ALARM: ("✗", "loss"),
}
"""Sign and role of a sentence."""


class OrdersPane(StripTable):
    """Own orders, working ones and those that ended a moment ago."""

    columns = (
        Column("time", 8, drop=2),
        Column("symbol", 9, "<", grow=1),
        Column("leg", 5),
        Column("side", 4),
        Column("qty", 9, "."),
        Column("price", 11, "."),
        Column("status", 9, "<"),
        Column("proven", 6, ">", drop=3),
        Column("type", 12, "<", drop=4),
        Column("filled", 9, ">", drop=5),
        Column("id", 16, "<", drop=7),
        Column("why", 14, "<", drop=6, grow=2),
    )
    narrow = (
        Column("time", 8, drop=2),
        Column("symbol", 7, "<", grow=1),
        Column("leg", 5),
        Column("side", 4),
        Column("qty", 8, ">"),
        Column("price", 10, ">"),
        Column("status", 9, "<"),
        Column("proven", 6, ">", drop=3),
    )
    narrow_below = 76

    def heading(self, frame: Frame) -> str:
        """How many work."""
        working = sum(row.status not in _DONE for row in frame.snapshot.orders)
        return f"Orders {working}" if frame.snapshot.orders else "Orders"

    def empty(self, frame: Frame) -> str:
        """Words for no orders."""
        return "No orders: nothing rests at the venue."

    def rows(self, frame: Frame, width: int) -> list[Row]:
        """One row an order."""
        return [_order(row, narrow=self.is_narrow(width)) for row in frame.snapshot.orders]


def _order(row: OrderRow, *, narrow: bool) -> Row:
    done = row.status in _DONE
    level = row.trigger or row.price
    proven = row.status == "working" and row.proven_age_s >= 0
    text = "dim" if done else "text"
    status = _STATUS_WORDS.get(row.status, row.status)
    return Row(
        key=row.client_id or f"{row.symbol} {row.ts}",
        symbol=row.symbol,
        cells=(
            (f.clock(row.ts) if row.ts else "", "dim"),
            (f.base(f.clean(row.symbol)) if narrow else f.clean(row.symbol), text),
            (f.clean(row.leg), "mine" if not done else "dim"),
            (f.clean(row.side).lower(), ("profit" if row.side.upper() == "BUY" else "loss") if not done else "dim"),
            (f.within(row.qty, row.qty_decimals, 8 if narrow else 9), text),
            (f.price(level, row.price_decimals) if level else "market", text),
            (f.clean(status), _ORDER_ROLES.get(row.status, "dim" if done else "text")),
            (f"✓{f.age(row.proven_age_s)}" if proven else "", "ok"),
            (f.clean(row.type).lower().replace("_", " "), "dim"),
            (f.number(row.filled, row.qty_decimals) if row.filled else "", "dim"),
            (f.clean(row.client_id), "faint"),
            (f.clean(row.reason), "dim"),
        ),
    )


class TradesPane(StripTable):
    """Closed positions, the newest first."""

    columns = (
        Column("closed", 8),
        Column("symbol", 9, "<", grow=1),
        Column("side", 6),
        Column("qty", 9, ".", drop=6),
        Column("entry", 10, ".", drop=4),
        Column("exit", 10, ".", drop=3),
        Column("P&L", 9, ">"),
        Column("R", 6, ">"),
        Column("held", 5, ">", drop=5),
        Column("fees", 6, ">", drop=7),
        Column("funding", 7, ">", drop=9),
        Column("strategy", 15, "<", drop=8),
        Column("reason", 12, "<", drop=2, grow=1),
    )

    def heading(self, frame: Frame) -> str:
        """How many, and their sum."""
        trades = frame.snapshot.trades
        if not trades:
            return "Trades"
        return f"Trades {len(trades)} · {f.signed_money(sum(row.pnl for row in trades))}"

    def empty(self, frame: Frame) -> str:
        """Words for no trades."""
        return "No closed trades yet in this store."

    def rows(self, frame: Frame, width: int) -> list[Row]:
        """One row a trade."""
        return [_trade(row) for row in frame.snapshot.trades]


def _trade(row: TradeRow) -> Row:
    colour = tone(row.pnl)
    return Row(
        key=f"{row.closed_ms} {row.symbol} {row.opened_ms}",
        symbol=row.symbol,
        cells=(
            (f.clock(row.closed_ms), "dim"),
            (f.clean(row.symbol), "text"),
            (f"{'▲' if row.side == 'long' else '▼'}{row.side}", "dim"),
            (f.number(row.qty, row.qty_decimals), "dim"),
            (f.price(row.entry, row.price_decimals), "dim"),
            (f.price(row.exit, row.price_decimals), "text"),
            (f.signed_money(row.pnl), colour),
            (f.signed(row.r, 2), colour),
            (f.span(row.closed_ms - row.opened_ms), "dim"),
            (f.number(row.fees, 2), "dim"),
            (f.signed(row.funding, 2), "dim"),
            (f.clean(row.strategy) or "by hand", "dim"),
            (f.clean(row.reason), "dim"),
        ),
    )


class LogPane(StripTable):
    """What happened, in sentences, the newest first."""

    columns = (Column("time", 8), Column("", 1), Column("what happened", 20, "<", grow=1))

    def empty(self, frame: Frame) -> str:
        """Words for an empty log."""
        return "Nothing has happened yet."

    def rows(self, frame: Frame, width: int) -> list[Row]:
        """One row a sentence; a long one goes on under it."""
        rows = []
        for number, row in enumerate(frame.snapshot.log):
            sign, role = SEVERITY.get(row.severity, ("·", "text"))
            parts = f.wrap(f.sentence(row.text), max(width - 13, 10)) or [""]
            more: tuple[Line, ...] = tuple(((" " * 12 + part, role),) for part in parts[1:])
            when = f.clock(row.ts) if row.ts else ""
            key = f"{row.ts} {row.text} {len(frame.snapshot.log) - number if not row.ts else ''}"
            cells = ((when, "dim"), (sign, role), (parts[0], role))
            rows.append(Row(key=key, symbol=row.symbol, cells=cells, below=more))
        return rows


class PerformancePane(StripTable):
    """Strategies, and how their targets did."""

    columns = (
        Column("strategy", 22, "<", grow=1),
        Column("state", 9, "<"),
        Column("trades", 6, ">"),
        Column("won", 5, ">"),
        Column("P&L", 9, ">"),
        Column("mean R", 7, ">"),
        Column("TP1 hit ≥75%", 13, ">", drop=2),
        Column("slip <0.3%", 10, ">", drop=3),
    )

    def empty(self, frame: Frame) -> str:
        """Words for no strategies."""
        return "No strategies configured: see [strategies] in config.toml."

    def rows(self, frame: Frame, width: int) -> list[Row]:
        """One row a strategy; under it what it runs with, or why it does not run."""
        return [_strategy(row, width) for row in frame.snapshot.strategies]


def _strategy(row: StrategyRow, width: int) -> Row:
    hit = row.tp1_hits / row.tp1_attempts if row.tp1_attempts else 0.0
    hits = f"{row.tp1_hits}/{row.tp1_attempts} {f.share(hit, 0)}" if row.tp1_attempts else f.NOTHING
    return Row(
        key=row.name,
        cells=(
            (f.clean(row.name), "text"),
            state_of(row),
            (str(row.trades), "text"),
            (f.share(row.wins / row.trades, 0) if row.trades else f.NOTHING, "text"),
            (f.signed_money(row.pnl), tone(row.pnl)),
            (f.signed(row.mean_r, 2), tone(row.mean_r)),
            (hits, "profit" if hit >= 0.75 else "dim"),
            (f"{f.number(row.mean_slippage_pct, 3)}%", "dim" if row.mean_slippage_pct < 0.3 else "warn"),
        ),
        below=_runs_with(row, width),
    )


def state_of(row: StrategyRow) -> tuple[str, str]:
    """Running or paused, and the role of the word."""
    if row.problem:
        return "✗ failed", "warn"
    return ("▶ running", "ok") if row.running else ("‖ paused", "warn")


def _runs_with(row: StrategyRow, width: int) -> tuple[Line, ...]:
    """Timeframe and how many symbols have trained, configured or default parameters; what was demoted; the problem."""
    if not row.timeframe:
        return ()
    counts: dict[str, int] = {}
    for use in row.uses:
        name = use.source.partition(" ")[0].rstrip(":")
        counts[name] = counts.get(name, 0) + len(use.symbols)
    symbols = sum(counts.values())
    words = [f"on {row.timeframe}"]
    words += [f"{name} for {count if count < symbols else 'all'}" for name, count in counts.items()]
    if len(counts) == 1:
        words[-1] += f" {symbols} symbols"
    demoted = sum(one.state == "demoted" for one in row.sets)
    warning = f"trained sets demoted: {demoted}" if demoted else ""
    pieces = [(" · ".join(words), "dim"), (warning, "warn"), (row.problem, "warn")]
    room = max(width - 4, 10)
    return tuple((("   " + part, role),) for text, role in pieces for part in f.wrap(f.clean(text), room))


class WorkersPane(StripTable):
    """The session's workers and their health."""

    columns = (Column("worker", 18, "<"), Column("state", 12, "<"), Column("detail", 20, "<", grow=1))

    def empty(self, frame: Frame) -> str:
        """Words for no workers."""
        return "No workers yet: the session is starting." if frame.starting else "This session reports no workers."

    def rows(self, frame: Frame, width: int) -> list[Row]:
        """One row a worker."""
        rows = []
        for row in frame.snapshot.workers:
            good = row.state.lower() in {"running", "ok", "up", "idle", "done"}
            sign = "●" if good else "✗"
            cells = ((f.clean(row.name), "text"), (f"{sign} {f.clean(row.state)}", "ok" if good else "warn"))
            rows.append(Row(key=row.name, cells=(*cells, (f.clean(row.detail), "dim"))))
        return rows
