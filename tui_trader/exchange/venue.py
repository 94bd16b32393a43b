"""What every part of the engine shares: time, symbols, accounts, ids and the outlet for account events."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING

from tui_trader.exchange.accounts import Account
from tui_trader.exchange.orders import IncomeRow
from tui_trader.exchange.reject import invalid_symbol
from tui_trader.exchange.replica import Replica
from tui_trader.exchange.symbol_state import SymbolState

if TYPE_CHECKING:
    from tui_trader.exchange.faults import Faults

Emit = Callable[[Account, dict[str, object]], None]


class Venue:
    """Shared state of the exchange. `emit` receives each user-stream event in order."""

    def __init__(self, states: dict[str, SymbolState], now_ms: int, emit: Emit) -> None:
        self.states = states
        self.now_ms = now_ms
        self.emit = emit
        self.accounts: dict[str, Account] = {}
        self.faults: Faults | None = None
        self.replicas: dict[Account, Replica] = {}
        """Past states by account; kept only when faults may ask for them."""
        self.skew_ms = 0
        """How far the clock that clients see runs ahead of the venue's own time; where to, while it drifts."""
        self._drift: tuple[int, int, int] | None = None
        self._order_id = now_ms * 100
        self._algo_id = now_ms * 100
        self._transaction_id = now_ms * 100

    def told_ms(self) -> int:
        """Return the time as the venue tells it: its own, unless a fault has bent the clock."""
        if self._drift is not None:
            start_ms, span_ms, former = self._drift
            age = self.now_ms - start_ms
            if age < span_ms:
                return self.now_ms + former + (self.skew_ms - former) * age // span_ms
            self._drift = None
        return self.now_ms + self.skew_ms

    def skew(self, ms: int, over_ms: int = 0) -> None:
        """Let the clock that clients see run `ms` ahead of the venue's own: at once, or drifting there."""
        former = self.told_ms() - self.now_ms
        self.skew_ms = ms
        self._drift = (self.now_ms, over_ms, former) if over_ms else None

    def state(self, symbol: str | None) -> SymbolState:
        """Return a symbol's state; raise -1121 when there is none."""
        found = self.states.get(symbol or "")
        if found is None:
            raise invalid_symbol()
        return found

    def new_order_id(self) -> int:
        """Return the next regular order id."""
        self._order_id += 1
        return self._order_id

    def new_algo_id(self) -> int:
        """Return the next conditional order id."""
        self._algo_id += 1
        return self._algo_id

    def income(
        self, account: Account, symbol: str, kind: str, amount: Decimal, trade_id: str = "", info: str = ""
    ) -> None:
        """Book a ledger row and move the wallet."""
        self._transaction_id += 1
        row = IncomeRow(symbol, kind, amount, self.told_ms(), self._transaction_id, trade_id, info)
        account.book_income(row)
        account.updated_ms = self.told_ms()
