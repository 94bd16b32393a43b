"""The longer texts: the help page, and the detail ("why") of the chosen row."""

from __future__ import annotations

from collections.abc import Mapping

from rich.text import Text

from tui_trader.core.strategy_rows import SignalRow
from tui_trader.core.types import Severity
from tui_trader.core.views import PROMISE_S, LadderView, PositionRow, Snapshot, UniverseRow
from tui_trader.ui import format as f
from tui_trader.ui import guard
from tui_trader.ui.actions import ACTIONS, all_keys_text, key_text
from tui_trader.ui.screens.explain import signal_part
from tui_trader.ui.screens.sheet import Sheet
from tui_trader.ui.state import Frame
from tui_trader.ui.theme import Palette, tone
from tui_trader.ui.widgets.lists import SEVERITY
from tui_trader.ui.widgets.signals import conditions, own_reasons


def help_text(colours: Palette, keys: Mapping[str, str], limit_s: float, width: int = 100) -> Text:
    """Every key in force, by group, in ``width`` cells; the keys that only show a pane stand together. ``limit_s`` real
    seconds without a proven stop close a position."""
    sheet = Sheet(colours)
    sheet.line("Lower case acts on the selection. What is dangerous (▲) is upper case and asks first.", "dim")
    group = ""
    for action in ACTIONS:
        if action.group != group:
            group = action.group
            sheet.head(group)
        if not action.id.startswith("pane_"):
            key = all_keys_text(keys.get(action.id, action.key))
            _key_lines(sheet, colours, key, action.label, ("▲ " if action.dangerous else "") + action.help, width)
        elif action.id == "pane_universe":
            _pane_lines(sheet, colours, keys, width)
    sheet.head("Signs")
    sheet.line("  ✓ proven at the venue, or met      ✗ missing, refused, down      ▲ long   ▼ short", "dim")
    sheet.line(
        f"  ◌ no proven stop yet, within the promised {PROMISE_S:.0f} s; ✗ longer; after {limit_s:g} s it is closed",
        "dim",
    )
    sheet.line("  bare≤ the longest time without a proven stop, from the venue's fill on", "dim")
    sheet.line("  ● position, working   ‖ paused   ▶ selected   ◀ your order in the book   ≥ at least", "dim")
    sheet.line("  Under a timeframe: ▲ bull, ▼ bear, ─ sideways, ? not known before 50 closed bars", "dim")
    sheet.line("  R: profit or loss in multiples of the distance from entry to the first stop", "dim")
    sheet.line("  All times are the venue's, UTC. In the demo its clock runs faster than yours.", "dim")
    sheet.line("  Ages (proven, links) are in your own seconds.", "dim")
    sheet.line('  Keys are changed in [ui.keymap] of config.toml: action = "key".', "dim")
    return sheet.text


def _key_lines(sheet: Sheet, colours: Palette, key: str, label: str, words: str, width: int) -> None:
    """A key, its name and its explanation, which goes on under itself where it does not fit."""
    indent = 32
    parts = f.wrap(words, max(width - indent, 20)) or [""]
    sheet.text.append(f"  {f.fit(key, 8)}", colours.style("key@raised"))
    sheet.text.append(f" {f.fit(label, 20)}", colours.style("text@raised"))
    for number, part in enumerate(parts):
        lead = " " if not number else " " * indent
        sheet.text.append(f"{lead}{part}\n", colours.style("dim@raised"))


def _pane_lines(sheet: Sheet, colours: Palette, keys: Mapping[str, str], width: int) -> None:
    panes = [action for action in ACTIONS if action.id.startswith("pane_")]
    words = [f"{key_text(keys.get(action.id, action.key))} {action.label}" for action in panes]
    for line in f.listed(words, max(width - 3, 20)):
        sheet.text.append(f"  {line}\n", colours.style("text@raised"))


