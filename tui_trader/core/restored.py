"""Plans and orders as the store gives them back, checked before anything is computed with them.

A damaged cell must not end the process while a position is open: what is not sound counts as not stored, and the venue
is asked what is open.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal

import msgspec

from tui_trader.core.oco import Plan
from tui_trader.core.orders import OwnOrder
from tui_trader.core.plain import plain
from tui_trader.core.state import EngineState
from tui_trader.core.strategy_rows import SignalRow
from tui_trader.core.types import OrderStatus, Severity

PLAN_IDS = 36**6
"""One more than the largest plan number: it stands in six base-36 digits of a client id."""

_LARGEST = Decimal(10) ** 25
_MAY_BE_NEGATIVE = frozenset({"fees", "funding", "realized"})


def unsound(value: object, name: str = "") -> Iterator[str]:
    """The names of what cannot be computed with: not finite, absurdly large, or negative where it cannot be."""
    if isinstance(value, msgspec.Struct):
        for field in value.__struct_fields__:
            yield from unsound(getattr(value, field), field)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from unsound(item, name)
    elif isinstance(value, dict):
        for item in value.values():
            yield from unsound(item, name)
    elif not _is_sound(value, name):
        yield name


def _is_sound(value: object, name: str) -> bool:
    if isinstance(value, Decimal):
        return value.is_finite() and abs(value) < _LARGEST and (value >= 0 or name in _MAY_BE_NEGATIVE)
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or -(2**63) <= value < 2**63


def plan(state: EngineState, body: dict[str, object]) -> Plan | None:
    """A stored plan; None, with an alarm, when it cannot be used: its position will be adopted."""
    try:
        found = msgspec.convert(body, Plan, strict=False)
        problem = ", ".join(dict.fromkeys(unsound(found)))
        if not 1 <= found.plan_id < PLAN_IDS:
            problem = f"plan number {found.plan_id}"
    except (msgspec.ValidationError, ArithmeticError, RecursionError) as error:
        found, problem = None, str(error)
    if not problem:
        return found
    text = f"a stored plan of {body.get('symbol', '?')} cannot be read ({problem}); its position will be adopted"
    state.say(Severity.ALARM, plain(text[:300]))
    return None


def order(row: dict[str, object]) -> OwnOrder | None:
    """A stored order, ``unknown`` when it was live; None when it cannot be used: a snapshot shows it if it rests.

    ``booked`` is what its stored fills sum to: a word of a fill may have been stored without the fill itself.
    """
    known = {k: v for k, v in row.items() if k in OwnOrder.__struct_fields__ and v is not None}
    try:
        found = msgspec.convert(known, OwnOrder, strict=False)
        if any(unsound(found)) or found.qty == 0:
            return None
    except (msgspec.ValidationError, ArithmeticError, RecursionError):
        return None
    found.filled_qty = max(found.filled_qty, found.booked)
    if found.live:
        found.status = OrderStatus.UNKNOWN
        found.sent_ms = 0
    return found


def signal(row: dict[str, object]) -> SignalRow | None:
    """A stored signal as the console shows it; None when it cannot be. Conditions kept as texts alone are left out."""
    extra, conditions = row.get("extra"), row.get("conditions")
    fields = {**(extra if isinstance(extra, dict) else {}), **row}
    fields["conditions"] = [c for c in conditions if isinstance(c, dict)] if isinstance(conditions, list) else []
    try:
        found = msgspec.convert({k: fields[k] for k in SignalRow.__struct_fields__ if k in fields}, SignalRow)
        return None if any(unsound(found)) else found
    except (msgspec.ValidationError, ArithmeticError, RecursionError):
        return None
