"""What the venue does by itself as time passes: funding, liquidation, order expiry, cancel countdowns."""

from decimal import Decimal

from tui_trader.exchange import margin, user_events
from tui_trader.exchange.accounts import Account, money
from tui_trader.exchange.conditional import AlgoDesk
from tui_trader.exchange.orders import CANCELED, EXPIRED, ZERO, Order
from tui_trader.exchange.symbol_state import SymbolState
from tui_trader.exchange.trading import Trading
from tui_trader.exchange.venue import Venue


class RiskDesk:
    """Runs after each market step, over all accounts."""

    def __init__(self, venue: Venue, trading: Trading, algos: AlgoDesk) -> None:
        self.venue = venue
        self.trading = trading
        self.algos = algos

    def settle_funding(self, state: SymbolState) -> None:
        """Pay funding when its time has come."""
        venue = self.venue
        while state.next_funding_ms <= venue.now_ms:
            due = state.next_funding_ms
            rate = state.market.funding_rate(due - 1)
            state.funding_history.append((due, rate, state.mark))
            state.next_funding_ms = state.market.next_funding_ms(due)
            self.pay_funding(state, Decimal(f"{rate:.8f}"))

    def pay_funding(self, state: SymbolState, rate: Decimal) -> None:
        """Pay funding now: longs pay a positive rate on notional at mark."""
        venue = self.venue
        for account in venue.accounts.values():
            amount = money(-margin.position_notional(account, state) * rate)
            if amount:
                venue.income(account, state.spec.symbol, "FUNDING_FEE", amount)
                event = user_events.account_update(account, "FUNDING_FEE", venue.told_ms(), [], amount)
                venue.emit(account, event)

    def check_accounts(self) -> None:
        """Expire dated orders, run cancel countdowns, liquidate what no longer meets maintenance margin."""
        for account in self.venue.accounts.values():
            if account.has_dated and (account.orders or account.algos):
                self._expire_dated(account)
            if account.countdowns:
                self._run_countdowns(account)
            if self._is_near(account):
                self._liquidate_if_due(account)

    def _is_near(self, account: Account) -> bool:
        """Return whether an account may be near liquidation, quickly and in floats: the exact sum costs 20 times more.

        Far means a margin balance above maintenance by more than 1 % of all notional, far beyond any rounding.
        """
        notional = cushion = 0.0
        for symbol, position in account.positions.items():
            if position.lots:
                state = self.venue.states[symbol]
                value = position.lots * state.lots.unit_float * state.mark
                cost = float(position.cost)
                cushion += value - cost if position.lots > 0 else value + cost
                cushion -= abs(value) * state.maintenance
                notional += abs(value)
        return notional > 0 and float(account.wallet) + cushion < 0.01 * notional

    def _expire_dated(self, account: Account) -> None:
        now = self.venue.told_ms()
        for order in account.open_orders():
            if 0 < order.good_till_ms <= now:
                self.trading.expire(order)
        for algo in account.open_algos():
            if 0 < algo.good_till_ms <= now and algo.is_open:
                self.algos.cancel(algo, EXPIRED)

    def _run_countdowns(self, account: Account) -> None:
        due = [symbol for symbol, at in account.countdowns.items() if at <= self.venue.told_ms()]
        for symbol in due:
            del account.countdowns[symbol]
            for order in account.open_orders(symbol):
                self.trading.expire(order, CANCELED)

    def _liquidate_if_due(self, account: Account) -> None:
        totals = margin.summary(self.venue, account)
        if totals.balance >= totals.maintenance:
            return
        self._clear_orders(account)
        held = [position for position in account.positions.values() if position.lots]
        marks = {position.spec.symbol: self.venue.states[position.spec.symbol] for position in held}
        held.sort(key=lambda position: position.unrealized(marks[position.spec.symbol].mark_decimal()))
        for position in held:
            self._close(account, marks[position.spec.symbol])
            totals = margin.summary(self.venue, account)
            if totals.balance >= totals.maintenance:
                break
        if account.wallet < 0 and not any(position.lots for position in account.positions.values()):
            self._insure(account, "", -account.wallet)

    def _clear_orders(self, account: Account, symbol: str | None = None) -> None:
        for order in account.open_orders(symbol):
            self.trading.expire(order, CANCELED)
        for algo in account.open_algos(symbol):
            if algo.is_open:
                self.algos.cancel(algo, EXPIRED)

    def liquidate(self, account: Account, state: SymbolState) -> None:
        """Liquidate one position whatever its margin: its orders go, then the market takes it."""
        self._clear_orders(account, state.spec.symbol)
        self._close(account, state)

    def close_at_mark(self, account: Account, state: SymbolState, lots: int, client_id: str) -> None:
        """Take `lots` of a position at the mark price, as deleveraging (`adl_autoclose`) and settlement do."""
        now = self.venue.told_ms()
        order = Order(
            id=0,
            account=account,
            symbol=state.spec.symbol,
            client_id=client_id,
            is_buy=account.position(state.spec).lots < 0,
            kind="LIMIT",
            time_in_force="GTC",
            price=state.prices.nearest(state.mark),
            lots=lots,
            created_ms=now,
            updated_ms=now,
            liquidation=True,
        )
        account.forced.append(order)
        self.trading.fill_outright(state, order)
        self.algos.check(state)

    def settle_symbol(self, state: SymbolState) -> None:
        """Close what is still open in a symbol at the end of its settlement: orders first, then positions at mark."""
        for account in self.venue.accounts.values():
            self._clear_orders(account, state.spec.symbol)
            position = account.positions.get(state.spec.symbol)
            if position is not None and position.lots:
                name = f"settlement_autoclose-{self.venue.told_ms()}"
                self.close_at_mark(account, state, abs(position.lots), name)

    def _close(self, account: Account, state: SymbolState) -> None:
        position = account.position(state.spec)
        order = Order(
            id=0,
            account=account,
            symbol=state.spec.symbol,
            client_id=f"autoclose-{self.venue.told_ms()}{position.spec.symbol}"[:36],
            is_buy=position.lots < 0,
            kind="LIQUIDATION",
            time_in_force="IOC",
            price=0,
            lots=abs(position.lots),
            created_ms=self.venue.told_ms(),
            updated_ms=self.venue.told_ms(),
            liquidation=True,
        )
        account.forced.append(order)
        self.trading.accept(state, order)
        fee = money(state.money(order.notional) * state.spec.liquidation_fee)
        if fee:
            self._insure(account, state.spec.symbol, -fee)
        self.algos.check(state)

    def _insure(self, account: Account, symbol: str, amount: Decimal) -> None:
        """Book the clearance fee to the insurance fund, or its payment that lifts a negative wallet to zero."""
        self.venue.income(account, symbol, "INSURANCE_CLEAR", amount or ZERO)
        event = user_events.account_update(account, "INSURANCE_CLEAR", self.venue.told_ms(), [], amount)
        self.venue.emit(account, event)
