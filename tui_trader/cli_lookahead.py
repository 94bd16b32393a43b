"""``tui-trader check-lookahead``: does a strategy decide otherwise when the future is taken away?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tui_trader import clock
from tui_trader.cli_backtest import Bar, timeframe_of
from tui_trader.cli_context import Globals, emit, symbol_of
from tui_trader.errors import UsageError

if TYPE_CHECKING:
    from tui_trader.research.lookahead import Finding, LookaheadReport, WarmUp


def check_lookahead(
    options: Globals, name: str, contract: str, candles: Path | None, timeframe: str, cuts: int, as_json: bool
) -> int:
    """0: nothing changed; 1: a decision changed with what came after it, or live decides otherwise than a backtest."""
    from tui_trader.core.parameters import resolve
    from tui_trader.research.history import instrument_of, load_history
    from tui_trader.research.lookahead import Checker
    from tui_trader.strategies.registry import find_strategy

    settings = options.load().settings
    strategy = find_strategy(name, settings.strategies)
    symbol, _ = symbol_of(contract)
    history = load_history(symbol, file=candles, store_path=options.store_path())
    bar = Bar(f"check {name}")
    checker = Checker(
        strategy,
        history,
        settings,
        instrument_of(symbol, history.bars),
        timeframe=timeframe_of(timeframe, settings, strategy),
        values=resolve(strategy.parameters, settings.strategies.parameters_of(name)),
        cuts=cuts,
        progress=bar,
    )
    try:
        report = checker.run()
    except ValueError as error:
        raise UsageError(str(error)) from None
    finally:
        bar.clear()
    if as_json:
        first = report.first
        emit({"clean": report.clean, "first": first, **msgspec.to_builtins(report)})
    else:
        sys.stdout.write(to_text(report))
    return 0 if report.clean else 1


def to_text(report: LookaheadReport) -> str:
    """The report for a person."""
    lines = [
        f"{report.strategy} on {report.symbol} {report.timeframe}",
        f"{report.bars:,} bars, {report.decisions:,} decisions",
        f"cut after {report.cuts:,} bars, {report.poisoned:,} poisoned futures, {report.live_bars:,} bars live, "
        f"{report.backtests:,} backtests ({report.trades:,} trades)",
        *_warm_up(report.warm_up),
    ]
    for found in report.findings:
        lines += _finding(found)
    first = report.first
    if first is None:
        lines.append("no lookahead found: no decision changed with what came after it")
    else:
        lines.append(f"first decision that changes: the bar that closes at {clock.iso_utc(first.bar_ms)}")
    if report.findings and not report.lookahead:
        lines.append("no lookahead: a backtest sees more history than live does; let the strategy ask for more of it")
    if not report.decisions:
        lines.append("note: the strategy decides nothing here; try more history (--candles) or another symbol")
    return "\n".join(lines) + "\n"


def _finding(found: Finding) -> list[str]:
    at = clock.iso_utc(found.bar_ms)
    if found.check == "live":
        return [
            f"LIVE DECIDES OTHERWISE ({found.path}) at {at}",
            f"  in a backtest       {found.with_future}",
            f"  live                {found.without}",
        ]
    return [
        f"LOOKAHEAD ({found.path}, future {found.check}): the decision at {at} changes",
        f"  with the future     {found.with_future}",
        f"  without it          {found.without}",
    ]


def _warm_up(found: WarmUp) -> list[str]:
    asks = f"it asks for {found.declared} bars"
    if found.sides < 0:
        return [f"WARM-UP: decisions depend on where history begins, however long it is; {asks}"]
    lines = [f"warm-up: decisions are stable from {max(found.sides, found.declared)} bars on; {asks}"]
    if not found.stable:
        lines = [f"WARM-UP: decisions depend on where history begins up to {found.sides} bars on; {asks}"]
    if found.values < 0:
        lines.append("         their numbers go on depending on it (over 1e-6)")
    elif found.values > max(found.sides, found.declared):
        lines.append(f"         their numbers (to 1e-6) are stable from {found.values} bars on")
    return lines
