"""What a lagging replica of an account answers: the account as it was a while ago.

Every change of an order, a conditional order, a position or the wallet is kept as a dated copy. What is older than the
longest lag is forgotten, for then the account itself tells the same.
"""

import copy
from collections import deque
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final, Generic, TypeVar

from tui_trader.exchange.accounts import Account, Position
from tui_trader.exchange.orders import AlgoOrder, Order

K = TypeVar("K", int, str)
V = TypeVar("V")

LONGEST_LAG_MS: Final = 60_000
_SWEEP_EVERY: Final = 512


class _Versions(Generic[K, V]):
    """Dated copies of things by key, oldest first. None stands for "not there"."""

    def __init__(self, ended: Callable[[V], bool]) -> None:
        self._rows: dict[K, list[tuple[int, V | None]]] = {}
        self._ended = ended

    def add(self, key: K, now_ms: int, value: V | None) -> None:
        """Note how a thing is from now on."""
        rows = self._rows.setdefault(key, [])
        if rows and rows[-1][0] == now_ms:
            rows[-1] = (now_ms, value)
        else:
            rows.append((now_ms, value))

    def past(self, now: Mapping[K, V], time_ms: int) -> dict[K, V]:
        """Return the things as they were, given those there are now; in the order of their keys."""
        found = {key: value for key, value in now.items() if key not in self._rows}
        for key, rows in self._rows.items():
            value = next((copied for since, copied in reversed(rows) if since <= time_ms), None)
            if value is not None:
                found[key] = value
        return dict(sorted(found.items()))

    def forget(self, before_ms: int) -> None:
        """Drop copies that no lag can reach; a thing goes altogether when it ended before that."""
        for key, rows in list(self._rows.items()):
            while len(rows) > 1 and rows[1][0] <= before_ms:
                del rows[0]
            since, value = rows[-1]
            if since <= before_ms and (value is None or self._ended(value)):
                del self._rows[key]


class Replica:
    """Dated copies of one account's orders, conditional orders, positions and wallet."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._orders: _Versions[int, Order] = _Versions(lambda order: not order.is_open)
        self._algos: _Versions[int, AlgoOrder] = _Versions(lambda algo: algo.has_ended)
        self._positions: _Versions[str, Position] = _Versions(lambda position: False)
        self._wallet: _Versions[str, Decimal] = _Versions(lambda amount: False)
        self._noted = 0
        for order in account.orders.values():
            self._orders.add(order.id, 0, copy.copy(order))
        for algo in account.algos.values():
            self._algos.add(algo.id, 0, copy.copy(algo))
        for position in account.positions.values():
            self._positions.add(position.spec.symbol, 0, copy.copy(position))
        self._wallet.add("", 0, account.wallet)

    def note_order(self, order: Order, now_ms: int) -> None:
        """Note a change of an order and what it did to position and wallet."""
        self._orders.add(order.id, now_ms, copy.copy(order))
        position = self._account.positions.get(order.symbol)
        if position is not None:
            self._positions.add(order.symbol, now_ms, copy.copy(position))
        self._wallet.add("", now_ms, self._account.wallet)
        self._tidy(now_ms)

    def note_algo(self, algo: AlgoOrder, now_ms: int) -> None:
        """Note a change of a conditional order."""
        self._algos.add(algo.id, now_ms, copy.copy(algo))
        self._tidy(now_ms)

    def note_loss(self, number: int, is_algo: bool, now_ms: int) -> None:
        """Note that the venue lost all memory of an order."""
        (self._algos if is_algo else self._orders).add(number, now_ms, None)

    def _tidy(self, now_ms: int) -> None:
        self._noted += 1
        if self._noted % _SWEEP_EVERY == 0:
            before = now_ms - 2 * LONGEST_LAG_MS
            self._orders.forget(before)
            self._algos.forget(before)
            self._positions.forget(before)
            self._wallet.forget(before)

    def as_of(self, time_ms: int, told_ms: int) -> Account:
        """Return the account as it was at `time_ms`; `told_ms` is that moment on the clock the venue shows."""
        account = self._account
        wallet = self._wallet.past({"": account.wallet}, time_ms)[""]
        past = Account(account.number, account.api_key, account.secret, wallet)
        past.can_withdraw, past.dual_side, past.leverage = account.can_withdraw, account.dual_side, account.leverage
        past.history = self._orders.past(account.history, time_ms)
        past.algo_history = self._algos.past(account.algo_history, time_ms)
        past.positions = self._positions.past(account.positions, time_ms)
        for number, algo in past.algo_history.items():
            order = past.history.get(algo.order.id) if algo.order is not None else None
            if order is not algo.order:
                past.algo_history[number] = algo = copy.copy(algo)
                algo.order = order
        past.orders = {order.id: order for order in past.history.values() if order.is_open}
        past.algos = {algo.id: algo for algo in past.algo_history.values() if not algo.has_ended}
        past.trades = deque(trade for trade in account.trades if trade.time_ms <= told_ms)
        past.income = deque(row for row in account.income if row.time_ms <= told_ms)
        past.forced, past.updated_ms = account.forced, min(account.updated_ms, told_ms)
        return past
