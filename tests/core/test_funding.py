"""Funding protection: windows, rates, missing data."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.core.build import NOW, metrics, settings
from tui_trader.core.funding import expected_funding, funding_refusals
from tui_trader.core.types import MINUTE_MS, Side

FUNDING = settings().funding
STAMP = NOW + 6 * 60 * MINUTE_MS


def codes(now: int = NOW, side: Side = Side.LONG, **changes: object) -> list[str]:
    return [r.code for r in funding_refusals(side, metrics(**changes), FUNDING, now)]


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        (-41, []),
        (-40, ["funding_window"]),
        (-1, ["funding_window"]),
        (0, ["funding_window"]),
        (19, ["funding_window"]),
        (20, []),
    ],
)
def test_window_from_40_before_to_20_after(minutes: int, expected: list[str]) -> None:
    now = STAMP + minutes * MINUTE_MS
    following = STAMP if minutes < 0 else STAMP + 8 * 60 * MINUTE_MS
    assert codes(now, next_funding_ms=following) == expected


def test_the_text_says_how_long() -> None:
    (refusal,) = funding_refusals(Side.LONG, metrics(), FUNDING, STAMP - 31 * MINUTE_MS)
    assert refusal.text == "funding in 31 min (< 40)"
    assert not refusal.hard


@pytest.mark.parametrize(
    ("side", "rate", "expected"),
    [
        (Side.LONG, -0.00031, ["funding_rate"]),
        (Side.LONG, -0.0003, []),
        (Side.SHORT, 0.00031, ["funding_rate"]),
        (Side.SHORT, 0.0003, []),
        (Side.LONG, 0.001, ["funding_extreme"]),
        (Side.SHORT, -0.001, ["funding_extreme"]),
        (Side.LONG, 0.0009, []),
        (Side.SHORT, 0.001, ["funding_rate"]),
    ],
)
def test_rates(side: Side, rate: float, expected: list[str]) -> None:
    assert codes(side=side, funding_rate=rate) == expected


def test_missing_data_refuses_hard() -> None:
    (refusal,) = funding_refusals(Side.LONG, metrics(next_funding_ms=0), FUNDING, NOW)
    assert refusal.hard


def test_a_stamp_just_past_still_counts_until_the_venue_names_the_next() -> None:
    assert codes(STAMP + 5 * MINUTE_MS, next_funding_ms=STAMP) == ["funding_window"]


def test_expected_funding_is_a_cost_for_the_paying_side() -> None:
    assert expected_funding(Side.LONG, Decimal(1_000), 0.0001) == Decimal("0.1")
    assert expected_funding(Side.SHORT, Decimal(1_000), 0.0001) == Decimal("-0.1")


def test_a_stamp_long_past_means_that_the_stream_is_outdated_and_refuses_hard() -> None:
    (refusal,) = funding_refusals(Side.LONG, metrics(next_funding_ms=STAMP), FUNDING, STAMP + 25 * MINUTE_MS)
    assert (refusal.code, refusal.hard) == ("funding_data", True)


def test_a_rate_that_is_not_a_number_refuses_hard() -> None:
    (refusal,) = funding_refusals(Side.LONG, metrics(funding_rate=float("nan")), FUNDING, NOW)
    assert (refusal.code, refusal.hard) == ("funding_data", True)
