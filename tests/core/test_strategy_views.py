"""Regimes, parameters in force and trained sets as the console is shown them."""

from __future__ import annotations

import msgspec
import pytest

from tests.core.build import settings
from tests.core.test_entries import SYMBOL, bar
from tests.core.test_trained import SET
from tests.desk import Desk
from tui_trader.core import events as ev
from tui_trader.core.regime import Regime
from tui_trader.core.strategy_rows import RegimeView, StrategyRow
from tui_trader.core.trained import TrainedSet
from tui_trader.strategies.registry import build_strategies


def desk_of(**changes: object) -> Desk:
    chosen = settings(strategies={"enabled": ("ma_crossover", "volume_breakout"), **changes})
    return Desk(strategies=build_strategies(chosen), settings=chosen).start()


def rows_of(desk: Desk) -> dict[str, StrategyRow]:
    return {row.name: row for row in desk.engine.view(desk.now, SYMBOL, "15m").strategies}


def test_regimes_of_the_strategies_timeframes_are_known_with_the_history() -> None:
    """Flat candles: no trend on any timeframe; 900 minutes are 180 bars of 5 m, but only 15 of an hour."""
    desk = desk_of(timeframes={"ma_crossover": "1h"})
    seen = desk.engine.view(desk.now, SYMBOL, "15m")
    expected = (
        RegimeView(timeframe="5m", regime="sideways", bars=50, needed=50),
        RegimeView(timeframe="1h", regime="unknown", bars=15, needed=50),
    )
    assert seen.chart.regimes == expected
    (member,) = seen.universe.members
    assert member.regimes == expected
    assert desk.engine.view(desk.now, "ETHUSDT", "15m").chart.regimes == ()


def test_the_regime_follows_the_closed_bars_and_looking_changes_nothing() -> None:
    desk = desk_of()
    before = dict(desk.engine.state.regimes)
    for timeframe in ("1m", "4h", "1d"):
        desk.engine.view(desk.now, SYMBOL, timeframe)
    assert desk.engine.state.regimes == before == {(SYMBOL, "1m"): Regime.SIDEWAYS, (SYMBOL, "5m"): Regime.SIDEWAYS}
    price = desk.market.mid
    start = desk.now // 60_000 * 60_000
    for n in range(40):
        price *= 1.01
        candle = ev.Candle(start + n * 60_000, price, price * 1.001, price * 0.999, price, 1.0)
        desk.process(ev.KlineUpdate(ts=start + (n + 1) * 60_000, symbol=SYMBOL, candle=candle, closed=True))
    assert desk.engine.state.regimes[SYMBOL, "1m"] is Regime.BULL


def trained(**changes: object) -> TrainedSet:
    values = {"bars": 25.0, "max_range_atr": 2.5, "volume_mult": 2.2, "atr_period": 14.0}
    facts = {
        "symbol": SYMBOL,
        "exchange": "binance",
        "strategy": "volume_breakout",
        "regime": Regime.SIDEWAYS,
        "timeframe": "5m",
        "values": values,
        "deployed": True,
        "demoted": "",
        "metrics": {},
    }
    return msgspec.structs.replace(SET, **{**facts, **changes})


def load(desk: Desk, *sets: TrainedSet) -> None:
    desk.process(ev.TrainedLoaded(ts=desk.now, sets_json=msgspec.json.encode(sets).decode()))


def test_parameters_in_force_say_where_they_came_from() -> None:
    desk = desk_of(parameters={"ma_crossover.length": 75.0})
    rows = rows_of(desk)
    (crossover,) = rows["ma_crossover"].uses
    assert (crossover.symbols, crossover.regime, crossover.trained) == ((SYMBOL,), "sideways", False)
    assert crossover.source == "config: nothing trained for sideways on 1m"
    assert rows["ma_crossover"].parameters[0].name == "length"
    assert (crossover.values[0], rows["ma_crossover"].parameters[0].default) == (75.0, 60.0)
    (breakout,) = rows["volume_breakout"].uses
    assert breakout.source == "default: nothing trained for sideways on 5m"
    assert (rows["manual"].uses, rows["manual"].timeframe, rows["manual"].running) == ((), "", True)


@pytest.mark.parametrize(
    ("changes", "source", "used", "state", "reason"),
    [
        ({}, "trained for sideways on 5m", True, "in use", ""),
        ({"demoted": "it lost"}, "default: the trained set was demoted, it lost", False, "demoted", "it lost"),
        (
            {"deployed": False, "reason": "3 trades"},
            "default: the trained set was not deployed, 3 trades",
            False,
            "not deployed",
            "3 trades",
        ),
    ],
)
def test_trained_sets_are_shown_with_what_became_of_them(
    changes: dict[str, object], source: str, used: bool, state: str, reason: str
) -> None:
    desk = desk_of()
    load(desk, trained(**changes), trained(timeframe="1h"), trained(exchange="bybit"))
    row = rows_of(desk)["volume_breakout"]
    (use,) = row.uses
    assert (use.source, use.trained, use.values[0]) == (source, used, 25.0 if used else 20.0)
    (one,) = row.sets
    assert (one.symbol, one.regime, one.state, one.reason) == (SYMBOL, "sideways", state, reason)
    assert one.values == (25.0, 2.5, 2.2, 14.0)
    assert rows_of(desk)["ma_crossover"].sets == ()


def test_a_paused_strategy_still_tells_its_regime_and_parameters() -> None:
    desk = desk_of()
    desk.process(ev.PauseEntries(ts=desk.now, paused=True, strategy="ma_crossover"))
    desk.engine.state.regimes.clear()
    bar(desk)
    row = rows_of(desk)["ma_crossover"]
    assert (row.running, row.uses[0].regime) == (False, "sideways")


def test_deployed_sets_of_other_timeframes_are_named_with_what_to_set() -> None:
    desk = desk_of()
    load(
        desk,
        trained(timeframe="1m"),
        trained(timeframe="1m", regime=Regime.BULL),
        trained(timeframe="15m", deployed=False),
        trained(timeframe="1m", exchange="bybit", regime=Regime.BEAR),
    )
    assert rows_of(desk)["volume_breakout"].unused == (
        f"{SYMBOL} bull, {SYMBOL} sideways: volume_breakout runs on 5m; to run it on 1m: "
        'strategies.timeframes = {volume_breakout = "1m"}',
    )
    assert rows_of(desk)["ma_crossover"].unused == ()
