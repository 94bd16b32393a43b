"""Numbers, times and words as the console writes them: fixed widths, a real minus sign, never an exception.

Every function takes finite numbers and answers "–" for anything else, because a screen must survive what a venue says.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import lru_cache

from rich.cells import cell_len, set_cell_size

from tui_trader.core.plain import plain

MINUS = "−"
NOTHING = "–"
_HUGE = 1e13
_COMPACT = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
_NEGATIVE = re.compile(r"(?<![\w-])(?<!code )-(?=\d)", re.ASCII)
_SPARK = "▁▂▃▄▅▆▇█"


@lru_cache(maxsize=4096)
def clean(text: str) -> str:
    """``text`` made harmless by ``core.plain``: no control, hidden or joining signs; line ends become spaces."""
    return plain(text)


def sentence(text: str) -> str:
    """``text`` of the log as ``clean``, its negative numbers with the sign that the panes write: "−4.20 USDT".

    The store and the session's log keep "-"; ids, times, ranges and the venue's codes keep it here, too.
    """
    return _NEGATIVE.sub(MINUS, clean(text))


def width_of(text: str) -> int:
    """Terminal cells that ``text`` takes."""
    return len(text) if text.isascii() else cell_len(text)


def fit(text: str, width: int, align: str = "<") -> str:
    """``text`` in exactly ``width`` cells; too long a text ends in "…"; ``align`` is "<", ">" or "^"."""
    if width <= 0:
        return ""
    length = width_of(text)
    if length > width:
        return set_cell_size(text, width - 1) + "…"
    gap = width - length
    if align == ">":
        return " " * gap + text
    if align == "^":
        return " " * (gap // 2) + text + " " * (gap - gap // 2)
    return text + " " * gap


def _minus(text: str) -> str:
    return text.replace("-", MINUS)


def number(value: float, decimals: int) -> str:
    """``value`` with thousands separators and fixed decimals: "43,512.4", "−0.002"; 1e13 and more in powers of ten."""
    if not math.isfinite(value):
        return NOTHING
    decimals = min(max(decimals, 0), 12)
    if abs(value) >= _HUGE:
        return _minus(f"{value:.2e}")
    text = f"{value:,.{decimals}f}"
    if text.startswith("-") and not any(digit in text for digit in "123456789"):
        text = text[1:]
    return _minus(text)


def signed(value: float, decimals: int) -> str:
    """As ``number`` with a sign always, except for what rounds to zero: "+34.21", "−0.40", "0.00"."""
    text = number(value, decimals)
    return f"+{text}" if value > 0 and any(digit in text for digit in "123456789") else text


def price(value: float, decimals: int) -> str:
    """A price with the instrument's decimals; "–" for none (0)."""
    return number(value, decimals) if value else NOTHING


def money(value: float) -> str:
    """USDT with two decimals, compact from ten million on."""
    return number(value, 2) if abs(value) < 1e7 else compact(value)


def within(value: float, decimals: int, width: int, *, sign: bool = False) -> str:
    """``value`` in at most ``width`` cells: with its decimals, else with as many as fit, else compact ("12.3k")."""
    write = signed if sign else number
    for places in range(decimals, -1, -1):
        text = write(value, places)
        if len(text) <= width:
            return text
    return (f"+{compact(value)}" if value > 0 else compact(value)) if sign else compact(value)


def signed_money(value: float) -> str:
    """USDT with a sign and two decimals, compact from ten million on."""
    if abs(value) < 1e7 or not math.isfinite(value):
        return signed(value, 2)
    return f"+{compact(value)}" if value > 0 else compact(value)


def compact(value: float) -> str:
    """Three significant digits and a letter: "1.2B", "870M", "49.5k", "12.3"."""
    if not math.isfinite(value):
        return NOTHING
    size = abs(value)
    for limit, letter in _COMPACT:
        if size >= limit * 0.9995:
            scaled = value / limit
            if abs(scaled) >= 9_999:
                return _minus(f"{value:.1e}")
            return _minus(f"{scaled:.1f}" if abs(scaled) < 99.95 else f"{scaled:.0f}") + letter
    return number(value, 0 if size >= 100 else 1)


def percent(value: float, decimals: int = 2) -> str:
    """A value that already is in percent, with a sign: "+1.21%"."""
    if not math.isfinite(value):
        return NOTHING
    return f"{signed(value, decimals)}%" if abs(value) < 1e6 else f"{compact(value)}%"


def share(value: float, decimals: int = 1) -> str:
    """A fraction as percent without a sign: 0.041 → "4.1%"."""
    return f"{number(value * 100, decimals)}%" if math.isfinite(value) else NOTHING


