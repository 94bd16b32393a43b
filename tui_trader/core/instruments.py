"""Instruments: the venue's filters and the exact rounding of prices and quantities to them."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal

import msgspec

from tui_trader.core.types import ZERO, Side

CLOSING = frozenset({"PRE_DELIVERING", "DELIVERING", "DELIVERED", "PRE_SETTLE", "SETTLING", "CLOSE"})
"""Statuses (Binance ``status``/``contractStatus``) of a contract that ends; a break in trading is none of them."""


class Instrument(msgspec.Struct, frozen=True):
    """Static trading rules of one perpetual contract. Prices in quote (USDT), quantities in base."""

    symbol: str
    base_asset: str
    quote_asset: str = "USDT"
    tick_size: Decimal = Decimal("0.01")
    step_size: Decimal = Decimal("0.001")
    market_step_size: Decimal = Decimal("0.001")
    min_qty: Decimal = Decimal("0.001")
    max_qty: Decimal = Decimal("1000000")
    market_max_qty: Decimal = Decimal("1000000")
    min_notional: Decimal = Decimal("5")
    multiplier_up: Decimal = Decimal("1.05")
    multiplier_down: Decimal = Decimal("0.95")
    max_leverage: int = 125
    maintenance_rate: Decimal = Decimal("0.005")
    maker_fee: Decimal = Decimal("0.0002")
    taker_fee: Decimal = Decimal("0.0005")
    funding_interval_hours: int = 8
    status: str = "TRADING"

    @property
    def trading(self) -> bool:
        """True when the venue accepts new positions in this contract."""
        return self.status == "TRADING"

    @property
    def closing(self) -> bool:
        """True when the venue is about to settle the contract: a position in it should be left."""
        return self.status in CLOSING

    def floor_qty(self, qty: Decimal, *, market: bool = False) -> Decimal:
        """``qty`` rounded down to the step (the market step when the order is a market order)."""
        step = max(self.step_size, self.market_step_size) if market else self.step_size
        return (qty / step).to_integral_value(ROUND_FLOOR) * step if qty > 0 else ZERO

    def ceil_market_qty(self, qty: Decimal) -> Decimal:
        """``qty`` rounded up to the market step and the minimum: for reduce-only orders, capped at what is open."""
        step = max(self.step_size, self.market_step_size)
        return (max(qty, self.min_qty) / step).to_integral_value(ROUND_CEILING) * step if qty > 0 else ZERO

    def floor_price(self, price: Decimal) -> Decimal:
        """The nearest tick at or below ``price``."""
        return (price / self.tick_size).to_integral_value(ROUND_FLOOR) * self.tick_size

    def ceil_price(self, price: Decimal) -> Decimal:
        """The nearest tick at or above ``price``."""
        return (price / self.tick_size).to_integral_value(ROUND_CEILING) * self.tick_size

    def near_price(self, price: Decimal) -> Decimal:
        """The nearest tick to ``price``, halves up."""
        return (price / self.tick_size).to_integral_value(ROUND_HALF_UP) * self.tick_size

    def round_away_from_risk(self, price: Decimal, side: Side) -> Decimal:
        """An exit price of a ``side`` position on the tick that loses less: up for long, down for short."""
        return self.ceil_price(price) if side is Side.LONG else self.floor_price(price)

    def tradeable_qty(self, qty: Decimal, price: Decimal, *, reduce_only: bool = False) -> bool:
        """Whether an order of ``qty`` at ``price`` passes min quantity and min notional.

        The venue exempts reduce-only orders from the minimum notional (Binance's error -4164: "unless reduce-only").
        """
        if qty < self.min_qty or qty <= 0:
            return False
        return reduce_only or qty * price >= self.min_notional

    def is_dust(self, qty: Decimal, price: Decimal) -> bool:
        """Whether an open ``qty`` is below what the venue trades, so that it may refuse even to close it."""
        return 0 < qty < self.min_qty or 0 < qty * price < self.min_notional


def stand_in(symbol: str, qty: Decimal, price: Decimal) -> Instrument:
    """The rules of a symbol of which the venue gives none (it was delisted, or is not traded here), for exits alone: an
    amount or a price as fine as one that it has itself.
    """
    step, tick = (Decimal(1).scaleb(min(0, int(value.as_tuple().exponent))) for value in (qty, price))
    return Instrument(
        symbol=symbol,
        base_asset="",
        tick_size=tick,
        step_size=step,
        market_step_size=step,
        min_qty=step,
        status="UNKNOWN",
    )
