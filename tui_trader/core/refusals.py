"""What a refusal says, by the venue's code, and how long to wait before what was refused is tried again (seconds)."""

from __future__ import annotations

import msgspec

WOULD_TRIGGER = frozenset({-2021, -4142, 110092, 110093})
"""The venue refuses a stop because price is already beyond it: the position must be closed at once."""

REDUCE_ONLY_REFUSED = frozenset({-2022, -4118, 110017})

WRONG_MODE = frozenset({-4061})
"""The account's position mode is not the one that orders are made for."""

NOT_SEEN_YET = -4509
"""The venue's conditional orders do not see the position yet."""

STOP_LIMIT_REACHED = -4045

VENUE_TROUBLE = frozenset({-1000, -1001, -1016, -1021})
"""Refusals that say nothing about the order: the venue's own trouble, or a clock that is being mended."""

KNOWN_STOP_REFUSALS = REDUCE_ONLY_REFUSED | WRONG_MODE | VENUE_TROUBLE | {0, NOT_SEEN_YET, STOP_LIMIT_REACHED, -2019}
"""What a stop may be refused for in normal trading; anything else means that the venue has changed."""

HTTP_REFUSALS = range(-599, -399)
"""An HTTP status as a code: something before the venue answered, not the venue."""

STOP_TRIES = 3
STOP_CLOSING_S = 5.0
"""How long a stop that was refused for good rests before it is tried again beside the market close."""

NOT_SEEN_S = 1.5
NOT_SEEN_PAUSE_S = 0.25
"""A stop for a position that the venue's conditional orders do not see yet is tried again this soon, until the position
has been bare for ``NOT_SEEN_S``; then it is closed."""

STOP_PATIENCE_S = 30.0
"""The longest pause before a stop that price has passed is tried again while an older one stands."""

SYMBOL_CLOSED = frozenset({-4140, -4141, -4400})
"""The symbol takes no orders, or none that open a position."""

DUST_FIRST_S, DUST_MAX_S = 1.0, 300.0
"""The first and the longest pause before a remainder is tried again that the venue refuses to close."""

CLOSE_TRIES = 10
REFUSED_CLOSE_S = 5.0
"""The longest pause between two market closes after so many refusals in a row, or of a symbol that takes no orders."""

TARGETS_OFF_S = 2.0
UNDELIVERED_S = 0.5
UNDELIVERED_MAX_S = 8.0
"""The first and the longest pause before what did not reach the venue is sent again; forgotten when it is reached."""

TARGET_PATIENCE_S = 60.0
"""The longest pause before a refused target is tried again."""


class LeverageRefusal(msgspec.Struct, frozen=True):
    """Why a symbol's leverage is not set: the venue's words, how often in a row, and whether it was its own no."""

    reason: str
    failures: int
    final: bool


def refusal(code: int, reason: str) -> str:
    """The reason of a refusal with the venue's code, each said once, and what helps where a person must act."""
    if code in WRONG_MODE:
        return f"the account is in hedge mode; switch it to one-way at the venue ({code})"
    words = reason.removeprefix("the venue refused: ")
    return words if not code or str(abs(code)) in words else f"{words} ({code})"
