"""What a strategy says, heard with care: a person's own code may fail or say what cannot be, and trading goes on."""

from __future__ import annotations

import math
from decimal import Decimal

import msgspec

from tui_trader.core.candles import KEPT, TIMEFRAMES
from tui_trader.core.parameters import Values
from tui_trader.core.plain import plain
from tui_trader.core.signals import Condition, MarketState, Signal, Strategy
from tui_trader.core.types import ZERO, Side

_LONGEST = 200


class Failure(msgspec.Struct, frozen=True):
    """What went wrong in a strategy, in words for the person who wrote it."""

    words: str


def listen(strategy: Strategy, market: MarketState) -> Signal | Failure | None:
    """Ask a strategy at a bar's close. Never raises but for what ends the process."""
    try:
        problem = out_of_reach(strategy, market.timeframe, market.values)
        signal = None if problem else strategy.on_bar(market)
        problem = _problem(signal, strategy, market) if signal is not None else problem
    except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever a person's own code does
        return Failure(words_of(error, strategy))
    return Failure(problem) if problem else signal


def out_of_reach(strategy: Strategy, timeframe: str, values: Values) -> str:
    """Why a strategy would never judge a bar, or "": it needs more closed bars than a session keeps.

    Raises whatever the strategy's own ``history`` or ``higher`` raises.
    """
    own, above = strategy.history(values)
    for frame, needed in ((timeframe, own), (strategy.higher(timeframe), above)):
        if frame is not None and needed > KEPT[frame]:
            return (
                f"it needs {needed} closed bars of {frame} and a session keeps {KEPT[frame]}: it would never judge one"
            )
    return ""


def words_of(error: BaseException, strategy: Strategy) -> str:
    """What a strategy raised, and the line of its file."""
    return plain(f"{type(error).__name__}: {error}"[:_LONGEST] + _place(error, strategy))


def _place(error: BaseException, strategy: Strategy) -> str:
    """The last line of the strategy's own file on the way to the error."""
    found, trace = "", error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__") == type(strategy).__module__:
            file = trace.tb_frame.f_code.co_filename.replace("\\", "/").rpartition("/")[2]
            found = f" ({file}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return found


def _problem(signal: object, strategy: Strategy, market: MarketState) -> str:
    """Why a signal cannot be traded or shown, or ""."""
    if not isinstance(signal, Signal):
        return f"it said a {type(signal).__name__}, not a Signal"
    if (signal.strategy, signal.symbol) != (strategy.name, market.symbol):
        return plain(f"asked about {market.symbol}, it spoke for {signal.strategy!r} of {signal.symbol!r}"[:_LONGEST])
    kinds: tuple[tuple[str, object, type], ...] = (
        ("side", signal.side if signal.side is not None else Side.LONG, Side),
        ("note", signal.note, str),
        ("stop", signal.stop if signal.stop is not None else ZERO, Decimal),
        ("target", signal.target if signal.target is not None else ZERO, Decimal),
    )
    for name, value, kind in kinds:
        if not isinstance(value, kind):
            return f"its {name} is a {type(value).__name__}"
    if not 0 <= signal.conviction <= 1:
        return f"its conviction {signal.conviction} is not within 0 to 1"
    for name, price in (("stop", signal.stop), ("target", signal.target)):
        if price is not None and not (price.is_finite() and price > 0):
            return f"its {name} {price} is no price"
    return next((words for words in map(_wrong, signal.conditions) if words), "")


def _wrong(condition: Condition) -> str:
    """What is wrong with a condition, or "". Raises ``TypeError`` where a number is none."""
    texts: tuple[object, ...] = (condition.name, condition.text)
    if not all(isinstance(text, str) for text in texts):
        return "a condition's name or text is not a text"
    float(condition.value), float(condition.limit)
    if not (math.isfinite(condition.score) and math.isfinite(condition.weight)):
        return plain(f"the score or weight of the condition {condition.name[:_LONGEST]} is not finite")
    return ""


def higher_of(strategy: Strategy, timeframe: str) -> str:
    """The higher timeframe that a strategy names, "" where it has none or fails: it is told when it judges a bar."""
    try:
        named = strategy.higher(timeframe)
        return named if named in TIMEFRAMES else ""
    except (Exception, SystemExit):  # noqa: BLE001  # whatever a person's own code does
        return ""
