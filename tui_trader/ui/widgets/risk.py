"""Risk: every limit as a meter, and the portfolio's figures."""

from __future__ import annotations

from collections.abc import Sequence

from tui_trader.core.views import Meter, ProtectionView, RiskView
from tui_trader.ui import format as f
from tui_trader.ui import guard
from tui_trader.ui.state import Frame
from tui_trader.ui.widgets.base import Cell, Line, Pane, sentence


class RiskPane(Pane):
    """Meters first, analytics under them."""

    def heading(self, frame: Frame) -> str:
        """The money at risk down to the stops."""
        risk = frame.snapshot.risk
        return f"Risk · {f.money(risk.open_risk_usdt)} USDT to the stops" if risk.meters else "Risk"

    def draw(self, frame: Frame, width: int, height: int) -> Sequence[Line]:
        """A meter a line; what has no data yet says so."""
        risk = frame.snapshot.risk
        if not risk.meters:
            return sentence(f.clean(" ".join(risk.notes)) or "No limits known yet.", width, height)
        name_width = min(max(len(meter.name) for meter in risk.meters) + 1, max(width // 3, 9))
        texts = [_amount(meter) for meter in risk.meters]
        text_width = min(max(map(len, texts)), max(width - name_width - 8, 6))
        lines: list[Line] = []
        for meter, text in zip(risk.meters, texts, strict=True):
            level = meter.level
            role = "loss" if level >= 1 else ("warn" if level >= 0.8 else "accent")
            bar_width = max(width - name_width - text_width - 5, 4)
            used, free = f.bar(level, bar_width)
            sign = "!" if level >= 0.8 else " "
            lines.append(
                (
                    (" " + f.fit(f.clean(meter.name), name_width), "dim"),
                    (f.fit(text, text_width, ">") + " ", "text" if level < 0.8 else role),
                    (used, role),
                    (free, "faint"),
                    (f" {sign}", role),
                )
            )
        return [*lines, *_protection(frame.snapshot.protection), *_analytics(risk, width)]


def _protection(view: ProtectionView) -> list[Line]:
    """Times without a proven stop in this session, and whether an invariant was ever found broken."""
    lines: list[Line] = [((" ", "text"), *guard.session(view))]
    if view.violations:
        lines.append(((f" ✗ invariant broken {view.violations}×: log (0)", "loss"),))
    return lines


def _amount(meter: Meter) -> str:
    unit = meter.unit
    if unit == "%":
        return f"{f.number(meter.value, 1)}/{f.number(meter.limit, 1)}%"
    if unit == "USDT":
        return f"{_short(meter.value)}/{_short(meter.limit)}"
    return f"{f.number(meter.value, 0)}/{f.number(meter.limit, 0)}{unit if unit.startswith('/') else ''}"


def _short(value: float) -> str:
    return f.number(value, 2) if abs(value) < 1_000 and value != int(value) else f.compact(value)


def _analytics(risk: RiskView, width: int) -> list[Line]:
    figures = (
        ("ESS", risk.ess, 2.5, 2),
        ("systemic", risk.systemic, 0.8, 2),
        ("corr", risk.correlation, 0.8, 2),
        ("heat", risk.heat, 0.8, 2),
        ("VaR95", risk.var95, float("inf"), 0),
    )
    cells: list[Cell] = [(" ", "text")]
    lines: list[Line] = [()]
    used = 1
    for name, value, limit, decimals in figures:
        text = "…" if value is None else f.number(value, decimals)
        role = "dim" if value is None else ("warn" if value >= limit else "text")
        size = len(name) + len(text) + 4
        if used + size > width and used > 1:
            lines.append(tuple(cells))
            cells, used = [(" ", "text")], 1
        cells.extend([(f"{name} ", "dim"), (text, role), ("   ", "text")])
        used += size
    lines.append(tuple(cells))
    for note in risk.notes:
        lines.extend(((" " + part, "dim"),) for part in f.wrap(f.clean(note), max(width - 2, 4)))
    return lines
