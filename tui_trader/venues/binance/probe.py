"""The canary: whether the venue still takes the orders that exits are made of, asked without risk.

``POST /fapi/v1/order/test`` checks a regular order and never places it. For conditional orders the venue has no such
question; there the first real stop is the canary: refused for an unknown reason, it flattens and halts.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_CEILING, Decimal

import msgspec

from tui_trader.core.commands import Approval, PlaceOrder
from tui_trader.core.instruments import Instrument
from tui_trader.core.types import ZERO, Leg, OrderSide, OrderType, dec
from tui_trader.errors import VenueRefused, VenueUnreachable
from tui_trader.venues.binance import orders as wire
from tui_trader.venues.binance.rest import Rest

_FAVOURITE = "BTCUSDT"
_ID = "tt-canary-0-cl-0"
_USE_OTHER_ENDPOINT = -4120
_MALFORMED = range(-1199, -1099)
"""Binance's 11xx: a parameter is missing, unknown or malformed. Any other refusal shows that the order was understood
(-2022 reduce-only rejected is the usual one without a position)."""


class _Mark(msgspec.Struct, rename="camel"):
    mark_price: Decimal


async def probe(rest: Rest, instruments: Iterable[Instrument]) -> tuple[str, ...]:
    """What the venue does not understand any more, in words. Raises ``VenueError`` when it could not be asked."""
    trading = [row for row in instruments if row.trading]
    instrument = next((row for row in trading if row.symbol == _FAVOURITE), trading[0] if trading else None)
    if instrument is None:
        return ()
    answer: _Mark = await rest.read(_Mark, "premiumIndex", {"symbol": instrument.symbol})
    if not (answer.mark_price.is_finite() and answer.mark_price > 0):
        raise VenueUnreachable("the canary found no mark price.")
    found = []
    for kind in (OrderType.MARKET, OrderType.LIMIT):
        try:
            await rest.write("order/test", wire.place_params(_order(instrument, kind, answer.mark_price)))
        except VenueRefused as error:
            if error.code in _MALFORMED or error.code == _USE_OTHER_ENDPOINT:
                found.append(f"it does not take a reduce-only {kind.value} order any more: {error}")
    return tuple(found)


def _order(instrument: Instrument, kind: OrderType, mark: Decimal) -> PlaceOrder:
    steps = (instrument.min_notional / mark / instrument.step_size).to_integral_value(ROUND_CEILING)
    qty = instrument.ceil_market_qty(max(instrument.min_qty, steps * instrument.step_size))
    return PlaceOrder(
        ts=0,
        client_id=_ID,
        plan_id=0,
        leg=Leg.CLOSE,
        symbol=instrument.symbol,
        side=OrderSide.SELL,
        type=kind,
        qty=qty,
        price=ZERO if kind is OrderType.MARKET else instrument.ceil_price(mark * dec("1.01")),
        reduce_only=True,
        approval=Approval(sequence=0, max_qty=qty, exit=True),
    )
