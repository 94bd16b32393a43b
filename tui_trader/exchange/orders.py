"""Orders, conditional orders and trades as the engine holds them; prices in ticks, quantities in lots."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from tui_trader.exchange.accounts import Account

NEW = "NEW"
PARTIALLY_FILLED = "PARTIALLY_FILLED"
FILLED = "FILLED"
CANCELED = "CANCELED"
EXPIRED = "EXPIRED"
EXPIRED_IN_MATCH = "EXPIRED_IN_MATCH"
REJECTED = "REJECTED"
TRIGGERING = "TRIGGERING"
TRIGGERED = "TRIGGERED"
FINISHED = "FINISHED"
OPEN_STATUSES = frozenset({NEW, PARTIALLY_FILLED})

CONDITIONAL_TYPES = frozenset({"STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"})
TIMES_IN_FORCE = frozenset({"GTC", "IOC", "FOK", "GTX", "GTD"})
ZERO = Decimal(0)


class OrderRequest(msgspec.Struct):
    """A new order as parsed from the wire, before the symbol's filters have been applied."""

    symbol: str
    is_buy: bool
    kind: str
    quantity: Decimal | None = None
    price: Decimal | None = None
    time_in_force: str | None = None
    reduce_only: bool = False
    close_position: bool = False
    client_id: str | None = None
    position_side: str = "BOTH"
    trigger_price: Decimal | None = None
    activate_price: Decimal | None = None
    callback_rate: Decimal | None = None
    working_type: str = "CONTRACT_PRICE"
    price_protect: bool = False
    stp_mode: str = "EXPIRE_MAKER"
    good_till_ms: int = 0


@dataclass(slots=True, eq=False)
class Order:
    """A regular order. `notional` is the sum of ticks x lots of its fills, exact."""

    id: int
    account: Account
    symbol: str
    client_id: str
    is_buy: bool
    kind: str
    time_in_force: str
    price: int
    lots: int
    created_ms: int
    reduce_only: bool = False
    close_position: bool = False
    original_kind: str = ""
    stop_price: int = 0
    working_type: str = "CONTRACT_PRICE"
    price_protect: bool = False
    stp_mode: str = "EXPIRE_MAKER"
    good_till_ms: int = 0
    algo: AlgoOrder | None = None
    status: str = NEW
    filled: int = 0
    notional: int = 0
    updated_ms: int = 0
    realized: Decimal = ZERO
    resting: bool = False
    liquidation: bool = False

    @property
    def remaining(self) -> int:
        """Lots not yet filled."""
        return self.lots - self.filled

    @property
    def is_open(self) -> bool:
        """Whether the order may still trade."""
        return self.status in OPEN_STATUSES


@dataclass(slots=True, eq=False)
class AlgoOrder:
    """A conditional order on the venue's second book."""

    id: int
    account: Account
    symbol: str
    client_id: str
    is_buy: bool
    kind: str
    time_in_force: str
    lots: int
    price: int
    trigger: int
    created_ms: int
    reduce_only: bool = False
    close_position: bool = False
    working_type: str = "CONTRACT_PRICE"
    price_protect: bool = False
    stp_mode: str = "EXPIRE_MAKER"
    good_till_ms: int = 0
    activate: int = 0
    callback_rate: Decimal = ZERO
    activated: bool = False
    extreme: float = 0.0
    """Best price since activation in ticks, trailing stops only."""
    status: str = NEW
    updated_ms: int = 0
    triggered_ms: int = 0
    order: Order | None = None
    reject_reason: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it still waits for its trigger."""
        return self.status == NEW

    @property
    def has_ended(self) -> bool:
        """Whether it is off the venue's second book: triggered, finished, refused or cancelled."""
        return self.status not in {NEW, TRIGGERING}

    @property
    def is_take_profit(self) -> bool:
        """Whether it triggers on a favourable move."""
        return self.kind.startswith("TAKE_PROFIT")

    @property
    def triggers_above(self) -> bool:
        """Whether a price at or above the trigger fires it (a buy stop, a sell take-profit)."""
        return self.is_buy != self.is_take_profit


@dataclass(slots=True, frozen=True)
class AccountTrade:
    """One fill of a participant's order."""

    id: int
    order_id: int
    client_id: str
    symbol: str
    is_buy: bool
    is_maker: bool
    price: Decimal
    quantity: Decimal
    commission: Decimal
    realized: Decimal
    time_ms: int


@dataclass(slots=True, frozen=True)
class IncomeRow:
    """A ledger row: a change of the wallet and why."""

    symbol: str
    kind: str
    amount: Decimal
    time_ms: int
    transaction_id: int
    trade_id: str = ""
    info: str = field(default="")
