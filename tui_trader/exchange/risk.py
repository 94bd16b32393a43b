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
        """Pay funding when its time has come: longs pay a positive rate on notional at mark."""
        venue = self.venue
        while state.next_funding_ms <= venue.now_ms:
            due = state.next_funding_ms
            rate = state.market.funding_rate(due - 1)
            state.funding_history.append((due, rate, state.mark))
            state.next_funding_ms = state.market.next_funding_ms(due)
            exact = Decimal(f"{rate:.8f}")
            for account in venue.accounts.values():
                amount = money(-margin.position_notional(account, state) * exact)
                if amount:
                    venue.income(account, state.spec.symbol, "FUNDING_FEE", amount)
                    event = user_events.account_update(account, "FUNDING_FEE", venue.now_ms, [], amount)
                    venue.emit(account, event)

    def check_accounts(self) -> None:
        """Expire dated orders, run cancel countdowns, liquidate what no longer meets maintenance margin."""
        for account in self.venue.accounts.values():
            if account.orders or account.algos:
                self._expire_dated(account)
            if account.countdowns:
                self._run_countdowns(account)
            if any(position.lots for position in account.positions.values()):
                self._liquidate_if_due(account)

    def _expire_dated(self, account: Account) -> None:
        now = self.venue.now_ms
        for order in account.open_orders():
            if 0 < order.good_till_ms <= now:
                self.trading.expire(order)
        for algo in account.open_algos():
            if 0 < algo.good_till_ms <= now:
                self.algos.cancel(algo, EXPIRED)

    def _run_countdowns(self, account: Account) -> None:
        due = [symbol for symbol, at in account.countdowns.items() if at <= self.venue.now_ms]
        for symbol in due:
            del account.countdowns[symbol]
            for order in account.open_orders(symbol):
                self.trading.expire(order, CANCELED)

    def _liquidate_if_due(self, account: Account) -> None:
        totals = margin.summary(self.venue, account)
        if totals.balance >= totals.maintenance:
            return
        for order in account.open_orders():
            self.trading.expire(order, CANCELED)
        for algo in account.open_algos():
            self.algos.cancel(algo, EXPIRED)
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

    def _close(self, account: Account, state: SymbolState) -> None:
        position = account.position(state.spec)
        order = Order(
            id=0,
            account=account,
            symbol=state.spec.symbol,
            client_id=f"autoclose-{self.venue.now_ms}{position.spec.symbol}"[:36],
            is_buy=position.lots < 0,
            kind="LIQUIDATION",
            time_in_force="IOC",
            price=0,
            lots=abs(position.lots),
            created_ms=self.venue.now_ms,
            updated_ms=self.venue.now_ms,
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
        event = user_events.account_update(account, "INSURANCE_CLEAR", self.venue.now_ms, [], amount)
        self.venue.emit(account, event)
