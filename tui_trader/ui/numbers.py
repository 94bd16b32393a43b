"""Reading the numbers that a person types."""

from __future__ import annotations

import re
from decimal import Decimal

_PLAIN = re.compile(r"[0-9]{1,15}(\.[0-9]{1,12})?|\.[0-9]{1,12}")


def decimal_of(text: str) -> Decimal | str:
    """The positive decimal that ``text`` writes ("43500.5"), or what is wrong with it in words."""
    text = text.strip()
    if not text:
        return "type a number."
    if "," in text:
        return "write it without a comma: a point for the fraction, nothing between thousands."
    if not text.isascii() or not _PLAIN.fullmatch(text):
        return f"{text[:24]!r} is not a plain positive number such as 43500.5."
    value = Decimal(text)
    return value if value > 0 else "it must be more than zero."
