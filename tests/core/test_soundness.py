"""A person's own strategy may do what it likes at a bar's close: it is heard, or its failure is said in words."""

from __future__ import annotations

from decimal import Decimal
from itertools import product

import msgspec
import pytest

from tests.core.build import settings
from tests.core.test_entries import MET, SYMBOL, Says, actions, bar
from tests.desk import Desk
from tui_trader.core import events as ev
from tui_trader.core.candles import TIMEFRAMES, CandleBook
from tui_trader.core.parameters import Values
from tui_trader.core.signals import MarketState, Signal
from tui_trader.core.soundness import Failure, higher_of, listen, out_of_reach
from tui_trader.core.types import Side
from tui_trader.strategies.registry import SHIPPED

MARKET = MarketState(symbol=SYMBOL, candles=CandleBook(SYMBOL), timeframe="1m", values={})
GOOD = Signal(
    strategy="says", symbol=SYMBOL, side=Side.LONG, conviction=0.9, conditions=(MET,), bar_close_ms=0, stop=Decimal(1)
)


class Raises(Says):
    """Fails as it was told."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def on_bar(self, state: MarketState) -> Signal | None:
        raise self.error


class Answers(Says):
    """Gives back what it was given."""

    def __init__(self, answer: object) -> None:
        super().__init__()
        self.answer = answer

    def on_bar(self, state: MarketState) -> Signal | None:
        return self.answer  # type: ignore[return-value]  # whatever it is


def test_a_sound_signal_and_silence_are_heard_as_they_are() -> None:
    assert listen(Answers(GOOD), MARKET) is GOOD
    assert listen(Answers(None), MARKET) is None


@pytest.mark.parametrize("error", [ZeroDivisionError("by zero"), SystemExit(3), RecursionError(), KeyError("\x1b[2J")])
def test_an_error_is_told_with_its_line(error: BaseException) -> None:
    found = listen(Raises(error), MARKET)
    assert isinstance(found, Failure)
    assert found.words.startswith(type(error).__name__)
    assert "(test_soundness.py, line " in found.words
    assert found.words.isprintable()


def test_an_interrupt_of_the_person_goes_through() -> None:
    with pytest.raises(KeyboardInterrupt):
        listen(Raises(KeyboardInterrupt()), MARKET)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"symbol": "ETHUSDT"}, "it spoke for 'says' of 'ETHUSDT'"),
        ({"strategy": "another"}, "it spoke for 'another'"),
        ({"side": "up"}, "its side is a str"),
        ({"note": 7}, "its note is a int"),
        ({"conviction": 1.2}, "its conviction 1.2 is not within 0 to 1"),
        ({"conviction": float("nan")}, "its conviction nan"),
        ({"conviction": "high"}, "TypeError"),
        ({"stop": 43_000.0}, "its stop is a float"),
        ({"stop": Decimal("NaN")}, "its stop NaN is no price"),
        ({"target": Decimal(-1)}, "its target -1 is no price"),
        ({"conditions": None}, "TypeError"),
        ({"conditions": (msgspec.structs.replace(MET, name=3),)}, "name or text is not a text"),
        ({"conditions": (msgspec.structs.replace(MET, value="big"),)}, "ValueError"),
        ({"conditions": (msgspec.structs.replace(MET, score=float("inf")),)}, "weight of the condition breakout"),
    ],
)
def test_what_cannot_be_traded_or_shown_is_a_failure(changes: dict[str, object], words: str) -> None:
    found = listen(Answers(msgspec.structs.replace(GOOD, **changes)), MARKET)
    assert isinstance(found, Failure)
    assert words in found.words


def test_a_higher_timeframe_that_is_none_or_fails_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy = Says()
    for answer, shown in (("1h", "1h"), (None, ""), ("2h", ""), (7, ""), (["1h"], "")):
        monkeypatch.setattr(strategy, "higher", lambda timeframe, answer=answer: answer)
        assert higher_of(strategy, "5m") == shown
    monkeypatch.setattr(strategy, "higher", lambda timeframe: 1 / 0)
    assert higher_of(strategy, "5m") == ""


def test_what_is_no_signal_is_a_failure() -> None:
    assert listen(Answers("buy"), MARKET) == Failure("it said a str, not a Signal")


def test_a_failing_strategy_is_paused_and_shown_and_the_others_trade_on() -> None:
    broken, sound = Raises(ZeroDivisionError("division by zero")), Says()
    broken.name = "broken"
    desk = Desk(strategies={"broken": broken, "says": sound}, settings=settings()).start()
    desk.records.clear()
    bar(desk)
    assert [a for a, _ in actions(desk)] == ["opened"]
    assert len(desk.engine.state.plans) == 1
    rows = {row.name: row for row in desk.engine.view(desk.now, "", "1m").strategies}
    assert (rows["broken"].running, rows["says"].running) == (False, True)
    assert rows["broken"].problem.startswith(f"broken failed on {SYMBOL}: ZeroDivisionError: division by zero (test_")
    assert rows["says"].problem == ""
    (audit,) = [r.data for r in desk.records if r.kind == "audit" and r.data["action"] == "PauseStrategy"]
    assert audit["detail"]["strategy"] == "broken"
    assert any("it is paused, open positions stay managed" in text for text in desk.log)
    bar(desk)
    assert sum("it is paused" in text for text in desk.log) == 1
    assert sound.asked == 2


def test_a_person_resumes_a_failed_strategy_and_it_fails_again_in_words() -> None:
    broken = Raises(ValueError("no"))
    desk = Desk(strategies={"says": broken}).start()
    bar(desk)
    desk.process(ev.PauseEntries(ts=desk.now, paused=False, strategy="says"))
    (row, _) = desk.engine.view(desk.now, "", "1m").strategies
    assert (row.running, row.problem) == (True, "")
    bar(desk)
    (row, _) = desk.engine.view(desk.now, "", "1m").strategies
    assert (row.running, "ValueError: no" in row.problem) == (False, True)
    assert sum("it is paused" in text for text in desk.log) == 2


class Greedy(Says):
    """Needs more bars than a session keeps."""

    def __init__(self, own: int, above: int) -> None:
        super().__init__()
        self.needs = own, above

    def higher(self, timeframe: str) -> str | None:
        return "1h"

    def history(self, values: Values) -> tuple[int, int]:
        return self.needs


def test_a_strategy_that_could_never_judge_a_bar_is_told_and_not_silently_idle() -> None:
    assert out_of_reach(Greedy(1_500, 500), "1m", {}) == ""
    assert out_of_reach(Greedy(1_501, 0), "1m", {}).startswith(
        "it needs 1501 closed bars of 1m and a session keeps 1500"
    )
    assert "501 closed bars of 5m" in out_of_reach(Greedy(501, 0), "5m", {})
    found = listen(Greedy(10, 800), MARKET)
    assert isinstance(found, Failure)
    assert found.words == "it needs 800 closed bars of 1h and a session keeps 500: it would never judge one"


def test_every_shipped_strategy_is_within_reach_whatever_its_parameters() -> None:
    for kind in SHIPPED:
        strategy = kind()
        corners = product(*((p.low, p.high) for p in strategy.parameters))
        for corner in corners:
            values = {p.name: value for p, value in zip(strategy.parameters, corner, strict=True)}
            assert [out_of_reach(strategy, frame, values) for frame in TIMEFRAMES] == [""] * len(TIMEFRAMES)


def test_it_is_paused_with_the_reason_where_a_person_sees_it() -> None:
    chosen = settings()
    desk = Desk(strategies={"says": Greedy(10, 800)}, settings=chosen).start()
    bar(desk)
    assert "800 closed bars of 1h" in desk.engine.state.failed_strategies["says"]
    (row, _) = desk.engine.view(desk.now, SYMBOL, "15m").strategies
    assert "800 closed bars of 1h" in row.problem
