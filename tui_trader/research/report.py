"""A run as people and programs read it: what was assumed, what came of it, in text with plots, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from tui_trader.clock import iso_utc
from tui_trader.core.instruments import Instrument
from tui_trader.core.types import HOUR_MS, MINUTE_MS
from tui_trader.research.backtest import DEPTH_USDT, BacktestResult, Trade
from tui_trader.research.history import History
from tui_trader.research.metrics import Metrics, measure
from tui_trader.venues.paper import Costs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FEW_TRADES = 30
"""Under so many trades a result is hardly more than luck."""
PLOT_POINTS = 400
WIDTH = 100


class WithoutCosts(msgspec.Struct, frozen=True, kw_only=True):
    """A second run in which nothing was paid, through the same gate: same spread and funding rates as decided on."""

    total_return: float
    trades: int
    same_entries: bool
    """Whether it entered at the very same bars. Sizes, loss limits and cooldowns follow its own wallet."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything shown of a run. ``times`` with ``equity``, ``hold`` (buy and hold) and ``drawdown`` are thinned."""

    strategy: str
    symbol: str
    timeframe: str
    verdict: str
    metrics: Metrics
    without_costs: float | None
    """Total return had nothing been paid; None when that was not run."""
    without_costs_run: WithoutCosts | None
    assumptions: tuple[str, ...]
    warnings: tuple[str, ...]
    parameters: dict[str, float]
    refused: dict[str, int]
    source: str
    data_hash: str
    code: str
    partial: bool
    path: str
    """Which path made it: engine or kernel."""
    times: list[int]
    equity: list[float]
    hold: list[float]
    drawdown: list[float]
    trades: tuple[Trade, ...]


def make_report(
    *,
    strategy: str,
    timeframe: str,
    history: History,
    result: BacktestResult,
    wallet: float,
    costs: Costs,
    instrument: Instrument,
    parameters: Mapping[str, float],
    warm_up_ms: int,
    code: str,
    path: str = "engine",
    without_costs: WithoutCosts | None = None,
) -> Report:
    """Put a result together with what it rests on."""
    bars = history.bars
    metrics = measure(result.trades, bars.open_ms, bars.close, result.equity, wallet, float(instrument.taker_fee))
    count = len(result.equity)
    points = np.unique(np.linspace(0, count - 1, min(PLOT_POINTS, count)).astype(np.int64))
    peaks = np.maximum(np.maximum.accumulate(result.equity), wallet)
    fall = 1.0 - result.equity / peaks
    return Report(
        strategy=strategy,
        symbol=history.symbol,
        timeframe=timeframe,
        verdict=verdict(metrics, result),
        metrics=metrics,
        without_costs=without_costs.total_return if without_costs is not None else None,
        without_costs_run=without_costs,
        assumptions=assumptions(costs, instrument, history, warm_up_ms),
        warnings=warnings(history, result, metrics),
        parameters=dict(parameters),
        refused=result.refused,
        source=history.source,
        data_hash=history.digest,
        code=code,
        partial=result.partial,
        path=path,
        times=(bars.open_ms[points] + MINUTE_MS).tolist(),
        equity=result.equity[points].tolist(),
        hold=(wallet * bars.close[points] / bars.close[0]).tolist(),
        drawdown=fall[points].tolist(),
        trades=result.trades,
    )


def verdict(m: Metrics, result: BacktestResult) -> str:
    """One honest sentence."""
    if not m.trades:
        return "No trade was made: nothing can be said about this strategy here."
    word = "earns" if m.total_return > 0 else "loses"
    against = "more" if m.total_return > m.buy_and_hold else "less"
    text = f"It {word} {abs(m.total_return):.2%} after costs, {against} than buy and hold ({m.buy_and_hold:+.2%})"
    if m.trades < FEW_TRADES:
        text += f"; {'1 trade is' if m.trades == 1 else f'{m.trades} trades are'} too few to tell skill from luck"
    if result.partial:
        text += "; the run was cut short"
    return f"{text}."


