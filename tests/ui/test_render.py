"""Any values draw: huge, tiny, zero, negative, not finite, foreign names; every line has exactly the pane's width."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ui.sample import alarm_snapshot, empty_snapshot, snapshot
from tui_trader.core.events import Candle
from tui_trader.core.types import Side
from tui_trader.core.views import Snapshot, TicketPreview
from tui_trader.ui.layout import PANES
from tui_trader.ui.screens.main import _PANE_TYPES
from tui_trader.ui.screens.texts import detail_text, help_text
from tui_trader.ui.screens.ticket import preview_text
from tui_trader.ui.state import Frame, starting_snapshot
from tui_trader.ui.theme import PALETTES, following, palette
from tui_trader.ui.widgets.base import Line, Pane, changed_span, line_width, padded
from tui_trader.ui.widgets.header import HeaderLine, KeysLine, SelectedLine, StatusLine, TabsLine

_FLOATS = st.one_of(
    st.floats(), st.sampled_from([0.0, -0.0, 1e-12, 1e15, -1e15, 1e308, 43_512.4, 99.95, 999_999.5, 0.5])
)
_NAMES = st.one_of(st.text(max_size=30), st.sampled_from(["BTCUSDT", "币安人生USDT", "A" * 60, "", "\x1b[2J", "[b]x"]))
_BASES = {"full": snapshot, "alarm": alarm_snapshot, "empty": empty_snapshot}
_LINES: dict[str, type[Pane]] = {
    "header": HeaderLine,
    "status": StatusLine,
    "tabs": TabsLine,
    "selected": SelectedLine,
    "keys": KeysLine,
}


class Pool:
    """Values handed out round and round, so that a picture of thousands of numbers needs few draws."""

    def __init__(self, floats: list[float], names: list[str]) -> None:
        self.floats = itertools.cycle(floats)
        self.names = itertools.cycle(names)


def scrambled(value: object, pool: Pool) -> object:
    """The sample with every number and every free text taken from a pool."""
    if isinstance(value, Candle):
        return Candle(value.open_ms, *(next(pool.floats) for _ in range(5)))
    if isinstance(value, msgspec.Struct):
        changes = {name: scrambled(getattr(value, name), pool) for name in value.__struct_fields__}
        return msgspec.structs.replace(value, **changes)
    if isinstance(value, tuple):
        return tuple(scrambled(item, pool) for item in value[:12])
    if type(value) is float:
        return next(pool.floats)
    if type(value) is str:
        return next(pool.names)
    return value


def drawn(name: str, frame: Frame, width: int, height: int) -> list[Line]:
    pane = (_PANE_TYPES.get(name) or _LINES[name])(name)
    pane.picture = frame
    pane.heading(frame)
    return pane._measured(pane.draw(frame, width, height), width, height)


def check(frame: Frame, width: int, height: int) -> None:
    for name in (*PANES, *_LINES):
        rows = 1 if name in _LINES else height
        lines = drawn(name, frame, width, rows)
        assert len(lines) == rows
        for line in lines:
            assert line_width(line) == width, (name, line)
            assert all(text.isprintable() for text, _ in line), (name, line)


@settings(max_examples=60)
@given(
    st.lists(_FLOATS, min_size=1, max_size=7),
    st.lists(_NAMES, min_size=1, max_size=5),
    st.sampled_from(["full", "alarm", "empty"]),
    st.integers(8, 140),
    st.integers(1, 45),
    st.sampled_from([*PANES]),
)
def test_any_values_fit(floats: list[float], names: list[str], base: str, width: int, height: int, active: str) -> None:
    shown = scrambled(_BASES[base](), Pool(floats, names))
    assert isinstance(shown, Snapshot)
    symbol = shown.positions[0].symbol if shown.positions else "BTCUSDT"
    frame = Frame(snapshot=shown, selected=symbol, palette=palette(""), recent=(active,))
    check(frame, width, height)
    assert detail_text(frame, symbol, 100).plain.replace("\n", "").isprintable()


@pytest.mark.parametrize("width", [1, 8, 31, 60, 78, 160, 300])
def test_every_state_fits_in_every_theme(width: int) -> None:
    states = [
        snapshot(),
        empty_snapshot(),
        alarm_snapshot(),
        alarm_snapshot(killed=True),
        starting_snapshot(("one", "two"), mode="demo", detail="starting"),
        starting_snapshot(("one",), mode="live", detail="", failed="no key"),
    ]
    for colours in PALETTES.values():
        for shown in states:
            frame = Frame(snapshot=shown, selected="BTCUSDT", palette=colours, starting=shown.sequence < 0)
            check(frame, width, 24)
        assert "Kill switch" in help_text(colours, {}, 7.5).plain


def test_signs_carry_the_meaning_without_colour() -> None:
    frame = Frame(snapshot=alarm_snapshot(), selected="BTCUSDT", palette=palette("tui-trader-mono"))
    header = "".join(text for text, _ in drawn("header", frame, 160, 1)[0])
    assert "LIVE" in header
    assert "✗ 1 NAKED" in header
    assert "✗feed" in header
    assert "−512.40" in header
    positions = "\n".join("".join(text for text, _ in line) for line in drawn("positions", frame, 120, 5))
    assert "▲long" in positions
    assert "▼short" in positions
    assert "✗ 4.2s" in positions
    assert "+2.85" in positions


@pytest.mark.parametrize(("ms", "words"), [(31.0, "31ms"), (105.0, "0.1s"), (1_050.0, "1.1s"), (14_000.0, "14s")])
@pytest.mark.parametrize("width", [160, 200])
def test_a_slow_feed_is_not_shown_with_the_end_of_its_latency_cut_off(ms: float, words: str, width: int) -> None:
    full = snapshot()
    channels = tuple(msgspec.structs.replace(channel, latency_ms=ms) for channel in full.header.channels)
    shown = msgspec.structs.replace(full, header=msgspec.structs.replace(full.header, channels=channels))
    frame = Frame(snapshot=shown, selected="BTCUSDT", palette=palette(""))
    header = "".join(text for text, _ in drawn("header", frame, width, 1)[0])
    assert words in header
    assert "…" not in header


@pytest.mark.parametrize("at_once", [True, False])
def test_the_ticket_says_when_a_limit_fills_at_once(at_once: bool) -> None:
    shown = TicketPreview(symbol="BTCUSDT", side=Side.LONG, qty="0.014", entry="105019.3", at_once=at_once)
    words = preview_text(shown, palette(""), 1, 0).plain
    assert ("at worst: it crosses the price and fills at once" in words) is at_once
    assert ("expected slippage" in words) is not at_once


def test_without_a_running_strategy_none_is_said_to_open_positions() -> None:
    flat = msgspec.structs.replace(snapshot(), positions=())
    calm = msgspec.structs.replace(flat.header, blocks=(), positions=0, naked=0)
    for running, words in ((2, "Strategies open positions"), (0, "No strategy runs: p resumes")):
        shown = msgspec.structs.replace(flat, header=msgspec.structs.replace(calm, strategies_running=running))
        frame = Frame(snapshot=shown, selected="BTCUSDT", palette=palette(""))
        text = "\n".join("".join(cell for cell, _ in line) for line in drawn("positions", frame, 120, 5))
        assert words in text


def test_decimal_points_stand_under_each_other() -> None:
    frame = Frame(snapshot=snapshot(), selected="BTCUSDT", palette=palette(""))
    lines = ["".join(text for text, _ in line) for line in drawn("universe", frame, 78, 14)]
    prices = ("43,512.4", "2,611.30", "98.11", "0.5713", "1.20415", "0.72284")
    places = {line.index(price) + price.index(".") for price in prices for line in lines if f" {price}" in line}
    assert len(places) == 1


def test_every_palette_has_every_role() -> None:
    roles = {role for colours in PALETTES.values() for role in colours.inks}
    grounds = {ground for colours in PALETTES.values() for ground in colours.grounds}
    for colours in PALETTES.values():
        assert set(colours.inks) == roles
        assert set(colours.grounds) == grounds
        assert colours.textual().name == colours.name
    assert following(list(PALETTES)[-1]) == next(iter(PALETTES))
    assert following("no such theme") == next(iter(PALETTES))


_CELLS = st.lists(st.tuples(st.text("ab", min_size=1, max_size=3), st.sampled_from(["text", "dim"])), max_size=5)


@given(_CELLS, _CELLS)
def test_the_changed_span_covers_every_difference(old: list[tuple[str, str]], new: list[tuple[str, str]]) -> None:
    before, after = padded(tuple(old), 12), padded(tuple(new), 12)
    start, end = changed_span(before, after)

    def flat(line: Line) -> list[tuple[str, str]]:
        return [(char, role) for text, role in line for char in text]

    for x, (one, other) in enumerate(zip(flat(before), flat(after), strict=True)):
        assert one == other or start <= x < end