def detail_text(frame: Frame, symbol: str, width: int, signal: SignalRow | None = None) -> Text:
    """Everything the snapshot knows of ``symbol``: position, ladder and reasons, orders, signals, liquidity, trades.

    A chosen ``signal`` of it stands first, with its arithmetic.
    """
    sheet = Sheet(frame.palette)
    snapshot = frame.snapshot
    if signal is not None:
        signal_part(sheet, signal, frame.decimals(symbol), width)
    for position in snapshot.positions:
        if position.symbol == symbol:
            _position(sheet, position, snapshot.ts)
    if snapshot.ladder.symbol == symbol and snapshot.ladder.rows:
        _ladder(sheet, snapshot.ladder)
    _orders(sheet, frame, symbol)
    signals = [row for row in snapshot.signals if row.symbol == symbol]
    if signals:
        sheet.head("Signals and refusals")
        for each in signals[:12]:
            _signal(sheet, each)
    _strategies(sheet, frame, symbol, width)
    for row in (*snapshot.universe.members, *snapshot.universe.refused):
        if row.symbol == symbol:
            _liquidity(sheet, row, snapshot.ts)
    _trades(sheet, frame, symbol)
    if not sheet.text:
        sheet.line(f"Nothing is known of {symbol} yet.", "dim")
    return sheet.text


def alarm_symbol(snapshot: Snapshot) -> str:
    """The symbol that the alarm on show is about; "" when there is none, or it is about all."""
    alarms = (row for row in snapshot.log if row.severity is Severity.ALARM and row.text == snapshot.alarm)
    return next((row.symbol for row in alarms), "")


def story_text(frame: Frame, symbol: str) -> Text:
    """What happened to ``symbol`` in order, oldest first, and how its position stands now."""
    sheet = Sheet(frame.palette)
    snapshot = frame.snapshot
    rows = snapshot.story if symbol == frame.selected else ()
    rows = rows or tuple(row for row in reversed(snapshot.log) if row.symbol == symbol)
    if not rows:
        sheet.line(f"Nothing has happened to {symbol} since this session started.", "dim")
    for row in rows:
        mark, role = SEVERITY[row.severity]
        sheet.line(f"{f.clock(row.ts)} {mark} {_without_symbol(f.sentence(row.text), symbol)}", role)
    for position in snapshot.positions:
        if position.symbol == symbol:
            _position(sheet, position, snapshot.ts)
    return sheet.text


def _without_symbol(text: str, symbol: str) -> str:
    """The sentence without the symbol in front of it, which stands in the title."""
    rest = text.removeprefix(f"{symbol}: ")
    return rest[:1].upper() + rest[1:]


def _position(sheet: Sheet, row: PositionRow, now: int) -> None:
    decimals = row.price_decimals
    sheet.head(f"Position {row.symbol} {row.side}")
    sheet.pair("quantity", f"{f.number(row.qty, row.qty_decimals)}, margin {f.money(row.margin)} USDT")
    sheet.pair("entry → mark", f"{f.price(row.entry, decimals)} → {f.price(row.mark, decimals)}")
    result = f"{f.signed_money(row.pnl)} USDT  {f.r_multiple(row.r)}  {f.percent(row.pnl_pct)}"
    sheet.pair("profit or loss", result, tone(row.pnl))
    proof, role = guard.words(row)
    sheet.pair("stop", f"{f.price(row.stop, decimals)}  {proof.partition(' · ')[0]}", role)
    sheet.pair("longest without", f"{f.age(row.longest_naked_s)} from the venue's fill to the proven stop")
    sheet.pair("liquidation", f.price(row.liquidation, decimals))
    sheet.pair("stage", row.stage)
    sheet.pair("opened by", f"{row.strategy or 'hand'}, {f.span(now - row.opened_ms)} ago")
    sheet.pair("fees, funding", f"{f.number(row.fees, 2)}, {f.signed(row.funding_paid, 2)} USDT")


def _ladder(sheet: Sheet, ladder: LadderView) -> None:
    sheet.head("Ladder, and why these prices")
    for rung in ladder.rows:
        part = f.share(rung.fraction, 0) if rung.qty else ""
        words = (
            f"{f.fit(f.price(rung.price, ladder.price_decimals), 12, '>')}  {f.fit(f.r_multiple(rung.r), 8, '>')}  "
            f"{f.fit(part, 5, '>')}  {f.fit(f.number(rung.qty, ladder.qty_decimals) if rung.qty else '', 9, '>')}  "
            f"{rung.state}  {rung.note}"
        )
        sheet.pair(rung.leg, words, width=6)
    for reason in ladder.why:
        sheet.line(f"  · {reason}", "dim")
    if ladder.oco:
        sheet.line(f"  · OCO: {ladder.oco}", "dim")


