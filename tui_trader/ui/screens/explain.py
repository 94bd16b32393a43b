"""Why a strategy says what it says: one signal with its arithmetic, and one strategy with its parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.text import Text

from tui_trader.core.signals import confluence
from tui_trader.core.strategy_rows import ConditionView, SignalRow, StrategyRow, TrainedView, UseView
from tui_trader.ui import format as f
from tui_trader.ui.screens.sheet import Sheet
from tui_trader.ui.state import Frame
from tui_trader.ui.theme import tone
from tui_trader.ui.widgets.lists import state_of
from tui_trader.ui.widgets.signals import ACTIONS, own_reasons

_DECIMALS = 8
_STATES = {"in use": ("✓", "ok"), "demoted": ("✗", "warn")}


def figure(value: float | None) -> str:
    """A number of unknown size in few digits: 2.41, 0.466, 0.00043, 104,500; "–" for none."""
    if value is None:
        return f.NOTHING
    size = abs(value)
    small = min(max(2 - math.floor(math.log10(size)), 3), _DECIMALS) if size else 0
    decimals = 0 if size >= 10_000 or value == int(value) else 2 if size >= 1 else small
    text = f.number(value, decimals)
    return text.rstrip("0").rstrip(".") if "." in text else text


# --- one signal ---


def signal_part(sheet: Sheet, row: SignalRow, decimals: int, width: int) -> None:
    """One signal: what was decided and why, each condition's part, and where the parameters came from."""
    side = "" if row.side == "hold" else f"{row.side} "
    who = "hand" if row.strategy in ("", "manual") else row.strategy
    sheet.head(f"{f.clock(row.ts)} {side}by {who}")
    words, role = ACTIONS.get(row.action, (row.action, "dim"))
    sheet.pair("decision", words, role)
    for reason in own_reasons(row):
        sheet.block(f"✗ {reason}" if row.action == "refused" else reason, width, 21, "warn")
    if row.conditions:
        _arithmetic(sheet, row)
    elif row.conviction:
        sheet.pair("conviction", f.number(row.conviction, 2))
    if row.stop or row.target:
        prices = [
            f"{name} {f.price(price, decimals)}"
            for name, price in (("stop", row.stop), ("target", row.target))
            if price
        ]
        sheet.pair("suggested", ", ".join(prices))
    if row.timeframe:
        sheet.pair("regime", f"{row.regime} on {row.timeframe}")
        sheet.pair("parameters", row.source.partition(":")[0])
        if ":" in row.source:
            sheet.block(row.source.partition(":")[2], width, 21, "dim")
    if row.conditions:
        _conditions(sheet, row.conditions, width)


def _arithmetic(sheet: Sheet, row: SignalRow) -> None:
    value = confluence(row.conditions)
    met = sum(each.met for each in row.conditions)
    sheet.pair("conditions met", f"{met} of {len(row.conditions)}", "text" if met == len(row.conditions) else "warn")
    sheet.pair("confluence", f"{f.number(value, 2)}, the mean of the scores by weight")
    if row.side == "hold":
        sheet.pair("conviction", "none: not every condition is met", "dim")
        return
    enough = row.conviction >= row.threshold
    sign = "≥" if enough else "<"
    words = f"{f.number(row.conviction, 2)} {sign} {f.number(row.threshold, 2)}, the threshold"
    sheet.pair("conviction", words, "profit" if enough else "warn")


def _conditions(sheet: Sheet, conditions: Sequence[ConditionView], width: int) -> None:
    name_width = max(min(width - 42, 30), 14)
    values = on_the_point([figure(each.value) for each in conditions])
    limits = on_the_point([figure(each.limit) for each in conditions])
    sheet.line("")
    sheet.line(
        f"    {f.fit('condition', name_width)} {f.fit('value', 8, '>')} {f.fit('limit', 8, '>')}  score  weight", "head"
    )
    for each, value, limit in zip(conditions, values, limits, strict=True):
        cells = (
            f"  {'✓' if each.met else '✗'} {f.fit(f.clean(each.name), name_width)} {f.fit(value, 8, '>')} "
            f"{f.fit(limit, 8, '>')}  {f.fit(f.number(each.score, 2), 5, '>')}  "
            f"{f.fit(figure(each.weight), 6, '>')}"
        )
        sheet.line(cells, "text" if each.met else "warn")
        sheet.block(each.text, width, 4, "dim")


