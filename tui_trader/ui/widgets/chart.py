"""Candles drawn with half-cell strokes: price axis, time axis, volume, and the lines of the position."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tui_trader.core.events import Candle
from tui_trader.core.views import ChartLine, ChartView
from tui_trader.ui import format as f
from tui_trader.ui.state import Frame
from tui_trader.ui.widgets.base import Cell, Line, Pane, sentence
from tui_trader.ui.widgets.regimes import regime_words

_ROLES = {
    "entry": "mine",
    "stop": "loss",
    "tp": "profit",
    "be": "warn",
    "trail": "warn",
    "order": "mine",
}
_SHORT = {"be": "BE", "trail": "TRAIL", "stop": "SL", "entry": "entry"}
_BLOCKS = " ▁▂▃▄▅▆▇█"
_STROKES = {
    (0, 0): " ",
    (1, 0): "╵",
    (0, 1): "╷",
    (1, 1): "│",
    (2, 0): "╹",
    (0, 2): "╻",
    (2, 2): "┃",
    (1, 2): "╽",
    (2, 1): "╿",
}
Grid = list[list[Cell]]


@dataclass(frozen=True)
class Scale:
    """Prices to half rows: row 0 is the top of the chart, half rows count from there."""

    low: float
    high: float
    rows: int

    def half(self, price: float) -> int:
        """The half row of ``price``, kept inside the chart."""
        reach = self.high - self.low
        place = (self.high - price) / reach if reach > 0 else 0.5
        if not math.isfinite(place):
            return 0
        return int(min(max(place, 0.0), 1.0) * self.rows * 2 - 1e-9)

    def price_at(self, row: int) -> float:
        """The price in the middle of ``row``."""
        return self.high - (row + 0.5) * (self.high - self.low) / max(self.rows, 1)


REACH = 2.5
"""The chart's range in multiples of its candles' own: lines beyond it are named at the edge instead."""


def scale_for(candles: Sequence[Candle], lines: Sequence[ChartLine], rows: int) -> Scale:
    """A scale that shows every candle, and the nearest lines as long as the candles keep two fifths of the height."""
    finite = [candle for candle in candles if math.isfinite(candle.low) and math.isfinite(candle.high)]
    low = min((candle.low for candle in finite), default=0.0)
    high = max((candle.high for candle in finite), default=1.0)
    reach = max(high - low, abs(high) * 1e-6, 1e-12)
    for line in sorted(lines, key=lambda line: abs(line.price - (low + high) / 2)):
        lower, upper = min(low, line.price), max(high, line.price)
        if math.isfinite(line.price) and line.price > 0 and upper - lower <= reach * REACH:
            low, high = lower, upper
    pad = max((high - low) * 0.04, abs(high) * 1e-7, 1e-12)
    return Scale(low - pad, high + pad, rows)


def axis_width(chart: ChartView) -> int:
    """Cells of the price axis: the longest price or label with its price."""
    longest = max((len(f.price(candle.high, chart.price_decimals)) for candle in chart.candles[-1:]), default=8)
    names = max(
        (len(_name(line)) + 1 + len(f.price(line.price, chart.price_decimals)) for line in chart.lines), default=0
    )
    return min(max(longest + 2, names + 2, 10), 24)


def _name(line: ChartLine) -> str:
    return f.clean(line.label) or _SHORT.get(line.kind, line.kind)


class ChartPane(Pane):
    """The chart of the selected symbol."""

    def heading(self, frame: Frame) -> str:
        """Symbol, timeframe, last price, ATR, and the regime on each timeframe that strategies run on."""
        chart = frame.snapshot.chart
        if not chart.symbol:
            return "Chart"
        parts = [f"{f.clean(chart.symbol)} {chart.timeframe}", f.price(chart.last, chart.price_decimals)]
        if chart.atr > 0:
            parts.append(f"ATR {f.price(chart.atr, chart.price_decimals)}")
        parts += regime_words(chart.regimes)
        return " · ".join(parts)

    def draw(self, frame: Frame, width: int, height: int) -> Sequence[Line]:
        """Candles, lines, axes; a sentence when there are no candles or no room."""
        chart = frame.snapshot.chart
        if not chart.candles:
            return sentence(f.clean(chart.empty_reason) or f"No candles of {chart.symbol} yet.", width, height)
        axis = axis_width(chart)
        room = width - axis
        if room < 8 or height < 4:
            return sentence("No room for a chart here; make the terminal larger.", width, height)
        volume_rows = min(4, height // 6) if height >= 13 else 0
        rows = height - 1 - volume_rows
        step = 2 if room // 2 >= min(len(chart.candles), 60) else 1
        visible = chart.candles[-(room // step) :]
        scale = scale_for(visible, chart.lines, rows)
        grid: Grid = [[(" ", "text")] * room for _ in range(rows + volume_rows)]
        _draw_levels(grid, chart, scale)
        offset = room - len(visible) * step
        _draw_candles(grid, visible, scale, offset, step, mono=frame.palette.mono)
        if volume_rows:
            _draw_volume(grid, visible, rows, offset, step)
        labels = _labels(chart, scale, axis)
        lines = [(*_runs(grid[y]), labels.get(y, (" " * axis, "dim"))) for y in range(rows + volume_rows)]
        lines.append(_time_axis(visible, room, offset, step, chart.timeframe))
        return lines


def _draw_candles(grid: Grid, candles: Sequence[Candle], scale: Scale, offset: int, step: int, *, mono: bool) -> None:
    for number, candle in enumerate(candles):
        prices = (candle.open, candle.high, candle.low, candle.close)
        if not all(map(math.isfinite, prices)):
            continue
        x = offset + number * step
        up = candle.close >= candle.open
        role = "profit" if up else "loss"
        top, bottom = scale.half(max(candle.high, *prices)), scale.half(min(candle.low, *prices))
        body_top = scale.half(max(candle.open, candle.close))
        body_bottom = scale.half(min(candle.open, candle.close))
        for row in range(top // 2, bottom // 2 + 1):
            weights = tuple(
                2 if body_top <= half <= body_bottom else (1 if top <= half <= bottom else 0)
                for half in (row * 2, row * 2 + 1)
            )
            glyph = _STROKES[weights[0], weights[1]]
            if mono and not up and glyph == "┃":
                glyph = "║"
            grid[row][x] = (glyph, role)


def _draw_volume(grid: Grid, candles: Sequence[Candle], first: int, offset: int, step: int) -> None:
    rows = len(grid) - first
    largest = max((candle.volume for candle in candles if math.isfinite(candle.volume)), default=0.0)
    if largest <= 0 or rows < 2:
        return
    for number, candle in enumerate(candles):
        level = candle.volume / largest if math.isfinite(candle.volume) else 0.0
        eighths = int(min(max(level, 0.0), 1.0) * (rows - 1) * 8)
        for row in range(rows - 1):
            block = _BLOCKS[min(max(eighths - row * 8, 0), 8)]
            grid[len(grid) - 1 - row][offset + number * step] = (block, "faint")


def _inside(chart: ChartView, scale: Scale) -> list[ChartLine]:
    return [line for line in chart.lines if scale.low <= line.price <= scale.high]


def _edge_first(chart: ChartView, scale: Scale) -> list[ChartLine]:
    """The lines in the order of their claim to a row: those above the scale, highest first; below it, lowest first."""
    lines = [line for line in chart.lines if math.isfinite(line.price) and line.price > 0]
    above = sorted((line for line in lines if line.price > scale.high), key=lambda line: -line.price)
    below = sorted((line for line in lines if line.price < scale.low), key=lambda line: line.price)
    return [*above, *below, *sorted(_inside(chart, scale), key=lambda line: -line.price)]


def _draw_levels(grid: Grid, chart: ChartView, scale: Scale) -> None:
    for line in _inside(chart, scale):
        row = scale.half(line.price) // 2
        role = _ROLES.get(line.kind, "dim")
        glyph = "─" if line.kind == "entry" else "┄"
        grid[row] = [(glyph, role)] * len(grid[row])
    row = scale.half(chart.last) // 2
    if scale.low <= chart.last <= scale.high and all(text == " " for text, _ in grid[row]):
        grid[row] = [("·", "faint")] * len(grid[row])


def _labels(chart: ChartView, scale: Scale, axis: int) -> dict[int, Cell]:
    """The axis by row: the last price and the lines first, moved to a free row next to theirs, then plain ticks.

    A line beyond the scale stands at the edge with an arrow.
    """
    taken: dict[int, Cell] = {}
    decimals = chart.price_decimals
    if scale.low <= chart.last <= scale.high:
        taken[scale.half(chart.last) // 2] = (f.fit(f"◀{f.price(chart.last, decimals)} ", axis, ">"), "bright")
    for line in _edge_first(chart, scale):
        row = _free(taken, scale.half(line.price) // 2, scale.rows)
        if row is not None:
            role = _ROLES.get(line.kind, "dim")
            arrow = "▲" if line.price > scale.high else ("▼" if line.price < scale.low else "")
            text = f"{arrow}{_name(line)} {f.price(line.price, decimals)} "
            taken[row] = (f.fit(text, axis, ">"), role)
    every = max(scale.rows // 5, 3)
    for row in range(every // 2, scale.rows, every):
        if not any(near in taken for near in (row - 1, row, row + 1)):
            taken[row] = (f.fit(f"{f.price(scale.price_at(row), decimals)} ", axis, ">"), "dim")
    return taken


def _free(taken: dict[int, Cell], row: int, rows: int) -> int | None:
    for distance in range(6):
        for candidate in (row + distance, row - distance):
            if 0 <= candidate < rows and candidate not in taken:
                return candidate
    return None


def _time_axis(candles: Sequence[Candle], room: int, offset: int, step: int, timeframe: str) -> Line:
    days = timeframe.endswith(("d", "h")) and timeframe not in {"1h"}
    text = [" "] * room
    every = max(16 // step, 6)
    for number in range(len(candles) - 1, -1, -every):
        label = _date(candles[number].open_ms) if days else f.clock(candles[number].open_ms, seconds=False)
        start = offset + number * step - len(label) + 1
        if start >= 0:
            text[start : start + len(label)] = list(label)
    return (("".join(text), "dim"),)


def _date(ms: int) -> str:
    """Month and day of a time, by the civil-from-days algorithm (Hinnant), so that no clock module is needed."""
    days = ms // 86_400_000 + 719_468
    era_day = days % 146_097
    year_of_era = (era_day - era_day // 1_460 + era_day // 36_524 - era_day // 146_096) // 365
    day_of_year = era_day - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    return f"{month:02d}-{day:02d}"


def _runs(cells: Sequence[Cell]) -> list[Cell]:
    """Neighbouring cells of one role joined into one piece of text."""
    runs: list[Cell] = []
    start = 0
    for index in range(1, len(cells) + 1):
        if index == len(cells) or cells[index][1] != cells[start][1]:
            runs.append(("".join(text for text, _ in cells[start:index]), cells[start][1]))
            start = index
    return runs
