"""Fault matrix: a venue that is not what it was."""

from __future__ import annotations

from tui_trader.drill.play import play


def test_an_unknown_error_on_a_stop_flattens() -> None:
    """I1."""
    play("stop-unknown-error")


def test_after_an_unknown_error_on_a_stop_nothing_is_entered() -> None:
    """I11."""
    play("stop-unknown-error-no-entries")


def test_a_canary_that_finds_the_venue_changed_takes_no_entries() -> None:
    """I11."""
    play("canary-refused")