def assumptions(costs: Costs, instrument: Instrument, history: History, warm_up_ms: int) -> tuple[str, ...]:
    """What the figures rest on."""
    funded = "at its recorded rates" if len(history.funding_ms) else "not charged: no rates are recorded for this time"
    late = ", where the latency passes it by at the next price known, up to a minute later" if costs.latency_ms else ""
    return (
        f"signals at a bar's close, filled at the next minute's open{late}; within a minute: open, the extreme against "
        "the position, the one in its favour, close (the stop before a target)",
        f"market orders pay half the spread ({costs.half_spread_bps:g} bps), slippage ({costs.slippage_bps:g} bps) and "
        f"the taker fee ({instrument.taker_fee:.3%}); targets fill when traded through, at {instrument.maker_fee:.3%}; "
        f"latency {costs.latency_ms} ms",
        f"funding is {funded}; the gate sees the rate charged last",
        f"candles hold no order book: the gate is told a depth of {DEPTH_USDT:,.0f} USDT and the spread above",
        "one symbol alone: no other position takes margin or limits; no market impact",
        f"orders in ticks of {instrument.tick_size:f} and steps of {instrument.step_size:f}, at least "
        f"{instrument.min_notional:f} USDT each",
        f"the first {warm_up_ms / HOUR_MS:.1f} h of the candles only warm up: nothing is decided in them",
    )


def warnings(history: History, result: BacktestResult, m: Metrics) -> tuple[str, ...]:
    """What a reader must not overlook."""
    found = []
    for start, end in history.gaps[:5]:
        found.append(f"no candles from {iso_utc(start)} to {iso_utc(end)} ({(end - start) // MINUTE_MS} min)")
    if len(history.gaps) > 5:
        found.append(f"{len(history.gaps) - 5} more gaps in the candles")
    if len(history.funding_ms) and history.unfunded:
        hours = sum(end - start for start, end in history.unfunded) / HOUR_MS
        found.append(f"no funding rates for {hours:.0f} h of this time: none was charged then")
    if history.charged_in_gaps:
        found.append(
            f"funding fell due {history.charged_in_gaps} x within gaps: what was open paid at the last price before"
        )
    if m.ambiguous:
        count = "1 trade" if m.ambiguous == 1 else f"{m.ambiguous} trades"
        found.append(f"{count} ended in a minute that held both stop and target: counted as stopped")
    if result.killed:
        found.append(f"trading ended early: {result.killed}")
    if any(trade.open_at_end for trade in result.trades):
        found.append("the last trade is still open; its result is that so far booked")
    if result.partial:
        found.append("PARTIAL: the run was interrupted, the figures are of the part that was done")
    return tuple(found)


def to_json(report: Report) -> bytes:
    """One JSON document."""
    return msgspec.json.encode(report)


TRADE_COLUMNS = (
    "entry_time", "exit_time", "side", "entry", "qty", "stop", "exits", "pnl", "r", "fees", "funding", "conviction",
    "reason", "ambiguous", "open_at_end",
)  # fmt: skip


EXACT = ".15g"
"""Every digit of a price or a quantity, and none of its binary dust; a plain ``g`` would round to six."""


