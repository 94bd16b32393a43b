"""History before the first bar: what the strategies, their regimes and the ladder need beyond the loaded minutes."""

from __future__ import annotations

from collections.abc import Iterator

from tui_trader.core.candles import KEPT_BARS, KEPT_MINUTES, TIMEFRAMES, CandleBook
from tui_trader.core.commands import LoadCandles
from tui_trader.core.events import CandleHistory
from tui_trader.core.regime import EMA_PERIOD, Regime
from tui_trader.core.signals import Strategy
from tui_trader.core.state import EngineState
from tui_trader.core.types import MINUTE_MS

MOST_BARS = KEPT_BARS - 1
"""Bars that one request of little weight gives."""
SETTLING_BARS = 60
LOOK_EVERY_S = 10.0


def needs(state: EngineState, symbol: str) -> dict[str, int]:
    """How many bars to load of each higher timeframe of which more are needed than the kept minutes give.

    More than twice what is needed, so that averages with a long memory have settled at their end.
    """
    most: dict[str, int] = {}
    for timeframe, bars in _asked(state, symbol):
        most[timeframe] = max(bars, most.get(timeframe, 0))
    return {
        timeframe: min(2 * most[timeframe] + SETTLING_BARS, MOST_BARS)
        for timeframe, length in TIMEFRAMES.items()
        if length > MINUTE_MS and (most.get(timeframe, 0) + 1) * length > KEPT_MINUTES * MINUTE_MS
    }


def _asked(state: EngineState, symbol: str) -> Iterator[tuple[str, int]]:
    ladder = state.settings.ladder
    yield ladder.atr_timeframe, ladder.atr_period
    for strategy in state.strategies.values():
        timeframe = state.timeframe_of(strategy)
        yield timeframe, EMA_PERIOD
        try:
            yield from list(_of_strategy(state, symbol, strategy, timeframe))
        except Exception:  # noqa: BLE001, S112 - a person's own code: its failure is told when it looks at a bar
            continue


def _of_strategy(state: EngineState, symbol: str, strategy: Strategy, timeframe: str) -> Iterator[tuple[str, int]]:
    higher = strategy.higher(timeframe)
    for own, above in _histories(state, symbol, strategy, timeframe):
        yield timeframe, own
        if higher is not None:
            yield higher, max(above, EMA_PERIOD)


def _histories(state: EngineState, symbol: str, strategy: Strategy, timeframe: str) -> Iterator[tuple[int, int]]:
    """What the strategy needs with the parameters of every regime: the trained sets may look further back."""
    for regime in (None, *Regime):
        values = state.optimized_parameters(symbol, strategy, regime, timeframe).values
        own, above = strategy.history(values)
        yield int(own), int(above)


def ask(state: EngineState) -> None:
    """Ask for what is missing of each watched symbol, now and then; minutes come first."""
    for symbol in state.watching:
        if state.now - state.warmup_looked.get(symbol, -state.ms(LOOK_EVERY_S)) >= state.ms(LOOK_EVERY_S):
            _ask_one(state, symbol)


def _ask_one(state: EngineState, symbol: str) -> None:
    book = state.candles.get(symbol)
    if book is None or not book.closed("1m", 1):
        return
    state.warmup_looked[symbol] = state.now
    for timeframe, count in needs(state, symbol).items():
        if not book.has_history(timeframe):
            state.out.append(LoadCandles(ts=state.now, symbol=symbol, count=count, timeframe=timeframe))


def take(state: EngineState, book: CandleBook, event: CandleHistory) -> None:
    """Loaded candles into their book; after the minutes of a watched symbol the rest is asked for at once."""
    if event.timeframe != "1m":
        book.load_higher(event.timeframe, event.candles)
        return
    book.load(event.candles)
    if event.symbol in state.watching:
        _ask_one(state, event.symbol)
