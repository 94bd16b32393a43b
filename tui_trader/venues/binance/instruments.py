"""exchangeInfo and fundingInfo to instruments."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from tui_trader.core.instruments import Instrument
from tui_trader.venues.binance.orders import WireError, number
from tui_trader.venues.text import clean, is_symbol


class Filter(msgspec.Struct, rename="camel"):
    """One filter; only the fields of its type are set."""

    filter_type: str
    tick_size: Decimal | None = None
    step_size: Decimal | None = None
    min_qty: Decimal | None = None
    max_qty: Decimal | None = None
    notional: Decimal | None = None
    multiplier_up: Decimal | None = None
    multiplier_down: Decimal | None = None


class SymbolInfo(msgspec.Struct, rename="camel"):
    """One contract."""

    symbol: str
    base_asset: str
    quote_asset: str
    status: str
    contract_type: str = "PERPETUAL"
    maint_margin_percent: Decimal = Decimal("2.5")
    filters: list[Filter] = []


class RateLimit(msgspec.Struct, rename="camel"):
    """One limit of the venue."""

    rate_limit_type: str
    interval: str
    interval_num: int
    limit: int


class ExchangeInfo(msgspec.Struct, rename="camel"):
    """What exchangeInfo answers; rows are converted one by one, so that one odd row does not hide the others."""

    symbols: list[dict[str, object]]
    rate_limits: list[dict[str, object]] = []


class FundingInfo(msgspec.Struct, rename="camel"):
    """Funding interval of one contract; an odd one must not hide the others, nor the rules of all contracts."""

    symbol: object = ""
    funding_interval_hours: object = 8


class Limits(msgspec.Struct, frozen=True):
    """Request weight a minute and orders in 10 s and a minute; the documented ones where nothing else is known."""

    weight: int = 2400
    orders_10s: int = 300
    orders_1m: int = 1200


_SPAN = 4
"""A limit that many times below or above the documented one is damage or a lie: it would let the address be banned, or
keep exits from leaving."""
_LIMIT_NAMES = {
    ("REQUEST_WEIGHT", "MINUTE", 1): "weight",
    ("ORDERS", "SECOND", 10): "orders_10s",
    ("ORDERS", "MINUTE", 1): "orders_1m",
}


def limits(rows: list[dict[str, object]]) -> tuple[Limits, list[str]]:
    """The venue's limits, and in words what of them is not believed; the documented limit stands in its place."""
    found, odd = Limits(), []
    missing = dict(_LIMIT_NAMES)
    for raw in rows:
        try:
            row = msgspec.convert(raw, RateLimit, strict=False)
        except (msgspec.ValidationError, ValueError):
            continue
        name = missing.pop((row.rate_limit_type, row.interval, row.interval_num), None)
        if name is None:
            continue
        documented: int = getattr(Limits(), name)
        if documented // _SPAN <= row.limit <= documented * _SPAN:
            found = msgspec.structs.replace(found, **{name: row.limit})
        else:
            odd.append(f"{_shown(row)} is {row.limit if abs(row.limit) < 10**15 else 'absurd'}, not {documented}")
    return found, odd + [f"no limit is told for {what} in {count} {span}" for what, span, count in missing]


def _shown(row: RateLimit) -> str:
    return f"{row.rate_limit_type} in {row.interval_num} {row.interval}"


def _positive(value: Decimal | None, what: str) -> Decimal:
    if value is None or number(value) <= 0:
        raise WireError(f"{what} is missing or not positive")
    return value


def instrument(info: SymbolInfo, funding_hours: int = 8) -> Instrument:
    """The rules of one contract. Raises ``WireError`` when a filter that sizing needs is missing: a missing filter must
    refuse, not default (I12)."""
    if not is_symbol(info.symbol):
        raise WireError("the symbol is not ASCII capitals and digits")
    filters = {row.filter_type: row for row in info.filters}
    try:
        price, lot, notional = filters["PRICE_FILTER"], filters["LOT_SIZE"], filters["MIN_NOTIONAL"]
        percent = filters["PERCENT_PRICE"]
    except KeyError as error:
        raise WireError(f"the filter {error} is missing") from None
    market = filters.get("MARKET_LOT_SIZE", lot)
    step = _positive(lot.step_size, "stepSize")
    market_step = number(market.step_size or step)
    maintenance = number(info.maint_margin_percent) / 100
    found = Instrument(
        symbol=info.symbol,
        base_asset=clean(info.base_asset, 32),
        quote_asset=clean(info.quote_asset, 32),
        tick_size=_positive(price.tick_size, "tickSize"),
        step_size=step,
        market_step_size=market_step if market_step > 0 else step,
        min_qty=_positive(lot.min_qty, "minQty"),
        max_qty=_positive(lot.max_qty, "maxQty"),
        market_max_qty=_positive(market.max_qty, "maxQty of market orders"),
        min_notional=_positive(notional.notional, "notional"),
        multiplier_up=_positive(percent.multiplier_up, "multiplierUp"),
        multiplier_down=_positive(percent.multiplier_down, "multiplierDown"),
        maintenance_rate=maintenance,
        funding_interval_hours=funding_hours if 1 <= funding_hours <= 24 else 8,
        status=clean(info.status, 32),
    )
    if found.min_qty > min(found.max_qty, found.market_max_qty):
        raise WireError("the smallest quantity is above the largest")
    if not found.multiplier_down <= 1 <= found.multiplier_up or not 0 < maintenance < 1:
        raise WireError("the price band or the maintenance margin is impossible")
    return found


def instruments(info: ExchangeInfo, funding: list[FundingInfo]) -> tuple[tuple[Instrument, ...], list[str]]:
    """All USDT perpetuals, and what was left out and why."""
    hours = {row.symbol: row.funding_interval_hours for row in funding if isinstance(row.symbol, str)}
    found: list[Instrument] = []
    odd: list[str] = []
    for raw in info.symbols:
        try:
            row = msgspec.convert(raw, SymbolInfo, strict=False)
            if row.quote_asset != "USDT" or row.contract_type != "PERPETUAL":
                continue
            interval = hours.get(row.symbol)
            found.append(instrument(row, interval if isinstance(interval, int) else 8))
        except (msgspec.ValidationError, ValueError) as error:
            odd.append(clean(f"{raw.get('symbol', '?')}: {error}", 160))
    return tuple(found), odd
