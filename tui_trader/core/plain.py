"""Text from outside made harmless for a terminal: one cell grid, left to right, nothing that is obeyed or hidden."""

from __future__ import annotations

import unicodedata

UNSHOWN = "�"
"""Stands for a sign that is there but would bend the row: emoji, ancient scripts, letters written right to left."""

_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})
_FILLERS = frozenset({0x115F, 0x3164, 0xFFA0, 0x2800})
"""Letters and symbols that draw nothing: a name made of them looks empty."""
_JOINING = ((0x1160, 0x11FF), (0xD7B0, 0xD7FF))
"""Hangul vowels and finals that terminals draw into the sign before."""


class _Verdicts(dict[int, str]):
    """What becomes of each code point, found once; those beyond the basic plane are many and not kept."""

    def __missing__(self, code: int) -> str:
        verdict = _verdict(code)
        if code < 0x10000:
            self[code] = verdict
        return verdict


def _verdict(code: int) -> str:
    char = chr(code)
    kind = unicodedata.category(char)
    if char.isspace():
        return " "
    if kind[0] in "CM" or code in _FILLERS or any(low <= code <= high for low, high in _JOINING):
        return ""
    if code >= 0x10000 or unicodedata.bidirectional(char) in _RIGHT_TO_LEFT:
        return UNSHOWN
    return char


_VERDICTS = _Verdicts()


def plain(text: str) -> str:
    """``text`` with only signs of a known width that stand where they are written.

    Spaces of any kind and line ends become plain spaces. Control and format characters, direction marks, surrogates,
    private and unassigned code points, and combining marks that have no composed letter are left out. Emoji and letters
    written right to left become ``UNSHOWN``, because terminals disagree about their width and order. Plain text is
    returned as it is; ``plain(plain(x)) == plain(x)``.
    """
    if text.isascii() and text.isprintable():
        return text
    return unicodedata.normalize("NFC", text).translate(_VERDICTS)
