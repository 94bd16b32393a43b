"""Texts of numbers, times and words."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_trader.ui import format as f
from tui_trader.ui.numbers import decimal_of


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("closed: -4.20 USDT (-0.50 R)", "closed: −4.20 USDT (−0.50 R)"),
        ("funding -0.0043%", "funding −0.0043%"),
        ("tt-a-1-sl-0 at 2026-11-21, 3-5 s", "tt-a-1-sl-0 at 2026-11-21, 3-5 s"),
        ("refused (code -2019)", "refused (code -2019)"),
        ("--risk -1 \x1b", "--risk −1 "),
    ],
)
def test_a_sentence_has_the_minus_of_the_panes_for_numbers_only(told: str, shown: str) -> None:
    assert f.sentence(told) == shown


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (f.number(43_512.4, 1), "43,512.4"),
        (f.number(-0.0004, 3), "0.000"),
        (f.number(-12.5, 1), "−12.5"),
        (f.number(math.nan, 2), "–"),
        (f.number(1e300, 2), "1.00e+300"),
        (f.signed(34.21, 2), "+34.21"),
        (f.signed(0.001, 2), "0.00"),
        (f.signed(-0.4, 2), "−0.40"),
        (f.price(0.0, 2), "–"),
        (f.price(0.0012345, 7), "0.0012345"),
        (f.compact(1.2e9), "1.2B"),
        (f.compact(8.7e8), "870M"),
        (f.compact(99_960), "100k"),
        (f.compact(999_600), "1.0M"),
        (f.compact(-49_500), "−49.5k"),
        (f.compact(12.3), "12.3"),
        (f.compact(812), "812"),
        (f.money(10_034.214), "10,034.21"),
        (f.signed_money(2.5e8), "+250M"),
        (f.percent(1.209), "+1.21%"),
        (f.share(0.041), "4.1%"),
        (f.r_multiple(-1), "−1.00R"),
        (f.funding(0.0001), "+0.010%"),
        (f.age(0.42), "0.4s"),
        (f.age(12), "12s"),
        (f.age(180), "3m"),
        (f.age(7_300), "2h"),
        (f.age(400_000), "5d"),
        (f.age(-3), "0.0s"),
        (f.countdown(192_000), "03:12"),
        (f.countdown(8_040_000), "2h14"),
        (f.countdown(-1), "now"),
        (f.clock(1_790_000_000_000), "14:13:20"),
        (f.clock(1_790_000_000_000, seconds=False), "14:13"),
        (f.span(11_100_000), "3h05"),
        (f.span(734_000), "12m"),
        (f.bar(0.25, 6), ("━╸", "────")),
        (f.bar(7.0, 3), ("━━━", "")),
        (f.bar(math.nan, 3), ("", "───")),
        (f.sparkline([1, 2, 3], 8), "▁▅█"),
        (f.sparkline([], 8), ""),
        (f.sparkline([5, 5], 8), "▄▄"),
        (f.base("BTCUSDT"), "BTC"),
        (f.fit("universe", 5), "univ…"),
        (f.fit("a", 3, ">"), "  a"),
        (f.clean("a\x1b[31mb\nc\u202e"), "a[31mb c"),
        (f.wrap("one two three", 7), ["one two", "three"]),
        (f.wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]),
    ],
)
def test_texts(got: object, expected: object) -> None:
    assert got == expected


@given(st.text(max_size=40), st.integers(0, 30), st.sampled_from("<>^"))
def test_fit_has_exactly_the_width(text: str, width: int, align: str) -> None:
    assert f.width_of(f.fit(f.clean(text), width, align)) == width


@given(st.floats(), st.integers(-3, 20))
def test_numbers_never_fail_and_stay_short(value: float, decimals: int) -> None:
    for text in (
        f.number(value, decimals),
        f.signed(value, decimals),
        f.compact(value),
        f.percent(value),
        f.age(value),
    ):
        assert 0 < len(text) <= 34
    assert len(f.age(value)) <= 5
    assert len(f.compact(value)) <= 9


@given(st.text(max_size=60), st.integers(1, 20))
def test_wrapped_lines_fit(text: str, width: int) -> None:
    if width >= 2:
        assert all(f.width_of(line) <= width for line in f.wrap(f.clean(text), width))


@pytest.mark.parametrize("text", ["", "abc", "-1", "1e5", "nan", "inf", "1,000", "0", "٣", "1" * 30, "1..2"])
def test_what_is_not_a_plain_number_is_refused_in_words(text: str) -> None:
    assert isinstance(decimal_of(text), str)


@pytest.mark.parametrize(("text", "value"), [("43500.5", "43500.5"), (" .5 ", "0.5"), ("100", "100")])
def test_plain_numbers(text: str, value: str) -> None:
    assert decimal_of(text) == Decimal(value)
