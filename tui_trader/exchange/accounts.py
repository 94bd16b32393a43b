"""Accounts: USDT wallet, cross-margin positions in one-way mode, fees, realised profit and the income ledger.

Every change of the wallet is one ledger row, so wallet change = realised - fees +- funding +- insurance, exactly.
"""

from collections import deque
from decimal import ROUND_HALF_EVEN, Decimal

from tui_trader.exchange.contract import SymbolSpec
from tui_trader.exchange.orders import ZERO, AccountTrade, AlgoOrder, IncomeRow, Order

CENT = Decimal("0.00000001")
MAKER_FEE = Decimal("0.0002")
TAKER_FEE = Decimal("0.0005")
DEFAULT_LEVERAGE = 20
_HISTORY = 20_000


def money(value: Decimal) -> Decimal:
    """Round an amount of USDT to the venue's eight decimals."""
    return value.quantize(CENT, rounding=ROUND_HALF_EVEN)


class Position:
    """A one-way position: signed lots and the exact cost of what is open (USDT, positive for both sides)."""

    __slots__ = ("cost", "fees", "lots", "opened_ms", "realized", "spec", "updated_ms")

    def __init__(self, spec: SymbolSpec) -> None:
        self.spec = spec
        self.lots = 0
        self.cost = ZERO
        self.realized = ZERO
        self.fees = ZERO
        self.updated_ms = 0
        self.opened_ms = 0
        """Venue time at which it last became other than flat."""

    @property
    def quantity(self) -> Decimal:
        """Signed base quantity."""
        return self.spec.step_size * self.lots

    @property
    def entry_price(self) -> Decimal:
        """Average entry price; 0 when flat."""
        return self.cost / abs(self.quantity) if self.lots else ZERO

    @property
    def break_even_price(self) -> Decimal:
        """Price at which closing pays for the fees so far; 0 when flat."""
        if not self.lots:
            return ZERO
        return self.entry_price + self.fees / self.quantity

    def unrealized(self, mark: Decimal) -> Decimal:
        """Return the profit at `mark`, in USDT."""
        if not self.lots:
            return ZERO
        value = abs(self.quantity) * mark
        return money(value - self.cost if self.lots > 0 else self.cost - value)

    def reducible(self, is_buy: bool) -> int:
        """Return the lots an order of that side could close."""
        return max(-self.lots if is_buy else self.lots, 0)

    def apply(self, is_buy: bool, lots: int, price: Decimal) -> Decimal:
        """Book a fill and return the profit it realised, rounded to the venue's decimals."""
        closing = min(lots, self.reducible(is_buy))
        realized = ZERO
        if closing:
            share = self.cost if closing == abs(self.lots) else money(self.cost * closing / abs(self.lots))
            proceeds = price * self.spec.step_size * closing
            realized = money(proceeds - share if self.lots > 0 else share - proceeds)
            self.cost -= share
            self.lots += closing if is_buy else -closing
        if not self.lots:
            self.cost = ZERO
            self.fees = ZERO
        opening = lots - closing
        if opening:
            self.cost += price * self.spec.step_size * opening
            self.lots += opening if is_buy else -opening
        self.realized += realized
        return realized


class Account:
    """One participant: keys, wallet, positions, orders and their history."""

    def __init__(self, number: int, api_key: str, secret: str, wallet: Decimal) -> None:
        self.number = number
        self.api_key = api_key
        self.secret = secret
        self.wallet = wallet
        self.can_withdraw = False
        self.dual_side = False
        """Hedge mode: orders without a position side are refused."""
        self.positions: dict[str, Position] = {}
        self.leverage: dict[str, int] = {}
        self.orders: dict[int, Order] = {}
        """Open regular orders by id."""
        self.history: dict[int, Order] = {}
        """Every order the account ever had, open or not, by id; the oldest are dropped first."""
        self.algos: dict[int, AlgoOrder] = {}
        """Conditional orders that wait for their trigger, by id."""
        self.algo_history: dict[int, AlgoOrder] = {}
        self.trades: deque[AccountTrade] = deque(maxlen=_HISTORY)
        self.income: deque[IncomeRow] = deque(maxlen=_HISTORY)
        self.forced: deque[Order] = deque(maxlen=1000)
        """Liquidation orders."""
        self.has_dated = False
        """Whether it ever sent an order that ends at a date."""
        self.countdowns: dict[str, int] = {}
        """Symbol to the venue time at which its orders are cancelled."""
        self.updated_ms = 0

    def position(self, spec: SymbolSpec) -> Position:
        """Return the position of a symbol, flat when it never traded."""
        position = self.positions.get(spec.symbol)
        if position is None:
            position = self.positions[spec.symbol] = Position(spec)
        return position

    def leverage_of(self, spec: SymbolSpec) -> int:
        """Return the leverage set for a symbol."""
        return self.leverage.get(spec.symbol, min(DEFAULT_LEVERAGE, spec.max_leverage))

    def remember(self, order: Order) -> None:
        """Add an order to the history."""
        self.history[order.id] = order
        if len(self.history) > _HISTORY:
            for key in [key for key, old in list(self.history.items())[: _HISTORY // 10] if not old.is_open]:
                del self.history[key]

    def remember_algo(self, algo: AlgoOrder) -> None:
        """Add a conditional order to the history."""
        self.algo_history[algo.id] = algo
        if len(self.algo_history) > _HISTORY:
            for key in [key for key, old in list(self.algo_history.items())[: _HISTORY // 10] if not old.is_open]:
                del self.algo_history[key]

    def open_orders(self, symbol: str | None = None) -> list[Order]:
        """Return open regular orders, oldest first."""
        return [order for order in self.orders.values() if symbol is None or order.symbol == symbol]

    def open_algos(self, symbol: str | None = None) -> list[AlgoOrder]:
        """Return waiting conditional orders, oldest first."""
        return [algo for algo in self.algos.values() if symbol is None or algo.symbol == symbol]

    def book_income(self, row: IncomeRow) -> None:
        """Add a ledger row and move the wallet by its amount."""
        self.wallet += row.amount
        self.income.append(row)
