"""Warm-up: what strategies, regimes and the ladder need beyond the minutes is asked for once, and again when lost."""

from __future__ import annotations

import pytest

from tests.core.build import NOW, minutes, settings
from tests.core.test_housekeeping import known, of, timer
from tui_trader.core import commands as cmd
from tui_trader.core import events as ev
from tui_trader.core.candles import TIMEFRAMES
from tui_trader.core.engine import Engine
from tui_trader.core.events import Candle
from tui_trader.core.parameters import Values
from tui_trader.core.regime import Regime
from tui_trader.core.signals import Strategy
from tui_trader.core.trained import TrainedSet
from tui_trader.core.types import Channel
from tui_trader.core.warmup import needs
from tui_trader.strategies.divergence_capitulation import DivergenceCapitulation
from tui_trader.strategies.htf_sweep import HtfSweep
from tui_trader.strategies.ma_crossover import MaCrossover
from tui_trader.strategies.volume_breakout import VolumeBreakout

SYMBOL = "BTCUSDT"


class Faulty(VolumeBreakout):
    name = "faulty"

    def history(self, values: Values) -> tuple[int, int]:
        raise ZeroDivisionError


def engine(*strategies: Strategy, timeframes: dict[str, str] | None = None, **sections: dict[str, object]) -> Engine:
    chosen = settings(strategies={"timeframes": timeframes or {}}, **sections)
    made = Engine(chosen, {s.name: s for s in strategies}, mode="demo", venue="binance", epoch="t")
    for channel in Channel:
        made.process(ev.LinkUp(ts=NOW, channel=channel))
    return made


def bars(timeframe: str, count: int, end_ms: int = NOW) -> tuple[Candle, ...]:
    length = TIMEFRAMES[timeframe]
    last = end_ms // length * length
    return tuple(Candle(last - i * length, 100.0, 101.0, 99.0, 100.0, 1.0) for i in range(count, 0, -1))


def asked(commands: list[cmd.Command]) -> set[tuple[str, int]]:
    return {(c.timeframe, c.count) for c in of(cmd.LoadCandles, commands) if isinstance(c, cmd.LoadCandles)}


def heard(made: Engine, timeframe: str, candles: tuple[Candle, ...], ts: int = NOW) -> list[cmd.Command]:
    return made.process(ev.CandleHistory(ts=ts, symbol=SYMBOL, candles=candles, timeframe=timeframe))


def with_minutes(made: Engine, count: int = 1_500) -> list[cmd.Command]:
    known(made, "BTC")
    timer(made, NOW + 1_000)
    return heard(made, "1m", tuple(minutes([100.0] * count)), NOW + 2_000)


@pytest.mark.parametrize(
    ("strategy", "timeframes", "expected"),
    [
        (MaCrossover(), {}, {}),
        (VolumeBreakout(), {}, {}),
        (VolumeBreakout(), {"volume_breakout": "1h"}, {"1h": 160}),
        (DivergenceCapitulation(), {"divergence_capitulation": "15m"}, {"15m": 460}),
        (DivergenceCapitulation(), {"divergence_capitulation": "1d"}, {"1d": 460}),
        (HtfSweep(), {"htf_sweep": "1h"}, {"1h": 250, "1d": 226}),
        (HtfSweep(), {}, {"1h": 226}),
    ],
)  # fmt: skip
def test_what_the_minutes_cannot_give_is_needed(
    strategy: Strategy, timeframes: dict[str, str], expected: dict[str, int]
) -> None:
    assert needs(engine(strategy, timeframes=timeframes).state, SYMBOL) == expected


def test_the_ladders_own_timeframe_is_needed_too() -> None:
    made = engine(ladder={"atr_timeframe": "4h"})
    assert needs(made.state, SYMBOL) == {"4h": 88}


