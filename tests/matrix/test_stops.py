"""Fault matrix: stops that are refused, lost at the trigger, taken away, or in the way."""

from __future__ import annotations

import pytest

from tui_trader.drill.play import play


@pytest.mark.parametrize("name", ["stop-would-trigger", "stop-would-trigger-4142", "stop-gap-at-entry"])
def test_a_stop_that_would_trigger_at_once_flattens_now(name: str) -> None:
    """I1."""
    play(name)


def test_a_moved_stop_that_would_trigger_never_bares_the_position() -> None:
    """I1, I10."""
    play("moved-stop-would-trigger")


def test_targets_rest_only_under_a_stop() -> None:
    """I1, I3."""
    play("targets-only-under-a-stop")


@pytest.mark.parametrize("name", ["stop-4509", "stop-algo-lag"])
def test_minus_4509_is_tried_again_within_a_second(name: str) -> None:
    """I1."""
    play(name)


def test_minus_4509_for_ever_flattens() -> None:
    """I1."""
    play("stop-4509-for-ever")


def test_a_stop_that_never_arrives_flattens() -> None:
    """I1."""
    play("stop-never-arrives")


@pytest.mark.parametrize("name", ["stop-rejected-at-trigger", "stop-expired-at-trigger"])
def test_a_stop_rejected_or_expired_at_its_trigger_flattens(name: str) -> None:
    """I1."""
    play(name)


def test_a_stop_stuck_in_triggering_flattens() -> None:
    """I1."""
    play("stop-stuck-triggering")


def test_an_acknowledged_stop_that_is_not_there_is_replaced() -> None:
    """I1."""
    play("stop-acknowledged-only")


@pytest.mark.parametrize("name", ["stop-cancelled-once", "stop-cancelled-unheard", "exchange-restart-loses"])
def test_a_cancelled_stop_is_replaced_once(name: str) -> None:
    """I1."""
    play(name)


def test_a_stop_cancelled_again_flattens_and_halts() -> None:
    """I1."""
    play("stop-cancelled-twice")


def test_a_reduce_only_refusal_of_the_close_is_tried_again_without_targets() -> None:
    """I1, I3."""
    play("close-refused-2022")


@pytest.mark.parametrize("name", ["reduce-only-refused", "target-refused-4118"])
def test_a_reduce_only_refusal_beside_targets_makes_them_go_and_come_back(name: str) -> None:
    """I3, I10."""
    play(name)


def test_near_the_cap_of_conditional_orders_the_entry_is_refused() -> None:
    """I1, I12."""
    play("conditional-cap-near")


def test_a_stop_refused_for_the_cap_flattens() -> None:
    """I1."""
    play("stop-cap-reached")


@pytest.mark.parametrize("name", ["close-position-stop-rests", "stop-4130"])
def test_a_close_position_stop_in_the_way_bares_nothing(name: str) -> None:
    """I10."""
    play(name)
