"""Strings from outside: nothing that a terminal would obey or draw out of its place, nothing endless, passes in."""

from __future__ import annotations

import re

from tui_trader.core.plain import plain

_SYMBOL = re.compile(r"[A-Z0-9_]{1,32}")

MAX_TEXT = 500
_READ_AHEAD = 4
"""How many times ``limit`` is looked at: signs left out do not use up the limit, and a flood of them is cut."""


def clean(text: object, limit: int = MAX_TEXT) -> str:
    """``text`` made harmless by ``core.plain``, at most ``limit`` characters."""
    value = text if isinstance(text, str) else str(text)
    return plain(value[: limit * _READ_AHEAD])[:limit]


def is_symbol(text: str) -> bool:
    """Whether ``text`` is a symbol this product handles: ASCII capitals, digits and underscores, at most 32."""
    return _SYMBOL.fullmatch(text) is not None
