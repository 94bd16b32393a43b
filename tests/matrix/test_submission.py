"""Fault matrix: requests and answers that are lost, late, doubled or unsure."""

from __future__ import annotations

import pytest

from tui_trader.drill.play import play


@pytest.mark.parametrize("name", ["entry-request-lost", "stop-request-lost"])
def test_a_lost_request_is_asked_about_and_never_doubled(name: str) -> None:
    """I2, I5."""
    play(name)


def test_an_entry_that_arrives_late_within_its_window_is_never_doubled() -> None:
    """I2, I5."""
    play("entry-late-arrival")


@pytest.mark.parametrize(
    "name", ["entry-answer-lost", "stop-answer-lost", "entry-mangled-answer", "stop-mangled-answer"]
)
def test_accepted_but_answer_lost_is_queried_under_the_same_id(name: str) -> None:
    """I2, I5."""
    play(name)


@pytest.mark.parametrize("name", ["entry-timeout", "stop-timeout"])
def test_a_timeout_is_queried_under_the_same_id(name: str) -> None:
    """I2, I5."""
    play(name)


@pytest.mark.parametrize("name", ["entry-minus-1006", "stop-minus-1006"])
def test_minus_1006_is_queried_under_the_same_id(name: str) -> None:
    """I2, I5."""
    play(name)


@pytest.mark.parametrize("name", ["entry-minus-1007", "stop-minus-1007"])
def test_minus_1007_is_queried_under_the_same_id(name: str) -> None:
    """I2, I5."""
    play(name)


@pytest.mark.parametrize("name", ["entry-503-unknown", "stop-503-unknown"])
def test_a_503_unknown_error_is_queried_under_the_same_id(name: str) -> None:
    """I2, I5."""
    play(name)


@pytest.mark.parametrize(
    "name", ["entry-reset-after-send", "stop-reset-after-send", "entry-reset-mid-answer", "stop-reset-mid-answer"]
)
def test_a_reset_after_the_send_is_queried_under_the_same_id(name: str) -> None:
    """I2, I5."""
    play(name)


@pytest.mark.parametrize("name", ["entry-503-not-executed", "stop-503-not-executed", "stop-503-for-ever"])
def test_another_503_means_failed_and_is_never_doubled(name: str) -> None:
    """I1, I2."""
    play(name)


@pytest.mark.parametrize("name", ["entry-duplicate-id", "stop-duplicate-id"])
def test_a_duplicate_id_means_that_it_exists(name: str) -> None:
    """I2."""
    play(name)


def test_requests_that_arrive_twice_leave_one_stop() -> None:
    """I2."""
    play("requests-doubled")


def test_an_event_before_the_retry_timer_cancels_the_retry() -> None:
    """I2."""
    play("event-before-retry")


def test_an_event_before_the_answer_is_merged() -> None:
    """I1, I6."""
    play("events-before-answer")


def test_events_out_of_order_are_merged() -> None:
    """I6, I7."""
    play("events-out-of-order")


def test_events_told_twice_count_once() -> None:
    """I6, I7."""
    play("events-twice")


def test_events_minutes_late_change_nothing() -> None:
    """I6, I7."""
    play("events-minutes-late")


@pytest.mark.parametrize("name", ["not-found-but-live", "entry-not-found-but-filled"])
def test_not_found_for_a_live_order_leaves_it_unknown(name: str) -> None:
    """I5."""
    play(name)


@pytest.mark.parametrize("seed", [2, 5, 7, 9])
def test_a_stop_that_meets_an_overload_at_each_try_costs_the_position_within_ten_seconds(seed: int) -> None:
    """One endpoint that fails makes the link look down again and again: that must not put the close off."""
    play("stop-503-for-ever", seed=seed)
