"""Commands that ask about the market: offline where the inputs are given, else by a short look at the venue.

The look runs the same engine as a session on the venue's events, with no strategy and nowhere to send an order to.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal

import msgspec

from tui_trader import clock
from tui_trader.cli_context import Globals, emit, number, optional, side_of, symbol_of
from tui_trader.cli_decide import loose_instrument
from tui_trader.core.candles import TIMEFRAMES, CandleBook
from tui_trader.core.commands import LoadCandles, RequestSnapshot, WatchSymbols
from tui_trader.core.engine import Engine
from tui_trader.core.entry import EntryRequest, propose_entry
from tui_trader.core.events import (
    BookDepth,
    CandleHistory,
    Event,
    OpenPosition,
    SendAction,
    SendOutcome,
    SendResult,
    Timer,
)
from tui_trader.core.gate import GateContext
from tui_trader.core.indicators import AtrReading
from tui_trader.core.regime import EMA_PERIOD
from tui_trader.core.settings import Settings
from tui_trader.core.strategy_rows import RegimeView
from tui_trader.core.tiers import Classifier
from tui_trader.core.types import MINUTE_MS, Origin, Refusal, Side, dec
from tui_trader.core.universe import SymbolMetrics
from tui_trader.core.views import Snapshot, TicketPreview, UniverseRow
from tui_trader.errors import UsageError, VenueUnreachable
from tui_trader.secret import Secret
from tui_trader.venues.base import Venue

LOOK_S = 15.0
SETTLE_S = 2.0
_TICK_S = 0.1
_HISTORY = 1_000
"""Minutes asked for: the ladder's ATR and regimes up to 15 m."""
_NEEDED = ("bid", "ask", "volume", "depth", "equity", "atr")


def show_universe(options: Globals, as_json: bool) -> int:
    """Members by score, then the refused with their reasons."""
    seen = asyncio.run(_look(options, "", None))
    if as_json:
        emit(msgspec.to_builtins(seen.snapshot.universe, enc_hook=str))
        return 0
    view = seen.snapshot.universe
    print(f"{len(view.members)} of {view.total} symbols are tradeable on {seen.snapshot.header.venue} ({options.mode})")
    for row in view.members:
        print(_line(row))
    for row in view.refused:
        print(f"    {row.symbol:14} {row.tier.value:14} refused: {'; '.join(row.reasons)}")
    return 0


def show_symbol(options: Globals, name: str, as_json: bool) -> int:
    """One symbol's market; 1 when it is not tradeable."""
    symbol, _ = symbol_of(name)
    seen = asyncio.run(_look(options, symbol, None))
    row = msgspec.structs.replace(_row_of(seen.snapshot, symbol), regimes=seen.regimes)
    if as_json:
        emit(msgspec.to_builtins(row, enc_hook=str) | {"parameters": seen.parameters})
    else:
        print(_line(row))
        print(f"    depth ±0.5 %{' at least' if row.depth_is_lower_bound else ''} {row.depth:,.0f} USDT")
        print(f"    open interest {_interest(row)}")
        if row.regimes:
            print(f"    regime {', '.join(one.words for one in row.regimes)}")
        print(f"    {'refused: ' + '; '.join(row.reasons) if row.reasons else 'tradeable'}")
    return 1 if row.reasons else 0


def show_validate(
    options: Globals, name: str, side_text: str, given: Mapping[str, str | None], conviction: str, as_json: bool
) -> int:
    """The gate's verdict; 1 when refused."""
    symbol, base = symbol_of(name)
    side = Side(side_of(side_text))
    belief = float(number("--conviction", conviction, above=False, high=1))
    if all(value is None for value in given.values()):
        return _validate_at_venue(options, symbol, side, as_json)
    missing = [f"--{key}" for key in _NEEDED if given[key] is None]
    if missing:
        raise UsageError(f"To answer without a venue, {', '.join(missing)} must be given too; or give none of them.")
    settings = options.load().settings
    refusals, note = _offline(settings, symbol, base, side, belief, given)
    return _verdict(symbol, side, refusals, note, _in_force(options, settings, symbol, None), as_json)


