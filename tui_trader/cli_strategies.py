"""``tui-trader strategies``: every strategy, its parameters, the values in force and where they came from."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING, Any

from tui_trader import clock
from tui_trader.cli_context import Globals, emit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tui_trader.core.candles import CandleBook
    from tui_trader.core.settings import Settings
    from tui_trader.core.signals import Strategy
    from tui_trader.core.trained import TrainedSet


WIDTH = 100


def show_strategies(options: Globals, as_json: bool) -> int:
    """All known strategies; trained sets are those of this mode's store."""
    from tui_trader.errors import ConfigError
    from tui_trader.store.trained import load_sets
    from tui_trader.strategies.registry import SHIPPED, find_strategy, known_names

    settings = options.load().settings
    sets = load_sets(options.store_path())
    shipped = {kind.name for kind in SHIPPED}
    rows = []
    for name in dict.fromkeys(known_names(settings.strategies)):
        origin = "shipped" if name in shipped else settings.strategies.folder
        mine = [one for one in sets if one.strategy == name]
        try:
            strategy = find_strategy(name, settings.strategies)
        except ConfigError as error:
            rows.append(_broken(name, settings, origin, str(error)))
        else:
            rows.append(_row(strategy, settings, mine, origin))
    if as_json:
        emit({"strategies": rows, "use_trained": settings.training.use_trained, "store": str(options.store_path())})
        return 0
    sys.stdout.write("\n\n".join(_text(row) for row in rows) + "\n")
    return 0


def _broken(name: str, settings: Settings, origin: str, problem: str) -> dict[str, object]:
    """The row of a file that cannot be loaded: it must not hide the others."""
    return {
        "name": name,
        "text": "",
        "origin": origin,
        "enabled": name in settings.strategies.enabled,
        "timeframe": settings.strategies.timeframes.get(name),
        "higher": None,
        "problem": problem,
        "parameters": [],
        "trained": [],
    }


def in_force(
    settings: Settings, sets: Sequence[TrainedSet], symbol: str, candles: CandleBook | None
) -> list[dict[str, object]]:
    """What each enabled strategy runs with on ``symbol``: values, regime, and where the values came from."""
    from tui_trader.core.regime import regime_at
    from tui_trader.core.trained import TrainedBook
    from tui_trader.strategies.registry import build_strategies

    book = TrainedBook(sets if settings.training.use_trained else ())
    found: list[dict[str, object]] = []
    for name, strategy in build_strategies(settings).items():
        timeframe = settings.strategies.timeframes.get(name, strategy.timeframe)
        regime = regime_at(candles, timeframe) if candles is not None else None
        configured = settings.strategies.parameters_of(name)
        got = book.optimized_parameters(symbol, settings.venue.name, strategy, regime, timeframe, configured)
        found.append(
            {
                "strategy": name,
                "timeframe": timeframe,
                "regime": regime.value if regime is not None else "unknown",
                "source": got.source,
                "values": dict(got.values),
            }
        )
    return found


def unused_by(one: TrainedSet, settings: Settings) -> str:
    """Why a console with these settings does not trade with a deployed set, and what to set, or ""."""
    from tui_trader.core.trained import unused_because
    from tui_trader.strategies.registry import find_strategy

    if not one.in_use:
        return ""
    if not settings.training.use_trained:
        return "training.use_trained is off"
    chosen = settings.strategies
    runs = one.strategy in chosen.enabled
    own = chosen.timeframes.get(one.strategy, find_strategy(one.strategy, chosen).timeframe)
    return unused_because(one, own if runs else "", settings.venue.name)


def _row(strategy: Strategy, settings: Settings, sets: Sequence[TrainedSet], origin: str) -> dict[str, object]:
    from tui_trader.cli_train import status_of
    from tui_trader.core.parameters import resolve

    chosen = settings.strategies
    configured = chosen.parameters_of(strategy.name)
    values = resolve(strategy.parameters, configured)
    timeframe = chosen.timeframes.get(strategy.name, strategy.timeframe)
    return {
        "name": strategy.name,
        "text": " ".join((type(strategy).__doc__ or "").split()),
        "origin": origin,
        "enabled": strategy.name in chosen.enabled,
        "timeframe": timeframe,
        "higher": strategy.higher(timeframe),
        "problem": _problem(strategy, timeframe, values),
        "parameters": [
            {
                "name": p.name,
                "text": p.text,
                "value": values[p.name],
                "source": "config" if p.name in configured else "default",
                "default": p.default,
                "low": p.low,
                "high": p.high,
                "step": p.step,
                "whole": p.whole,
            }
            for p in strategy.parameters
        ],
        "trained": [
            {
                "symbol": one.symbol,
                "exchange": one.exchange,
                "regime": one.regime.value,
                "timeframe": one.timeframe,
                "status": status_of(one),
                "reason": one.demoted or one.reason,
                "unused": unused_by(one, settings),
                "values": one.values,
                "metrics": one.metrics,
                "trained": clock.iso_utc(one.trained_ms),
            }
            for one in sets
        ],
    }


def _problem(strategy: Strategy, timeframe: str, values: dict[str, float]) -> str:
    """Why it would not trade if it ran, or ""."""
    from tui_trader.cli_backtest import refuse_out_of_reach
    from tui_trader.errors import ConfigError

    try:
        refuse_out_of_reach(strategy, timeframe, values)
    except ConfigError as error:
        return str(error)
    return ""


def _text(row: dict[str, Any]) -> str:
    state = "runs" if row["enabled"] else "does not run (strategies.enabled)"
    where = f", on {row['timeframe']}" if row["timeframe"] else ""
    lines = [f"{row['name']}: {state}{where}", *_wrapped(row["text"], "    ")]
    lines += _wrapped(row["problem"], "  ! ", "    ") if row["problem"] else []
    for p in row["parameters"]:
        bounds = f"{p['low']:g} to {p['high']:g}"
        lines.append(
            f"  {p['name']:15}{p['value']:>8g}  {p['source']:8}{bounds:>13}, default {p['default']:g}: {p['text']}"
        )
    shown = [o for o in row["trained"] if o["status"] in ("deployed", "demoted") or o["timeframe"] == row["timeframe"]]
    for one in shown:
        lines += _trained_lines(one)
    others = len(row["trained"]) - len(shown)
    if others:
        were = "was" if others == 1 else "were"
        lines.append(f"  {others} more {were} trained on other timeframes and not deployed (--json tells why)")
    return "\n".join(lines)


def _trained_lines(one: dict[str, Any]) -> list[str]:
    where = f"{one['symbol']} {one['exchange']} {one['regime']} {one['timeframe']}"
    if one["status"] not in ("deployed", "demoted"):
        return _wrapped(f"default kept: {where}: {one['reason']}", "  ", "    ")
    values = ", ".join(f"{name} {value:g}" for name, value in one["values"].items())
    unused = _wrapped(f"not used: {one['unused']}", "    ") if one["unused"] else []
    lines = [f"  {one['status']}: {where}, {one['trained'][:16]}", *_wrapped(values, "    ")]
    return [*lines, *_wrapped(one["reason"], "    "), *unused]


def _wrapped(text: str, indent: str, then: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=then or indent)
