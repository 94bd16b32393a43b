"""``tui-trader backfill``: history of a contract into the store."""

from __future__ import annotations

import asyncio
import sys
from contextlib import closing
from pathlib import Path

import msgspec

from tui_trader import clock
from tui_trader.cli_backtest import Bar, moment
from tui_trader.cli_context import INTERRUPTED, Globals, emit, symbol_of
from tui_trader.core.candles import TIMEFRAMES
from tui_trader.core.types import DAY_MS
from tui_trader.errors import StoreError, TuiTraderError, UsageError, VenueError
from tui_trader.research.backfill import Backfill, Outcome
from tui_trader.research.ccxt_source import CcxtSource
from tui_trader.research.history import shown
from tui_trader.store.candles import CandleStore

USUAL_DAYS = 30
_SHOWN_GAPS = 10


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asked for, as typed. ``days`` 0: not given."""

    symbol: str
    exchange: str = "binanceusdm"
    timeframe: str = "1m"
    days: int = 0
    begin: str = ""
    end: str = ""
    url: str = ""
    as_json: bool = False


class _Run:
    """What is known of a backfill when it ends, however it ends."""

    def __init__(self) -> None:
        self.outcome = Outcome()
        self.span = (0, 0)


def backfill(options: Globals, wish: Wish) -> int:
    """Fetch and print; 130 when interrupted: what came before stays, and the same command goes on from there."""
    symbol, _ = symbol_of(wish.symbol)
    if wish.timeframe not in TIMEFRAMES:
        raise UsageError(f"--timeframe {wish.timeframe!r} is unknown; use one of {', '.join(TIMEFRAMES)}.")
    if wish.days and wish.begin:
        raise UsageError("--days and --from both say where to begin; give one of them.")
    begin, end = moment("--from", wish.begin), moment("--to", wish.end)
    if begin is not None and end is not None and end <= begin:
        raise UsageError("--to must lie after --from.")
    source = CcxtSource(wish.exchange, symbol, wish.timeframe, url=wish.url)
    path, run, bar = options.store_path(), _Run(), Bar(f"backfill {symbol}")
    failure: TuiTraderError | None = None
    interrupted = False
    try:
        asyncio.run(_fetch(source, path, wish, (begin, end), run, bar))
    except KeyboardInterrupt:
        interrupted = True
    except (VenueError, StoreError) as error:
        failure = error
    bar.clear()
    told = _with_advice(failure, run.outcome) if failure is not None else None
    _print(source, wish, run, str(path), interrupted, told)
    if told is not None:
        sys.stderr.write(f"{told}\n")
        return told.exit_code
    return INTERRUPTED if interrupted else 0


def _with_advice(failure: TuiTraderError, outcome: Outcome) -> TuiTraderError:
    if isinstance(failure, StoreError):
        return failure
    kept = f"{outcome.added:,} new candles are in the store" if outcome.added else "Nothing was stored"
    return TuiTraderError(f"{failure} {kept}; run the same command again to go on.")


async def _fetch(
    source: CcxtSource, path: Path, wish: Wish, asked: tuple[int | None, int | None], run: _Run, bar: Bar
) -> None:
    begin, end = asked
    length = TIMEFRAMES[wish.timeframe]
    try:
        await source.open()
        now = await source.now_ms() or clock.wall_ms()
        last = min(end, now // length * length) if end is not None else now // length * length
        first = begin if begin is not None else last - (wish.days or USUAL_DAYS) * DAY_MS
        if first >= last:
            raise UsageError(f"The time asked for begins at {shown(first)}, after its end or now ({shown(last)}).")
        with closing(CandleStore(path, source.kept_as, source.symbol, wish.timeframe)) as store:
            work = Backfill(source, store, wish.timeframe, first, last)
            run.outcome, run.span = work.outcome, work.span
            await work.run(bar)
    finally:
        await source.aclose()


def _print(
    source: CcxtSource, wish: Wish, run: _Run, path: str, interrupted: bool, failure: TuiTraderError | None
) -> None:
    outcome = run.outcome
    failed = {"error": str(failure), "exit_code": failure.exit_code} if failure is not None else {}
    if wish.as_json:
        emit(
            {
                "exchange": source.kept_as,
                "symbol": source.symbol,
                "timeframe": wish.timeframe,
                "from_ms": run.span[0],
                "to_ms": run.span[1],
                "wanted": outcome.wanted,
                "there_before": outcome.there_before,
                "added": outcome.added,
                "impossible": outcome.impossible,
                "funding_added": outcome.funding_added,
                "gaps": [{"from_ms": start, "to_ms": end} for start, end in outcome.gaps],
                "complete": outcome.complete,
                "interrupted": interrupted,
                "store": path,
                **failed,
            }
        )
        return
    if not outcome.wanted:
        return
    print(f"{source.symbol} {wish.timeframe} of {source.kept_as}, {shown(run.span[0])} to {shown(run.span[1])}")
    print(f"  {outcome.wanted:,} candles: {outcome.there_before:,} were there, {outcome.added:,} fetched")
    if source.has_funding:
        print(f"  {outcome.funding_added:,} funding rates fetched")
    if outcome.impossible:
        print(f"  {outcome.impossible:,} candles of the exchange cannot be true and were not taken")
    length = TIMEFRAMES[wish.timeframe]
    for start, stop in outcome.gaps[:_SHOWN_GAPS]:
        print(f"  the exchange has nothing from {shown(start)} to {shown(stop)} ({(stop - start) // length:,} candles)")
    if len(outcome.gaps) > _SHOWN_GAPS:
        print(f"  and {len(outcome.gaps) - _SHOWN_GAPS} gaps more")
    print(f"  in {path}")
    if source.kept_as != source.exchange:
        print(f"  not from {source.exchange} itself: kept apart, for `--exchange {source.kept_as}`")
    if interrupted:
        sys.stderr.write("Interrupted. What came before is in the store; the same command goes on from there.\n")
