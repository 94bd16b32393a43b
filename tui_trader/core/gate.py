"""The gate every entry passes: allowed, or every reason why not. Total: what is missing refuses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal

import msgspec

from tui_trader.core.funding import funding_refusals
from tui_trader.core.indicators import AtrReading
from tui_trader.core.instruments import Instrument
from tui_trader.core.limits import DISABLED, LossLimits, limit_refusals
from tui_trader.core.settings import Settings
from tui_trader.core.sizing import SizedTrade
from tui_trader.core.types import ZERO, Refusal, Side, dec
from tui_trader.core.universe import SymbolMetrics, liquidity_refusals


class Exposure(msgspec.Struct, frozen=True, kw_only=True):
    """A position or a working entry, as the limits count it; money in USDT."""

    symbol: str
    side: Side
    qty: Decimal
    notional: Decimal
    margin: Decimal
    working: bool


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The gate's word. ``overridden`` are the codes of soft reasons that a person confirmed."""

    allowed: bool
    refusals: tuple[Refusal, ...] = ()
    overridden: tuple[str, ...] = ()


class GateContext(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the gate looks at for one symbol. ``clock_rate`` turns real seconds into venue ms.

    ``losses`` is None only in a question asked without an account; the engine always passes its own.
    """

    now_ms: int
    settings: Settings
    metrics: SymbolMetrics | None
    instrument: Instrument | None
    equity: Decimal | None
    atr: AtrReading | None
    blocks: tuple[Refusal, ...] = ()
    exposures: tuple[Exposure, ...] = ()
    losses: LossLimits | None = None
    orders_last_minute: int = 0
    clock_rate: float = 1.0

    @property
    def stale_ms(self) -> float:
        """Age in venue ms beyond which a book is stale."""
        return self.settings.data.stale_after_s * 1000 * self.clock_rate

    @property
    def margin_in_use(self) -> Decimal:
        """Margin of all exposures, USDT."""
        return sum((e.margin for e in self.exposures), ZERO)


def _missing(code: str, text: str) -> Refusal:
    return Refusal(code=code, text=text, hard=True)


def can_trade_symbol(ctx: GateContext) -> tuple[Refusal, ...]:
    """The part of the gate that does not depend on side or size."""
    found: list[Refusal] = list(ctx.blocks)
    if not ctx.settings.limits.enabled:
        found.append(DISABLED)
    if ctx.instrument is None:
        found.append(_missing("instrument", "the venue's filters for this symbol are not known"))
    if ctx.metrics is None:
        found.append(_missing("data", "no market data for this symbol"))
    else:
        found += liquidity_refusals(ctx.metrics, ctx.settings.universe, ctx.now_ms, ctx.stale_ms)
        found += _depth_refusals(ctx, ctx.metrics, found)
    if ctx.losses is not None:
        found += ctx.losses.refusals()
    return tuple(found)


def _depth_refusals(ctx: GateContext, m: SymbolMetrics, found: list[Refusal]) -> tuple[Refusal, ...]:
    """A depth that was seen long ago is none, however fresh the best bid and ask are (I11); an unknown one refuses."""
    if any(r.code in ("stale", "book", "depth_unknown") for r in found):
        return ()
    if not m.depth_known:
        return (Refusal(code="depth_unknown", text="depth not yet known", hard=False),)
    age = ctx.now_ms - m.depth_ms
    if age > ctx.stale_ms:
        limit = ctx.settings.data.stale_after_s
        return (_missing("stale", f"depth {age / 1000 / ctx.clock_rate:.1f} s old > {limit:.1f} s"),)
    return ()


def filter_symbols(contexts: Mapping[str, GateContext]) -> tuple[str, ...]:
    """The symbols that the gate lets through, in the given order."""
    return tuple(symbol for symbol, ctx in contexts.items() if not can_trade_symbol(ctx))


def validate_trade(
    ctx: GateContext, side: Side, sized: SizedTrade | None, entry: Decimal | None, *, override_soft: bool = False
) -> Verdict:
    """Every reason against a trade; allowed when none is left, or only soft ones that a person overrides."""
    found = list(can_trade_symbol(ctx))
    if ctx.metrics is not None:
        found += _mark_refusals(ctx, ctx.metrics)
        found += funding_refusals(side, ctx.metrics, ctx.settings.funding, ctx.now_ms)
    if ctx.equity is None:
        found.append(_missing("equity", "the equity is not known"))
    found += _atr_refusals(ctx)
    if sized is None or entry is None:
        if not any(r.hard for r in found):
            found.append(_missing("size", "no price or size could be computed"))
    else:
        found += sized.refusals
        found += _limits(ctx, sized, entry)
    hard = any(r.hard for r in found)
    allowed = not found or (override_soft and not hard)
    codes = tuple(r.code for r in found) if allowed else ()
    return Verdict(allowed=allowed, refusals=tuple(found), overridden=codes)


def _mark_refusals(ctx: GateContext, m: SymbolMetrics) -> tuple[Refusal, ...]:
    """Collar and funding rest on the mark price stream: while it is silent nothing may be entered (I11)."""
    limit = ctx.settings.data.mark_stale_after_s
    age = (ctx.now_ms - m.mark_ms) / 1000 / ctx.clock_rate
    if m.mark_ms > 0 and age > limit:
        return (_missing("mark_stale", f"mark price {age:.0f} s old > {limit:.0f} s"),)
    return ()


def _atr_refusals(ctx: GateContext) -> tuple[Refusal, ...]:
    ladder = ctx.settings.ladder
    if ctx.atr is None:
        text = f"not enough history for ATR {ladder.atr_period} on {ladder.atr_timeframe}"
        return (_missing("atr", text),)
    age = (ctx.now_ms - ctx.atr.as_of_ms) / 1000
    if age > ladder.max_atr_age_s:
        return (_missing("atr", f"ATR is {age:.0f} s old > {ladder.max_atr_age_s:.0f} s"),)
    return ()


def _limits(ctx: GateContext, sized: SizedTrade, entry: Decimal) -> tuple[Refusal, ...]:
    symbol = ctx.metrics.symbol if ctx.metrics is not None else ""
    known = ctx.metrics is not None and math.isfinite(ctx.metrics.mark)
    mark = dec(ctx.metrics.mark) if ctx.metrics is not None and known else ZERO
    held = {e.symbol for e in ctx.exposures}
    same = sum((e.notional for e in ctx.exposures if e.symbol == symbol), ZERO)
    return limit_refusals(
        settings=ctx.settings.limits,
        positions=len(held - {symbol}),
        symbol_notional=same,
        added_notional=sized.notional,
        entry=entry,
        mark=mark,
        orders_last_minute=ctx.orders_last_minute,
    )
