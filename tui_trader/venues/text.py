"""Strings from outside: nothing that a terminal would obey, nothing endless, passes into the product."""

from __future__ import annotations

import re

_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
_SYMBOL = re.compile(r"[A-Z0-9_]{1,32}")

MAX_TEXT = 500


def clean(text: object, limit: int = MAX_TEXT) -> str:
    """``text`` without control characters, direction overrides and surrogates, at most ``limit`` characters."""
    value = text if isinstance(text, str) else str(text)
    return _FORBIDDEN.sub("", value[: limit * 2])[:limit]


def is_symbol(text: str) -> bool:
    """Whether ``text`` is a symbol this product handles: ASCII capitals, digits and underscores, at most 32."""
    return _SYMBOL.fullmatch(text) is not None