def _offline(
    settings: Settings, symbol: str, base: str, side: Side, conviction: float, given: Mapping[str, str | None]
) -> tuple[tuple[Refusal, ...], str]:
    bid, ask, volume, depth, equity, atr = (
        number(f"--{key}", given[key] or "", above=key != "depth") for key in _NEEDED
    )
    funding = optional("--funding", given["funding"], low=-1, above=False) or Decimal(0)
    minutes = optional("--next-funding-min", given["next-funding-min"], above=False)
    now = clock.wall_ms()
    tier, why = Classifier(settings.tiers).tier(symbol)
    mid = float(bid + ask) / 2
    metrics = SymbolMetrics(
        symbol=symbol,
        base_asset=base,
        tier=tier,
        tier_reason=why,
        quote_volume=float(volume),
        last=mid,
        bid=float(bid),
        ask=float(ask),
        bid_qty=1.0,
        ask_qty=1.0,
        bid_depth=float(depth) / 2,
        ask_depth=float(depth) / 2,
        bid_reach=1.0,
        ask_reach=1.0,
        depth_known=True,
        funding_rate=float(funding),
        next_funding_ms=now + (int(float(minutes) * MINUTE_MS) if minutes is not None else 4 * 60 * MINUTE_MS),
        mark=mid,
        index=mid,
        book_ms=now,
        depth_ms=now,
        mark_ms=now,
        ticker_ms=now,
        oi_ms=now,
    )
    context = GateContext(
        now_ms=now,
        settings=settings,
        metrics=metrics,
        instrument=loose_instrument(symbol, base),
        equity=equity,
        atr=AtrReading(value=float(atr), as_of_ms=now, bars=settings.ladder.atr_period + 1),
    )
    request = EntryRequest(symbol=symbol, side=side, conviction=conviction, origin=Origin.MANUAL, strategy="")
    each = float(depth) / 2
    book = BookDepth(
        ts=now,
        symbol=symbol,
        bids=((float(bid), each / float(bid)),),
        asks=((float(ask), each / float(ask)),),
        bid_depth=each,
        ask_depth=each,
        bid_reach=1.0,
        ask_reach=1.0,
    )
    proposal = propose_entry(context, request, book)
    return proposal.verdict.refusals, proposal.sized.note if proposal.sized is not None else ""


def _validate_at_venue(options: Globals, symbol: str, side: Side, as_json: bool) -> int:
    seen = asyncio.run(_look(options, symbol, side))
    _row_of(seen.snapshot, symbol)
    preview = seen.preview
    if preview is None or preview.error:
        raise VenueUnreachable(f"No verdict on {symbol}: {preview.error if preview else 'the venue told nothing'}.")
    return _verdict(symbol, side, preview.reasons, preview.sizing_note, seen.parameters, as_json)


def _verdict(
    symbol: str,
    side: Side,
    refusals: tuple[Refusal, ...],
    note: str,
    parameters: list[dict[str, object]],
    as_json: bool,
) -> int:
    if as_json:
        facts = {
            "symbol": symbol,
            "side": side.value,
            "allowed": not refusals,
            "reasons": [{"code": r.code, "text": r.text, "hard": r.hard} for r in refusals],
            "size": note,
            "parameters": parameters,
        }
        emit(facts)
    else:
        print(f"{symbol} {side.value}: {'refused' if refusals else 'allowed'}")
        for refusal in refusals:
            mark, tail = ("✗", "") if refusal.hard else ("!", "  (may be overridden by hand)")
            print(f"  {mark} {refusal.text}{tail}")
        if note:
            print(f"  {note}")
    return 1 if refusals else 0


def _in_force(options: Globals, settings: Settings, symbol: str, candles: CandleBook | None) -> list[dict[str, object]]:
    """The parameters of each enabled strategy on ``symbol`` in its regime, and where they came from."""
    from tui_trader.cli_strategies import in_force
    from tui_trader.store.trained import load_sets

    return in_force(settings, load_sets(options.store_path()), symbol, candles)


# --- the look ---


class _Seen(msgspec.Struct, frozen=True):
    snapshot: Snapshot
    preview: TicketPreview | None
    parameters: list[dict[str, object]]
    regimes: tuple[RegimeView, ...] = ()


async def _look(options: Globals, symbol: str, side: Side | None) -> _Seen:
    settings = options.load().settings
    events: list[Event] = []
    async with _venue(options, settings) as venue:
        await venue.open(events.append)
        engine = Engine(
            settings, {}, mode=options.mode, venue=venue.name, epoch="look", clock_rate=venue.clock.rate, armed=True
        )
        events.append(await venue.snapshot(0))
        if symbol:
            if symbol not in {instrument.symbol for instrument in await venue.instruments()}:
                raise UsageError(f"{venue.name} has no contract {symbol}.")
            candles = await venue.candles(symbol, _HISTORY)
            events.append(CandleHistory(ts=venue.clock.now_ms(), symbol=symbol, candles=candles))
            events.append(_leverage_as_if_set(venue.clock.now_ms(), symbol))
        snapshot, preview = await _settle(engine, venue, events, symbol, side)
        book = engine.state.candles.get(symbol)
        parameters = _in_force(options, settings, symbol, book) if symbol else []
        return _Seen(snapshot, preview, parameters, _regimes(parameters, book or CandleBook(symbol)))


