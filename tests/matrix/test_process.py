"""Fault matrix: a process that dies between any two steps."""

from __future__ import annotations

import pytest

from tui_trader.drill.play import play


@pytest.mark.parametrize("name", ["crash-between-fill-and-stop", "crash-before-fill-heard"])
def test_a_crash_between_fill_and_stop_is_protected_at_the_start(name: str) -> None:
    """I1, I14."""
    play(name)


def test_a_crash_with_the_entry_on_its_way_is_never_doubled() -> None:
    """I2, I14."""
    play("crash-while-entry-is-on-its-way")


def test_a_crash_while_a_stop_is_replaced_bares_nothing() -> None:
    """I10, I14."""
    play("crash-while-replacing")


def test_a_crash_while_flattening_ends_flat_or_protected() -> None:
    """I3, I14."""
    play("crash-while-flattening")


def test_a_crash_after_the_kill_switch_starts_killed() -> None:
    """I14, I15."""
    play("crash-after-kill")


def test_two_crashes_in_a_row_end_protected() -> None:
    """I1, I14."""
    play("crash-twice")


def test_nothing_is_done_before_the_first_comparison() -> None:
    """I2, I14."""
    play("crash-slow-comparison")


def test_a_lagging_word_of_flat_at_the_start_takes_no_stop_away() -> None:
    """I1, I5, I10, I14."""
    play("crash-lagging-replica")
