"""Fault matrix: time that is off."""

from __future__ import annotations

import pytest

from tui_trader.drill.play import play


def test_a_skew_above_half_a_second_takes_no_entries() -> None:
    """I11."""
    play("clock-skew")


def test_a_drift_is_followed() -> None:
    """I11."""
    play("clock-drift")


def test_a_step_is_mended_from_the_servers_time() -> None:
    """I2, I11."""
    play("clock-step")


@pytest.mark.parametrize("name", ["stop-minus-1021", "entry-minus-1021"])
def test_minus_1021_is_mended_and_the_same_id_sent_again(name: str) -> None:
    """I2, I4."""
    play(name)
