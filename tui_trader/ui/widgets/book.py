"""The order book around the mid price, with the person's own orders marked on their levels."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tui_trader.core.depth import BAND
from tui_trader.core.views import BookLevel, BookView
from tui_trader.ui import format as f
from tui_trader.ui.state import Frame
from tui_trader.ui.widgets.base import Cell, Line, Pane, sentence


class BookPane(Pane):
    """Asks above, bids below, the spread between; bars show the size of a level against the largest in sight."""

    def heading(self, frame: Frame) -> str:
        """The symbol, and whether the book can be trusted."""
        book = frame.snapshot.book
        if not book.symbol:
            return "Book"
        lost = not book.synced and (book.bids or book.asks)
        return f"Book {f.clean(book.symbol)}" + (" ✗ resyncing" if lost else "")

    def draw(self, frame: Frame, width: int, height: int) -> Sequence[Line]:
        """Levels, then depth and spread."""
        book = frame.snapshot.book
        if not book.bids and not book.asks:
            return sentence(f.clean(book.empty_reason) or f"No book of {book.symbol} yet.", width, height)
        foot = 2 if height >= 9 else 1
        levels = max(height - 1 - foot, 2)
        below = levels // 2
        above = levels - below
        asks = list(book.asks[:above])
        bids = list(book.bids[:below])
        largest = max((level.qty for level in (*asks, *bids)), default=0.0)
        lines: list[Line] = [()] * (above - len(asks))
        lines += [_level(level, book, width, largest, "ask") for level in reversed(asks)]
        lines.append(_middle(book, width))
        lines += [_level(level, book, width, largest, "bid") for level in bids]
        lines += [()] * (height - foot - len(lines))
        return [*lines, *_foot(book, width)[:foot]]


def _level(level: BookLevel, book: BookView, width: int, largest: float, side: str) -> Line:
    """One level: price, size, a bar behind them, and the own order's name."""
    price = f.price(level.price, book.price_decimals)
    price_width = max(width * 42 // 100, 11)
    size_width = min(max(width // 4, 8), 12)
    size = f.within(level.qty, book.qty_decimals, size_width)
    rest = max(width - price_width - size_width - 1, 0)
    mine = f" ◀ {f.clean(level.mine)}" if level.mine else ""
    with_size = f"{mine} {f.within(level.mine_qty, book.qty_decimals, 9)}"
    if mine and f.width_of(with_size) <= rest:
        mine = with_size
    role = "loss" if side == "ask" else "profit"
    text = f.fit(price, price_width, ">") + f.fit(size, size_width + 1, ">")
    part = level.qty / largest if largest > 0 else 0.0
    filled = int(min(max(part, 0.0), 1.0) * len(text)) if math.isfinite(part) else 0
    cells: list[Cell] = []
    for start, end, tail in ((0, len(text) - filled, ""), (len(text) - filled, len(text), "@bar")):
        cells.extend(_coloured(text[start:end], max(price_width - start, 0), role, tail))
    cells.append((f.fit(mine, rest), "mine"))
    return tuple(cells)


def _coloured(text: str, split: int, role: str, tail: str) -> list[Cell]:
    return [(part, name + tail) for part, name in ((text[:split], role), (text[split:], "text")) if part]


def _middle(book: BookView, width: int) -> Line:
    if book.bids and book.asks:
        mid = (book.bids[0].price + book.asks[0].price) / 2
        text = f"{f.price(mid, book.price_decimals + 1)}  spread {f.number(book.spread_bps, 1)} bps"
    else:
        text = "no asks" if book.bids else "no bids"
    role = "bright" if book.synced else "warn"
    return ((" " + f.fit(text, width - 1), role),)


def _foot(book: BookView, width: int) -> list[Line]:
    bounded = min(book.bid_reach, book.ask_reach) < BAND
    sign = "≥ " if bounded else ""
    depth: Line = (
        (" ±0.5% ", "dim"),
        (f"{sign}{f.compact(book.bid_depth)}", "profit"),
        (" / ", "dim"),
        (f"{sign}{f.compact(book.ask_depth)}", "loss"),
    )
    if not bounded:
        return [depth, ()]
    reach: Line = ((f" seen to −{f.share(book.bid_reach, 2)} / +{f.share(book.ask_reach, 2)}", "dim"),)
    return [depth, reach]
