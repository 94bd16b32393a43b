"""What a running session says of itself to a script: plain facts from the newest frame."""

from __future__ import annotations

import msgspec

from tui_trader.core.views import PositionRow, Snapshot
from tui_trader.runtime.supervise import meters
from tui_trader.runtime.trader import Trader


def account_facts(frame: Snapshot) -> dict[str, object]:
    """Equity, protection, blocks and open positions; amounts in USDT, ages in real seconds."""
    header = frame.header
    return {
        "equity": header.equity,
        "positions": header.positions,
        "naked": header.naked,
        "naked_s": header.naked_s,
        "longest_naked_s": header.longest_naked_s,
        "protected_age_s": header.protected_age_s,
        "protection": msgspec.to_builtins(frame.protection),
        "armed": header.armed,
        "killed": header.killed,
        "kill_reason": header.kill_reason,
        "blocks": list(header.blocks),
        "open": [_position(row) for row in frame.positions],
    }


def trader_facts(trader: Trader) -> dict[str, object]:
    """How well it keeps up, and how much is under way: commands that have not ended, orders that may still rest."""
    resting = sum(1 for order in trader.engine.state.ledger if order.live)
    return {"meters": meters(trader.lag, trader.inbox), "under_way": trader.outbox.pending + resting}


def _position(row: PositionRow) -> dict[str, object]:
    return {
        "symbol": row.symbol,
        "side": row.side.value,
        "qty": row.qty,
        "entry": row.entry,
        "mark": row.mark,
        "pnl": row.pnl,
        "stop": row.stop,
        "stop_proven": row.stop_proven,
        "proven_age_s": row.proven_age_s,
        "naked_s": row.naked_s,
        "longest_naked_s": row.longest_naked_s,
    }
