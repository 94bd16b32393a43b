"""Position sizing: three models, floored to the step, refused rather than enlarged."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from tui_trader.core.instruments import Instrument
from tui_trader.core.settings import SizingModel, SizingSettings
from tui_trader.core.types import ONE, ZERO, Refusal, Tier, dec


class SizedTrade(msgspec.Struct, frozen=True, kw_only=True):
    """A size after rounding. Money in USDT; ``risk_usdt`` is the loss at the stop, None without a stop."""

    qty: Decimal
    notional: Decimal
    margin: Decimal
    leverage: int
    risk_usdt: Decimal | None
    note: str
    refusals: tuple[Refusal, ...] = ()


def effective_leverage(settings: SizingSettings, tier: Tier) -> int:
    """Leverage used for sizing, by tier, never under ``leverage_min``; tiers without one use the least."""
    by_tier = {Tier.MAIN: settings.leverage_main, Tier.L1: settings.leverage_l1, Tier.L2: settings.leverage_l2}
    return max(by_tier.get(tier, settings.leverage_min), settings.leverage_min)


def size_trade(
    *,
    settings: SizingSettings,
    instrument: Instrument,
    tier: Tier,
    equity: Decimal,
    entry: Decimal,
    stop: Decimal | None,
    conviction: float,
    margin_in_use: Decimal,
    max_total_risk: float,
    qty: Decimal | None = None,
    notional: Decimal | None = None,
    risk_fraction: float | None = None,
) -> SizedTrade:
    """The size of one trade by the configured model, or by a manual quantity, notional or risk fraction.

    The quantity is floored to the venue's step and never rounded up past a limit; what falls under a minimum or over
    the total margin is refused with its numbers.
    """
    leverage = min(effective_leverage(settings, tier), instrument.max_leverage)
    if equity <= 0 or entry <= 0:
        return _refused(leverage, "equity", f"equity {equity} and entry {entry} must be positive")
    wanted = _wanted(settings, equity, entry, stop, conviction, leverage, qty, notional, risk_fraction)
    if isinstance(wanted, Refusal):
        return _refused(leverage, wanted.code, wanted.text)
    amount, note = wanted
    final = min(instrument.floor_qty(amount, market=True), instrument.market_max_qty)
    value = final * entry
    margin = value / leverage
    risk = abs(entry - stop) * final if stop is not None else None
    refusals = _venue_minimums(instrument, amount, final, value, entry)
    limit = equity * dec(max_total_risk)
    refusals += _trade_risk(settings, equity, risk)
    if margin_in_use + margin > limit:
        text = f"total margin {margin_in_use + margin:.2f} > {limit:.2f} ({max_total_risk:.0%} of equity)"
        refusals += (Refusal(code="total_margin", text=text, hard=True),)
    return SizedTrade(
        qty=final, notional=value, margin=margin, leverage=leverage, risk_usdt=risk, note=note, refusals=refusals
    )


def _refused(leverage: int, code: str, text: str) -> SizedTrade:
    refusal = Refusal(code=code, text=text, hard=True)
    return SizedTrade(
        qty=ZERO, notional=ZERO, margin=ZERO, leverage=leverage, risk_usdt=None, note=text, refusals=(refusal,)
    )


def _wanted(
    settings: SizingSettings,
    equity: Decimal,
    entry: Decimal,
    stop: Decimal | None,
    conviction: float,
    leverage: int,
    qty: Decimal | None,
    notional: Decimal | None,
    risk_fraction: float | None,
) -> tuple[Decimal, str] | Refusal:
    if qty is not None:
        return qty, f"quantity {qty} by hand"
    if notional is not None:
        return notional / entry, f"notional {notional} by hand"
    if risk_fraction is not None:
        return _by_risk(settings, equity, entry, stop, risk_fraction)
    if settings.model is SizingModel.FIXED_RISK:
        return _by_risk(settings, equity, entry, stop, settings.fixed_risk_frac)
    if settings.model is SizingModel.FIXED_MARGIN:
        margin = settings.fixed_margin
        return margin * leverage / entry, f"fixed margin {margin} × {leverage}"
    return _by_margin(settings, equity, entry, conviction, leverage)


def _by_risk(
    settings: SizingSettings, equity: Decimal, entry: Decimal, stop: Decimal | None, fraction: float
) -> tuple[Decimal, str] | Refusal:
    if stop is None or stop == entry:
        return Refusal(code="stop", text="sizing by risk needs a stop apart from the entry", hard=True)
    note = f"equity {equity:.2f} × {fraction:g} / stop distance {abs(entry - stop)}"
    return equity * dec(fraction) / abs(entry - stop), note


def _by_margin(
    settings: SizingSettings, equity: Decimal, entry: Decimal, conviction: float, leverage: int
) -> tuple[Decimal, str] | Refusal:
    low, high = dec(settings.min_ai_risk_factor), dec(settings.max_ai_risk_factor)
    factor = min(max(dec("0.5") + dec(conviction), low), high)
    cap = equity * dec(settings.max_risk_frac)
    if settings.min_margin > cap:
        text = f"equity {equity.normalize():f} too small: the least margin {settings.min_margin} > {cap:.2f}"
        return Refusal(code="equity", text=text, hard=True)
    raw = equity * dec(settings.base_risk_frac) * factor
    margin = max(min(raw, cap, settings.max_margin), min(settings.min_margin, cap))
    note = f"margin {margin.quantize(ONE / 100)} = equity × {settings.base_risk_frac:g} × {factor:f}, × {leverage}"
    return margin * leverage / entry, note


def _trade_risk(settings: SizingSettings, equity: Decimal, risk: Decimal | None) -> tuple[Refusal, ...]:
    """The limit per trade: the loss at the stop, however the size was chosen."""
    limit = equity * dec(settings.max_risk_frac)
    if risk is None or risk <= limit:
        return ()
    text = f"loss at the stop {risk:.2f} > {limit:.2f} ({settings.max_risk_frac:.1%} of equity per trade)"
    return (Refusal(code="trade_risk", text=text, hard=True),)


def _venue_minimums(
    instrument: Instrument, wanted: Decimal, qty: Decimal, notional: Decimal, entry: Decimal
) -> tuple[Refusal, ...]:
    found = []
    if qty < instrument.min_qty:
        text = f"quantity {wanted:.8f} rounds to {qty} < the venue's minimum {instrument.min_qty}"
        found.append(Refusal(code="min_qty", text=text, hard=True))
    elif notional < instrument.min_notional:
        text = f"notional {notional:.2f} < the venue's minimum {instrument.min_notional}"
        found.append(Refusal(code="min_notional", text=text, hard=True))
    return tuple(found)
