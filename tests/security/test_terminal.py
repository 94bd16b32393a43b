"""I23 at the terminal: hostile symbols, errors and ids in every place of every widget and screen, over a real pty.

The console runs in a process of its own. Every byte that comes out must be of the grammar that Textual's driver speaks
by itself, and the screen that those bytes draw must be, cell by cell, the one that the console meant to draw.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.security.hostile import ATTACKS, TEXTS
from tests.security.terminal import ForeignBytesError, Judge, Terminal

MODULE = "tests.security.hostile_console"
SCREENS = (
    [], ["1"], ["2"], ["3"], ["4"], ["5"], ["6"], ["7"], ["8"], ["9"], ["0"], ["E"], ["P"], ["W"], ["question_mark"],
    ["enter"], ["8", "enter"], ["7", "enter"], ["4", "enter"], ["9", "enter"], ["0", "enter"], ["1", "down", "enter"],
    ["b"], ["s"], ["x"], ["m"], ["slash"], ["slash", "O"], ["colon"], ["K"], ["F"], ["R"], ["u"], ["p"], ["plus"],
    ["minus"], ["e"], ["t"], ["ctrl+p"], ["q"],
)  # fmt: skip
"""Keys that lead to every pane, dialog and screen from the main one."""
SCENES = ("sample", "alarm", "orders", "engine")


class Terminals:
    """One console for many pictures; a new one after a picture that broke it."""

    def __init__(self, columns: int, rows: int) -> None:
        self._size = columns, rows
        self._now: Terminal | None = None

    def show(self, scene: str, texts: list[str], keys: list[str]) -> None:
        """See ``Terminal.show``."""
        terminal = self._now = self._now or Terminal(MODULE, *self._size)
        try:
            terminal.show(scene, texts, keys)
        except BaseException:
            self._now = None
            with contextlib.suppress(AssertionError):
                terminal.close()
            raise

    def close(self) -> None:
        """End the console."""
        if self._now is not None:
            self._now.close()


@pytest.fixture(scope="module", params=[(160, 50), (80, 24)], ids=["160x50", "80x24"])
def terminals(request: pytest.FixtureRequest) -> Iterator[Terminals]:
    found = Terminals(*request.param)
    yield found
    found.close()


def turned(number: int) -> list[str]:
    """All attacks, beginning with another one each time, so that each place meets another one."""
    at = number * 5 % len(ATTACKS)
    return [*ATTACKS[at:], *ATTACKS[:at]]


def test_the_honest_console_draws_what_it_means(terminals: Terminals) -> None:
    for keys in ([], ["question_mark"], ["ctrl+p"], ["b"], ["5"]):
        terminals.show("sample", [], keys)


def test_the_main_screen_under_every_attack(terminals: Terminals) -> None:
    for number, text in enumerate(ATTACKS):
        terminals.show(SCENES[number % len(SCENES)], [text], [])


def test_every_screen_under_all_attacks(terminals: Terminals) -> None:
    for number, keys in enumerate(SCREENS):
        terminals.show(SCENES[number % len(SCENES)], turned(number), keys)


@settings(
    max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.sampled_from(SCENES), st.lists(TEXTS, min_size=1, max_size=4), st.sampled_from(SCREENS))
def test_any_text_anywhere(terminals: Terminals, scene: str, texts: list[str], keys: list[str]) -> None:
    terminals.show(scene, texts, keys)


@pytest.mark.parametrize(
    "text",
    ["\x1b]0;t\x07", "\x1b[2J", "\x1b[H", "\x1bP1$r\x1b\\", "\x1b[?1002h", "a\x9bm", "\x1bc", "\x1b[6n", "\x08", "\t",
     "e\u0301"],
)  # fmt: skip
def test_the_judge_sees_foreign_bytes(text: str) -> None:
    """A test of the test."""
    judge = Judge(80, 24)
    judge.hear(b"\x1b[1;1H\x1b[1mhonest\x1b[0m\r\n")
    assert judge.rows[0] == "honest"
    with pytest.raises(ForeignBytesError):
        judge.hear(text.encode() + b"x")


def test_a_sequence_cut_in_two_is_one() -> None:
    judge = Judge(80, 24)
    for part in (b"\x1b", b"[1;", b"5H\xe2", b"\x9c\x93\x1b[?2026", b"l"):
        judge.hear(part)
    assert judge.rows[0] == "    ✓"
