"""Strings from outside: nothing that a terminal obeys, nothing endless."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from tui_trader.venues.text import clean, is_symbol


def test_text_from_outside_is_cleaned() -> None:
    assert clean("a\x1b]0;b\x07\x9bc\u202ed\ne") == "a]0;bcd e"
    assert len(clean("x" * 10_000)) == 500
    assert [is_symbol(text) for text in ("BTCUSDT", "1000PEPEUSDT", "币安USDT", "btc", "", "A" * 33)] == [
        True, True, False, False, False, False,
    ]  # fmt: skip


@given(st.text(st.characters(), max_size=300), st.integers(0, 100))
def test_cleaned_text_is_short_printable_and_clean_already(text: str, limit: int) -> None:
    found = clean(text, limit)
    assert len(found) <= limit
    assert not any(unicodedata.category(sign) in ("Cc", "Cs") for sign in found)
    assert clean(found, limit) == found
    found.encode()


def test_a_flood_is_cut_before_it_is_looked_at() -> None:
    assert clean("\u0300" * 10_000_000 + "x", 100) == ""
    assert clean("\u200b" * 200 + "seen", 100) == "seen"


def test_anything_becomes_text() -> None:
    assert [clean(value) for value in (None, 5, ["a\x1b"], ValueError("b\x07"))] == ["None", "5", "['a\\x1b']", "b"]


@given(st.text(max_size=40))
def test_a_symbol_is_short_ascii_capitals_and_digits(text: str) -> None:
    expected = 0 < len(text) <= 32 and all(sign in "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_" for sign in text)
    assert is_symbol(text) == expected
