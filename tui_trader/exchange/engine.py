"""The exchange without sockets: time in steps, markets in, orders in, account events out.

Synchronous and free of clocks and I/O, so that it runs the same behind a server, in a test and under virtual time.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

from tui_trader.exchange.accounts import Account
from tui_trader.exchange.candles import Candle
from tui_trader.exchange.conditional import AlgoDesk
from tui_trader.exchange.contract import STEP_MS, MakerStep, SymbolMarket
from tui_trader.exchange.orders import CANCELED, AlgoOrder, Order, OrderRequest
from tui_trader.exchange.reject import VenueError, missing
from tui_trader.exchange.replica import Replica
from tui_trader.exchange.risk import RiskDesk
from tui_trader.exchange.symbol_state import SymbolState
from tui_trader.exchange.trading import Trading
from tui_trader.exchange.venue import Venue

if TYPE_CHECKING:
    from tui_trader.exchange.faults import Faults


def _ignore_event(account: Account, event: dict[str, object]) -> None:
    """Drop an account event: nobody listens yet."""


def _ignore_restart() -> None:
    """Keep every connection: there are none."""


def _ignore_minute(state: SymbolState, closed: list[Candle]) -> None:
    """Drop a candle close: nobody listens yet."""


class ExchangeEngine:
    """The whole venue. Set `on_user_event` and `on_minute` to receive what it emits."""

    def __init__(self, markets: Mapping[str, SymbolMarket], start_ms: int) -> None:
        self.start_ms = start_ms
        self.on_user_event: Callable[[Account, dict[str, object]], None] = _ignore_event
        self.on_minute: Callable[[SymbolState, list[Candle]], None] = _ignore_minute
        self.on_restart: Callable[[], None] = _ignore_restart
        """Called when the exchange restarts: connections break, listen keys are forgotten."""
        self._later: list[tuple[int, int, Callable[[], None]]] = []
        self._planned = 0
        states = {symbol: SymbolState(market, start_ms) for symbol, market in markets.items()}
        self.venue = Venue(states, start_ms, self._emit)
        self.trading = Trading(self.venue)
        self.algos = AlgoDesk(self.venue, self.trading)
        self.risk = RiskDesk(self.venue, self.trading, self.algos)
        self.next_step_ms = (start_ms // STEP_MS + 1) * STEP_MS

    def _emit(self, account: Account, event: dict[str, object]) -> None:
        self.on_user_event(account, event)

    @property
    def states(self) -> dict[str, SymbolState]:
        """Symbols by name."""
        return self.venue.states

    @property
    def now_ms(self) -> int:
        """The venue's time, ms since the epoch."""
        return self.venue.now_ms

    @property
    def told_ms(self) -> int:
        """The venue's time as it tells it, which a fault can bend."""
        return self.venue.told_ms()

    @property
    def faults(self) -> Faults | None:
        """The faults that the exchange commits inside: in reads, and with conditional orders. None is honest."""
        return self.venue.faults

    @faults.setter
    def faults(self, faults: Faults | None) -> None:
        self.venue.faults = faults
        accounts = self.venue.accounts.values() if faults is not None else ()
        self.venue.replicas = {account: Replica(account) for account in accounts}

    def at(self, time_ms: int, action: Callable[[], None]) -> None:
        """Do something at the first market step at or after a venue time."""
        self._planned += 1
        heapq.heappush(self._later, (time_ms, self._planned, action))

    def touch(self, now_ms: int) -> None:
        """Move the venue's time forward without stepping the market, as a request between two steps does."""
        self.venue.now_ms = max(self.venue.now_ms, now_ms)

    def add_account(self, api_key: str, secret: str, wallet: Decimal) -> Account:
        """Open an account with a deposit of `wallet` USDT."""
        account = Account(len(self.venue.accounts) + 1, api_key, secret, Decimal(0))
        self.venue.accounts[api_key] = account
        if self.faults is not None:
            self.venue.replicas[account] = Replica(account)
        self.venue.income(account, "", "TRANSFER", wallet)
        return account

    def advance_step(self) -> None:
        """Run one market step of every symbol at `next_step_ms`."""
        now = self.next_step_ms
        self.next_step_ms += STEP_MS
        self.touch(now)
        while self._later and self._later[0][0] <= now:
            heapq.heappop(self._later)[2]()
        for state in self.venue.states.values():
            self._step(state, now)
        if self.algos.stuck:
            self.algos.release()
        self.risk.check_accounts()

    def advance_to(self, now_ms: int) -> None:
        """Run every step due by `now_ms`, in order, and set the time to it."""
        while self.next_step_ms <= now_ms:
            self.advance_step()
        self.touch(now_ms)

    def _step(self, state: SymbolState, now: int) -> None:
        closed = state.series.roll(now)
        if closed:
            self.on_minute(state, closed)
        moves = state.market.step(now, state.take_impact())
        if state.halted or state.held:
            moves = self._held_back(state, moves)
        trading = self.trading
        levels = moves.levels
        if moves.repeats:
            eaten = state.book.eaten
            levels = [row for row in levels if row[:2] in eaten] if eaten else []
        if levels:
            trading.apply_levels(state, levels)
            if state.algos:
                self.algos.check(state)
        for is_buy, lots in moves.takers:
            trading.anonymous(state, is_buy, lots)
            if state.algos:
                self.algos.check(state)
        state.refresh(now)
        if state.next_funding_ms <= now:
            self.risk.settle_funding(state)
        trading.settle()
        if state.algos or trading.on_order_done:
            self.algos.check(state)

    def _held_back(self, state: SymbolState, moves: MakerStep) -> MakerStep:
        """Keep the market's quotes while trading is halted, and let them in together when it resumes."""
        state.held.update({(is_bid, price): lots for is_bid, price, lots in moves.levels})
        if state.halted:
            return MakerStep([], [])
        held, state.held = state.held, {}
        return MakerStep([(*key, lots) for key, lots in held.items()], moves.takers)

    def place_order(self, account: Account, request: OrderRequest) -> Order:
        """Place a regular order. Raises `VenueError`."""
        order = self.trading.place(account, request)
        self.algos.check(self.states[order.symbol])
        return order

    def test_order(self, account: Account, request: OrderRequest) -> Order:
        """Validate a regular order without placing it. Raises `VenueError`."""
        return self.trading.build(account, request)[1]

    def place_algo(self, account: Account, request: OrderRequest) -> AlgoOrder:
        """Place a conditional order. Raises `VenueError`."""
        return self.algos.place(account, request)

    def cancel_order(self, order: Order) -> None:
        """Cancel an open order. Raises `VenueError`."""
        self.trading.cancel(order)
        self.algos.sweep(self.states[order.symbol])

    def amend_order(self, order: Order, quantity: Decimal, price: Decimal) -> None:
        """Amend an open limit order. Raises `VenueError`."""
        self.trading.amend(order, quantity, price)
        self.algos.check(self.states[order.symbol])

    def cancel_all(self, account: Account, symbol: str) -> None:
        """Cancel every open regular order of a symbol."""
        for order in account.open_orders(symbol):
            self.trading.expire(order, CANCELED)
        self.algos.sweep(self.venue.state(symbol))

    def cancel_all_algos(self, account: Account, symbol: str) -> None:
        """Cancel every waiting conditional order of a symbol."""
        for algo in account.open_algos(symbol):
            if algo.is_open:
                self.algos.cancel(algo)

    def find_order(
        self, account: Account, symbol: str, order_id: int | None, client_id: str | None, open_only: bool = False
    ) -> Order | None:
        """Return an order by id or by its newest use of a client id."""
        if order_id is None and not client_id:
            raise VenueError(-1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
        if order_id is not None:
            order = account.history.get(order_id)
            found = order if order is not None and order.symbol == symbol else None
        else:
            rows = account.orders if open_only else account.history
            matches = (o for o in reversed(rows.values()) if o.client_id == client_id and o.symbol == symbol)
            found = next(matches, None)
        return None if found is None or (open_only and not found.is_open) else found

    def find_algo(self, account: Account, algo_id: int | None, client_id: str | None) -> AlgoOrder | None:
        """Return a conditional order by id or by its newest use of a client id."""
        if algo_id is None and not client_id:
            raise missing("algoId")
        if algo_id is not None:
            return account.algo_history.get(algo_id)
        matches = (algo for algo in reversed(account.algo_history.values()) if algo.client_id == client_id)
        return next(matches, None)

    def digest(self) -> str:
        """Return a hash of every book, candle and trade counter: equal digests mean equal markets so far."""
        state_hash = hashlib.sha256()
        for symbol, state in sorted(self.states.items()):
            book = state.book
            running = state.series.running
            facts = (
                symbol,
                list(book.bids.levels()),
                list(book.asks.levels()),
                state.trade_id,
                state.last_price,
                [(c.open_ms, c.open, c.high, c.low, c.close, c.volume, c.trades) for c in state.series.minutes[-60:]],
                (running.open_ms, running.close, running.volume, running.trades),
            )
            state_hash.update(repr(facts).encode())
        return state_hash.hexdigest()
