"""What a failed request means: a definite no, not executed, unknown, or unreachable. One table for every endpoint."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import msgspec

from tui_trader.errors import (
    OrderNotFound,
    OutcomeUnknown,
    RateLimited,
    VenueError,
    VenueRefused,
    VenueUnreachable,
)
from tui_trader.venues.text import clean

_UNKNOWN_CODES = frozenset({-1006, -1007, -4116})
_GONE_CODES = frozenset({-2011, -2013})
_LARGEST_CODE = 1_000_000
_SILENCING = frozenset({429, 418, 403})
_DEFAULT_SILENCE_MS = {429: 15_000, 418: 120_000, 403: 15_000}
"""Silence where the answer names none. The venue's own 429 and 418 name one; a page of something in between (a proxy, a
firewall) must not keep a bare position without its stop for minutes."""


class ErrorBody(msgspec.Struct, gc=False):
    """The venue's error object."""

    code: int = 0
    msg: str = ""


_PAGE = 2_000
"""How much of an answer that is not the venue's is looked at."""
_TAG = re.compile(r"<[^<>]{0,200}>")
HAD_EFFECT = "; the request may have had its effect: query."
"""Ends the words about a request that may have changed the account; a read, which cannot, goes without it."""
_BODY = msgspec.json.Decoder(ErrorBody, strict=False)


def error_body(body: str) -> ErrorBody:
    """Code and text of an error answer; no code when the body is not the venue's (a proxy's page, garbage)."""
    try:
        found = _BODY.decode(body)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return ErrorBody(msg=" ".join(_TAG.sub(" ", body[:_PAGE]).split()))
    return found if abs(found.code) <= _LARGEST_CODE else ErrorBody(msg=found.msg)


def _retry_after_ms(status: int, headers: Mapping[str, str]) -> int:
    for name, value in headers.items():
        if name.lower() == "retry-after" and value.isascii() and value.isdigit() and len(value) < 8:
            return max(1, int(value)) * 1000
    return _DEFAULT_SILENCE_MS[status]


def failure(
    status: int, body: str, headers: Mapping[str, str], redact: Callable[[str], str] = str
) -> VenueError | None:
    """The error that an HTTP answer stands for; None for a success.

    ``redact`` takes the key and the secret out of the answer's words: a proxy's error page may repeat the request.
    """
    if status < 400 and not (body.startswith("{") and '"code"' in body[:200]):
        return None
    parsed = error_body(body)
    code, text = parsed.code, clean(redact(parsed.msg), 300)
    if status < 400 and code >= 0:
        return None
    if status in _SILENCING:
        retry = _retry_after_ms(status, headers)
        return RateLimited(
            f"the venue asked for silence (HTTP {status} {text}); nothing is sent for {retry / 1000:.0f} s.",
            code,
            retry,
        )
    return _by_code(code, text) or _by_status(status, code, text)


def _by_code(code: int, text: str) -> VenueError | None:
    if code in _UNKNOWN_CODES:
        what = "an order with this id exists: query it" if code == -4116 else "the order may or may not stand: query it"
        return OutcomeUnknown(f"the venue answered {code} {text}; {what}.", code)
    if code in _GONE_CODES:
        return OrderNotFound(f"the venue answered {code} {text}; this alone proves nothing.", code)
    if code == -1003:
        return RateLimited(f"too many requests ({text}); not executed, try again after the pause.", code, 10_000)
    if code in (-1015, -1008):
        return RateLimited(
            f"the venue is overloaded or counts too many orders ({code} {text}); not executed.", code, 1_000
        )
    return None


def _by_status(status: int, code: int, text: str) -> VenueError:
    if status == 503 and "unknown error" not in text.lower():
        return VenueUnreachable(
            f"the venue failed the request (HTTP 503 {text}); it was not executed: try again.", code
        )
    if status >= 500 or status == 408:
        return OutcomeUnknown(f"the venue answered HTTP {status} {text}{HAD_EFFECT}", code)
    return VenueRefused(f"the venue refused: {code or status} {text}", code or -status)