def _regimes(parameters: list[dict[str, object]], book: CandleBook) -> tuple[RegimeView, ...]:
    """What the market does on each timeframe that an enabled strategy runs on."""
    found = {str(each["timeframe"]): str(each["regime"]) for each in parameters}
    return tuple(
        RegimeView(timeframe=name, regime=found[name], bars=len(book.closed(name, EMA_PERIOD)), needed=EMA_PERIOD)
        for name in TIMEFRAMES
        if name in found
    )


def _leverage_as_if_set(ts: int, symbol: str) -> SendOutcome:
    """A session sets the leverage before its first entry; a look must leave the account alone, so it is assumed."""
    return SendOutcome(ts=ts, action=SendAction.LEVERAGE, result=SendResult.ACCEPTED, symbol=symbol, client_id="")


async def _settle(
    engine: Engine, venue: Venue, events: list[Event], symbol: str, side: Side | None
) -> tuple[Snapshot, TicketPreview | None]:
    """Feed the engine until what was asked is known for a moment, or the time is up."""
    began = known_since = clock.monotonic()
    while True:
        batch = [*events, Timer(ts=venue.clock.now_ms())]
        events.clear()
        for event in batch:
            for command in engine.process(event):
                if isinstance(command, WatchSymbols):
                    await venue.watch(list(dict.fromkeys((*([symbol] if symbol else []), *command.symbols))))
                elif isinstance(command, RequestSnapshot):
                    events.append(await venue.snapshot(engine.fills_cursor_ms))
                elif isinstance(command, LoadCandles) and command.symbol == symbol:
                    candles = await venue.candles(command.symbol, command.count, command.timeframe)
                    events.append(
                        CandleHistory(
                            ts=venue.clock.now_ms(), symbol=symbol, candles=candles, timeframe=command.timeframe
                        )
                    )
        now = clock.monotonic()
        snapshot = engine.view(venue.clock.now_ms(), symbol, "15m")
        if not _known(snapshot, symbol):
            known_since = now
        if now - known_since >= SETTLE_S or now - began >= LOOK_S:
            break
        await asyncio.sleep(_TICK_S)
    preview = None
    if side is not None:
        preview = engine.preview(OpenPosition(ts=venue.clock.now_ms(), symbol=symbol, side=side))
    return snapshot, preview


def _known(snapshot: Snapshot, symbol: str) -> bool:
    if not symbol:
        return bool(snapshot.universe.members)
    return any(row.symbol == symbol for row in (*snapshot.universe.members, *snapshot.universe.refused))


@contextlib.asynccontextmanager
async def _venue(options: Globals, settings: Settings) -> AsyncIterator[Venue]:
    from tui_trader.venues.binance.client import BinanceVenue

    async with contextlib.AsyncExitStack() as stack:
        if options.mode == "demo":
            from tui_trader.exchange.process import EmbeddedExchange, EmbeddedExchangeError

            demo = settings.demo
            try:
                exchange = await EmbeddedExchange.start(
                    seed=demo.seed, speed=demo.speed, wallet=demo.wallet, align_start=True
                )
            except EmbeddedExchangeError as error:
                raise VenueUnreachable(str(error)) from None
            stack.push_async_callback(exchange.aclose)
            info = exchange.info
            rest_url, ws_url, key, secret = info.rest_url, info.ws_url, info.api_key, Secret(info.secret)
        else:
            from tui_trader.credentials import credentials
            from tui_trader.venues.hosts import addresses

            held = credentials(options.mode, os.environ, options.folder())
            rest_url, ws_url = addresses(options.mode, settings.venue.rest_url, settings.venue.ws_url)
            key, secret = held.key, held.secret
        venue = BinanceVenue(
            rest_url=rest_url,
            ws_url=ws_url,
            key=key,
            secret=secret,
            settings=settings.venue,
            data=settings.data,
            rng=random.Random(),
        )
        stack.push_async_callback(venue.aclose)
        yield venue


def _row_of(snapshot: Snapshot, symbol: str) -> UniverseRow:
    for row in (*snapshot.universe.members, *snapshot.universe.refused):
        if row.symbol == symbol:
            return row
    raise VenueUnreachable(f"The venue told nothing of {symbol} within {LOOK_S:g} s; try again.")


def _interest(row: UniverseRow) -> str:
    if row.open_interest_age_s < 0:
        return "not told by the venue yet"
    return f"{row.open_interest * row.last:,.0f} USDT, told {row.open_interest_age_s:.1f} s ago"


def _line(row: UniverseRow) -> str:
    price = f"{dec(row.last):,.{row.price_decimals}f}"
    return (
        f"{row.rank or '':>3} {row.symbol:14} {row.tier.value:14} {price:>14} {row.change_pct:+7.2f}%"
        f"  vol {row.quote_volume / 1e6:,.1f}M  spread {row.spread_bps:.2f} bps  funding {row.funding_rate:+.4%}"
        f"  score {row.score:.2f}"
    )
