"""The one path of an entry: strategy signals, hands and previews all go through ``propose_entry``."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from tui_trader.core.events import BookDepth
from tui_trader.core.funding import expected_funding
from tui_trader.core.gate import GateContext, Verdict, validate_trade
from tui_trader.core.instruments import Instrument
from tui_trader.core.ladder import Ladder, LadderError, build_ladder, r_multiple
from tui_trader.core.sizing import SizedTrade, size_trade
from tui_trader.core.types import ZERO, Leg, Origin, Refusal, Side, Tier, dec
from tui_trader.core.views import PreviewLeg, PreviewLimit, TicketPreview


class EntryRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Who wants what. At most one of ``qty``, ``notional``, ``risk_fraction``; prices absolute in quote.

    ``trained`` names the trained set that the strategy's parameters came from, "" for none.
    """

    symbol: str
    side: Side
    conviction: float
    origin: Origin
    strategy: str
    stop: Decimal | None = None
    target: Decimal | None = None
    limit_price: Decimal | None = None
    qty: Decimal | None = None
    notional: Decimal | None = None
    risk_fraction: float | None = None
    override_soft: bool = False
    trained: str = ""


class EntryProposal(msgspec.Struct, frozen=True, kw_only=True):
    """What would be done, and the gate's verdict. ``expected_slippage`` is a fraction of the touch."""

    verdict: Verdict
    sized: SizedTrade | None = None
    ladder: Ladder | None = None
    entry: Decimal | None = None
    expected_slippage: float = 0.0


def walk_book(book: BookDepth | None, side: Side, qty: Decimal) -> tuple[Decimal | None, Decimal]:
    """Average price of taking ``qty`` from the seen levels, and the quantity that they do not hold."""
    levels = () if book is None else (book.asks if side is Side.LONG else book.bids)
    left, value = qty, ZERO
    for price, available in levels:
        take = min(left, dec(available))
        value += take * dec(price)
        left -= take
        if left <= 0:
            break
    taken = qty - left
    return (value / taken if taken > 0 else None), max(left, ZERO)


def _touch(ctx: GateContext, side: Side) -> Decimal | None:
    m = ctx.metrics
    if m is None:
        return None
    price = m.ask if side is Side.LONG else m.bid
    return dec(price) if price > 0 else None


def propose_entry(ctx: GateContext, request: EntryRequest, book: BookDepth | None) -> EntryProposal:
    """Price, size, ladder and verdict of one entry. Missing parts refuse; nothing is enlarged."""
    instrument, m = ctx.instrument, ctx.metrics
    touch = _touch(ctx, request.side)
    price = request.limit_price or touch
    if instrument is None or m is None or ctx.equity is None or price is None or touch is None or price <= 0:
        return EntryProposal(verdict=validate_trade(ctx, request.side, None, None))
    if ctx.atr is None or ctx.atr.value <= 0:
        return EntryProposal(verdict=validate_trade(ctx, request.side, None, None), entry=price)
    extra: list[Refusal] = []
    if request.limit_price is not None:
        price = instrument.floor_price(price) if request.side is Side.LONG else instrument.ceil_price(price)
    stop = _stop(ctx, request, instrument, price)
    sized = _size(ctx, request, instrument, price, stop)
    slippage = 0.0
    if request.limit_price is None and sized.qty > 0:
        price, slippage, extra = _market_price(ctx, request, book, touch, sized.qty)
    ladder = _ladder(ctx, request, instrument, price, sized.qty, extra)
    verdict = validate_trade(ctx, request.side, sized, price, override_soft=request.override_soft)
    if extra:
        hard = any(r.hard for r in (*verdict.refusals, *extra))
        allowed = request.override_soft and not hard
        refusals = (*verdict.refusals, *extra)
        codes = tuple(r.code for r in refusals) if allowed else ()
        verdict = Verdict(allowed=allowed, refusals=refusals, overridden=codes)
    return EntryProposal(verdict=verdict, sized=sized, ladder=ladder, entry=price, expected_slippage=slippage)


