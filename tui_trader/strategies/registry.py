"""Strategies by name: the shipped ones, and the files of a person's own folder."""

from __future__ import annotations

import importlib.util
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

from tui_trader.core.candles import TIMEFRAMES
from tui_trader.core.parameters import Parameter, ParameterError, resolve
from tui_trader.core.settings import Settings, StrategySettings
from tui_trader.core.signals import Strategy
from tui_trader.errors import ConfigError
from tui_trader.strategies.base import BarStrategy
from tui_trader.strategies.divergence_capitulation import DivergenceCapitulation
from tui_trader.strategies.htf_sweep import HtfSweep
from tui_trader.strategies.ma_crossover import MaCrossover
from tui_trader.strategies.volume_breakout import VolumeBreakout

SHIPPED: tuple[type[BarStrategy], ...] = (MaCrossover, HtfSweep, VolumeBreakout, DivergenceCapitulation)


def build_strategies(settings: Settings) -> dict[str, Strategy]:
    """The enabled strategies in the configured order. Raises ``ConfigError`` for unknown names and bad values."""
    chosen = settings.strategies
    _check_tables(chosen)
    return {name: find_strategy(name, chosen) for name in chosen.enabled}


def find_strategy(name: str, settings: StrategySettings) -> Strategy:
    """One strategy by name. Raises ``ConfigError``."""
    shipped = {kind.name: kind for kind in SHIPPED}
    own = _own_files(settings.folder)
    if name in own and name in shipped:
        raise ConfigError(f"{own[name]} has the name of a shipped strategy; rename the file and the class's name")
    if name in own:
        strategy: Strategy = _load(own[name])
    elif name in shipped:
        strategy = shipped[name]()
    else:
        known = ", ".join((*shipped, *sorted(own)))
        where = f" (looked in {settings.folder})" if settings.folder else "; a folder of your own is strategies.folder"
        raise ConfigError(f"strategies: there is no strategy {name!r}; the known ones are {known}{where}")
    _check_values(strategy, settings)
    return strategy


def known_names(settings: StrategySettings) -> tuple[str, ...]:
    """Every strategy that ``find_strategy`` would find."""
    return (*(kind.name for kind in SHIPPED), *sorted(_own_files(settings.folder)))


def _check_tables(settings: StrategySettings) -> None:
    known = known_names(settings)
    named = [("timeframes", name, name) for name in settings.timeframes]
    named += [("parameters", name, name.partition(".")[0]) for name in settings.parameters]
    for table, key, strategy in named:
        if strategy not in known:
            names = ", ".join(known)
            raise ConfigError(
                f"strategies.{table}.{key}: there is no strategy {strategy!r}; the known ones are {names}"
            )


def _check_values(strategy: Strategy, settings: StrategySettings) -> None:
    try:
        resolve(strategy.parameters, settings.parameters_of(strategy.name))
    except ParameterError as error:
        raise ConfigError(f"strategies.parameters.{strategy.name}: {error}") from None
    timeframe = settings.timeframes.get(strategy.name, strategy.timeframe)
    if timeframe not in TIMEFRAMES:
        raise ConfigError(f"strategies.timeframes.{strategy.name} = {timeframe!r}; use one of {', '.join(TIMEFRAMES)}")


def _own_files(folder: str) -> dict[str, Path]:
    if not folder:
        return {}
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise ConfigError(f"strategies.folder = {folder!r} is not a folder; create it or leave the setting empty")
    return {file.stem: file for file in sorted(path.glob("*.py")) if not file.stem.startswith("_")}


def _check_declared(parameters: Iterable[Parameter], file: Path) -> None:
    """Raises ``ConfigError`` for a declaration that no search and no default could keep to."""
    for one in parameters:
        if not isinstance(one, Parameter):
            raise TypeError(f"{one!r} is no Parameter")
        if not (one.low <= one.default <= one.high and one.step > 0):
            raise ConfigError(
                f"{file}: the parameter {one.name!r} needs low ≤ default ≤ high and a step over 0; it has low "
                f"{one.low}, default {one.default}, high {one.high}, step {one.step}"
            )


def _made(kind: type[BarStrategy], file: Path) -> Strategy:
    """The strategy of a person's own class. Raises ``ConfigError``, whatever the class does."""
    try:
        _check_declared(kind.parameters, file)
        made = kind()
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{file}: its class cannot be used: {type(error).__name__}: {error}. Mend it.") from error
    if not isinstance(made.timeframe, str):
        raise ConfigError(f"{file}: its timeframe is {made.timeframe!r}; use one of {', '.join(TIMEFRAMES)}")
    return made


def _load(file: Path) -> Strategy:
    """Run one file and take the strategy in it that bears the file's name. Raises ``ConfigError``."""
    if file.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(f"{file} may be written by others, so it is not run: chmod go-w {file}")
    spec = importlib.util.spec_from_file_location(f"tui_trader_own_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{file} cannot be loaded as a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{file} cannot be run: {type(error).__name__}: {error}. Mend it or disable it.") from error
    for found in vars(module).values():
        if isinstance(found, type) and issubclass(found, BarStrategy) and found.name == file.stem:
            return _made(found, file)
    raise ConfigError(f"{file} holds no class derived from BarStrategy with name = {file.stem!r}")