def r_multiple(value: float) -> str:
    """A multiple of the initial risk: "+1.50R"."""
    return f"{signed(value, 2)}R" if math.isfinite(value) and abs(value) < 1e5 else f"{compact(value)}R"


def funding(rate: float) -> str:
    """A funding rate (fraction per interval) in percent: 0.0001 → "+0.010%"."""
    return percent(rate * 100, 3) if math.isfinite(rate) else NOTHING


def age(seconds: float) -> str:
    """How long ago, in at most five cells: "0.4s", "12s", "3m", "2h", "4d"."""
    if not math.isfinite(seconds):
        return NOTHING
    seconds = max(seconds, 0.0)
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    for limit, unit, letter in ((120, 1, "s"), (7_200, 60, "m"), (172_800, 3_600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f}{letter}"
    days = seconds / 86_400
    return f"{days:.0f}d" if days < 10_000 else ">9kd"


def countdown(ms: float) -> str:
    """Time left: "03:12" (minutes and seconds) under an hour, "2h14" above; "now" when over."""
    if not math.isfinite(ms):
        return NOTHING
    total = int(ms // 1000)
    if total <= 0:
        return "now"
    if total < 3_600:
        return f"{total // 60:02d}:{total % 60:02d}"
    hours = total // 3_600
    return f"{hours}h{total % 3_600 // 60:02d}" if hours < 100 else f"{hours // 24}d"


def short_countdown(ms: float) -> str:
    """Time left in at most four cells where the minutes of hours do not matter: "7h03", "47m", "now"."""
    text = countdown(ms)
    return f"{int(ms // 60_000)}m" if ":" in text else text


def clock(ms: int, *, seconds: bool = True) -> str:
    """Time of day, UTC: "14:32:07" or "14:32"."""
    of_day = ms // 1000 % 86_400
    text = f"{of_day // 3_600:02d}:{of_day % 3_600 // 60:02d}"
    return f"{text}:{of_day % 60:02d}" if seconds else text


def span(ms: float) -> str:
    """A duration: "45s", "12m", "3h05", "2d04"."""
    total = int(max(ms, 0) // 1000) if math.isfinite(ms) else 0
    if total < 60:
        return f"{total}s"
    if total < 3_600:
        return f"{total // 60}m"
    if total < 86_400:
        return f"{total // 3_600}h{total % 3_600 // 60:02d}"
    return f"{total // 86_400}d{total % 86_400 // 3_600:02d}"


def bar(level: float, width: int) -> tuple[str, str]:
    """A meter of ``width`` cells in two parts, used and free, half a cell fine: 0.25 of 6 → ("━╸", "────")."""
    if width <= 0:
        return "", ""
    halves = round(min(max(level, 0.0), 1.0) * width * 2) if math.isfinite(level) else 0
    used = "━" * (halves // 2) + ("╸" if halves % 2 else "")
    return used, "─" * (width - len(used))


def sparkline(values: Sequence[float], width: int) -> str:
    """The values as one line of ``width`` block characters at most, the newest at the right."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite or width <= 0:
        return ""
    if len(finite) > width:
        step = len(finite) / width
        finite = [finite[min(int((index + 1) * step) - 1, len(finite) - 1)] for index in range(width)]
    low, high = min(finite), max(finite)
    reach = high - low
    if reach <= 0 or not math.isfinite(reach):
        return _SPARK[3] * len(finite)
    return "".join(_SPARK[min(int((value - low) / reach * 8), 7)] for value in finite)


def wrap(text: str, width: int) -> list[str]:
    """``text`` broken at spaces into lines of at most ``width`` cells; an overlong word is cut."""
    if width <= 0:
        return []
    lines: list[str] = []
    line = ""
    for word in text.split():
        while width_of(word) > width:
            if line:
                lines.append(line)
                line = ""
            head = set_cell_size(word, width).rstrip()
            lines.append(head)
            word = word[len(head) :]
        candidate = f"{line} {word}" if line else word
        if width_of(candidate) <= width:
            line = candidate
        else:
            lines.append(line)
            line = word
    if line:
        lines.append(line)
    return lines


def listed(pieces: Sequence[str], width: int) -> list[str]:
    """``pieces`` with " · " between them in lines of at most ``width`` cells; a line never starts with the dot."""
    lines: list[str] = []
    for piece in pieces:
        joined = f"{lines[-1]} · {piece}" if lines else piece
        if lines and width_of(joined) <= width:
            lines[-1] = joined
        else:
            lines.extend(wrap(piece, width))
    return lines


def base(symbol: str) -> str:
    """The short name of a symbol for narrow places: BTCUSDT → BTC."""
    return symbol[:-4] if symbol.endswith("USDT") and len(symbol) > 4 else symbol
