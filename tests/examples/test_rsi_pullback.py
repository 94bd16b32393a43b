"""The example of a person's own strategy: picked up by name, backtested, the same bar by bar, and without lookahead."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

import tui_trader.examples
from tests.core.test_entries import bar
from tests.desk import Desk
from tests.research.build import settings
from tui_trader.core.parameters import resolve
from tui_trader.core.settings import Settings
from tui_trader.core.signals import Strategy
from tui_trader.errors import ConfigError
from tui_trader.research.backtest import Backtest, BacktestResult
from tui_trader.research.history import History, instrument_of, make_history, packaged
from tui_trader.research.lookahead import Checker
from tui_trader.strategies.registry import build_strategies, known_names
from tui_trader.venues.paper import FREE

NAME = "rsi_pullback"
EXAMPLE = Path(tui_trader.examples.__path__[0]) / f"{NAME}.py"
DAYS = 8


@pytest.fixture
def chosen(tmp_path: Path) -> Settings:
    """As a person does it: the file copied into a folder of their own, the folder and the name in the settings."""
    copy = tmp_path / EXAMPLE.name
    copy.write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    copy.chmod(0o644)
    return settings(strategies={"enabled": (NAME,), "folder": str(tmp_path), "parameters": {f"{NAME}.pullback": 45.0}})


@pytest.fixture(scope="module")
def some_days() -> History:
    found = packaged("SOLUSDT")
    bars = found.bars.slice(0, DAYS * 1_440)
    return make_history("SOLUSDT", bars, found.funding_ms, found.funding_rate, found.source)


def run(strategy: Strategy, history: History, chosen: Settings, *, step_all: bool = False) -> BacktestResult:
    return Backtest(
        history, strategy, chosen, instrument_of("SOLUSDT"), wallet=Decimal(10_000), costs=FREE, step_all=step_all
    ).run()


def test_it_is_short_enough_to_read_at_once() -> None:
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) <= 60


def test_it_is_picked_up_by_name_and_takes_its_parameters_from_the_settings(chosen: Settings) -> None:
    assert known_names(chosen.strategies)[-1] == NAME
    (strategy,) = build_strategies(chosen).values()
    values = resolve(strategy.parameters, chosen.strategies.parameters_of(NAME))
    assert values == {"trend": 100.0, "pullback": 45.0, "stop_atr": 1.5}


def test_it_backtests_and_every_bar_stepped_gives_the_same(chosen: Settings, some_days: History) -> None:
    (strategy,) = build_strategies(chosen).values()
    quick, whole = run(strategy, some_days, chosen), run(strategy, some_days, chosen, step_all=True)
    assert len(quick.trades) >= 3
    assert {trade.strategy for trade in quick.trades} == {NAME}
    assert quick.trades == whole.trades
    assert np.array_equal(quick.equity, whole.equity)


def failing(tmp_path: Path, chosen: Settings, line: str) -> Strategy:
    """The copy with a line of its own at the start of ``setups``."""
    file = tmp_path / EXAMPLE.name
    text = file.read_text(encoding="utf-8").replace("bars = window.bars\n", f"bars = window.bars\n        {line}\n")
    file.write_text(text, encoding="utf-8")
    return build_strategies(chosen)[NAME]


@pytest.mark.parametrize(
    ("line", "step_all", "words"),
    [
        ("1 / 0", False, f"{NAME} failed on the history: ZeroDivisionError: division by zero .{EXAMPLE.name}, line "),
        ("if len(bars) < 500: 1 / 0", True, f"{NAME} failed on SOLUSDT: ZeroDivisionError.*What was tested until then"),
    ],
)
def test_a_backtest_of_a_failing_copy_says_so_and_gives_no_result(
    tmp_path: Path, chosen: Settings, some_days: History, line: str, step_all: bool, words: str
) -> None:
    strategy = failing(tmp_path, chosen, line)
    with pytest.raises(ConfigError, match=words):
        run(strategy, some_days, chosen, step_all=step_all)


def test_it_does_not_look_ahead(chosen: Settings, some_days: History) -> None:
    (strategy,) = build_strategies(chosen).values()
    values = resolve(strategy.parameters, chosen.strategies.parameters_of(NAME))
    report = Checker(
        strategy, some_days, chosen, instrument_of("SOLUSDT"), timeframe="15m", values=values, cuts=12
    ).run()
    assert report.decisions >= 3
    assert report.clean, report.findings


def test_a_copy_that_fails_is_paused_with_its_line_and_the_engine_goes_on(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    broken = text.replace("        bars = window.bars\n", "        bars = window.bars\n        1 / 0\n")
    (tmp_path / EXAMPLE.name).write_text(broken, encoding="utf-8")
    (tmp_path / EXAMPLE.name).chmod(0o644)
    frames = {NAME: "1m", "ma_crossover": "1m"}
    names = {"enabled": (NAME, "ma_crossover"), "folder": str(tmp_path), "timeframes": frames}
    broken_too = settings(strategies={**names, "parameters": {"ma_crossover.every_min": 1.0}})
    desk = Desk(strategies=build_strategies(broken_too), settings=broken_too).start()
    bar(desk)
    own, shipped, _ = desk.engine.view(desk.now, "", "1m").strategies
    line = broken.splitlines().index("        1 / 0") + 1
    assert own.problem == (
        f"{NAME} failed on BTCUSDT: ZeroDivisionError: division by zero ({EXAMPLE.name}, line {line})"
    )
    assert (own.running, shipped.running, shipped.problem) == (False, True, "")
    assert [row.strategy for row in desk.engine.state.signals] == ["ma_crossover"]
