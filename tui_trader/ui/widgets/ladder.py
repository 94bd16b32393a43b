"""The TP/SL ladder of the selected position: distance, progress, state, and why each price."""

from __future__ import annotations

from collections.abc import Sequence

from tui_trader.core.views import LadderRow, LadderView
from tui_trader.ui import format as f
from tui_trader.ui import guard
from tui_trader.ui.state import Frame
from tui_trader.ui.theme import tone
from tui_trader.ui.widgets.base import Line, Pane, sentence

_STATES = {
    "planned": ("○ planned", "dim"),
    "sent": ("◌ sent", "warn"),
    "resting": ("● resting", "ok"),
    "proven": ("✓ proven", "ok"),
    "filled": ("■ filled", "accent"),
    "moved": ("» moved", "accent"),
    "trigger": ("◇ trigger", "dim"),
}


class LadderPane(Pane):
    """Rungs from the highest price down, the present price between them."""

    def heading(self, frame: Frame) -> str:
        """Symbol, side, size and the kind of OCO in force."""
        ladder = frame.snapshot.ladder
        if ladder.side is None:
            return "Ladder"
        name = f.base(f.clean(ladder.symbol))
        words = f"Ladder {name} {ladder.side} {f.number(ladder.qty, ladder.qty_decimals)}"
        return words + (" · trail" if ladder.trailing else "")

    def draw(self, frame: Frame, width: int, height: int) -> Sequence[Line]:
        """The rungs, then the reasons as far as there is room."""
        ladder = frame.snapshot.ladder
        if ladder.side is None or not ladder.rows:
            words = f.clean(ladder.empty_reason) or f"No position in {f.clean(frame.selected)}: b buys, s sells."
            return sentence(words, width, height)
        lines: list[Line] = list(_protection(frame, width))
        now: Line = (
            (" ● now ", "bright"),
            (f.fit(f.price(ladder.now, ladder.price_decimals), _price_width(ladder), ">"), "bright"),
            (f"  {f.r_multiple(ladder.now_r)}", tone(ladder.now_r)),
        )
        placed = False
        for row in ladder.rows:
            if not placed and row.price <= ladder.now:
                lines.append(now)
                placed = True
            lines.extend(_rung(row, ladder, width))
        if not placed:
            lines.append(now)
        if len(lines) > height:
            lines = [line for line in lines if line and line[0][1] != "faint"]
        return [*lines, *_why(ladder, width, height - len(lines))]


def _protection(frame: Frame, width: int) -> list[Line]:
    """Since when the stop is proven, or for how long there has been none: in words, cut to a line."""
    position = frame.position
    if position is None or position.symbol != frame.snapshot.ladder.symbol:
        return []
    words, role = guard.words(position)
    short, _ = guard.since(position)
    most = f" · bare≤{f.age(position.longest_naked_s)}"
    if f.width_of(words) >= width:
        words = (
            f"{short.replace(' ', ' proven ')} ago{most}" if position.stop_proven else f"{short} NO PROVEN STOP{most}"
        )
    return [((f" {f.fit(words, width - 1).rstrip()}", role),)]


def _price_width(ladder: LadderView) -> int:
    prices = [row.price for row in ladder.rows] + [ladder.now]
    return max(len(f.price(price, ladder.price_decimals)) for price in prices)


def _rung(row: LadderRow, ladder: LadderView, width: int) -> list[Line]:
    state, role = _STATES.get(row.state, (f.clean(row.state), "dim"))
    leg = f.clean(row.leg)
    upper = leg.upper()
    leg_role = "loss" if upper.startswith("SL") else ("profit" if upper.startswith("TP") else "warn")
    done = row.state == "filled"
    price = f.fit(f.price(row.price, ladder.price_decimals), _price_width(ladder), ">")
    head: Line = (
        (f" {f.fit(leg, 5)} ", "dim" if done else leg_role),
        (price, "dim" if done else "text"),
        (f" {f.fit(f.r_multiple(row.r), 6, '>')}", "dim"),
    )
    room = width - sum(len(text) for text, _ in head) - 1
    head = (*head, (f" {state if room >= len(state) else state[:1]}", role))
    if done or width < 30 or not row.qty:
        return [head]
    used, free = f.bar(row.progress, min(max(width - _price_width(ladder) - 17, 4), 12))
    below: Line = (
        (f.fit(f"{f.share(row.fraction, 0)} ", 7, ">") if row.fraction > 0 else " " * 7, "faint"),
        (f.fit(f.number(row.qty, ladder.qty_decimals), _price_width(ladder), ">"), "dim"),
        ("  ", "text"),
        (used, leg_role),
        (free, "faint"),
        (f" {f.clean(row.note) or f.percent(row.distance_pct)}", "dim"),
    )
    return [head, below]


def _why(ladder: LadderView, width: int, room: int) -> list[Line]:
    reasons = list(ladder.why) + ([f"OCO {ladder.oco}"] if ladder.oco else [])
    lines: list[Line] = []
    for part in f.wrap(" · ".join(f.clean(reason) for reason in reasons), max(width - 7, 8)):
        lines.append(((" why: " if not lines else "      ", "head"), (part, "dim")))
    spaced: list[Line] = [(), *lines] if room > len(lines) else lines
    return spaced[: max(room, 0)]
