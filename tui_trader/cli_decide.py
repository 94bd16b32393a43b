"""Commands that decide from given numbers alone, with the functions that decide in trading."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from tui_trader.cli_context import Globals, emit, number, optional, side_of, symbol_of
from tui_trader.core.instruments import Instrument
from tui_trader.core.ladder import Ladder, LadderError, build_ladder
from tui_trader.core.sizing import SizedTrade, size_trade
from tui_trader.core.tiers import Classifier
from tui_trader.core.types import ONE, ZERO, Side
from tui_trader.errors import UsageError

_ANY_STEP = Decimal("1e-8")


def loose_instrument(symbol: str, base: str, *, tick: Decimal = _ANY_STEP, step: Decimal | None = None) -> Instrument:
    """A contract of which only what the person said is known: no minimum refuses."""
    size = step or _ANY_STEP
    return Instrument(
        symbol=symbol,
        base_asset=base,
        tick_size=tick,
        step_size=size,
        market_step_size=size,
        min_qty=size,
        max_qty=Decimal(10) ** 15,
        market_max_qty=Decimal(10) ** 15,
        min_notional=ZERO,
    )


def show_tpsl(
    options: Globals,
    name: str,
    side_text: str,
    *,
    entry: str,
    atr: str,
    tick: str,
    qty: str | None,
    step: str | None,
    stop: str | None,
    as_json: bool,
) -> int:
    """The ladder at an entry price; the numbers are texts as typed."""
    symbol, base = symbol_of(name)
    side = Side(side_of(side_text))
    tick_size, step_size = number("--tick", tick), optional("--step", step)
    amount = optional("--qty", qty)
    settings = options.load().settings
    try:
        ladder = build_ladder(
            side=side,
            entry=number("--entry", entry),
            qty=amount or ONE,
            atr=float(number("--atr", atr)),
            instrument=loose_instrument(symbol, base, tick=tick_size, step=step_size),
            settings=settings.ladder,
            stop=optional("--stop", stop),
        )
    except LadderError as error:
        raise UsageError(f"There is no such ladder: {error}. Give another --entry, --atr, --tick or --stop.") from None
    if as_json:
        emit(_ladder_document(symbol, ladder, with_qty=amount is not None))
    else:
        _print_ladder(symbol, ladder, with_qty=amount is not None)
    return 0


def _ladder_document(symbol: str, ladder: Ladder, *, with_qty: bool) -> dict[str, object]:
    targets = []
    for target in ladder.targets:
        row: dict[str, object] = {"leg": target.leg.name, "price": target.price, "fraction": target.fraction}
        targets.append({**row, "qty": target.qty} if with_qty else row)
    document: dict[str, object] = {
        "symbol": symbol,
        "side": ladder.side.value,
        "entry": ladder.entry,
        "atr": ladder.atr,
        "sl": ladder.stop,
        **{target.leg.name.lower(): target.price for target in ladder.targets},
        "be_trigger": ladder.be_trigger,
        "be_price": ladder.be_price,
        "trail_from": ladder.trail_from,
        "trail_distance": ladder.trail_distance,
        "targets": targets,
        "why": list(ladder.why),
        "merged": list(ladder.merged),
    }
    return {**document, "qty": ladder.qty, "runner_qty": ladder.runner_qty} if with_qty else document


def _print_ladder(symbol: str, ladder: Ladder, *, with_qty: bool) -> None:
    print(f"{symbol} {ladder.side.value}, entry {ladder.entry:f}, ATR {ladder.atr:g}")
    print(f"  SL          {ladder.stop:f}")
    print(f"  BE trigger  {ladder.be_trigger:f}  → stop to {ladder.be_price:f}")
    for target in ladder.targets:
        part = f"  {target.qty:f}" if with_qty else ""
        print(f"  {target.leg.name:10}  {target.price:f}  closes {float(target.fraction):.0%}{part}")
    runner = f", {ladder.runner_qty:f}" if with_qty else ""
    print(f"  trail from  {ladder.trail_from:f}  distance {ladder.trail_distance:f}{runner}")
    for line in (*ladder.why, *ladder.merged):
        print(f"    {line}")


def show_size(
    options: Globals,
    name: str,
    *,
    equity: str,
    entry: str,
    conviction: str,
    stop: str | None,
    model: str | None,
    step: str | None,
    min_notional: str | None,
    as_json: bool,
) -> int:
    """The size of a trade; 1 when refused. The numbers are texts as typed."""
    symbol, base = symbol_of(name)
    settings = options.load({"sizing.model": model} if model is not None else {}).settings
    tier, why_tier = Classifier(settings.tiers).tier(symbol)
    instrument = loose_instrument(symbol, base, step=optional("--step", step))
    least = optional("--min-notional", min_notional, above=False)
    if least is not None:
        instrument = msgspec.structs.replace(instrument, min_notional=least)
    sized = size_trade(
        settings=settings.sizing,
        instrument=instrument,
        tier=tier,
        equity=number("--equity", equity),
        entry=number("--entry", entry),
        stop=optional("--stop", stop),
        conviction=float(number("--conviction", conviction, above=False, high=1)),
        margin_in_use=ZERO,
        max_total_risk=settings.limits.max_total_risk,
    )
    if as_json:
        emit({"symbol": symbol, "tier": tier.value, "model": settings.sizing.model.value, **_sized_document(sized)})
    else:
        _print_size(symbol, f"{tier.value} ({why_tier})" if why_tier else tier.value, sized)
    return 1 if sized.refusals else 0


def _sized_document(sized: SizedTrade) -> dict[str, object]:
    return {
        "allowed": not sized.refusals,
        "quantity": sized.qty,
        "notional": sized.notional,
        "margin": sized.margin,
        "leverage": sized.leverage,
        "risk_usdt": sized.risk_usdt,
        "note": sized.note,
        "refusals": [{"code": refusal.code, "text": refusal.text, "hard": refusal.hard} for refusal in sized.refusals],
    }


def _print_size(symbol: str, tier: str, sized: SizedTrade) -> None:
    if sized.refusals:
        print(f"{symbol} refused: " + "; ".join(refusal.text for refusal in sized.refusals))
    else:
        print(f"{symbol}  quantity {sized.qty:f}  notional {sized.notional:,.2f} USDT  margin {sized.margin:,.2f} USDT")
        print(f"  leverage {sized.leverage}×  tier {tier}")
    if sized.note:
        print(f"  {sized.note}")
