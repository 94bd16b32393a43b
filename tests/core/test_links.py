"""A link that flaps is told of at once and then once a minute; the gate and the banner know every loss."""

from __future__ import annotations

import pytest

from tests.desk import Desk
from tui_trader.core import events as ev
from tui_trader.core.types import Channel

MARKET = Channel.MARKET


def lose(desk: Desk, channel: Channel = MARKET, reason: str = "reset") -> None:
    desk.process(ev.LinkDown(ts=desk.now, channel=channel, reason=reason))


def regain(desk: Desk, channel: Channel = MARKET) -> None:
    desk.process(ev.LinkUp(ts=desk.now, channel=channel))


def quiet() -> Desk:
    desk = Desk().start()
    desk.run(2_000)
    desk.log.clear()
    return desk


def told(desk: Desk) -> list[str]:
    """What the log says of links since the last call."""
    said = [line for line in desk.log if " link " in line]
    desk.log.clear()
    return said


DOWN = f"the {MARKET.shown} link is down: no entries (reset)"
UP = f"the {MARKET.shown} link is up"


def test_one_loss_and_its_return_are_told_at_once() -> None:
    desk = quiet()
    lose(desk)
    desk.run(1_000)
    regain(desk)
    assert told(desk) == [DOWN, UP]
    desk.run(120_000)
    lose(desk)
    assert told(desk) == [DOWN]


@pytest.mark.parametrize("channel", list(Channel))
def test_a_link_that_flaps_each_second_is_told_of_once_a_minute(channel: Channel) -> None:
    """Hours of it leave two lines a minute at most, with the count; it was 120."""
    desk = quiet()
    for _ in range(300):
        lose(desk, channel)
        assert "blind" in [reason.code for reason in desk.engine.state.blocks()]
        assert desk.engine.state.alarm.startswith(f"the {channel.shown} link is down: no entries")
        desk.run(500)
        regain(desk, channel)
        assert not desk.engine.state.alarm
        desk.run(500)
    said = told(desk)
    assert said[:2] == [f"the {channel.shown} link is down: no entries (reset)", f"the {channel.shown} link is up"]
    assert 4 <= len(said) - 2 <= 8
    assert all("more times within a minute" in line for line in said[2:] if not line.endswith("link is up"))


def test_a_loss_that_was_only_counted_and_lasts_is_told_when_its_minute_is_over() -> None:
    desk = quiet()
    lose(desk)
    regain(desk)
    desk.run(1_000)
    lose(desk)
    assert told(desk) == [DOWN, UP]
    assert desk.engine.state.alarm == DOWN
    desk.run(62_000)
    assert told(desk) == [f"{DOWN}, lost 1 more time within a minute"]
    regain(desk)
    assert told(desk) == [UP]
    desk.run(62_000)
    assert told(desk) == []


def test_what_was_only_counted_is_told_although_the_link_stands_again() -> None:
    desk = quiet()
    for _ in range(4):
        lose(desk)
        regain(desk)
        desk.run(1_000)
    assert told(desk) == [DOWN, UP]
    desk.run(60_000)
    assert told(desk) == [f"the {MARKET.shown} link was lost 3 more times within a minute and is up"]


def test_links_are_counted_apart() -> None:
    desk = quiet()
    lose(desk)
    lose(desk, Channel.PUBLIC)
    assert len(told(desk)) == 2
