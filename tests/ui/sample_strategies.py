"""The sample's strategies: regimes, signals with their conditions, parameters in force, trained sets."""

from __future__ import annotations

from tui_trader.core.strategy_rows import (
    ConditionView,
    ParameterView,
    RegimeView,
    SignalRow,
    StrategyRow,
    TrainedView,
    UseView,
)

_REGIMES = ("bull", "sideways", "bear")


def regimes(number: int) -> tuple[RegimeView, ...]:
    """What a symbol does on 1 m and 5 m; the last ones of the list have been listed lately."""
    five = RegimeView(timeframe="5m", regime=_REGIMES[number % 3], bars=50, needed=50)
    if number > 10:
        five = RegimeView(timeframe="5m", regime="unknown", bars=23, needed=50)
    return RegimeView(timeframe="1m", regime=_REGIMES[number * 2 % 3], bars=50, needed=50), five


def _breakout(volume: float) -> tuple[ConditionView, ...]:
    return (
        ConditionView(
            name="consolidation", value=2.41, limit=3.0, text="range 2.41 ATR, at most 3", met=True, score=0.88
        ),
        ConditionView(
            name="volume",
            value=volume,
            limit=1.8,
            text=f"volume {volume:.2f} × the mean, at least 1.8",
            met=volume >= 1.8,
            score=0.83 if volume >= 1.8 else 0.63,
        ),
        ConditionView(
            name="break",
            value=0.31,
            limit=0.0,
            text="close 0.31 ATR beyond the range",
            met=True,
            score=0.92,
            weight=0.5,
        ),
    )


def _from_mean(value: float) -> tuple[ConditionView, ...]:
    met = value >= 0.001
    text = f"{value:.2%} from the mean"
    return (
        ConditionView(
            name="distance to the mean", value=value, limit=0.001, text=text, met=met, score=0.8 if met else 0.32
        ),
    )


def signals(now: int, names: tuple[str, ...]) -> tuple[SignalRow, ...]:
    """Opened, refused and held, the newest first."""
    rows = [
        SignalRow(
            ts=now - 66_000,
            symbol="BTCUSDT",
            side="long",
            strategy="volume_breakout",
            conviction=0.87,
            action="opened",
            reasons=(),
            conditions=_breakout(2.1),
            source="trained for bull on 5m",
            regime="bull",
            timeframe="5m",
            threshold=0.8,
            stop=43_180.0,
        ),
        SignalRow(
            ts=now - 147_000,
            symbol="SOLUSDT",
            side="long",
            strategy="volume_breakout",
            conviction=0.87,
            action="refused",
            reasons=("funding in 31 min (< 40 min)", "spread 3.4 bps > 3.0 bps"),
            conditions=_breakout(2.1),
            source="default: the trained set was demoted, 9 of 14 trades lost where 5 were promised",
            regime="bear",
            timeframe="5m",
            threshold=0.8,
            stop=96.9,
        ),
        SignalRow(
            ts=now - 1_027_000,
            symbol="ETHUSDT",
            side="hold",
            strategy="ma_crossover",
            conviction=0.0,
            action="hold",
            reasons=("0.04% from the mean",),
            conditions=_from_mean(0.0004),
            source="default: the regime is not known yet",
            regime="unknown",
            timeframe="1m",
            threshold=0.8,
        ),
    ]
    rows += [
        SignalRow(
            ts=now - 1_900_000 - i * 900_000,
            symbol=name,
            side=("long", "short")[i % 2],
            strategy="ma_crossover" if i % 3 != 2 else "manual",
            conviction=0.8 + i / 40,
            action=("refused", "opened", "manual")[i % 3],
            reasons=("margin 14.8 % of 15 % used: 1.4 % more is too much",) if i % 3 == 0 else (),
            conditions=_from_mean(0.0012) if i % 3 != 2 else (),
            source="config: nothing trained for bull on 1m" if i % 3 != 2 else "",
            regime="bull" if i % 3 != 2 else "",
            timeframe="1m" if i % 3 != 2 else "",
            threshold=0.8 if i % 3 != 2 else 0.0,
        )
        for i, name in enumerate(names[:8])
    ]
    return tuple(rows)


