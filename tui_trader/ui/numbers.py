"""Reading the numbers that a person types, and what is wrong with them as a stop or a target."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

from tui_trader.core.manual import FARTHEST_STOP
from tui_trader.core.types import Leg, Side
from tui_trader.core.views import PositionRow
from tui_trader.ui import format as f

TARGETS = {"TP1": Leg.TP1, "TP2": Leg.TP2, "TP3": Leg.TP3}

_FARTHEST = float(FARTHEST_STOP)
"""The engine holds the stop to it, too; the screen says it before anything is sent, of targets as well."""
_PLAIN = re.compile(r"[0-9]{1,15}(\.[0-9]{1,12})?|\.[0-9]{1,12}")


def decimal_of(text: str) -> Decimal | str:
    """The positive decimal that ``text`` writes ("43500.5"), or what is wrong with it in words."""
    text = text.strip()
    if not text:
        return "type a number."
    if "," in text:
        return "write it without a comma: a point for the fraction, nothing between thousands."
    if not text.isascii() or not _PLAIN.fullmatch(text):
        return f"{text[:24]!r} is not a plain positive number such as 43500.5."
    value = Decimal(text)
    return value if value > 0 else "it must be more than zero."


def stop_problem(text: str, row: PositionRow) -> str:
    """What is wrong with ``text`` as the stop price of a position; "" when nothing."""
    side, mark, decimals = row.side, row.mark, row.price_decimals
    value = decimal_of(text)
    if isinstance(value, str):
        return value
    if -int(value.normalize().as_tuple().exponent) > decimals:
        return f"this instrument has {decimals} decimals."
    if side is Side.LONG and float(value) >= mark:
        return f"a long's stop must be under the mark price {f.price(mark, decimals)}, or it would trigger at once."
    if side is Side.SHORT and float(value) <= mark:
        return f"a short's stop must be over the mark price {f.price(mark, decimals)}, or it would trigger at once."
    return _too_far(float(value), row)


def _too_far(price: float, row: PositionRow) -> str:
    """What is wrong with a stop so far away that it protects nothing; "" when it does protect."""
    sign = 1 if row.side is Side.LONG else -1
    if row.liquidation > 0 and (price - row.liquidation) * sign <= 0:
        return f"the position would be liquidated at {f.price(row.liquidation, row.price_decimals)} before that."
    if row.mark > 0 and abs(row.mark - price) > row.mark * _FARTHEST:
        return f"that is more than {f.share(_FARTHEST, 0)} away from the mark price: a typing mistake?"
    return ""


def stop_consequence(text: str, row: PositionRow) -> str:
    """What the position makes or loses when it is stopped at ``text``, a price without a problem."""
    sign = 1 if row.side is Side.LONG else -1
    result = (float(text) - row.entry) * sign * row.qty
    change = (float(text) - row.stop) * sign
    wider = "  Wider than now: more is at risk." if row.stop and change < 0 else ""
    return f"stopped there: {f.signed_money(result)} USDT before fees.{wider}"


def target_problem(values: Mapping[str, str], side: Side, mark: float) -> str:
    """What is wrong with a typed target; "" when nothing."""
    if values["leg"].upper() not in TARGETS:
        return "the leg is TP1, TP2 or TP3."
    price = decimal_of(values["price"])
    if isinstance(price, str):
        return f"price: {price}"
    if side is Side.LONG and float(price) <= mark:
        return f"a long's target must be over the mark price {f.number(mark, 6).rstrip('0').rstrip('.')}."
    if side is Side.SHORT and float(price) >= mark:
        return f"a short's target must be under the mark price {f.number(mark, 6).rstrip('0').rstrip('.')}."
    if abs(float(price) - mark) > mark * _FARTHEST:
        return f"price: more than {f.share(_FARTHEST, 0)} away from the mark price: a typing mistake?"
    share = decimal_of(values["share"])
    if isinstance(share, str):
        return f"share: {share}"
    return "" if share <= 100 else "share: at most 100 % of the initial quantity."
