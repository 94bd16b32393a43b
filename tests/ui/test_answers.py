"""What the engine says to a command stands where the person looks."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from tests.ui.sample import NOW, FakeSession, snapshot
from tests.ui.test_console import SIZE, text_of
from tests.ui.test_render import drawn
from tui_trader.core.events import StopToBreakEven
from tui_trader.core.types import Severity
from tui_trader.core.views import LogRow, Snapshot
from tui_trader.ui.actions import BY_ID
from tui_trader.ui.answers import Awaited
from tui_trader.ui.app import ConsoleApp
from tui_trader.ui.screens.texts import story_text
from tui_trader.ui.state import EMPTY_FRAME, Frame
from tui_trader.ui.theme import palette
from tui_trader.ui.widgets.header import status


def row(text: str, severity: Severity = Severity.INFO, symbol: str = "BTCUSDT", ts: int = NOW) -> LogRow:
    return LogRow(ts=ts, severity=severity, text=text, symbol=symbol)


def test_only_new_sentences_about_the_symbol_answer() -> None:
    old = row("before")
    awaited = Awaited(StopToBreakEven(ts=NOW, symbol="BTCUSDT"), [old])
    others = [row("another symbol", symbol="ETHUSDT"), row("too old", ts=NOW - 1), old]
    assert awaited.answer(others) is None
    assert awaited.answer([row("stop to 43500"), *others]) == ("stop to 43500", "text")
    assert awaited.answer([row("stop to 43500"), *others]) is None


def test_a_refusal_is_not_replaced_by_a_later_calm_sentence_and_an_alarm_replaces_it() -> None:
    awaited = Awaited(StopToBreakEven(ts=NOW, symbol="BTCUSDT"), ())
    log = [row("calm, newest"), row("refused", Severity.WARNING), row("calm")]
    assert awaited.answer(log) == ("refused", "notice")
    assert awaited.answer([row("calm again"), *log]) is None
    assert awaited.answer([row("naked", Severity.ALARM), *log]) == ("naked", "alarm")


def test_a_loss_has_one_minus_sign_in_the_answer_the_log_and_the_story() -> None:
    loss = row("BTCUSDT: closed, -4.20 USDT (-0.50 R)")
    awaited = Awaited(StopToBreakEven(ts=NOW, symbol="BTCUSDT"), ())
    assert awaited.answer([loss]) == ("BTCUSDT: closed, −4.20 USDT (−0.50 R)", "text")
    shown = msgspec.structs.replace(snapshot(), log=(loss,), story=(), alarm=loss.text)
    frame = Frame(snapshot=shown, selected="BTCUSDT", palette=palette(""))
    line = "".join(text for text, _ in drawn("log", frame, 100, 5)[1])
    assert "closed, −4.20 USDT (−0.50 R)" in line
    assert "Closed, −4.20 USDT (−0.50 R)" in story_text(frame, "BTCUSDT").plain
    assert "−4.20 USDT (−0.50 R)" in status(frame, 100)[0][0]
    assert frame.snapshot.log[0].text == loss.text


def with_log(shown: Snapshot, *rows: LogRow) -> Snapshot:
    return msgspec.structs.replace(shown, log=(*rows, *shown.log))


async def test_a_refused_command_is_on_the_screen_at_once() -> None:
    session = FakeSession()
    app = ConsoleApp(session)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        await pilot.press("e")
        await pilot.pause()
        assert "to break-even" in text_of(app)
        words = "BTCUSDT: break-even 43550 is beyond the price 43512.4; the stop stays at 42850"
        session.shown = with_log(snapshot(), row(words, Severity.WARNING))
        app.tick()
        await pilot.pause()
        assert f"! {words}" in text_of(app).splitlines()[1]


async def test_an_alarm_that_comes_later_takes_the_place_of_an_answer() -> None:
    session = FakeSession()
    app = ConsoleApp(session)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        await pilot.press("e")
        session.shown = msgspec.structs.replace(snapshot(), alarm="BTCUSDT has no stop")
        app.tick()
        await pilot.pause()
        assert "BTCUSDT has no stop" in text_of(app).splitlines()[1]
        await pilot.press("R")
        await pilot.pause()
        assert "not set" in text_of(app).splitlines()[1]


@pytest.mark.parametrize("role", ["text", "warn", "notice"])
def test_an_answer_that_names_a_foreign_text_is_shown_cleaned(role: str) -> None:
    frame = replace(EMPTY_FRAME, feedback="No position in BTC\u202eTDSU\x1b[31m.", feedback_role=role)
    ((words, shown_as),) = status(frame, 60)
    assert words.strip(" !") == "No position in BTCTDSU[31m."
    assert shown_as == role


def test_an_action_on_a_position_names_no_symbol_where_none_is_selected() -> None:
    frame = replace(EMPTY_FRAME, starting=False)
    assert (
        BY_ID["close"].why_not(frame)
        == BY_ID["buy"].why_not(frame)
        == ("No symbol is selected: press / and type its name.")
    )
    assert BY_ID["close"].why_not(replace(frame, selected="BTCUSDT")).startswith("No position in BTCUSDT: ")
