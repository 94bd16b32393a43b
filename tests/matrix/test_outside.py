"""Fault matrix: what others and the venue do."""

from __future__ import annotations

import pytest

from tui_trader.drill.play import play


@pytest.mark.parametrize("name", ["closed-elsewhere", "closed-elsewhere-unheard"])
def test_closed_elsewhere_clears_the_legs_and_never_reopens(name: str) -> None:
    """I7, I8."""
    play(name)


def test_reduced_elsewhere_shrinks_the_plan() -> None:
    """I7."""
    play("reduced-elsewhere")


def test_increased_elsewhere_is_covered() -> None:
    """I1, I7."""
    play("increased-elsewhere")


def test_opened_elsewhere_is_adopted_and_covered_within_two_seconds() -> None:
    """I1, I9."""
    play("opened-elsewhere")


@pytest.mark.parametrize("name", ["flipped-elsewhere", "sold-while-entering", "short-adopted-while-holding"])
def test_the_venue_wins_over_what_was_counted(name: str) -> None:
    """I7, I9."""
    play(name)


def test_a_liquidation_is_booked_to_the_venue_and_halts_the_symbol() -> None:
    """I9."""
    play("liquidated")


def test_a_deleveraging_is_booked_to_the_venue_and_halts_the_symbol() -> None:
    """I9."""
    play("deleveraged")


@pytest.mark.parametrize("name", ["hedge-mode", "hedge-mode-with-position"])
def test_hedge_mode_is_refused(name: str) -> None:
    """I3, I11."""
    play(name)


def test_a_settling_symbol_takes_no_entries() -> None:
    """I11."""
    play("symbol-settling")


def test_a_settling_symbol_is_left_early() -> None:
    """I1."""
    play("symbol-settling-exit")


def test_a_close_only_symbol_takes_no_entries() -> None:
    """I11."""
    play("symbol-close-only")


def test_funding_is_a_row_of_the_ledger() -> None:
    """I17."""
    play("funding-booked")


@pytest.mark.parametrize(
    "name", ["maintenance", "maintenance-while-entering", "maintenance-stop-fills", "exchange-restart-keeps"]
)
def test_25_minutes_of_5xx_are_waited_out_blind(name: str) -> None:
    """I1, I11, I13."""
    play(name)
