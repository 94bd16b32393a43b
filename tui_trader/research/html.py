"""A report as one HTML page: no script, no request to anywhere; charts are inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tui_trader.clock import iso_utc
from tui_trader.research.report import EXACT, Report, figures

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --equity: #2a78d6; --hold: #8a8a8a; --loss: #c0392b; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
p.verdict { font-size: 1.1rem; } ul { padding-left: 1.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: .15rem .9rem .15rem 0; text-align: left; border-bottom: 1px solid var(--line); font-weight: normal; }
td.n { text-align: right; } .scroll { overflow-x: auto; } svg { width: 100%; height: auto; }
.equity { stroke: var(--equity); } .hold { stroke: var(--hold); stroke-dasharray: 4 3; } .fall { fill: var(--loss); }
path { fill: none; stroke-width: 1.5; vector-effect: non-scaling-stroke; } text { font-size: 12px; fill: currentColor; }
rect { fill: var(--equity); } .warn { color: var(--loss); } small { opacity: .75; }
"""
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 900, 240, 70, 24


def to_html(report: Report) -> str:
    """The whole page."""
    title = f"{report.strategy} on {report.symbol} {report.timeframe}"
    rows = "".join(f"<tr><th>{escape(k)}</th><td class=n>{escape(v)}</td></tr>" for k, v in figures(report))
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width,initial-scale=1">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f"<h1>{escape(title)}{' · PARTIAL' if report.partial else ''}</h1>",
        f"<p class=verdict>{escape(report.verdict)}</p>",
        "".join(f"<p class=warn>{escape(text)}</p>" for text in report.warnings),
        "<h2>Equity in USDT; dashed: buy and hold</h2>",
        _lines(report.times, [("equity", report.equity), ("hold", report.hold)]),
        "<h2>Drawdown</h2>",
        _area(report.times, report.drawdown),
        f"<h2>Figures</h2><table>{rows}</table>",
        "<h2>Results in R</h2>",
        _bars(report.metrics.r_histogram),
        "<h2>What it rests on</h2><ul>",
        "".join(f"<li>{escape(text)}</li>" for text in report.assumptions),
        f"<li>parameters: {escape(', '.join(f'{k} {v:g}' for k, v in report.parameters.items()))}</li>",
        f"<li>data: {escape(report.source)}, SHA-256 <code>{escape(report.data_hash)}</code></li>",
        f"<li>code {escape(report.code)}, path: {escape(report.path)}</li></ul>",
        _trades(report),
    ]
    return "".join(parts) + "</html>\n"


def _scale(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 1.0, high + 1.0)


def _points(times: Sequence[int], values: Sequence[float], low: float, high: float) -> list[tuple[float, float]]:
    span = max(times[-1] - times[0], 1)
    room = _HEIGHT - _BOTTOM - 8
    return [
        (_LEFT + (t - times[0]) / span * (_WIDTH - _LEFT - 4), 4 + (high - v) / (high - low) * room)
        for t, v in zip(times, values, strict=True)
    ]


def _frame(times: Sequence[int], low: str, high: str, inside: str) -> str:
    first, last = iso_utc(times[0])[:10], iso_utc(times[-1])[:10]
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role=img>{inside}'
        f"<text x=0 y=14>{high}</text><text x=0 y={_HEIGHT - _BOTTOM}>{low}</text>"
        f"<text x={_LEFT} y={_HEIGHT - 4}>{first}</text>"
        f'<text x={_WIDTH - 4} y={_HEIGHT - 4} text-anchor="end">{last}</text></svg>'
    )


def _lines(times: Sequence[int], series: Sequence[tuple[str, Sequence[float]]]) -> str:
    low, high = _scale([v for _, values in series for v in values])
    drawn = "".join(
        f'<path class={name} d="M{" L".join(f"{x:.1f} {y:.1f}" for x, y in _points(times, values, low, high))}"/>'
        for name, values in series
    )
    return _frame(times, f"{low:,.0f}", f"{high:,.0f}", drawn)


def _area(times: Sequence[int], falls: Sequence[float]) -> str:
    deepest = max((*falls, 1e-6))
    points = _points(times, [-f for f in falls], -deepest, 0.0)
    line = " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    closed = f"M{points[0][0]:.1f} 4 L{line} L{points[-1][0]:.1f} 4 Z"
    return _frame(times, f"−{deepest:.2%}", "0 %", f'<path class=fall d="{closed}"/>')


def _bars(histogram: Sequence[tuple[str, int]]) -> str:
    most = max((n for _, n in histogram), default=0) or 1
    rows = []
    for i, (name, n) in enumerate(histogram):
        y = 4 + i * 22
        rows.append(
            f"<text x=0 y={y + 13}>{escape(name)}</text>"
            f"<rect x=110 y={y} width={n / most * 600:.1f} height=16 />"
            f"<text x={116 + n / most * 600:.1f} y={y + 13}>{n}</text>"
        )
    return f'<svg viewBox="0 0 {_WIDTH} {len(histogram) * 22 + 8}" role=img>{"".join(rows)}</svg>'


def _trades(report: Report) -> str:
    heads = ("entry", "side", "price", "quantity", "stop", "exits", "P&L", "R", "reason")
    rows = []
    for t in report.trades:
        exits = ", ".join(f"{e.leg} {e.price:{EXACT}} × {e.qty:{EXACT}}" for e in t.exits)
        cells = (
            iso_utc(t.entry_ms)[:16].replace("T", " "), t.side.value, f"{t.entry:{EXACT}}", f"{t.qty:{EXACT}}",
            f"{t.stop:{EXACT}}", exits, f"{t.pnl:+.2f}", f"{t.r:+.2f}", t.reason,
        )  # fmt: skip
        rows.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    return f"<h2>Trades</h2><div class=scroll><table><tr>{head}</tr>{''.join(rows)}</table></div>"
