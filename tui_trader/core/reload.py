"""Settings at run time: with positions open a limit may be tightened, never loosened."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import Any

from tui_trader.core.candles import TIMEFRAMES
from tui_trader.core.parameters import ParameterError, resolve
from tui_trader.core.settings import LimitSettings, Settings, SizingModel, SizingSettings
from tui_trader.core.signals import Strategy

_SMALLER_IS_TIGHTER = {
    "limits": (
        "max_positions",
        "max_total_risk",
        "daily_loss_frac",
        "total_loss_frac",
        "max_notional_per_symbol",
        "max_orders_per_minute",
        "price_collar",
        "max_slippage",
    ),
    "sizing": (
        "base_risk_frac",
        "max_risk_frac",
        "min_ai_risk_factor",
        "max_ai_risk_factor",
        "min_margin",
        "max_margin",
        "fixed_margin",
        "fixed_risk_frac",
        "default_leverage",
        "leverage_main",
        "leverage_l1",
        "leverage_l2",
        "leverage_min",
    ),
}
_ZERO_IS_OFF = ("daily_loss", "total_loss")
FIXED_SECTIONS = ("venue", "demo")
"""Settings that connections and the simulated exchange were opened with."""


def apply_reload(
    old: Settings, new: Settings, *, positions_open: bool, losses: tuple[Decimal, Decimal] | None = None
) -> tuple[Settings, tuple[str, ...]]:
    """The settings to use from now on, and the names of the limits whose loosening was held back.

    ``losses`` are the daily and total loss limits in force, in USDT, so that a fixed amount cannot loosen a fraction.
    """
    if not positions_open:
        return new, ()
    held: list[str] = []
    limits = _tighten("limits", old.limits, new.limits, held)
    sizing = _tighten("sizing", old.sizing, new.sizing, held)
    if _may_size_larger(old.sizing, new.sizing):
        held.append("sizing.model")
        sizing["model"] = old.sizing.model
    if old.limits.enabled is False and new.limits.enabled:
        held.append("limits.enabled")
        limits["enabled"] = False
    for name, in_force in zip(_ZERO_IS_OFF, losses or (Decimal("Infinity"),) * 2, strict=True):
        before, after = getattr(old.limits, name), getattr(new.limits, name)
        if (before and (not after or after > before)) or (not before and after > in_force):
            held.append(f"limits.{name}")
            limits[name] = before
    merged = new.model_copy(
        update={
            "limits": LimitSettings.model_validate(new.limits.model_dump() | limits),
            "sizing": SizingSettings.model_construct(**(dict(new.sizing) | sizing)),
        }
    )
    return merged, tuple(held)


def unusable(new: Settings, running: Iterable[Strategy]) -> str:
    """What of ``new`` a running strategy cannot be asked with, or "": at a start such settings are refused as well."""
    chosen = new.strategies
    for strategy in running:
        timeframe = chosen.timeframes.get(strategy.name, strategy.timeframe)
        if timeframe not in TIMEFRAMES:
            return f"strategies.timeframes.{strategy.name} = {timeframe!r}; use one of {', '.join(TIMEFRAMES)}"
        try:
            resolve(strategy.parameters, chosen.parameters_of(strategy.name))
        except ParameterError as error:
            return f"strategies.parameters.{strategy.name}: {error}"
    return ""


def later_changes(old: Settings, new: Settings, *, running: Collection[str]) -> tuple[str, ...]:
    """What of ``new`` takes effect at the next start alone, by name. ``running`` are the strategies of this one."""
    found = [
        f"{section}.{name}"
        for section in FIXED_SECTIONS
        for name, value in getattr(new, section)
        if value != getattr(getattr(old, section), name)
    ]
    if new.strategies.folder != old.strategies.folder:
        found.append("strategies.folder")
    return (*found, *(f"the strategy {name}" for name in new.strategies.enabled if name not in running))


def _may_size_larger(old: SizingSettings, new: SizingSettings) -> bool:
    """Whether another model may give larger trades: only a fixed margin up to the least one surely does not."""
    if new.model is old.model:
        return False
    known = old.model is SizingModel.MARGIN_FRACTION and new.model is SizingModel.FIXED_MARGIN
    return not (known and min(old.fixed_margin, new.fixed_margin) <= old.min_margin)


def _tighten(section: str, old: object, new: object, held: list[str]) -> dict[str, Any]:
    keep: dict[str, Any] = {}
    for name in _SMALLER_IS_TIGHTER[section]:
        if getattr(new, name) > getattr(old, name):
            keep[name] = getattr(old, name)
            held.append(f"{section}.{name}")
    return keep
