"""I23 at the terminal: hostile symbols, errors and ids in every place of every widget and screen, over a real pty.

The console runs in a process of its own. Every byte that comes out must be of the grammar that Textual's driver speaks
by itself, and the screen that those bytes draw must be, cell by cell, the one that the console meant to draw.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.security.hostile import ATTACKS, TEXTS
from tests.security.terminal import ForeignBytesError, Terminal

MODULE = "tests.security.hostile_console"
SCREENS = (
    [], ["1"], ["2"], ["3"], ["4"], ["5"], ["6"], ["7"], ["8"], ["9"], ["0"], ["E"], ["P"], ["W"], ["question_mark"],
    ["enter"], ["8", "enter"], ["7", "enter"], ["4", "enter"], ["9", "enter"], ["0", "enter"], ["1", "down", "enter"],
    ["b"], ["s"], ["x"], ["m"], ["slash"], ["slash", "O"], ["colon"], ["K"], ["F"], ["R"], ["u"], ["p"], ["plus"],
    ["minus"], ["e"], ["t"], ["ctrl+p"], ["q"],
)  # fmt: skip
"""Keys that lead to every pane, dialog and screen from the main one."""
SCENES = ("sample", "alarm", "orders", "engine")


@pytest.fixture(scope="module", params=[(160, 50), (80, 24)], ids=["160x50", "80x24"])
def terminal(request: pytest.FixtureRequest) -> Iterator[Terminal]:
    found = Terminal(MODULE, *request.param)
    yield found
    found.close()


def test_the_honest_console_draws_what_it_means(terminal: Terminal) -> None:
    for keys in SCREENS:
        terminal.show("sample", [], keys)
    assert terminal.read_bytes > 20_000


@pytest.mark.parametrize("scene", SCENES)
def test_every_attack_in_every_place_of_the_main_screen(terminal: Terminal, scene: str) -> None:
    for text in ATTACKS:
        terminal.show(scene, [text], [])


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("keys", SCREENS, ids="-".join)
def test_all_attacks_on_every_screen(terminal: Terminal, scene: str, keys: list[str]) -> None:
    terminal.show(scene, list(ATTACKS), keys)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.sampled_from(SCENES), st.lists(TEXTS, min_size=1, max_size=4), st.sampled_from(SCREENS))
def test_any_text_anywhere(terminal: Terminal, scene: str, texts: list[str], keys: list[str]) -> None:
    terminal.show(scene, texts, keys)


@pytest.mark.parametrize(
    "text",
    ["\x1b]0;t\x07", "\x1b[2J", "\x1b[H", "\x1bP1$r\x1b\\", "\x1b[?1002h", "a\x9bm", "\x1bc", "\x1b[6n", "\x08", "\t",
     "e\u0301"],
)  # fmt: skip
def test_the_judge_sees_foreign_bytes(terminal: Terminal, text: str) -> None:
    """A test of the test."""
    with pytest.raises(ForeignBytesError):
        terminal._take(text)
