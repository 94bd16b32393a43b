"""A trace tells what came in and what went out, in sentences, without what says nothing about orders."""

from __future__ import annotations

import json
import typing

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from tests.core.test_events import whole
from tests.core.test_executor import opened
from tui_trader.core import commands as cmd
from tui_trader.core import events as ev
from tui_trader.core.trace import QUIET, Trace, line, sentence
from tui_trader.core.types import Severity

KINDS = (*typing.get_args(ev.Event), *(k for k in typing.get_args(cmd.Command) if k is not cmd.Record))


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_every_event_and_command_has_a_sentence_and_a_line(kind: type[msgspec.Struct]) -> None:
    @hypothesis_settings(max_examples=10)
    @given(fact=whole(kind))
    def check(fact: msgspec.Struct) -> None:
        words = sentence(fact)
        assert words.strip()
        told = json.loads(line(7, words, fact))
        assert told["at"] == 7
        assert told["what"]

    check()


def test_market_data_and_timers_do_not_push_the_story_out() -> None:
    trace = Trace(kept=5)
    trace.heard(1, ev.LinkUp(ts=1, channel=ev.Channel.REST))
    for ts in range(100):
        trace.heard(ts, ev.Timer(ts=ts))
        trace.emitted(ts, cmd.Record(ts=ts, kind="equity", data={}))
    assert [json.loads(text)["what"] for text in trace.lines()] == ["the rest link is up"]
    assert ev.Timer in QUIET


def test_it_is_bounded_and_keeps_the_newest() -> None:
    trace = Trace(kept=3)
    for ts in range(9):
        trace.emitted(ts, cmd.Announce(ts=ts, severity=Severity.INFO, text=f"step {ts}"))
    assert len(trace) == 3
    assert [json.loads(text)["what"] for text in trace.lines()] == [f"said (info): step {n}" for n in (6, 7, 8)]


def test_the_story_of_an_entry_reads_in_order() -> None:
    desk = opened()
    told = [json.loads(text)["what"] for text in desk.engine.watch.trace.lines()]
    sent = [words.split(" as ")[0] for words in told if words.startswith("send ")]
    assert sent[0] == "send ENTRY BTCUSDT BUY 0.040 MARKET"
    assert sent[1].startswith("send STOP BTCUSDT SELL 0.040 STOP_MARKET at ")
    assert sent[1].endswith(", reduce-only")
    filled = next(i for i, words in enumerate(told) if words.startswith("filled: BTCUSDT BUY"))
    assert told.index("store a row of plans") < filled < next(i for i, w in enumerate(told) if "send STOP" in w)
