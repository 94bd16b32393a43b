"""Deposits, withdrawals and swaps: neither profit nor loss, whether the stream tells them or only the ledger does."""

from __future__ import annotations

from tui_trader.core.events import AccountSnapshot, BalanceUpdate
from tui_trader.core.state import EngineState
from tui_trader.core.types import Severity

REASONS = frozenset(
    {"DEPOSIT", "WITHDRAW", "WITHDRAW_REJECT", "ASSET_TRANSFER", "COIN_SWAP_DEPOSIT", "COIN_SWAP_WITHDRAW"}
    | {"ADMIN_DEPOSIT", "ADMIN_WITHDRAW", "AUTO_EXCHANGE"}
)
"""Reasons of a balance change that is neither profit nor loss (Binance: ACCOUNT_UPDATE, field m)."""


def on_stream(state: EngineState, event: BalanceUpdate, *, stale: bool) -> None:
    """Before the wallet is taken over: one that stands there already was told before, or is told by the ledger.

    A ``stale`` word comes after a newer one on the wallet, which contains the transfer.
    """
    before = state.portfolio.wallet
    if event.reason not in REASONS or before is None:
        return
    if stale and event.change:
        state.losses.streamed(event.ts, event.change, again=True)
    elif not stale and event.wallet != before:
        state.losses.streamed(event.ts, event.change or event.wallet - before)
    else:
        return
    _save(state)


def on_ledger(state: EngineState, snapshot: AccountSnapshot) -> None:
    """Transfers of a time without the private stream, or without a session, when the wallet contains them.

    A deposit waits until no lagging replica can have left it out of the wallet: the limits would take it for a loss.
    """
    settled = snapshot.asked_at - state.ms(state.settings.execution.replica_lag_s)
    due = [t for t in snapshot.transfers if t.venue_ts < (settled if t.amount > 0 else snapshot.asked_at)]
    news = [row for row in due if not state.losses.knows(row)]
    for row in news:
        if state.losses.ledgered(row):
            text = f"a transfer of {row.amount:+.2f} USDT is neither profit nor loss: the limits count from it"
            state.say(Severity.INFO, text)
    if news:
        _save(state)


def _save(state: EngineState) -> None:
    """A restart must not take a transfer for profit or loss."""
    state.store("state", {"key": "losses", "value": state.losses.to_state()}, durable=True)