def trades_csv(trades: Iterable[Trade]) -> str:
    """One line a trade; ``exits`` as LEG:price×qty joined by spaces."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(TRADE_COLUMNS)
    for t in trades:
        exits = " ".join(f"{e.leg}:{e.price:{EXACT}}×{e.qty:{EXACT}}" for e in t.exits)
        ended = iso_utc(t.exits[-1].ts) if t.exits and not t.open_at_end else ""
        writer.writerow(
            (
                iso_utc(t.entry_ms), ended, t.side.value, f"{t.entry:{EXACT}}", f"{t.qty:{EXACT}}",
                f"{t.stop:{EXACT}}", exits,
                f"{t.pnl:.6f}", f"{t.r:.4f}", f"{t.fees:.6f}", f"{t.funding:.6f}", f"{t.conviction:.4f}", t.reason,
                int(t.ambiguous), int(t.open_at_end),
            )
        )  # fmt: skip
    return out.getvalue()


def figures(report: Report) -> list[tuple[str, str]]:
    """Names and values of the figures, in the order in which they are shown."""
    m = report.metrics
    rows = [
        ("from", iso_utc(m.start_ms)[:16].replace("T", " ")),
        ("to", iso_utc(m.end_ms)[:16].replace("T", " ")),
        ("trades", f"{m.trades} ({m.trades_per_day:.2f} a day)"),
        ("total return", f"{m.total_return:+.2%}"),
        ("buy and hold", f"{m.buy_and_hold:+.2%}"),
        ("annual return", _percent(m.annual_return)),
        ("win rate", _percent(m.win_rate, sign=False)),
        ("profit factor", _number(m.profit_factor)),
        ("expectancy", _number(m.expectancy_r, "R", sign=True)),
        ("average win", _number(m.average_win, "USDT")),
        ("average loss", _number(m.average_loss, "USDT")),
        ("Sharpe (daily, annualised)", _number(m.sharpe)),
        ("Sortino (daily, annualised)", _number(m.sortino)),
        ("Calmar", _number(m.calmar)),
        ("maximum drawdown", _drawdown(m)),
        ("VaR 95, one day", _percent(m.var95, sign=False)),
        ("exposure", f"{m.exposure:.1%}"),
        ("average holding time", _number(m.average_hours, "h")),
        ("longest losing run", f"{m.longest_losing_run} trades"),
        ("before fees and funding", f"{m.gross:+.2f} USDT"),
        ("fees", f"{-m.fees:+.2f} USDT"),
        ("funding", f"{m.funding:+.2f} USDT"),
        ("after costs", f"{m.net:+.2f} USDT"),
    ]
    free = report.without_costs_run
    if free is not None:
        share = free.total_return - m.total_return
        entries = "the same entries" if free.same_entries else f"{free.trades} trades, its own sizes and limits"
        rows.append(("nothing paid, same gate", f"{free.total_return:+.2%}: costs take {share:.2%} ({entries})"))
    dated = ("from", "to", "maximum drawdown")
    return [(name, value if name in dated else value.replace("-", "−")) for name, value in rows]


def _percent(value: float | None, *, sign: bool = True) -> str:
    if value is None:
        return "not defined"
    return f"{value:+.2%}" if sign else f"{value:.2%}"


def _number(value: float | None, unit: str = "", *, sign: bool = False) -> str:
    if value is None:
        return "not defined"
    return f"{value:{'+' if sign else ''}.2f} {unit}".rstrip()


def _drawdown(m: Metrics) -> str:
    if m.drawdown is None:
        return "none"
    d = m.drawdown
    back = f"recovered {iso_utc(d.recovered_ms)[:10]}" if d.recovered_ms else "not recovered"
    return f"{d.depth:.2%} ({iso_utc(d.peak_ms)[:10]} to {iso_utc(d.trough_ms)[:10]}, {back})"


def to_text(report: Report, *, plots: bool = True, colour: bool = False) -> str:
    """The report for a terminal, at most 100 columns."""
    title = f"{report.strategy} on {report.symbol} {report.timeframe}" + (" · PARTIAL" if report.partial else "")
    lines = [title, "─" * len(title), report.verdict, ""]
    lines += _columns(figures(report))
    lines += ["", "R of each trade: " + " · ".join(f"{name} {n}" for name, n in report.metrics.r_histogram if n)]
    if report.refused:
        lines.append("refused by the gate: " + ", ".join(f"{code} {n}" for code, n in report.refused.items()))
    if plots and len(report.times) > 1:
        lines += ["", _plot(report, colour=colour)]
    lines += ["", "parameters: " + ", ".join(f"{k} {v:g}" for k, v in report.parameters.items())]
    lines += [f"! {text}" for text in report.warnings]
    lines += [f"· {text}" for text in report.assumptions]
    lines += [f"data: {report.source}, SHA-256 {report.data_hash[:16]}… · code {report.code} · path: {report.path}"]
    return "\n".join(wrapped for line in lines for wrapped in _wrap(line))


def _columns(rows: Sequence[tuple[str, str]]) -> list[str]:
    wide = max(len(name) for name, _ in rows)
    return [f"  {name:<{wide}}  {value}" for name, value in rows]


def _wrap(line: str) -> list[str]:
    if len(line) <= WIDTH or line.startswith(("  ", "\x1b")) or "\n" in line:
        return [line]
    import textwrap

    return textwrap.wrap(line, WIDTH, subsequent_indent="  ")


def _plot(report: Report, *, colour: bool) -> str:
    """Equity beside buy and hold, and the drawdown under it."""
    import plotext

    hours = [(t - report.times[0]) / 3_600_000 for t in report.times]
    days = [h / 24 for h in hours]
    plotext.clear_figure()
    plotext.subplots(2, 1)
    plotext.plot_size(WIDTH, 24)
    for row in (1, 2):
        figure = plotext.subplot(row, 1)
        # The terminal's own paper and ink: the library's are black on white, glaring in a dark room.
        for paint in (figure.canvas_color, figure.axes_color, figure.ticks_color):
            paint("default")
    plotext.subplot(1, 1)
    plotext.plot(days, report.equity, label="equity", marker="braille")
    plotext.plot(days, report.hold, label="buy and hold", marker="dot")
    plotext.title("equity, USDT")
    plotext.subplot(2, 1)
    plotext.plot(days, [-100 * d for d in report.drawdown], label="drawdown", marker="braille")
    plotext.title("drawdown, %, by days from the start")
    text = plotext.build()
    plotext.clear_figure()
    return str(text if colour else plotext.uncolorize(text))
