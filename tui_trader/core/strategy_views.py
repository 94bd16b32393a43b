"""What the console shows of strategies: regimes, parameters in force and where from, trained sets, results."""

from __future__ import annotations

from tui_trader.core.candles import TIMEFRAMES
from tui_trader.core.regime import EMA_PERIOD, Regime
from tui_trader.core.reliability import promise_of
from tui_trader.core.signals import Strategy
from tui_trader.core.soundness import higher_of
from tui_trader.core.state import EngineState
from tui_trader.core.strategy_rows import UNKNOWN, ParameterView, RegimeView, StrategyRow, TrainedView, UseView
from tui_trader.core.trained import TrainedSet, unused_because


def regime_views(state: EngineState, symbol: str) -> tuple[RegimeView, ...]:
    """What ``symbol`` does on each timeframe that strategies run on, shortest first; none without candles."""
    series = state.candles.get(symbol)
    if series is None:
        return ()
    frames = {state.timeframe_of(strategy) for strategy in state.strategies.values()}
    found = []
    for timeframe in sorted(frames, key=lambda name: TIMEFRAMES[name]):
        regime = state.regimes.get((symbol, timeframe))
        bars = len(series.closed(timeframe, EMA_PERIOD)) if regime is None else EMA_PERIOD
        found.append(RegimeView(timeframe=timeframe, regime=_word(regime), bars=bars, needed=EMA_PERIOD))
    return tuple(found)


def _word(regime: Regime | None) -> str:
    return regime.value if regime is not None else UNKNOWN


def strategy_rows(state: EngineState) -> tuple[StrategyRow, ...]:
    """Each strategy, then entries by hand; results are over the trades that are remembered."""
    return (*(_strategy(state, strategy) for strategy in state.strategies.values()), _results(state, "manual"))


def _strategy(state: EngineState, strategy: Strategy) -> StrategyRow:
    timeframe = state.timeframe_of(strategy)
    return _results(
        state,
        strategy.name,
        timeframe=timeframe,
        higher=higher_of(strategy, timeframe),
        threshold=state.settings.strategies.threshold,
        problem=state.failed_strategies.get(strategy.name, ""),
        parameters=tuple(
            ParameterView(name=p.name, default=p.default, low=p.low, high=p.high, text=p.text)
            for p in strategy.parameters
        ),
        uses=_uses(state, strategy, timeframe),
        sets=_sets(state, strategy, timeframe),
        unused=_unused(state, strategy, timeframe),
    )


def _results(state: EngineState, name: str, **facts: object) -> StrategyRow:
    trades = [t for t in state.trades if t.strategy == name]
    count = len(trades)
    return StrategyRow(
        name=name,
        running=name not in state.paused_strategies,
        trades=count,
        wins=sum(1 for t in trades if t.pnl > 0),
        pnl=sum(t.pnl for t in trades),
        mean_r=sum(t.r for t in trades) / count if count else 0.0,
        tp1_hits=sum(t.tp1 for t in trades),
        tp1_attempts=count,
        mean_slippage_pct=sum(t.slippage_pct for t in trades) / count if count else 0.0,
        **facts,  # type: ignore[arg-type]  # fields of StrategyRow, from _strategy
    )


def _uses(state: EngineState, strategy: Strategy, timeframe: str) -> tuple[UseView, ...]:
    """The universe's members by what ``strategy`` would run with on them now, in the order of the universe."""
    found: dict[tuple[str, str, bool, tuple[float, ...]], list[str]] = {}
    for symbol in dict.fromkeys((*state.universe.members, *state.always)):
        regime = state.regimes.get((symbol, timeframe))
        resolved = state.optimized_parameters(symbol, strategy, regime, timeframe)
        values = tuple(resolved.values[p.name] for p in strategy.parameters)
        key = (_word(regime), resolved.source, resolved.trained is not None, values)
        found.setdefault(key, []).append(symbol)
    return tuple(
        UseView(symbols=tuple(symbols), regime=regime, source=source, trained=trained, values=values)
        for (regime, source, trained, values), symbols in found.items()
    )


def _sets(state: EngineState, strategy: Strategy, timeframe: str) -> tuple[TrainedView, ...]:
    return tuple(
        _set(state, one, strategy)
        for one in state.trained.all()
        if (one.strategy, one.timeframe, one.exchange) == (strategy.name, timeframe, state.venue)
    )


def _unused(state: EngineState, strategy: Strategy, timeframe: str) -> tuple[str, ...]:
    """The deployed sets that wait for the strategy to run on their timeframe."""
    waiting: dict[str, list[str]] = {}
    for one in state.trained.all():
        if one.strategy == strategy.name and one.in_use and one.exchange == state.venue:
            why = unused_because(one, timeframe, state.venue)
            if why:
                waiting.setdefault(why, []).append(f"{one.symbol} {one.regime.value}")
    return tuple(f"{', '.join(names)}: {why}" for why, names in waiting.items())


def _set(state: EngineState, one: TrainedSet, strategy: Strategy) -> TrainedView:
    promise, evidence = promise_of(one.metrics), state.trained.evidence(one.identity)
    trades = evidence.trades if evidence is not None else 0
    return TrainedView(
        symbol=one.symbol,
        regime=one.regime.value,
        state="demoted" if one.demoted else "in use" if one.deployed else "not deployed",
        reason=one.demoted or ("" if one.deployed else one.reason),
        values=tuple(one.values.get(p.name, p.default) for p in strategy.parameters),
        oos_trades=promise.trades if promise is not None else 0,
        oos_mean_r=promise.mean_r if promise is not None else 0.0,
        low=promise.mean_r_low if promise is not None else 0.0,
        trades=trades,
        mean_r=evidence.total_r / trades if evidence is not None and trades else 0.0,
    )
