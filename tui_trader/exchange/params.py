"""Request parameters read strictly: wrong ones end in the venue's own error bodies."""

from collections.abc import Collection, Mapping
from decimal import Decimal
from urllib.parse import parse_qsl

from tui_trader.exchange.orders import OrderRequest
from tui_trader.exchange.reject import VenueError, illegal, invalid, missing
from tui_trader.exchange.wire import parse_decimal

_INTEGER = r"^[0-9]{1,20}$"
_MAX_PARAMETERS = 64


def parse_pairs(query: str, body: str) -> dict[str, str]:
    """Return the parameters of a query string and a form body; -1101 when one is sent twice or too many are."""
    pairs = parse_qsl(query, keep_blank_values=True) + parse_qsl(body, keep_blank_values=True)
    if len(pairs) > _MAX_PARAMETERS:
        raise VenueError(-1101, "Too many parameters sent for this endpoint.")
    params = dict(pairs)
    if len(params) != len(pairs):
        raise VenueError(-1101, "Duplicate values for a parameter detected.")
    return params


class Params:
    """Typed access to request parameters."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def has(self, name: str) -> bool:
        """Return whether a non-empty value was sent."""
        return bool(self._values.get(name))

    def text(self, name: str) -> str | None:
        """Return a value or None when absent or empty."""
        return self._values.get(name) or None

    def required(self, name: str) -> str:
        """Return a value; raise -1102 when absent."""
        value = self._values.get(name)
        if not value:
            raise missing(name)
        return value

    def integer(self, name: str) -> int | None:
        """Return a non-negative integer or None; raise -1100 when it is none."""
        value = self.text(name)
        if value is None:
            return None
        if not (value.isascii() and value.isdigit() and len(value) <= 20):
            raise illegal(name, _INTEGER)
        return int(value)

    def limit(self, default: int, maximum: int) -> int:
        """Return `limit`; raise -1130 outside 1..maximum."""
        value = self.integer("limit")
        if value is None:
            return default
        if not 1 <= value <= maximum:
            raise invalid("limit")
        return value

    def decimal(self, name: str) -> Decimal | None:
        """Return a decimal or None; raise -1100 when it is none."""
        value = self.text(name)
        return None if value is None else parse_decimal(name, value)

    def boolean(self, name: str) -> bool:
        """Return a flag, false when absent; raise -1130 for anything but true and false."""
        value = (self.text(name) or "false").lower()
        if value not in {"true", "false"}:
            raise invalid(name)
        return value == "true"

    def span(self) -> tuple[int, int]:
        """Return startTime and endTime with open ends filled in; raise -1023 when reversed."""
        start, end = self.integer("startTime"), self.integer("endTime")
        low, high = start or 0, 2**62 if end is None else end
        if low > high:
            raise VenueError(-1023, "Start time is greater than end time.")
        return low, high

    def choice(self, name: str, allowed: Collection[str], default: str) -> str:
        """Return one of the allowed values; raise -1130 for another."""
        value = self.text(name) or default
        if value not in allowed:
            raise invalid(name)
        return value


def order_request(params: Params, client_name: str = "newClientOrderId") -> OrderRequest:
    """Read the parameters of a new order or conditional order."""
    side = params.required("side").upper()
    if side not in {"BUY", "SELL"}:
        raise VenueError(-1117, "Invalid side.")
    if params.has("priceMatch") and params.text("priceMatch") != "NONE":
        raise invalid("priceMatch")
    return OrderRequest(
        symbol=params.required("symbol"),
        is_buy=side == "BUY",
        kind=params.required("type").upper(),
        quantity=params.decimal("quantity"),
        price=params.decimal("price"),
        time_in_force=params.text("timeInForce"),
        reduce_only=params.boolean("reduceOnly"),
        close_position=params.boolean("closePosition"),
        client_id=params.text(client_name),
        position_side=params.text("positionSide") or "BOTH",
        trigger_price=params.decimal("triggerPrice") or params.decimal("stopPrice"),
        activate_price=params.decimal("activatePrice") or params.decimal("activationPrice"),
        callback_rate=params.decimal("callbackRate"),
        working_type=params.text("workingType") or "CONTRACT_PRICE",
        price_protect=params.boolean("priceProtect"),
        stp_mode=params.text("selfTradePreventionMode") or "EXPIRE_MAKER",
        good_till_ms=params.integer("goodTillDate") or 0,
    )
