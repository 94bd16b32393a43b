"""The ticket: the consequences of an entry before Enter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static

from tui_trader.core.events import OpenPosition
from tui_trader.core.types import Side
from tui_trader.core.views import TicketPreview
from tui_trader.runtime.face import SessionFace
from tui_trader.ui import format as f
from tui_trader.ui.numbers import decimal_of
from tui_trader.ui.screens.dialogs import Dialog, paint
from tui_trader.ui.theme import Palette, tone
from tui_trader.ui.widgets.field import TypeField

_SIZES = ("configured model", "risk %", "notional USDT", "quantity")
_ORDERS = ("market", "limit")


class Cycle(Static, can_focus=True):
    """A setting with a few values; Space and the arrows go through them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space,right", "turn(1)", show=False),
        Binding("left", "turn(-1)", show=False),
        Binding("enter", "submit", show=False),
    ]

    class Turned(Message):
        """Another value was chosen."""

    class Submitted(Message):
        """Enter was pressed."""

    def __init__(self, values: tuple[str, ...], *, at: int = 0, cycle_id: str) -> None:
        super().__init__("", markup=False, id=cycle_id, classes="cycle")
        self.values = values
        self.at = at
        self._write()

    @property
    def value(self) -> str:
        """The value chosen."""
        return self.values[self.at]

    def _write(self) -> None:
        self.update(f"‹ {self.value} ›")

    def action_turn(self, steps: int) -> None:
        """Choose the next value."""
        self.at = (self.at + steps) % len(self.values)
        self._write()
        self.post_message(self.Turned())

    def action_submit(self) -> None:
        """Enter."""
        self.post_message(self.Submitted())


@dataclass(frozen=True)
class Typed:
    """What stands in the ticket's fields."""

    symbol: str
    side: str
    size_by: str
    size: str
    order: str
    limit: str
    override: bool


def ticket_of(typed: Typed, now_ms: int) -> OpenPosition | str:
    """The command that the fields mean, or what is wrong with them in words."""
    qty = notional = limit = None
    risk: float | None = None
    if typed.size_by != _SIZES[0]:
        number = decimal_of(typed.size)
        if isinstance(number, str):
            return f"Size: {number}"
        if typed.size_by == "risk %":
            if number > 100:
                return "Size: the risk is in percent of equity; at most 100."
            risk = float(number) / 100
        elif typed.size_by == "quantity":
            qty = number
        else:
            notional = number
    if typed.order == "limit":
        price = decimal_of(typed.limit)
        if isinstance(price, str):
            return f"Limit price: {price}"
        limit = price
    return OpenPosition(
        ts=now_ms,
        symbol=typed.symbol,
        side=Side(typed.side),
        qty=qty,
        notional=notional,
        risk_fraction=risk,
        limit_price=limit,
        override_soft=typed.override,
    )


def verdict_of(preview: TicketPreview, override: bool) -> tuple[bool, str]:
    """Whether Enter may send, and the words of the verdict."""
    if preview.error:
        return False, f"✗ {preview.error}"
    if preview.hard:
        return False, "✗ Refused. A limit cannot be overridden; Enter does nothing."
    if preview.soft and not override:
        return False, "! Needs your override: turn it on to confirm the reasons above."
    if preview.soft:
        return True, "! Overridden by you. Enter sends; the override is recorded."
    return True, "✓ The gate allows it. Enter sends, Esc leaves."


