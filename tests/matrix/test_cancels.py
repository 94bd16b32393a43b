"""Fault matrix: cancels that come too late or are not answered, and orders that are not ours."""

from __future__ import annotations

import pytest

from tui_trader.drill.play import play


def test_a_cancel_refused_because_filled_is_a_position() -> None:
    """I1, I5."""
    play("cancel-refused-filled")


@pytest.mark.parametrize("name", ["cancel-answer-lost", "cancel-request-lost", "old-stop-cancel-lost"])
def test_a_cancel_without_an_answer_is_asked_about_and_said_again(name: str) -> None:
    """I5, I8."""
    play(name)


def test_orders_that_are_not_ours_stay() -> None:
    """I8."""
    play("foreign-orders-untouched")


def test_all_means_both_books() -> None:
    """I8."""
    play("orphans-in-both-books")


def test_flattening_keeps_its_order() -> None:
    """I1, I3, I8."""
    play("flatten-in-order")
