"""The codes of refusals: each says one thing only, and pauses are ordered as patience grows."""

from __future__ import annotations

from itertools import combinations

import pytest

from tui_trader.core import refusals

MEANINGS = {
    "would trigger": refusals.WOULD_TRIGGER,
    "reduce-only": refusals.REDUCE_ONLY_REFUSED,
    "mode": refusals.WRONG_MODE,
    "trouble": refusals.VENUE_TROUBLE,
    "closed": refusals.SYMBOL_CLOSED,
    "not seen": {refusals.NOT_SEEN_YET},
    "no room": {refusals.STOP_LIMIT_REACHED},
}


@pytest.mark.parametrize(("one", "other"), list(combinations(MEANINGS, 2)))
def test_a_code_has_one_meaning(one: str, other: str) -> None:
    assert not set(MEANINGS[one]) & set(MEANINGS[other])


def test_a_price_beyond_the_stop_and_a_closed_symbol_are_no_reason_to_try_again() -> None:
    assert not refusals.WOULD_TRIGGER & refusals.KNOWN_STOP_REFUSALS
    assert not refusals.SYMBOL_CLOSED & refusals.KNOWN_STOP_REFUSALS
    assert {-2022, -4118, -4061, -4509, -4045, 0} <= refusals.KNOWN_STOP_REFUSALS


@pytest.mark.parametrize(("code", "http"), [(-404, True), (-400, True), (-599, True), (-1000, False), (-399, False)])
def test_an_http_status_is_told_from_the_venues_own_codes(code: int, http: bool) -> None:
    assert (code in refusals.HTTP_REFUSALS) is http


def test_a_stop_is_given_up_within_the_ten_seconds_that_a_position_may_be_bare() -> None:
    assert refusals.NOT_SEEN_PAUSE_S < refusals.NOT_SEEN_S
    assert refusals.STOP_TRIES * 1.0 < 10
    assert refusals.UNDELIVERED_S < refusals.UNDELIVERED_MAX_S < 10


@pytest.mark.parametrize(
    ("code", "reason", "words"),
    [
        (-4045, "the venue refused: -4045 Reach max stop order limit.", "-4045 Reach max stop order limit."),
        (-400, "the venue refused: 400 no words", "400 no words"),
        (-2010, "New order rejected.", "New order rejected. (-2010)"),
        (0, "expired", "expired"),
        (
            -4061,
            "the venue refused: -4061 Order's position side does not match user's setting.",
            "the account is in hedge mode; switch it to one-way at the venue (-4061)",
        ),
    ],
)
def test_a_refusal_names_its_code_once_and_what_helps(code: int, reason: str, words: str) -> None:
    assert refusals.refusal(code, reason) == words