class TicketScreen(Dialog[OpenPosition]):
    """The ticket for one symbol and side. Dismisses with the command to send, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("pagedown", "scroll(8)", show=False, priority=True),
        Binding("pageup", "scroll(-8)", show=False, priority=True),
    ]

    def __init__(self, session: SessionFace, symbol: str, side: Side, last: float, decimals: int) -> None:
        verb = "Buy" if side is Side.LONG else "Sell"
        super().__init__(f" {verb} {symbol} ", mode=session.mode)
        self.session = session
        self.symbol = symbol
        self.side = side
        self.last = last
        self.decimals = decimals
        self.preview: TicketPreview | None = None
        self._later: Timer | None = None

    def compose(self) -> ComposeResult:
        """Fields above, then the verdict, then the consequences, which scroll where the screen is small."""
        limit = f"{self.last:.{self.decimals}f}" if self.last else ""
        side = Cycle(("long", "short"), at=0 if self.side is Side.LONG else 1, cycle_id="side")
        fields = Vertical(
            _line("side", side),
            _line("size by", Cycle(_SIZES, cycle_id="size_by")),
            _line("size", TypeField("", placeholder="set by the model", id="size", compact=True, classes="field")),
            _line("order", Cycle(_ORDERS, cycle_id="order")),
            _line("limit price", TypeField(limit, placeholder="price", id="limit", compact=True, classes="field")),
            _line("override soft", Cycle(("no", "yes"), cycle_id="override")),
            classes="fields",
        )
        box = Vertical(
            Static(self._banner(), markup=False, id="ticket-mode", classes=f"mode {paint(self.mode)}"),
            fields,
            Static("", markup=False, id="verdict"),
            VerticalScroll(Static("", markup=False, id="preview"), id="consequences", can_focus=False),
            classes=f"dialog ticket {paint(self.mode)}",
        )
        box.border_title = Content(f.clean(self.words).strip())
        box.border_subtitle = "Tab next field · Space other choice · Enter sends · Esc leaves"
        yield box

    def _banner(self) -> str:
        words = {"live": "▲▲ LIVE: real money ▲▲", "testnet": "TESTNET: no real money"}
        return f"{words.get(self.mode, f'{self.mode.upper()}: no real money')}   {f.clean(self.session.venue)}"

    def on_mount(self) -> None:
        """First preview, and a fresh one twice a second as the market moves."""
        self.query_one("#size_by", Cycle).focus()
        self._enable()
        self.compute()
        self.set_interval(0.5, self.compute)

    def typed(self) -> Typed:
        """What stands in the fields."""
        return Typed(
            symbol=self.symbol,
            side=self.query_one("#side", Cycle).value,
            size_by=self.query_one("#size_by", Cycle).value,
            size=self.query_one("#size", TypeField).value,
            order=self.query_one("#order", Cycle).value,
            limit=self.query_one("#limit", TypeField).value,
            override=self.query_one("#override", Cycle).value == "yes",
        )

    def action_scroll(self, lines: int) -> None:
        """Scroll the consequences on a small screen."""
        self.query_one("#consequences", VerticalScroll).scroll_relative(y=lines, animate=False)

    def _enable(self) -> None:
        typed = self.typed()
        size = self.query_one("#size", TypeField)
        size.disabled = typed.size_by == _SIZES[0]
        hints = dict(zip(_SIZES, ("set by the model", "1.0", "500", "0.05"), strict=True))
        size.placeholder = hints[typed.size_by]
        self.query_one("#limit", TypeField).disabled = typed.order == "market"

    def on_cycle_turned(self) -> None:
        """A choice changed: so do its fields and the consequences."""
        self._enable()
        side = self.query_one("#side", Cycle).value
        title = Content(f"{'Buy' if side == 'long' else 'Sell'} {f.clean(self.symbol)}")
        self.query_one(".ticket").border_title = title
        self.compute()

    def on_input_changed(self) -> None:
        """A number changed: compute after a moment without keys."""
        if self._later is not None:
            self._later.stop()
        self._later = self.set_timer(0.12, self.compute)

    def compute(self) -> bool:
        """Ask the session for the consequences and show them; True when Enter may send."""
        ticket = ticket_of(self.typed(), self.session.now_ms())
        colours = self.palette
        if isinstance(ticket, str):
            self.preview = None
            self._show(Text(""), f"✗ {ticket}", allowed=False)
            return False
        self.preview = self.session.preview(ticket)
        allowed, words = verdict_of(self.preview, ticket.override_soft)
        self._show(preview_text(self.preview, colours, self.decimals, self.session.now_ms()), words, allowed=allowed)
        return allowed

    def _show(self, body: Text, verdict: str, *, allowed: bool) -> None:
        style = self.palette.style
        self.query_one("#preview", Static).update(body)
        role = "ok" if allowed and verdict.startswith("✓") else ("warn" if verdict.startswith("!") else "loss")
        self.query_one("#verdict", Static).update(Text(f.clean(verdict), style(f"{role}@raised")))

    def on_input_submitted(self) -> None:
        """Enter in a field."""
        self._confirm()

    def on_cycle_submitted(self) -> None:
        """Enter on a choice."""
        self._confirm()

    def _confirm(self) -> None:
        ticket = ticket_of(self.typed(), self.session.now_ms())
        if self.compute() and not isinstance(ticket, str):
            self.dismiss(ticket)


def _line(label: str, widget: Cycle | TypeField) -> Horizontal:
    return Horizontal(Static(label, markup=False, classes="label"), widget, classes="row")


class _Body:
    """Builds the consequences line by line."""

    def __init__(self, colours: Palette) -> None:
        self.text = Text(no_wrap=True, overflow="ellipsis")
        self._style = colours.style

    def add(self, *parts: tuple[str, str]) -> None:
        for words, role in parts:
            self.text.append(f.clean(words), self._style(f"{role}@raised"))
        self.text.append("\n")


def preview_text(preview: TicketPreview, colours: Palette, decimals: int, now_ms: int) -> Text:
    """Every line of a preview in colour."""
    body = _Body(colours)
    for reason in preview.hard:
        if reason != preview.error:
            body.add(("✗ ", "loss"), (reason, "loss"))
    for reason in preview.soft:
        body.add(("! ", "warn"), (reason, "warn"))
    if preview.hard or preview.soft:
        body.add(("", "text"))
    if not preview.error:
        _size_lines(body, preview, now_ms)
        _leg_lines(body, preview)
        _limit_lines(body, preview)
    if preview.why:
        body.add(("", "text"))
        body.add(("why: " + " · ".join(preview.why), "dim"))
    return body.text


def _size_lines(body: _Body, preview: TicketPreview, now_ms: int) -> None:
    body.add(
        ("quantity   ", "dim"),
        (preview.qty, "bright"),
        (f"  notional {f.money(preview.notional)}  margin {f.money(preview.margin)} USDT", "text"),
        (f"  ×{preview.leverage} (venue ×{preview.venue_leverage})", "dim"),
    )
    slippage = (f"  expected slippage {f.percent(preview.expected_slippage_pct, 3)}", "dim")
    at_once = ("  at worst: it crosses the price and fills at once", "warn")
    body.add(("entry      ", "dim"), (preview.entry, "bright"), at_once if preview.at_once else slippage)
    if preview.sizing_note:
        body.add(("size from  ", "dim"), (preview.sizing_note, "dim"))
    body.add(
        ("risk       ", "dim"),
        (f"{f.money(preview.risk_usdt)} USDT  {f.percent(preview.risk_pct).lstrip('+')} of equity", "text"),
    )
    body.add(("liquidated ", "dim"), (preview.liquidation, "text"))
    left = f" in {f.countdown(preview.next_funding_ms - now_ms)}" if preview.next_funding_ms else ""
    body.add(
        ("costs      ", "dim"),
        (f"fee in {_cost(preview.fee_entry)}  out {_cost(preview.fee_exit)} USDT", "text"),
        (f"  next funding {_cost(preview.funding_cost, sign=True)} USDT{left}", "dim"),
    )


def _cost(value: float, *, sign: bool = False) -> str:
    """Money with cents, and with more digits where the cents would hide a small amount."""
    decimals = 2 if abs(value) >= 0.1 or not value else 4
    return f.signed(value, decimals) if sign else f.number(value, decimals)


def _leg_lines(body: _Body, preview: TicketPreview) -> None:
    names = {"sl": "SL", "t1": "TP1", "t2": "TP2", "t3": "TP3", "en": "entry", "cl": "close"}
    if preview.legs:
        body.add(("", "text"))
    price_width = max((len(leg.price) for leg in preview.legs), default=8)
    qty_width = max((len(leg.qty) for leg in preview.legs), default=6)
    for leg in preview.legs:
        body.add(
            (f"  {names.get(leg.leg, str(leg.leg)):<5}", "loss" if leg.leg == "sl" else "profit"),
            (f"{leg.price:>{price_width}}  {leg.qty:>{qty_width}}", "text"),
            (f"  {f.fit(f.r_multiple(leg.r), 8, '>')}", "dim"),
            (f"  {f.fit(f.signed_money(leg.pnl), 10, '>')} USDT", tone(leg.pnl)),
        )
    if preview.break_even:
        trigger, arrow, stop = preview.break_even.partition(" → ")
        meaning = f"  there the stop moves to {stop}" if arrow else ""
        body.add((f"  {'BE':<5}", "warn"), (f"{trigger:>{price_width}}", "text"), (meaning, "dim"))
    if preview.dust:
        body.add((f"  dust {preview.dust}", "dim"))


def limit_amount(value: float, unit: str) -> str:
    """A limit's amount with the digits that matter: counts whole, USDT whole from 100 on, percent with one."""
    if unit in ("", "count") or unit.startswith("/"):
        return f.number(value, 0)
    if unit == "USDT":
        return (
            f.number(value, 0 if abs(value) >= 100 or value == int(value) else 2)
            if abs(value) < 1e7
            else f.compact(value)
        )
    return f.number(value, 1)


def _limit_lines(body: _Body, preview: TicketPreview) -> None:
    if not preview.limits:
        return
    body.add(("", "text"))
    width = max(len(limit.name) for limit in preview.limits)
    for limit in preview.limits:
        role = "text" if limit.ok else "loss"
        sign = "✓" if limit.ok else "✗"
        amounts = [limit_amount(value, limit.unit) for value in (limit.before, limit.after, limit.limit)]
        values = "{} → {} of {}".format(*amounts) + ("" if limit.unit == "count" else f" {limit.unit}")
        body.add((f"  {sign} ", "ok" if limit.ok else "loss"), (f"{limit.name:<{width}}  ", "dim"), (values, role))