def test_a_trained_set_that_looks_further_back_is_counted_and_one_request_is_the_most() -> None:
    made = engine(VolumeBreakout(), timeframes={"volume_breakout": "15m"})
    assert needs(made.state, SYMBOL) == {}
    body = {"bars": 100.0, "max_range_atr": 3.0, "volume_mult": 1.8, "atr_period": 14.0}
    made.state.trained.put(
        TrainedSet(
            symbol=SYMBOL, exchange="binance", strategy="volume_breakout", regime=Regime.BEAR, timeframe="15m",
            values=body, trained_ms=1, deployed=True,
        )
    )  # fmt: skip
    assert needs(made.state, SYMBOL) == {"15m": 262}
    assert needs(made.state, "ETHUSDT") == {}


def test_one_request_of_little_weight_is_the_most() -> None:
    far = {"parameters": {"divergence_capitulation.slow": 300}, "timeframes": {"divergence_capitulation": "4h"}}
    made = Engine(
        settings(strategies=far), {"divergence_capitulation": DivergenceCapitulation()}, mode="demo", venue="binance",
        epoch="t",
    )  # fmt: skip
    assert needs(made.state, SYMBOL) == {"4h": 499}


def test_a_persons_strategy_that_fails_keeps_no_other_from_its_history() -> None:
    made = engine(Faulty(), HtfSweep())
    assert needs(made.state, SYMBOL) == {"1h": 226}


def test_minutes_come_first_then_the_rest_is_asked_for_at_once() -> None:
    made = engine(HtfSweep())
    known(made, "BTC")
    assert asked(timer(made, NOW + 1_000)) == {("1m", 1_500)}
    assert asked(timer(made, NOW + 2_500)) == set()
    assert asked(heard(made, "1m", tuple(minutes([100.0] * 1_500)), NOW + 3_000)) == {("1h", 226)}
    assert asked(timer(made, NOW + 5_000)) == set()
    assert asked(timer(made, NOW + 14_000)) == {("1h", 226)}, "asked again while it has not come"
    assert asked(heard(made, "1h", bars("1h", 226), NOW + 14_500)) == set()
    assert asked(timer(made, NOW + 60_000)) == set()
    book = made.state.candles[SYMBOL]
    assert len(book.closed("1h", 500)) == 226


def test_a_venue_with_little_history_is_not_asked_for_ever() -> None:
    made = engine(HtfSweep())
    with_minutes(made)
    heard(made, "1h", (), NOW + 3_000)
    assert asked(timer(made, NOW + 60_000)) == set()


def test_a_symbol_that_is_not_watched_asks_for_nothing_more() -> None:
    made = engine(HtfSweep())
    assert asked(heard(made, "1m", tuple(minutes([100.0] * 100)))) == set()


def test_after_a_long_sleep_the_missing_bars_are_asked_for_again() -> None:
    made = engine(HtfSweep())
    with_minutes(made)
    heard(made, "1h", bars("1h", 226), NOW + 3_000)
    later = NOW + 5 * 86_400_000
    again = heard(made, "1m", tuple(minutes([100.0] * 1_500, end_ms=later)), later)
    assert asked(again) == {("1h", 226)}
    heard(made, "1h", bars("1h", 226, later), later)
    opens = [bar.open_ms for bar in made.state.candles[SYMBOL].closed("1h", 200)]
    assert opens == list(range(opens[0], opens[0] + 200 * 3_600_000, 3_600_000))
    assert asked(timer(made, later + 60_000)) == set()


def test_the_strategy_runs_on_what_was_loaded() -> None:
    """The regime of 1 h needs 50 bars; 1,500 minutes give 25."""
    made = engine(VolumeBreakout(), timeframes={"volume_breakout": "1h"})
    with_minutes(made)
    assert made.state.regimes[SYMBOL, "1h"] is None
    heard(made, "1h", bars("1h", 160), NOW + 3_000)
    assert made.state.regimes[SYMBOL, "1h"] is Regime.SIDEWAYS
