"""The venue's order filters with their codes and texts. Returns ticks and lots; raises `VenueError`."""

import re
from decimal import Decimal

from tui_trader.exchange.orders import OrderRequest
from tui_trader.exchange.reject import VenueError, missing
from tui_trader.exchange.symbol_state import SymbolState
from tui_trader.exchange.wire import trimmed

MAX_OPEN_ORDERS = 200
MAX_ALGO_ORDERS = 200
_CLIENT_ID = re.compile(r"^[.A-Z:/a-z0-9_-]{1,36}\Z")


def check_client_id(text: str | None) -> None:
    """Raise -4015 unless the client order id has the legal form."""
    if text is not None and not _CLIENT_ID.match(text):
        raise VenueError(-4015, "Client order id is not valid.")


def price_ticks(state: SymbolState, price: Decimal | None, name: str = "price") -> int:
    """Apply PRICE_FILTER."""
    if price is None:
        raise missing(name)
    spec = state.spec
    if price <= 0 or price < spec.min_price:
        if price <= 0:
            raise VenueError(-4001, "Price less than 0.") if price < 0 else missing(name)
        raise VenueError(-4013, f"Price less than min price: {trimmed(spec.min_price)}.")
    if price > spec.max_price:
        raise VenueError(-4002, "Price greater than max price.")
    exponent = price.normalize().as_tuple().exponent
    if isinstance(exponent, int) and -exponent > state.prices.places:
        raise VenueError(-1111, "Precision is over the maximum defined for this asset.")
    ticks = state.prices.units(price)
    if ticks is None:
        raise VenueError(-4014, "Price not increased by tick size.")
    return ticks


def quantity_lots(state: SymbolState, quantity: Decimal | None, market: bool) -> int:
    """Apply LOT_SIZE, or MARKET_LOT_SIZE for market orders."""
    if quantity is None:
        raise missing("quantity")
    spec = state.spec
    if quantity <= 0:
        raise VenueError(-4003, "Quantity less than or equal to zero.")
    if quantity < spec.min_qty:
        raise VenueError(-4004, "Quantity less than min quantity.")
    if quantity > (spec.market_max_qty if market else spec.max_qty):
        raise VenueError(-4005, "Quantity greater than max quantity.")
    exponent = quantity.normalize().as_tuple().exponent
    if isinstance(exponent, int) and -exponent > state.lots.places:
        raise VenueError(-1111, "Precision is over the maximum defined for this asset.")
    lots = state.lots.units(quantity)
    step = spec.market_step_size if market else spec.step_size
    if lots is None or (step and quantity % step):
        raise VenueError(-4023, "Quantity not increased by step size.")
    return lots


def percent_bounds(state: SymbolState) -> tuple[Decimal, Decimal]:
    """Return the lowest sell and the highest buy price that PERCENT_PRICE allows, around the mark price."""
    mark = state.mark_decimal()
    return mark * state.spec.multiplier_down, mark * state.spec.multiplier_up


def check_percent_price(state: SymbolState, is_buy: bool, ticks: int) -> None:
    """Apply PERCENT_PRICE to a limit price."""
    low, high = percent_bounds(state)
    price = state.prices.decimal(ticks)
    places = Decimal(1).scaleb(-state.prices.places)
    if is_buy and price > high:
        raise VenueError(-4016, f"Limit price can't be higher than {high.quantize(places)}.")
    if not is_buy and price < low:
        raise VenueError(-4024, f"Limit price can't be lower than {low.quantize(places)}.")


def check_market_price(state: SymbolState, is_buy: bool) -> None:
    """Refuse a market order whose first fill would lie outside PERCENT_PRICE, or that has no counterparty."""
    best = state.book.side(not is_buy).best()
    low, high = percent_bounds(state)
    price = None if best is None else state.prices.decimal(best)
    if price is None or (price > high if is_buy else price < low):
        text = "The counterparty's best price does not meet the PERCENT_PRICE filter limit."
        raise VenueError(-4131, text)


def check_notional(state: SymbolState, request: OrderRequest, ticks: int, lots: int) -> None:
    """Apply MIN_NOTIONAL at the order's price (mark price for market orders); reduce-only is exempt."""
    if request.reduce_only:
        return
    price = state.prices.decimal(ticks) if ticks else state.mark_decimal()
    minimum = state.spec.min_notional
    if price * state.lots.decimal(lots) < minimum:
        text = f"Order's notional must be no smaller than {trimmed(minimum)} (unless you choose reduce only)."
        raise VenueError(-4164, text)


def check_symbol_open(state: SymbolState, reduce_only: bool) -> None:
    """Refuse orders in symbols that do not trade."""
    if state.is_trading or (state.status == "SETTLING" and reduce_only):
        return
    if reduce_only or state.status in {"CLOSE", "SETTLING", "DELIVERED"}:
        raise VenueError(-4141, "Symbol is closed.")
    raise VenueError(-4140, "Invalid symbol status for opening position.")
