"""Text from outside: nothing a terminal obeys, nothing of doubtful width or order, nothing harmless lost."""

from __future__ import annotations

import unicodedata

import pytest
import wcwidth
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui_trader.core.plain import UNSHOWN, plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Margin is insufficient.", "Margin is insufficient."),
        ("a\x1b]0;owned\x07b", "a]0;ownedb"),
        ("a\x9b31mb\x90q\x9c", "a31mbq"),
        ("one\r\ntwo\tthree\u2028four\u2029five\x85six", "one  two three four five six"),
        ("BTC\u202eTDSU\u2066\u2069\u200e\u061c", "BTCTDSU"),
        ("a\u200b\u200c\u200d\u2060\ufeff\u00ad\u180eb", "ab"),
        ("e\u0301", "é"),
        ("Z" + "\u0300\u0489\u20dd" * 500 + "!", "Z!"),
        ("👩\u200d👩\u200d👧 ok", f"{UNSHOWN * 3} ok"),
        ("🇩🇪🇫🇷", UNSHOWN * 4),
        ("👍🏽", UNSHOWN * 2),
        ("❤\ufe0f", "❤"),
        ("שלום العربية ٣", f"{UNSHOWN * 4} {UNSHOWN * 7} {UNSHOWN}"),
        ("币安人生 ёлки", "币安人生 ёлки"),
        ("\u1112\u1161\u11ab", "한"),
        ("\u1160\u11ff\u3164\uffa0\u115f\u2800", ""),
        ("\ud800\udfff\ue000\uffff\U000e0041\U0010ffff", UNSHOWN * 0),
        ("−12.5 % ≥ 3 × ▲ ✓ …", "−12.5 % ≥ 3 × ▲ ✓ …"),
        ("", ""),
    ],
)
def test_examples(text: str, shown: str) -> None:
    assert plain(text) == shown


ANY = st.text(st.characters(exclude_categories=[]), max_size=200)


@given(ANY)
def test_what_is_left_is_printable_and_stable(text: str) -> None:
    """I23."""
    shown = plain(text)
    assert plain(shown) == shown
    assert shown.isprintable()
    shown.encode()
    for sign in shown:
        assert unicodedata.category(sign)[0] not in "CM"
        assert unicodedata.bidirectional(sign) not in ("R", "AL", "AN", "RLE", "LRE", "RLO", "LRO", "RLI", "LRI", "FSI")
        assert ord(sign) < 0x10000


def test_the_screen_and_the_terminal_agree_on_the_width_of_every_sign_that_is_left() -> None:
    """Two tables by different people: Rich lays the console out with one, many terminals draw by the other."""
    left = {sign for code in range(0x10000) for sign in plain(chr(code))}
    assert len(left) > 40_000
    assert [hex(ord(sign)) for sign in left if not cell_len(sign) == wcwidth.wcwidth(sign) > 0] == []


@given(ANY, ANY)
def test_cutting_or_joining_clean_text_keeps_its_width(one: str, two: str) -> None:
    """No sign changes the one before it, so columns can be cut anywhere."""
    first, second = plain(one), plain(two)
    assert cell_len(first + second) == cell_len(first) + cell_len(second)
    assert wcwidth.wcswidth(first + second) == wcwidth.wcswidth(first) + wcwidth.wcswidth(second)