def on_the_point(texts: Sequence[str]) -> list[str]:
    """Numbers of one column with blanks behind, so that right-aligned their decimal points stand below each other."""
    tails = [len(text) - text.index(".") if "." in text else 0 for text in texts]
    longest = max(tails, default=0)
    return [text + " " * (longest - tail) for text, tail in zip(texts, tails, strict=True)]


# --- one strategy ---


def strategy_text(frame: Frame, name: str, width: int) -> Text:
    """Results of a strategy, the parameters that it runs with and why, its trained sets, what it declares."""
    sheet = Sheet(frame.palette)
    row = next((each for each in frame.snapshot.strategies if each.name == name), None)
    if row is None:
        sheet.line(f"There is no strategy {name} any more.", "dim")
        return sheet.text
    _results(sheet, row, width)
    if row.uses:
        sheet.head("Parameters in force")
        for use in row.uses:
            _use(sheet, row, use, width)
    elif row.timeframe:
        sheet.head("Parameters in force")
        sheet.line("  None yet: the universe is still empty.", "dim")
    _sets(sheet, row, width)
    if row.parameters:
        sheet.head("Parameters it has")
        for each in row.parameters:
            bounds = f"{figure(each.low)} to {figure(each.high)}"
            sheet.pair(each.name, f"{f.fit(figure(each.default), 8)} {f.fit(bounds, 16)} {each.text}")
    return sheet.text


def _results(sheet: Sheet, row: StrategyRow, width: int) -> None:
    sheet.head(row.name if row.timeframe else "entries by hand")
    if row.timeframe:
        above = f", looks at {row.higher} too" if row.higher else ""
        sheet.pair("state", *state_of(row))
        if row.problem:
            sheet.block(row.problem, width, 21, "warn")
            sheet.block("Mend the file and start anew, or resume it with p.", width, 21, "dim")
        sheet.pair("judges", f"closed bars of {row.timeframe}{above}; trades from {f.number(row.threshold, 2)} on")
    won = f", {f.share(row.wins / row.trades, 0)} won" if row.trades else ""
    sheet.pair("closed trades", f"{row.trades}{won}")
    if row.trades:
        result = f"{f.signed_money(row.pnl)} USDT, mean {f.r_multiple(row.mean_r)}"
        sheet.pair("profit or loss", result, tone(row.pnl))


def _use(sheet: Sheet, row: StrategyRow, use: UseView, width: int) -> None:
    symbols = ", ".join(f.base(f.clean(symbol)) for symbol in use.symbols)
    sheet.block(f"{symbols}: {use.regime} on {row.timeframe}", width)
    sheet.block(use.source, width, 4, "ok" if use.trained else "dim")
    sheet.block(_values(row, use.values), width, 4)


def _values(row: StrategyRow, values: Sequence[float]) -> str:
    """The values by name; what differs from the default says so."""
    words = []
    for each, value in zip(row.parameters, values, strict=False):
        changed = f" (default {figure(each.default)})" if value != each.default else ""
        words.append(f"{each.name} {figure(value)}{changed}")
    return " · ".join(words)


def _sets(sheet: Sheet, row: StrategyRow, width: int) -> None:
    if row.sets:
        sheet.head(f"Trained sets on {row.timeframe}")
        for one in row.sets:
            _set(sheet, row, one, width)
    if row.unused:
        sheet.head("Trained and deployed, but not used")
        for words in row.unused:
            sheet.block(words, width, 2, "warn")


def _set(sheet: Sheet, row: StrategyRow, one: TrainedView, width: int) -> None:
    sign, role = _STATES.get(one.state, ("·", "dim"))
    sheet.block(f"{sign} {f.base(f.clean(one.symbol))} {one.regime}: {one.state}", width, 2, role)
    if one.reason:
        sheet.block(one.reason, width, 4, role)
    if one.oos_trades:
        words = f"out of sample {f.r_multiple(one.oos_mean_r)} in {one.oos_trades} trades"
        words += f", held to {f.r_multiple(one.low)} at least"
        since = f"; since then {f.r_multiple(one.mean_r)} in {one.trades}" if one.trades else "; no trades since then"
        sheet.block(words + since, width, 4, "dim")
    sheet.block(_values(row, one.values), width, 4)