def _orders(sheet: Sheet, frame: Frame, symbol: str) -> None:
    orders = [row for row in frame.snapshot.orders if row.symbol == symbol]
    if not orders:
        return
    sheet.head("Orders")
    for row in orders[:20]:
        level = row.trigger or row.price
        at = f.price(level, row.price_decimals) if level else "market"
        done = f", filled {f.number(row.filled, row.qty_decimals)}" if row.filled else ""
        quantity = f.number(row.qty, row.qty_decimals)
        words = f"{row.side.lower()} {quantity} @ {at}  {row.status.replace('_', ' ')}{done}"
        when = f.clock(row.ts) if row.ts else " " * 8
        sheet.pair(f"{when} {row.leg}", words, width=16)
        sheet.pair("", f"{row.client_id}  {row.reason}", "dim", width=16)


def _signal(sheet: Sheet, row: SignalRow) -> None:
    role = {"opened": "profit", "refused": "warn"}.get(row.action, "text")
    conviction = f" conviction {f.number(row.conviction, 2)}" if row.conviction else ""
    side = "" if row.side == "hold" else f"{row.side} "
    sheet.line(f"  {f.clock(row.ts)} {side}{row.strategy or 'by hand'}{conviction}: {row.action}", role)
    for reason in own_reasons(row):
        sheet.line(f"      {reason}", "dim")
    for text, met in conditions(row):
        sheet.line(f"      {'✓' if met else '✗'} {text}", "dim" if met else "text")


def _strategies(sheet: Sheet, frame: Frame, symbol: str, width: int) -> None:
    """What each strategy would run with on the symbol now."""
    found = [(row, use) for row in frame.snapshot.strategies for use in row.uses if symbol in use.symbols]
    if not found:
        return
    sheet.head("Strategies")
    for row, use in found:
        sheet.pair(row.name, f"{use.regime} on {row.timeframe}")
        sheet.block(use.source, width, 21, "ok" if use.trained else "dim")


def _liquidity(sheet: Sheet, row: UniverseRow, now: int) -> None:
    sheet.head(f"Liquidity {row.symbol}")
    sheet.pair("tier, score", f"{row.tier}, {f.number(row.score, 2)}")
    sheet.pair("last, 24 h", f"{f.price(row.last, row.price_decimals)}, {f.percent(row.change_pct)}")
    for number, regime in enumerate(row.regimes):
        sheet.pair("" if number else "regime", regime.words)
    sheet.pair("volume 24 h", f"{f.compact(row.quote_volume)} USDT")
    sheet.pair("spread", f"{f.number(row.spread_bps, 2)} bps")
    bound = "at least " if row.depth_is_lower_bound else ""
    sheet.pair("depth ±0.5 %", f"{bound}{f.compact(row.depth)} USDT")
    if row.open_interest_age_s >= 0:
        told = f.age(row.open_interest_age_s)
        sheet.pair("open interest", f"{f.compact(row.open_interest * row.last)} USDT, told {told} ago")
    else:
        sheet.pair("open interest", "not told by the venue yet")
    left = f.countdown(row.next_funding_ms - now) if row.next_funding_ms else f.NOTHING
    sheet.pair("funding", f"{f.funding(row.funding_rate)}, next in {left}")
    for reason in row.reasons:
        sheet.line(f"  ✗ {reason}", "warn")


def _trades(sheet: Sheet, frame: Frame, symbol: str) -> None:
    trades = [row for row in frame.snapshot.trades if row.symbol == symbol]
    if not trades:
        return
    sheet.head("Closed trades")
    for row in trades[:10]:
        words = (
            f"{row.side} {f.number(row.qty, row.qty_decimals)}  {f.price(row.entry, row.price_decimals)} → "
            f"{f.price(row.exit, row.price_decimals)}  {f.signed_money(row.pnl)}  {f.r_multiple(row.r)}  {row.reason}"
        )
        sheet.pair(f.clock(row.closed_ms), words, tone(row.pnl), width=10)