def _breakout_row(names: tuple[str, ...]) -> StrategyRow:
    declared = (20.0, 3.0, 1.8, 14.0)
    found = (25.0, 2.5, 2.2, 14.0)
    demoted = "9 of 14 trades lost where 5 were promised"
    return StrategyRow(
        name="volume_breakout",
        running=True,
        trades=23,
        wins=14,
        pnl=61.2,
        mean_r=0.42,
        tp1_hits=17,
        tp1_attempts=22,
        mean_slippage_pct=0.012,
        timeframe="5m",
        threshold=0.8,
        parameters=(
            ParameterView(name="bars", default=20, low=5, high=100, text="bars of the consolidation"),
            ParameterView(name="max_range_atr", default=3.0, low=0.5, high=12.0, text="its greatest range, ATR"),
            ParameterView(name="volume_mult", default=1.8, low=1.0, high=8.0, text="volume against the bars' mean"),
            ParameterView(name="atr_period", default=14, low=5, high=50, text="bars of the ATR"),
        ),
        uses=(
            UseView(symbols=names[:1], regime="bull", source="trained for bull on 5m", trained=True, values=found),
            UseView(
                symbols=names[2:3],
                regime="bear",
                source=f"default: the trained set was demoted, {demoted}",
                trained=False,
                values=declared,
            ),
            UseView(
                symbols=names[1:2] + names[3:10],
                regime="sideways",
                source="default: nothing trained for sideways on 5m",
                trained=False,
                values=declared,
            ),
            UseView(
                symbols=names[10:],
                regime="unknown",
                source="default: the regime is not known yet",
                trained=False,
                values=declared,
            ),
        ),
        sets=(
            TrainedView(
                symbol=names[0],
                regime="bull",
                state="in use",
                reason="",
                values=found,
                oos_trades=41,
                oos_mean_r=0.38,
                low=0.09,
                trades=6,
                mean_r=0.21,
            ),
            TrainedView(
                symbol=names[2],
                regime="bear",
                state="demoted",
                reason=demoted,
                values=found,
                oos_trades=33,
                oos_mean_r=0.44,
                low=0.11,
                trades=14,
                mean_r=-0.37,
            ),
        ),
    )


def strategies(names: tuple[str, ...]) -> tuple[StrategyRow, ...]:
    """One trained for some symbols, one with defaults, one paused by hand, a person's own that failed, and the hand."""
    crossover = StrategyRow(
        name="ma_crossover",
        running=True,
        trades=18,
        wins=8,
        pnl=-27.0,
        mean_r=-0.11,
        tp1_hits=7,
        tp1_attempts=15,
        mean_slippage_pct=0.031,
        timeframe="1m",
        threshold=0.8,
        parameters=(ParameterView(name="length", default=60, low=5, high=400, text="closes averaged"),),
        uses=(
            UseView(
                symbols=names,
                regime="bull",
                source="config: nothing trained for bull on 1m",
                trained=False,
                values=(75.0,),
            ),
        ),
    )
    quiet = StrategyRow(
        name="htf_sweep",
        running=False,
        trades=0,
        wins=0,
        pnl=0.0,
        mean_r=0.0,
        tp1_hits=0,
        tp1_attempts=0,
        mean_slippage_pct=0.0,
        timeframe="5m",
        higher="1h",
        threshold=0.8,
    )
    failed = StrategyRow(
        name="rsi_pullback",
        running=False,
        trades=2,
        wins=0,
        pnl=-8.1,
        mean_r=-0.6,
        tp1_hits=0,
        tp1_attempts=2,
        mean_slippage_pct=0.008,
        timeframe="5m",
        threshold=0.8,
        problem="rsi_pullback failed on ADAUSDT: ZeroDivisionError: division by zero (rsi_pullback.py, line 41)",
    )
    by_hand = StrategyRow(
        name="manual",
        running=True,
        trades=3,
        wins=2,
        pnl=12.4,
        mean_r=0.3,
        tp1_hits=2,
        tp1_attempts=3,
        mean_slippage_pct=0.011,
    )
    return _breakout_row(names), crossover, quiet, failed, by_hand
