"""Cross margin: what positions and open orders bind, what is free, where liquidation starts.

Initial margin of a symbol is its worst-case exposure (position plus all open orders of one side, reduce-only orders
left out) divided by its leverage; maintenance margin is position notional at mark times the symbol's rate.
"""

from dataclasses import dataclass
from decimal import Decimal

from tui_trader.exchange.accounts import Account
from tui_trader.exchange.orders import ZERO
from tui_trader.exchange.symbol_state import SymbolState
from tui_trader.exchange.venue import Venue

MAX_NOTIONAL = Decimal(100_000_000)
"""Largest position notional of a symbol, USDT: the cap of its single leverage bracket."""


@dataclass(slots=True, frozen=True)
class MarginSummary:
    """Totals of an account in USDT."""

    wallet: Decimal
    unrealized: Decimal
    position_initial: Decimal
    order_initial: Decimal
    maintenance: Decimal

    @property
    def balance(self) -> Decimal:
        """Wallet plus unrealised profit."""
        return self.wallet + self.unrealized

    @property
    def initial(self) -> Decimal:
        """All initial margin bound."""
        return self.position_initial + self.order_initial

    @property
    def available(self) -> Decimal:
        """Free for new orders, never negative."""
        return max(self.balance - self.initial, ZERO)


def open_notionals(account: Account, state: SymbolState) -> tuple[Decimal, Decimal]:
    """Return the notional of open buy and sell orders that are not reduce-only."""
    sums = [0, 0]
    for order in account.orders.values():
        if order.symbol == state.spec.symbol and not order.reduce_only:
            sums[0 if order.is_buy else 1] += order.price * order.remaining
    return state.money(sums[0]), state.money(sums[1])


def position_notional(account: Account, state: SymbolState) -> Decimal:
    """Return the signed position notional at mark."""
    position = account.positions.get(state.spec.symbol)
    return position.quantity * state.mark_decimal() if position and position.lots else ZERO


def exposure(account: Account, state: SymbolState, buys: Decimal = ZERO, sells: Decimal = ZERO) -> Decimal:
    """Return the worst-case notional of a symbol with extra open order notional on either side."""
    signed = position_notional(account, state)
    bids, asks = open_notionals(account, state)
    return max(abs(signed + bids + buys), abs(signed - asks - sells))


def active_symbols(account: Account) -> set[str]:
    """Return the symbols with a position or an open order."""
    held = {symbol for symbol, position in account.positions.items() if position.lots}
    return held | {order.symbol for order in account.orders.values()}


def summary(venue: Venue, account: Account) -> MarginSummary:
    """Return the account's totals at the current mark prices."""
    unrealized = position_initial = order_initial = maintenance = ZERO
    for symbol in active_symbols(account):
        state = venue.states[symbol]
        leverage = account.leverage_of(state.spec)
        notional = abs(position_notional(account, state))
        position = account.positions.get(symbol)
        if position is not None:
            unrealized += position.unrealized(state.mark_decimal())
        position_initial += notional / leverage
        order_initial += (exposure(account, state) - notional) / leverage
        maintenance += notional * state.spec.maintenance_rate
    return MarginSummary(account.wallet, unrealized, position_initial, order_initial, maintenance)


def liquidation_price(venue: Venue, account: Account, state: SymbolState) -> Decimal:
    """Return the mark price at which the account's margin meets maintenance, all else unchanged; 0 when none."""
    position = account.positions.get(state.spec.symbol)
    if position is None or not position.lots:
        return ZERO
    totals = summary(venue, account)
    mark = state.mark_decimal()
    size = abs(position.quantity)
    rate = state.spec.maintenance_rate
    own_maintenance = size * mark * rate
    cushion = totals.wallet + totals.unrealized - position.unrealized(mark) - (totals.maintenance - own_maintenance)
    if position.lots > 0:
        price = (position.cost - cushion) / (size * (1 - rate))
    else:
        price = (position.cost + cushion) / (size * (1 + rate))
    return max(price, ZERO)
