"""Numbers as a person reads them in a reason: grouped, without needless zeros."""

from __future__ import annotations

from decimal import Decimal


def number(value: Decimal | float, places: int = 8) -> str:
    """``value`` with thousands separators and at most ``places`` decimals, trailing zeros removed ("43,521.75")."""
    text = f"{value:,.{places}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def percent(fraction: Decimal | float, places: int = 2) -> str:
    """A fraction as percent: 0.034 becomes "3.4 %"."""
    return f"{number(float(fraction) * 100, places)} %"


def whole(value: Decimal | float) -> str:
    """``value`` rounded to units, grouped: "200,000"."""
    return f"{value:,.0f}"
