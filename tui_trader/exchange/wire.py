"""Numbers as the venue writes them: whole units to decimal strings and back, without floats."""

from decimal import Decimal

import msgspec

from tui_trader.exchange.reject import VenueError

_CACHE_LIMIT = 50_000
ENCODER = msgspec.json.Encoder(decimal_format="string")


def dumps(value: object) -> str:
    """Encode a JSON body or frame."""
    return ENCODER.encode(value).decode()


def plain(value: Decimal) -> str:
    """Return a decimal without an exponent; zero is "0", as newer payloads have it."""
    return format(value, "f") if value else "0"


def trimmed(value: Decimal) -> str:
    """Return a decimal without an exponent or trailing zeros."""
    if not value:
        return "0"
    return format(value.normalize(), "f")


def fixed(value: float, places: int = 8) -> str:
    """Return a float with a fixed number of decimals."""
    return f"{value:.{places}f}"


class Scale:
    """Converts whole units of `unit` to decimal strings with a fixed number of decimals."""

    __slots__ = ("_cache", "_factor", "_ten", "places", "unit", "unit_float")

    def __init__(self, unit: Decimal, places: int) -> None:
        exponent = unit.normalize().as_tuple().exponent
        self.places = max(places, -exponent if isinstance(exponent, int) else 0, 0)
        self.unit = unit
        self.unit_float = float(unit)
        self._ten = 10**self.places
        self._factor = int(unit * self._ten)
        self._cache: dict[int, str] = {}

    def text(self, units: int) -> str:
        """Return the decimal string of `units`."""
        known = self._cache.get(units)
        if known is not None:
            return known
        value = abs(units) * self._factor
        sign = "-" if units < 0 else ""
        whole, rest = divmod(value, self._ten)
        result = f"{sign}{whole}.{rest:0{self.places}d}" if self.places else f"{sign}{whole}"
        if len(self._cache) >= _CACHE_LIMIT:
            self._cache.clear()
        self._cache[units] = result
        return result

    def decimal(self, units: int) -> Decimal:
        """Return the exact value of `units`."""
        return self.unit * units

    def units(self, value: Decimal) -> int | None:
        """Return how many whole units `value` is, or None when it lies between two."""
        quotient = value / self.unit
        whole = int(quotient)
        return whole if whole == quotient else None

    def nearest(self, value: float) -> int:
        """Return the nearest whole number of units to a float."""
        return round(value / self.unit_float)


def parse_decimal(name: str, text: str) -> Decimal:
    """Read a non-negative decimal parameter of at most 40 characters; raise -1100, -1102 or -1111."""
    if len(text) > 40 or not text.isascii() or text.strip("0123456789.") or text.count(".") > 1 or text in (".", ""):
        if text.isascii() and len(text) <= 40:
            try:
                value = Decimal(text)
            except ArithmeticError:
                value = None
            if value is not None and value.is_finite() and 0 <= value < 10**15 and value.adjusted() > -16:
                return value
        raise VenueError(
            -1100,
            f"Illegal characters found in parameter '{name}'; legal range is '^([0-9]{{1,20}})(\\.[0-9]{{1,20}})?$'.",
        )
    return Decimal(text)
