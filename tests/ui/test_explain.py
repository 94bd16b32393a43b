"""Enter explains: a signal with its arithmetic, a strategy with its parameters, a symbol with its regimes."""

from __future__ import annotations

import msgspec
import pytest

from tests.ui.sample import FakeSession, snapshot
from tests.ui.test_console import SIZE, press, text_of
from tests.ui.test_render import drawn
from tui_trader.core.strategy_rows import RegimeView
from tui_trader.ui.app import ConsoleApp
from tui_trader.ui.screens.explain import figure, on_the_point, strategy_text
from tui_trader.ui.screens.texts import detail_text
from tui_trader.ui.state import Frame
from tui_trader.ui.theme import palette
from tui_trader.ui.widgets.regimes import regime_words
from tui_trader.ui.widgets.signals import explanation

SHOWN = snapshot()
FRAME = Frame(snapshot=SHOWN, selected="BTCUSDT", palette=palette(""))


async def shown_after(*keys: str, size: tuple[int, int] = SIZE) -> str:
    app = ConsoleApp(FakeSession())
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        for key in keys:
            await pilot.press(key)
            await pilot.pause()
        return text_of(app)


async def test_enter_on_a_signal_shows_its_arithmetic_first() -> None:
    text = await shown_after("8", "j", "enter")
    assert "SOLUSDT: why" in text
    assert "14:10:53 long by volume_breakout" in text
    assert "✗ funding in 31 min (< 40 min)" in text
    assert "3 of 3" in text
    assert "0.87 ≥ 0.80, the threshold" in text
    assert "stop 96.90" in text
    assert "bear on 5m" in text
    assert "the trained set was demoted, 9 of 14 trades lost where 5 were promised" in text
    assert text.index("condition  ") < text.index("✓ consolidation")
    (line,) = [line for line in text.splitlines() if "✓ break " in line]
    assert line.split("✓ break")[1].split()[:4] == ["0.31", "0", "0.92", "0.5"]


async def test_enter_on_a_signal_that_holds_says_what_was_missed() -> None:
    text = await shown_after("8", "j", "j", "enter", size=(80, 24))
    assert "0 of 1" in text
    assert "none: not every condition is met" in text
    assert "unknown on 1m" in text
    (line,) = [line for line in text.splitlines() if "✗ distance to the mean" in line]
    assert line.split("mean")[1].split()[:3] == ["0.0004", "0.001", "0.32"]


async def test_enter_on_a_strategy_shows_what_it_runs_with_and_why() -> None:
    text = await shown_after("P", "enter")
    assert "volume_breakout: why" in text
    assert "BTC: bull on 5m" in text
    assert "trained for bull on 5m" in text
    assert "bars 25 (default 20)" in text
    assert "default: the trained set was demoted, 9 of 14 trades lost where 5 were promised" in text
    assert "out of sample +0.38R in 41 trades, held to +0.09R at least; since then +0.21R in 6" in text
    assert "✗ SOL bear: demoted" in text
    assert "5 to 100" in text


async def test_a_strategy_that_failed_says_where_and_is_resumed_with_the_pause_key() -> None:
    text = await shown_after("P", "j", "j", "j", "enter", size=(80, 24))
    assert "✗ failed" in text
    assert "division by zero" in text
    assert "Mend the file and start anew" in text
    session = FakeSession()
    await press(session, "P", "p", "4")
    (command,) = session.sent
    assert (command.strategy, command.paused) == ("rsi_pullback", False)


def test_entries_by_hand_and_a_strategy_that_is_gone() -> None:
    assert "entries by hand" in strategy_text(FRAME, "manual", 80).plain
    assert "There is no strategy gone any more." in strategy_text(FRAME, "gone", 80).plain


async def test_regimes_stand_in_the_chart_the_universe_and_the_detail() -> None:
    text = await shown_after(size=SIZE)
    assert "BTCUSDT 15m · 43,512.4 · ATR 650.0 · bull 1m 5m" in text
    small = await shown_after(size=(80, 24))
    head = small.splitlines()[2]
    (member,) = [line for line in small.splitlines() if "ETHUSDT" in line]
    column = head.index("1m 5m")
    assert member[column : column + 5] == " ─  ▼"
    words = detail_text(FRAME, "SEIUSDT", 100).plain
    assert "bull on 1m" in words
    assert "unknown on 5m: 23 of 50 closed bars" in words
    assert "default: the regime is not known yet" in words


def test_open_interest_stands_in_the_detail_with_its_age() -> None:
    def words(**told: float) -> str:
        members = tuple(msgspec.structs.replace(row, **told) for row in SHOWN.universe.members)
        shown = msgspec.structs.replace(SHOWN, universe=msgspec.structs.replace(SHOWN.universe, members=members))
        text = detail_text(Frame(snapshot=shown, selected="", palette=palette("")), "SEIUSDT", 100).plain
        (line,) = [line for line in text.splitlines() if "open interest" in line]
        return " ".join(line.split())

    assert words() == "open interest not told by the venue yet"
    assert words(last=2.0, open_interest=4.1e6, open_interest_age_s=31.0) == "open interest 8.2M USDT, told 31s ago"


def test_a_universe_without_candles_has_no_regimes() -> None:
    members = tuple(msgspec.structs.replace(row, regimes=()) for row in SHOWN.universe.members)
    bare = msgspec.structs.replace(SHOWN, universe=msgspec.structs.replace(SHOWN.universe, members=members))
    frame = Frame(snapshot=bare, selected="", palette=palette(""))
    assert "5m" not in "".join(text for text, _ in drawn("universe", frame, 78, 5)[0])


def test_regimes_in_words() -> None:
    def one(timeframe: str, regime: str, bars: int = 50) -> RegimeView:
        return RegimeView(timeframe=timeframe, regime=regime, bars=bars, needed=50)

    rows = (one("1m", "bull"), one("5m", "bear"), one("1h", "bull"), one("1d", "unknown", 3))
    assert regime_words(rows) == ["bull 1m 1h", "bear 5m", "unknown 1d"]
    assert one("1d", "unknown", 3).words == "unknown on 1d: 3 of 50 closed bars"
    assert one("1d", "unknown").words == "unknown on 1d until its next bar closes"


def test_the_circumstances_stand_under_a_signal_where_there_is_room() -> None:
    row = SHOWN.signals[0]
    wide = ["".join(text for text, _ in line) for line in explanation(row, 56)]
    assert wide[-1].endswith("  5m bull, trained")
    for width in range(20, 80):
        assert len(explanation(row, width)) == len(explanation(msgspec.structs.replace(row, timeframe=""), width))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (2.41, "2.41"),
        (60.0, "60"),
        (0.0004, "0.0004"),
        (0.46553, "0.466"),
        (104_500.4, "104,500"),
        (-1.5, "−1.5"),
    ],
)
def test_figures(value: float | None, text: str) -> None:
    assert figure(value) == text


def test_the_values_of_a_column_stand_on_their_decimal_point() -> None:
    column = [text.rjust(8) for text in on_the_point(["2.94", "1.8", "0.466", "3", "–"])]
    assert column == ["   2.94 ", "   1.8  ", "   0.466", "   3    ", "   –    "]