def _stop(ctx: GateContext, request: EntryRequest, instrument: Instrument, price: Decimal) -> Decimal | None:
    try:
        return _build(ctx, request, instrument, price, ZERO).stop
    except LadderError:
        return None


def _build(ctx: GateContext, request: EntryRequest, instrument: Instrument, price: Decimal, qty: Decimal) -> Ladder:
    return build_ladder(
        side=request.side,
        entry=price,
        qty=qty,
        atr=ctx.atr.value if ctx.atr is not None else 0.0,
        instrument=instrument,
        settings=ctx.settings.ladder,
        stop=request.stop,
        target=request.target,
    )


def _size(
    ctx: GateContext, request: EntryRequest, instrument: Instrument, price: Decimal, stop: Decimal | None
) -> SizedTrade:
    return size_trade(
        settings=ctx.settings.sizing,
        instrument=instrument,
        tier=ctx.metrics.tier if ctx.metrics is not None else Tier.EXCLUDED,
        equity=ctx.equity or ZERO,
        entry=price,
        stop=stop,
        conviction=request.conviction,
        margin_in_use=ctx.margin_in_use,
        max_total_risk=ctx.settings.limits.max_total_risk,
        qty=request.qty,
        notional=request.notional,
        risk_fraction=request.risk_fraction,
    )


def _market_price(
    ctx: GateContext, request: EntryRequest, book: BookDepth | None, touch: Decimal, qty: Decimal
) -> tuple[Decimal, float, list[Refusal]]:
    average, missing = walk_book(book, request.side, qty)
    if average is None:
        return touch, 0.0, [Refusal(code="depth_unknown", text="no book to price a market order", hard=True)]
    if (average - touch) * request.side.sign < 0:
        # The book is heard after the best prices: nobody sells below the best ask of now.
        average = touch
    slippage = float((average - touch) * request.side.sign / touch)
    found = []
    if missing > 0:
        text = f"the seen book holds only {qty - missing} of {qty}"
        found.append(Refusal(code="slippage", text=text, hard=False))
    limit = ctx.settings.limits.max_slippage
    if slippage > limit:
        text = f"expected slippage {slippage:.2%} > {limit:.2%}"
        found.append(Refusal(code="slippage", text=text, hard=False))
    return average, slippage, found


def _ladder(
    ctx: GateContext,
    request: EntryRequest,
    instrument: Instrument,
    price: Decimal,
    qty: Decimal,
    extra: list[Refusal],
) -> Ladder | None:
    try:
        return _build(ctx, request, instrument, price, qty)
    except LadderError as error:
        extra.append(Refusal(code="ladder", text=str(error), hard=True))
        return None


def liquidation_price(
    *, side: Side, entry: Decimal, qty: Decimal, equity: Decimal, other_maintenance: Decimal, rate: Decimal
) -> Decimal:
    """Estimated liquidation price of one position in cross margin, 0 when it cannot be liquidated.

    Where equity + qty·sign·(p − entry) = qty·p·rate + other maintenance; the single-position form of Binance's
    "How to calculate liquidation price of USDⓈ-M futures contracts", with one maintenance bracket.
    """
    if qty <= 0:
        return ZERO
    numerator = entry * qty * side.sign - equity + other_maintenance
    price = numerator / (qty * (side.sign - rate))
    return max(ZERO, price)


