"""The lines that are always in sight: header, status, tabs, the selected position and the keys."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events

from tui_trader.core.types import Channel
from tui_trader.core.views import PROMISE_S, ChannelView, HeaderView, PositionRow
from tui_trader.ui import format as f
from tui_trader.ui import guard
from tui_trader.ui.actions import FOOTER, key_text
from tui_trader.ui.layout import PANES
from tui_trader.ui.messages import PanePicked
from tui_trader.ui.state import Frame
from tui_trader.ui.theme import tone
from tui_trader.ui.widgets.base import Cell, Line, Pane, line_width

_DIGITS = {pane: str((index + 1) % 10) for index, pane in enumerate(PANES[:10])}
_SHORT = {"universe": "Univ", "positions": "Pos", "signals": "Sig", "performance": "Perf"}


def fill_line(parts: Sequence[tuple[int, Line]], width: int, gap: int = 3) -> Line:
    """Join parts with blanks between, leaving out those with the highest number until the line fits."""
    kept = list(parts)
    while len(kept) > 1 and sum(line_width(line) for _, line in kept) + gap * (len(kept) - 1) > width:
        kept.remove(max(kept, key=lambda part: part[0]))
    cells: list[Cell] = []
    for number, (_, line) in enumerate(kept):
        if number:
            cells.append((" " * gap, "text"))
        cells.extend(line)
    return tuple(cells)


def mode_cell(mode: str) -> Cell:
    """The mode, painted so that it cannot be mistaken for another one."""
    name = f.clean(mode).lower()
    text = f" ▲▲ {name.upper()} ▲▲ " if name == "live" else f" {name.upper() or 'STARTING'} "
    known = {"live": "mode_live", "testnet": "mode_testnet", "paper": "mode_testnet"}
    return text, known.get(name, "mode_demo")


def protection(header: HeaderView) -> Line:
    """Whether every open position has a proven stop, and for how long that is known; the worst of all."""
    if header.naked:
        return (guard.worst(header),)
    if not header.positions:
        return (("flat", "dim"),)
    return (("protected ", "dim"), guard.worst(header))


def barest(header: HeaderView) -> Line:
    """The longest time that a position which is open now was ever without a proven stop."""
    if not header.positions:
        return ()
    role = "dim" if header.longest_naked_s <= PROMISE_S else "loss"
    return (("bare≤", "dim"), (f.age(header.longest_naked_s), role))


def _delay(ms: float) -> str:
    """A latency in four cells: "31ms", then "0.4s", "12s": cut short, a second would look like a tenth of one."""
    return f.fit(f"{ms:.0f}ms" if ms < 99.5 else f.age(ms / 1000), 4, ">")


def _channel(channel: ChannelView) -> Line:
    name = channel.channel.shown
    if not channel.up:
        return ((f"{name} ✗ {f.age(channel.age_ms / 1000)}", "loss"),)
    if channel.channel is Channel.PUBLIC:
        return ((f"{name} ", "dim"), ("●", "ok"), (f" {_delay(channel.latency_ms)}", "dim"))
    return ((f"{name} ", "dim"), ("●", "ok"))


def _channels(header: HeaderView) -> Line:
    cells: list[Cell] = []
    for channel in header.channels:
        cells.extend([*_channel(channel), ("  ", "text")])
    return tuple(cells[:-1])


def _dots(header: HeaderView) -> Line:
    cells: list[Cell] = []
    for channel in header.channels:
        name = channel.channel.shown
        cells.append(("●", "ok") if channel.up else (f"✗{name}", "loss"))
    return tuple(cells)


def _links(header: HeaderView) -> Line:
    """A dot for each channel, one that is down by its name, and the latency of the feed."""
    feed = next((channel for channel in header.channels if channel.channel is Channel.PUBLIC), None)
    delay = f" {_delay(feed.latency_ms)}" if feed is not None and feed.up else ""
    return (("links ", "dim"), *_dots(header), (delay, "dim"))


def arming(header: HeaderView, *, short: bool = False) -> Line:
    """Whether entries can happen, and how many strategies run."""
    count = f"{header.strategies_running}/{header.strategies_total}"
    if header.killed:
        return ((" ■ KILLED ", "alarm"),)
    if not header.armed:
        return (("NOT ARMED", "warn"),)
    if header.entries_paused:
        return (("PAUSED ‖", "warn"),)
    if header.blocks:
        return (("WAIT ‖" if short else "NO ENTRIES ‖", "warn"),)
    return (((f"{count} ▶" if short else f"ARMED {count} ▶"), "ok"),)


class HeaderLine(Pane):
    """What is at stake, on one line; the least important leaves first when it is narrow."""

    def draw(self, frame: Frame, width: int, height: int) -> Sequence[Line]:
        """One line."""
        header = frame.snapshot.header
        mode: Line = (mode_cell(header.mode),)
        if frame.starting:
            return [fill_line([(0, mode), (1, ((f.clean(header.detail), "dim"),))], width)]
        parts = self._wide(frame, mode, width) if width >= 120 else self._narrow(frame, mode)
        return [fill_line(parts, width, gap=3 if width >= 170 else 2)]

    @staticmethod
    def _wide(frame: Frame, mode: Line, width: int) -> list[tuple[int, Line]]:
        header = frame.snapshot.header
        detail = f.clean(" ".join(part for part in (header.venue, header.detail) if part))
        risk_role = "warn" if header.open_risk > 0.05 else "text"
        return [
            (0, mode),
            (7, ((detail, "dim"),)),
            (0, (("equity ", "dim"), (f.money(header.equity), "bright"))),
            (
                1,
                (
                    ("day ", "dim"),
                    (f"{f.signed_money(header.day_pnl)} {f.percent(header.day_pnl_pct)}", tone(header.day_pnl)),
                ),
            ),
            (8, ((f.sparkline(header.equity_spark, 10), "accent"),)),
            (4, (("risk ", "dim"), (f.share(header.open_risk), risk_role))),
            (5, (("margin ", "dim"), (f.share(header.margin_used), "text"))),
            (0, protection(header)),
            (6, barest(header)),
            (3, _channels(header) if width >= 190 else _links(header)),
            (0, arming(header)),
            (2, ((f"{f.clock(frame.snapshot.ts)}Z", "text"),)),
        ]

    @staticmethod
    def _narrow(frame: Frame, mode: Line) -> list[tuple[int, Line]]:
        header = frame.snapshot.header
        shown = protection(header)
        if not header.naked and header.positions:
            shown = ((f"✓{f.age(header.protected_age_s)}", "ok"),)
        day = f"{f.signed_money(header.day_pnl)} {f.percent(header.day_pnl_pct)}"
        return [
            (0, mode),
            (0, ((f.money(header.equity), "bright"),)),
            (1, (("day ", "dim"), (day, tone(header.day_pnl)))),
            (5, (("margin ", "dim"), (f.share(header.margin_used), "text"))),
            (0, shown),
            (3, _dots(header)),
            (0, arming(header, short=True)),
            (4, ((f"{f.clock(frame.snapshot.ts, seconds=False)}Z", "text"),)),
        ]


class StatusLine(Pane):
    """The answer to the last key for its few seconds, else the alarm when there is one, else why entries wait."""

    def draw(self, frame: Frame, width: int, height: int) -> Sequence[Line]:
        """One line."""
        return [status(frame, width)]


def status(frame: Frame, width: int) -> Line:
    """The words of the status line; empty when there is nothing to say."""
    header = frame.snapshot.header
    if frame.feedback:
        said = f.clean(frame.feedback)
        loud = frame.feedback_role in {"alarm", "notice"}
        words = f.fit(f" ! {said}", width) if loud else f" {said}"
        return ((words, frame.feedback_role),)
    if frame.snapshot.alarm:
        return ((f.fit(f" ! {f.sentence(frame.snapshot.alarm)}", width), "alarm"),)
    if header.killed:
        reason = f.clean(header.kill_reason)
        return ((f.fit(f" ■ Kill switch: {reason}. No entries until you re-arm (R).", width), "alarm"),)
    if frame.starting:
        last = frame.snapshot.log[0].text if frame.snapshot.log else "Starting."
        return ((f" {f.clean(last)}", "dim"),)
    if header.blocks:
        return ((f" {no_entries(header)}", "warn"),)
    return ()


def no_entries(header: HeaderView) -> str:
    """Why no entries are made now, in one sentence, and what a person can do about it."""
    reason = f.clean(header.blocks[0])
    others = len(header.blocks) - 1
    more = f" (and {others} more reason{'s' * (others != 1)})" if others else ""
    return f"No new entries{_what_next(header)}: {reason}{more}."


def _what_next(header: HeaderView) -> str:
    if not header.armed:
        return ", A arms them"
    if header.entries_paused or header.halted:
        return ", p resumes them"
    unreachable = any(channel.channel is Channel.REST and not channel.up for channel in header.channels)
    if unreachable and header.positions:
        return ", only the stops at the venue hold"
    return "" if unreachable or not header.positions else ", open positions stay managed"


class TabsLine(Pane):
    """The panes by number, on a small screen."""

    def draw(self, frame: Frame, width: int, height: int) -> Sequence[Line]:
        """One line; the active pane stands out."""
        cells: list[Cell] = []
        panes = PANES[:10] if frame.active in PANES[:10] else (*PANES[:9], frame.active)
        long = sum(len(pane) + 4 for pane in panes) <= width
        for pane in panes:
            name = pane.capitalize() if long else _SHORT.get(pane, pane.capitalize())
            digit = _DIGITS.get(pane, "•")
            if pane == frame.active:
                cells.append((f" {digit} {name} " if long else f" {digit}{name} ", "head_active@sel"))
            else:
                cells.extend([(f" {digit}", "key"), (f" {name} " if long else f"{name} ", "dim")])
        return [tuple(cells)]

    def on_click(self, event: events.Click) -> None:
        """A click on a name chooses the pane."""
        x = 0
        for text, _ in self._lines[0] if self._lines else ():
            x += len(text)
            if event.x < x:
                word = text.strip().lstrip("0123456789• ").lower()
                picked = next((pane for pane in PANES if word and pane.startswith(word)), "")
                if picked:
                    self.post_message(PanePicked(picked))
                return


class SelectedLine(Pane):
    """The selected symbol's position in one line, on a small screen."""

    def draw(self, frame: Frame, width: int, height: int) -> Sequence[Line]:
        """One line."""
        position = frame.position
        if position is None:
            chart = frame.snapshot.chart
            last = f"  {f.price(chart.last, chart.price_decimals)}" if chart.symbol == frame.selected else ""
            words = f"▶{f.clean(frame.selected)}{last}" if frame.selected else "no symbol selected"
            return [((words, "text@sel"), ("  no position", "dim@sel"), (" " * width, "text@sel"))]
        return [self._position(frame, position, width)]

    @staticmethod
    def _position(frame: Frame, row: PositionRow, width: int) -> Line:
        decimals = row.price_decimals
        mark, age_role = guard.since(row)
        stop = f"SL {f.price(row.stop, decimals)} {mark}"
        parts: list[tuple[int, Line]] = [
            (0, ((f"▶{f.clean(row.symbol)} {row.side} {f.number(row.qty, row.qty_decimals)}", "bright@sel"),)),
            (3, ((f"@ {f.price(row.entry, decimals)}", "text@sel"),)),
            (0, ((f"{f.signed_money(row.pnl)} {f.r_multiple(row.r)}", f"{tone(row.pnl)}@sel"),)),
            (0, ((stop, "text@sel" if row.stop_proven else ("notice" if age_role == "warn" else "alarm")),)),
        ]
        ladder = frame.snapshot.ladder
        if ladder.symbol == row.symbol:
            for rank, rung in enumerate(sorted(ladder.rows, key=lambda rung: rung.leg)):
                if rung.leg.upper().startswith("TP") and rung.state != "filled":
                    text = f"{f.clean(rung.leg)} {f.price(rung.price, decimals)}"
                    parts.append((5 + rank, ((text, "dim@sel"),)))
        line = fill_line(parts, width, gap=2)
        own = {"alarm", "notice"}
        on_sel = ((text, role if "@" in role or role in own else f"{role}@sel") for text, role in line)
        return (*on_sel, (" " * width, "text@sel"))


class KeysLine(Pane):
    """The keys that matter most, from the registry of actions."""

    def draw(self, frame: Frame, width: int, height: int) -> Sequence[Line]:
        """One line; what cannot be done now is dim."""
        parts: list[tuple[int, Line]] = []
        for rank, action in enumerate(FOOTER):
            off = bool(action.why_not(frame))
            word = action.short
            line: Line = (
                (key_text(frame.keys.get(action.id, action.key)), "faint" if off else "key"),
                (" " + word, "dim"),
            )
            parts.append((0 if action.id in {"help", "quit"} else rank + 1, line))
        return [((" ", "text"), *fill_line(parts, width - 2, gap=2))]
