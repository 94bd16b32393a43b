"""What each failed request means; the codes are Binance's."""

from __future__ import annotations

import pytest

from tui_trader.errors import (
    OrderNotFound,
    OutcomeUnknown,
    RateLimited,
    VenueError,
    VenueRefused,
    VenueUnreachable,
)
from tui_trader.venues.binance.failures import failure


def body(code: int, text: str = "words") -> str:
    return f'{{"code":{code},"msg":"{text}"}}'


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (400, body(-2019), VenueRefused),
        (400, body(-2021), VenueRefused),
        (400, body(-1021), VenueRefused),
        (400, body(-2013), OrderNotFound),
        (400, body(-2011), OrderNotFound),
        (400, body(-4116), OutcomeUnknown),
        (408, body(-1007), OutcomeUnknown),
        (400, body(-1006), OutcomeUnknown),
        (503, body(-1000, "Unknown error, please check your request or try again later."), OutcomeUnknown),
        (503, body(-1000, "Service Unavailable."), VenueUnreachable),
        (500, "<html>", OutcomeUnknown),
        (502, "", OutcomeUnknown),
        (429, body(-1003), RateLimited),
        (418, body(-1003), RateLimited),
        (403, "<html>", RateLimited),
        (503, body(-1008), RateLimited),
        (400, body(-1015), RateLimited),
        (400, "\x1b]0;title\x07", VenueRefused),
        (200, body(-2013), OrderNotFound),
    ],
)
def test_each_failure_has_one_meaning(status: int, text: str, kind: type[VenueError]) -> None:
    error = failure(status, text, {})
    assert type(error) is kind
    assert "\x1b" not in str(error)


def test_successes_are_not_failures() -> None:
    assert failure(200, '{"code":"200","msg":"success"}', {}) is None
    assert failure(200, "[]", {}) is None


def test_retry_after_is_obeyed() -> None:
    error = failure(429, body(-1003), {"retry-after": "17"})
    assert error is not None
    assert error.retry_after_ms == 17_000
