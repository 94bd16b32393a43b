"""What a tired person stumbled over: words cut, numbers missing, candles squeezed, impossible prices."""

from __future__ import annotations

import msgspec
import pytest

from tests.ui.sample import alarm_snapshot, snapshot
from tests.ui.test_render import drawn
from tui_trader.core.strategy_rows import ConditionView, SignalRow
from tui_trader.core.types import Side
from tui_trader.core.views import ChartLine, PositionRow, Snapshot
from tui_trader.ui import format as f
from tui_trader.ui.layout import plan
from tui_trader.ui.numbers import stop_consequence, stop_problem, target_problem
from tui_trader.ui.screens.texts import help_text
from tui_trader.ui.screens.ticket import limit_amount
from tui_trader.ui.state import Frame
from tui_trader.ui.theme import palette
from tui_trader.ui.widgets.chart import REACH, scale_for
from tui_trader.ui.widgets.header import no_entries
from tui_trader.ui.widgets.signals import explanation


def lines_of(pane: str, shown: Snapshot, selected: str = "BTCUSDT") -> list[str]:
    """A pane as it stands at 160×50."""
    slot = plan(160, 50).slot_of(pane)
    assert slot is not None
    frame = Frame(snapshot=shown, selected=selected, palette=palette(""), recent=(pane,))
    drawing = drawn(pane, frame, slot.inner.width, slot.inner.height)
    return ["".join(text for text, _ in line).rstrip() for line in drawing]


def test_at_160_columns_nothing_that_matters_is_dropped() -> None:
    titles = {pane: " ".join(lines_of(pane, snapshot())[0].split()) for pane in ("positions", "orders", "signals")}
    titles["signals"] = titles["signals"].partition(" ▼")[0]
    assert titles == {
        "positions": "sym qty entry mark P&L R stop seen",
        "orders": "time symbol leg side qty price status proven",
        "signals": "time symbol side strategy conv action",
    }
    assert lines_of("universe", snapshot())[0].startswith(" symbol    tier      last   24h%   vol  spr  fund%")


def test_eight_positions_of_a_large_price_fit_in_sight() -> None:
    shown = snapshot()
    large = msgspec.structs.replace(shown.positions[0], entry=106_488.2, mark=104_359.4, stop=104_359.4, pnl=-1_161.58)
    rows = tuple(msgspec.structs.replace(large, symbol=f"AB{n}USDT") for n in range(8))
    lines = lines_of("positions", msgspec.structs.replace(shown, positions=rows))
    assert sum("106,488.2 104,359.4" in line and "✓104,359.4" in line for line in lines) == 8


def test_the_states_of_the_ladder_are_whole_words() -> None:
    text = "\n".join(lines_of("ladder", snapshot()))
    assert "● resting" in text
    assert "◇ trigger" in text
    assert "…" not in text


def test_lines_far_away_stand_at_the_edge_and_leave_the_candles_their_room() -> None:
    shown = snapshot()
    candles = shown.chart.candles[-30:]
    own = max(c.high for c in candles) - min(c.low for c in candles)
    top = max(c.high for c in candles) + own * 9
    bottom = min(c.low for c in candles) - own * 9
    lines = (ChartLine(kind="tp", label="TP2", price=top), ChartLine(kind="stop", label="SL", price=bottom))
    scale = scale_for(candles, lines, 20)
    assert scale.high - scale.low <= own * REACH * 1.1
    chart = msgspec.structs.replace(shown.chart, candles=candles, lines=lines)
    drawing = lines_of("chart", msgspec.structs.replace(shown, chart=chart))
    assert drawing[0].endswith(f"▲TP2 {f.price(top, chart.price_decimals)}")
    assert any(line.endswith(f"▼SL {f.price(bottom, chart.price_decimals)}") for line in drawing[-8:])


def test_a_strategy_that_holds_does_not_say_it_twice() -> None:
    conditions = tuple(
        ConditionView(name="c", value=1, limit=2, text=text, met=text == "b") for text in ("a", "b", "c")
    )
    row = SignalRow(
        ts=0,
        symbol="X",
        side="hold",
        strategy="s",
        conviction=0,
        action="hold",
        reasons=("a; c", "quiet"),
        conditions=conditions,
    )
    text = " ".join("".join(part for part, _ in line) for line in explanation(row, 60)).split()
    assert text == ["quiet", "a", "✗", "b", "✓", "c", "✗"]


def test_why_there_are_no_entries_is_one_sentence() -> None:
    header = alarm_snapshot().header
    one = msgspec.structs.replace(header, armed=True, entries_paused=True, blocks=("entries are paused by hand",))
    assert no_entries(one) == "No new entries, p resumes them: entries are paused by hand."
    two = msgspec.structs.replace(
        header, armed=True, entries_paused=False, positions=1, blocks=("the feed link is down (reset)", "b", "c")
    )
    assert no_entries(two) == (
        "No new entries, open positions stay managed: the feed link is down (reset) (and 2 more reasons)."
    )


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (8.0, "count", "8"),
        (60.0, "/min", "60"),
        (1_599.49, "USDT", "1,599"),
        (12.5, "USDT", "12.50"),
        (4.1, "%", "4.1"),
    ],
)
def test_amounts_have_no_needless_decimals(value: float, unit: str, text: str) -> None:
    assert limit_amount(value, unit) == text


def position(side: Side) -> PositionRow:
    row = snapshot().positions[0]
    stop, liquidation = (95.0, 60.0) if side is Side.LONG else (105.0, 140.0)
    return msgspec.structs.replace(
        row, side=side, qty=2.0, entry=100.0, mark=100.0, stop=stop, liquidation=liquidation, price_decimals=1
    )


@pytest.mark.parametrize(
    ("side", "price", "words"),
    [
        (Side.LONG, "100", "must be under the mark price"),
        (Side.SHORT, "99", "must be over the mark price"),
        (Side.LONG, "55", "would be liquidated at 60.0"),
        (Side.SHORT, "141", "would be liquidated at 140.0"),
        (Side.LONG, "96.05", "1 decimals"),
        (Side.LONG, "96.5", ""),
        (Side.SHORT, "104.5", ""),
    ],
)
def test_an_impossible_stop_is_told_before_it_is_sent(side: Side, price: str, words: str) -> None:
    problem = stop_problem(price, position(side))
    assert words in problem
    assert bool(words) == bool(problem)


def test_a_stop_or_target_far_beyond_reason_is_a_typing_mistake() -> None:
    free = msgspec.structs.replace(position(Side.LONG), liquidation=0.0)
    assert "typing mistake" in stop_problem("1.5", free)
    values = {"leg": "TP1", "price": "1000", "share": "20"}
    assert "typing mistake" in target_problem(values, Side.LONG, 100.0)


def test_the_consequence_of_a_stop_is_told() -> None:
    assert stop_consequence("96", position(Side.LONG)) == "stopped there: −8.00 USDT before fees."
    assert "Wider than now" in stop_consequence("110", position(Side.SHORT))


def test_help_says_whose_time_it_is_and_when_a_bare_position_is_closed() -> None:
    text = help_text(palette(""), {}, 7.5).plain
    assert "All times are the venue's, UTC." in text
    assert "after 7.5 s it is closed" in text
