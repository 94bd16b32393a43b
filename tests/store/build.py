"""Orders and records for the tests of the store."""

from __future__ import annotations

from decimal import Decimal

from tui_trader.core.commands import Approval, CancelOrder, PlaceOrder, Record
from tui_trader.core.types import Leg, OrderSide, OrderType, VenueBook

NOW = 1_790_000_000_000


def place(client_id: str = "tt-epoch01-1-en-0", *, leg: Leg = Leg.ENTRY, plan_id: int = 1) -> PlaceOrder:
    """A market entry, or an exit when ``leg`` is not the entry."""
    leaves = leg is not Leg.ENTRY
    return PlaceOrder(
        ts=NOW,
        client_id=client_id,
        plan_id=plan_id,
        leg=leg,
        symbol="BTCUSDT",
        side=OrderSide.SELL if leaves else OrderSide.BUY,
        type=OrderType.STOP_MARKET if leaves else OrderType.MARKET,
        qty=Decimal("0.046"),
        trigger_price=Decimal("42850") if leaves else Decimal(0),
        reduce_only=leaves,
        approval=Approval(sequence=1, max_qty=Decimal("0.046"), exit=leaves),
    )


def cancel(client_id: str) -> CancelOrder:
    """A cancel of a regular order."""
    return CancelOrder(ts=NOW, client_id=client_id, symbol="BTCUSDT", book=VenueBook.REGULAR)


def record(kind: str, *, durable: bool = False, **data: object) -> Record:
    """A row."""
    return Record(ts=NOW, kind=kind, data=data, durable=durable)
