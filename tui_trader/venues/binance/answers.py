"""Small REST answers of Binance USDⓈ-M as typed structs, and what they become."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from tui_trader.core.candles import sane
from tui_trader.core.events import Candle
from tui_trader.core.instruments import Instrument
from tui_trader.core.types import LATEST_MS, MINUTE_MS
from tui_trader.errors import VenueUnreachable
from tui_trader.venues.binance.messages import Pair


class ServerTime(msgspec.Struct, rename="camel"):
    """The venue's clock; ``clock_rate`` is the simulated exchange's own field."""

    server_time: int
    clock_rate: float = 1.0


class BookAnswer(msgspec.Struct, rename="camel"):
    """A REST depth snapshot."""

    last_update_id: int
    bids: list[Pair]
    asks: list[Pair]


class InterestAnswer(msgspec.Struct, rename="camel"):
    """Open interest of one contract, in base units."""

    open_interest: float


class ListenKey(msgspec.Struct, rename="camel"):
    """The private stream's key."""

    listen_key: str


class Bracket(msgspec.Struct, rename="camel"):
    """One leverage bracket."""

    initial_leverage: int
    maint_margin_ratio: float


class Brackets(msgspec.Struct):
    """Leverage brackets of one contract, the smallest notional first."""

    symbol: str
    brackets: list[Bracket]


class Restrictions(msgspec.Struct, rename="camel"):
    """What the key may do; None where the venue does not say."""

    enable_withdrawals: bool
    enable_futures: bool = True
    enable_internal_transfer: bool | None = None
    permits_universal_transfer: bool | None = None
    ip_restrict: bool | None = None

    @property
    def can_transfer(self) -> bool | None:
        """Whether any kind of transfer is allowed; None when one is not told and no other is allowed."""
        kinds = (self.enable_internal_transfer, self.permits_universal_transfer)
        return True if any(kinds) else None if None in kinds else False


def with_bracket(row: Instrument, bracket: Bracket | None) -> Instrument:
    """``row`` with the leverage and maintenance rate of its smallest bracket; unchanged when that is impossible."""
    if bracket is None or not (1 <= bracket.initial_leverage <= 500 and 0 < bracket.maint_margin_ratio < 1):
        return row
    return msgspec.structs.replace(
        row, max_leverage=bracket.initial_leverage, maintenance_rate=Decimal(str(bracket.maint_margin_ratio))
    )


def candle(row: list[Any]) -> Candle:
    """One row of klines. Raises ``VenueUnreachable`` for an impossible one: a hole is better asked again than kept."""
    try:
        values = [float(value) for value in row[1:6]]
        open_ms = int(row[0])
    except (TypeError, ValueError, OverflowError, IndexError):
        raise VenueUnreachable("a candle in the venue's answer cannot be read; it is asked again.") from None
    row_of = Candle(open_ms, *values) if len(values) == 5 else None
    if row_of is None or not sane(row_of) or not 0 <= open_ms < LATEST_MS or open_ms % MINUTE_MS:
        raise VenueUnreachable("a candle in the venue's answer is impossible; it is asked again.")
    return row_of