def preview_entry(ctx: GateContext, request: EntryRequest, book: BookDepth | None) -> TicketPreview:
    """A ticket's consequences, filled from the very proposal that would be executed. Money in USDT."""
    proposal = propose_entry(ctx, request, book)
    refusals = proposal.verdict.refusals
    hard = tuple(r.text for r in refusals if r.hard)
    soft = tuple(r.text for r in refusals if not r.hard)
    sized, ladder, entry, instrument = proposal.sized, proposal.ladder, proposal.entry, ctx.instrument
    if sized is None or ladder is None or entry is None or instrument is None or ctx.metrics is None:
        error = hard[0] if hard else "nothing can be computed yet"
        return TicketPreview(
            symbol=request.symbol, side=request.side, error=error, hard=hard, soft=soft, reasons=refusals
        )
    equity = ctx.equity or ZERO
    taker = instrument.taker_fee
    touch = _touch(ctx, request.side)
    crosses = request.limit_price is not None and touch is not None and (entry - touch) * request.side.sign >= 0
    takes = request.limit_price is None or crosses
    risk = ladder.risk_distance * sized.qty
    return TicketPreview(
        symbol=request.symbol,
        side=request.side,
        at_once=crosses,
        qty=f"{sized.qty:f}",
        notional=float(sized.notional),
        margin=float(sized.margin),
        leverage=sized.leverage,
        venue_leverage=min(ctx.settings.sizing.default_leverage, instrument.max_leverage),
        entry=f"{instrument.near_price(entry):f}",
        expected_slippage_pct=proposal.expected_slippage * 100,
        risk_usdt=float(risk),
        risk_pct=float(risk / equity * 100) if equity else 0.0,
        legs=_legs(ladder, entry, sized.qty),
        break_even=f"{ladder.be_trigger:f} → {ladder.be_price:f}",
        dust="; ".join(ladder.merged),
        fee_entry=float(sized.notional * (taker if takes else instrument.maker_fee)),
        fee_exit=float(sized.qty * ladder.stop * taker),
        funding_cost=float(expected_funding(request.side, sized.notional, ctx.metrics.funding_rate)),
        next_funding_ms=ctx.metrics.next_funding_ms,
        liquidation=_liquidation_text(ctx, request.side, entry, sized, instrument),
        limits=_limit_rows(ctx, sized),
        hard=hard,
        soft=soft,
        reasons=refusals,
        sizing_note=sized.note,
        why=ladder.why,
    )


def _legs(ladder: Ladder, entry: Decimal, qty: Decimal) -> tuple[PreviewLeg, ...]:
    rows = [(Leg.STOP, ladder.stop, qty)] + [(t.leg, t.price, t.qty) for t in ladder.targets]
    return tuple(
        PreviewLeg(
            leg=leg,
            price=f"{price:f}",
            qty=f"{amount:f}",
            r=r_multiple(ladder.side, entry, price, ladder.risk_distance),
            pnl=float((price - entry) * ladder.side.sign * amount),
        )
        for leg, price, amount in rows
    )


def _liquidation_text(ctx: GateContext, side: Side, entry: Decimal, sized: SizedTrade, instrument: Instrument) -> str:
    others = sum((e.notional for e in ctx.exposures if not e.working), ZERO) * instrument.maintenance_rate
    price = liquidation_price(
        side=side,
        entry=entry,
        qty=sized.qty,
        equity=ctx.equity or ZERO,
        other_maintenance=others,
        rate=instrument.maintenance_rate,
    )
    return f"{instrument.near_price(price):f}" if price > 0 else "none: the equity covers the whole position"


def _limit_rows(ctx: GateContext, sized: SizedTrade) -> tuple[PreviewLimit, ...]:
    limits = ctx.settings.limits
    equity = float(ctx.equity or ZERO)
    symbol = ctx.metrics.symbol if ctx.metrics is not None else ""
    margin, added = float(ctx.margin_in_use), float(sized.margin)
    held = {e.symbol for e in ctx.exposures}
    same = float(sum((e.notional for e in ctx.exposures if e.symbol == symbol), ZERO))
    rows = [
        ("margin", margin, margin + added, equity * limits.max_total_risk, "USDT"),
        ("positions", float(len(held)), float(len(held | {symbol})), float(limits.max_positions), "count"),
        ("notional", same, same + float(sized.notional), float(limits.max_notional_per_symbol), "USDT"),
        (
            "orders",
            float(ctx.orders_last_minute),
            float(ctx.orders_last_minute + 1),
            float(limits.max_orders_per_minute),
            "/min",
        ),
    ]
    return tuple(
        PreviewLimit(name=name, before=before, after=after, limit=limit, unit=unit, ok=after <= limit)
        for name, before, after, limit, unit in rows
    )
