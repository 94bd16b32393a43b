"""What every part of the engine shares: time, symbols, accounts, ids and the outlet for account events."""

from collections.abc import Callable
from decimal import Decimal

from tui_trader.exchange.accounts import Account
from tui_trader.exchange.orders import IncomeRow
from tui_trader.exchange.reject import invalid_symbol
from tui_trader.exchange.symbol_state import SymbolState

Emit = Callable[[Account, dict[str, object]], None]


class Venue:
    """Shared state of the exchange. `emit` receives each user-stream event in order."""

    def __init__(self, states: dict[str, SymbolState], now_ms: int, emit: Emit) -> None:
        self.states = states
        self.now_ms = now_ms
        self.emit = emit
        self.accounts: dict[str, Account] = {}
        self._order_id = now_ms * 100
        self._algo_id = now_ms * 100
        self._transaction_id = now_ms * 100

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
        row = IncomeRow(symbol, kind, amount, self.now_ms, self._transaction_id, trade_id, info)
        account.book_income(row)
        account.updated_ms = self.now_ms
