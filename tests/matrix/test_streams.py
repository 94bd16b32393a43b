"""Fault matrix: streams that are cut, silent, gapped or garbled, and a venue that asks for silence."""

from __future__ import annotations

import pytest

from tui_trader.drill.play import act, play
from tui_trader.drill.scenarios.entries import QTY, entered_long
from tui_trader.drill.scenarios.look import BTC, fitted, position, wait
from tui_trader.drill.world import Setup, SimWorld


@pytest.mark.parametrize("name", ["disconnect", "disconnect-while-entering", "enter-while-cut"])
def test_after_a_disconnect_a_snapshot_comes_before_trading(name: str) -> None:
    """I1, I7, I11."""
    play(name)


def test_after_a_disconnect_both_books_are_compared() -> None:
    """I1, I8."""
    play("disconnect-both-books")


@pytest.mark.parametrize("name", ["private-mute", "private-half-open"])
def test_an_open_but_silent_socket_bares_nothing(name: str) -> None:
    """I1, I11."""
    play(name)


def test_a_silent_book_makes_blind() -> None:
    """I11."""
    play("book-silent")


def test_a_book_gap_is_not_traded_on() -> None:
    """I11."""
    play("book-gap")


def test_a_stale_book_is_not_traded_on() -> None:
    """I11."""
    play("book-stale")


def test_a_crossed_book_is_not_traded_on() -> None:
    """I11."""
    play("book-crossed")


def test_garbage_and_truncated_frames_are_dropped() -> None:
    """I1, I6."""
    play("garbage-frames")


def test_garbage_and_truncated_answers_are_found_out() -> None:
    """I2, I5."""
    play("garbage-answers")


def test_a_64_mib_frame_closes_the_connection_alone() -> None:
    """I1."""
    play("huge-frame")


def test_nesting_unknown_events_and_impossible_symbols_are_dropped() -> None:
    """I6, I23."""
    play("odd-frames")


@pytest.mark.parametrize("name", ["rate-limited", "rate-limited-stop", "overloaded-1008"])
def test_a_429_is_obeyed(name: str) -> None:
    """I13."""
    play(name)


def test_a_418_is_obeyed() -> None:
    """I13."""
    play("banned")


def test_a_403_is_obeyed() -> None:
    """I13."""
    play("forbidden")


def test_an_expired_listen_key_is_renewed_and_the_account_compared() -> None:
    """I1, I7, I11."""

    async def script(world: SimWorld) -> None:
        ladder = await entered_long(world)
        world.hub.expire_key(world.hub.keys.create(world.account))
        await world.move(BTC, ladder.at(1.6))
        await wait(world, lambda: fitted(world) and position(world) == QTY / 2, "TP1, and the stop follows")
        await world.enter("ETHUSDT", qty="0.500")

    act(script, Setup())
