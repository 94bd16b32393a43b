"""Fault matrix: how an entry and its exits may fill."""

from __future__ import annotations

import pytest

from tui_trader.drill.play import play


def test_a_partly_filled_entry_has_a_stop_at_once_and_its_remainder_is_cancelled() -> None:
    """I1, I18."""
    play("entry-partly-filled")


def test_a_partly_filled_target_moves_the_stops_quantity_under_a_proven_new_one() -> None:
    """I1, I10."""
    play("target-partly-filled")


def test_the_old_stop_stays_while_the_new_one_is_lost() -> None:
    """I10."""
    play("stop-unproven-while-target-fills")


def test_target_and_stop_in_one_second_cap_at_zero() -> None:
    """I3, I7."""
    play("target-and-stop")


def test_a_gap_through_targets_and_stop_caps_at_zero() -> None:
    """I3, I7."""
    play("gap-through-both")


@pytest.mark.parametrize("name", ["dust", "dust-smallest"])
def test_dust_is_planned_up_front_and_closed_to_the_last_step(name: str) -> None:
    """I18."""
    play(name)


def test_a_stop_that_fills_in_part_is_followed_by_closing_in_a_loop() -> None:
    """I1."""
    play("stop-fills-partly")


def test_a_fill_larger_than_ordered_is_taken_told_and_reduced() -> None:
    """I2, I7."""
    play("fill-larger-than-ordered")
